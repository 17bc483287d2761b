//! Dispatches and batches of them: which buffers a kernel sees, on how many workgroups it runs, and in
//! which order.

use std::collections::BTreeMap;

use bytemuck::Pod;

use crate::bindings::isobit::compute::gpu::{self as raw, BindGroupEntry, BufferUsage};
use crate::{Buffer, BufferSlice, Error, Kernel, Result};

/// WebGPU's `maxComputeWorkgroupsPerDimension`.
const WORKGROUPS_PER_DIMENSION: u64 = 65_535;

/// Uniform buffers are made of rows of 16 bytes.
const UNIFORM_ROW: usize = 16;

/// One run of a kernel, to be set up and submitted.
///
/// ```no_run
/// # use isobit::Gpu;
/// # let gpu = Gpu::new();
/// # let (blur, photo) = (gpu.kernel("")?, gpu.buffer_from(&[0_u32])?);
/// let blurred = gpu.buffer::<u32>(640 * 480)?;
/// blur.dispatch()
///     .bind(0, &photo)
///     .bind(1, &blurred)
///     .uniform(2, &[640_u32, 480])
///     .workgroups(640 / 16, 480 / 16, 1)
///     .run()?;
/// # Ok::<(), isobit::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a dispatch does nothing until `run` or `record`"]
pub struct Dispatch<'a> {
    kernel: &'a Kernel,
    groups: BTreeMap<u32, Group<'a>>,
    workgroups: [u32; 3],
}

/// What is bound to one group: slots for a bind group of this dispatch, or a bind group made before.
#[derive(Debug)]
enum Group<'a> {
    New(BTreeMap<u32, Resource<'a>>),
    Made(&'a BindGroup),
}

/// What is bound to one slot.
#[derive(Debug)]
enum Resource<'a> {
    Buffer(Binding<'a>),
    Uniform(Vec<u8>),
}

/// A range of device memory to bind, of any element type: made from `&Buffer` and `BufferSlice`.
#[derive(Debug)]
pub struct Binding<'a> {
    range: Result<(&'a raw::Buffer, u64, u64)>,
}

impl<'a, T: Pod> From<&'a Buffer<T>> for Binding<'a> {
    fn from(buffer: &'a Buffer<T>) -> Self {
        buffer.slice(..).into()
    }
}

impl<'a, T: Pod> From<BufferSlice<'a, T>> for Binding<'a> {
    fn from(slice: BufferSlice<'a, T>) -> Self {
        Self { range: slice.parts() }
    }
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(kernel: &'a Kernel) -> Self {
        Self { kernel, groups: BTreeMap::new(), workgroups: [1, 1, 1] }
    }

    /// Binds a buffer, or a slice that starts on a multiple of 256 bytes, to `@group(0) @binding(n)`.
    pub fn bind(self, binding: u32, buffer: impl Into<Binding<'a>>) -> Self {
        self.bind_in(0, binding, buffer)
    }

    /// Binds a buffer or a slice in a group other than the first.
    pub fn bind_in(mut self, group: u32, binding: u32, buffer: impl Into<Binding<'a>>) -> Self {
        self.set(group, binding, Resource::Buffer(buffer.into()));
        self
    }

    /// Gives one value, at most 64 KiB, to `@group(0) @binding(n) var<uniform>`.
    pub fn uniform<T: Pod>(self, binding: u32, value: &T) -> Self {
        self.uniform_in(0, binding, value)
    }

    /// Gives one value to a uniform in a group other than the first.
    pub fn uniform_in<T: Pod>(mut self, group: u32, binding: u32, value: &T) -> Self {
        self.set(group, binding, uniform(value));
        self
    }

    /// Binds a group that was made before. It replaces what was bound to that group so far.
    pub fn group(mut self, group: &'a BindGroup) -> Self {
        self.groups.insert(group.index, Group::Made(group));
        self
    }

    /// Runs x * y * z workgroups, at most 65535 in each dimension. The default is one workgroup.
    pub fn workgroups(mut self, x: u32, y: u32, z: u32) -> Self {
        self.workgroups = [x, y, z];
        self
    }

    /// Runs as many workgroups as `count` invocations need, by the kernel's workgroup size.
    ///
    /// They lie in rows of equal length, because one row has room for 65535 only. A kernel computes the index
    /// of an invocation as follows, and has to skip an index that is not below `count`:
    ///
    /// ```wgsl
    /// fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    ///     let i = id.y * groups.x * SIZE + id.x;
    /// ```
    pub fn threads(mut self, count: usize) -> Self {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let size = self.kernel.workgroup_size().iter().map(|side| u64::from(*side)).product::<u64>();
        self.workgroups = rows(count.div_ceil(size.max(1)));
        self
    }

    /// Submits the dispatch. The guest goes on while the device works.
    ///
    /// # Errors
    /// [`Error::Validation`](crate::Error::Validation) if what is bound does not fit the kernel.
    pub fn run(self) -> Result<()> {
        let mut batch = Batch::new();
        let kernel = self.kernel;
        self.record(&mut batch)?;
        batch.submit().map_err(|error| error.about(kernel.label()))
    }

    /// Adds the dispatch to a batch.
    ///
    /// # Errors
    /// [`Error::Validation`](crate::Error::Validation) if what is bound does not fit the kernel.
    pub fn record(self, batch: &mut Batch) -> Result<()> {
        let mut made = Vec::with_capacity(self.groups.len());
        for (index, group) in self.groups {
            made.push(match group {
                Group::New(slots) => (index, MadeGroup::Own(bind_group(self.kernel, index, slots)?)),
                Group::Made(group) => (index, MadeGroup::Borrowed(&group.raw)),
            });
        }
        let pass = batch.pass();
        pass.set_pipeline(self.kernel.raw());
        for (index, group) in &made {
            pass.set_bind_group(*index, group.raw(), &[]);
        }
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
        Ok(())
    }

    fn set(&mut self, group: u32, binding: u32, resource: Resource<'a>) {
        let group = self.groups.entry(group).or_insert_with(|| Group::New(BTreeMap::new()));
        if let Group::Made(_) = group {
            *group = Group::New(BTreeMap::new());
        }
        if let Group::New(slots) = group {
            slots.insert(binding, resource);
        }
    }
}

