//! `isobit:compute/gpu`: handles, errors and the bulk paths between streams and device memory.
//! Recording and submitting commands is in `commands`.

mod commands;

use super::HostState;
use super::bindings::isobit::compute::gpu as wit;
use super::io::{InputHandle, OutputHandle, table_full};
use crate::ending::Ending;
use crate::fuel;
use crate::job::Input;
use bytes::Bytes;
use isobit_device::{
    BindGroup, BindGroupLayout, Buffer, BufferBindingType, BufferUsage, CommandBuffer, ComputePipeline, DeviceError,
    GroupEntry, HostCharge, Kernel, LayoutEntry, Readback, Source,
};
use isobit_job::{Fault, FaultKind};
use isobit_shader::{Diagnostic, KernelError, prepare};
use std::io::Read;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTableError, WasmList};
use wit::Error;

pub use commands::{CommandEncoder, ComputePass};

/// The most WGSL in one module: 1 MiB.
const MAX_WGSL: u64 = 1 << 20;

/// Bytes copied from device memory to an output at a time: 8 MiB, large enough to keep both sides busy.
const APPEND_PIECE: u64 = 8 << 20;

/// Why a call failed: an error for the guest, or the end of the job.
pub enum Failure {
    Guest(Error),
    End(wasmtime::Error),
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        Self::End(ending.raise())
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        Self::End(table_full(error))
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::End(error)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        let location = diagnostic.location.map(|at| wit::SourceLocation {
            line: at.line,
            column: at.column,
            offset: at.offset,
            length: at.length,
        });
        Self::Guest(Error::Validation(wit::ValidationError { message: diagnostic.message, location }))
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Refused(diagnostic) => diagnostic.into(),
            KernelError::Fault(fault) => Ending::Fault(fault).into(),
        }
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Validation(diagnostic) => diagnostic.into(),
            DeviceError::OutOfMemory { requested, in_use, maximum } => {
                Self::Guest(Error::OutOfMemory(wit::OutOfMemory { requested, in_use, maximum }))
            }
            DeviceError::LimitExceeded { limit, maximum, requested } => limit_exceeded(limit, maximum, requested),
            DeviceError::Fault(fault) => Ending::Fault(fault).into(),
        }
    }
}

fn limit_exceeded(limit: &str, maximum: u64, requested: u64) -> Failure {
    Failure::Guest(Error::LimitExceeded(wit::LimitExceeded { limit: limit.to_owned(), maximum, requested }))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::Guest(Error::Validation(wit::ValidationError { message: message.into(), location: None }))
}

/// For calls linked by hand: an error becomes the call's result, an ending unwinds the guest.
fn answer<T>(result: Result<T, Failure>) -> wasmtime::Result<(Result<T, Error>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(Failure::Guest(error)) => Ok((Err(error),)),
        Err(Failure::End(error)) => Err(error),
    }
}

impl wit::Host for HostState {
    fn limits(&mut self) -> wasmtime::Result<wit::DeviceLimits> {
        let limits = *self.gpu()?.limits();
        Ok(wit::DeviceLimits {
            max_bind_groups: limits.max_bind_groups,
            max_bindings_per_bind_group: limits.max_bindings_per_bind_group,
            max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
            max_uniform_buffers_per_shader_stage: limits.max_uniform_buffers_per_shader_stage,
            max_dynamic_storage_buffers_per_pipeline_layout: limits.max_dynamic_storage_buffers_per_pipeline_layout,
            max_dynamic_uniform_buffers_per_pipeline_layout: limits.max_dynamic_uniform_buffers_per_pipeline_layout,
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_uniform_buffer_binding_size: limits.max_uniform_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            min_storage_buffer_offset_alignment: limits.min_storage_buffer_offset_alignment,
            min_uniform_buffer_offset_alignment: limits.min_uniform_buffer_offset_alignment,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: limits.max_compute_workgroup_size_x,
            max_compute_workgroup_size_y: limits.max_compute_workgroup_size_y,
            max_compute_workgroup_size_z: limits.max_compute_workgroup_size_z,
            max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        })
    }

