//! Recording commands and handing them to the device. Recording cannot fail: `finish` reports what is wrong,
//! as in WebGPU.

use super::{BindGroup, Buffer, CommandBuffer, ComputePipeline, Failure, wit};
use crate::fuel;
use crate::host::HostState;
use crate::host::io::table_full;
use isobit_device::CommandEncoder as Encoder;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::Resource;

/// What an encoder has recorded; shared with its open pass. None once it is finished.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Encoder>>>);

impl Shared {
    fn new(encoder: Option<Encoder>) -> Self {
        Self(Arc::new(Mutex::new(encoder)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Encoder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a command. After `finish` the command is dropped, since nothing could observe it.
    fn record(&self, command: impl FnOnce(&mut Encoder)) {
        if let Some(encoder) = &mut *self.lock() {
            command(encoder);
        }
    }
}

/// A guest's handle to a command encoder.
pub struct CommandEncoder(Shared);

/// A guest's handle to an open compute pass.
pub struct ComputePass(Shared);

impl HostState {
    pub(super) fn submit_commands(&mut self, buffers: Vec<Resource<CommandBuffer>>) -> Result<(), Failure> {
        self.charge(buffers.len() as u64, fuel::ITEM)?;
        for buffer in buffers {
            let commands = self.table.delete(buffer)?;
            self.charge(commands.steps() as u64, fuel::COMMAND)?;
            let spent = self.kernel_fuel.saturating_add(commands.kernel_fuel());
            if spent > self.limits.kernel_fuel.get() {
                return Err(self.out_of_kernel_fuel().into());
            }
            self.kernel_fuel = spent;
            self.gpu()?.submit(&commands)?;
        }
        Ok(())
    }
}

impl wit::HostCommandEncoder for HostState {
    fn new(&mut self) -> wasmtime::Result<Resource<CommandEncoder>> {
        let encoder = self.gpu().map_err(crate::ending::Ending::raise)?.create_command_encoder();
        self.table.push(CommandEncoder(Shared::new(Some(encoder)))).map_err(table_full)
    }

    fn begin_compute_pass(&mut self, encoder: Resource<CommandEncoder>) -> wasmtime::Result<Resource<ComputePass>> {
        let shared = self.table.get(&encoder)?.0.clone();
        let mut was_open = false;
        shared.record(|encoder| {
            was_open = encoder.is_in_pass();
            encoder.begin_pass();
        });
        // A second pass records nothing: the encoder has its error already, and the first pass stays open.
        let pass = if was_open { Shared::new(None) } else { shared };
        self.table.push(ComputePass(pass)).map_err(table_full)
    }

    fn copy_buffer_to_buffer(
        &mut self,
        encoder: Resource<CommandEncoder>,
        source: Resource<Buffer>,
        source_offset: u64,
        destination: Resource<Buffer>,
        destination_offset: u64,
        size: u64,
    ) -> wasmtime::Result<()> {
        let (from, to) = (self.table.get(&source)?, self.table.get(&destination)?);
        let encoder = &self.table.get(&encoder)?.0;
        encoder.record(|encoder| encoder.copy_buffer(from, source_offset, to, destination_offset, size));
        Ok(())
    }

    fn clear_buffer(
        &mut self,
        encoder: Resource<CommandEncoder>,
        buffer: Resource<Buffer>,
        offset: u64,
        size: u64,
    ) -> wasmtime::Result<()> {
        let buffer = self.table.get(&buffer)?;
        self.table.get(&encoder)?.0.record(|encoder| encoder.clear_buffer(buffer, offset, size));
        Ok(())
    }

    fn finish(&mut self, encoder: Resource<CommandEncoder>) -> Result<Resource<CommandBuffer>, Failure> {
        let encoder = self.table.delete(encoder)?.0.lock().take();
        let Some(encoder) = encoder else { return Err(super::invalid("the encoder is finished already")) };
        Ok(self.table.push(encoder.finish()?)?)
    }

    fn drop(&mut self, encoder: Resource<CommandEncoder>) -> wasmtime::Result<()> {
        self.table.delete(encoder)?;
        Ok(())
    }
}

impl wit::HostComputePass for HostState {
    fn set_pipeline(
        &mut self,
        pass: Resource<ComputePass>,
        pipeline: Resource<ComputePipeline>,
    ) -> wasmtime::Result<()> {
        let pipeline = self.table.get(&pipeline)?;
        self.table.get(&pass)?.0.record(|encoder| encoder.set_pipeline(pipeline));
        Ok(())
    }

    fn set_bind_group(
        &mut self,
        pass: Resource<ComputePass>,
        index: u32,
        group: Resource<BindGroup>,
        dynamic_offsets: Vec<u32>,
    ) -> wasmtime::Result<()> {
        self.charge(dynamic_offsets.len() as u64, fuel::ITEM).map_err(crate::ending::Ending::raise)?;
        let group = self.table.get(&group)?;
        self.table.get(&pass)?.0.record(|encoder| encoder.set_bind_group(index, group, &dynamic_offsets));
        Ok(())
    }

    fn dispatch_workgroups(&mut self, pass: Resource<ComputePass>, x: u32, y: u32, z: u32) -> wasmtime::Result<()> {
        self.table.get(&pass)?.0.record(|encoder| encoder.dispatch([x, y, z]));
        Ok(())
    }

    fn drop(&mut self, pass: Resource<ComputePass>) -> wasmtime::Result<()> {
        self.table.delete(pass)?.0.record(Encoder::end_pass);
        Ok(())
    }
}

impl wit::HostCommandBuffer for HostState {
    fn drop(&mut self, buffer: Resource<CommandBuffer>) -> wasmtime::Result<()> {
        self.table.delete(buffer)?;
        Ok(())
    }
}
