//! Every device of this machine: the wgpu device on each Vulkan adapter, once with buffers mapped themselves (where the
//! adapter shares the CPU's memory) and once through staging memory, and the CPU device.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test's helpers panic like the test"
)]

mod faults;
mod kernels;
mod memory;
mod mistakes;
mod races;
#[path = "../../../../tests/support/seen.rs"]
mod seen;
mod slices;
mod transfers;

use isobit_device::{
    BufferId, BufferUsage, Command, Device, DeviceError, DeviceSelector, GroupEntry, Kernel, Source, WgpuDevice,
    list_adapters, open, open_adapter,
};
use isobit_shader::Profile;

const MIB: u64 = 1 << 20;

/// Runs a test on every adapter. A machine without one is not set up.
fn on_every_adapter(test: impl Fn(&mut WgpuDevice)) {
    let adapters = list_adapters();
    let capable: Vec<_> = adapters.iter().filter(|a| a.missing.is_empty()).collect();
    assert!(!capable.is_empty(), "no adapter can run kernels here ({adapters:?}): run `cargo xtask setup`");
    seen::expect_drivers(capable.iter().map(|adapter| adapter.info.name.as_str()));
    for adapter in capable {
        for staging in [false, true] {
            let how = if staging { "staging" } else { "direct" };
            println!("running on {} ({}), {how}", adapter.info.name, adapter.info.backend);
            let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
            assert_eq!(device.info(), &adapter.info);
            device.set_memory_limit(1 << 30);
            if staging {
                device.set_staging_only();
            }
            test(&mut device);
        }
    }
}

/// Runs a test on every adapter and on the CPU device.
fn on_every_device(test: impl Fn(&mut dyn Device)) {
    on_every_adapter(|device| test(device));
    println!("running on the CPU device");
    let mut device = open(&DeviceSelector::Cpu).unwrap();
    device.set_memory_limit(1 << 30);
    test(&mut *device);
}

/// As [`on_every_device`], under every profile.
fn under_every_profile(test: impl Fn(&mut dyn Device, Profile)) {
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
fn storage(device: &mut dyn Device, content: &[u32]) -> BufferId {
    let bytes = words(content);
    let buffer = device.create_buffer(bytes.len() as u64, BufferUsage::STORAGE).unwrap();
    device.write(buffer, 0, Source::Slice(&bytes)).unwrap();
    buffer
}

fn contents(device: &mut dyn Device, buffer: BufferId, length: u64) -> Vec<u32> {
    values(&device.read(buffer, 0, length).unwrap())
}

fn whole(binding: u32, buffer: BufferId) -> GroupEntry {
    GroupEntry { binding, buffer, offset: 0, size: None }
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

/// One dispatch with one group.
fn one_dispatch(pipeline: isobit_device::ComputePipelineId, group: isobit_device::BindGroupId, x: u32) -> Vec<Command> {
    vec![
        Command::BeginPass,
        Command::SetPipeline(pipeline),
        Command::SetBindGroup { index: 0, group, dynamic_offsets: vec![] },
        Command::Dispatch { x, y: 1, z: 1 },
        Command::EndPass,
    ]
}
