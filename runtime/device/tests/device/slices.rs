//! Kernels under profile dp32: cut into slices, and what they cost.

use std::time::Duration;

use isobit_device::{
    BindGroup, Buffer, BufferBindingType, BufferUsage, ComputePipeline, Gpu, GroupEntry, KernelUse, LayoutEntry,
    Policy, Tier,
};
use isobit_shader::Profile;

use crate::{Setting, contents, dispatch, dispatch_all, on_every_device, prepared, storage, submit, whole};

/// Writes at its place in the dispatch what it is told about that place.
const IDS: &str = "
@group(0) @binding(0) var<storage, read_write> result: array<array<u32, 12>>;
@compute @workgroup_size(4, 2, 1)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) count: vec3u,
        @builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let row = count.x * 4u;
    let plane = row * count.y * 2u;
    let at = id.x + id.y * row + id.z * plane;
    result[at] = array<u32, 12>(workgroup.x, workgroup.y, workgroup.z, count.x, count.y, count.z,
                                id.x, id.y, id.z, local.x, local.y, local.z);
}";

/// Loops as often as its number says: no two invocations alike.
const LOOPS: &str = "
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
    var n = id.x % 97u;
    loop { if n == 0u { break; } n -= 1u; a[id.x] += n; }
}";

const ENDLESS: &str = "
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
    loop { a[id.x] += 1u; if a[id.x] == 4000000000u { break; } }
}";

/// Keeps a device busy for milliseconds in each workgroup. No loop turns as often as lavapipe has patience for.
const LONG: &str = "
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    var x = id.x + 1u;
    for (var i = 0u; i < 8u; i++) {
        for (var j = 0u; j < 8192u; j++) { x ^= x << 13u; x ^= x >> 17u; x ^= x << 5u; }
    }
    a[id.x & 3u] = x | 0xffffffffu;
}";

/// A pipeline with its one group.
fn pipeline(device: &mut Gpu, wgsl: &str, buffer: &Buffer) -> (ComputePipeline, BindGroup) {
    let pipeline = device.create_compute_pipeline(&prepared(wgsl, Profile::Dp32), None, None, &[]).unwrap();
    let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
    let group = device.create_bind_group(&layout, &[whole(0, buffer)]).unwrap();
    (pipeline, group)
}

/// Submissions that hold a device so long; with 0, each workgroup is one.
fn sliced(slice: Duration, tier: Tier) -> Setting {
    Setting { policy: Policy { slice, ..Policy::default() }, tier, ..Setting::default() }
}

/// On every device, in both tiers, with slices as they come and with each workgroup alone.
fn in_every_way(test: impl Fn(&mut Gpu)) {
    for slice in [Duration::from_millis(30), Duration::ZERO] {
        sliced(slice, Tier::A).on_every_device(&test);
        sliced(slice, Tier::B).on_every_adapter(&test);
    }
}

#[test]
fn a_kernel_does_not_see_that_it_is_cut() {
    in_every_way(|device| {
        let sides = [7_u32, 5, 3];
        let buffer = device.create_buffer(7 * 5 * 3 * 8 * 48, BufferUsage::STORAGE).unwrap();
        let (pipeline, group) = pipeline(device, IDS, &buffer);
        // The second time it is known how long it takes.
        for _ in 0..2 {
            dispatch_all(device, &pipeline, &group, sides).unwrap();
        }
        let result = contents(device, &buffer, 7 * 5 * 3 * 8 * 48);
        let mut expected = Vec::new();
        for z in 0..3 {
            for y in 0..10 {
                for x in 0..28 {
                    expected.extend([x / 4, y / 2, z, 7, 5, 3, x, y, z, x % 4, y % 2, 0]);
                }
            }
        }
        assert_eq!(result, expected);
    });
}

#[test]
fn a_long_dispatch_is_many_submissions() {
    let count = |device: &mut Gpu, workgroups| {
        let buffer = storage(device, &[0; 4]);
        let (long, group) = pipeline(device, LONG, &buffer);
        // The first workgroups tell how long one takes.
        dispatch(device, &long, &group, 1).unwrap();
        device.wait().unwrap();
        let before = device.submissions();
        dispatch(device, &long, &group, workgroups).unwrap();
        device.wait().unwrap();
        assert_eq!(contents(device, &buffer, 16), [u32::MAX; 4]);
        device.submissions() - before
    };
    // So many would hold any device for far longer than this.
    sliced(Duration::from_millis(5), Tier::A).on_every_device(|device| {
        let submissions = count(device, 128);
        assert!(submissions >= 3, "{submissions} submissions");
    });
    sliced(Duration::ZERO, Tier::A).on_every_device(|device| assert_eq!(count(device, 5), 5));
}

#[test]
fn fuel_is_what_the_kernels_do_however_they_are_cut() {
    let seen = std::sync::Mutex::new(Vec::new());
    in_every_way(|device| {
        let before = device.settle().unwrap().fuel;
        let buffer = storage(device, &[0; 3200]);
        let (loops, group) = pipeline(device, LOOPS, &buffer);
        let cost = loops.workgroup_cost();
        for _ in 0..3 {
            dispatch(device, &loops, &group, 100).unwrap();
        }
        let used = device.settle().unwrap();
        assert!(!used.spent);
        assert!(used.fuel - before > 3 * 100 * cost, "loops cost something");
        assert_eq!(device.settle().unwrap(), used, "nothing was dispatched since");
        dispatch(device, &loops, &group, 100).unwrap();
        let fourth = device.settle().unwrap().fuel - used.fuel;
        assert_eq!(3 * fourth, used.fuel - before);
        seen.lock().unwrap().push(fourth);
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|fuel| *fuel == seen[0]), "{seen:?}");
}

