//! Devices that miscompute, and kernels that only seem to be miscomputed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use isobit_job::{Fault, FaultKind};
use isobit_shader::{Kernel, Profile, Tier, prepare};

use super::SpotCheck;
use crate::core::PipelineState;
use crate::probe;
use crate::seen::adapters;
use crate::verdicts::Suspicions;
use crate::{
    Adapter, AdapterOptions, BindGroup, Buffer, BufferUsage, CommandBuffer, ComputePipeline, Device, DeviceClass,
    DeviceError, Gpu, GroupEntry, JobLimits, KernelUse, Source, Stop,
};

/// How long the checks of a test may take, on a busy machine too.
const LONG: Duration = Duration::from_secs(600);

/// A job's device in tier A that checks one workgroup in so many, and notes its suspicions in a folder.
fn open(adapter: &Adapter, staging_only: bool, one_in: u64, cache: Option<&Path>) -> (Gpu, SpotCheck) {
    let backend = adapter.backend(AdapterOptions { tier: Tier::A, staging_only }).unwrap();
    let suspicions = Suspicions::kept_in(cache, Tier::A);
    let device = Device::new(Box::new(backend), suspicions.clone());
    let gpu =
        device.start(JobLimits { memory: 1 << 20, kernel_fuel: u64::MAX, class: DeviceClass::Base }, Stop::default());
    let mut check = SpotCheck::new(NonZeroU64::new(one_in).unwrap(), suspicions);
    check.sampler.least_time = LONG;
    (gpu, check)
}

/// The same; it checks every workgroup.
fn open_checked(adapter: &Adapter, staging_only: bool, cache: Option<&Path>) -> Gpu {
    let (mut gpu, check) = open(adapter, staging_only, 1, cache);
    gpu.observers.push(Box::new(check));
    gpu
}

