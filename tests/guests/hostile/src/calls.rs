//! Every call of `gpu`, `io` and `report` with arguments that are out of range, misaligned, overlapping or too large for their type.

use isobit::bindings::isobit::compute::gpu::{
    self, BindGroup, BindGroupEntry, BindGroupLayout, BindGroupLayoutEntry, Buffer, BufferBindingType, BufferUsage,
    CommandBuffer, CommandEncoder, ComputePass, ComputePipeline, OverrideValue, ShaderModule,
};
use isobit::bindings::isobit::compute::io::{self, Input, Output};
use isobit::{Error, Result};

/// Two bindings, one that is written and one that is not.
const COPY: &str = "
override scale: u32 = 1u;
@group(0) @binding(0) var<storage, read> given: array<u32, 16>;
@group(0) @binding(1) var<storage, read_write> to: array<u32>;
@compute @workgroup_size(64) fn copy(@builtin(global_invocation_id) id: vec3u) { to[id.x] = given[id.x % 16u] * scale; }";

/// As much as there is.
const MOST: u64 = u64::MAX;
/// The largest multiple of 4, and of 256.
const MOST_WORDS: u64 = u64::MAX - 3;
const MOST_ALIGNED: u64 = u64::MAX - 255;

const SIZE: u64 = 4096;

fn storage(size: u64) -> Result<Buffer> {
    Ok(Buffer::create(size, BufferUsage::STORAGE)?)
}

fn uniform(size: u64) -> Result<Buffer> {
    Ok(Buffer::create(size, BufferUsage::UNIFORM)?)
}

fn slot(binding: u32, ty: BufferBindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry { binding, ty, has_dynamic_offset: false, min_binding_size: 0 }
}

fn dynamic(binding: u32, ty: BufferBindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry { has_dynamic_offset: true, ..slot(binding, ty) }
}

fn bound(binding: u32, buffer: &Buffer, offset: u64, size: Option<u64>) -> BindGroupEntry<'_> {
    BindGroupEntry { binding, buffer, offset, size }
}

/// A layout of as many slots.
fn layout(count: u32, make: impl Fn(u32) -> BindGroupLayoutEntry) -> Result<BindGroupLayout> {
    Ok(BindGroupLayout::create(&(0..count).map(make).collect::<Vec<_>>())?)
}

/// Binds this one range to a slot of this type.
fn bind(ty: BufferBindingType, buffer: &Buffer, offset: u64, size: Option<u64>) -> Result<()> {
    let layout = layout(1, |binding| slot(binding, ty))?;
    BindGroup::create(&layout, &[bound(0, buffer, offset, size)])?;
    Ok(())
}

/// The pipeline with buffers that fit it.
struct Rig {
    pipeline: ComputePipeline,
    layout: BindGroupLayout,
    from: Buffer,
    to: Buffer,
}

impl Rig {
    fn new() -> Result<Rig> {
        let layout = BindGroupLayout::create(&[
            dynamic(0, BufferBindingType::ReadOnlyStorage),
            dynamic(1, BufferBindingType::Storage),
        ])?;
        let module = ShaderModule::create(COPY)?;
        let pipeline = ComputePipeline::create(&module, None, Some(&[&layout]), &[])?;
        Ok(Rig { pipeline, layout, from: storage(SIZE)?, to: storage(SIZE)? })
    }

    fn group(&self, from: &Buffer, to: &Buffer, at: u64, size: u64) -> Result<BindGroup> {
        let entries = [bound(0, from, 0, Some(size)), bound(1, to, at, Some(size))];
        Ok(BindGroup::create(&self.layout, &entries)?)
    }

    /// Records a dispatch in which the group is set as the closure does it, and submits it.
    fn dispatch(&self, workgroups: [u32; 3], set: impl FnOnce(&ComputePass)) -> Result<()> {
        let encoder = CommandEncoder::new();
        let pass = encoder.begin_compute_pass();
        pass.set_pipeline(&self.pipeline);
        set(&pass);
        pass.dispatch_workgroups(workgroups[0], workgroups[1], workgroups[2]);
        drop(pass);
        submit(encoder)
    }

    /// Dispatches with these dynamic offsets.
    fn with_offsets(&self, offsets: &[u32]) -> Result<()> {
        let group = self.group(&self.from, &self.to, 0, 256)?;
        self.dispatch([1, 1, 1], |pass| pass.set_bind_group(0, &group, offsets))
    }
}

