//! A device that is lost under way: every call says so, none panics.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use isobit_shader::{Profile, prepare};

use super::*;
use crate::{AdapterReport, DeviceSelector, list_adapters, open_adapter, probe, seen};

fn lost<T: std::fmt::Debug>(result: Result<T, DeviceError>) {
    assert!(matches!(result, Err(DeviceError::Fault(DeviceFault::Lost { .. }))), "{result:?}");
}

/// A call before the loss is noticed may seem to work, but it must not blame the guest.
fn not_the_guests<T: std::fmt::Debug>(result: Result<T, DeviceError>) {
    assert!(matches!(result, Ok(_) | Err(DeviceError::Fault(_))), "{result:?}");
}

#[test]
fn a_lost_device_answers_every_call_with_a_fault() {
    for adapter in adapters() {
        println!("running on {}", adapter.info.name);
        let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(1 << 20);
        device.set_patience(Duration::from_secs(2));
        let kernel = prepare(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(1) fn main() { a[0] = 1u; }",
            Profile::Native,
        )
        .unwrap();
        let module = device.create_shader_module(&kernel).unwrap();
        let buffer = device.create_buffer(1 << 17, BufferUsage::STORAGE).unwrap();
        let other = device.create_buffer(4, BufferUsage::STORAGE).unwrap();
        device.write(buffer, 0, Source::Slice(&[1; 8])).unwrap();
        let readback = device.read(buffer, 0, 8).unwrap();
        device.guard.device.destroy();
        not_the_guests(device.create_buffer(4, BufferUsage::STORAGE));
        not_the_guests(device.create_shader_module(&kernel));
        not_the_guests(device.create_compute_pipeline(module, None, None, &[]));
        not_the_guests(device.create_bind_group_layout(&[]));
        let clear = Command::ClearBuffer { buffer: other, offset: 0, size: 4 };
        not_the_guests(device.submit(std::slice::from_ref(&clear)));
        lost(device.wait());
        assert_eq!(readback[..], [1; 8]);
        drop(readback);
        lost(device.write(buffer, 0, Source::Slice(&[1; 8])));
        lost(device.write(buffer, 0, Source::Slice(&[1; 1 << 17])));
        lost(device.read(buffer, 0, 4));
        lost(device.submit(&[clear]));
        lost(device.create_buffer(4, BufferUsage::STORAGE));
        device.release(buffer.into());
    }
}

#[test]
fn a_panic_below_loses_the_device_and_nothing_else() {
    for adapter in adapters() {
        let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(64);
        lost(device.guard.run(|_| panic!("from below")));
        lost(device.create_buffer(4, BufferUsage::STORAGE));
    }
}

/// Every adapter that can run kernels.
fn adapters() -> Vec<AdapterReport> {
    let mut adapters = list_adapters();
    adapters.retain(|adapter| adapter.missing.is_empty());
    seen::expect_drivers(adapters.iter().map(|adapter| adapter.info.name.as_str()));
    assert!(!adapters.is_empty(), "no adapter can run kernels here: run `cargo xtask setup`");
    adapters
}

/// Has every workgroup checked, however long that takes on a busy machine.
fn check_all(device: &mut WgpuDevice) {
    device.set_spot_checks(SpotChecks { one_in: NonZeroU64::new(1) });
    device.sampler.as_mut().unwrap().least_time = Duration::from_secs(600);
}

/// A kernel, and one that a device which miscomputes could take it for.
fn kernels() -> [Kernel; 2] {
    ["3.0", "3.0000002"].map(|factor| {
        let wgsl = format!(
            "@group(0) @binding(0) var<uniform> moved: vec4u;
            @group(0) @binding(1) var<storage, read_write> a: array<f32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {{
                a[id.x + moved.x] = a[id.x + moved.x] * {factor}; }}"
        );
        prepare(&wgsl, Profile::Dp32).unwrap()
    })
}

