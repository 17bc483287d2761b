//! `isobit:compute/io`: inputs are files read in place, outputs are streams under the job's limits.

use super::HostState;
use super::bindings::isobit::compute::io::{Error, Host, HostInput, HostOutput, LimitExceeded, Parameter};
use super::fuel::HostFuel;
use crate::ending::Ending;
use crate::fuel;
use crate::job::{Input, OutputSink};
use isobit_job::{Fault, Name};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};

/// The most that one `input.read` returns: 16 MiB.
pub const MAX_READ: u64 = 16 << 20;

/// A guest's handle to an input.
pub struct InputHandle(pub(super) Arc<Input>);

/// How many bytes all outputs of a job have together, next to the most that they may have.
#[derive(Clone)]
pub(super) struct OutputBytes {
    written: Arc<AtomicU64>,
    maximum: u64,
}

impl OutputBytes {
    pub(super) fn new(maximum: u64) -> Self {
        Self { written: Arc::default(), maximum }
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// A guest's handle to an output. Clones append to the same one.
#[derive(Clone)]
pub struct OutputHandle(Arc<Appended>);

struct Appended {
    /// None before it is opened and once it is closed.
    writer: Mutex<Option<Box<dyn Write + Send>>>,
    written: AtomicU64,
    of_all: OutputBytes,
    fuel: HostFuel,
}

impl OutputHandle {
    /// An output that takes bytes once it is [opened](Self::open).
    pub(super) fn new(of_all: &OutputBytes, fuel: &HostFuel) -> Self {
        Self(Arc::new(Appended {
            writer: Mutex::new(None),
            written: AtomicU64::new(0),
            of_all: of_all.clone(),
            fuel: fuel.clone(),
        }))
    }

    pub(super) fn open(&self, sink: &mut dyn OutputSink, name: &Name) -> Result<(), Fault> {
        let writer = sink.create(name).map_err(|error| Fault::storage("the output could not be created", &error))?;
        *self.0.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(())
    }

    /// Whether both are handles to one output.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes so far.
    pub(super) fn size(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Charges for the bytes and appends them, or returns the error that states the limit.
    pub(super) fn append(&self, data: &[u8]) -> Result<Result<(), LimitExceeded>, Ending> {
        let length = data.len() as u64;
        self.0.fuel.charge(length, fuel::BYTE)?;
        match self.reserve(length) {
            Ok(()) => self.write_reserved(data).map(Ok),
            Err(limit) => Ok(Err(limit)),
        }
    }

    /// Reserves `length` more bytes, or returns the error that states the limit.
    pub(super) fn reserve(&self, length: u64) -> Result<(), LimitExceeded> {
        let OutputBytes { written, maximum } = &self.0.of_all;
        let requested = written.load(Ordering::Relaxed).saturating_add(length);
        if requested > *maximum {
            return Err(LimitExceeded { limit: "output-bytes".into(), maximum: *maximum, requested });
        }
        written.store(requested, Ordering::Relaxed);
        Ok(())
    }

    /// Appends bytes that were reserved.
    pub(super) fn write_reserved(&self, data: &[u8]) -> Result<(), Ending> {
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer
            .as_mut()
            .ok_or_else(|| Fault::storage("the output is closed", &std::io::ErrorKind::BrokenPipe.into()))?;
        writer.write_all(data).map_err(|error| Fault::storage("the output could not be written", &error))?;
        self.0.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Hands on what is buffered.
    pub(super) fn flush(&self) -> Result<(), Ending> {
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = writer.as_mut().map_or(Ok(()), Write::flush);
        Ok(flushed.map_err(|error| Fault::storage("the output could not be written", &error))?)
    }

    /// Flushes and closes. Further calls do nothing.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        writer.map_or(Ok(()), |mut writer| {
            writer.flush().map_err(|error| Fault::storage("the output could not be written", &error))
        })
    }
}

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

impl From<wasmtime::component::ResourceTableError> for Failure {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::End(table_full(error))
    }
}

/// The end of a job by an error of the handle table: a full table is a limit of the job. wasmtime checks the
/// guest's handles, so no other error is expected.
pub(super) fn table_full(error: wasmtime::component::ResourceTableError) -> wasmtime::Error {
    match error {
        wasmtime::component::ResourceTableError::Full => Ending::limit(isobit_job::LimitName::Handles).raise(),
        other => other.into(),
    }
}

impl HostState {
    /// Charges for the bytes that a call moves.
    pub(super) fn charge_bytes(&self, count: usize) -> wasmtime::Result<()> {
        self.charge(count as u64, fuel::BYTE).map_err(Ending::raise)
    }

