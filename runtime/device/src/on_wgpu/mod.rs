//! [`Device`] on wgpu: resources by id, checked requests handed to the driver behind a guard.

mod batch;
mod compile;
mod confirm;
mod guard;
mod mapping;
mod pace;
mod spot;
mod staging;
mod system;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use isobit_shader::dp32::{INVOCATION_FUEL, SYSTEM_GROUP};
use isobit_shader::{BufferBindingType, Kernel, Lowered, Tier};

use self::batch::{Batch, Cursor, Slice, Step};
use self::guard::Guard;
use self::mapping::Readers;
use self::pace::{Pace, SLICE};
use self::spot::Sampler;
use self::staging::Staging;
use self::system::System;
use self::work::Work;
use crate::adapter::DeviceInfo;
use crate::check::{self, BufferShape, GroupShape, LayoutShape, PipelineShape, Shapes};
use crate::ids::Slots;
use crate::ledger::{Charge, Ledger};
use crate::{
    BindGroupId, BindGroupLayoutId, BufferId, BufferUsage, Command, ComputePipelineId, Device, DeviceError,
    DeviceFault, GroupEntry, KernelUse, LayoutEntry, MemoryUse, OpenError, Readback, ResourceId, ShaderModuleId,
    Source, SpotChecks, Stop, limits,
};

/// How long anything is waited for unless [`Device::set_patience`] says otherwise: 10 minutes, a long
/// kernel on a software driver.
const PATIENCE: Duration = Duration::from_secs(600);

/// Writes up to 64 KiB gather in wgpu; longer ones are worth a mapping.
const SMALL_WRITE_BYTES: u64 = 64 << 10;

/// A long dispatch is broken off this long after the limit on kernel fuel is, at the latest.
const SETTLE_EVERY: Duration = Duration::from_millis(500);

/// A device on wgpu. Made by [`crate::open`].
#[derive(Debug)]
pub struct WgpuDevice {
    info: DeviceInfo,
    guard: Guard,
    work: Work,
    staging: Staging,
    /// Whether buffers are mapped themselves, without staging.
    mappable: bool,
    ledger: Ledger,
    /// How kernels under profile dp32 are carried out.
    tier: Tier,
    /// Where it is noted if the device miscomputes.
    verdicts: Option<PathBuf>,
    /// How long a submission of such kernels should hold the device.
    slice: Duration,
    /// There once such a kernel is.
    system: Option<System>,
    kernel_limit: u64,
    kernel_use: KernelUse,
    /// When reports of kernels were last read.
    settled: Instant,
    sampler: Option<Sampler>,
    next_serial: u64,
    /// Gives the driver kernels as the guest wrote them in this tier: a device that miscomputes.
    #[cfg(test)]
    careless: Option<Tier>,
    buffers: Slots<BufferId, Arc<Allocation>>,
    modules: Slots<ShaderModuleId, Module>,
    layouts: Slots<BindGroupLayoutId, Layout>,
    groups: Slots<BindGroupId, Group>,
    pipelines: Slots<ComputePipelineId, Pipeline>,
}

/// A buffer's memory, held by its handle and by bind groups.
#[derive(Debug)]
struct Allocation {
    shape: BufferShape,
    raw: wgpu::Buffer,
    readers: Readers,
    _charge: Charge,
}

#[derive(Debug)]
struct Module {
    /// What the driver is given depends on entry point and overrides.
    kernel: Kernel,
}

#[derive(Clone, Debug)]
struct Layout {
    shape: Arc<LayoutShape>,
    raw: wgpu::BindGroupLayout,
}

#[derive(Debug)]
struct Group {
    shape: GroupShape,
    raw: wgpu::BindGroup,
    buffers: Vec<Arc<Allocation>>,
}

#[derive(Debug)]
struct Pipeline {
    shape: PipelineShape,
    layouts: Vec<Layout>,
    raw: wgpu::ComputePipeline,
    /// Invocations per workgroup.
    invocations: u32,
    /// Kernel fuel per workgroup, loops aside.
    cost: u64,
    /// Of a kernel under profile dp32: its dispatches can be cut and checked.
    dp32: Option<Dp32>,
}

