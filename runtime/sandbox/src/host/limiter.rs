//! The job's limit on guest memory, all linear memories of the component together.

use wasmtime::ResourceLimiter;

/// Elements of all tables together: 100 Ki functions is more than a large program has.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Counts what grows. A refused growth is an ordinary -1 for the guest.
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

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        let granted = elements <= MAX_TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum);
        if granted {
            self.table_elements = elements;
        }
        Ok(granted)
    }

    fn instances(&self) -> usize {
        32
    }

    fn tables(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        8
    }
}
