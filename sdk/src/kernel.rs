//! From WGSL to what a dispatch needs: a compute pipeline and its bind group layouts.

use std::cell::OnceCell;

use crate::bindings::isobit::compute::gpu::{self as raw, BindGroupLayoutEntry, BufferBindingType};
use crate::{BindGroupBuilder, Dispatch, Error, Result};

/// A guest's bind groups: `@group(0)` to `@group(2)`.
const GROUPS: usize = 3;

/// WGSL that was checked, with one or more entry points.
#[derive(Debug)]
pub struct ShaderModule {
    raw: raw::ShaderModule,
}

impl ShaderModule {
    pub(crate) fn create(wgsl: &str) -> Result<Self> {
        Ok(Self { raw: raw::ShaderModule::create(wgsl)? })
    }

    /// Compiles the kernel that starts at one entry point. Its bindings are taken from the source.
    ///
    /// # Errors
    /// [`Error::Validation`] if there is no such entry point, or the device's rules forbid it.
    pub fn kernel(&self, entry_point: &str) -> Result<Kernel> {
        self.kernel_builder().entry_point(entry_point).create()
    }

    /// Starts a kernel with further choices, such as overrides.
    pub fn kernel_builder(&self) -> KernelBuilder<'_> {
        KernelBuilder { module: &self.raw, label: None, entry_point: None, layouts: Vec::new(), constants: Vec::new() }
    }
}

/// Choices for one kernel.
///
/// ```no_run
/// # use isobit::{Gpu, Slot};
/// # let (gpu, source) = (Gpu::new(), "");
/// let kernel = gpu
///     .module(source)?
///     .kernel_builder()
///     .entry_point("sum_tiles")
///     .constant("TILE", 32.0)
///     .layout([Slot::read_only(0), Slot::storage(1), Slot::uniform(2)])
///     .create()?;
/// # Ok::<(), isobit::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `create`"]
pub struct KernelBuilder<'a> {
    module: &'a raw::ShaderModule,
    label: Option<String>,
    entry_point: Option<&'a str>,
    layouts: Vec<Vec<BindGroupLayoutEntry>>,
    constants: Vec<raw::OverrideValue>,
}

impl<'a> KernelBuilder<'a> {
    /// The name of the kernel in errors. The default is the name of the entry point that was asked for, if any.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The function to start at. Needed if the source has more than one entry point.
    pub fn entry_point(mut self, name: &'a str) -> Self {
        self.entry_point = Some(name);
        self
    }

    /// Sets an `override` of the WGSL, by its name or by its `@id` in decimal. The value is converted to
    /// the override's type.
    pub fn constant(mut self, name: &str, value: f64) -> Self {
        self.constants.push(raw::OverrideValue { name: name.to_owned(), value });
        self
    }

    /// Declares the bindings of the next group: the first call those of `@group(0)`, the second those of
    /// `@group(1)`. Without a call, all bindings are taken from the source, and a variable that it
    /// declares but does not use is not a binding.
    pub fn layout(mut self, slots: impl IntoIterator<Item = Slot>) -> Self {
        self.layouts.push(slots.into_iter().map(|slot| slot.entry).collect());
        self
    }

    /// Compiles the kernel.
    ///
    /// # Errors
    /// [`Error::Validation`] for an entry point, constant or layout that does not fit the source.
    pub fn create(self) -> Result<Kernel> {
        let label = self.label.or_else(|| self.entry_point.map(str::to_owned));
        let about = |error: raw::Error| Error::from(error).about(label.as_deref());
        let layouts = self.layouts.iter().map(|entries| raw::BindGroupLayout::create(entries));
        let layouts = layouts.collect::<Result<Vec<_>, _>>().map_err(about)?;
        let borrowed: Vec<_> = layouts.iter().collect();
        let declared = (!layouts.is_empty()).then_some(borrowed.as_slice());
        let pipeline = raw::ComputePipeline::create(self.module, self.entry_point, declared, &self.constants);
        let pipeline = pipeline.map_err(about)?;
        Ok(Kernel { pipeline, label, layouts: [const { OnceCell::new() }; GROUPS], workgroup_size: OnceCell::new() })
    }
}

/// How a kernel uses one `@binding(n)` of a group, declared for [`KernelBuilder::layout`].
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    entry: BindGroupLayoutEntry,
}

impl Slot {
    /// `var<storage, read_write>`
    pub fn storage(binding: u32) -> Self {
        Self::new(binding, BufferBindingType::Storage)
    }

    /// `var<storage, read>`
    pub fn read_only(binding: u32) -> Self {
        Self::new(binding, BufferBindingType::ReadOnlyStorage)
    }

    /// `var<uniform>`
    pub fn uniform(binding: u32) -> Self {
        Self::new(binding, BufferBindingType::Uniform)
    }

    fn new(binding: u32, ty: BufferBindingType) -> Self {
        Self { entry: BindGroupLayoutEntry { binding, ty, has_dynamic_offset: false, min_binding_size: 0 } }
    }
}

/// A kernel, compiled for the device.
#[derive(Debug)]
pub struct Kernel {
    pipeline: raw::ComputePipeline,
    label: Option<String>,
    /// Each is requested when its group is first bound, and then kept, since a kernel may be dispatched many times.
    layouts: [OnceCell<raw::BindGroupLayout>; GROUPS],
    workgroup_size: OnceCell<[u32; 3]>,
}

impl Kernel {
    /// Starts to describe one dispatch of this kernel.
    pub fn dispatch(&self) -> Dispatch<'_> {
        Dispatch::new(self)
    }

    /// Starts to describe a bind group for many dispatches of this kernel, for `@group(index)`.
    pub fn bind_group(&self, index: u32) -> BindGroupBuilder<'_> {
        BindGroupBuilder::new(self, index)
    }

    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Invocations per workgroup along x, y and z: the kernel's `@workgroup_size`, overrides resolved.
    pub fn workgroup_size(&self) -> [u32; 3] {
        *self.workgroup_size.get_or_init(|| self.pipeline.workgroup_size().into())
    }

    /// The handle of the generated bindings.
    pub fn raw(&self) -> &raw::ComputePipeline {
        &self.pipeline
    }

    pub(crate) fn layout(&self, group: u32) -> Result<&raw::BindGroupLayout> {
        let cell = usize::try_from(group).ok().and_then(|group| self.layouts.get(group)).ok_or_else(|| {
            let message = format!("there is no @group({group}): the last one is @group({})", GROUPS - 1);
            Error::Validation { message, location: None }.about(self.label())
        })?;
        if let Some(layout) = cell.get() {
            return Ok(layout);
        }
        let layout = self.pipeline.get_bind_group_layout(group);
        let layout = layout.map_err(|error| Error::from(error).about(self.label()))?;
        Ok(cell.get_or_init(|| layout))
    }
}
