//! Runs kernels, on wgpu or on the CPU alone.
//!
//! ```text
//! probe        checks how far each adapter can be trusted, and opens it accordingly
//!  adapter     lists and selects devices
//!   device     an open device without a job
//!    observe   watches dispatches: spot checks, the race detector
//!     referee  replays workgroups on the interpreter
//!    on_wgpu, on_cpu   the backends: carry out resolved actions
//!      core    one job's device: WebGPU's rules, handles, memory, fuel, the queue, the interfaces of backends and observers
//! ```
//!
//! Each module uses those below it. A [`Gpu`] belongs to one job. Its caller passes on the guest's requests. Every mistake of the
//! guest's is a typed [`DeviceError`] that is the same on every device, and the provider's own trouble is
//! [`DeviceError::Fault`]. No request of a guest can cause a panic.
//!
//! ```
//! use isobit_device::{BufferUsage, DeviceClass, DeviceSelector, GroupEntry, JobLimits, Source, Stop, open};
//! use isobit_shader::{Profile, prepare};
//!
//! let limits = JobLimits { memory: 1 << 20, kernel_fuel: 1 << 30, class: DeviceClass::Base };
//! let mut gpu = open(&DeviceSelector::Cpu)?.start(limits, Stop::default());
//! let kernel = prepare(
//!     "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
//!      @compute @workgroup_size(2) fn main(@builtin(local_invocation_index) i: u32) { a[i] *= 3.0; }",
//!     Profile::Dp32,
//! )?;
//! let pipeline = gpu.create_compute_pipeline(&kernel, None, None, &[])?;
//! let buffer = gpu.create_buffer(8, BufferUsage::STORAGE)?;
//! gpu.write(&buffer, 0, Source::Slice(&[1.0_f32.to_le_bytes(), 0.5_f32.to_le_bytes()].concat()))?;
//! let layout = gpu.bind_group_layout_of(&pipeline, 0)?;
//! let group = gpu.create_bind_group(
//!     &layout,
//!     &[GroupEntry { binding: 0, buffer: buffer.clone(), offset: 0, size: None }],
//! )?;
//! let mut encoder = gpu.create_command_encoder();
//! encoder.begin_pass();
//! encoder.set_pipeline(&pipeline);
//! encoder.set_bind_group(0, &group, &[]);
//! encoder.dispatch([1, 1, 1]);
//! encoder.end_pass();
//! gpu.submit(&encoder.finish()?)?;
//! assert_eq!(gpu.read(&buffer, 0, 4)?[..], 3.0_f32.to_le_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adapter;
mod core;
mod device;
mod error;
mod info;
mod limits;
mod observe;
mod on_cpu;
mod on_wgpu;
pub mod probe;
mod readback;
mod referee;
#[cfg(test)]
mod seen;
mod source;
mod stop;
mod verdicts;

pub use self::core::{
    Activity, BindGroup, BindGroupLayout, Buffer, BufferUsage, CommandBuffer, CommandEncoder, ComputePipeline, Gpu,
    GroupEntry, HostCharge, JobLimits, KernelTotals, KernelUse, LayoutEntry, MAX_COMMANDS, MAX_HOST_MEMORY, MemoryUse,
    Recording, Span, SpanKind, Timeline, Totals, check_entry_point,
};
pub use adapter::{Adapter, AdapterReport, DeviceSelector, list_adapters, list_devices, open, open_cpu, select};
pub use device::{Device, Policy};
pub use error::{DeviceError, OpenError};
pub use info::{DeviceInfo, DeviceKind};
pub use isobit_job::DeviceClass;
pub use isobit_shader::interpreter::{Race, RaceAccess, RaceMemory, RaceReport};
pub use isobit_shader::{BufferBindingType, Diagnostic, Kernel, SourceLocation, Tier};
pub use limits::DeviceLimits;
pub use observe::{ParseSpotChecksError, RaceLog, SpotChecks};
pub use on_wgpu::AdapterOptions;
pub use probe::{open_probed, reopen_if_demoted};
pub use readback::Readback;
pub use source::Source;
pub use stop::Stop;
