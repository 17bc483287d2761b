//! The referee: replays chosen workgroups of a resolved dispatch on the interpreter, from given contents of its buffers. It
//! does not depend on the backend, and its results are right by definition.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use isobit_shader::KernelError;
use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, RaceReport, Races, SystemBuffers, Write};

use crate::core::Dispatch;
use crate::core::backend::Waits;
use crate::stop::ASK_EVERY;

/// A dispatch, ready to be replayed.
#[derive(Debug)]
pub(crate) struct Replay {
    program: Arc<Program>,
    source: Arc<str>,
    of: [u32; 3],
    invocations: u64,
    budget: u32,
    ranges: Vec<Contents>,
}

/// A bound range and its contents before the dispatch.
#[derive(Debug)]
struct Contents {
    group: u32,
    binding: u32,
    is_written: bool,
    words: Vec<AtomicU32>,
}

impl Replay {
    /// Prepares a dispatch under profile dp32. `contents` are those of its ranges, in order, before it runs. `budget` is the most
    /// fuel that loops of one invocation may spend. None under other profiles.
    ///
    /// # Errors
    /// The kernel cannot be compiled.
    pub(crate) fn new(
        dispatch: &Dispatch,
        contents: Vec<Vec<AtomicU32>>,
        budget: u32,
    ) -> Result<Option<Self>, KernelError> {
        let state = dispatch.pipeline.state();
        let Some(program) = state.interpreted()? else { return Ok(None) };
        let ranges = dispatch.ranges().zip(contents).map(|((group, range), words)| Contents {
            group,
            binding: range.entry.binding,
            is_written: range.is_written(),
            words,
        });
        Ok(Some(Self {
            program,
            source: Arc::clone(&state.source),
            of: dispatch.workgroups,
            invocations: u64::from(dispatch.pipeline.invocations()),
            budget,
            ranges: ranges.collect(),
        }))
    }

    /// The contents before the dispatch, one for each range.
    pub(crate) fn contents(&self) -> Vec<Vec<u32>> {
        self.ranges.iter().map(|range| values(&range.words)).collect()
    }

    /// The index of a range.
    pub(crate) fn range(&self, group: u32, binding: u32) -> Option<usize> {
        self.ranges.iter().position(|range| (range.group, range.binding) == (group, binding))
    }

    /// The writes of a workgroup that runs alone on the contents before the dispatch. None if it was stopped.
    pub(crate) fn workgroup(&self, workgroup: [u32; 3], stop: &AtomicBool) -> Option<Vec<Write>> {
        let system = SystemBuffers::new(self.params());
        let mut buffers = Buffers::new();
        buffers.bind_system(&system);
        for range in &self.ranges {
            buffers.bind(range.group, range.binding, &range.words);
        }
        let before = self.contents();
        let writes = self.program.run_workgroup(&buffers, workgroup, self.of, stop);
        for (range, before) in self.ranges.iter().zip(before).filter(|(range, _)| range.is_written) {
            range.words.iter().zip(before).for_each(|(word, before)| word.store(before, Relaxed));
        }
        writes.ok()
    }

    /// Runs the workgroups with these numbers one after the other on a copy of the contents before the dispatch, and reports up
    /// to `most` races. Ends early if it is stopped or if loops have spent more than `fuel`; the races found until then are valid.
    pub(crate) fn races(&self, part: Range<u64>, most: usize, fuel: u64, stop: &AtomicBool) -> RaceReport {
        let system = SystemBuffers::new(self.params());
        let copies: Vec<Vec<AtomicU32>> =
            self.contents().into_iter().map(|words| words.into_iter().map(AtomicU32::new).collect()).collect();
        let mut buffers = Buffers::new();
        buffers.bind_system(&system);
        for (range, words) in self.ranges.iter().zip(&copies) {
            buffers.bind(range.group, range.binding, words);
        }
        let mut races = Races::new(Arc::clone(&self.source), most);
        let (mut from, mut workgroups) = (part.start, 1);
        while from < part.end && system.status(self.invocations).loop_fuel <= fuel {
            let to = part.end.min(from + workgroups);
            if self.program.run_part_watched(&buffers, self.of, from..to, stop, &mut races).is_err() {
                break;
            }
            (from, workgroups) = (to, workgroups * 2);
        }
        races.into_report()
    }

    fn params(&self) -> SystemParams {
        SystemParams { budget: self.budget, ..SystemParams::whole(self.of) }
    }
}

fn values(words: &[AtomicU32]) -> Vec<u32> {
    words.iter().map(|word| word.load(Relaxed)).collect()
}

/// Runs `work` with a flag that is set after `time` or when the job is stopped.
pub(crate) fn stopped_after<T>(time: Duration, waits: &Waits, work: impl FnOnce(&AtomicBool) -> T) -> T {
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watch = || {
            let is_done = is_done;
            loop {
                let left = time.saturating_sub(began.elapsed());
                if left.is_zero() || waits.stop.check().is_err() {
                    return stop.store(true, Relaxed);
                }
                if is_done.recv_timeout(left.min(ASK_EVERY)) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        // If no thread can be started, nothing is replayed.
        if std::thread::Builder::new().spawn_scoped(scope, watch).is_err() {
            stop.store(true, Relaxed);
        }
        let result = work(&stop);
        drop(done);
        result
    })
}
