//! How long workgroups take: measured submission by submission, so that the next one is no longer than it may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a submission of sliced dispatches should take: within 50 ms, with room for an estimate that is too low.
pub(crate) const SLICE: Duration = Duration::from_millis(30);

/// Kernel fuel outside of loops that the first workgroups of a pipeline may cost in all.
const PROBE_FUEL: u64 = 1 << 20;

/// The most workgroups that are run before it is known how long one takes.
const MAX_PROBE: u64 = 8;

/// What is known about the time that a pipeline's workgroups take.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Workgroups to find it out with.
    probe: u64,
    /// Picoseconds that the device is held per workgroup; 0 until it is known.
    picos: AtomicU64,
    /// The first workgroups are under way.
    probing: AtomicBool,
}

impl Pace {
    /// Of a pipeline whose workgroups cost `fuel` outside of loops.
    pub(crate) fn new(fuel: u64) -> Self {
        let probe = (PROBE_FUEL / fuel.max(1)).clamp(1, MAX_PROBE);
        Self { probe, picos: AtomicU64::new(0), probing: AtomicBool::new(false) }
    }

    /// Whether the first workgroups are under way, and must be waited for before there can be more.
    pub(crate) fn is_probing(&self) -> bool {
        self.probing.load(Relaxed)
    }

    fn picos(&self) -> Option<u64> {
        Some(self.picos.load(Relaxed)).filter(|picos| *picos > 0)
    }

    fn set(&self, picos: u128) {
        self.picos.store(u64::try_from(picos).unwrap_or(u64::MAX).max(1), Relaxed);
        self.probing.store(false, Relaxed);
    }
}

/// The workgroups in one submission, by pipeline.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Picoseconds that they may take.
    most: u128,
    parts: Vec<(Arc<Pace>, u64)>,
    /// Picoseconds that they should take.
    picos: u128,
    /// Nothing may be added: these workgroups are to find out their pace.
    probes: bool,
}

impl Load {
    /// No workgroups yet, and room for as many as `most` takes.
    pub(crate) fn within(most: Duration) -> Self {
        Self { most: most.as_nanos() * 1000, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How long it should hold the device.
    pub(crate) fn estimate(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.picos / 1000).unwrap_or(u64::MAX))
    }

    /// How many of `wanted` workgroups fit in. What fits into a submission of its own is not cut.
    pub(crate) fn room(&self, pace: &Pace, wanted: u64) -> u64 {
        if self.probes {
            return 0;
        }
        let Some(picos) = pace.picos() else {
            let now = self.is_empty() && !pace.is_probing();
            return if now { pace.probe.min(wanted) } else { 0 };
        };
        let picos = u128::from(picos);
        let needed = picos.saturating_mul(u128::from(wanted));
        let left = self.most.saturating_sub(self.picos);
        if needed <= left {
            return wanted;
        }
        if !self.is_empty() && (needed <= self.most || left < picos) {
            return 0;
        }
        u64::try_from(left / picos).unwrap_or(u64::MAX).clamp(1, wanted)
    }

    pub(crate) fn add(&mut self, pace: &Arc<Pace>, workgroups: u64) {
        match pace.picos() {
            Some(picos) => self.picos = self.picos.saturating_add(u128::from(picos) * u128::from(workgroups)),
            None => {
                self.probes = true;
                pace.probing.store(true, Relaxed);
            }
        }
        match self.parts.last_mut() {
            Some((last, sum)) if Arc::ptr_eq(last, pace) => *sum += workgroups,
            _ => self.parts.push((Arc::clone(pace), workgroups)),
        }
    }

    /// Learns from how long it took; unless `exactly`, it was less.
    pub(crate) fn took(&self, time: Duration, exactly: bool) {
        let time = time.as_nanos().saturating_mul(1000).max(1);
        for (pace, workgroups) in &self.parts {
            let Some(picos) = pace.picos().map(u128::from) else {
                pace.set(time / u128::from((*workgroups).max(1)));
                continue;
            };
            let measured = picos.saturating_mul(time) / self.picos.max(1);
            if measured < picos {
                // One fast sample may be noise: move three quarters of the way.
                pace.set((picos + 3 * measured) / 4);
            } else if exactly {
                pace.set(measured);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pace: &Arc<Pace>, workgroups: u64) -> Load {
        let mut load = Load::within(SLICE);
        load.add(pace, workgroups);
        load
    }

    #[test]
    fn a_pipeline_starts_with_few_workgroups_alone() {
        let (cheap, dear) = (Arc::new(Pace::new(1)), Arc::new(Pace::new(1 << 19)));
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
        let pace = Arc::new(Pace::new(1));
        load(&pace, 10).took(Duration::from_millis(10), true);
        let half = load(&pace, 15);
        assert_eq!(half.room(&pace, 15), 15);
        assert_eq!(half.room(&pace, 16), 0);
        assert_eq!(half.room(&pace, 31), 15);
        assert_eq!(load(&pace, 30).room(&pace, 31), 0);
        assert_eq!(Load::within(SLICE).room(&pace, u64::MAX), 30);
    }

    #[test]
    fn a_workgroup_that_takes_too_long_runs_alone() {
        let pace = Arc::new(Pace::new(1));
        load(&pace, 1).took(Duration::from_secs(3), true);
        assert_eq!(Load::within(SLICE).room(&pace, 7), 1);
    }

    #[test]
    fn a_pace_rises_at_once_and_falls_step_by_step() {
        let pace = Arc::new(Pace::new(1));
        load(&pace, 10).took(Duration::from_millis(10), true);
        load(&pace, 10).took(Duration::from_millis(30), true);
        assert_eq!(Load::within(SLICE).room(&pace, 1000), 10);
        load(&pace, 10).took(Duration::from_secs(9), false);
        assert_eq!(Load::within(SLICE).room(&pace, 1000), 10, "it took less than that");
        load(&pace, 10).took(Duration::from_millis(10), false);
        assert_eq!(Load::within(SLICE).room(&pace, 1000), 20);
    }
}
