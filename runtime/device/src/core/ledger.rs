//! Counts a job's bytes of device memory against its limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::DeviceError;

/// A job's device memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Held by the job now.
    pub in_use: u64,
    /// The most that it held at once.
    pub peak: u64,
    /// The most that it may hold.
    pub limit: u64,
}

/// Counts the memory that a guest knows that it holds: that of its handles and what they keep alive. This depends on the job
/// alone, and so does running out. Memory that the driver has not freed yet is `lingering`; it only causes waits.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    limit: u64,
    peak: u64,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    in_use: AtomicU64,
    lingering: AtomicU64,
}

/// Bytes taken from the ledger, given back on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    bytes: u64,
    counts: Arc<Counts>,
}

impl Ledger {
    /// The ledger of a job that may hold `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) fn usage(&self) -> MemoryUse {
        MemoryUse { in_use: self.counts.in_use.load(Relaxed), peak: self.peak, limit: self.limit }
    }

    pub(crate) fn charge(&mut self, bytes: u64) -> Result<Charge, DeviceError> {
        let in_use = self.counts.in_use.load(Relaxed);
        let after = in_use.checked_add(bytes).filter(|&sum| sum <= self.limit);
        let Some(after) = after else {
            return Err(DeviceError::OutOfMemory { requested: bytes, in_use, maximum: self.limit });
        };
        self.counts.in_use.store(after, Relaxed);
        self.peak = self.peak.max(after);
        Ok(Charge { bytes, counts: Arc::clone(&self.counts) })
    }

    /// Whether released memory that the driver may still hold could exceed the job's limit, together with the memory in use.
    pub(crate) fn should_wait(&self) -> bool {
        let lingering = self.counts.lingering.load(Relaxed);
        lingering > 0 && self.counts.in_use.load(Relaxed).saturating_add(lingering) > self.limit
    }

    /// The driver has freed what was released.
    pub(crate) fn freed(&self) {
        self.counts.lingering.store(0, Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.counts.in_use.fetch_sub(self.bytes, Relaxed);
        self.counts.lingering.fetch_add(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_until_it_is_dropped() {
        let mut ledger = Ledger::new(100);
        let first = ledger.charge(60).unwrap();
        let refused = ledger.charge(41).unwrap_err();
        assert!(matches!(refused, DeviceError::OutOfMemory { requested: 41, in_use: 60, maximum: 100 }));
        assert!(ledger.charge(u64::MAX).is_err());
        drop(first);
        assert!(!ledger.should_wait());
        let second = ledger.charge(100).unwrap();
        assert!(ledger.should_wait(), "60 bytes may still be with the driver");
        ledger.freed();
        assert!(!ledger.should_wait());
        drop(second);
        assert_eq!(ledger.usage(), MemoryUse { in_use: 0, peak: 100, limit: 100 });
    }
}
