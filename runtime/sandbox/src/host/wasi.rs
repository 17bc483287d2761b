//! WASI for guests whose standard library imports it, cut down to what is reproducible: clocks that count calls,
//! randomness from the job's hash, standard output as log lines. No sockets, no files.

use super::HostState;
use crate::job::{Reporter, cut};
use isobit_job::JobSpec;
use isobit_job::LogLevel;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe};

/// How far the virtual clocks advance each time they are read: 1 µs.
const TICK_NANOS: u64 = 1_000;

/// Where the virtual wall clock starts: 2025-01-01T00:00:00Z, since some programs do not accept 1970.
const WALL_EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// The most bytes held back of a line that has not ended: 8 KiB.
const MAX_LINE: usize = 8 << 10;

/// The WASI context of a job: the environment holds the job's parameters, and the only argument is a fixed name.
pub(crate) fn context(spec: &JobSpec, reporter: &Arc<dyn Reporter>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder.arg("workload");
    for (name, value) in &spec.params {
        builder.env(name.as_str(), value);
    }
    let id = spec.id();
    builder
        .stdout(LineLog::new(LogLevel::Info, reporter))
        .stderr(LineLog::new(LogLevel::Warn, reporter))
        .secure_random(JobRandom::new(id.0.as_bytes(), b"secure"))
        .insecure_random(JobRandom::new(id.0.as_bytes(), b"insecure"))
        .insecure_random_seed(0)
        .max_random_size(1 << 20)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// Links WASI preview 2, then the clocks again as virtual ones.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    monotonic_clock::add_to_linker::<_, Virtual>(linker, clocks)?;
    wall_clock::add_to_linker::<_, Virtual>(linker, clocks)
}

fn clocks(state: &mut HostState) -> Clocks<'_> {
    let (clock, table) = state.virtual_clock();
    Clocks { clock, table }
}

/// Gives the virtual clock and the table for its pollables.
pub(crate) trait VirtualClockView {
    fn virtual_clock(&mut self) -> (&VirtualClock, &mut ResourceTable);
}

/// A clock that advances only when it is read or slept on.
#[derive(Default)]
pub(crate) struct VirtualClock(AtomicU64);

impl VirtualClock {
    fn advance(&self, nanos: u64) -> u64 {
        let now = self.0.load(Ordering::Relaxed).saturating_add(nanos);
        self.0.store(now, Ordering::Relaxed);
        now
    }
}

struct Virtual;

impl HasData for Virtual {
    type Data<'a> = Clocks<'a>;
}

struct Clocks<'a> {
    clock: &'a VirtualClock,
    table: &'a mut ResourceTable,
}

/// A sleep on a virtual clock: over at once.
struct Elapsed;

#[wasmtime_wasi::async_trait]
impl Pollable for Elapsed {
    async fn ready(&mut self) {}
}

impl monotonic_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.advance(TICK_NANOS))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(TICK_NANOS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.clock.advance(0);
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.clock.advance(nanos);
        let elapsed = self.table.push(Elapsed)?;
        subscribe(self.table, elapsed)
    }
}

impl wall_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = WALL_EPOCH.saturating_add(Duration::from_nanos(self.clock.advance(TICK_NANOS)));
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}

/// Random bytes as a function of the job: BLAKE3's extended output, keyed by the job's hash.
struct JobRandom(blake3::OutputReader);

impl JobRandom {
    fn new(job: &[u8; 32], stream: &[u8]) -> Self {
        Self(blake3::Hasher::new_keyed(job).update(stream).finalize_xof())
    }
}

impl rand_core_wasi::TryRng for JobRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut word = [0; 4];
        self.0.fill(&mut word);
        Ok(u32::from_le_bytes(word))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.0.fill(&mut word);
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// Standard output or error, as lines of the job's log.
#[derive(Clone)]
struct LineLog {
    level: LogLevel,
    reporter: Arc<dyn Reporter>,
    pending: Arc<Mutex<Vec<u8>>>,
}

impl LineLog {
    fn new(level: LogLevel, reporter: &Arc<dyn Reporter>) -> Self {
        Self { level, reporter: Arc::clone(reporter), pending: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            pending.extend_from_slice(line);
            if line.ends_with(b"\n") || pending.len() >= MAX_LINE {
                self.emit(&mut pending);
            }
        }
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
        self.take(&bytes);
        Ok(())
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
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