    fn submit(&mut self, commands: Vec<Resource<CommandBuffer>>) -> Result<(), Failure> {
        self.submit_commands(commands)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        self.settle()?;
        Ok(self.gpu()?.wait()?)
    }

    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<Error> {
        match failure {
            Failure::Guest(error) => Ok(error),
            Failure::End(error) => Err(error),
        }
    }
}

impl wit::HostBuffer for HostState {
    fn create(&mut self, size: u64, usage: wit::BufferUsage) -> Result<Resource<Buffer>, Failure> {
        let usage = BufferUsage {
            storage: usage.contains(wit::BufferUsage::STORAGE),
            uniform: usage.contains(wit::BufferUsage::UNIFORM),
        };
        let buffer = self.gpu()?.create_buffer(size, usage)?;
        Ok(self.table.push(buffer)?)
    }

    fn size(&mut self, buffer: Resource<Buffer>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&buffer)?.size())
    }

    fn write(&mut self, buffer: Resource<Buffer>, offset: u64, data: Vec<u8>) -> Result<(), Failure> {
        self.charge_bytes(data.len())?;
        let buffer = self.table.get(&buffer)?.clone();
        Ok(self.gpu()?.write(&buffer, offset, Source::Slice(&data))?)
    }

    fn read(&mut self, buffer: Resource<Buffer>, offset: u64, length: u64) -> Result<Vec<u8>, Failure> {
        Ok(self.read_words(&buffer, offset, length)?.as_ref().to_vec())
    }

    fn load_from(
        &mut self,
        buffer: Resource<Buffer>,
        offset: u64,
        input: Resource<InputHandle>,
        input_offset: u64,
        length: u64,
    ) -> Result<(), Failure> {
        let buffer = self.table.get(&buffer)?.clone();
        let input = Arc::clone(&self.table.get(&input)?.0);
        let end = input_offset.checked_add(length).filter(|end| *end <= input.size);
        let Some(end) = end else {
            return Err(invalid(format!(
                "bytes {input_offset} to {input_offset} + {length} are not all in the input, which has {} bytes",
                input.size
            )));
        };
        if !length.is_multiple_of(4) && end != input.size {
            return Err(invalid(format!(
                "length {length} is not a multiple of 4, and the copy does not end at the end of the input"
            )));
        }
        self.charge(length, fuel::BYTE)?;
        let mut reader = InputReader { input: &input, position: input_offset, end };
        let source = Source::Reader { reader: &mut reader, length: length.next_multiple_of(4) };
        Ok(self.gpu()?.write(&buffer, offset, source)?)
    }

    fn append_to(
        &mut self,
        buffer: Resource<Buffer>,
        offset: u64,
        length: u64,
        output: Resource<OutputHandle>,
    ) -> Result<(), Failure> {
        let buffer = self.table.get(&buffer)?.clone();
        let size = buffer.size();
        if !offset.is_multiple_of(4) || offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(invalid(format!(
                "offset {offset} is not a multiple of 4, or {length} bytes from there are not all in the buffer of {size} bytes"
            )));
        }
        self.charge(length, fuel::BYTE)?;
        self.settle()?;
        let output = self.table.get(&output)?.clone();
        output.reserve(length).map_err(|limit| Failure::Guest(Error::LimitExceeded(limit)))?;
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(APPEND_PIECE);
            let data = self.gpu()?.read(&buffer, offset + done, piece.next_multiple_of(4))?;
            let bytes = data.as_ref().get(..usize::try_from(piece).unwrap_or(usize::MAX)).unwrap_or_default();
            output.write_reserved(bytes)?;
            done += piece;
        }
        Ok(())
    }

    fn clear(&mut self, buffer: Resource<Buffer>, offset: u64, length: u64) -> Result<(), Failure> {
        let buffer = self.table.get(&buffer)?.clone();
        let gpu = self.gpu()?;
        let mut encoder = gpu.create_command_encoder();
        encoder.clear_buffer(&buffer, offset, length);
        Ok(gpu.submit(&encoder.finish()?)?)
    }

    fn drop(&mut self, buffer: Resource<Buffer>) -> wasmtime::Result<()> {
        self.table.delete(buffer)?;
        Ok(())
    }
}

