//! [`Device`] without any driver: the interpreter of lowered kernels on all cores of this machine.
//!
//! Requests are checked by the same rules as on wgpu, and what was submitted runs on a thread of the device's own, in order. Every kernel
//! runs in its dp32 form, also one of profile native: native results are never compared with anybody's.

mod queue;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use isobit_shader::interpreter::Program;
use isobit_shader::{Kernel, Profile};

pub use self::queue::RaceLog;
use self::queue::{Bound, Dispatch, Queue, Step};
use crate::adapter::{DeviceInfo, DeviceKind, machine_memory};
use crate::check::{self, BufferShape, GroupShape, LayoutShape, PipelineShape, Shapes};
use crate::ids::Slots;
use crate::ledger::{Charge, Ledger};
use crate::{
    BindGroupId, BindGroupLayoutId, BufferId, BufferUsage, Command, ComputePipelineId, Device, DeviceError,
    DeviceFault, GroupEntry, KernelUse, LayoutEntry, MemoryUse, OpenError, Readback, ResourceId, ShaderModuleId,
    Source, Stop,
};

/// Piece in which a source is read.
const PIECE_BYTES: usize = 256 << 10;

/// The device that every machine has.
#[derive(Debug)]
pub struct CpuDevice {
    info: DeviceInfo,
    queue: Queue,
    ledger: Ledger,
    next_serial: u64,
    buffers: Slots<BufferId, Arc<Allocation>>,
    modules: Slots<ShaderModuleId, Kernel>,
    layouts: Slots<BindGroupLayoutId, Arc<LayoutShape>>,
    groups: Slots<BindGroupId, Group>,
    pipelines: Slots<ComputePipelineId, Pipeline>,
}

/// A buffer, held by its handle and by bind groups. What is under way holds its memory only, which is not
/// counted any more.
#[derive(Debug)]
struct Allocation {
    shape: BufferShape,
    words: Arc<Words>,
    _charge: Charge,
}

type Words = Vec<AtomicU32>;

#[derive(Debug)]
struct Group {
    shape: GroupShape,
    /// One for each of `shape.bound`.
    buffers: Vec<Arc<Allocation>>,
}

#[derive(Debug)]
struct Pipeline {
    shape: PipelineShape,
    kernel: Arc<queue::Kernel>,
}

impl CpuDevice {
    /// Starts the device's thread.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn open() -> Result<Self, OpenError> {
        let info = Self::describe();
        let queue = Queue::start();
        let queue = queue.map_err(|error| OpenError::Refused { name: info.name.clone(), reason: error.to_string() })?;
        Ok(Self {
            info,
            queue,
            ledger: Ledger::default(),
            next_serial: 0,
            buffers: Slots::default(),
            modules: Slots::default(),
            layouts: Slots::default(),
            groups: Slots::default(),
            pipelines: Slots::default(),
        })
    }

    /// Looks for races from now on: what is found is in the log. Workgroups then run one after the other, many times
    /// slower, with the same results.
    pub fn detect_races(&mut self) -> RaceLog {
        self.queue.detect_races()
    }

    pub(crate) fn describe() -> DeviceInfo {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        DeviceInfo {
            name: "isobit CPU device".to_owned(),
            backend: "none".to_owned(),
            driver: "interpreter".to_owned(),
            driver_info: format!("{threads} threads"),
            vendor_id: 0,
            device_id: 0,
            kind: DeviceKind::Interpreter,
            memory: machine_memory(),
        }
    }

    fn allocation(&self, id: BufferId) -> Result<&Arc<Allocation>, DeviceError> {
        self.buffers.get(id).ok_or_else(|| check::stale(id))
    }

    /// Checked commands as work that holds what it needs. What no longer exists is left out, but the check has seen
    /// to that.
    fn steps(&self, commands: &[Command]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut pipeline = None;
        let mut bound: [Vec<Bound>; 3] = Default::default();
        for command in commands {
            match command {
                Command::BeginPass => {
                    pipeline = None;
                    bound = Default::default();
                }
                Command::EndPass => {}
                Command::SetPipeline(id) => pipeline = self.pipelines.get(*id),
                Command::SetBindGroup { index, group, dynamic_offsets } => {
                    let slot = usize::try_from(*index).ok().and_then(|index| bound.get_mut(index));
                    if let (Some(slot), Some(group)) = (slot, self.groups.get(*group)) {
                        *slot = bind(*index, group, dynamic_offsets);
                    }
                }
                Command::Dispatch { x, y, z } => {
                    if let Some(pipeline) = pipeline {
                        let kernel = Arc::clone(&pipeline.kernel);
                        let bound = bound.iter().flatten().cloned().collect();
                        steps.push(Step::Dispatch(Dispatch { kernel, bound, workgroups: [*x, *y, *z] }));
                    }
                }
                Command::CopyBuffer { source, source_offset, destination, destination_offset, size } => {
                    if let (Some(from), Some(to)) = (self.buffers.get(*source), self.buffers.get(*destination)) {
                        steps.push(Step::Copy {
                            from: (Arc::clone(&from.words), word(*source_offset)),
                            to: (Arc::clone(&to.words), word(*destination_offset)),
                            words: word(*size),
                        });
                    }
                }
                Command::ClearBuffer { buffer, offset, size } => {
                    if let Some(buffer) = self.buffers.get(*buffer) {
                        steps.push(Step::Clear { at: (Arc::clone(&buffer.words), word(*offset)), words: word(*size) });
                    }
                }
            }
        }
        steps
    }
}

