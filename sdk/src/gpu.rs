//! The entry to the device: what makes buffers, kernels and batches.

use bytemuck::Pod;

use crate::bindings::isobit::compute::gpu::{self as raw, BufferUsage, DeviceLimits};
use crate::{Batch, Buffer, Kernel, Result, ShaderModule};

/// The device that runs kernels. There is one in every job, so this is only a handle.
///
/// Work runs in the order in which it was submitted: the next kernel and the next read see what a kernel
/// has written.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Gpu;

impl Gpu {
    /// The job's device.
    pub fn new() -> Self {
        Self
    }

    /// The fixed limits of the job's device class, the same on every provider. Costs a host call.
    ///
    /// Of class `base`, the default, a buffer has at most 256 MiB and a storage binding 128 MiB; a job that needs more is run with
    /// `--class large`, where both are 1 GiB, by providers whose devices have that class. A workload that runs in both classes asks here
    /// how much it may bind:
    ///
    /// ```no_run
    /// # use isobit::Gpu;
    /// # let (gpu, weights) = (Gpu::new(), 0_usize);
    /// let most = gpu.limits().max_storage_buffer_binding_size / 4;
    /// let parts = weights.div_ceil(usize::try_from(most)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limits(&self) -> DeviceLimits {
        raw::limits()
    }

    /// A storage buffer for `len` elements, filled with zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) over the job's device memory,
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) over the largest buffer of the job's device class.
    pub fn buffer<T: Pod>(&self, len: usize) -> Result<Buffer<T>> {
        Buffer::create(len, BufferUsage::STORAGE)
    }

    /// A storage buffer that holds `data`.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer).
    pub fn buffer_from<T: Pod>(&self, data: &[T]) -> Result<Buffer<T>> {
        let buffer = self.buffer(data.len())?;
        buffer.write(data)?;
        Ok(buffer)
    }

    /// A uniform buffer that holds one value, for use in many dispatches.
    /// For one dispatch, [`Dispatch::uniform`](crate::Dispatch::uniform) is shorter.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer).
    pub fn uniform<T: Pod>(&self, value: &T) -> Result<Buffer<T>> {
        let buffer = Buffer::create(1, BufferUsage::UNIFORM)?;
        buffer.write(std::slice::from_ref(value))?;
        Ok(buffer)
    }

    /// Compiles a kernel from WGSL with one entry point. Its bindings are taken from the source.
    ///
    /// # Errors
    /// [`Error::Validation`](crate::Error::Validation) shows the place in the source.
    pub fn kernel(&self, wgsl: &str) -> Result<Kernel> {
        self.module(wgsl)?.kernel_builder().create()
    }

    /// Checks WGSL with any number of entry points, to compile kernels from.
    ///
    /// # Errors
    /// [`Error::Validation`](crate::Error::Validation) shows the place in the source.
    pub fn module(&self, wgsl: &str) -> Result<ShaderModule> {
        ShaderModule::create(wgsl)
    }

    /// An empty batch: commands that are submitted together.
    pub fn batch(&self) -> Batch {
        Batch::new()
    }

    /// Waits until the device has done all that was submitted. Reading a buffer does so too.
    ///
    /// # Errors
    /// None at present: a mistake is reported by the call that makes it.
    pub fn wait(&self) -> Result<()> {
        Ok(raw::wait()?)
    }
}
