//! Recording commands and handing them to the device. Recording cannot fail: what is wrong is kept and
//! comes out of `finish`, as in WebGPU.

use super::{BindGroup, Buffer, ComputePipeline, Failure, invalid, limit_exceeded, table_full, wit};
use crate::host::{Held, HostState};
use isobit_device::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::Resource;
use wit::Error;

/// The most commands in one encoder: 64 Ki * some 64 B of host memory.
const MAX_COMMANDS: usize = 64 << 10;

/// The most dynamic offsets that one `set-bind-group` may give: every storage and uniform slot of a stage.
const MAX_DYNAMIC_OFFSETS: usize = 8 + 12;

/// What an encoder has recorded; shared with its open pass.
#[derive(Default)]
struct Recording {
    commands: Vec<Command>,
    /// Keeps what the commands name alive until they have been submitted.
    held: Vec<Arc<Held>>,
    kernel_fuel: u64,
    /// Kernel fuel per workgroup of the pass's pipeline, loops aside.
    workgroup: Option<u64>,
    pass_open: bool,
    error: Option<Error>,
}

impl Recording {
    fn push(&mut self, command: Command, held: impl IntoIterator<Item = Arc<Held>>) {
        if self.commands.len() >= MAX_COMMANDS {
            let limit = limit_exceeded("commands", MAX_COMMANDS as u64, MAX_COMMANDS as u64 + 1);
            return self.fail(limit);
        }
        self.commands.push(command);
        self.held.extend(held);
    }

    /// Keeps the first thing that went wrong.
    fn fail(&mut self, failure: Failure) {
        if let (None, Failure::Guest(error)) = (&self.error, failure) {
            self.error = Some(error);
        }
    }

    fn push_outside_pass(&mut self, command: Command, held: [Arc<Held>; 2]) {
        if self.pass_open {
            return self
                .fail(invalid("the encoder has an open compute pass; drop the pass before recording anything else"));
        }
        self.push(command, held);
    }

    fn end_pass(&mut self) {
        if self.pass_open {
            self.pass_open = false;
            self.workgroup = None;
            self.commands.push(Command::EndPass);
        }
    }
}

type Shared = Arc<Mutex<Recording>>;

fn lock(recording: &Shared) -> MutexGuard<'_, Recording> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guest's handle to a command encoder.
pub struct CommandEncoder(Shared);

/// A guest's handle to an open compute pass.
pub struct ComputePass(Shared);

/// A guest's handle to finished commands.
pub struct CommandBuffer {
    commands: Vec<Command>,
    _held: Vec<Arc<Held>>,
    kernel_fuel: u64,
}

impl HostState {
    pub(super) fn submit_commands(&mut self, buffers: Vec<Resource<CommandBuffer>>) -> Result<(), Failure> {
        for buffer in buffers {
            let buffer = self.table.delete(buffer)?;
            let spent = self.kernel_fuel.saturating_add(buffer.kernel_fuel);
            if spent > self.limits.kernel_fuel.get() {
                return Err(self.out_of_kernel_fuel().into());
            }
            self.kernel_fuel = spent;
            self.device()?.submit(&buffer.commands)?;
        }
        Ok(())
    }
}

impl wit::HostCommandEncoder for HostState {
    fn new(&mut self) -> wasmtime::Result<Resource<CommandEncoder>> {
        self.table.push(CommandEncoder(Shared::default())).map_err(table_full)
    }

    fn begin_compute_pass(&mut self, encoder: Resource<CommandEncoder>) -> wasmtime::Result<Resource<ComputePass>> {
        let shared = Arc::clone(&self.table.get(&encoder)?.0);
        {
            let mut recording = lock(&shared);
            if recording.pass_open {
                recording.fail(invalid("the encoder has an open compute pass; drop it before beginning another"));
                // The new pass records into nothing: the encoder's error is already decided.
                drop(recording);
                return self.table.push(ComputePass(Shared::default())).map_err(table_full);
            }
            recording.pass_open = true;
            recording.push(Command::BeginPass, []);
        }
        self.table.push(ComputePass(shared)).map_err(table_full)
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
        let command =
            Command::CopyBuffer { source: from.id, source_offset, destination: to.id, destination_offset, size };
        let held = [Arc::clone(&from.held), Arc::clone(&to.held)];
        lock(&self.table.get(&encoder)?.0).push_outside_pass(command, held);
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
        let command = Command::ClearBuffer { buffer: buffer.id, offset, size };
        let held = [Arc::clone(&buffer.held), Arc::clone(&buffer.held)];
        lock(&self.table.get(&encoder)?.0).push_outside_pass(command, held);
        Ok(())
    }

    fn finish(&mut self, encoder: Resource<CommandEncoder>) -> Result<Resource<CommandBuffer>, Failure> {
        let shared = self.table.delete(encoder)?.0;
        let recording = std::mem::take(&mut *lock(&shared));
        if let Some(error) = recording.error {
            return Err(Failure::Guest(error));
        }
        if recording.pass_open {
            return Err(invalid("the encoder has an open compute pass; drop the pass before `finish`"));
        }
        let Recording { commands, held, kernel_fuel, .. } = recording;
        self.device()?.check(&commands)?;
        Ok(self.table.push(CommandBuffer { commands, _held: held, kernel_fuel })?)
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
        let (command, held, workgroup) =
            (Command::SetPipeline(pipeline.id), Arc::clone(&pipeline.held), pipeline.workgroup_cost);
        let mut recording = lock(&self.table.get(&pass)?.0);
        recording.workgroup = Some(workgroup);
        recording.push(command, [held]);
        Ok(())
    }

    fn set_bind_group(
        &mut self,
        pass: Resource<ComputePass>,
        index: u32,
        group: Resource<BindGroup>,
        dynamic_offsets: Vec<u32>,
    ) -> wasmtime::Result<()> {
        let group = self.table.get(&group)?;
        let (id, held, given) = (group.id, Arc::clone(&group.held), dynamic_offsets.len());
        let mut recording = lock(&self.table.get(&pass)?.0);
        if given > MAX_DYNAMIC_OFFSETS {
            recording.fail(limit_exceeded("dynamic-offsets", MAX_DYNAMIC_OFFSETS as u64, given as u64));
        } else {
            recording.push(Command::SetBindGroup { index, group: id, dynamic_offsets }, [held]);
        }
        Ok(())
    }

    fn dispatch_workgroups(&mut self, pass: Resource<ComputePass>, x: u32, y: u32, z: u32) -> wasmtime::Result<()> {
        let mut recording = lock(&self.table.get(&pass)?.0);
        let Some(workgroup) = recording.workgroup else {
            recording.fail(invalid("a dispatch needs a pipeline: call `set-pipeline` first"));
            return Ok(());
        };
        let cost = [x, y, z].iter().fold(workgroup, |product, side| product.saturating_mul(u64::from(*side)));
        recording.kernel_fuel = recording.kernel_fuel.saturating_add(cost);
        recording.push(Command::Dispatch { x, y, z }, []);
        Ok(())
    }

    fn drop(&mut self, pass: Resource<ComputePass>) -> wasmtime::Result<()> {
        let pass = self.table.delete(pass)?;
        lock(&pass.0).end_pass();
        Ok(())
    }
}

impl wit::HostCommandBuffer for HostState {
    fn drop(&mut self, buffer: Resource<CommandBuffer>) -> wasmtime::Result<()> {
        self.table.delete(buffer)?;
        Ok(())
    }
}