/// What a group binds, at these dynamic offsets.
fn bind(group: u32, of: &Group, dynamic_offsets: &[u32]) -> Vec<Bound> {
    let mut dynamic_offsets = dynamic_offsets.iter();
    let bound = of.shape.bound.iter().zip(&of.buffers);
    bound
        .map(|(bound, buffer)| {
            let dynamic = if bound.entry.has_dynamic_offset { dynamic_offsets.next() } else { None };
            Bound {
                group,
                binding: bound.entry.binding,
                buffer: Arc::clone(&buffer.words),
                offset: word(bound.offset + u64::from(dynamic.copied().unwrap_or(0))),
                words: word(bound.size),
            }
        })
        .collect()
}

/// Bytes of a checked range as words.
fn word(bytes: u64) -> usize {
    usize::try_from(bytes / 4).unwrap_or(usize::MAX)
}

impl Shapes for CpuDevice {
    fn buffer(&self, id: BufferId) -> Result<BufferShape, DeviceError> {
        Ok(self.allocation(id)?.shape)
    }

    fn bind_group(&self, id: BindGroupId) -> Result<&GroupShape, DeviceError> {
        Ok(&self.groups.get(id).ok_or_else(|| check::stale(id))?.shape)
    }

    fn pipeline(&self, id: ComputePipelineId) -> Result<&PipelineShape, DeviceError> {
        Ok(&self.pipelines.get(id).ok_or_else(|| check::stale(id))?.shape)
    }
}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn set_patience(&mut self, patience: Duration) {
        self.queue.set_patience(patience);
    }

    fn set_stop(&mut self, stop: Stop) {
        self.queue.set_stop(stop);
    }

    fn set_memory_limit(&mut self, limit: u64) {
        self.ledger.set_limit(limit);
    }

    fn set_kernel_limit(&mut self, limit: u64) {
        self.queue.set_kernel_limit(limit);
    }

    fn memory(&self) -> MemoryUse {
        self.ledger.usage()
    }

    fn create_buffer(&mut self, size: u64, usage: BufferUsage) -> Result<BufferId, DeviceError> {
        check::buffer_size(size)?;
        let charge = self.ledger.charge(size)?;
        if self.ledger.should_settle() {
            self.wait()?;
        }
        let length = word(size);
        let mut words = Vec::new();
        words.try_reserve_exact(length).map_err(|_| DeviceFault::HostOutOfMemory)?;
        words.resize_with(length, AtomicU32::default);
        let shape = BufferShape { serial: self.next_serial, size, usage };
        self.next_serial += 1;
        check::exhausted(self.buffers.insert(Arc::new(Allocation { shape, words: Arc::new(words), _charge: charge })))
    }

    fn create_shader_module(&mut self, kernel: &Kernel) -> Result<ShaderModuleId, DeviceError> {
        check::exhausted(self.modules.insert(kernel.clone()))
    }

    fn create_bind_group_layout(&mut self, entries: &[LayoutEntry]) -> Result<BindGroupLayoutId, DeviceError> {
        check::exhausted(self.layouts.insert(Arc::new(check::layout(entries)?)))
    }

    fn create_bind_group(
        &mut self,
        layout: BindGroupLayoutId,
        entries: &[GroupEntry],
    ) -> Result<BindGroupId, DeviceError> {
        let layout = self.layouts.get(layout).ok_or_else(|| check::stale(layout))?;
        let shapes: Vec<_> = entries
            .iter()
            .map(|entry| Ok((*entry, self.allocation(entry.buffer)?.shape)))
            .collect::<Result<_, DeviceError>>()?;
        let shape = check::bind_group(layout, &shapes)?;
        let buffers = shape
            .bound
            .iter()
            .filter_map(|bound| {
                let entry = entries.iter().find(|entry| entry.binding == bound.entry.binding);
                self.buffers.get(entry?.buffer).cloned()
            })
            .collect();
        check::exhausted(self.groups.insert(Group { shape, buffers }))
    }

    fn create_compute_pipeline(
        &mut self,
        module: ShaderModuleId,
        entry_point: Option<&str>,
        layout: Option<&[BindGroupLayoutId]>,
        constants: &[(String, f64)],
    ) -> Result<ComputePipelineId, DeviceError> {
        let kernel = self.modules.get(module).ok_or_else(|| check::stale(module))?;
        let entry = kernel.entry_point(entry_point).map_err(DeviceError::Validation)?;
        // What is only of this device is not to be seen by a guest.
        let fault = |error: isobit_shader::Diagnostic| DeviceFault::Driver { message: error.to_string() };
        let (lowered, entry) = match kernel.profile() {
            Profile::Dp32 => {
                let lowered = kernel.lower(entry, constants).map_err(DeviceError::Validation)?;
                let entry = lowered.entry_point().clone();
                (lowered, entry)
            }
            _ => {
                let resolved = kernel.specialize(entry, constants).map_err(DeviceError::Validation)?;
                (kernel.lower(entry, constants).map_err(fault)?, resolved)
            }
        };
        let given = layout.map(|ids| {
            let layouts = ids.iter().map(|&id| self.layouts.get(id).cloned().ok_or_else(|| check::stale(id)));
            layouts.collect::<Result<Vec<_>, _>>()
        });
        let shape = check::pipeline(entry, given.transpose()?)?;
        let program = Program::compile(lowered.module(), lowered.info()).map_err(fault)?;
        let invocations = shape.workgroup_size.iter().map(|side| u64::from(*side)).product::<u64>();
        let metered = kernel.profile() == Profile::Dp32;
        let cost = if metered { invocations * u64::from(lowered.invocation_cost()) } else { invocations };
        let source = Arc::clone(kernel.source());
        let reports = lowered.reports();
        let kernel = Arc::new(queue::Kernel { program, source, invocations, cost, metered, reports });
        check::exhausted(self.pipelines.insert(Pipeline { shape, kernel }))
    }

    fn bind_group_layout_of(
        &mut self,
        pipeline: ComputePipelineId,
        index: u32,
    ) -> Result<BindGroupLayoutId, DeviceError> {
        let maximum = crate::LIMITS.max_bind_groups;
        check::at_most("max-bind-groups", maximum, u64::from(index) + 1)?;
        let shape = Shapes::pipeline(self, pipeline)?;
        let known = usize::try_from(index).ok().and_then(|index| shape.layouts.get(index));
        let layout = known.cloned().unwrap_or_default();
        check::exhausted(self.layouts.insert(layout))
    }

    fn workgroup_size(&self, pipeline: ComputePipelineId) -> Option<[u32; 3]> {
        Some(self.pipelines.get(pipeline)?.shape.workgroup_size)
    }

    fn workgroup_cost(&self, pipeline: ComputePipelineId) -> Option<u64> {
        Some(self.pipelines.get(pipeline)?.kernel.cost)
    }

    fn release(&mut self, id: ResourceId) {
        match id {
            ResourceId::Buffer(id) => drop(self.buffers.remove(id)),
            ResourceId::ShaderModule(id) => drop(self.modules.remove(id)),
            ResourceId::BindGroupLayout(id) => drop(self.layouts.remove(id)),
            ResourceId::BindGroup(id) => drop(self.groups.remove(id)),
            ResourceId::ComputePipeline(id) => drop(self.pipelines.remove(id)),
        }
    }

    fn write(&mut self, buffer: BufferId, offset: u64, mut source: Source<'_>) -> Result<(), DeviceError> {
        let target = Arc::clone(self.allocation(buffer)?);
        let length = source.length();
        check::words("the write", target.shape.size, offset, length)?;
        self.queue.drain()?;
        let first = word(offset);
        let words = target.words.get(first..first + word(length)).unwrap_or_default();
        let mut piece = vec![0; PIECE_BYTES.min(words.len() * 4)];
        for words in words.chunks((PIECE_BYTES / 4).max(1)) {
            let bytes = piece.get_mut(..words.len() * 4).unwrap_or_default();
            source.fill(wgpu::WriteOnly::from_mut(bytes)).map_err(DeviceFault::from)?;
            for (word, bytes) in words.iter().zip(bytes.as_chunks::<4>().0) {
                word.store(u32::from_le_bytes(*bytes), std::sync::atomic::Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: BufferId, offset: u64, length: u64) -> Result<Readback, DeviceError> {
        let source = Arc::clone(self.allocation(buffer)?);
        check::range("the read", source.shape.size, offset, length)?;
        self.queue.drain()?;
        let length = usize::try_from(length).map_err(|_| DeviceFault::HostOutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length.next_multiple_of(4)).map_err(|_| DeviceFault::HostOutOfMemory)?;
        bytes.resize(length.next_multiple_of(4), 0);
        let words = source.words.get(word(offset)..).unwrap_or_default();
        for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.load(std::sync::atomic::Ordering::Relaxed).to_le_bytes();
        }
        bytes.truncate(length);
        Ok(Readback::copied(bytes))
    }

    fn check(&self, commands: &[Command]) -> Result<(), DeviceError> {
        check::check_commands(self, commands)
    }

    fn submit(&mut self, commands: &[Command]) -> Result<(), DeviceError> {
        self.check(commands)?;
        let steps = self.steps(commands);
        self.queue.submit(steps)
    }

    fn wait(&mut self) -> Result<(), DeviceError> {
        self.queue.drain()?;
        self.ledger.settle();
        Ok(())
    }

    fn settle(&mut self) -> Result<KernelUse, DeviceError> {
        self.queue.settle()
    }
}
