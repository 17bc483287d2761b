//! What a job needs to run: spec, inputs, device, outputs and reporter.

use isobit_device::Device;
use isobit_job::{JobSpec, LogLevel, Name};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

/// An input: a file of known size, read with `pread` wherever the guest asks.
pub struct Input {
    /// The file. Its content has been checked against the job spec before.
    pub file: File,
    /// Its size in bytes.
    pub size: u64,
}

impl Input {
    /// Reads some bytes at `offset`, as `pread` does; none at the end.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(&self.file, bytes, offset);
        // This moves the file's cursor, which is not used.
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(&self.file, bytes, offset);
    }

    /// Fills all of `bytes` from `offset` on.
    pub(crate) fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    bytes = bytes.get_mut(read..).unwrap_or_default();
                    offset = offset.saturating_add(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Where outputs go.
pub trait OutputSink: Send {
    /// Called once per output, when the guest creates it. The writer gets the bytes in the order in which the
    /// guest appends them; it is flushed and dropped when the guest is done with the output, at the latest
    /// when the job ends.
    ///
    /// # Errors
    /// An error is the provider's own trouble: it ends the job as faulted.
    fn create(&mut self, name: &Name) -> io::Result<Box<dyn Write + Send>>;
}

/// Where logs and progress go. Called from the job's thread, any number of times.
pub trait Reporter: Send + Sync {
    /// The guest is about to execute its first instruction. Called once, before the other methods.
    fn started(&self) {}

    /// Logs one line.
    fn log(&self, level: LogLevel, message: &str);

    /// Reports how far the job is, from 0 to 1.
    fn progress(&self, fraction: f32, message: &str);
}

/// What a job needs besides its workload.
pub struct Job {
    /// The job spec: names the inputs, parameters and limits.
    pub spec: JobSpec,
    /// An open file for every input of the spec.
    pub inputs: BTreeMap<Name, Input>,
    /// Runs the kernels.
    pub device: Device,
    /// Takes the outputs.
    pub outputs: Box<dyn OutputSink>,
    /// Takes logs and progress.
    pub reporter: Arc<dyn Reporter>,
    /// When the job is stopped and ends as faulted; none: never.
    pub deadline: Option<Instant>,
}

/// The longest prefix of at most `most` bytes that ends at a character boundary.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