fn finish(encoder: CommandEncoder) -> Result<CommandBuffer> {
    Ok(CommandEncoder::finish(encoder)?)
}

fn submit(encoder: CommandEncoder) -> Result<()> {
    gpu::submit(vec![finish(encoder)?])?;
    Ok(gpu::wait()?)
}

/// Records this outside of a pass.
fn record(commands: impl FnOnce(&CommandEncoder) -> Result<()>) -> Result<()> {
    let encoder = CommandEncoder::new();
    commands(&encoder)?;
    submit(encoder)
}

fn copy(from: u64, to: u64, size: u64) -> Result<()> {
    let (source, destination) = (storage(SIZE)?, storage(SIZE)?);
    record(|encoder| Ok(encoder.copy_buffer_to_buffer(&source, from, &destination, to, size)))
}

fn pipeline(entry_point: Option<&str>, layouts: Option<&[&BindGroupLayout]>, constants: &[(&str, f64)]) -> Result<()> {
    let constants: Vec<_> =
        constants.iter().map(|(name, value)| OverrideValue { name: (*name).to_owned(), value: *value }).collect();
    ComputePipeline::create(&ShaderModule::create(COPY)?, entry_point, layouts, &constants)?;
    Ok(())
}

fn output() -> Result<Output> {
    Ok(Output::create("out")?)
}

fn input() -> Result<Input> {
    Ok(Input::open("wgsl")?)
}

/// Input `wgsl` has 1000 bytes.
fn load(offset: u64, from: u64, length: u64) -> Result<()> {
    Ok(storage(SIZE)?.load_from(offset, &input()?, from, length)?)
}

