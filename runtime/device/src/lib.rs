//! What runs kernels: the trait [`Device`] and its implementations, on wgpu and on the CPU alone.
//!
//! A device belongs to one job. Its caller passes on what a guest asks for; every mistake of the guest's comes
//! back as a typed [`DeviceError`] that is the same on every device, and the provider's own trouble as
//! [`DeviceError::Fault`]. Nothing that a guest can ask for panics.

mod adapter;
mod check;
mod command;
mod error;
mod ids;
mod ledger;
mod limits;
mod on_cpu;
mod on_wgpu;
pub mod probe;
mod readback;
#[cfg(test)]
#[path = "../../../tests/support/seen.rs"]
mod seen;
mod source;
mod spot_checks;
mod stop;

use std::time::Duration;

pub use adapter::{
    AdapterReport, DeviceInfo, DeviceKind, DeviceSelector, list_adapters, list_devices, open, open_adapter,
    open_probed, reopen_if_demoted, select,
};
pub use check::check_entry_point;
pub use command::{BufferUsage, Command, GroupEntry, LayoutEntry};
pub use error::{DeviceError, DeviceFault, OpenError};
pub use ids::{BindGroupId, BindGroupLayoutId, BufferId, ComputePipelineId, ResourceId, ShaderModuleId};
pub use isobit_shader::interpreter::{Race, RaceAccess, RaceMemory, RaceReport};
pub use isobit_shader::{BufferBindingType, Diagnostic, Kernel, SourceLocation, Tier};
pub use ledger::MemoryUse;
pub use limits::{DeviceLimits, LIMITS};
pub use on_cpu::{CpuDevice, RaceLog};
pub use on_wgpu::WgpuDevice;
pub use readback::Readback;
pub use source::Source;
pub use spot_checks::{ParseSpotChecksError, SpotChecks};
pub use stop::Stop;

/// One job's device: resources by id, transfers, and a queue of commands that run in order.
///
/// Calls are synchronous and may come from any thread, one at a time. Ids are never reused:
/// after [`Device::release`] an id is stale and every use of it a [`DeviceError::Validation`].
pub trait Device: Send {
    /// Who it is. Never shown to a guest.
    fn info(&self) -> &DeviceInfo;

    /// Sets how long the device, or a readback to be dropped, is waited for before the
    /// job is given up with [`DeviceFault::TimedOut`].
    fn set_patience(&mut self, patience: Duration);

    /// Sets what is asked whether the device is to be waited for any longer.
    fn set_stop(&mut self, stop: Stop);

    /// Sets the job's limit on device memory in bytes. Called once before the guest starts; until then the
    /// limit is 0 and nothing may be allocated.
    fn set_memory_limit(&mut self, limit: u64);

    /// Sets the job's limit on kernel fuel. Called once before the guest starts; until then there is none. The device
    /// may leave out what is dispatched once more has been spent: the job is trapped at the next
    /// [`Device::settle`], and nobody sees the difference.
    fn set_kernel_limit(&mut self, limit: u64);

    /// Sets which workgroups of kernels under profile dp32 are run again on the CPU: some of the first dispatch of each shape, and this
    /// share of all. Where that disagrees, the job faults with [`DeviceFault::Miscomputed`], or with
    /// [`DeviceFault::Irreproducible`] if the kernel races or the workgroup alone agrees. [`SpotChecks::OFF`] until then. A device that others are checked against does
    /// nothing here.
    fn set_spot_checks(&mut self, share: SpotChecks) {
        let _ = share;
    }

    /// The job's device memory: the bytes of its buffers. A released buffer counts for as long as
    /// a bind group holds it. Staging memory is the provider's and is not counted, since it differs between devices.
    fn memory(&self) -> MemoryUse;

    /// Creates a buffer of `size` bytes, a multiple of 4 and at least 4, filled with zeros.
    fn create_buffer(&mut self, size: u64, usage: BufferUsage) -> Result<BufferId, DeviceError>;

