//! Streams of a command: from inputs, into outputs.

use super::super::fuel::HostFuel;
use super::super::io::OutputHandle;
use crate::ending::Ending;
use crate::fuel;
use crate::job::Input;
use bytes::Bytes;
use isobit_job::Fault;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes that one read or write of a stream moves: 1 MiB.
pub(super) const MAX_PIECE: usize = 1 << 20;

/// Reads a part of an input from front to back. Clones go on together.
#[derive(Clone)]
pub(super) struct Reading {
    input: Option<Arc<Input>>,
    position: Arc<AtomicU64>,
    end: u64,
    fuel: HostFuel,
}

impl Reading {
    /// Reads the bytes from `position` to `end` of the input.
    pub(super) fn new(input: Arc<Input>, position: u64, end: u64, fuel: &HostFuel) -> Self {
        Self { input: Some(input), position: Arc::new(AtomicU64::new(position)), end, fuel: fuel.clone() }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reading {
    async fn ready(&mut self) {}
}

impl InputStream for Reading {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let position = self.position.load(Ordering::Relaxed);
        let left = self.end.saturating_sub(position);
        let Some(input) = self.input.as_ref().filter(|_| left > 0) else { return Err(StreamError::Closed) };
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(size).min(MAX_PIECE);
        let mut bytes = vec![0; size];
        let read = self.fuel.charge(size as u64, fuel::BYTE).and_then(|()| {
            let read = input.read_exact_at(&mut bytes, position);
            read.map_err(|error| Ending::Fault(Fault::storage("the input could not be read", &error)))
        });
        read.map_err(|ending| StreamError::Trap(ending.raise()))?;
        self.position.store(position.saturating_add(size as u64), Ordering::Relaxed);
        Ok(bytes.into())
    }
}

/// A command's standard input.
pub(super) struct StandardInput(Reading);

impl StandardInput {
    pub(super) fn new(input: Option<Arc<Input>>, fuel: &HostFuel) -> Self {
        let end = input.as_ref().map_or(0, |input| input.size);
        Self(Reading { input, position: Arc::default(), end, fuel: fuel.clone() })
    }
}

impl IsTerminal for StandardInput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for StandardInput {
    /// For interfaces that no guest has.
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.0.clone())
    }
}

/// Appends to an output.
#[derive(Clone)]
pub(super) struct StandardOutput(pub(super) OutputHandle);

#[wasmtime_wasi::async_trait]
impl Pollable for StandardOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for StandardOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.0.append(&bytes) {
            Ok(Ok(())) => Ok(()),
            // The guest can handle that.
            Ok(Err(limit)) => Err(StreamError::LastOperationFailed(wasmtime::Error::new(std::io::Error::new(
                std::io::ErrorKind::QuotaExceeded,
                format!(
                    "limit {} exceeded: {} asked for, at most {} allowed",
                    limit.limit, limit.requested, limit.maximum
                ),
            )))),
            Err(ending) => Err(StreamError::Trap(ending.raise())),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.0.flush().map_err(|ending| StreamError::Trap(ending.raise()))
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_PIECE)
    }
}

impl IsTerminal for StandardOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StandardOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for StandardOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(match self.0.append(bytes) {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => Err(std::io::ErrorKind::QuotaExceeded.into()),
            Err(ending) => Err(std::io::Error::other(ending)),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.0.flush().map_err(std::io::Error::other))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
