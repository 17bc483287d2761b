//! From a kernel to a pipeline: checks, the form that the device's tier asks for, and the driver's compiler.

use std::sync::Arc;

use isobit_shader::dp32::SYSTEM_GROUP;
use isobit_shader::{Kernel, Lowered};

use super::pace::Pace;
use super::system::System;
use super::{Dp32, Layout, Pipeline, WgpuDevice, mapping};
use crate::{BindGroupLayoutId, DeviceError, DeviceFault, ShaderModuleId, check};

impl WgpuDevice {
    /// A pipeline as [`Device::create_compute_pipeline`] makes it.
    pub(super) fn new_pipeline(
        &mut self,
        module: ShaderModuleId,
        entry_point: Option<&str>,
        layout: Option<&[BindGroupLayoutId]>,
        constants: &[(String, f64)],
    ) -> Result<Pipeline, DeviceError> {
        let stale = || check::stale(module);
        if self.modules.get(module).ok_or_else(stale)?.raw.is_none() && self.system.is_none() {
            self.system = Some(System::new(&self.guard)?);
        }
        let module = self.modules.get(module).ok_or_else(stale)?;
        let entry = module.kernel.entry_point(entry_point).map_err(DeviceError::Validation)?;
        let lowered = match module.raw {
            Some(_) => None,
            None => Some(module.kernel.lower(entry, constants).map_err(DeviceError::Validation)?),
        };
        let entry = match &lowered {
            Some(lowered) => lowered.entry_point().clone(),
            None => module.kernel.specialize(entry, constants).map_err(DeviceError::Validation)?,
        };
        let name = entry.name.clone();
        let given: Option<Vec<Layout>> =
            layout.map(|ids| ids.iter().map(|&id| self.layout(id).cloned()).collect()).transpose()?;
        let given_shapes = given.as_ref().map(|layouts| {
            let shapes = layouts.iter().map(|layout| Arc::clone(&layout.shape));
            shapes.collect()
        });
        let shape = check::pipeline(entry, given_shapes)?;
        let layouts = match given {
            Some(layouts) => layouts,
            None => shape.layouts.iter().map(|shape| self.raw_layout(Arc::clone(shape))).collect::<Result<_, _>>()?,
        };
        let used = |layout: &Layout| Some(layout.raw.clone()).filter(|_| !layout.shape.entries.is_empty());
        let mut raw_layouts: Vec<_> = layouts.iter().map(used).collect();
        let invocations = shape.workgroup_size.iter().product();
        let (raw, cost, dp32) = match (&module.raw, lowered) {
            (Some(raw), _) => (self.raw_pipeline(raw, &name, raw_layouts, constants)?, u64::from(invocations), None),
            (None, None) => return Err(DeviceFault::Driver { message: "the kernel was not lowered".to_owned() }.into()),
            (None, Some(lowered)) => {
                let realized = self.realize(&module.kernel, &lowered)?;
                let (source, lowered) = (Arc::clone(module.kernel.source()), Arc::new(lowered));
                let raw = self.raw_module(realized)?;
                raw_layouts.resize(mapping::host_size(u64::from(SYSTEM_GROUP))?, None);
                raw_layouts.push(self.system.as_ref().map(|system| system.layout.clone()));
                let raw = self.raw_pipeline(&raw, &name, raw_layouts, &[])?;
                let cost = u64::from(invocations) * u64::from(lowered.invocation_cost());
                (raw, cost, Some(Dp32 { pace: Arc::new(Pace::new(cost)), lowered, source }))
            }
        };
        Ok(Pipeline { shape, layouts, raw, invocations, cost, dp32 })
    }

    /// What the driver is given of a kernel under profile dp32.
    fn realize(&self, kernel: &Kernel, lowered: &Lowered) -> Result<wgpu::naga::Module, DeviceError> {
        #[cfg(test)]
        if self.careless.is_some_and(|tier| tier == self.tier) {
            return Ok(kernel.module().clone());
        }
        let _ = kernel;
        // What tiers differ in is not to be seen by a guest.
        lowered.realize(self.tier).map_err(|error| DeviceFault::Driver { message: error.to_string() }.into())
    }

    /// Hands a checked module to wgpu.
    pub(super) fn raw_module(&self, module: wgpu::naga::Module) -> Result<wgpu::ShaderModule, DeviceError> {
        self.guard.compile(&self.work.stop, self.work.patience, |device| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(module)),
            })
        })
    }

    /// Has the driver compile an entry point.
    fn raw_pipeline(
        &self,
        module: &wgpu::ShaderModule,
        entry_point: &str,
        layouts: Vec<Option<wgpu::BindGroupLayout>>,
        constants: &[(String, f64)],
    ) -> Result<wgpu::ComputePipeline, DeviceError> {
        let (module, entry_point, constants) = (module.clone(), entry_point.to_owned(), constants.to_vec());
        self.guard.compile(&self.work.stop, self.work.patience, move |device| {
            let layouts: Vec<_> = layouts.iter().map(Option::as_ref).collect();
            let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &layouts,
                immediate_size: 0,
            });
            let constants: Vec<_> = constants.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&layout),
                module: &module,
                entry_point: Some(&entry_point),
                compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() },
                cache: None,
            })
        })
    }
}
