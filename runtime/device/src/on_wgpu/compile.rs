//! Passes a checked kernel to the driver's compiler, in the form for the device's tier.

use isobit_job::Fault;
use isobit_shader::dp32::SYSTEM_GROUP;
use isobit_shader::{KernelError, Lowered, Resolved};

use super::system::System;
use super::{WgpuBackend, mapping};
use crate::core::backend::{Compile, Compiled, Made, Waits};

impl WgpuBackend {
    pub(super) fn compile_kernel(&mut self, kernel: &Compile<'_>, waits: &Waits) -> Result<Compiled, Fault> {
        let mut layouts = Vec::new();
        for layout in kernel.layouts {
            layouts.push(match layout.entries() {
                [] => None,
                _ => Some(self.raw_layout(layout)?),
            });
        }
        let module = match kernel.lowered {
            None => kernel.kernel.module().clone(),
            Some(lowered) => {
                layouts.resize(mapping::host_size(u64::from(SYSTEM_GROUP))?, None);
                let system = match &self.system {
                    Some(system) => system.layout.clone(),
                    None => self.system.insert(System::new(&self.guard)?).layout.clone(),
                };
                layouts.push(Some(system));
                self.realize(kernel.kernel, lowered)?
            }
        };
        let module = self.guard.compile(waits, |device| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(module)),
            })
        })?;
        let entry_point = kernel.kernel.entry_point().name.clone();
        let raw = self.guard.compile(waits, move |device| {
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
        })?;
        Ok(Compiled { made: Made::new(raw), is_sliced: kernel.lowered.is_some() })
    }

    /// The module that the driver gets for a kernel under profile dp32.
    fn realize(&self, kernel: &Resolved, lowered: &Lowered) -> Result<wgpu::naga::Module, Fault> {
        #[cfg(test)]
        if self.careless.is_some_and(|tier| tier == self.tier) {
            return Ok(kernel.module().clone());
        }
        let _ = kernel;
        // Differences between tiers must not be visible to a guest.
        lowered.realize(self.tier).map_err(KernelError::into_fault)
    }
}