/// A group that a dispatch is about to set.
enum MadeGroup<'a> {
    Own(raw::BindGroup),
    Borrowed(&'a raw::BindGroup),
}

impl MadeGroup<'_> {
    fn raw(&self) -> &raw::BindGroup {
        match self {
            Self::Own(group) => group,
            Self::Borrowed(group) => group,
        }
    }
}

/// Buffers bound to one group once, for any number of dispatches of a kernel. It keeps its buffers alive.
///
/// ```no_run
/// # use isobit::Gpu;
/// # let gpu = Gpu::new();
/// # let (step, a, b) = (gpu.kernel("")?, gpu.buffer::<f32>(64)?, gpu.buffer::<f32>(64)?);
/// let there = step.bind_group(0).bind(0, &a).bind(1, &b).create()?;
/// let back = step.bind_group(0).bind(0, &b).bind(1, &a).create()?;
/// let mut batch = gpu.batch();
/// for _ in 0..100 {
///     step.dispatch().group(&there).threads(64).record(&mut batch)?;
///     step.dispatch().group(&back).threads(64).record(&mut batch)?;
/// }
/// batch.submit()?;
/// # Ok::<(), isobit::Error>(())
/// ```
#[derive(Debug)]
pub struct BindGroup {
    index: u32,
    raw: raw::BindGroup,
}

impl BindGroup {
    /// The handle of the generated bindings.
    pub fn raw(&self) -> &raw::BindGroup {
        &self.raw
    }
}

/// Sets up a [`BindGroup`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `create`"]
pub struct BindGroupBuilder<'a> {
    kernel: &'a Kernel,
    index: u32,
    slots: BTreeMap<u32, Resource<'a>>,
}

impl<'a> BindGroupBuilder<'a> {
    pub(crate) fn new(kernel: &'a Kernel, index: u32) -> Self {
        Self { kernel, index, slots: BTreeMap::new() }
    }

    /// Binds a buffer, or a slice that starts on a multiple of 256 bytes, to `@binding(n)`.
    pub fn bind(mut self, binding: u32, buffer: impl Into<Binding<'a>>) -> Self {
        self.slots.insert(binding, Resource::Buffer(buffer.into()));
        self
    }

    /// Gives one value, at most 64 KiB, to `@binding(n) var<uniform>`. It is the same in every dispatch of the group.
    pub fn uniform<T: Pod>(mut self, binding: u32, value: &T) -> Self {
        self.slots.insert(binding, uniform(value));
        self
    }

    /// Makes the group.
    ///
    /// # Errors
    /// [`Error::Validation`](crate::Error::Validation) if what is bound does not fit the kernel.
    pub fn create(self) -> Result<BindGroup> {
        Ok(BindGroup { index: self.index, raw: bind_group(self.kernel, self.index, self.slots)? })
    }
}

fn uniform<T: Pod>(value: &T) -> Resource<'static> {
    let mut bytes = bytemuck::bytes_of(value).to_vec();
    bytes.resize(bytes.len().next_multiple_of(UNIFORM_ROW).max(UNIFORM_ROW), 0);
    Resource::Uniform(bytes)
}

