//! Strangers' cases: kernels after public bug reports that once gave wrong bits, or were refused without need. `wgsl/NAME/` has the kernel; where
//! it is to be run, `plan.txt` says how, `b1.bin` is what buffer 1 is filled with, and `expected.bin` what the buffer `out` holds afterwards, on
//! every device and in both tiers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

#[path = "../../../../tests/support/seen.rs"]
mod seen;

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use isobit_device::{
    Adapter, AdapterOptions, Buffer, BufferUsage, CommandBuffer, Device, DeviceClass, DeviceError, DeviceSelector, Gpu,
    GroupEntry, JobLimits, Kernel, Policy, Source, SpotChecks, Stop, Tier, list_adapters, open_cpu,
};
use isobit_job::FaultKind;
use isobit_shader::{Profile, prepare};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/wgsl")
}

fn kernel(case: &str) -> Result<Kernel, String> {
    let wgsl = fs::read_to_string(folder().join(case).join("kernel.wgsl")).unwrap();
    prepare(&wgsl, Profile::Dp32).map_err(|error| error.to_string())
}

/// What a plan says.
#[derive(Default)]
struct Plan {
    /// Bytes of each buffer.
    buffers: Vec<u64>,
    /// Buffer and contents.
    loads: Vec<(usize, Vec<u8>)>,
    /// Group, binding, buffer.
    bound: Vec<(u32, u32, usize)>,
    workgroups: [u32; 3],
    out: usize,
}

impl Plan {
    fn read(case: &Path) -> Self {
        let mut plan = Self::default();
        for line in fs::read_to_string(case.join("plan.txt")).unwrap().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| words[index].parse::<u32>().unwrap();
            match words[0] {
                "buffer" => {
                    assert_eq!(plan.buffers.len(), number(1) as usize, "{line}");
                    plan.buffers.push(number(2).into());
                }
                "load" => {
                    let contents = fs::read(case.join(format!("{}.bin", words[2]))).unwrap();
                    plan.loads.push((number(1) as usize, contents));
                }
                "bind" => plan.bound.push((number(1), number(2), number(3) as usize)),
                "dispatch" => plan.workgroups = [2, 3, 4].map(number),
                "out" => plan.out = number(1) as usize,
                _ => panic!("{line}"),
            }
        }
        plan
    }
}

fn start(device: Device) -> Gpu {
    device.start(JobLimits { memory: 1 << 20, kernel_fuel: u64::MAX, class: DeviceClass::Base }, Stop::default())
}

/// A dispatch of a kernel with all that it is given, and its buffers.
fn record(gpu: &mut Gpu, kernel: &Kernel, plan: &Plan) -> Result<(CommandBuffer, Vec<Buffer>), DeviceError> {
    let pipeline = gpu.create_compute_pipeline(kernel, None, None, &[])?;
    let usage = BufferUsage { storage: true, uniform: true };
    let create = |size: &u64| gpu.create_buffer(*size, usage);
    let buffers: Vec<_> = plan.buffers.iter().map(create).collect::<Result<_, _>>()?;
    for (buffer, contents) in &plan.loads {
        gpu.write(&buffers[*buffer], 0, Source::Slice(contents))?;
    }
    let mut encoder = gpu.create_command_encoder();
    encoder.begin_pass();
    encoder.set_pipeline(&pipeline);
    for index in 0..3 {
        let bound = plan.bound.iter().filter(|(group, ..)| *group == index);
        let entry = |(_, binding, buffer): &(u32, u32, usize)| GroupEntry {
            binding: *binding,
            buffer: buffers[*buffer].clone(),
            offset: 0,
            size: None,
        };
        let entries: Vec<_> = bound.map(entry).collect();
        if !entries.is_empty() {
            let layout = gpu.bind_group_layout_of(&pipeline, index)?;
            encoder.set_bind_group(index, &gpu.create_bind_group(&layout, &entries)?, &[]);
        }
    }
    encoder.dispatch(plan.workgroups);
    encoder.end_pass();
    Ok((encoder.finish()?, buffers))
}

fn run(device: Device, kernel: &Kernel, plan: &Plan) -> Result<Vec<u8>, DeviceError> {
    let mut gpu = start(device);
    let (commands, buffers) = record(&mut gpu, kernel, plan)?;
    gpu.submit(&commands)?;
    gpu.settle()?;
    Ok(gpu.read(&buffers[plan.out], 0, plan.buffers[plan.out])?.to_vec())
}

fn adapters() -> Vec<Adapter> {
    let capable = list_adapters().into_iter().filter(|adapter| adapter.missing.is_empty());
    capable.map(|adapter| Adapter::select(&DeviceSelector::Index(adapter.index)).unwrap()).collect()
}

