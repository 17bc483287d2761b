//! The part that is the same on every device: WebGPU's rules, handles, the ledger of memory, kernel fuel, and how long
//! dispatches may hold the device. A [`Gpu`] belongs to one job.

pub(crate) mod backend;
mod batch;
mod bindings;
mod compile_time;
mod encoder;
mod host_memory;
mod ledger;
mod observer;
mod queue;
mod resources;
mod rules;
mod timeline;
mod workgroup_time;

use std::sync::Arc;
use std::time::{Duration, Instant};

use isobit_job::FaultKind;
use isobit_shader::{Kernel, Lowered, Profile, Resolved};

use self::backend::{Backend, Compile, Waits};
use self::host_memory::HostMemory;
use self::ledger::Ledger;
use self::workgroup_time::WorkgroupTime;
use crate::limits::COMMON;
use crate::{DeviceClass, DeviceError, DeviceInfo, DeviceLimits, Readback, Source};

pub(crate) use self::batch::{Action, MOST_SLICES, Slice};
pub use self::bindings::check_entry_point;
pub use self::encoder::{CommandBuffer, CommandEncoder, MAX_COMMANDS};
pub(crate) use self::encoder::{Dispatch, SetGroup, Step};
pub use self::host_memory::{HostCharge, MAX_HOST_MEMORY};
pub use self::ledger::MemoryUse;
pub(crate) use self::observer::Observer;
pub use self::queue::KernelUse;
pub(crate) use self::queue::{Queue, is_replayable};
pub use self::resources::{BindGroup, BindGroupLayout, Buffer, BufferUsage, ComputePipeline, GroupEntry, LayoutEntry};
pub(crate) use self::resources::{PipelineState, Range};
pub(crate) use self::timeline::TimelineObserver;
pub use self::timeline::{Activity, KernelTotals, Recording, Span, SpanKind, Timeline, Totals};
pub(crate) use self::workgroup_time::SLICE;

/// Bytes of the name of an entry point that are kept for people.
const MAX_NAME: usize = 100;

/// The limits of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Bytes of all its buffers together.
    pub memory: u64,
    /// Kernel fuel.
    pub kernel_fuel: u64,
    /// Its class of device, which the device has.
    pub class: DeviceClass,
}

/// One job's device: makes resources, moves bytes, and runs recorded commands in order.
///
/// Calls are synchronous and may come from any thread, one at a time.
///
/// # Errors
/// Every mistake of the guest's is a typed [`DeviceError`] that is the same on every device. The provider's own trouble is
/// [`DeviceError::Fault`].
#[derive(Debug)]
pub struct Gpu {
    pub(crate) queue: Queue,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    limits: DeviceLimits,
    ledger: Ledger,
    host_memory: HostMemory,
    pipelines: u64,
    timeline: Option<Timeline>,
}

impl Gpu {
    /// A job's device on a backend. A submission should hold the device for `slice`.
    pub(crate) fn new(
        backend: Box<dyn Backend>,
        limits: JobLimits,
        waits: Waits,
        slice: Duration,
        observers: Vec<Box<dyn Observer>>,
    ) -> Self {
        Self {
            queue: Queue::new(backend, waits, slice, limits.kernel_fuel),
            observers,
            limits: DeviceLimits::of(limits.class),
            ledger: Ledger::new(limits.memory),
            host_memory: HostMemory::default(),
            pipelines: 0,
            timeline: None,
        }
    }

    /// The same device, which records what it does besides running kernels.
    pub(crate) fn with_timeline(self, timeline: Option<Timeline>) -> Self {
        Self { timeline, ..self }
    }

    /// Does something of so many bytes, and records it if there is a timeline.
    fn timed<T>(&mut self, activity: Activity, bytes: u64, work: impl FnOnce(&mut Self) -> T) -> T {
        let Some(timeline) = self.timeline.clone() else { return work(self) };
        let (begun, before) = (Instant::now(), timeline.time_of_kernels());
        let result = work(self);
        timeline.add(activity, bytes, begun, before);
        result
    }

    /// The device's name, kind and driver. Never shown to a guest.
    pub fn info(&self) -> &DeviceInfo {
        self.queue.info()
    }

    /// The limits of the job's class.
    pub fn limits(&self) -> &DeviceLimits {
        &self.limits
    }