pub fn call(wish: &str) -> Option<Result<()>> {
    use BufferBindingType::{ReadOnlyStorage, Storage, Uniform};
    let result = || -> Result<()> {
        match wish {
            "buffer-of-nothing" => drop(storage(0)?),
            "buffer-of-three-bytes" => drop(storage(3)?),
            "buffer-of-five-bytes" => drop(storage(5)?),
            "buffer-over-256-mib" => drop(storage((256 << 20) + 4)?),
            "buffer-of-all-there-is" => drop(storage(MOST)?),
            "buffer-of-all-words" => drop(storage(MOST_WORDS)?),
            "buffer-without-usage-bound" => bind(Storage, &Buffer::create(SIZE, BufferUsage::empty())?, 0, None)?,
            "write-at-2" => storage(SIZE)?.write(2, &[0; 4])?,
            "write-3-bytes" => storage(SIZE)?.write(0, &[0; 3])?,
            "write-at-the-end" => storage(SIZE)?.write(SIZE, &[0; 4])?,
            "write-over-the-end" => storage(SIZE)?.write(SIZE - 4, &[0; 8])?,
            "write-that-overflows" => storage(SIZE)?.write(MOST_WORDS, &[0; 8])?,
            "write-nothing-beyond" => storage(SIZE)?.write(SIZE + 4, &[])?,
            "read-at-2" => drop(storage(SIZE)?.read(2, 4)?),
            "read-3-bytes" => drop(storage(SIZE)?.read(0, 3)?),
            "read-over-the-end" => drop(storage(SIZE)?.read(SIZE - 4, 8)?),
            "read-that-overflows" => drop(storage(SIZE)?.read(MOST_WORDS, 8)?),
            "read-all-there-is" => drop(storage(SIZE)?.read(0, MOST)?),
            "read-all-words" => drop(storage(SIZE)?.read(4, MOST_WORDS)?),
            "clear-at-2" => storage(SIZE)?.clear(2, 4)?,
            "clear-3-bytes" => storage(SIZE)?.clear(0, 3)?,
            "clear-over-the-end" => storage(SIZE)?.clear(SIZE - 4, 8)?,
            "clear-that-overflows" => storage(SIZE)?.clear(MOST_WORDS, 8)?,
            "clear-all-words" => storage(SIZE)?.clear(8, MOST_WORDS)?,
            "load-beyond-the-input" => load(0, 996, 8)?,
            "load-that-overflows-the-input" => load(0, MOST - 3, 8)?,
            "load-all-there-is" => load(0, 1, MOST)?,
            "load-a-part-of-a-word" => load(0, 0, 6)?,
            "load-at-2" => load(2, 0, 4)?,
            "load-over-the-end" => load(SIZE - 4, 0, 8)?,
            "load-that-overflows" => load(MOST_WORDS, 0, 8)?,
            "append-at-2" => storage(SIZE)?.append_to(2, 4, &output()?)?,
            "append-over-the-end" => storage(SIZE)?.append_to(SIZE - 4, 5, &output()?)?,
            "append-that-overflows" => storage(SIZE)?.append_to(MOST_WORDS, 8, &output()?)?,
            "append-all-there-is" => storage(SIZE)?.append_to(0, MOST, &output()?)?,
            "wgsl-of-1-mib-and-1" => drop(ShaderModule::create(&" ".repeat((1 << 20) + 1))?),
            "wgsl-of-64-mib" => drop(ShaderModule::create(&"a".repeat(64 << 20))?),
            "layout-with-a-binding-twice" => drop(layout(2, |_| slot(7, Storage))?),
            "layout-with-the-last-binding" => drop(layout(1, |_| slot(u32::MAX, Storage))?),
            "layout-with-binding-1000" => drop(layout(1, |_| slot(1000, Storage))?),
            "layout-of-9-storage-buffers" => drop(layout(9, |binding| slot(binding, Storage))?),
            "layout-of-13-uniform-buffers" => drop(layout(13, |binding| slot(binding, Uniform))?),
            "layout-of-5-dynamic-storage-buffers" => drop(layout(5, |binding| dynamic(binding, ReadOnlyStorage))?),
            "layout-of-9-dynamic-uniform-buffers" => drop(layout(9, |binding| dynamic(binding, Uniform))?),
            "layout-of-a-million-slots" => drop(layout(1_000_000, |binding| slot(binding, Storage))?),
            "layout-that-demands-all-there-is" => {
                let slot = BindGroupLayoutEntry { min_binding_size: MOST, ..slot(0, Storage) };
                let layout = BindGroupLayout::create(&[slot])?;
                BindGroup::create(&layout, &[bound(0, &storage(SIZE)?, 0, None)])?;
            }
            "group-of-nothing" => drop(BindGroup::create(&layout(1, |binding| slot(binding, Storage))?, &[])?),
            "group-with-a-binding-twice" => {
                let buffer = storage(SIZE)?;
                let entries = [bound(0, &buffer, 0, None), bound(0, &buffer, 256, None)];
                BindGroup::create(&layout(1, |binding| slot(binding, Storage))?, &entries)?;
            }
            "group-with-a-binding-too-many" => {
                let buffer = storage(SIZE)?;
                let entries = [bound(0, &buffer, 0, None), bound(u32::MAX, &buffer, 0, None)];
                BindGroup::create(&layout(1, |binding| slot(binding, Storage))?, &entries)?;
            }
            "group-of-a-million-entries" => {
                let buffer = storage(SIZE)?;
                let entries: Vec<_> = (0..1_000_000).map(|binding| bound(binding, &buffer, 0, None)).collect();
                BindGroup::create(&layout(1, |binding| slot(binding, Storage))?, &entries)?;
            }
            "bind-storage-as-uniform" => bind(Uniform, &storage(SIZE)?, 0, None)?,
            "bind-uniform-as-storage" => bind(Storage, &uniform(SIZE)?, 0, None)?,
            "bind-at-4" => bind(Storage, &storage(SIZE)?, 4, None)?,
            "bind-at-the-end" => bind(Storage, &storage(SIZE)?, SIZE, None)?,
            "bind-beyond-the-end" => bind(Storage, &storage(SIZE)?, 2 * SIZE, Some(4))?,
            "bind-over-the-end" => bind(Storage, &storage(SIZE)?, SIZE - 256, Some(260))?,
            "bind-that-overflows" => bind(Storage, &storage(SIZE)?, MOST_ALIGNED, Some(256))?,
            "bind-all-there-is" => bind(Storage, &storage(SIZE)?, 0, Some(MOST))?,
            "bind-nothing" => bind(Storage, &storage(SIZE)?, 0, Some(0))?,
            "bind-6-bytes" => bind(Storage, &storage(SIZE)?, 0, Some(6))?,
            "bind-over-64-kib-as-uniform" => bind(Uniform, &uniform((64 << 10) + 4)?, 0, None)?,
            "bind-over-128-mib-as-storage" => bind(Storage, &storage((128 << 20) + 4)?, 0, None)?,
            "pipeline-without-its-entry-point" => pipeline(Some("paste"), None, &[])?,
            "pipeline-with-an-endless-name" => pipeline(Some(&"a".repeat(1 << 20)), None, &[])?,
            "pipeline-with-an-unknown-constant" => pipeline(None, None, &[("seale", 1.0)])?,
            "pipeline-with-a-constant-twice" => pipeline(None, None, &[("scale", 1.0), ("scale", 2.0)])?,
            "pipeline-with-nan-as-constant" => pipeline(None, None, &[("scale", f64::NAN)])?,
            "pipeline-with-a-negative-constant" => pipeline(None, None, &[("scale", -1.0)])?,
            "pipeline-with-an-infinite-constant" => pipeline(None, None, &[("scale", f64::INFINITY)])?,
            "pipeline-with-a-million-constants" => pipeline(None, None, &vec![("x", 0.0); 1_000_000])?,
            "pipeline-of-4-groups" => {
                let empty = layout(0, |binding| slot(binding, Storage))?;
                pipeline(None, Some(&[&empty, &empty, &empty, &empty]), &[])?;
            }
            "pipeline-of-nothing" => pipeline(None, Some(&[]), &[])?,
            "pipeline-with-another-type" => {
                let layout = layout(2, |binding| slot(binding, Storage))?;
                pipeline(None, Some(&[&layout]), &[])?;
            }
            "layout-of-group-3" => drop(Rig::new()?.pipeline.get_bind_group_layout(3)?),
            "layout-of-the-last-group" => drop(Rig::new()?.pipeline.get_bind_group_layout(u32::MAX)?),
            "copy-within-a-buffer" => {
                let buffer = storage(SIZE)?;
                record(|encoder| Ok(encoder.copy_buffer_to_buffer(&buffer, 0, &buffer, 8, 16)))?;
            }
            "copy-from-2" => copy(2, 0, 4)?,
            "copy-to-2" => copy(0, 2, 4)?,
            "copy-3-bytes" => copy(0, 0, 3)?,
            "copy-from-over-the-end" => copy(SIZE - 4, 0, 8)?,
            "copy-to-over-the-end" => copy(0, SIZE - 4, 8)?,
            "copy-that-overflows-its-source" => copy(MOST_WORDS, 0, 8)?,
            "copy-that-overflows-its-destination" => copy(0, MOST_WORDS, 8)?,
            "copy-all-words" => copy(4, 4, MOST_WORDS)?,
            "clear-in-an-encoder-that-overflows" => {
                let buffer = storage(SIZE)?;
                record(|encoder| Ok(encoder.clear_buffer(&buffer, MOST_WORDS, 8)))?;
            }
            "copy-inside-a-pass" => {
                let (a, b) = (storage(SIZE)?, storage(SIZE)?);
                record(|encoder| {
                    let _pass = encoder.begin_compute_pass();
                    Ok(encoder.copy_buffer_to_buffer(&a, 0, &b, 0, 16))
                })?;
            }
            "clear-inside-a-pass" => {
                let buffer = storage(SIZE)?;
                record(|encoder| {
                    let _pass = encoder.begin_compute_pass();
                    Ok(encoder.clear_buffer(&buffer, 0, 16))
                })?;
            }
            "two-passes-at-once" => record(|encoder| {
                let _first = encoder.begin_compute_pass();
                drop(encoder.begin_compute_pass());
                Ok(())
            })?,
            "finish-with-an-open-pass" => {
                let encoder = CommandEncoder::new();
                let pass = encoder.begin_compute_pass();
                let finished = finish(encoder);
                drop(pass);
                finished?;
            }
            "record-after-finish" => {
                let rig = Rig::new()?;
                let encoder = CommandEncoder::new();
                let pass = encoder.begin_compute_pass();
                finish(encoder).ok();
                pass.set_pipeline(&rig.pipeline);
                pass.dispatch_workgroups(1, 1, 1);
                drop(pass);
                gpu::wait()?;
            }
            "submit-nothing" => gpu::submit(Vec::new())?,
            "dispatch-without-a-pipeline" => {
                record(|encoder| Ok(encoder.begin_compute_pass().dispatch_workgroups(1, 1, 1)))?
            }
            "dispatch-without-a-group" => Rig::new()?.dispatch([1, 1, 1], |_| ())?,
            "dispatch-65536-workgroups" => Rig::new()?.dispatch([65_536, 1, 1], |_| ())?,
            "dispatch-as-many-as-there-are" => Rig::new()?.dispatch([u32::MAX; 3], |_| ())?,
            "set-group-3" | "set-the-last-group" => {
                let rig = Rig::new()?;
                let group = rig.group(&rig.from, &rig.to, 0, 256)?;
                let index = if wish == "set-group-3" { 3 } else { u32::MAX };
                rig.dispatch([1, 1, 1], |pass| pass.set_bind_group(index, &group, &[0, 0]))?;
            }
            "no-dynamic-offsets" => Rig::new()?.with_offsets(&[])?,
            "a-dynamic-offset-too-many" => Rig::new()?.with_offsets(&[0, 0, 0])?,
            "a-million-dynamic-offsets" => Rig::new()?.with_offsets(&vec![0; 1_000_000])?,
            "dynamic-offset-of-4" => Rig::new()?.with_offsets(&[4, 0])?,
            "dynamic-offset-beyond-the-end" => Rig::new()?.with_offsets(&[0, 4096])?,
            "the-last-dynamic-offset" => Rig::new()?.with_offsets(&[0xFFFF_FF00, 0])?,
            "bind-less-than-the-kernel-needs" => {
                let rig = Rig::new()?;
                let group = rig.group(&rig.from, &rig.to, 0, 60)?;
                rig.dispatch([1, 1, 1], |pass| pass.set_bind_group(0, &group, &[0, 0]))?;
            }
            "bind-a-buffer-as-read-and-written" => {
                let rig = Rig::new()?;
                let group = rig.group(&rig.to, &rig.to, 0, 256)?;
                rig.dispatch([1, 1, 1], |pass| pass.set_bind_group(0, &group, &[0, 0]))?;
            }
            "overlap-by-dynamic-offsets" => {
                let module = ShaderModule::create(
                    "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
                    @group(0) @binding(1) var<storage, read_write> b: array<u32>;
                    @compute @workgroup_size(1) fn both() { a[0] = 1u; b[0] = 2u; }",
                )?;
                let layout = layout(2, |binding| dynamic(binding, Storage))?;
                let pipeline = ComputePipeline::create(&module, None, Some(&[&layout]), &[])?;
                let buffer = storage(SIZE)?;
                let entries = [bound(0, &buffer, 0, Some(512)), bound(1, &buffer, 1024, Some(512))];
                let group = BindGroup::create(&layout, &entries)?;
                let encoder = CommandEncoder::new();
                let pass = encoder.begin_compute_pass();
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &group, &[768, 0]);
                pass.dispatch_workgroups(1, 1, 1);
                drop(pass);
                submit(encoder)?;
            }
            "a-group-of-another-layout" => {
                let rig = Rig::new()?;
                let layout = layout(1, |binding| slot(binding, Storage))?;
                let group = BindGroup::create(&layout, &[bound(0, &rig.to, 0, None)])?;
                rig.dispatch([1, 1, 1], |pass| pass.set_bind_group(0, &group, &[]))?;
            }
            "read-an-input-beyond-its-end" => {
                let input = input()?;
                let lengths =
                    [(MOST, MOST), (1000, MOST), (999, MOST), (0, 0)].map(|(at, length)| input.read(at, length).len());
                return Err(Error::Other(format!("{lengths:?}")));
            }
            "open-an-input-of-1-mib-of-name" => drop(Input::open(&"a".repeat(1 << 20))?),
            "output-outside-of-the-folder" => drop(Output::create("../../etc/passwd")?),
            "output-with-a-nul" => drop(Output::create("out\0")?),
            "output-of-a-name-of-1-mib" => drop(Output::create(&"a".repeat(1 << 20))?),
            "output-twice" => drop((output()?, output()?)),
            "parameter-of-1-mib-of-name" => drop(io::get_parameter(&"a".repeat(1 << 20))),
            _ => return Err(Error::Other(UNKNOWN.to_owned())),
        }
        Ok(())
    };
    Some(result()).filter(|result| !matches!(result, Err(Error::Other(message)) if message == UNKNOWN))
}

const UNKNOWN: &str = "not one of these calls";