/// Submits a dispatch of one of the kernels on a device that checks all its workgroups. `broken`
/// lets the device take it for the other.
fn checked(device: &mut WgpuDevice, broken: bool) -> Result<(), DeviceError> {
    device.set_memory_limit(1 << 20);
    check_all(device);
    let [right, wrong] = kernels().map(|kernel| {
        let module = device.create_shader_module(&kernel).unwrap();
        device.create_compute_pipeline(module, None, None, &[]).unwrap()
    });
    if broken {
        let miscompiled = device.pipelines.get(wrong).unwrap().raw.clone();
        device.pipelines.get_mut(right).unwrap().raw = miscompiled;
    }
    let numbers: Vec<u8> = (0..1024_u16).flat_map(|number| f32::from(number).to_le_bytes()).collect();
    let buffer = device.create_buffer(1 << 13, BufferUsage::STORAGE).unwrap();
    device.write(buffer, 1 << 12, Source::Slice(&numbers)).unwrap();
    let moved = device.create_buffer(256, BufferUsage::UNIFORM).unwrap();
    let layout = device.bind_group_layout_of(right, 0).unwrap();
    let entry = |binding, buffer, offset| GroupEntry { binding, buffer, offset, size: None };
    let group = device.create_bind_group(layout, &[entry(0, moved, 0), entry(1, buffer, 1 << 12)]).unwrap();
    device.submit(&[
        Command::BeginPass,
        Command::SetPipeline(right),
        Command::SetBindGroup { index: 0, group, dynamic_offsets: vec![] },
        Command::Dispatch { x: 16, y: 1, z: 1 },
        Command::EndPass,
    ])?;
    let cost = device.workgroup_cost(right).unwrap();
    assert_eq!(device.settle()?, KernelUse { fuel: 16 * cost, spent: false }, "checks are free");
    let expected: Vec<u8> = (0..1024_u16).flat_map(|number| (f32::from(number) * 3.0).to_le_bytes()).collect();
    assert!(device.read(buffer, 1 << 12, 1 << 12)?[..] == expected[..]);
    Ok(())
}

#[test]
fn a_spot_check_finds_a_device_that_miscomputes() {
    for adapter in adapters() {
        for staging in [false, true] {
            let open = || {
                let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
                device.mappable &= !staging;
                device
            };
            checked(&mut open(), false).unwrap();
            let cache = tempfile::tempdir().unwrap();
            let mut device = open();
            device.set_verdict(Tier::A, Some(cache.path()));
            let found = checked(&mut device, true).unwrap_err();
            assert!(matches!(found, DeviceError::Fault(DeviceFault::Miscomputed { .. })), "{found}");
            // It is probed before it is used again.
            assert_eq!(probe::recall(cache.path(), &adapter.info), None);
            let suspicion = probe::suspicion(cache.path(), &adapter.info).unwrap();
            assert!(suspicion.to_string().starts_with("a job: workgroup ("), "{suspicion}");
        }
    }
}

#[test]
fn a_suspicion_costs_a_tier_only_where_the_probe_confirms_it() {
    for adapter in adapters() {
        let cache = tempfile::tempdir().unwrap();
        let open = |careless| {
            let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
            device.careless = careless;
            Ok(device)
        };
        let granted = probe::Verdict { tier: Some(Tier::A), failure: None };
        probe::record(cache.path(), &adapter.info, &granted).unwrap();
        let mut device = open(None).unwrap();
        device.set_verdict(Tier::A, Some(cache.path()));
        checked(&mut device, true).unwrap_err();
        let probe = |careless| {
            let mut prober = probe::InProcess(|_: probe::Progress<'_>| ());
            probe::verdict(&adapter.info, Some(cache.path()), &|| open(careless), &mut prober).unwrap()
        };
        // Native arithmetic is wrong: from now on the device computes with integers.
        let verdict = probe(Some(Tier::A));
        assert_eq!(verdict.tier, Some(Tier::B), "{verdict:?}");
        assert_eq!(probe::recall(cache.path(), &adapter.info), Some(verdict));
    }
}

/// Submits one workgroup of each of some pipelines, of which the device takes the last for another, and draws none to be checked.
fn single_workgroups(device: &mut WgpuDevice, pipelines: u32, broken: bool) -> Result<(), DeviceError> {
    device.set_memory_limit(1 << 20);
    device.set_spot_checks(SpotChecks { one_in: NonZeroU64::new(u64::MAX) });
    let sampler = device.sampler.as_mut().unwrap();
    sampler.least_time = Duration::from_secs(600);
    if pipelines > 1 {
        // The first has time in any job.
        sampler.grace = Duration::from_secs(600);
    }
    let kernel = |step: u32| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {{ a[i] += {step}u * i; }}"
        )
    };
    let mut commands = vec![Command::BeginPass];
    for number in 1..=pipelines {
        let (pipeline, group, _) = bound(device, &kernel(number), 256);
        if broken && number == pipelines {
            let (wrong, ..) = bound(device, &kernel(number + 1), 256);
            let miscompiled = device.pipelines.get(wrong).unwrap().raw.clone();
            device.pipelines.get_mut(pipeline).unwrap().raw = miscompiled;
        }
        commands.extend_from_slice(&dispatch(pipeline, group, 1)[1..4]);
    }
    commands.push(Command::EndPass);
    device.submit(&commands)
}

#[test]
fn a_device_that_miscomputes_is_found_out_in_a_job_of_one_workgroup() {
    for adapter in adapters() {
        let open = || open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        for pipelines in [1, 2, 5] {
            single_workgroups(&mut open(), pipelines, false).unwrap();
            let found = single_workgroups(&mut open(), pipelines, true).unwrap_err();
            assert!(matches!(found, DeviceError::Fault(DeviceFault::Miscomputed { .. })), "{found}");
        }
    }
}