    /// The job's device memory: the bytes of its buffers. Staging memory is not counted, since it differs between devices.
    pub fn memory(&self) -> MemoryUse {
        self.ledger.usage()
    }

    /// How many submissions there were of kernels whose dispatches can be sliced. For tests and measurements.
    pub fn submissions(&self) -> u64 {
        self.queue.submissions()
    }

    /// Creates a buffer of `size` bytes, a multiple of 4 and at least 4, filled with zeros.
    pub fn create_buffer(&mut self, size: u64, usage: BufferUsage) -> Result<Buffer, DeviceError> {
        self.timed(Activity::Allocate, size, |gpu| gpu.allocate(size, usage))
    }

    fn allocate(&mut self, size: u64, usage: BufferUsage) -> Result<Buffer, DeviceError> {
        rules::buffer_size(size, &self.limits)?;
        let host = self.host_memory.charge(host_memory::BUFFER)?;
        let charge = self.ledger.charge(size)?;
        if self.ledger.should_wait() {
            self.wait()?;
        }
        let memory = match self.queue.backend.allocate(size, usage) {
            // The driver may not have freed memory that work under way still uses.
            Err(fault) if fault.kind == FaultKind::OutOfMemory => {
                self.wait()?;
                self.queue.backend.allocate(size, usage)?
            }
            allocated => allocated?,
        };
        Ok(Buffer::new(size, usage, memory, Some((charge, host))))
    }

    /// Creates a bind group layout. Each binding appears once.
    pub fn create_bind_group_layout(&self, entries: &[LayoutEntry]) -> Result<BindGroupLayout, DeviceError> {
        bindings::layout(entries)
    }

    /// Binds buffers together; the entries match the layout one to one.
    pub fn create_bind_group(
        &mut self,
        layout: &BindGroupLayout,
        entries: &[GroupEntry],
    ) -> Result<BindGroup, DeviceError> {
        let ranges = bindings::bind_group(layout, entries, &self.limits)?;
        let entries = (entries.len() as u64).saturating_mul(host_memory::GROUP_ENTRY);
        let charge = self.host_memory.charge(host_memory::GROUP.saturating_add(entries))?;
        Ok(self.queue.group(layout, ranges, Some(charge))?)
    }

    /// Counts a kernel that a guest holds. The charge is to be held as long as the kernel.
    ///
    /// # Errors
    /// The job's objects would take more than [`MAX_HOST_MEMORY`].
    pub fn charge_kernel(&self, kernel: &Kernel) -> Result<HostCharge, DeviceError> {
        self.host_memory.charge(host_memory::of_kernel(kernel))
    }

    /// Compiles an entry point; without a name, the only one. Without `layouts`, they are derived from the shader:
    /// [`Gpu::bind_group_layout_of`] returns them.
    pub fn create_compute_pipeline(
        &mut self,
        kernel: &Kernel,
        entry_point: Option<&str>,
        layouts: Option<&[BindGroupLayout]>,
        constants: &[(String, f64)],
    ) -> Result<ComputePipeline, DeviceError> {
        self.timed(Activity::Compile, 0, |gpu| {
            let resolved = kernel.resolve(entry_point, constants)?;
            let lowered = match kernel.profile() {
                Profile::Native => None,
                _ => Some(resolved.lower()?),
            };
            gpu.pipeline(kernel, &resolved, lowered, layouts)
        })
    }

    /// Compiles the only entry point of a kernel under profile dp32 so that its loops pay no fuel. It is there to measure what paying costs: nothing
    /// that runs jobs calls it, since nothing but the driver would end such a loop.
    pub fn create_unmetered_pipeline(&mut self, kernel: &Kernel) -> Result<ComputePipeline, DeviceError> {
        let resolved = kernel.resolve(None, &[])?;
        let lowered = resolved.lower_unmetered()?;
        self.pipeline(kernel, &resolved, Some(lowered), None)
    }

