//! Runs one kernel over many operands: on a device, and as it should be.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{Diagnostic, Kernel};

use super::kernels::WORKGROUP;
use crate::{
    BindGroupId, BufferId, BufferUsage, Command, ComputePipelineId, Device, DeviceError, GroupEntry, ResourceId, Source,
};

/// The binding that results are written to, after the operands.
const RESULT: u32 = 3;

/// Operands in a device's memory and in the host's.
pub(super) struct Bench<'a, D: Device> {
    device: &'a mut D,
    operands: &'a [Vec<u32>; 3],
    inputs: Vec<BufferId>,
    result: BufferId,
}

impl<'a, D: Device> Bench<'a, D> {
    pub(super) fn new(device: &'a mut D, operands: &'a [Vec<u32>; 3]) -> Result<Self, DeviceError> {
        let mut inputs = Vec::new();
        let mut size = 4;
        for words in operands {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let buffer = device.create_buffer(size, BufferUsage::STORAGE)?;
            inputs.push(buffer);
            device.write(buffer, 0, Source::Slice(&bytes))?;
        }
        let result = device.create_buffer(size, BufferUsage::STORAGE)?;
        Ok(Self { device, operands, inputs, result })
    }

    /// What the device makes of the first `count` operands.
    pub(super) fn run(&mut self, kernel: &Kernel, count: usize, width: usize) -> Result<Vec<u32>, DeviceError> {
        let module = self.device.create_shader_module(kernel)?;
        let pipeline = self.device.create_compute_pipeline(module, None, None, &[])?;
        let layout = self.device.bind_group_layout_of(pipeline, 0)?;
        let length = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(4);
        let bound = self.inputs.iter().chain([&self.result]).zip(0..);
        let entries: Vec<_> =
            bound.map(|(&buffer, binding)| GroupEntry { binding, buffer, offset: 0, size: Some(length) }).collect();
        let group = self.device.create_bind_group(layout, &entries)?;
        let results = self.dispatch(pipeline, group, workgroups(count, width), length);
        for id in [ResourceId::from(group), layout.into(), pipeline.into(), module.into()] {
            self.device.release(id);
        }
        results
    }

    fn dispatch(
        &mut self,
        pipeline: ComputePipelineId,
        group: BindGroupId,
        x: u32,
        length: u64,
    ) -> Result<Vec<u32>, DeviceError> {
        self.device.submit(&[
            Command::BeginPass,
            Command::SetPipeline(pipeline),
            Command::SetBindGroup { index: 0, group, dynamic_offsets: Vec::new() },
            Command::Dispatch { x, y: 1, z: 1 },
            Command::EndPass,
        ])?;
        let bytes = self.device.read(self.result, 0, length)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    /// What is right.
    pub(super) fn expected(&self, kernel: &Kernel, count: usize, width: usize) -> Result<Vec<u32>, Diagnostic> {
        let lowered = kernel.lower(kernel.entry_point(None)?, &[])?;
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
        let stopped = program.run(&buffers, [x, 1, 1], &AtomicBool::new(false));
        stopped.map_err(|_| Diagnostic::new("the interpreter was stopped"))?;
        Ok(result.iter().map(|word| word.load(Ordering::Relaxed)).collect())
    }
}

impl<D: Device> Drop for Bench<'_, D> {
    fn drop(&mut self) {
        for buffer in self.inputs.iter().chain([&self.result]) {
            self.device.release((*buffer).into());
        }
    }
}

fn workgroups(count: usize, width: usize) -> u32 {
    u32::try_from((count / width.max(1)).div_ceil(WORKGROUP)).unwrap_or(u32::MAX)
}
