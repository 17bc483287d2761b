//! Kernels under profile dp32: cut into slices, and what they cost.

use std::time::Duration;

use isobit_device::{
    BindGroupId, BufferId, BufferUsage, Command, ComputePipelineId, Device, DeviceSelector, KernelUse, LayoutEntry,
    Tier, WgpuDevice, open,
};
use isobit_device::{BufferBindingType, GroupEntry};
use isobit_shader::Profile;

use crate::{contents, on_every_adapter, on_every_device, one_dispatch, prepared, storage, whole};

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
fn pipeline(device: &mut dyn Device, wgsl: &str, buffer: BufferId) -> (ComputePipelineId, BindGroupId) {
    let module = device.create_shader_module(&prepared(wgsl, Profile::Dp32)).unwrap();
    let pipeline = device.create_compute_pipeline(module, None, None, &[]).unwrap();
    let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
    (pipeline, device.create_bind_group(layout, &[whole(0, buffer)]).unwrap())
}

/// On the CPU device; on adapters in both tiers, with slices as they come and with each workgroup alone.
fn in_every_way(test: impl Fn(&mut dyn Device)) {
    on_every_adapter(|device| {
        for tier in [Tier::A, Tier::B] {
            device.set_tier(tier);
            device.set_slice(Duration::from_millis(30));
            test(device);
            device.set_slice(Duration::ZERO);
            test(device);
        }
    });
    let mut device = open(&DeviceSelector::Cpu).unwrap();
    device.set_memory_limit(1 << 30);
    test(&mut *device);
}

#[test]
fn a_kernel_does_not_see_that_it_is_cut() {
    in_every_way(|device| {
        let sides = [7_u32, 5, 3];
        let buffer = device.create_buffer(7 * 5 * 3 * 8 * 48, BufferUsage::STORAGE).unwrap();
        let (pipeline, group) = pipeline(device, IDS, buffer);
        let [x, y, z] = sides;
        let mut commands = one_dispatch(pipeline, group, 0);
        commands[3] = Command::Dispatch { x, y, z };
        // The second time it is known how long it takes.
        for _ in 0..2 {
            device.submit(&commands).unwrap();
        }
        let result = contents(device, buffer, 7 * 5 * 3 * 8 * 48);
        let mut expected = Vec::new();
        for z in 0..3 {
            for y in 0..10 {
                for x in 0..28 {
                    expected.extend([x / 4, y / 2, z, 7, 5, 3, x, y, z, x % 4, y % 2, 0]);
                }
            }
        }
        assert_eq!(result, expected);
        device.release(buffer.into());
        device.release(group.into());
    });
}

#[test]
fn a_long_dispatch_is_many_submissions() {
    on_every_adapter(|device| {
        let buffer = storage(device, &[0; 4]);
        let (long, group) = pipeline(device, LONG, buffer);
        let count = |device: &mut WgpuDevice, workgroups| {
            let before = device.submissions();
            device.submit(&one_dispatch(long, group, workgroups)).unwrap();
            device.wait().unwrap();
            device.submissions() - before
        };
        // The first workgroups tell how long one takes; the others would hold any device for far longer than this.
        device.set_slice(Duration::from_millis(5));
        let submissions = count(device, 128);
        assert!(submissions >= 3, "{submissions} submissions");
        device.set_slice(Duration::ZERO);
        assert_eq!(count(device, 5), 5);
        assert_eq!(contents(device, buffer, 16), [u32::MAX; 4]);
    });
}

