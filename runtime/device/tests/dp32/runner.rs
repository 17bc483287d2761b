//! Runs a kernel on every device of this machine, as written and in its dp32 form, straight on wgpu: without the slices and
//! the bookkeeping of [`isobit_device::Device`], and with the tier of one's choice.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use isobit_shader::dp32::{STATUS_BYTES, SYSTEM_GROUP, Status, SystemParams};
use isobit_shader::interpreter::{self, Race, Races, SystemBuffers, words_of};
use isobit_shader::{BufferBindingType, EntryPoint, Kernel, Profile, Tier};
use wgpu::util::DeviceExt as _;

use crate::seen::expect_drivers;

/// One dispatch: a kernel with one entry point, and all that it is given.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub wgsl: String,
    /// Values of its overrides.
    pub constants: Vec<(String, f64)>,
    /// What is bound to `@group(0) @binding(n)`, in the order of n.
    pub buffers: Vec<Vec<u8>>,
    pub workgroups: [u32; 3],
}

/// What a dispatch has left behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    pub buffers: Vec<Vec<u8>>,
    /// What the lowered form has counted.
    pub status: Status,
}

impl Outcome {
    /// Where another outcome differs.
    pub fn difference(&self, other: &Outcome) -> Option<String> {
        if self.status != other.status {
            return Some(format!("{:?} became {:?}", self.status, other.status));
        }
        for (binding, (a, b)) in self.buffers.iter().zip(&other.buffers).enumerate() {
            let words = a
                .as_chunks()
                .0
                .iter()
                .zip(b.as_chunks().0)
                .map(|(a, b)| (u32::from_le_bytes(*a), u32::from_le_bytes(*b)));
            if let Some((index, (a, b))) = words.enumerate().find(|(_, (a, b))| a != b) {
                return Some(format!("word {index} of binding {binding} is {a:#010x} and {b:#010x}"));
            }
        }
        (self != other).then(|| "buffers of different lengths".to_owned())
    }
}

/// The form in which a kernel is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Native,
    Dp32(Tier),
}

/// A device on wgpu.
pub struct Gpu {
    pub name: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Gpu {
    /// All of this machine.
    pub fn all() -> &'static [Gpu] {
        static ALL: OnceLock<Vec<Gpu>> = OnceLock::new();
        ALL.get_or_init(|| {
            let all = Gpu::behind(wgpu::Backends::all() - wgpu::Backends::GL);
            assert!(!all.is_empty(), "no device: run `cargo xtask setup`");
            expect_drivers(all.iter().map(|gpu| gpu.name.as_str()));
            all
        })
    }

    /// Those behind OpenGL. isobit does not use them: they are examples of what drivers make of a shader.
    pub fn behind_opengl() -> Vec<Gpu> {
        Gpu::behind(wgpu::Backends::GL)
    }