#[derive(Clone, Debug)]
struct Dp32 {
    pace: Arc<Pace>,
    lowered: Arc<Lowered>,
    /// What the guest wrote.
    source: Arc<str>,
}

impl WgpuDevice {
    pub(crate) fn open(adapter: &wgpu::Adapter, info: DeviceInfo) -> Result<Self, OpenError> {
        let direct = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        let mappable = info.kind.shares_memory() && adapter.features().contains(direct);
        let descriptor = wgpu::DeviceDescriptor {
            required_features: if mappable { direct } else { wgpu::Features::empty() },
            required_limits: limits::required(),
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) =
            opened.map_err(|error| OpenError::Refused { name: info.name.clone(), reason: error.to_string() })?;
        tracing::debug!(target: "isobit::device", name = info.name, mappable, "open");
        Ok(Self {
            info,
            guard: Guard::new(device),
            work: Work::new(queue, PATIENCE),
            staging: Staging::default(),
            mappable,
            ledger: Ledger::default(),
            tier: Tier::A,
            verdicts: None,
            slice: SLICE,
            system: None,
            kernel_limit: u64::MAX,
            kernel_use: KernelUse::default(),
            settled: Instant::now(),
            sampler: None,
            next_serial: 0,
            #[cfg(test)]
            careless: None,
            buffers: Slots::default(),
            modules: Slots::default(),
            layouts: Slots::default(),
            groups: Slots::default(),
            pipelines: Slots::default(),
        })
    }

    /// Goes through staging memory even where buffers could be mapped themselves, as on a discrete
    /// GPU. For buffers created from now on; for tests and measurements.
    pub fn set_staging_only(&mut self) {
        self.mappable = false;
    }

    /// Sets how long one submission of kernels under profile dp32 should hold the device; 0 runs each workgroup
    /// in a submission of its own. For tests and measurements.
    pub fn set_slice(&mut self, slice: Duration) {
        self.slice = slice;
    }

    /// How many submissions with kernels under profile dp32 there were. For tests and measurements.
    pub fn submissions(&self) -> u64 {
        self.work.submissions
    }

    /// Takes the tier that the probe grants. A mismatch in a spot check changes the verdict that is kept in `cache`.
    pub(crate) fn set_verdict(&mut self, tier: Tier, cache: Option<&Path>) {
        self.tier = tier;
        self.verdicts = cache.map(Path::to_owned);
    }

    /// Sets how kernels under profile dp32 are carried out. For pipelines created from now on.
    pub fn set_tier(&mut self, tier: Tier) {
        self.tier = tier;
    }

    fn allocate(&self, size: u64, usage: BufferUsage) -> Result<wgpu::Buffer, DeviceError> {
        let usage = raw_usage(usage, self.mappable);
        self.guard.run(|device| {
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        })
    }

    fn allocation(&self, id: BufferId) -> Result<&Arc<Allocation>, DeviceError> {
        self.buffers.get(id).ok_or_else(|| check::stale(id))
    }

    fn layout(&self, id: BindGroupLayoutId) -> Result<&Layout, DeviceError> {
        self.layouts.get(id).ok_or_else(|| check::stale(id))
    }

    fn group(&self, id: BindGroupId) -> Result<&Group, DeviceError> {
        self.groups.get(id).ok_or_else(|| check::stale(id))
    }

    fn pipeline(&self, id: ComputePipelineId) -> Result<&Pipeline, DeviceError> {
        self.pipelines.get(id).ok_or_else(|| check::stale(id))
    }

    fn raw_layout(&self, shape: Arc<LayoutShape>) -> Result<Layout, DeviceError> {
        let entries: Vec<_> = shape.entries.iter().map(raw_layout_entry).collect();
        let raw = self.guard.run(|device| {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
        })?;
        Ok(Layout { shape, raw })
    }