#[test]
fn fuel_is_what_the_kernels_do_however_they_are_cut() {
    let seen = std::sync::Mutex::new(Vec::new());
    in_every_way(|device| {
        let before = device.settle().unwrap().fuel;
        let buffer = storage(device, &[0; 3200]);
        let (loops, group) = pipeline(device, LOOPS, buffer);
        let cost = device.workgroup_cost(loops).unwrap();
        for _ in 0..3 {
            device.submit(&one_dispatch(loops, group, 100)).unwrap();
        }
        let used = device.settle().unwrap();
        assert!(!used.spent);
        assert!(used.fuel - before > 3 * 100 * cost, "loops cost something");
        assert_eq!(device.settle().unwrap(), used, "nothing was dispatched since");
        device.submit(&one_dispatch(loops, group, 100)).unwrap();
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
        let (ids, group) = pipeline(device, IDS, buffer);
        let cost = device.workgroup_cost(ids).unwrap();
        assert!(cost > 8);
        device.submit(&one_dispatch(ids, group, 10)).unwrap();
        assert_eq!(device.settle().unwrap(), KernelUse { fuel: 10 * cost, spent: false });
        let module = device.create_shader_module(&prepared(IDS, Profile::Native)).unwrap();
        let native = device.create_compute_pipeline(module, None, None, &[]).unwrap();
        assert_eq!(device.workgroup_cost(native), Some(8));
        let layout = device.bind_group_layout_of(native, 0).unwrap();
        let native_group = device.create_bind_group(layout, &[whole(0, buffer)]).unwrap();
        let mut both = one_dispatch(native, native_group, 10);
        both.pop();
        both.extend(one_dispatch(ids, group, 10).split_off(1));
        device.submit(&both).unwrap();
        assert_eq!(device.settle().unwrap(), KernelUse { fuel: 20 * cost + 80, spent: false });
    });
}

#[test]
fn an_endless_kernel_ends_with_its_budget() {
    on_every_device(|device| {
        device.set_kernel_limit(10_000);
        let buffer = storage(device, &[0; 3200]);
        let (endless, group) = pipeline(device, ENDLESS, buffer);
        device.submit(&one_dispatch(endless, group, 1)).unwrap();
        assert!(device.settle().unwrap().spent);
        device.wait().unwrap();
        assert!(device.settle().unwrap().spent, "and stays so");
    });
}

#[test]
fn a_job_that_dispatches_too_much_is_stopped_under_way() {
    on_every_device(|device| {
        let buffer = storage(device, &[0; 3200]);
        let (loops, group) = pipeline(device, LOOPS, buffer);
        let [x, y, z] = [65_535, 65_535, 1];
        let known = u64::from(x) * u64::from(y) * device.workgroup_cost(loops).unwrap();
        device.set_kernel_limit(known + 1_000_000);
        let mut commands = one_dispatch(loops, group, 0);
        commands[3] = Command::Dispatch { x, y, z };
        device.submit(&commands).unwrap();
        assert!(device.settle().unwrap().spent);
    });
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
        let module = device.create_shader_module(&prepared(&wgsl, Profile::Dp32)).unwrap();
        let entry = |binding| LayoutEntry {
            binding,
            ty: BufferBindingType::Storage,
            has_dynamic_offset: true,
            min_binding_size: 0,
        };
        let entries: Vec<_> = (0..4).map(entry).collect();
        let (empty, layout) =
            (device.create_bind_group_layout(&[]).unwrap(), device.create_bind_group_layout(&entries).unwrap());
        let pipeline = device.create_compute_pipeline(module, None, Some(&[empty, layout]), &[]).unwrap();
        let buffers: Vec<_> = (0..4).map(|_| storage(device, &[0; 128])).collect();
        let bound: Vec<_> = (0..4)
            .map(|at| GroupEntry { binding: at, buffer: buffers[at as usize], offset: 0, size: Some(256) })
            .collect();
        let group = device.create_bind_group(layout, &bound).unwrap();
        let mut commands = vec![Command::BeginPass, Command::SetPipeline(pipeline)];
        for dynamic_offsets in [vec![0, 256, 0, 256], vec![256, 0, 256, 256]] {
            commands.push(Command::SetBindGroup { index: 1, group, dynamic_offsets });
            commands.push(Command::Dispatch { x: 65, y: 1, z: 1 });
        }
        commands.push(Command::EndPass);
        device.submit(&commands).unwrap();
        let once: Vec<u32> = (1..=64).collect();
        let twice: Vec<u32> = once.iter().map(|value| value * 2).collect();
        for buffer in &buffers[..3] {
            assert_eq!(contents(device, *buffer, 512), [once.as_slice(), &once].concat());
        }
        assert_eq!(contents(device, buffers[3], 512), [[0; 64].as_slice(), &twice].concat());
    });
}
