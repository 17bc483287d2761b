//! Spot checks: some workgroups of a job are run again on the CPU, and what they wrote is compared.
//!
//! A probe cannot show that a driver compiles every kernel correctly, nor that a device is sound. So some dispatches are watched:
//! the first of each shape in a job, since errors of drivers depend on the kernel and on sizes, and occasionally one of the others.
//! The buffers of a watched dispatch are copied before and after, and workgroups chosen at random are interpreted on the first
//! copy. A word that differs ends the job, since it cannot be reproduced. `blame` finds the cause.
//!
//! The cost is bounded: dispatches with more than [`MAX_BYTES`](super::sampler::MAX_BYTES) bound are not watched, and no check
//! begins once all checks have taken a twentieth of the job's time plus [`GRACE`](super::sampler::GRACE). Shapes for which there
//! was no time are tried again when they recur.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use isobit_job::Fault;
use isobit_shader::KernelError;
use isobit_shader::interpreter::Write;

use super::blame::blame;
use super::sampler::{Sampler, Shape};
use crate::core::{Dispatch, Observer, Queue, Step};
use crate::referee::{Replay, stopped_after};
use crate::verdicts::Suspicions;

/// Checks some workgroups of some dispatches.
#[derive(Debug)]
pub(crate) struct SpotCheck {
    pub(crate) sampler: Sampler,
    /// Where it notes that the device miscomputes.
    suspicions: Suspicions,
    /// The numbers of the chosen dispatches in the last list of steps.
    chosen: Vec<usize>,
    watched: Option<Watched>,
}

/// A watched dispatch that is under way.
#[derive(Debug)]
struct Watched {
    workgroups: Vec<[u32; 3]>,
    replay: Replay,
    /// How long it took to copy the buffers before it.
    spent: Duration,
}

/// A word that a device and the CPU disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) workgroup: [u32; 3],
    /// Group and binding.
    pub(super) at: (u32, u32),
    pub(super) word: u32,
    pub(super) expected: u32,
    found: u32,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([x, y, z], (group, binding)) = (self.workgroup, self.at);
        write!(
            f,
            "workgroup ({x}, {y}, {z}) wrote {:#010x} to word {} of @group({group}) @binding({binding}), and {:#010x} on the CPU",
            self.found, self.word, self.expected
        )
    }
}

impl SpotCheck {
    pub(crate) fn new(one_in: NonZeroU64, suspicions: Suspicions) -> Self {
        Self { sampler: Sampler::new(one_in), suspicions, chosen: Vec::new(), watched: None }
    }

    /// Copies the ranges that are bound to a dispatch that is about to run.
    fn watch(&mut self, dispatch: &Dispatch, queue: &mut Queue) -> Result<Option<Watched>, Fault> {
        let workgroups = self.sampler.workgroups(dispatch.workgroups);
        // Time that the job would wait anyway is not charged to the check.
        queue.drain()?;
        let since = Instant::now();
        let contents = queue.contents_of(dispatch)?;
        let replay = match Replay::new(dispatch, contents, queue.budget()) {
            Ok(replay) => replay,
            // Too large for the interpreter: the dispatch is not checked.
            Err(KernelError::Refused(_)) => None,
            Err(KernelError::Fault(fault)) => return Err(fault),
        };
        Ok(replay.map(|replay| Watched { workgroups, replay, spent: since.elapsed() }))
    }
}

impl Observer for SpotCheck {
    fn choose(&mut self, steps: &[Step]) -> Vec<usize> {
        let shape = |(number, step): (usize, &Step)| match step {
            Step::Dispatch(dispatch) => Some((number, Shape::of(dispatch)?)),
            _ => None,
        };
        let (numbers, shapes): (Vec<_>, Vec<_>) = steps.iter().enumerate().filter_map(shape).unzip();
        let chosen = self.sampler.choose(&shapes);
        self.chosen = chosen.into_iter().filter_map(|chosen| numbers.get(chosen).copied()).collect();
        self.chosen.clone()
    }

    fn before(&mut self, number: usize, dispatch: &Dispatch, queue: &mut Queue) -> Result<bool, Fault> {
        let bytes = dispatch.ranges().map(|(_, range)| range.size).sum();
        self.watched = None;
        if self.chosen.binary_search(&number).is_ok() && self.sampler.affords(bytes) {
            if let Some(shape) = Shape::of(dispatch) {
                self.sampler.checked(shape);
            }
            self.watched = self.watch(dispatch, queue)?;
        }
        Ok(self.watched.is_some())
    }

    fn after(&mut self, dispatch: &Dispatch, queue: &mut Queue) -> Result<(), Fault> {
        let Some(watched) = self.watched.take() else { return Ok(()) };
        queue.drain()?;
        let since = Instant::now();
        let mut after = Vec::new();
        for (_, range) in dispatch.ranges() {
            after.push(if range.is_written() { queue.contents(&range)? } else { Vec::new() });
        }
        let found = stopped_after(self.sampler.time(), &queue.waits, |stop| {
            watched.workgroups.iter().find_map(|workgroup| {
                let writes = watched.replay.workgroup(*workgroup, stop)?;
                let mut writes = writes.into_iter().filter(|write| !write.atomic);
                writes.find_map(|write| mismatch(&watched.replay, *workgroup, write, &after))
            })
        });
        if let Some(mismatch) = found {
            return Err(blame(dispatch, &watched.replay, mismatch, &self.suspicions, queue)?);
        }
        self.sampler.spend(watched.spent + since.elapsed());
        Ok(())
    }
}

/// The mismatch if a workgroup's write differs from the word found after its dispatch.
fn mismatch(replay: &Replay, workgroup: [u32; 3], write: Write, after: &[Vec<AtomicU32>]) -> Option<Mismatch> {
    let Write { group, binding, word, value: expected, .. } = write;
    let words = after.get(replay.range(group, binding)?)?;
    let found = words.get(usize::try_from(word).ok()?)?.load(Relaxed);
    (found != expected).then_some(Mismatch { workgroup, at: (group, binding), word, expected, found })
}