    /// Every buffer that commands touch, once.
    fn touched(&self, commands: &[Command]) -> Vec<Arc<Allocation>> {
        let mut touched: BTreeMap<u64, Arc<Allocation>> = BTreeMap::new();
        let mut touch = |buffer: &Arc<Allocation>| {
            touched.insert(buffer.shape.serial, Arc::clone(buffer));
        };
        for command in commands {
            match command {
                Command::SetBindGroup { group, .. } => {
                    let group = self.groups.get(*group);
                    group.iter().for_each(|group| group.buffers.iter().for_each(&mut touch));
                }
                Command::CopyBuffer { source, destination, .. } => {
                    self.buffers.get(*source).iter().copied().for_each(&mut touch);
                    self.buffers.get(*destination).iter().copied().for_each(&mut touch);
                }
                Command::ClearBuffer { buffer, .. } => {
                    self.buffers.get(*buffer).iter().copied().for_each(&mut touch);
                }
                _ => {}
            }
        }
        touched.into_values().collect()
    }

    /// The most fuel that loops of one invocation may spend.
    fn budget(&self) -> u32 {
        u32::try_from(self.kernel_limit).unwrap_or(INVOCATION_FUEL).min(INVOCATION_FUEL)
    }

    fn pace(&self, pipeline: ComputePipelineId) -> Option<Arc<Pace>> {
        Some(Arc::clone(&self.pipelines.get(pipeline)?.dp32.as_ref()?.pace))
    }

    /// What checked commands cost in kernel fuel, loops aside.
    fn cost(&self, commands: &[Command]) -> u64 {
        let mut workgroup = 0;
        commands.iter().fold(0, |sum: u64, command| {
            if let Command::SetPipeline(pipeline) = command {
                workgroup = self.workgroup_cost(*pipeline).unwrap_or(0);
            }
            let Command::Dispatch { x, y, z } = command else { return sum };
            let sides = [x, y, z].map(|side| u64::from(*side));
            sum.saturating_add(sides.iter().fold(workgroup, |product, side| product.saturating_mul(*side)))
        })
    }

    fn spend(&mut self, fuel: u64) {
        self.kernel_use.fuel = self.kernel_use.fuel.saturating_add(fuel);
        self.kernel_use.spent |= self.kernel_use.fuel > self.kernel_limit;
    }

    /// Adds up what kernels have reported since the last call.
    fn collect(&mut self) -> Result<(), DeviceError> {
        if let Some(system) = &mut self.system {
            let report = system.collect(&self.guard, &mut self.work, &mut self.staging)?;
            self.kernel_use.spent |= report.spent;
            self.spend(report.loop_fuel);
        }
        self.settled = Instant::now();
        Ok(())
    }

    fn submit_batch(&mut self, batch: Batch<'_>) -> Result<(), DeviceError> {
        let budget = self.budget();
        let invocations = |slice: &Slice| self.pipelines.get(slice.pipeline).map_or(0, |pipeline| pipeline.invocations);
        let reports = |slice: &Slice| {
            let dp32 = self.pipelines.get(slice.pipeline).and_then(|pipeline| pipeline.dp32.as_ref());
            dp32.is_some_and(|dp32| dp32.lowered.reports())
        };
        let slices: Vec<_> = batch.slices().map(|slice| (slice, invocations(&slice))).collect();
        let reporting: Vec<_> = slices.iter().filter(|(slice, _)| reports(slice)).copied().collect();
        if let Some(system) = self.system.as_mut().filter(|_| !slices.is_empty()) {
            system.tell(&self.guard, &mut self.work, &slices, budget)?;
        }
        let encoded = self.guard.run(|device| self.encode(device, &batch, budget))?;
        if let Some(system) = &mut self.system {
            reporting.iter().for_each(|(slice, invocations)| system.expect(*invocations, slice.workgroups()));
        }
        self.work.submit_load(&self.guard, Some(encoded), batch.load)?;
        Ok(())
    }

