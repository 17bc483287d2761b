//! What all layers of a network share: the device, compiled kernels, and the step that is being computed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use isobit::{Batch, BindGroup, BindGroupBuilder, Buffer, Gpu, Kernel, Pod, Result, Zeroable};

/// Which rows a network computes, field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
pub struct Step {
    /// Rows of the activations that count.
    pub tokens: u32,
    /// Rows of earlier steps.
    pub start: u32,
    /// Uniform buffers are made of rows of 16 bytes.
    pub padding: [u32; 2],
}

/// Choices for a kernel: the names and values of its overrides.
pub(crate) type Overrides<'a> = &'a [(&'static str, f64)];

/// What the layers of a network share.
#[derive(Debug)]
pub struct Network {
    gpu: Gpu,
    step: Buffer<Step>,
    /// By WGSL, entry point and overrides: layers of one kind share a kernel.
    kernels: RefCell<BTreeMap<String, Rc<Kernel>>>,
}

impl Network {
    /// A network without layers.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](isobit::Error::OutOfMemory) over the job's device memory.
    pub fn new() -> Result<Self> {
        let gpu = Gpu::new();
        let step = gpu.uniform(&Step::zeroed())?;
        Ok(Self { gpu, step, kernels: RefCell::default() })
    }

    /// The device.
    pub fn gpu(&self) -> Gpu {
        self.gpu
    }

    /// Says which rows the layers compute that are submitted from now on.
    ///
    /// # Errors
    /// None at present.
    pub fn start_step(&self, tokens: u32, start: u32) -> Result<()> {
        self.step.write(&[Step { tokens, start, padding: [0; 2] }])
    }

    pub(crate) fn step(&self) -> &Buffer<Step> {
        &self.step
    }

    /// A kernel, compiled when it is first asked for.
    pub(crate) fn kernel(&self, wgsl: &str, entry_point: &str, overrides: Overrides<'_>) -> Result<Rc<Kernel>> {
        let name = format!("{entry_point} {overrides:?} {wgsl}");
        if let Some(kernel) = self.kernels.borrow().get(&name) {
            return Ok(Rc::clone(kernel));
        }
        let module = self.gpu.module(wgsl)?;
        let mut builder = module.kernel_builder().entry_point(entry_point);
        for (name, value) in overrides {
            builder = builder.constant(name, *value);
        }
        let kernel = Rc::new(builder.create()?);
        self.kernels.borrow_mut().insert(name, Rc::clone(&kernel));
        Ok(kernel)
    }
}

/// A kernel with what is bound to it.
#[derive(Debug)]
pub(crate) struct Call {
    kernel: Rc<Kernel>,
    group: BindGroup,
}

impl Call {
    pub(crate) fn new<'a>(
        kernel: &'a Rc<Kernel>,
        bind: impl FnOnce(BindGroupBuilder<'a>) -> BindGroupBuilder<'a>,
    ) -> Result<Self> {
        let group = bind(kernel.bind_group(0)).create()?;
        Ok(Self { kernel: Rc::clone(kernel), group })
    }

    /// Records a dispatch of `columns` by `rows` invocations.
    pub(crate) fn record(&self, batch: &mut Batch, columns: u32, rows: u32) -> Result<()> {
        let [width, height, _] = self.kernel.workgroup_size();
        let workgroups = [columns.div_ceil(width.max(1)), rows.div_ceil(height.max(1)), 1];
        let [x, y, z] = workgroups;
        self.kernel.dispatch().group(&self.group).workgroups(x, y, z).record(batch)
    }

    /// Records a dispatch of `columns` by `rows` workgroups.
    pub(crate) fn record_workgroups(&self, batch: &mut Batch, columns: u32, rows: u32) -> Result<()> {
        self.kernel.dispatch().group(&self.group).workgroups(columns, rows, 1).record(batch)
    }
}

/// A length as WGSL has it. What is too long for a device fails where memory is asked for.
pub(crate) fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