    fn pipeline(
        &mut self,
        kernel: &Kernel,
        resolved: &Resolved,
        lowered: Option<Lowered>,
        layouts: Option<&[BindGroupLayout]>,
    ) -> Result<ComputePipeline, DeviceError> {
        let lowered = lowered.map(Arc::new);
        let entry_point = resolved.entry_point();
        let layouts = bindings::pipeline(entry_point, layouts)?;
        let charge = self.host_memory.charge(host_memory::of_pipeline(resolved, lowered.as_deref()))?;
        let compile = Compile { kernel: resolved, lowered: lowered.as_ref(), layouts: &layouts };
        let compiled = self.queue.backend.compile(&compile, &self.queue.waits)?;
        let each = lowered.as_ref().map_or(1, |lowered| u64::from(lowered.invocation_cost()));
        let cost = entry_point.invocations() * each;
        self.pipelines += 1;
        Ok(ComputePipeline::new(PipelineState {
            serial: self.pipelines,
            layouts,
            bindings: entry_point.bindings.clone(),
            workgroup_size: entry_point.workgroup_size,
            workgroup_cost: cost,
            compile_time: compile_time::estimate(resolved, lowered.as_deref()),
            compiled,
            workgroup_time: Arc::new(WorkgroupTime::new(cost)),
            lowered,
            interpreted: Arc::default(),
            source: Arc::clone(kernel.source()),
            name: beginning(&entry_point.name).into(),
            _charge: Some(Arc::new(charge)),
        }))
    }

    /// The layout of `@group(index)`; empty if the pipeline has none.
    pub fn bind_group_layout_of(&self, pipeline: &ComputePipeline, index: u32) -> Result<BindGroupLayout, DeviceError> {
        rules::at_most("max-bind-groups", COMMON.max_bind_groups, u64::from(index) + 1)?;
        let known = usize::try_from(index).ok().and_then(|index| pipeline.state().layouts.get(index));
        Ok(known.cloned().unwrap_or_default())
    }

    /// Creates an encoder that records commands for this device.
    pub fn create_command_encoder(&self) -> CommandEncoder {
        CommandEncoder::new(&self.host_memory)
    }

    /// Writes all of `source` at `offset`, ordered with submitted work. `offset` and the source's length are multiples of 4.
    /// Returns once the source has been read.
    pub fn write(&mut self, buffer: &Buffer, offset: u64, mut source: Source<'_>) -> Result<(), DeviceError> {
        let length = source.length();
        rules::words("the write", buffer.size(), offset, length)?;
        if length > 0 {
            self.timed(Activity::Write, length, |gpu| {
                gpu.queue.backend.write(buffer.memory(), offset, &mut source, &gpu.queue.waits)
            })?;
        }
        Ok(())
    }

    /// Reads `length` bytes from `offset`, after all submitted work. `offset` is a multiple of 4, `length` any number.
    ///
    /// The bytes may be the buffer's own memory. While the readback exists, any other use of the buffer than reading waits for
    /// another thread to drop it, and in the end fails with [`FaultKind::DeviceTimeout`].
    pub fn read(&mut self, buffer: &Buffer, offset: u64, length: u64) -> Result<Readback, DeviceError> {
        rules::range("the read", buffer.size(), offset, length)?;
        if length == 0 {
            return Ok(Readback::default());
        }
        self.timed(Activity::Read, length, |gpu| {
            gpu.queue.drain()?;
            Ok(gpu.queue.backend.read(buffer.memory(), offset, length, &gpu.queue.waits)?)
        })
    }

    /// Runs commands after all work submitted before, and may return while they run.
    pub fn submit(&mut self, commands: &CommandBuffer) -> Result<(), DeviceError> {
        self.timed(Activity::Queue, 0, |gpu| {
            Ok(gpu.queue.run(&commands.steps, commands.kernel_fuel(), &mut gpu.observers)?)
        })
    }

    /// Waits until the device has done all submitted work.
    pub fn wait(&mut self) -> Result<(), DeviceError> {
        self.timed(Activity::Queue, 0, |gpu| gpu.queue.drain())?;
        self.ledger.freed();
        Ok(())
    }

    /// The cost of all submitted kernels. Waits for kernels whose cost is only known after they have run. Does nothing if none
    /// was dispatched since the last call.
    pub fn settle(&mut self) -> Result<KernelUse, DeviceError> {
        self.timed(Activity::Queue, 0, |gpu| Ok(gpu.queue.collect()?))
    }
}

/// The beginning of a name, for people.
fn beginning(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or_default()
}