    /// Checked commands as wgpu's. What no longer exists is left out, but the check has seen to that.
    fn encode(&self, device: &wgpu::Device, batch: &Batch<'_>, budget: u32) -> wgpu::CommandBuffer {
        let mut encoder = device.create_command_encoder(&Default::default());
        if let Some(system) = self.system.as_ref().filter(|_| batch.slices().next().is_some()) {
            system.zero(&mut encoder);
        }
        let mut pass: Option<wgpu::ComputePass<'static>> = None;
        for step in &batch.steps {
            match step {
                Step::Command(Command::BeginPass) => {
                    let opened = encoder.begin_compute_pass(&Default::default());
                    pass = Some(opened.forget_lifetime());
                }
                Step::Command(Command::EndPass) => pass = None,
                Step::Command(Command::CopyBuffer { source, source_offset, destination, destination_offset, size }) => {
                    let ends = (self.buffers.get(*source), self.buffers.get(*destination));
                    if let (Some(from), Some(to)) = ends {
                        let (from_at, to_at) = (*source_offset, *destination_offset);
                        encoder.copy_buffer_to_buffer(&from.raw, from_at, &to.raw, to_at, *size);
                    }
                }
                Step::Command(Command::ClearBuffer { buffer, offset, size }) => {
                    if let Some(buffer) = self.buffers.get(*buffer).filter(|_| *size > 0) {
                        encoder.clear_buffer(&buffer.raw, *offset, Some(*size));
                    }
                }
                Step::Command(command) => {
                    if let Some(pass) = &mut pass {
                        self.encode_in_pass(pass, command);
                    }
                }
                Step::Slice(slice) => {
                    if let Some(pass) = &mut pass {
                        self.encode_slice(pass, *slice, budget);
                    }
                }
            }
        }
        drop(pass);
        encoder.finish()
    }

    fn encode_in_pass(&self, pass: &mut wgpu::ComputePass<'_>, command: &Command) {
        match command {
            Command::SetPipeline(pipeline) => {
                if let Some(pipeline) = self.pipelines.get(*pipeline) {
                    pass.set_pipeline(&pipeline.raw);
                }
            }
            Command::SetBindGroup { index, group, dynamic_offsets } => {
                if let Some(group) = self.groups.get(*group) {
                    pass.set_bind_group(*index, &group.raw, dynamic_offsets);
                }
            }
            Command::Dispatch { x, y, z } => pass.dispatch_workgroups(*x, *y, *z),
            _ => {}
        }
    }