    /// Makes a prepared kernel known to the device.
    fn create_shader_module(&mut self, kernel: &Kernel) -> Result<ShaderModuleId, DeviceError>;

    /// Creates a bind group layout. Each binding appears once.
    fn create_bind_group_layout(&mut self, entries: &[LayoutEntry]) -> Result<BindGroupLayoutId, DeviceError>;

    /// Binds buffers together; the entries match the layout one to one.
    fn create_bind_group(
        &mut self,
        layout: BindGroupLayoutId,
        entries: &[GroupEntry],
    ) -> Result<BindGroupId, DeviceError>;

    /// Compiles an entry point (none: the only one there is). Without `layout` the layout is taken
    /// from the shader; ask for it with [`Device::bind_group_layout_of`].
    fn create_compute_pipeline(
        &mut self,
        module: ShaderModuleId,
        entry_point: Option<&str>,
        layout: Option<&[BindGroupLayoutId]>,
        constants: &[(String, f64)],
    ) -> Result<ComputePipelineId, DeviceError>;

    /// The layout of `@group(index)`, as an id of its own that is to be released like any other.
    fn bind_group_layout_of(
        &mut self,
        pipeline: ComputePipelineId,
        index: u32,
    ) -> Result<BindGroupLayoutId, DeviceError>;

    /// Invocations per workgroup of a pipeline, overrides resolved. None for a stale id.
    fn workgroup_size(&self, pipeline: ComputePipelineId) -> Option<[u32; 3]>;

    /// Kernel fuel that one workgroup of a pipeline costs before it runs: its invocations, each (under profile dp32) at what
    /// it executes outside of loops. The same on every device. None for a stale id.
    fn workgroup_cost(&self, pipeline: ComputePipelineId) -> Option<u64>;

    /// Forgets a resource. Work that was submitted with it, and a [`Readback`] of it, stay good.
    fn release(&mut self, id: ResourceId);

    /// Writes all of `source` at `offset`, ordered with submitted work. `offset` and the
    /// source's length are multiples of 4. Returns once the source has been read.
    fn write(&mut self, buffer: BufferId, offset: u64, source: Source<'_>) -> Result<(), DeviceError>;

    /// Reads `length` bytes from `offset`, after all submitted work. `offset` is a multiple of 4, `length` any number.
    ///
    /// The bytes may be the buffer's own memory. While the readback lives, a call that uses the buffer otherwise than
    /// for reading waits for it to be dropped by another thread, and fails with [`DeviceFault::TimedOut`] in the end.
    fn read(&mut self, buffer: BufferId, offset: u64, length: u64) -> Result<Readback, DeviceError>;

    /// Says what is wrong with commands, without running them. [`Device::submit`] checks them too.
    fn check(&self, commands: &[Command]) -> Result<(), DeviceError>;

    /// Runs commands after all that was submitted before, and returns while they run. Where one
    /// of them is wrong none is run.
    fn submit(&mut self, commands: &[Command]) -> Result<(), DeviceError>;

    /// Waits until the device has done all that was submitted.
    fn wait(&mut self) -> Result<(), DeviceError>;

    /// What all that was submitted has cost in kernels. Waits as far as that depends on what kernels did; costs
    /// nothing where none was dispatched since the last call.
    fn settle(&mut self) -> Result<KernelUse, DeviceError>;
}

/// What a job's kernels have cost. A function of the job alone as long as the limit is kept, and so is whether it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelUse {
    /// Kernel fuel: for each dispatch its workgroups times [`Device::workgroup_cost`], and what loops have cost.
    pub fuel: u64,
    /// The limit is broken: by the fuel in all, or by an invocation that alone spent
    /// [`INVOCATION_FUEL`](isobit_shader::dp32::INVOCATION_FUEL) or the limit.
    pub spent: bool,
}