/// A guest's shader module.
pub struct ShaderModule {
    kernel: Kernel,
    /// Bytes of its WGSL.
    size: u64,
    _charge: HostCharge,
}

impl wit::HostShaderModule for HostState {
    fn create(&mut self, wgsl: String) -> Result<Resource<ShaderModule>, Failure> {
        let size = wgsl.len() as u64;
        if size > MAX_WGSL {
            self.charge(size, fuel::BYTE)?;
            return Err(limit_exceeded("wgsl-bytes", MAX_WGSL, size));
        }
        self.charge(size, fuel::WGSL_BYTE)?;
        let kernel = prepare(&wgsl, self.profile)?;
        let _charge = self.gpu()?.charge_kernel(&kernel)?;
        Ok(self.table.push(ShaderModule { kernel, size, _charge })?)
    }

    fn drop(&mut self, module: Resource<ShaderModule>) -> wasmtime::Result<()> {
        self.table.delete(module)?;
        Ok(())
    }
}

impl wit::HostBindGroupLayout for HostState {
    fn create(&mut self, entries: Vec<wit::BindGroupLayoutEntry>) -> Result<Resource<BindGroupLayout>, Failure> {
        self.charge(entries.len() as u64, fuel::ITEM)?;
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| LayoutEntry {
                binding: entry.binding,
                ty: match entry.ty {
                    wit::BufferBindingType::Uniform => BufferBindingType::Uniform,
                    wit::BufferBindingType::Storage => BufferBindingType::Storage,
                    wit::BufferBindingType::ReadOnlyStorage => BufferBindingType::ReadOnlyStorage,
                },
                has_dynamic_offset: entry.has_dynamic_offset,
                min_binding_size: entry.min_binding_size,
            })
            .collect();
        let layout = self.gpu()?.create_bind_group_layout(&entries)?;
        Ok(self.table.push(layout)?)
    }

    fn drop(&mut self, layout: Resource<BindGroupLayout>) -> wasmtime::Result<()> {
        self.table.delete(layout)?;
        Ok(())
    }
}

impl wit::HostBindGroup for HostState {
    fn create(
        &mut self,
        layout: Resource<BindGroupLayout>,
        entries: Vec<wit::BindGroupEntry>,
    ) -> Result<Resource<BindGroup>, Failure> {
        self.charge(entries.len() as u64, fuel::ITEM)?;
        let layout = self.table.get(&layout)?.clone();
        let mut group = Vec::with_capacity(entries.len());
        for entry in &entries {
            let buffer = self.table.get(&entry.buffer)?.clone();
            group.push(GroupEntry { binding: entry.binding, buffer, offset: entry.offset, size: entry.size });
        }
        let group = self.gpu()?.create_bind_group(&layout, &group)?;
        Ok(self.table.push(group)?)
    }

    fn drop(&mut self, group: Resource<BindGroup>) -> wasmtime::Result<()> {
        self.table.delete(group)?;
        Ok(())
    }
}

