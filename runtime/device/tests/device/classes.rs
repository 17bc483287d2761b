//! Device class large: buffers and bindings of 1 GiB, on every device that has it.

use isobit_device::{BufferUsage, DeviceClass, Gpu, JobLimits, Source, Tier};
use isobit_shader::Profile;

use crate::{MIB, Setting, contents, dispatch, exceeded, prepared, storage, submit, values, whole};

/// The largest buffer.
const BYTES: u64 = 1 << 30;

fn large(tier: Tier) -> Setting {
    let limits = JobLimits { memory: 2 * BYTES, kernel_fuel: u64::MAX, class: DeviceClass::Large };
    Setting { limits, tier, ..Setting::default() }
}

/// The largest buffer that the device makes. SwiftShader says 1 GiB, but puts some bytes of its own into each allocation of at most 1 GiB.
fn most(gpu: &Gpu) -> u64 {
    if gpu.info().name.contains("SwiftShader") { BYTES - 256 } else { BYTES }
}

/// Writes at both ends, and beyond the end; reads beyond the end, where there are zeros.
const RUNTIME_SIZED: &str = "
@group(0) @binding(0) var<storage, read_write> big: array<u32>;
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) i: u32) {
    let length = arrayLength(&big);
    big[i] = i + 1u;
    big[length - 1u - i] = length - i;
    big[length + i] = 7u;
    big[0xffffffffu - i] = 7u;
    seen[i] = big[length + i] + big[0xffffffffu - i] + big[i32(length) + i32(i)] + big[-1 - i32(i)];
    seen[32u + i] = length;
}";

/// The same array with a size that is part of its type, in `ROWS` rows.
const FIXED_SIZE: &str = "
@group(0) @binding(0) var<storage, read_write> big: array<array<u32, 64>, ROWS>;
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) i: u32) {
    let row = ROWS - 1u + i / 64u;
    big[row][63u - i] += 1u;
    big[row + 1u][i] = 7u;
    seen[i] = big[row + 1u][63u - i] + big[row][64u + i];
    seen[32u + i] = big[row][63u - i];
}";

/// Elements of 16 bytes, and the parts of the last one.
const STRUCTS: &str = "
struct Body { position: vec3<f32>, mass: f32 }
@group(0) @binding(0) var<storage, read_write> big: array<Body>;
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) i: u32) {
    let last = arrayLength(&big) - 1u;
    if i == 0u { big[last] = Body(vec3<f32>(1.0, 2.0, 3.0), f32(last)); }
    workgroupBarrier();
    storageBarrier();
    seen[i] = last;
    seen[32u + i] = bitcast<u32>(big[last].position.z + big[last].mass);
}";

/// Runs a kernel on the buffer, and returns what it has seen.
fn look(gpu: &mut Gpu, wgsl: &str, big: &isobit_device::Buffer) -> Vec<u32> {
    let pipeline = gpu.create_compute_pipeline(&prepared(wgsl, Profile::Dp32), None, None, &[]).unwrap();
    let seen = storage(gpu, &[9; 64]);
    let layout = gpu.bind_group_layout_of(&pipeline, 0).unwrap();
    let group = gpu.create_bind_group(&layout, &[whole(0, big), whole(1, &seen)]).unwrap();
    dispatch(gpu, &pipeline, &group, 1).unwrap();
    contents(gpu, &seen, 256)
}

fn both_ends_are_computed_with(gpu: &mut Gpu) {
    let bytes = most(gpu);
    let words = u32::try_from(bytes / 4).unwrap();
    let big = gpu.create_buffer(bytes, BufferUsage::STORAGE).unwrap();
    let seen = look(gpu, RUNTIME_SIZED, &big);
    assert_eq!(seen, [[0; 32], [words; 32]].concat());
    let last: Vec<u32> = (words - 31..=words).collect();
    assert_eq!(values(&gpu.read(&big, bytes - 128, 128).unwrap()), last);
    assert_eq!(contents(gpu, &big, 128), (1..=32).collect::<Vec<_>>());

    let rows = words / 64;
    let seen = look(gpu, &FIXED_SIZE.replace("ROWS", &format!("{rows}u")), &big);
    assert_eq!(seen[..32], [0; 32]);
    assert_eq!(seen[32..], last.iter().rev().map(|word| word + 1).collect::<Vec<_>>());

    let seen = look(gpu, STRUCTS, &big);
    let last = words / 4 - 1;
    assert_eq!(seen, [[last; 32], [(3.0 + last as f32).to_bits(); 32]].concat());
    let end = [1.0, 2.0, 3.0, last as f32].map(f32::to_bits);
    assert_eq!(values(&gpu.read(&big, bytes - 16, 16).unwrap()), end);

    // Transfers: a long write and a copy at the end, a clear, and a read of all.
    let written: Vec<u8> = (0..MIB).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
    gpu.write(&big, bytes - MIB, Source::Slice(&written)).unwrap();
    let small = gpu.create_buffer(MIB, BufferUsage::STORAGE).unwrap();
    submit(gpu, |encoder| {
        encoder.copy_buffer(&big, bytes - MIB, &small, 0, MIB);
        encoder.clear_buffer(&big, bytes - 4, 4);
    })
    .unwrap();
    assert!(gpu.read(&small, 0, MIB).unwrap()[..] == written[..]);
    let all = gpu.read(&big, 0, bytes).unwrap();
    assert_eq!(all.len() as u64, bytes);
    let (before, end) = all.split_at(all.len() - 4);
    assert_eq!(end, [0; 4]);
    assert!(before.ends_with(&written[..written.len() - 4]));
}

#[test]
fn both_ends_of_a_buffer_of_1_gib_are_computed_with_in_either_tier() {
    for tier in [Tier::A, Tier::B] {
        large(tier).on_every_device(both_ends_are_computed_with);
    }
}

#[test]
fn a_buffer_over_1_gib_is_refused_in_class_large() {
    large(Tier::A).on_every_device(|gpu| {
        assert_eq!((gpu.limits().max_buffer_size, gpu.limits().max_storage_buffer_binding_size), (BYTES, BYTES));
        let refused = exceeded(gpu.create_buffer(BYTES + 4, BufferUsage::STORAGE));
        assert_eq!(refused, ("max-buffer-size", BYTES, BYTES + 4));
    });
}
