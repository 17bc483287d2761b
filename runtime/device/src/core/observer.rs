//! The interface of observers, which look at dispatches before and after they run.

use isobit_job::Fault;

use super::encoder::{Dispatch, Step};
use super::queue::Queue;

/// Looks at dispatches before and after they run. An error that it returns ends the job.
pub(crate) trait Observer: Send + std::fmt::Debug {
    /// Returns the numbers of the steps that it wants to observe. Called once for each list of steps, before the first of them
    /// runs.
    fn choose(&mut self, steps: &[Step]) -> Vec<usize>;

    /// Called before a dispatch that some observer has chosen: step `number` of the last list. Returns whether `after` is to
    /// be called.
    fn before(&mut self, number: usize, dispatch: &Dispatch, queue: &mut Queue) -> Result<bool, Fault>;

    /// Called when all of the dispatch has been submitted.
    fn after(&mut self, dispatch: &Dispatch, queue: &mut Queue) -> Result<(), Fault>;
}
