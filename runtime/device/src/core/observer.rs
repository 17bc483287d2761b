//! Who looks on while dispatches run.

use isobit_job::Fault;

use super::encoder::{Dispatch, Step};
use super::queue::Queue;

/// Is told of dispatches before and after they run. What it finds ends the job.
pub(crate) trait Observer: Send + std::fmt::Debug {
    /// The numbers of the steps that it wants to be told of. Called once for each list of steps, before the first of them runs.
    fn choose(&mut self, steps: &[Step]) -> Vec<usize>;

    /// A dispatch that some observer has chosen is about to run: step `number` of those that were last shown. Whether it
    /// wants to be told after it, too.
    fn before(&mut self, number: usize, dispatch: &Dispatch, queue: &mut Queue) -> Result<bool, Fault>;

    /// All of the dispatch has been submitted.
    fn after(&mut self, dispatch: &Dispatch, queue: &mut Queue) -> Result<(), Fault>;
}