/// Each adapter that can run kernels in both tiers, and the CPU device: names, and what each makes of a plan.
fn everywhere(kernel: &Kernel, plan: &Plan) -> Vec<(String, Result<Vec<u8>, DeviceError>)> {
    let mut results = vec![("CPU device".to_owned(), run(open_cpu().unwrap(), kernel, plan))];
    for adapter in adapters() {
        for tier in [Tier::A, Tier::B] {
            let device = adapter.open(AdapterOptions { tier, staging_only: false }).unwrap();
            results.push((format!("{}, tier {tier:?}", adapter.info().name), run(device, kernel, plan)));
        }
    }
    results
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

/// Where a case goes wrong, if it does.
fn wrong(kernel: &Kernel, plan: &Plan, expected: &[u8]) -> Vec<String> {
    let compare = |(place, result): (String, Result<Vec<u8>, DeviceError>)| match result {
        Ok(found) if found == expected => None,
        Ok(found) => Some(format!("{place}: {:x?} instead of {:x?}", words(&found), words(expected))),
        Err(error) => Some(format!("{place}: {error}")),
    };
    everywhere(kernel, plan).into_iter().filter_map(compare).collect()
}

/// It nests by itself, and deeper than every driver keeps.
const TOO_DEEP: &str = "llvmpipe-84-nested-calls";

#[test]
fn what_nests_too_deep_for_some_driver_is_refused_where_it_does() {
    let kernel = kernel(TOO_DEEP).unwrap();
    let error = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap_err().diagnostic();
    assert!(error.reason.contains("control flow nests") && error.location.is_some(), "{error}");
}

#[test]
fn every_case_has_its_expected_bits_on_every_device_in_both_tiers() {
    seen::expect_drivers(list_adapters().iter().map(|adapter| adapter.info.name.as_str()));
    let mut failed = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let case = entry.unwrap().path();
        if !case.join("plan.txt").exists() {
            continue;
        }
        seen += 1;
        let name = case.file_name().unwrap().to_str().unwrap();
        if name == TOO_DEEP {
            continue;
        }
        let found = match kernel(name) {
            Ok(kernel) => wrong(&kernel, &Plan::read(&case), &fs::read(case.join("expected.bin")).unwrap()),
            Err(error) => vec![error],
        };
        failed.extend(found.into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(seen >= 16, "only {seen} cases were found");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_fault_that_an_entry_point_does_not_reach_is_not_its_own() {
    for (case, entry) in [
        ("refused-unused-enable-f16", "main"),
        ("refused-other-entry-uses-texture", "step"),
        ("refused-other-entry-atomic-result", "step"),
    ] {
        let kernel = kernel(case).unwrap_or_else(|error| panic!("{case}: {error}"));
        let lowered = kernel.resolve(Some(entry), &[]).and_then(|kernel| kernel.lower());
        lowered.unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    let kernel = kernel("refused-other-entry-atomic-result").unwrap();
    let lowered = kernel.resolve(Some("append"), &[]).and_then(|kernel| kernel.lower());
    assert!(lowered.is_err(), "an atomic's result is used");
}

#[test]
fn a_zero_value_of_a_refused_type_does_not_ask_for_an_arrays_length() {
    let error = match kernel("misleading-f16-zero-value") {
        Ok(kernel) => match kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()) {
            Ok(_) => panic!("f16 is accepted"),
            Err(error) => error.to_string(),
        },
        Err(error) => error,
    };
    assert!(!error.contains("length") && error.contains("f16"), "{error}");
}

#[test]
fn invocations_beyond_the_end_of_a_buffer_do_not_race_for_its_last_word() {
    let plan = Plan { buffers: vec![400], bound: vec![(0, 0, 0)], workgroups: [2, 1, 1], ..Plan::default() };
    let expected: Vec<u8> = (0..100_u32).flat_map(u32::to_le_bytes).collect();
    let failed = wrong(&kernel("oob-store-clamped-races").unwrap(), &plan, &expected);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_race_within_a_workgroup_faults_as_one() {
    let plan = Plan { buffers: vec![2000 * 256], bound: vec![(0, 0, 0)], workgroups: [2000, 1, 1], ..Plan::default() };
    let kernel = kernel("race-within-a-workgroup").unwrap();
    for adapter in adapters() {
        let policy = Policy { spot_checks: SpotChecks { one_in: NonZeroU64::new(1) }, ..Policy::default() };
        let mut gpu = start(adapter.open(AdapterOptions::default()).unwrap().with(policy));
        let (commands, _) = record(&mut gpu, &kernel, &plan).unwrap();
        // On a busy machine there may be no time for a check at first.
        let mut submit = || gpu.submit(&commands).err();
        let found = (0..1000).find_map(|_| submit()).unwrap();
        assert!(matches!(&found, DeviceError::Fault(fault) if fault.kind == FaultKind::KernelRaces), "{found}");
    }
}