fn fault<T: std::fmt::Debug>(result: Result<T, DeviceError>) -> Fault {
    match result {
        Err(DeviceError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// A pipeline for which the device runs another.
fn miscompiled(right: &ComputePipeline, wrong: &ComputePipeline) -> ComputePipeline {
    ComputePipeline::new(PipelineState { compiled: wrong.state().compiled.clone(), ..right.state().clone() })
}

/// A kernel, and one that gives the results that a device that miscomputes might give for it.
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

/// Submits a dispatch of the first kernel on a device that checks all its workgroups. If `broken`, the device runs the other
/// kernel instead.
fn checked(gpu: &mut Gpu, broken: bool) -> Result<(), DeviceError> {
    let [mut pipeline, wrong] = kernels().map(|kernel| gpu.create_compute_pipeline(&kernel, None, None, &[]).unwrap());
    if broken {
        pipeline = miscompiled(&pipeline, &wrong);
    }
    let numbers: Vec<u8> = (0..1024_u16).flat_map(|number| f32::from(number).to_le_bytes()).collect();
    let buffer = gpu.create_buffer(1 << 13, BufferUsage::STORAGE).unwrap();
    gpu.write(&buffer, 1 << 12, Source::Slice(&numbers)).unwrap();
    let moved = gpu.create_buffer(256, BufferUsage::UNIFORM).unwrap();
    let layout = gpu.bind_group_layout_of(&pipeline, 0).unwrap();
    let entry = |binding, buffer: &Buffer, offset| GroupEntry { binding, buffer: buffer.clone(), offset, size: None };
    let group = gpu.create_bind_group(&layout, &[entry(0, &moved, 0), entry(1, &buffer, 1 << 12)]).unwrap();
    gpu.submit(&dispatches(gpu, &[(pipeline.clone(), group)], 16))?;
    let cost = pipeline.workgroup_cost();
    assert_eq!(gpu.settle()?, KernelUse { fuel: 16 * cost, spent: false }, "checks are free");
    let expected: Vec<u8> = (0..1024_u16).flat_map(|number| (f32::from(number) * 3.0).to_le_bytes()).collect();
    assert!(gpu.read(&buffer, 1 << 12, 1 << 12)?[..] == expected[..]);
    Ok(())
}

#[test]
fn a_spot_check_finds_a_device_that_miscomputes() {
    for adapter in adapters() {
        for staging in [false, true] {
            checked(&mut open_checked(&adapter, staging, None), false).unwrap();
            let cache = tempfile::tempdir().unwrap();
            let found = fault(checked(&mut open_checked(&adapter, staging, Some(cache.path())), true));
            assert_eq!(found.kind, FaultKind::Miscomputed, "{found}");
            // The device is probed before it is used again.
            assert_eq!(probe::recall(cache.path(), adapter.info()), None);
            let suspicion = probe::suspicion(cache.path(), adapter.info()).unwrap();
            assert!(suspicion.to_string().starts_with("a job: workgroup ("), "{suspicion}");
        }
    }
}

#[test]
fn a_suspicion_costs_a_tier_only_where_the_probe_confirms_it() {
    for mut adapter in adapters() {
        let cache = tempfile::tempdir().unwrap();
        let granted = probe::Verdict { tier: Some(Tier::A), failure: None };
        probe::record(cache.path(), adapter.info(), &granted).unwrap();
        fault(checked(&mut open_checked(&adapter, false, Some(cache.path())), true));
        // The probe finds native arithmetic wrong: from now on the device computes with integers.
        adapter.careless = Some(Tier::A);
        let mut prober = probe::InProcess(|_: probe::Progress<'_>| ());
        let verdict = probe::verdict(&adapter, Some(cache.path()), &mut prober).unwrap();
        assert_eq!(verdict.tier, Some(Tier::B), "{verdict:?}");
        assert_eq!(probe::recall(cache.path(), adapter.info()), Some(verdict));
    }
}

/// Submits one workgroup of each of some pipelines; if `broken`, the device runs another pipeline for the last. No workgroup is
/// drawn to be checked.
fn single_workgroups(adapter: &Adapter, pipelines: u32, broken: bool) -> Result<(), DeviceError> {
    let (mut gpu, mut check) = open(adapter, false, u64::MAX, None);
    if pipelines > 1 {
        // Only the first check has time in every job.
        check.sampler.grace = LONG;
    }
    gpu.observers.push(Box::new(check));
    let kernel = |step: u32| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {{ a[i] += {step}u * i; }}"
        )
    };
    let mut bound_pipelines = Vec::new();
    for number in 1..=pipelines {
        let (mut pipeline, group, _) = bound(&mut gpu, &kernel(number), 256);
        if broken && number == pipelines {
            let (wrong, ..) = bound(&mut gpu, &kernel(number + 1), 256);
            pipeline = miscompiled(&pipeline, &wrong);
        }
        bound_pipelines.push((pipeline, group));
    }
    gpu.submit(&dispatches(&gpu, &bound_pipelines, 1))
}

#[test]
fn a_device_that_miscomputes_is_found_out_in_a_job_of_one_workgroup() {
    for adapter in adapters() {
        for pipelines in [1, 2, 5] {
            single_workgroups(&adapter, pipelines, false).unwrap();
            let found = fault(single_workgroups(&adapter, pipelines, true));
            assert_eq!(found.kind, FaultKind::Miscomputed, "{found}");
        }
    }
}

/// Runs a kernel that races in `workgroups` workgroups, all of which are checked.
fn racing(wgsl: &str, bytes: u64, workgroups: u32) {
    for adapter in adapters() {
        let cache = tempfile::tempdir().unwrap();
        let mut gpu = open_checked(&adapter, false, Some(cache.path()));
        let (pipeline, group, _) = bound(&mut gpu, wgsl, bytes);
        let found = fault(gpu.submit(&dispatches(&gpu, &[(pipeline, group)], workgroups)));
        assert_eq!(found.kind, FaultKind::KernelRaces, "{found}");
        assert!(found.to_string().contains("no barrier is between"), "{found}");
        assert_eq!(probe::suspicion(cache.path(), adapter.info()), None, "the device is suspected");
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
    // On the CPU device each invocation sees its neighbour's old number; on other devices this varies.
    let wgsl = "@group(0) @binding(0) var<storage, read_write> n: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) l: u32) {
            n[w.x * 64u + l] = n[w.x * 64u + (l + 63u) % 64u] * 3u + l; }";
    racing(wgsl, 2000 * 256, 2000);
}

#[test]
fn a_loop_that_the_driver_leaves_is_told_from_other_trouble() {
    for adapter in adapters() {
        let cache = tempfile::tempdir().unwrap();
        let mut gpu = open_checked(&adapter, false, Some(cache.path()));
        let wgsl = "@group(0) @binding(0) var<storage, read_write> turns: array<u32>;
            @compute @workgroup_size(1) fn main() {
                for (var i = 0u; i < 300u; i++) { for (var j = 0u; j < 300u; j++) { turns[0]++; } }
            }";
        let (pipeline, group, buffer) = bound(&mut gpu, wgsl, 4);
        let found = gpu.submit(&dispatches(&gpu, &[(pipeline, group)], 1)).and_then(|()| gpu.settle());
        match found {
            Ok(_) => assert_eq!(gpu.read(&buffer, 0, 4).unwrap()[..], 90_000_u32.to_le_bytes()),
            Err(error) => assert_eq!(fault(Err::<(), _>(error)).kind, FaultKind::LeftLoop),
        }
        assert_eq!(probe::recall(cache.path(), adapter.info()), None, "the device is demoted");
    }
}

/// A pipeline of a kernel under profile dp32, and its only binding, a buffer of so many bytes.
fn bound(gpu: &mut Gpu, wgsl: &str, bytes: u64) -> (ComputePipeline, BindGroup, Buffer) {
    let kernel = prepare(wgsl, Profile::Dp32).unwrap();
    let pipeline = gpu.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
    let buffer = gpu.create_buffer(bytes, BufferUsage::STORAGE).unwrap();
    let layout = gpu.bind_group_layout_of(&pipeline, 0).unwrap();
    let whole = GroupEntry { binding: 0, buffer: buffer.clone(), offset: 0, size: None };
    let group = gpu.create_bind_group(&layout, &[whole]).unwrap();
    (pipeline, group, buffer)
}

/// Commands that run so many workgroups of each of some pipelines.
fn dispatches(gpu: &Gpu, pipelines: &[(ComputePipeline, BindGroup)], x: u32) -> CommandBuffer {
    let mut encoder = gpu.create_command_encoder();
    encoder.begin_pass();
    for (pipeline, group) in pipelines {
        encoder.set_pipeline(pipeline);
        encoder.set_bind_group(0, group, &[]);
        encoder.dispatch([x, 1, 1]);
    }
    encoder.end_pass();
    encoder.finish().unwrap()
}
