//! Workers as the provider has them: what they are is in the crate `isobit-worker`.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]
mod breach_tests;
mod spares;

pub(crate) use isobit_worker::{
    ChannelError, CodeFile, FromWorker, Groups, SpawnError, ToWorker, Wall, Worker, WorkerCommand, forward, output_of,
    sealed,
};
pub use isobit_worker::{DeviceSummary, Gap};
pub use isobit_worker::{MAX_FILE, MAX_STDERR, OWN_MEMORY, START};
pub(crate) use spares::{Seat, Workers};
