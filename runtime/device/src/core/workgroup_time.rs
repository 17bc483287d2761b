//! Measures how long workgroups take, submission by submission, to bound the length of the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The time that a submission of sliced dispatches should take. It stays within 50 ms even if the estimate is somewhat low.
pub(crate) const SLICE: Duration = Duration::from_millis(30);

/// The most kernel fuel, metered loops aside, that the first workgroups of a pipeline may cost in all.
const PROBE_FUEL: u64 = 1 << 20;

/// The most workgroups that are run before it is known how long one takes.
const MAX_PROBE: u64 = 8;

/// The known time that a pipeline's workgroups take.
#[derive(Debug)]
pub(crate) struct WorkgroupTime {
    /// How many workgroups to measure it with.
    probe: u64,
    /// Picoseconds that a workgroup holds the device; 0 until known.
    picoseconds: AtomicU64,
    /// The first workgroups are under way.
    probing: AtomicBool,
}

impl WorkgroupTime {
    /// For a pipeline whose workgroups cost `fuel`, metered loops aside.
    pub(crate) fn new(fuel: u64) -> Self {
        let probe = (PROBE_FUEL / fuel.max(1)).clamp(1, MAX_PROBE);
        Self { probe, picoseconds: AtomicU64::new(0), probing: AtomicBool::new(false) }
    }

    /// Whether the first workgroups are under way. No more can be submitted before they have finished.
    pub(crate) fn is_probing(&self) -> bool {
        self.probing.load(Relaxed)
    }

    fn picoseconds(&self) -> Option<u64> {
        Some(self.picoseconds.load(Relaxed)).filter(|picoseconds| *picoseconds > 0)
    }

    fn set(&self, picoseconds: u128) {
        self.picoseconds.store(u64::try_from(picoseconds).unwrap_or(u64::MAX).max(1), Relaxed);
        self.probing.store(false, Relaxed);
    }
}

/// The workgroups in one submission, by pipeline.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// The most picoseconds that they may take.
    most: u128,
    parts: Vec<(Arc<WorkgroupTime>, u64)>,
    /// The estimated picoseconds that they take.
    picoseconds: u128,
    /// These workgroups measure how long one takes: no more may be added.
    probes: bool,
}

impl Load {
    /// No workgroups yet, with room for `most` time.
    pub(crate) fn within(most: Duration) -> Self {
        Self { most: most.as_nanos() * 1000, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The estimated time that it holds the device.
    pub(crate) fn estimate(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.picoseconds / 1000).unwrap_or(u64::MAX))
    }

    /// How many of `wanted` workgroups fit in: none if they do not all fit here but would fit into a submission of their own.
    pub(crate) fn room(&self, workgroup_time: &WorkgroupTime, wanted: u64) -> u64 {
        if self.probes {
            return 0;
        }
        let Some(picoseconds) = workgroup_time.picoseconds() else {
            let now = self.is_empty() && !workgroup_time.is_probing();
            return if now { workgroup_time.probe.min(wanted) } else { 0 };
        };
        let picoseconds = u128::from(picoseconds);
        let needed = picoseconds.saturating_mul(u128::from(wanted));
        let left = self.most.saturating_sub(self.picoseconds);
        if needed <= left {
            return wanted;
        }
        if !self.is_empty() && (needed <= self.most || left < picoseconds) {
            return 0;
        }
        u64::try_from(left / picoseconds).unwrap_or(u64::MAX).clamp(1, wanted)
    }

    pub(crate) fn add(&mut self, workgroup_time: &Arc<WorkgroupTime>, workgroups: u64) {
        match workgroup_time.picoseconds() {
            Some(picoseconds) => {
                self.picoseconds = self.picoseconds.saturating_add(u128::from(picoseconds) * u128::from(workgroups))
            }
            None => {
                self.probes = true;
                workgroup_time.probing.store(true, Relaxed);
            }
        }
        match self.parts.last_mut() {
            Some((last, sum)) if Arc::ptr_eq(last, workgroup_time) => *sum += workgroups,
            _ => self.parts.push((Arc::clone(workgroup_time), workgroups)),
        }
    }

    /// Updates the estimates from the time that it took. Unless `exactly`, this is an upper bound.
    pub(crate) fn took(&self, time: Duration, exactly: bool) {
        let time = time.as_nanos().saturating_mul(1000).max(1);
        for (workgroup_time, workgroups) in &self.parts {
            let Some(picoseconds) = workgroup_time.picoseconds().map(u128::from) else {
                workgroup_time.set(time / u128::from((*workgroups).max(1)));
                continue;
            };
            let measured = picoseconds.saturating_mul(time) / self.picoseconds.max(1);
            if measured < picoseconds {
                // One fast sample may be noise: move three quarters of the way.
                workgroup_time.set((picoseconds + 3 * measured) / 4);
            } else if exactly {
                workgroup_time.set(measured);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(workgroup_time: &Arc<WorkgroupTime>, workgroups: u64) -> Load {
        let mut load = Load::within(SLICE);
        load.add(workgroup_time, workgroups);
        load
    }

    #[test]
    fn a_pipeline_starts_with_few_workgroups_alone() {
        let (cheap, dear) = (Arc::new(WorkgroupTime::new(1)), Arc::new(WorkgroupTime::new(1 << 19)));
        let first = load(&dear, 1);
        assert_eq!(first.room(&cheap, 1000), 0, "another is in this submission");
        assert_eq!(Load::within(SLICE).room(&cheap, 1000), MAX_PROBE);
        assert_eq!(Load::within(SLICE).room(&cheap, 5), 5);
        assert_eq!(Load::within(SLICE).room(&dear, 5), 0, "its first workgroups are under way");
        first.took(Duration::from_millis(1), true);
        assert_eq!(Load::within(SLICE).room(&dear, 1000), 30);
    }

    #[test]
    fn a_submission_is_filled_but_no_dispatch_cut_that_fits_into_the_next() {
        let workgroup_time = Arc::new(WorkgroupTime::new(1));
        load(&workgroup_time, 10).took(Duration::from_millis(10), true);
        let half = load(&workgroup_time, 15);
        assert_eq!(half.room(&workgroup_time, 15), 15);
        assert_eq!(half.room(&workgroup_time, 16), 0);
        assert_eq!(half.room(&workgroup_time, 31), 15);
        assert_eq!(load(&workgroup_time, 30).room(&workgroup_time, 31), 0);
        assert_eq!(Load::within(SLICE).room(&workgroup_time, u64::MAX), 30);
    }

    #[test]
    fn a_workgroup_that_takes_too_long_runs_alone() {
        let workgroup_time = Arc::new(WorkgroupTime::new(1));
        load(&workgroup_time, 1).took(Duration::from_secs(3), true);
        assert_eq!(Load::within(SLICE).room(&workgroup_time, 7), 1);
    }

    #[test]
    fn an_estimate_rises_at_once_and_falls_step_by_step() {
        let workgroup_time = Arc::new(WorkgroupTime::new(1));
        load(&workgroup_time, 10).took(Duration::from_millis(10), true);
        load(&workgroup_time, 10).took(Duration::from_millis(30), true);
        assert_eq!(Load::within(SLICE).room(&workgroup_time, 1000), 10);
        load(&workgroup_time, 10).took(Duration::from_secs(9), false);
        assert_eq!(Load::within(SLICE).room(&workgroup_time, 1000), 10, "it took less than that");
        load(&workgroup_time, 10).took(Duration::from_millis(10), false);
        assert_eq!(Load::within(SLICE).room(&workgroup_time, 1000), 20);
    }
}
