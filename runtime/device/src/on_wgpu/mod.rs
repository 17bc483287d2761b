//! The backend on wgpu. Every call to the driver goes through a guard.

mod compile;
mod guard;
mod mapping;
mod staging;
mod system;
#[cfg(test)]
mod tests;
mod work;

use std::collections::HashMap;
use std::num::NonZeroU64;

use isobit_job::Fault;
use isobit_shader::dp32::SYSTEM_GROUP;
use isobit_shader::{BufferBindingType, Tier};

use self::guard::Guard;
use self::mapping::{Readers, host_size};
use self::staging::Staging;
use self::system::{System, Told};
use self::work::Work;
use crate::core::backend::{Backend, Compile, Compiled, Made, Report, Ticket, Waits};
use crate::core::{Action, BindGroupLayout, ComputePipeline, Dispatch, LayoutEntry, Range, SetGroup, Slice};
use crate::{BufferUsage, DeviceInfo, OpenError, Readback, Source, limits, source};

/// Writes up to 64 KiB are gathered in wgpu; longer ones are mapped.
const SMALL_WRITE_BYTES: u64 = 64 << 10;

/// The most layouts that are kept for further bind groups and pipelines with the same entries.
const MAX_LAYOUTS: usize = 1024;

/// How an adapter is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterOptions {
    /// The tier in which kernels under profile dp32 run.
    pub tier: Tier,
    /// Uses staging memory even if buffers could be mapped themselves, as if on a discrete GPU. For tests and measurements.
    pub staging_only: bool,
}

impl Default for AdapterOptions {
    fn default() -> Self {
        Self { tier: Tier::A, staging_only: false }
    }
}

/// A device on wgpu.
#[derive(Debug)]
pub(crate) struct WgpuBackend {
    info: DeviceInfo,
    guard: Guard,
    work: Work,
    staging: Staging,
    /// Whether buffers are mapped themselves, without staging.
    mappable: bool,
    tier: Tier,
    layouts: HashMap<BindGroupLayout, wgpu::BindGroupLayout>,
    /// Created for the first kernel under profile dp32.
    system: Option<System>,
    /// In this tier the driver gets kernels as the guest wrote them, to simulate a device that miscomputes.
    #[cfg(test)]
    careless: Option<Tier>,
}

/// A buffer's memory.
#[derive(Debug)]
struct Allocation {
    raw: wgpu::Buffer,
    readers: Readers,
}

impl WgpuBackend {
    pub(crate) fn open(
        adapter: &wgpu::Adapter,
        info: DeviceInfo,
        AdapterOptions { tier, staging_only }: AdapterOptions,
    ) -> Result<Self, OpenError> {
        let direct = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        let mappable = info.kind.shares_memory() && adapter.features().contains(direct) && !staging_only;
        let descriptor = wgpu::DeviceDescriptor {
            required_features: if mappable { direct } else { wgpu::Features::empty() },
            // The job is not known yet.
            required_limits: limits::required(info.classes.iter().copied().max().unwrap_or_default()),
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) =
            opened.map_err(|error| OpenError::Refused { name: info.name.clone(), reason: error.to_string() })?;
        tracing::debug!(target: "isobit::device", name = info.name, mappable, "open");
        Ok(Self {
            info,
            guard: Guard::new(device),
            work: Work::new(queue),
            staging: Staging::default(),
            mappable,
            tier,
            layouts: HashMap::new(),
            system: None,
            #[cfg(test)]
            careless: None,
        })
    }

    #[cfg(test)]
    pub(crate) fn careless(self, careless: Option<Tier>) -> Self {
        Self { careless, ..self }
    }

    /// The driver's layout for these entries.
    fn raw_layout(&mut self, layout: &BindGroupLayout) -> Result<wgpu::BindGroupLayout, Fault> {
        if let Some(raw) = self.layouts.get(layout) {
            return Ok(raw.clone());
        }
        let entries: Vec<_> = layout.entries().iter().map(raw_layout_entry).collect();
        let raw = self.guard.run(|device| {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
        })?;
        if self.layouts.len() >= MAX_LAYOUTS {
            self.layouts.clear();
        }
        self.layouts.insert(layout.clone(), raw.clone());
        Ok(raw)
    }