    /// Creates an output of this name.
    pub(super) fn create_output(&mut self, name: &Name) -> Result<OutputHandle, Failure> {
        if self.created.contains(name) {
            return Err(Failure::Guest(Error::AlreadyExists(name.to_string())));
        }
        let (maximum, requested) = (u64::from(self.limits.outputs), self.created.len() as u64 + 1);
        if requested > maximum {
            return Err(Failure::Guest(Error::LimitExceeded(LimitExceeded {
                limit: "outputs".into(),
                maximum,
                requested,
            })));
        }
        let output = OutputHandle::new(&self.output_bytes, &self.fuel);
        output.open(&mut *self.sink, name).map_err(Ending::Fault)?;
        self.created.insert(name.clone());
        Ok(output)
    }
}

impl Host for HostState {
    fn parameters(&mut self) -> wasmtime::Result<Vec<Parameter>> {
        // The guest has all values now, so none counts as unread.
        self.unread_params.clear();
        let bytes = self.params.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
        self.charge_bytes(bytes.sum())?;
        Ok(self.params.iter().map(|(name, value)| Parameter { name: name.to_string(), value: value.clone() }).collect())
    }

    fn get_parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.charge_bytes(name.len())?;
        self.unread_params.remove(name.as_str());
        Ok(self.params.get(name.as_str()).cloned())
    }

    fn input_names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.inputs.keys().map(ToString::to_string).collect())
    }

    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<Error> {
        match failure {
            Failure::Guest(error) => Ok(error),
            Failure::End(error) => Err(error),
        }
    }
}

impl HostInput for HostState {
    fn open(&mut self, name: String) -> Result<Resource<InputHandle>, Failure> {
        self.charge_bytes(name.len()).map_err(Failure::End)?;
        self.unread_inputs.remove(name.as_str());
        let input = self.inputs.get(name.as_str()).ok_or(Failure::Guest(Error::NotFound(name)))?;
        Ok(self.table.push(InputHandle(Arc::clone(input)))?)
    }

    fn size(&mut self, input: Resource<InputHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&input)?.0.size)
    }

    fn read(&mut self, input: Resource<InputHandle>, offset: u64, length: u64) -> wasmtime::Result<Vec<u8>> {
        let input = &self.table.get(&input)?.0;
        let length = length.min(MAX_READ).min(input.size.saturating_sub(offset));
        let mut data = vec![0; usize::try_from(length)?];
        self.charge_bytes(data.len())?;
        input
            .read_exact_at(&mut data, offset)
            .map_err(|error| Ending::Fault(Fault::storage("the input could not be read", &error)).raise())?;
        Ok(data)
    }

    fn drop(&mut self, input: Resource<InputHandle>) -> wasmtime::Result<()> {
        self.table.delete(input)?;
        Ok(())
    }
}

impl HostOutput for HostState {
    fn create(&mut self, name: String) -> Result<Resource<OutputHandle>, Failure> {
        self.charge_bytes(name.len()).map_err(Failure::End)?;
        let name: Name = name.parse().map_err(|_| Failure::Guest(Error::InvalidName(name)))?;
        let output = self.create_output(&name)?;
        Ok(self.table.push(output)?)
    }

    fn append(&mut self, output: Resource<OutputHandle>, data: Vec<u8>) -> Result<(), Failure> {
        let appended = self.table.get(&output)?.append(&data)?;
        appended.map_err(|limit| Failure::Guest(Error::LimitExceeded(limit)))
    }

    fn size(&mut self, output: Resource<OutputHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&output)?.size())
    }

    fn drop(&mut self, output: Resource<OutputHandle>) -> wasmtime::Result<()> {
        let output = self.table.delete(output)?;
        output.finish().map_err(|fault| Ending::Fault(fault).raise())
    }
}

/// Links `output.append` again, with the bytes borrowed from guest memory.
pub(super) fn link_bulk(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("isobit:compute/io@0.1.0")?;
    instance.func_wrap(
        "[method]output.append",
        |store: StoreContextMut<'_, HostState>,
         (output, data): (Resource<OutputHandle>, WasmList<u8>)|
         -> wasmtime::Result<(Result<(), Error>,)> {
            let output = store.data().table.get(&output)?.clone();
            let appended = output.append(data.as_le_slice(&store)).map_err(Ending::raise)?;
            Ok((appended.map_err(Error::LimitExceeded),))
        },
    )
}
