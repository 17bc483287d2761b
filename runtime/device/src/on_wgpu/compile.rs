//! From a kernel to a pipeline: checks, the form that the device's tier asks for, and the driver's compiler.

use std::sync::Arc;

use isobit_shader::dp32::SYSTEM_GROUP;
use isobit_shader::{Kernel, Lowered, Profile, Resolved};

use super::pace::Pace;
use super::system::System;
use super::{Dp32, Layout, Pipeline, WgpuDevice, mapping};
use crate::{BindGroupLayoutId, DeviceError, DeviceFault, ShaderModuleId, check};

/// What a driver is given.
enum Form {
    Native(Box<Resolved>),
    Dp32(Arc<Lowered>),
}

impl WgpuDevice {
    /// A pipeline as [`Device::create_compute_pipeline`] makes it.
    pub(super) fn new_pipeline(
        &mut self,
        module: ShaderModuleId,
        entry_point: Option<&str>,
        layout: Option<&[BindGroupLayoutId]>,
        constants: &[(String, f64)],
    ) -> Result<Pipeline, DeviceError> {
        let module = self.modules.get(module).ok_or_else(|| check::stale(module))?;
        let entry = module.kernel.entry_point(entry_point).map_err(DeviceError::Validation)?;
        let form = match module.kernel.profile() {
            Profile::Native => {
                let resolved = module.kernel.resolve(entry, constants).map_err(DeviceError::Validation)?;
                Form::Native(Box::new(resolved))
            }
            _ => Form::Dp32(Arc::new(module.kernel.lower(entry, constants).map_err(DeviceError::Validation)?)),
        };
        let entry = match &form {
            Form::Native(resolved) => resolved.entry_point.clone(),
            Form::Dp32(lowered) => lowered.entry_point().clone(),
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
        let (raw, cost, dp32) = match form {
            Form::Native(resolved) => {
                let raw = self.raw_module(resolved.module)?;
                (self.raw_pipeline(&raw, &name, raw_layouts)?, u64::from(invocations), None)
            }
            Form::Dp32(lowered) => {
                let realized = self.realize(&module.kernel, &lowered)?;
                let source = Arc::clone(module.kernel.source());
                let raw = self.raw_module(realized)?;
                raw_layouts.resize(mapping::host_size(u64::from(SYSTEM_GROUP))?, None);
                let system = match &self.system {
                    Some(system) => system.layout.clone(),
                    None => self.system.insert(System::new(&self.guard)?).layout.clone(),
                };
                raw_layouts.push(Some(system));
                let raw = self.raw_pipeline(&raw, &name, raw_layouts)?;
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
            let (module, _) = kernel.module(&lowered.entry_point().name).map_err(DeviceError::Validation)?;
            return Ok(module.clone());
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
    ) -> Result<wgpu::ComputePipeline, DeviceError> {
        let (module, entry_point) = (module.clone(), entry_point.to_owned());
        self.guard.compile(&self.work.stop, self.work.patience, move |device| {
            let layouts: Vec<_> = layouts.iter().map(Option::as_ref).collect();
            let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &layouts,
                immediate_size: 0,
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&layout),
                module: &module,
                entry_point: Some(&entry_point),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        })
    }
}