    /// Encodes actions as the driver's commands. `system` is given if a slice among them has parameters.
    fn encode(
        device: &wgpu::Device,
        actions: &[Action<'_>],
        system: Option<&System>,
        budget: u32,
    ) -> Result<wgpu::CommandBuffer, Fault> {
        let mut encoder = device.create_command_encoder(&Default::default());
        if let Some(system) = system {
            system.zero(&mut encoder);
        }
        // Consecutive dispatches share a pass.
        let mut pass: Option<Pass<'_>> = None;
        for action in actions {
            match action {
                Action::Run(slice) => {
                    let pass = pass.get_or_insert_with(|| Pass::begin(&mut encoder));
                    pass.run(slice, system, budget)?;
                }
                Action::Copy(copy) => {
                    pass = None;
                    let (from, to): (&Allocation, &Allocation) =
                        (copy.source.memory().get()?, copy.destination.memory().get()?);
                    let (from_at, to_at) = (copy.source_offset, copy.destination_offset);
                    encoder.copy_buffer_to_buffer(&from.raw, from_at, &to.raw, to_at, copy.size);
                }
                Action::Clear(clear) => {
                    pass = None;
                    let buffer: &Allocation = clear.buffer.memory().get()?;
                    encoder.clear_buffer(&buffer.raw, clear.offset, Some(clear.size));
                }
            }
        }
        drop(pass);
        Ok(encoder.finish())
    }
}

/// The parameters of a slice, if its kernel has the system's group.
fn told(slice: &Slice<'_>) -> Option<Told> {
    let pipeline = &slice.dispatch.pipeline;
    let lowered = pipeline.state().lowered.as_ref()?;
    Some(Told {
        offset: slice.offset,
        of: slice.dispatch.workgroups,
        invocations: pipeline.invocations(),
        workgroups: slice.workgroups(),
        reports: lowered.reports(),
    })
}

/// Waits until no readback holds a buffer that an action touches.
fn wait_for_readers(actions: &[Action<'_>], waits: &Waits) -> Result<(), Fault> {
    let gone = |memory: &Made| memory.get::<Allocation>()?.readers.gone(waits);
    for action in actions {
        match action {
            Action::Run(Slice { dispatch, .. }) => {
                let groups = dispatch.groups.iter().flatten();
                groups.flat_map(|set| set.group.ranges()).try_for_each(|range| gone(range.buffer.memory()))?;
            }
            Action::Copy(copy) => {
                gone(copy.source.memory())?;
                gone(copy.destination.memory())?;
            }
            Action::Clear(clear) => gone(clear.buffer.memory())?,
        }
    }
    Ok(())
}

/// An open pass and what is set in it.
struct Pass<'a> {
    raw: wgpu::ComputePass<'static>,
    pipeline: Option<&'a ComputePipeline>,
    groups: [Option<&'a SetGroup>; 3],
}

impl<'a> Pass<'a> {
    fn begin(encoder: &mut wgpu::CommandEncoder) -> Self {
        let raw = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
        Self { raw, pipeline: None, groups: [None; 3] }
    }

    fn run(&mut self, slice: &Slice<'a>, system: Option<&System>, budget: u32) -> Result<(), Fault> {
        let dispatch: &'a Dispatch = slice.dispatch;
        if !self.pipeline.is_some_and(|set| set.is(&dispatch.pipeline)) {
            self.raw.set_pipeline(dispatch.pipeline.state().compiled.made.get()?);
            self.pipeline = Some(&dispatch.pipeline);
        }
        for ((index, wanted), set) in (0..).zip(&dispatch.groups).zip(&mut self.groups) {
            match (wanted, &set) {
                (None, None) => {}
                (Some(wanted), Some(set)) if wanted.group.is(&set.group) && wanted.offsets == set.offsets => {}
                (Some(wanted), _) => {
                    let raw: &wgpu::BindGroup = wanted.group.made().get()?;
                    self.raw.set_bind_group(index, raw, &wanted.offsets);
                }
                (None, Some(_)) => self.raw.set_bind_group(index, None, &[]),
            }
            *set = wanted.as_ref();
        }
        if let Some((told, system)) = told(slice).zip(system) {
            // A slice without its group is skipped. The count of finished workgroups then reveals it.
            let Some(group) = system.group(&told, budget) else { return Ok(()) };
            self.raw.set_bind_group(SYSTEM_GROUP, group, &[]);
        }
        let [x, y, z] = slice.size;
        self.raw.dispatch_workgroups(x, y, z);
        Ok(())
    }
}

impl Backend for WgpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn allocate(&mut self, size: u64, usage: BufferUsage) -> Result<Made, Fault> {
        let usage = raw_usage(usage, self.mappable);
        let raw = self.guard.run(|device| {
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        })?;
        Ok(Made::new(Allocation { raw, readers: Readers::default() }))
    }

    fn bind(&mut self, layout: &BindGroupLayout, ranges: &[Range]) -> Result<Made, Fault> {
        let layout = self.raw_layout(layout)?;
        let mut entries = Vec::with_capacity(ranges.len());
        for range in ranges {
            let buffer: &Allocation = range.buffer.memory().get()?;
            entries.push(wgpu::BindGroupEntry {
                binding: range.entry.binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer.raw,
                    offset: range.offset,
                    size: NonZeroU64::new(range.size),
                }),
            });
        }
        let raw = self.guard.run(|device| {
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries })
        })?;
        Ok(Made::new(raw))
    }

    fn compile(&mut self, kernel: &Compile<'_>, waits: &Waits) -> Result<Compiled, Fault> {
        self.compile_kernel(kernel, waits)
    }

    fn write(&mut self, to: &Made, offset: u64, source: &mut Source<'_>, waits: &Waits) -> Result<(), Fault> {
        let target: &Allocation = to.get()?;
        let length = source.length();
        target.readers.gone(waits)?;
        let (guard, work) = (&self.guard, &mut self.work);
        if length <= SMALL_WRITE_BYTES {
            let length = host_size(length)?;
            let written = source.with_bytes(length, |bytes| work.gather(guard, &target.raw, offset, bytes, waits));
            return written.map_err(source::unreadable)?;
        }
        let mappable = target.raw.usage().contains(wgpu::BufferUsages::MAP_WRITE);
        if !mappable || !work.is_soon_idle(guard, waits)? {
            return self.staging.upload(guard, work, &target.raw, offset, source, waits);
        }
        let range = offset - offset % wgpu::MAP_ALIGNMENT..offset + length;
        let skip = host_size(offset - range.start)?;
        let pending = mapping::request(guard, &target.raw, wgpu::MapMode::Write, range.clone())?;
        mapping::finish(guard, &pending, None, waits)?;
        let filled = staging::fill(guard, &target.raw, range, skip, source);
        guard.run(|_| target.raw.unmap())?;
        filled
    }

    fn read(&mut self, from: &Made, offset: u64, length: u64, waits: &Waits) -> Result<Readback, Fault> {
        let source: &Allocation = from.get()?;
        let (guard, work) = (&self.guard, &mut self.work);
        if source.raw.usage().contains(wgpu::BufferUsages::MAP_READ) {
            work.drain(guard, waits)?;
            return source.readers.read(guard, &source.raw, offset, length, waits);
        }
        self.staging.download(guard, work, &source.raw, offset, length, waits)
    }

    fn submit(&mut self, actions: &[Action<'_>], budget: u32, waits: &Waits) -> Result<Ticket, Fault> {
        wait_for_readers(actions, waits)?;
        let slices: Vec<Told> = actions.iter().filter_map(Action::slice).filter_map(told).collect();
        if let Some(system) = self.system.as_mut().filter(|_| !slices.is_empty()) {
            system.tell(&self.guard, &mut self.work, &slices, budget, waits)?;
        }
        let system = self.system.as_ref().filter(|_| !slices.is_empty());
        let encoded = self.guard.run(|device| Self::encode(device, actions, system, budget))??;
        if let Some(system) = &mut self.system {
            slices.iter().filter(|told| told.reports).for_each(|told| system.expect(told));
        }
        self.work.submit(&self.guard, Some(encoded), waits)
    }

    fn wait(&mut self, ticket: Option<Ticket>, waits: &Waits) -> Result<(), Fault> {
        match ticket {
            Some(ticket) => self.work.wait(&self.guard, ticket, waits),
            None => self.work.drain(&self.guard, waits),
        }
    }

    fn collect(&mut self, waits: &Waits) -> Result<Report, Fault> {
        match &mut self.system {
            Some(system) => system.collect(&self.guard, &mut self.work, &mut self.staging, waits),
            None => Ok(Report::default()),
        }
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