    fn behind(backends: wgpu::Backends) -> Vec<Gpu> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(backends));
        let open = |adapter: &wgpu::Adapter| {
            let refused = |error| skip(&format!("{} could not be opened: {error}", adapter.get_info().name));
            Gpu::open(adapter).map_err(refused).ok()
        };
        adapters.iter().filter_map(open).collect()
    }

    fn open(adapter: &wgpu::Adapter) -> Result<Gpu, wgpu::RequestDeviceError> {
        let info = adapter.get_info();
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: wgpu::Limits {
                max_storage_buffers_per_shader_stage: 8,
                ..wgpu::Limits::downlevel_defaults()
            },
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        Ok(Gpu { name: format!("{} ({})", info.name, info.backend), device, queue })
    }

    /// Runs a program; what the driver or wgpu refuse is an error.
    pub fn run(&self, kernel: &Kernel, program: &Program, form: Form) -> Result<Outcome, String> {
        let resolved = kernel.resolve(None, &program.constants).map_err(|error| error.to_string())?;
        let (module, entry_point) = match form {
            Form::Native => (resolved.module().clone(), resolved.entry_point().clone()),
            Form::Dp32(tier) => {
                let lowered = resolved.lower().map_err(|error| error.to_string())?;
                let module = lowered.realize(tier).map_err(|error| error.to_string())?;
                (module, lowered.entry_point().clone())
            }
        };
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let outcome = self.dispatch(module, &entry_point, program, form);
        for scope in [internal, scope] {
            if let Some(error) = pollster::block_on(scope.pop()) {
                return Err(error.to_string());
            }
        }
        outcome
    }

    fn dispatch(
        &self,
        module: naga::Module,
        entry_point: &EntryPoint,
        program: &Program,
        form: Form,
    ) -> Result<Outcome, String> {
        let device = &self.device;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Naga(Cow::Owned(module)),
        });
        let visible = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let layout = |entries: &[wgpu::BindGroupLayoutEntry]| {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries })
        };
        let guests: Vec<_> = entry_point
            .bindings
            .iter()
            .map(|binding| {
                let ty = match binding.ty {
                    BufferBindingType::Uniform => wgpu::BufferBindingType::Uniform,
                    BufferBindingType::Storage => wgpu::BufferBindingType::Storage { read_only: false },
                    BufferBindingType::ReadOnlyStorage => wgpu::BufferBindingType::Storage { read_only: true },
                };
                visible(binding.binding, ty)
            })
            .collect();
        let mut layouts = vec![layout(&guests)];
        if let Form::Dp32(_) = form {
            layouts.resize_with(SYSTEM_GROUP as usize, || layout(&[]));
            layouts.push(layout(&[
                visible(0, wgpu::BufferBindingType::Storage { read_only: true }),
                visible(1, wgpu::BufferBindingType::Storage { read_only: false }),
            ]));
        }
        let borrowed: Vec<_> = layouts.iter().map(Some).collect();
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &borrowed,
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(&entry_point.name),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });

        let upload = |contents: &[u8]| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::UNIFORM;
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
        };
        let mut buffers: Vec<_> = program.buffers.iter().map(|bytes| upload(bytes)).collect();
        let bind = |layout: &wgpu::BindGroupLayout, buffers: &[(u32, &wgpu::Buffer)]| {
            let entries: Vec<_> = buffers
                .iter()
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding: *binding,
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
        };
        let used: Vec<_> =
            entry_point.bindings.iter().map(|binding| (binding.binding, &buffers[binding.binding as usize])).collect();
        let mut groups = vec![bind(&layouts[0], &used)];
        let (params, status) =
            (upload(&SystemParams::whole(program.workgroups).to_bytes()), upload(&[0; STATUS_BYTES]));
        if let Form::Dp32(_) = form {
            groups.extend(layouts[1..SYSTEM_GROUP as usize].iter().map(|layout| bind(layout, &[])));
            groups.push(bind(&layouts[SYSTEM_GROUP as usize], &[(0, &params), (1, &status)]));
        }
        buffers.push(status);

        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        for (index, group) in (0..).zip(&groups) {
            pass.set_bind_group(index, group, &[]);
        }
        let [x, y, z] = program.workgroups;
        pass.dispatch_workgroups(x, y, z);
        drop(pass);
        let downloads: Vec<_> = buffers
            .iter()
            .map(|buffer| {
                let download = device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: buffer.size(),
                    usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                    mapped_at_creation: false,
                });
                encoder.copy_buffer_to_buffer(buffer, 0, &download, 0, buffer.size());
                download
            })
            .collect();
        self.queue.submit([encoder.finish()]);
        for download in &downloads {
            download.map_async(wgpu::MapMode::Read, .., |_| {});
        }
        device
            .poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(Duration::from_secs(120)) })
            .map_err(|error| error.to_string())?;
        let mut buffers: Vec<Vec<u8>> = downloads
            .iter()
            .map(|download| download.get_mapped_range(..).map(|range| range.to_vec()).unwrap_or_default())
            .collect();
        let status = buffers.pop().unwrap_or_default();
        Ok(Outcome { buffers, status: Status::from_bytes(&status, entry_point.invocations()) })
    }
}

/// Runs a program in the interpreter.
pub fn interpret(kernel: &Kernel, program: &Program) -> Result<Outcome, String> {
    interpret_with(kernel, program, None)
}

/// Runs a program in the interpreter, and says which races it found.
pub fn interpret_watched(kernel: &Kernel, program: &Program) -> Result<(Outcome, Vec<Race>), String> {
    let mut races = Races::new(program.wgsl.as_str().into(), 8);
    let outcome = interpret_with(kernel, program, Some(&mut races))?;
    Ok((outcome, races.into_report().races))
}

fn interpret_with(kernel: &Kernel, program: &Program, races: Option<&mut Races>) -> Result<Outcome, String> {
    let resolved = kernel.resolve(None, &program.constants).map_err(|error| error.to_string())?;
    let lowered = resolved.lower().map_err(|error| error.to_string())?;
    let compiled =
        interpreter::Program::compile(lowered.module(), lowered.info()).map_err(|error| error.to_string())?;
    let bytes = |words: Vec<AtomicU32>| -> Vec<u8> {
        words.into_iter().flat_map(|word| word.into_inner().to_le_bytes()).collect()
    };
    let bound: Vec<_> = program.buffers.iter().map(|bytes| words_of(bytes)).collect();
    let system = SystemBuffers::new(SystemParams::whole(program.workgroups));
    let mut buffers = interpreter::Buffers::new();
    for (binding, words) in (0..).zip(&bound) {
        buffers.bind(0, binding, words);
    }
    buffers.bind_system(&system);
    let (workgroups, go_on) = (program.workgroups, AtomicBool::new(false));
    let ran = match races {
        Some(races) => compiled.run_part_watched(&buffers, workgroups, 0..u64::MAX, &go_on, races),
        None => compiled.run(&buffers, workgroups, &go_on),
    };
    ran.map_err(|stopped| format!("{stopped:?}"))?;
    let status = system.status(lowered.entry_point().invocations());
    Ok(Outcome { buffers: bound.into_iter().map(bytes).collect(), status })
}

/// Checks a program under dp32 rules.
pub fn prepare(program: &Program) -> Result<Kernel, String> {
    isobit_shader::prepare(&program.wgsl, Profile::Dp32).map_err(|error| error.to_string())
}

/// Says that a test, or a part of one, cannot run here. `cargo xtask test` counts these lines.
pub fn skip(reason: &str) {
    println!("SKIP: {reason}");
}
