//! The kernels in `benches/kernels`, each with its buffers and ready to be dispatched on a device.

use std::time::Duration;

use isobit_device::{
    Adapter, AdapterOptions, Buffer, BufferUsage, CommandBuffer, ComputePipeline, Device, DeviceClass, DeviceSelector,
    Gpu, GroupEntry, JobLimits, Source, Stop, Tier,
};
use isobit_job::Profile;

use super::time;

/// A kernel with buffers `a`, `b` and `c`.
pub struct Case {
    pub name: &'static str,
    pub wgsl: &'static str,
    workgroups: [u32; 3],
    /// Words of each buffer.
    words: [usize; 3],
    integers: bool,
}

const fn case(name: &'static str, wgsl: &'static str, workgroups: [u32; 3], words: [usize; 3]) -> Case {
    Case { name, wgsl, workgroups, words, integers: false }
}

const MILLION: usize = 1 << 20;

pub const CASES: &[Case] = &[
    case("matmul-naive", include_str!("../kernels/matmul_naive.wgsl"), [16, 16, 1], [1 << 16; 3]),
    case("matmul-tiled", include_str!("../kernels/matmul_tiled.wgsl"), [8, 8, 1], [1 << 16; 3]),
    case("copy", include_str!("../kernels/copy.wgsl"), [1 << 14, 1, 1], [4 * MILLION; 3]),
    case("saxpy", include_str!("../kernels/saxpy.wgsl"), [1 << 14, 1, 1], [4 * MILLION; 3]),
    case("reduction", include_str!("../kernels/reduction.wgsl"), [1 << 10, 1, 1], [4 * MILLION, 4, 1 << 10]),
    case("nbody", include_str!("../kernels/nbody.wgsl"), [32, 1, 1], [4 * 2048, 4, 4 * 2048]),
    case("softmax", include_str!("../kernels/softmax.wgsl"), [1 << 12, 1, 1], [MILLION, 4, MILLION]),
    case("gelu", include_str!("../kernels/gelu.wgsl"), [1 << 12, 1, 1], [MILLION, 4, MILLION]),
    Case {
        integers: true,
        ..case("int8", include_str!("../kernels/int8.wgsl"), [16, 16, 1], [1 << 14, 1 << 14, 1 << 16])
    },
];

pub fn open(selector: &DeviceSelector, tier: Tier) -> Device {
    Adapter::select(selector).unwrap().open(AdapterOptions { tier, staging_only: false }).unwrap()
}

/// A case on a device, ready to be dispatched.
pub struct Run {
    gpu: Gpu,
    commands: CommandBuffer,
    output: Buffer,
    bytes: u64,
}

impl Run {
    pub fn new(device: Device, case: &Case, profile: Profile) -> Self {
        let kernel = isobit_shader::prepare(case.wgsl, profile).unwrap();
        Self::of(device, case, |gpu| gpu.create_compute_pipeline(&kernel, None, None, &[]).unwrap())
    }

    /// Of this text of the kernel, under profile dp32. `metered`: whether its loops pay fuel.
    pub fn of_text(device: Device, case: &Case, text: &str, metered: bool) -> Self {
        let kernel = isobit_shader::prepare(text, Profile::Dp32).unwrap();
        Self::of(device, case, |gpu| match metered {
            true => gpu.create_compute_pipeline(&kernel, None, None, &[]).unwrap(),
            false => gpu.create_unmetered_pipeline(&kernel).unwrap(),
        })
    }

    fn of(device: Device, case: &Case, pipeline: impl FnOnce(&mut Gpu) -> ComputePipeline) -> Self {
        let mut gpu = device
            .start(JobLimits { memory: u64::MAX, kernel_fuel: u64::MAX, class: DeviceClass::Base }, Stop::default());
        let buffers = case.words.map(|words| gpu.create_buffer(words as u64 * 4, BufferUsage::STORAGE).unwrap());
        for (buffer, words) in buffers.iter().zip(case.words).take(2) {
            let data: Vec<u8> = (0..words).flat_map(|index| word(index, case.integers).to_le_bytes()).collect();
            gpu.write(buffer, 0, Source::Slice(&data)).unwrap();
        }
        let pipeline = pipeline(&mut gpu);
        let layout = gpu.bind_group_layout_of(&pipeline, 0).unwrap();
        let bound = (0..).zip(buffers.clone());
        let entries: Vec<GroupEntry> =
            bound.map(|(binding, buffer)| GroupEntry { binding, buffer, offset: 0, size: None }).collect();
        let group = gpu.create_bind_group(&layout, &entries).unwrap();
        let mut encoder = gpu.create_command_encoder();
        encoder.begin_pass();
        encoder.set_pipeline(&pipeline);
        encoder.set_bind_group(0, &group, &[]);
        encoder.dispatch(case.workgroups);
        encoder.end_pass();
        let [_, _, output] = buffers;
        Self { commands: encoder.finish().unwrap(), gpu, output, bytes: case.words[2] as u64 * 4 }
    }

    pub fn once(&mut self) -> Duration {
        time(|| {
            self.gpu.submit(&self.commands).unwrap();
            self.gpu.wait().unwrap();
        })
    }

    /// The kernel fuel of all dispatches so far.
    pub fn fuel(&mut self) -> u64 {
        self.gpu.settle().unwrap().fuel
    }

    pub fn result(&mut self) -> Vec<u8> {
        self.once();
        self.gpu.settle().unwrap();
        self.gpu.read(&self.output, 0, self.bytes).unwrap().to_vec()
    }
}

/// Integers of any value, or numbers from -1 to 1.
fn word(index: usize, integers: bool) -> u32 {
    let mixed = u32::try_from(index).unwrap().wrapping_add(1).wrapping_mul(0x9e37_79b9);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b);
    if integers { mixed } else { (mixed.cast_signed() as f32 / 2_147_483_648.0).to_bits() }
}