/// A bind group of these slots, with a uniform buffer for each value among them.
fn bind_group(kernel: &Kernel, group: u32, slots: BTreeMap<u32, Resource<'_>>) -> Result<raw::BindGroup> {
    let layout = kernel.layout(group)?;
    // The entries borrow the uniform buffers, so these come first.
    let mut uniforms = BTreeMap::new();
    let mut ranges = BTreeMap::new();
    for (binding, resource) in slots {
        match resource {
            Resource::Buffer(bound) => {
                ranges.insert(binding, bound.range?);
            }
            Resource::Uniform(bytes) => {
                let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let buffer = raw::Buffer::create(size, BufferUsage::UNIFORM)?;
                buffer.write(0, &bytes)?;
                uniforms.insert(binding, (buffer, size));
            }
        }
    }
    let uniforms = uniforms.iter().map(|(&binding, (buffer, size))| (binding, (buffer, 0, *size)));
    let entries: Vec<_> = ranges
        .into_iter()
        .chain(uniforms)
        .map(|(binding, (buffer, offset, size))| BindGroupEntry { binding, buffer, offset, size: Some(size) })
        .collect();
    raw::BindGroup::create(layout, &entries).map_err(|error| Error::from(error).about(kernel.label()))
}

/// As few rows as hold `workgroups`, all of one length.
fn rows(workgroups: u64) -> [u32; 3] {
    let rows = workgroups.div_ceil(WORKGROUPS_PER_DIMENSION).max(1);
    let width = workgroups.div_ceil(rows);
    // More than 65535 rows do not fit the device; the host refuses them.
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    [u32::try_from(width).unwrap_or(u32::MAX), rows, 1]
}

/// Commands that are submitted together, in order. One submission costs less than many.
///
/// ```no_run
/// # use isobit::Gpu;
/// # let gpu = Gpu::new();
/// # let (step, a, b) = (gpu.kernel("")?, gpu.buffer::<f32>(64)?, gpu.buffer::<f32>(64)?);
/// let mut batch = gpu.batch();
/// for _ in 0..100 {
///     step.dispatch().bind(0, &a).bind(1, &b).record(&mut batch)?;
///     batch.copy(&b, &a)?;
/// }
/// batch.submit()?;
/// # Ok::<(), isobit::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until `submit`"]
pub struct Batch {
    // Dropped before the encoder it belongs to.
    pass: Option<raw::ComputePass>,
    encoder: raw::CommandEncoder,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { pass: None, encoder: raw::CommandEncoder::new() }
    }

    /// Copies all elements of one buffer or slice over the first ones of another, on the device.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a slice beyond the end of its buffer. A copy that does
    /// not fit the destination, or is not a multiple of 4 bytes, fails at [`submit`](Self::submit).
    pub fn copy<'a, T: Pod>(
        &mut self,
        source: impl Into<BufferSlice<'a, T>>,
        destination: impl Into<BufferSlice<'a, T>>,
    ) -> Result<()> {
        let (source, source_offset, size) = source.into().parts()?;
        let (destination, destination_offset, _) = destination.into().parts()?;
        self.pass = None;
        self.encoder.copy_buffer_to_buffer(source, source_offset, destination, destination_offset, size);
        Ok(())
    }

    /// Sets the elements of a buffer or slice to zero.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn clear<'a, T: Pod>(&mut self, buffer: impl Into<BufferSlice<'a, T>>) -> Result<()> {
        let (buffer, offset, size) = buffer.into().parts()?;
        self.pass = None;
        self.encoder.clear_buffer(buffer, offset, size);
        Ok(())
    }

    /// Submits all commands. The guest goes on while the device works.
    ///
    /// # Errors
    /// The error of the first command that broke a rule; then no command of the batch is run.
    pub fn submit(self) -> Result<()> {
        let Self { pass, encoder } = self;
        drop(pass);
        let commands = raw::CommandEncoder::finish(encoder)?;
        Ok(raw::submit(vec![commands])?)
    }

    /// The open compute pass: dispatches one after the other share one.
    fn pass(&mut self) -> &raw::ComputePass {
        self.pass.get_or_insert_with(|| self.encoder.begin_compute_pass())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workgroups_beyond_one_row_are_spread_over_rows_of_equal_length() {
        assert_eq!(rows(0), [0, 1, 1]);
        assert_eq!(rows(1), [1, 1, 1]);
        assert_eq!(rows(65_535), [65_535, 1, 1]);
        assert_eq!(rows(65_536), [32_768, 2, 1]);
        for count in [65_537, 1 << 20, 65_535 * 65_535] {
            let [x, y, z] = rows(count);
            assert!(x <= 65_535 && y <= 65_535 && z == 1);
            let all = u64::from(x) * u64::from(y);
            assert!(all >= count && all - count < u64::from(y));
        }
    }
}