#[test]
fn without_loops_fuel_is_known_beforehand() {
    on_every_device(|device| {
        let buffer = device.create_buffer(48 * 8 * 10, BufferUsage::STORAGE).unwrap();
        let (ids, group) = pipeline(device, IDS, &buffer);
        let cost = ids.workgroup_cost();
        assert!(cost > 8);
        dispatch(device, &ids, &group, 10).unwrap();
        assert_eq!(device.settle().unwrap(), KernelUse { fuel: 10 * cost, spent: false });
        let kernel = prepared(IDS, Profile::Native);
        let native = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        assert_eq!(native.workgroup_cost(), 8);
        let layout = device.bind_group_layout_of(&native, 0).unwrap();
        let native_group = device.create_bind_group(&layout, &[whole(0, &buffer)]).unwrap();
        let both = submit(device, |encoder| {
            encoder.begin_pass();
            for (pipeline, group) in [(&native, &native_group), (&ids, &group)] {
                encoder.set_pipeline(pipeline);
                encoder.set_bind_group(0, group, &[]);
                encoder.dispatch([10, 1, 1]);
            }
            encoder.end_pass();
        });
        both.unwrap();
        assert_eq!(device.settle().unwrap(), KernelUse { fuel: 20 * cost + 80, spent: false });
    });
}

#[test]
fn an_endless_kernel_ends_with_its_budget() {
    Setting::kernel_fuel(10_000).on_every_device(|device| {
        let buffer = storage(device, &[0; 3200]);
        let (endless, group) = pipeline(device, ENDLESS, &buffer);
        dispatch(device, &endless, &group, 1).unwrap();
        assert!(device.settle().unwrap().spent);
        device.wait().unwrap();
        assert!(device.settle().unwrap().spent, "and stays so");
    });
}

#[test]
fn a_job_that_dispatches_too_much_is_stopped_under_way() {
    let sides = [65_535, 65_535, 1];
    let cost = prepared_cost(LOOPS);
    let known = u64::from(sides[0]) * u64::from(sides[1]) * cost;
    Setting::kernel_fuel(known + 1_000_000).on_every_device(|device| {
        let buffer = storage(device, &[0; 3200]);
        let (loops, group) = pipeline(device, LOOPS, &buffer);
        assert_eq!(loops.workgroup_cost(), cost);
        dispatch_all(device, &loops, &group, sides).unwrap();
        assert!(device.settle().unwrap().spent);
    });
}

/// What a workgroup costs outside of loops.
fn prepared_cost(wgsl: &str) -> u64 {
    let mut gpu = Setting::default().start(isobit_device::open_cpu().unwrap());
    gpu.create_compute_pipeline(&prepared(wgsl, Profile::Dp32), None, None, &[]).unwrap().workgroup_cost()
}

#[test]
fn all_dynamic_offsets_of_a_guest_go_with_the_systems_own() {
    in_every_way(|device| {
        let mut wgsl = String::new();
        let mut sums = String::new();
        for at in 0..4 {
            wgsl += &format!("@group(1) @binding({at}) var<storage, read_write> b{at}: array<u32>;");
            sums += &format!("b{at}[id.x] += 1u + id.x;");
        }
        wgsl += &format!(
            "@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) {{ if id.x < 64u {{ {sums} }} }}"
        );
        let kernel = prepared(&wgsl, Profile::Dp32);
        let entry = |binding| LayoutEntry {
            binding,
            ty: BufferBindingType::Storage,
            has_dynamic_offset: true,
            min_binding_size: 0,
        };
        let entries: Vec<_> = (0..4).map(entry).collect();
        let (empty, layout) =
            (device.create_bind_group_layout(&[]).unwrap(), device.create_bind_group_layout(&entries).unwrap());
        let pipeline = device.create_compute_pipeline(&kernel, None, Some(&[empty, layout.clone()]), &[]).unwrap();
        let buffers: Vec<_> = (0..4).map(|_| storage(device, &[0; 128])).collect();
        let bound: Vec<_> = (0..4)
            .map(|at| GroupEntry { binding: at, buffer: buffers[at as usize].clone(), offset: 0, size: Some(256) })
            .collect();
        let group = device.create_bind_group(&layout, &bound).unwrap();
        let submitted = submit(device, |encoder| {
            encoder.begin_pass();
            encoder.set_pipeline(&pipeline);
            for dynamic_offsets in [[0, 256, 0, 256], [256, 0, 256, 256]] {
                encoder.set_bind_group(1, &group, &dynamic_offsets);
                encoder.dispatch([65, 1, 1]);
            }
            encoder.end_pass();
        });
        submitted.unwrap();
        let once: Vec<u32> = (1..=64).collect();
        let twice: Vec<u32> = once.iter().map(|value| value * 2).collect();
        for buffer in &buffers[..3] {
            assert_eq!(contents(device, buffer, 512), [once.as_slice(), &once].concat());
        }
        assert_eq!(contents(device, &buffers[3], 512), [[0; 64].as_slice(), &twice].concat());
    });
}
