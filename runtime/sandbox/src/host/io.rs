//! `isobit:compute/io`: inputs are files read in place, outputs are streams under the job's limits.

use super::HostState;
use super::bindings::isobit::compute::io::{Error, Host, HostInput, HostOutput, LimitExceeded, Parameter};
use crate::ending::Ending;
use crate::fuel;
use crate::job::Input;
use isobit_job::{Fault, Name};
use std::io::Write;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};

/// The most that one `input.read` returns: 16 MiB.
pub const MAX_READ: u64 = 16 << 20;

/// A guest's handle to an input.
pub struct InputHandle(pub(super) Arc<Input>);

/// A guest's handle to an output.
pub struct OutputHandle {
    writer: Option<Box<dyn Write + Send>>,
    written: u64,
}

impl OutputHandle {
    /// Flushes and closes. Further calls do nothing.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        match self.writer.take() {
            Some(mut writer) => {
                writer.flush().map_err(|error| Fault::storage("the output could not be written", &error))
            }
            None => Ok(()),
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Ending> {
        let writer = self
            .writer
            .as_mut()
            .ok_or_else(|| Fault::storage("the output is closed", &std::io::ErrorKind::BrokenPipe.into()))?;
        writer.write_all(data).map_err(|error| Fault::storage("the output could not be written", &error))?;
        self.written = self.written.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        Ok(())
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
    /// Reserves `length` more bytes of output, or returns the error that states the limit.
    pub(super) fn reserve_output(&mut self, length: u64) -> Result<(), LimitExceeded> {
        let maximum = self.limits.output_bytes.get();
        let requested = self.written.saturating_add(length);
        if requested > maximum {
            return Err(LimitExceeded { limit: "output-bytes".into(), maximum, requested });
        }
        self.written = requested;
        Ok(())
    }

    /// Charges for the bytes that a call moves.
    pub(super) fn charge_bytes(&self, count: usize) -> wasmtime::Result<()> {
        self.charge(count as u64, fuel::BYTE).map_err(Ending::raise)
    }

    /// Appends to an output whose bytes were reserved.
    pub(super) fn append_reserved(&mut self, output: &Resource<OutputHandle>, data: &[u8]) -> wasmtime::Result<()> {
        self.table.get_mut(output)?.write(data).map_err(Ending::raise)
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
        if self.created.contains(&name) {
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
        let writer = self
            .sink
            .create(&name)
            .map_err(|error| Ending::Fault(Fault::storage("the output could not be created", &error)))?;
        self.created.insert(name);
        Ok(self.table.push(OutputHandle { writer: Some(writer), written: 0 })?)
    }

    fn append(&mut self, output: Resource<OutputHandle>, data: Vec<u8>) -> Result<(), Failure> {
        self.charge_bytes(data.len()).map_err(Failure::End)?;
        self.reserve_output(data.len() as u64).map_err(|limit| Failure::Guest(Error::LimitExceeded(limit)))?;
        self.append_reserved(&output, &data).map_err(Failure::End)
    }

    fn size(&mut self, output: Resource<OutputHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&output)?.written)
    }

    fn drop(&mut self, output: Resource<OutputHandle>) -> wasmtime::Result<()> {
        let mut output = self.table.delete(output)?;
        output.finish().map_err(|fault| Ending::Fault(fault).raise())
    }
}

/// Links `output.append` again, with the bytes borrowed from guest memory.
pub(super) fn link_bulk(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("isobit:compute/io@0.1.0")?;
    instance.func_wrap(
        "[method]output.append",
        |mut store: StoreContextMut<'_, HostState>,
         (output, data): (Resource<OutputHandle>, WasmList<u8>)|
         -> wasmtime::Result<(Result<(), Error>,)> {
            store.data().charge_bytes(data.len())?;
            if let Err(limit) = store.data_mut().reserve_output(data.len() as u64) {
                return Ok((Err(Error::LimitExceeded(limit)),));
            }
            let handle = store.data_mut().table.get_mut(&output)?;
            let mut taken = OutputHandle { writer: handle.writer.take(), written: handle.written };
            let result = taken.write(data.as_le_slice(&store));
            *store.data_mut().table.get_mut(&output)? = taken;
            result.map_err(Ending::raise)?;
            Ok((Ok(()),))
        },
    )
}
