//! Counts the fuel that host calls cost a guest.

use crate::ending::Ending;
use isobit_job::Trap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what host calls have cost beside [`HOST_CALL`](crate::fuel::HOST_CALL).
///
/// wasmtime's own counter cannot be reached from every host call. So each counter is compared with the limit by itself, and their sum at the end of the job: a
/// guest can spend its fuel twice at most, and where it ends is the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct HostFuel {
    /// Shared with the streams that take a guest's log.
    spent: Arc<AtomicU64>,
    limit: u64,
}

impl HostFuel {
    pub(crate) fn new(limit: u64) -> Self {
        Self { spent: Arc::default(), limit }
    }

    /// Adds `count` times `price`, or ends the job.
    pub(crate) fn charge(&self, count: u64, price: u64) -> Result<(), Ending> {
        let spent = self.spent().saturating_add(count.saturating_mul(price));
        self.spent.store(spent, Ordering::Relaxed);
        if spent > self.limit { Err(Ending::Trapped(Trap::Fuel)) } else { Ok(()) }
    }

    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }
}
