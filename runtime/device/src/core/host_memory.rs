//! Counts what a guest makes the host remember, whatever it is: handles, recorded commands, kernels.
//!
//! What an object is charged with depends on the object alone, so running out is the same on every device. The charges are estimates from above of
//! what the objects take in the worker: a job ends by its own error before the worker meets the system's limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use isobit_shader::{Kernel, Lowered, Resolved};

use super::rules::at_most;
use crate::DeviceError;

/// The most that one job's objects may take: 512 MiB.
pub const MAX_HOST_MEMORY: u64 = 512 << 20;

/// A buffer with its handle in the driver.
pub(super) const BUFFER: u64 = 4 << 10;

/// A recorded command.
pub(super) const COMMAND: u64 = 512;

/// A bind group, and each of its entries.
pub(super) const GROUP: u64 = 1 << 10;
pub(super) const GROUP_ENTRY: u64 = 256;

/// A checked text, besides its expressions.
const KERNEL: u64 = 64 << 10;

/// A pipeline with what its driver makes of it, besides its expressions. Lavapipe takes half of that for a small one.
const PIPELINE: u64 = 1 << 20;

/// An expression of a kernel, as a tree and as code.
const EXPRESSION: u64 = 512;

/// The host memory of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostMemory(Arc<AtomicU64>);

/// Bytes of host memory, given back on drop.
#[derive(Debug)]
pub struct HostCharge {
    memory: HostMemory,
    bytes: u64,
}

impl HostMemory {
    /// A charge of nothing, to be added to.
    pub(super) fn nothing(&self) -> HostCharge {
        HostCharge { memory: self.clone(), bytes: 0 }
    }

    pub(super) fn charge(&self, bytes: u64) -> Result<HostCharge, DeviceError> {
        let mut charge = self.nothing();
        charge.add(bytes)?;
        Ok(charge)
    }
}

impl HostCharge {
    pub(super) fn add(&mut self, bytes: u64) -> Result<(), DeviceError> {
        let fits = |all: u64| all.checked_add(bytes).filter(|all| *all <= MAX_HOST_MEMORY);
        if let Err(all) = self.memory.0.fetch_update(Relaxed, Relaxed, fits) {
            at_most("host-memory", MAX_HOST_MEMORY, all.saturating_add(bytes))?;
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for HostCharge {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Relaxed);
    }
}

/// What a pipeline takes.
pub(super) fn of_pipeline(kernel: &Resolved, lowered: Option<&Lowered>) -> u64 {
    let expressions = lowered.map_or_else(|| kernel.weight(), Lowered::weight);
    PIPELINE.saturating_add(expressions.saturating_mul(EXPRESSION))
}

/// What a checked text takes, with the copies that are made for its entry points.
pub(super) fn of_kernel(kernel: &Kernel) -> u64 {
    KERNEL.saturating_add(kernel.weight().saturating_mul(EXPRESSION / 4))
}