    fn encode_slice(&self, pass: &mut wgpu::ComputePass<'_>, slice: Slice, budget: u32) {
        let (Some(system), Some(pipeline)) = (&self.system, self.pipelines.get(slice.pipeline)) else { return };
        // Without its group a slice is left out, which the count of finished workgroups brings to light.
        if let Some(group) = system.group(slice, pipeline.invocations, budget) {
            let [x, y, z] = slice.size;
            pass.set_bind_group(SYSTEM_GROUP, group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

impl Shapes for WgpuDevice {
    fn buffer(&self, id: BufferId) -> Result<BufferShape, DeviceError> {
        Ok(self.allocation(id)?.shape)
    }

    fn bind_group(&self, id: BindGroupId) -> Result<&GroupShape, DeviceError> {
        Ok(&self.group(id)?.shape)
    }

    fn pipeline(&self, id: ComputePipelineId) -> Result<&PipelineShape, DeviceError> {
        Ok(&Self::pipeline(self, id)?.shape)
    }
}

impl Device for WgpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn set_patience(&mut self, patience: Duration) {
        self.work.patience = patience;
    }

    fn set_stop(&mut self, stop: Stop) {
        self.work.stop = stop;
    }

    fn set_memory_limit(&mut self, limit: u64) {
        self.ledger.set_limit(limit);
    }

    fn set_kernel_limit(&mut self, limit: u64) {
        self.kernel_limit = limit;
    }

    fn set_spot_checks(&mut self, share: SpotChecks) {
        self.sampler = share.one_in.map(Sampler::new);
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
        let raw = match self.allocate(size, usage) {
            // The driver may not have freed what work under way still holds.
            Err(DeviceError::Fault(DeviceFault::HostOutOfMemory)) => {
                self.wait()?;
                self.allocate(size, usage)?
            }
            allocated => allocated?,
        };
        let serial = self.next_serial;
        self.next_serial += 1;
        let id = self.buffers.insert(Arc::new(Allocation {
            shape: BufferShape { serial, size, usage },
            raw,
            readers: Readers::default(),
            _charge: charge,
        }));
        check::exhausted(id)
    }

    fn create_shader_module(&mut self, kernel: &Kernel) -> Result<ShaderModuleId, DeviceError> {
        let kernel = kernel.clone();
        check::exhausted(self.modules.insert(Module { kernel }))
    }

    fn create_bind_group_layout(&mut self, entries: &[LayoutEntry]) -> Result<BindGroupLayoutId, DeviceError> {
        let layout = self.raw_layout(Arc::new(check::layout(entries)?))?;
        check::exhausted(self.layouts.insert(layout))
    }

    fn create_bind_group(
        &mut self,
        layout: BindGroupLayoutId,
        entries: &[GroupEntry],
    ) -> Result<BindGroupId, DeviceError> {
        let layout = self.layout(layout)?;
        let shapes: Vec<_> = entries
            .iter()
            .map(|entry| Ok((*entry, self.allocation(entry.buffer)?.shape)))
            .collect::<Result<_, DeviceError>>()?;
        let shape = check::bind_group(&layout.shape, &shapes)?;
        let buffers: Vec<_> = shape
            .bound
            .iter()
            .filter_map(|bound| {
                let entry = entries.iter().find(|entry| entry.binding == bound.entry.binding);
                self.buffers.get(entry?.buffer).cloned()
            })
            .collect();
        let raw_entries: Vec<_> = shape
            .bound
            .iter()
            .zip(&buffers)
            .map(|(bound, buffer)| wgpu::BindGroupEntry {
                binding: bound.entry.binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer.raw,
                    offset: bound.offset,
                    size: NonZeroU64::new(bound.size),
                }),
            })
            .collect();
        let raw = self.guard.run(|device| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout.raw,
                entries: &raw_entries,
            })
        })?;
        check::exhausted(self.groups.insert(Group { shape, raw, buffers }))
    }

    fn create_compute_pipeline(
        &mut self,
        module: ShaderModuleId,
        entry_point: Option<&str>,
        layout: Option<&[BindGroupLayoutId]>,
        constants: &[(String, f64)],
    ) -> Result<ComputePipelineId, DeviceError> {
        let pipeline = self.new_pipeline(module, entry_point, layout, constants)?;
        check::exhausted(self.pipelines.insert(pipeline))
    }

    fn bind_group_layout_of(
        &mut self,
        pipeline: ComputePipelineId,
        index: u32,
    ) -> Result<BindGroupLayoutId, DeviceError> {
        let maximum = crate::LIMITS.max_bind_groups;
        check::at_most("max-bind-groups", maximum, u64::from(index) + 1)?;
        let pipeline = Self::pipeline(self, pipeline)?;
        let known = usize::try_from(index).ok().and_then(|index| pipeline.layouts.get(index));
        let layout = match known {
            Some(layout) => layout.clone(),
            None => self.raw_layout(Arc::default())?,
        };
        check::exhausted(self.layouts.insert(layout))
    }

    fn workgroup_size(&self, pipeline: ComputePipelineId) -> Option<[u32; 3]> {
        Some(self.pipelines.get(pipeline)?.shape.workgroup_size)
    }

    fn workgroup_cost(&self, pipeline: ComputePipelineId) -> Option<u64> {
        Some(self.pipelines.get(pipeline)?.cost)
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
        if length == 0 {
            return Ok(());
        }
        target.readers.gone(self.work.patience)?;
        let (guard, work) = (&self.guard, &mut self.work);
        if length <= SMALL_WRITE_BYTES {
            let length = mapping::host_size(length)?;
            let written = source.with_bytes(length, |bytes| work.gather(guard, &target.raw, offset, bytes));
            return written.map_err(DeviceFault::from)?;
        }
        let mappable = target.raw.usage().contains(wgpu::BufferUsages::MAP_WRITE);
        if !mappable || !work.is_soon_idle(guard)? {
            return self.staging.upload(guard, work, &target.raw, offset, &mut source);
        }
        let range = offset - offset % wgpu::MAP_ALIGNMENT..offset + length;
        let skip = mapping::host_size(offset - range.start)?;
        let write = wgpu::MapMode::Write;
        let pending = mapping::request(guard, &target.raw, write, range.clone())?;
        mapping::finish(guard, work, &pending, None)?;
        let filled = staging::fill(guard, &target.raw, range, skip, &mut source);
        guard.run(|_| target.raw.unmap())?;
        filled
    }

    fn read(&mut self, buffer: BufferId, offset: u64, length: u64) -> Result<Readback, DeviceError> {
        let source = Arc::clone(self.allocation(buffer)?);
        check::range("the read", source.shape.size, offset, length)?;
        if length == 0 {
            return Ok(Readback::default());
        }
        let (guard, work) = (&self.guard, &mut self.work);
        if source.raw.usage().contains(wgpu::BufferUsages::MAP_READ) {
            work.drain(guard)?;
            let readers = &source.readers;
            return readers.read(guard, work, &source.raw, offset, length);
        }
        self.staging.download(guard, work, &source.raw, offset, length)
    }

    fn check(&self, commands: &[Command]) -> Result<(), DeviceError> {
        check::check_commands(self, commands)
    }

    fn submit(&mut self, commands: &[Command]) -> Result<(), DeviceError> {
        self.check(commands)?;
        for buffer in self.touched(commands) {
            buffer.readers.gone(self.work.patience)?;
        }
        self.spend(self.cost(commands));
        let mut cursor = Cursor::new(commands, self.slice);
        cursor.watch(self.choose(commands));
        let mut watched = None;
        while !cursor.is_through() && !self.kernel_use.spent {
            if let Some(pipeline) = cursor.pipeline() {
                if let Some(pace) = self.pace(pipeline) {
                    self.work.learn(&self.guard, &pace)?;
                }
                if let (Some((number, groups)), Some(Command::Dispatch { x, y, z })) =
                    (cursor.at_watched(), cursor.command())
                {
                    watched = self.watch(pipeline, [*x, *y, *z], groups)?.map(|watched| (number, watched));
                    if watched.is_none() {
                        cursor.unwatch();
                    }
                }
            }
            let batch = cursor.next(|pipeline| self.pace(pipeline));
            self.submit_batch(batch)?;
            if let Some((_, watched)) = watched.take_if(|(number, _)| cursor.is_past(*number)) {
                self.compare(&watched)?;
            }
            if !cursor.is_through() && self.settled.elapsed() > SETTLE_EVERY {
                self.collect()?;
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), DeviceError> {
        self.work.drain(&self.guard)?;
        self.ledger.settle();
        Ok(())
    }

    fn settle(&mut self) -> Result<KernelUse, DeviceError> {
        self.collect()?;
        Ok(self.kernel_use)
    }
}

fn raw_usage(usage: BufferUsage, mappable: bool) -> wgpu::BufferUsages {
    let mut flags = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    flags.set(wgpu::BufferUsages::STORAGE, usage.storage);
    flags.set(wgpu::BufferUsages::UNIFORM, usage.uniform);
    let direct = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE;
    flags.set(direct, mappable);
    flags
}

fn raw_layout_entry(entry: &LayoutEntry) -> wgpu::BindGroupLayoutEntry {
    let ty = match entry.ty {
        BufferBindingType::Uniform => wgpu::BufferBindingType::Uniform,
        BufferBindingType::Storage => wgpu::BufferBindingType::Storage { read_only: false },
        BufferBindingType::ReadOnlyStorage => wgpu::BufferBindingType::Storage { read_only: true },
    };
    wgpu::BindGroupLayoutEntry {
        binding: entry.binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: entry.has_dynamic_offset,
            min_binding_size: NonZeroU64::new(entry.min_binding_size),
        },
        count: None,
    }
}
