//! The job's limit on guest memory, all linear memories of the component together.

use isobit_job::{Fault, FaultKind};
use wasmtime::ResourceLimiter;

use crate::bounds::MAX_CORE_INSTANCES;
use crate::ending::Ending;

/// The most elements of all tables together: 100 000 functions are more than a large program has.
pub const MAX_TABLE_ELEMENTS: usize = 100_000;

/// The most tables of a guest.
pub const MAX_TABLES: u32 = 32;

/// The most linear memories of a guest.
pub const MAX_MEMORIES: u32 = 8;

/// Counts growing memories and tables. The guest sees a refused growth as an ordinary -1.
pub(super) struct MemoryLimiter {
    maximum: u64,
    used: u64,
    table_elements: usize,
    denied: bool,
}

impl MemoryLimiter {
    pub(super) fn new(maximum: u64) -> Self {
        Self { maximum, used: 0, table_elements: 0, denied: false }
    }

    pub(super) fn denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let used = self.used.saturating_add(growth);
        self.denied = used > self.maximum || maximum.is_some_and(|maximum| desired > maximum);
        if !self.denied {
            self.used = used;
        }
        Ok(!self.denied)
    }

    /// Ends the job: the growth was granted, but the host cannot provide it. A guest that saw −1 here could write it
    /// into an output.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(unserved("linear memory", &error))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        let granted = elements <= MAX_TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum);
        if granted {
            self.table_elements = elements;
        }
        Ok(granted)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(unserved("a table", &error))
    }

    fn instances(&self) -> usize {
        usize::try_from(MAX_CORE_INSTANCES).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        usize::try_from(MAX_TABLES).unwrap_or(usize::MAX)
    }

    fn memories(&self) -> usize {
        usize::try_from(MAX_MEMORIES).unwrap_or(usize::MAX)
    }
}

fn unserved(what: &str, error: &wasmtime::Error) -> wasmtime::Error {
    let what = format_args!("{what} of the guest's cannot grow: {error:#}");
    Ending::Fault(Fault::new(FaultKind::OutOfMemory, what)).raise()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn growth_that_was_granted_and_fails_ends_the_job_as_a_fault() {
        let mut limiter = MemoryLimiter::new(1 << 20);
        assert!(!limiter.memory_growing(0, 2 << 20, None).unwrap(), "a refusal is the guest's to see");
        assert!(limiter.memory_growing(0, 1 << 16, None).unwrap());
        for failed in [
            limiter.memory_grow_failed(wasmtime::Error::msg("no")),
            limiter.table_grow_failed(wasmtime::Error::msg("no")),
        ] {
            let error = failed.unwrap_err();
            let Some(Ending::Fault(fault)) = error.downcast_ref::<Ending>() else { panic!("{error}") };
            assert_eq!(fault.kind, FaultKind::OutOfMemory);
        }
    }
}
