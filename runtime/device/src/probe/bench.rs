//! Runs one kernel over many operands: on a device, and on the interpreter.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{Kernel, KernelError};

use super::kernels::WORKGROUP;
use crate::{Buffer, BufferUsage, DeviceError, Gpu, GroupEntry, Source};

/// The binding that results are written to, after the operands.
const RESULT: u32 = 3;

/// Operands in a device's memory and in the host's.
pub(super) struct Bench<'a> {
    gpu: &'a mut Gpu,
    operands: &'a [Vec<u32>; 3],
    inputs: Vec<Buffer>,
    result: Buffer,
}

impl<'a> Bench<'a> {
    pub(super) fn new(gpu: &'a mut Gpu, operands: &'a [Vec<u32>; 3]) -> Result<Self, DeviceError> {
        let mut inputs = Vec::new();
        let mut size = 4;
        for words in operands {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let buffer = gpu.create_buffer(size, BufferUsage::STORAGE)?;
            gpu.write(&buffer, 0, Source::Slice(&bytes))?;
            inputs.push(buffer);
        }
        let result = gpu.create_buffer(size, BufferUsage::STORAGE)?;
        Ok(Self { gpu, operands, inputs, result })
    }

    /// The device's results for the first `count` operands.
    pub(super) fn run(&mut self, kernel: &Kernel, count: usize, width: usize) -> Result<Vec<u32>, DeviceError> {
        let pipeline = self.gpu.create_compute_pipeline(kernel, None, None, &[])?;
        let layout = self.gpu.bind_group_layout_of(&pipeline, 0)?;
        let length = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(4);
        let bound = self.inputs.iter().chain([&self.result]).cloned().zip(0..);
        let entries: Vec<_> =
            bound.map(|(buffer, binding)| GroupEntry { binding, buffer, offset: 0, size: Some(length) }).collect();
        let group = self.gpu.create_bind_group(&layout, &entries)?;
        let mut encoder = self.gpu.create_command_encoder();
        encoder.begin_pass();
        encoder.set_pipeline(&pipeline);
        encoder.set_bind_group(0, &group, &[]);
        encoder.dispatch([workgroups(count, width), 1, 1]);
        encoder.end_pass();
        self.gpu.submit(&encoder.finish()?)?;
        let bytes = self.gpu.read(&self.result, 0, length)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    /// The right results.
    pub(super) fn expected(&self, kernel: &Kernel, count: usize, width: usize) -> Result<Vec<u32>, KernelError> {
        let lowered = kernel.resolve(None, &[])?.lower()?;
        let program = Program::compile(lowered.module(), lowered.info())?;
        let x = workgroups(count, width);
        let system = SystemBuffers::new(SystemParams::whole([x, 1, 1]));
        let first = |words: &'a Vec<u32>| words.iter().take(count).copied().map(AtomicU32::new).collect();
        let operands: Vec<Vec<AtomicU32>> = self.operands.iter().map(first).collect();
        let result: Vec<_> = (0..count).map(|_| AtomicU32::new(0)).collect();
        let mut buffers = Buffers::new();
        for (words, binding) in operands.iter().zip(0..) {
            buffers.bind(0, binding, words);
        }
        buffers.bind(0, RESULT, &result).bind_system(&system);
        // It is never stopped.
        let _ = program.run(&buffers, [x, 1, 1], &AtomicBool::new(false));
        Ok(result.iter().map(|word| word.load(Ordering::Relaxed)).collect())
    }
}

fn workgroups(count: usize, width: usize) -> u32 {
    u32::try_from((count / width.max(1)).div_ceil(WORKGROUP)).unwrap_or(u32::MAX)
}