/// Runs a kernel that races in so many workgroups, each of which is checked.
fn racing(wgsl: &str, bytes: u64, workgroups: u32) {
    for adapter in adapters() {
        let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(1 << 20);
        check_all(&mut device);
        let cache = tempfile::tempdir().unwrap();
        device.set_verdict(Tier::A, Some(cache.path()));
        let (pipeline, group, _) = bound(&mut device, wgsl, bytes);
        let found = device.submit(&dispatch(pipeline, group, workgroups)).unwrap_err();
        assert!(matches!(found, DeviceError::Fault(DeviceFault::Irreproducible { race: Some(_), .. })), "{found}");
        assert!(found.to_string().contains("the kernel races"), "{found}");
        assert_eq!(probe::suspicion(cache.path(), &adapter.info), None, "the device is suspected");
    }
}

#[test]
fn a_race_between_workgroups_ends_the_job_but_is_not_held_against_the_device() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3u) { a[0] = id.x; }";
    racing(wgsl, 4, 1000);
}

#[test]
fn a_race_within_a_workgroup_ends_the_job_but_is_not_held_against_the_device() {
    // In the order of the CPU device each invocation sees its neighbour's old number; on a device it depends.
    let wgsl = "@group(0) @binding(0) var<storage, read_write> n: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) l: u32) {
            n[w.x * 64u + l] = n[w.x * 64u + (l + 63u) % 64u] * 3u + l; }";
    racing(wgsl, 2000 * 256, 2000);
}

#[test]
fn a_loop_that_the_driver_leaves_is_told_from_other_trouble() {
    for adapter in adapters() {
        let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(1 << 20);
        let cache = tempfile::tempdir().unwrap();
        device.set_verdict(Tier::A, Some(cache.path()));
        check_all(&mut device);
        let wgsl = "@group(0) @binding(0) var<storage, read_write> turns: array<u32>;
            @compute @workgroup_size(1) fn main() {
                for (var i = 0u; i < 300u; i++) { for (var j = 0u; j < 300u; j++) { turns[0]++; } }
            }";
        let (pipeline, group, buffer) = bound(&mut device, wgsl, 4);
        let found = device.submit(&dispatch(pipeline, group, 1)).and_then(|()| device.settle());
        match found {
            Ok(_) => assert_eq!(device.read(buffer, 0, 4).unwrap()[..], 90_000_u32.to_le_bytes()),
            Err(error) => assert!(matches!(error, DeviceError::Fault(DeviceFault::LeftLoop)), "{error}"),
        }
        assert_eq!(probe::recall(cache.path(), &adapter.info), None, "the device is demoted");
    }
}

/// A pipeline of a kernel under profile dp32, and its only binding, a buffer of so many bytes.
fn bound(device: &mut WgpuDevice, wgsl: &str, bytes: u64) -> (ComputePipelineId, BindGroupId, BufferId) {
    let module = device.create_shader_module(&prepare(wgsl, Profile::Dp32).unwrap()).unwrap();
    let pipeline = device.create_compute_pipeline(module, None, None, &[]).unwrap();
    let buffer = device.create_buffer(bytes, BufferUsage::STORAGE).unwrap();
    let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
    let whole = GroupEntry { binding: 0, buffer, offset: 0, size: None };
    (pipeline, device.create_bind_group(layout, &[whole]).unwrap(), buffer)
}

/// Commands that run so many workgroups.
fn dispatch(pipeline: ComputePipelineId, group: BindGroupId, x: u32) -> [Command; 5] {
    [
        Command::BeginPass,
        Command::SetPipeline(pipeline),
        Command::SetBindGroup { index: 0, group, dynamic_offsets: vec![] },
        Command::Dispatch { x, y: 1, z: 1 },
        Command::EndPass,
    ]
}

#[test]
fn a_compiler_that_takes_too_long_is_left_behind() {
    for adapter in adapters() {
        let device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        let long = Duration::from_secs(600);
        let (end, ended) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let compile = move |_: &wgpu::Device| {
            begun.store(true, Relaxed);
            // Until the test ends.
            ended.recv().unwrap_err();
        };
        let given_up = device.guard.compile(&Stop::when(move || seen.load(Relaxed)), long, compile);
        assert!(matches!(given_up, Err(DeviceError::Fault(DeviceFault::Stopped))), "{given_up:?}");
        let (end_too, ended) = mpsc::channel::<()>();
        let compile = move |_: &wgpu::Device| ended.recv().unwrap_err();
        let given_up = device.guard.compile(&Stop::default(), Duration::from_millis(1), compile);
        assert!(matches!(given_up, Err(DeviceError::Fault(DeviceFault::TimedOut { .. }))), "{given_up:?}");
        lost(device.guard.compile(&Stop::default(), long, |_| panic!("from below")));
        drop((end, end_too));
    }
}