impl wit::HostComputePipeline for HostState {
    fn create(
        &mut self,
        module: Resource<ShaderModule>,
        entry_point: Option<String>,
        layout: Option<Vec<Resource<BindGroupLayout>>>,
        constants: Vec<wit::OverrideValue>,
    ) -> Result<Resource<ComputePipeline>, Failure> {
        let module = self.table.get(&module)?;
        let (kernel, size) = (module.kernel.clone(), module.size);
        self.charge(size, fuel::WGSL_BYTE)?;
        let named = entry_point.iter().chain(constants.iter().map(|constant| &constant.name));
        self.charge(named.map(|name| name.len() as u64).sum(), fuel::BYTE)?;
        let listed = constants.len().saturating_add(layout.as_ref().map_or(0, Vec::len));
        self.charge(listed as u64, fuel::ITEM)?;
        let layout = match layout {
            None => None,
            Some(groups) => Some(
                groups
                    .iter()
                    .map(|group| Ok(self.table.get(group)?.clone()))
                    .collect::<Result<Vec<_>, ResourceTableError>>()?,
            ),
        };
        let constants: Vec<_> = constants.into_iter().map(|constant| (constant.name, constant.value)).collect();
        let gpu = self.gpu()?;
        let pipeline = gpu.create_compute_pipeline(&kernel, entry_point.as_deref(), layout.as_deref(), &constants)?;
        self.charge(pipeline.compile_time(), fuel::NANOSECOND)?;
        Ok(self.table.push(pipeline)?)
    }

    fn get_bind_group_layout(
        &mut self,
        pipeline: Resource<ComputePipeline>,
        index: u32,
    ) -> Result<Resource<BindGroupLayout>, Failure> {
        let pipeline = self.table.get(&pipeline)?.clone();
        let layout = self.gpu()?.bind_group_layout_of(&pipeline, index)?;
        Ok(self.table.push(layout)?)
    }

    fn workgroup_size(&mut self, pipeline: Resource<ComputePipeline>) -> wasmtime::Result<(u32, u32, u32)> {
        Ok(self.table.get(&pipeline)?.workgroup_size().into())
    }

    fn drop(&mut self, pipeline: Resource<ComputePipeline>) -> wasmtime::Result<()> {
        self.table.delete(pipeline)?;
        Ok(())
    }
}

impl HostState {
    /// Reads whole words, as `wit/` demands; the device could read any number of bytes.
    fn read_words(&mut self, buffer: &Resource<Buffer>, offset: u64, length: u64) -> Result<Readback, Failure> {
        if !length.is_multiple_of(4) {
            return Err(invalid(format!("length {length} is not a multiple of 4")));
        }
        let buffer = self.table.get(buffer)?.clone();
        self.charge(length.min(buffer.size()), fuel::BYTE)?;
        self.settle()?;
        Ok(self.gpu()?.read(&buffer, offset, length)?)
    }
}

/// A range of an input, in order.
struct InputReader<'a> {
    input: &'a Input,
    position: u64,
    end: u64,
}

impl Read for InputReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let read = self.input.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Links `buffer.write` and `buffer.read` again, without an owned copy in between: bytes are borrowed from guest
/// memory, and passed to it from mapped device memory.
pub(super) fn link_bulk(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("isobit:compute/gpu@0.1.0")?;
    instance.func_wrap(
        "[method]buffer.write",
        |mut store: StoreContextMut<'_, HostState>,
         (buffer, offset, data): (Resource<Buffer>, u64, WasmList<u8>)|
         -> wasmtime::Result<(Result<(), Error>,)> {
            let state = store.data_mut();
            state.charge_bytes(data.len())?;
            let buffer = state.table.get(&buffer)?.clone();
            let Some(mut gpu) = state.gpu.take() else {
                return Err(
                    Ending::Fault(Fault::new(FaultKind::Internal, "the device is in use by another call")).raise()
                );
            };
            let result = gpu.write(&buffer, offset, Source::Slice(data.as_le_slice(&store))).map_err(Failure::from);
            store.data_mut().gpu = Some(gpu);
            answer(result)
        },
    )?;
    instance.func_wrap(
        "[method]buffer.read",
        |mut store: StoreContextMut<'_, HostState>,
         (buffer, offset, length): (Resource<Buffer>, u64, u64)|
         -> wasmtime::Result<(Result<Bytes, Error>,)> {
            answer(store.data_mut().read_words(&buffer, offset, length).map(Bytes::from_owner))
        },
    )
}
