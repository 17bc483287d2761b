//! Every device of this machine: the wgpu device on each Vulkan adapter, once with buffers mapped themselves (where the
//! adapter shares the CPU's memory) and once through staging memory, and the CPU device.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test's helpers panic like the test"
)]

mod classes;
mod faults;
mod kernels;
mod memory;
mod mistakes;
mod races;
#[path = "../../../../tests/support/seen.rs"]
mod seen;
mod slices;
mod timeline;
mod transfers;

use isobit_device::{
    Adapter, AdapterOptions, BindGroup, Buffer, BufferUsage, CommandEncoder, ComputePipeline, Device, DeviceClass,
    DeviceError, DeviceSelector, Gpu, GroupEntry, JobLimits, Kernel, Policy, Source, Stop, Tier, list_adapters,
    open_cpu,
};
use isobit_job::FaultKind;
use isobit_shader::Profile;

const MIB: u64 = 1 << 20;

/// How a test has its devices.
#[derive(Clone)]
struct Setting {
    limits: JobLimits,
    policy: Policy,
    tier: Tier,
}

impl Default for Setting {
    fn default() -> Self {
        let limits = JobLimits { memory: 1 << 30, kernel_fuel: u64::MAX, class: DeviceClass::Base };
        Self { limits, policy: Policy::default(), tier: Tier::A }
    }
}

impl Setting {
    fn memory(memory: u64) -> Self {
        let mut setting = Self::default();
        setting.limits.memory = memory;
        setting
    }

    fn kernel_fuel(kernel_fuel: u64) -> Self {
        let mut setting = Self::default();
        setting.limits.kernel_fuel = kernel_fuel;
        setting
    }

    fn start(&self, device: Device) -> Gpu {
        device.with(self.policy.clone()).start(self.limits, Stop::default())
    }

    /// Runs a test on every adapter that has the class. A machine without any adapter is not set up.
    fn on_every_adapter(&self, test: impl Fn(&mut Gpu)) {
        let adapters = list_adapters();
        let capable: Vec<_> = adapters.iter().filter(|a| a.missing.is_empty()).collect();
        assert!(!capable.is_empty(), "no adapter can run kernels here ({adapters:?}): run `cargo xtask setup`");
        seen::expect_drivers(capable.iter().map(|adapter| adapter.info.name.as_str()));
        for report in capable.into_iter().filter(|report| report.info.classes.contains(&self.limits.class)) {
            let adapter = Adapter::select(&DeviceSelector::Index(report.index)).unwrap();
            for staging_only in [false, true] {
                let how = if staging_only { "staging" } else { "direct" };
                println!("running on {} ({}), {how}", report.info.name, report.info.backend);
                let device = adapter.open(AdapterOptions { tier: self.tier, staging_only }).unwrap();
                assert_eq!(device.info(), &report.info);
                test(&mut self.start(device));
            }
        }
    }

    /// Runs a test on every adapter and on the CPU device.
    fn on_every_device(&self, test: impl Fn(&mut Gpu)) {
        self.on_every_adapter(&test);
        println!("running on the CPU device");
        test(&mut self.start(open_cpu().unwrap()));
    }
}

fn on_every_device(test: impl Fn(&mut Gpu)) {
    Setting::default().on_every_device(test);
}

/// As [`on_every_device`], under every profile.
fn under_every_profile(test: impl Fn(&mut Gpu, Profile)) {
    for profile in [Profile::Native, Profile::Dp32] {
        println!("profile {profile:?}");
        on_every_device(|device| test(device, profile));
    }
}

fn kernel(wgsl: &str) -> Kernel {
    prepared(wgsl, Profile::Native)
}

fn prepared(wgsl: &str, profile: Profile) -> Kernel {
    isobit_shader::prepare(wgsl, profile).unwrap()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn values(bytes: &[u8]) -> Vec<u32> {
    let (words, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

/// A storage buffer with these values in it.
fn storage(device: &mut Gpu, content: &[u32]) -> Buffer {
    let bytes = words(content);
    let buffer = device.create_buffer(bytes.len() as u64, BufferUsage::STORAGE).unwrap();
    device.write(&buffer, 0, Source::Slice(&bytes)).unwrap();
    buffer
}

fn contents(device: &mut Gpu, buffer: &Buffer, length: u64) -> Vec<u32> {
    values(&device.read(buffer, 0, length).unwrap())
}

fn whole(binding: u32, buffer: &Buffer) -> GroupEntry {
    GroupEntry { binding, buffer: buffer.clone(), offset: 0, size: None }
}

/// The message of a broken rule.
fn invalid<T: std::fmt::Debug>(result: Result<T, DeviceError>) -> String {
    match result {
        Err(DeviceError::Validation(diagnostic)) => diagnostic.message,
        other => panic!("not a broken rule: {other:?}"),
    }
}

/// The name, maximum and request of an exceeded limit.
fn exceeded<T: std::fmt::Debug>(result: Result<T, DeviceError>) -> (&'static str, u64, u64) {
    match result {
        Err(DeviceError::LimitExceeded { limit, maximum, requested }) => (limit, maximum, requested),
        other => panic!("not an exceeded limit: {other:?}"),
    }
}

const SCALE: &str = "
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
override factor: u32 = 3;
override width: u32 = 64;
@compute @workgroup_size(width)
fn scale(@builtin(global_invocation_id) id: vec3u) {
    if id.x < arrayLength(&source) { result[id.x] = factor * source[id.x]; }
}
";

/// Records commands and submits them.
fn submit(device: &mut Gpu, commands: impl FnOnce(&mut CommandEncoder)) -> Result<(), DeviceError> {
    let mut encoder = device.create_command_encoder();
    commands(&mut encoder);
    device.submit(&encoder.finish()?)
}

/// One dispatch with one group.
fn dispatch(device: &mut Gpu, pipeline: &ComputePipeline, group: &BindGroup, x: u32) -> Result<(), DeviceError> {
    dispatch_all(device, pipeline, group, [x, 1, 1])
}

fn dispatch_all(
    device: &mut Gpu,
    pipeline: &ComputePipeline,
    group: &BindGroup,
    workgroups: [u32; 3],
) -> Result<(), DeviceError> {
    submit(device, |encoder| {
        encoder.begin_pass();
        encoder.set_pipeline(pipeline);
        encoder.set_bind_group(0, group, &[]);
        encoder.dispatch(workgroups);
        encoder.end_pass();
    })
}

/// The provider's own trouble.
fn fault_kind<T: std::fmt::Debug>(result: Result<T, DeviceError>) -> FaultKind {
    match result {
        Err(DeviceError::Fault(fault)) => fault.kind,
        other => panic!("not a fault: {other:?}"),
    }
}
