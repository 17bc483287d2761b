//! Standard error, and standard output of guests that are no commands, as lines of the job's log.

use super::super::fuel::HostFuel;
use crate::ending::Ending;
use crate::fuel;
use crate::job::{Reporter, cut};
use isobit_job::LogLevel;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes held back of a line that has not ended: 8 KiB.
const MAX_LINE: usize = 8 << 10;

/// Standard output or error, as lines of the job's log.
#[derive(Clone)]
pub(super) struct LineLog {
    level: LogLevel,
    reporter: Arc<dyn Reporter>,
    pending: Arc<Mutex<Vec<u8>>>,
    fuel: HostFuel,
}

impl LineLog {
    pub(super) fn new(level: LogLevel, reporter: &Arc<dyn Reporter>, fuel: &HostFuel) -> Self {
        Self { level, reporter: Arc::clone(reporter), pending: Arc::default(), fuel: fuel.clone() }
    }

    fn take(&self, bytes: &[u8]) -> Result<(), Ending> {
        self.fuel.charge(bytes.len() as u64, fuel::BYTE)?;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            pending.extend_from_slice(line);
            if line.ends_with(b"\n") || pending.len() >= MAX_LINE {
                // As much as the call that writes a line.
                self.fuel.charge(1, fuel::HOST_CALL.into())?;
                self.emit(&mut pending);
            }
        }
        Ok(())
    }

    fn emit(&self, pending: &mut Vec<u8>) {
        let line = String::from_utf8_lossy(pending);
        self.reporter.log(self.level, cut(line.trim_end_matches(['\r', '\n']), MAX_LINE));
        pending.clear();
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.pending) == 1 && !pending.is_empty() {
            self.emit(&mut pending);
        }
    }
}

impl IsTerminal for LineLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineLog {
    async fn ready(&mut self) {}
}

impl OutputStream for LineLog {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes).map_err(|ending| StreamError::Trap(ending.raise()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for LineLog {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.take(bytes).map(|()| bytes.len()).map_err(std::io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
