//! The race detector: the referee replays every dispatch and looks for invocations that race.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobit_job::Fault;
use isobit_shader::KernelError;
use isobit_shader::interpreter::RaceReport;

use crate::core::{Dispatch, Observer, Queue, Step, is_replayable};
use crate::referee::{Replay, stopped_after};

/// The most races that are reported in all.
const MAX_RACES: usize = 64;

/// The races of a job that have been found so far. It outlives the job's device.
#[derive(Clone, Debug, Default)]
pub struct RaceLog(Arc<Mutex<RaceReport>>);

impl RaceLog {
    /// The races in the dispatches that were submitted: up to 64 in all. Races between the same places in the source, in the
    /// same memory, are listed once.
    pub fn report(&self) -> RaceReport {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RaceReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replays every dispatch under profile dp32 before it runs.
#[derive(Debug)]
pub(crate) struct RaceDetector(RaceLog);

impl RaceDetector {
    pub(crate) fn new(log: RaceLog) -> Self {
        Self(log)
    }
}

impl Observer for RaceDetector {
    fn choose(&mut self, steps: &[Step]) -> Vec<usize> {
        let replayable = |step: &Step| matches!(step, Step::Dispatch(dispatch) if is_replayable(&dispatch.pipeline));
        steps.iter().enumerate().filter(|(_, step)| replayable(step)).map(|(number, _)| number).collect()
    }

    fn before(&mut self, _: usize, dispatch: &Dispatch, queue: &mut Queue) -> Result<bool, Fault> {
        let contents = queue.contents_of(dispatch)?;
        let replay = Replay::new(dispatch, contents, queue.budget()).map_err(KernelError::into_fault)?;
        if let Some(replay) = replay {
            let find = |stop: &_| replay.races(0..dispatch.count(), MAX_RACES, queue.fuel_left(), stop);
            let found = stopped_after(Duration::MAX, &queue.waits, find);
            queue.waits.stop.check()?;
            self.0.lock().add(found, MAX_RACES);
        }
        Ok(false)
    }

    fn after(&mut self, _: &Dispatch, _: &mut Queue) -> Result<(), Fault> {
        Ok(())
    }
}
