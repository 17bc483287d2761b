//! Looks for races in a kernel alone, on inputs that are made up: what `isobit check --detect-races` does.

use std::time::{Duration, Instant};

use isobit_device::{
    BufferBindingType, BufferUsage, DeviceClass, DeviceError, DeviceSelector, Gpu, GroupEntry, JobLimits, Kernel,
    Policy, RaceLog, RaceReport, Source, Stop,
};
use isobit_job::FaultKind;
use isobit_shader::{Binding, EntryPoint, GUEST_BIND_GROUPS};

/// Kernel fuel of a run on one kind of contents, and what each invocation adds.
const FUEL: u64 = 2_000_000;
const FUEL_FOR_EACH: u64 = 10_000;

/// Device memory of a run.
const MEMORY: u64 = 1 << 30;

/// The least bytes of a storage buffer, and what each invocation adds: room for some elements of its own.
const LEAST_STORAGE: u64 = 4 << 10;
const STORAGE_FOR_EACH: u64 = 16;
/// What invocations add at most.
const MOST_FOR_ALL: u64 = 16 << 20;

/// What the buffers of a run hold. The same words in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    Zeros,
    /// Each word holds its own index.
    Indices,
    /// Small integers: indices and counts that stay within buffers.
    Small,
    /// Numbers from 0 to 1.
    Floats,
    Random,
}

impl Contents {
    const ALL: [Self; 5] = [Self::Zeros, Self::Indices, Self::Small, Self::Floats, Self::Random];

    fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Indices => "each word its index",
            Self::Small => "integers below 64",
            Self::Floats => "numbers from 0 to 1",
            Self::Random => "random bits",
        }
    }

    fn bytes(self, size: u64, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let words = (0..size / 4).map(|index| {
            let random = splitmix(&mut state);
            match self {
                Self::Zeros => 0,
                Self::Indices => u32::try_from(index).unwrap_or(u32::MAX),
                Self::Small => random % 64,
                // The upper bits as the fraction of a number from 1 to 2.
                Self::Floats => (f32::from_bits((random >> 9) | 0x3f80_0000) - 1.0).to_bits(),
                Self::Random => random,
            }
        });
        words.flat_map(u32::to_le_bytes).collect()
    }
}

/// The high half of SplitMix64's next number (Steele, Lea, Flood 2014).
fn splitmix(state: &mut u64) -> u32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default()
}

/// What was tried with an entry point, and what came of it.
pub struct Tried {
    /// The contents of buffers with which it ran to its end.
    pub contents: Vec<&'static str>,
    /// Why other contents were not tried, or not to the end.
    pub ended_early: Option<String>,
    pub report: RaceReport,
}

/// The workgroups of a dispatch in which invocations of different workgroups may meet, in each dimension that the kernel uses.
pub fn default_workgroups(entry_point: &EntryPoint) -> [u32; 3] {
    let [_, y, z] = entry_point.workgroup_size;
    [3, if y > 1 { 2 } else { 1 }, if z > 1 { 2 } else { 1 }]
}

/// Runs an entry point on the CPU device with made-up buffers until `patience` is over, and looks for races.
///
/// # Errors
/// Fails if the kernel is refused, or cannot be dispatched like that.
pub fn detect_races(
    kernel: &Kernel,
    entry_point: &EntryPoint,
    overrides: &[(String, f64)],
    class: DeviceClass,
    workgroups: [u32; 3],
    patience: Duration,
) -> anyhow::Result<Tried> {
    let log = RaceLog::default();
    let late = Instant::now() + patience;
    let invocations =
        workgroups.iter().fold(entry_point.invocations(), |all, count| all.saturating_mul(u64::from(*count)));
    let fuel = invocations.saturating_mul(FUEL_FOR_EACH).saturating_add(FUEL);
    let mut tried = Tried { contents: Vec::new(), ended_early: None, report: RaceReport::default() };
    for contents in Contents::ALL {
        let stop = Stop::when(move || (Instant::now() >= late).then_some(FaultKind::Deadline));
        let device = isobit_device::open(&DeviceSelector::Cpu)?
            .with(Policy { races: Some(log.clone()), ..Policy::default() })
            .start(JobLimits { memory: MEMORY, kernel_fuel: fuel, class }, stop);
        let made = |binding: &Binding| {
            let seed = (u64::from(binding.group) << 32) | u64::from(binding.binding);
            contents.bytes(size(binding, invocations), seed)
        };
        match run(device, kernel, entry_point, overrides, workgroups, made) {
            Ok(true) => tried.contents.push(contents.name()),
            Ok(false) => {
                tried.ended_early = Some(format!("with {} it takes more than {fuel} kernel fuel", contents.name()));
            }
            Err(DeviceError::Fault(fault)) if fault.kind == FaultKind::Deadline => {
                tried.ended_early = Some(format!("{} s were over", patience.as_secs()));
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    tried.report = log.report();
    Ok(tried)
}

/// Runs the entry point once, on buffers that hold what is `made` for each binding. False if its fuel ran out.
fn run(
    mut gpu: Gpu,
    kernel: &Kernel,
    entry_point: &EntryPoint,
    overrides: &[(String, f64)],
    workgroups: [u32; 3],
    made: impl Fn(&Binding) -> Vec<u8>,
) -> Result<bool, DeviceError> {
    let pipeline = gpu.create_compute_pipeline(kernel, Some(&entry_point.name), None, overrides)?;
    let mut encoder = gpu.create_command_encoder();
    encoder.begin_pass();
    encoder.set_pipeline(&pipeline);
    for group in 0..GUEST_BIND_GROUPS {
        let mut entries = Vec::new();
        for binding in entry_point.bindings.iter().filter(|binding| binding.group == group) {
            let bytes = made(binding);
            let usage = match binding.ty {
                BufferBindingType::Uniform => BufferUsage::UNIFORM,
                BufferBindingType::Storage | BufferBindingType::ReadOnlyStorage => BufferUsage::STORAGE,
            };
            let buffer = gpu.create_buffer(bytes.len() as u64, usage)?;
            gpu.write(&buffer, 0, Source::Slice(&bytes))?;
            entries.push(GroupEntry { binding: binding.binding, buffer, offset: 0, size: None });
        }
        if !entries.is_empty() {
            let layout = gpu.bind_group_layout_of(&pipeline, group)?;
            encoder.set_bind_group(group, &gpu.create_bind_group(&layout, &entries)?, &[]);
        }
    }
    encoder.dispatch(workgroups);
    encoder.end_pass();
    gpu.submit(&encoder.finish()?)?;
    Ok(!gpu.settle()?.spent)
}

/// Bytes of the buffer for a binding.
fn size(binding: &Binding, invocations: u64) -> u64 {
    let needed = binding.min_size.max(4).next_multiple_of(16);
    match binding.ty {
        BufferBindingType::Uniform => needed,
        BufferBindingType::Storage | BufferBindingType::ReadOnlyStorage => {
            needed.max(LEAST_STORAGE + invocations.saturating_mul(STORAGE_FOR_EACH).min(MOST_FOR_ALL))
        }
    }
}
