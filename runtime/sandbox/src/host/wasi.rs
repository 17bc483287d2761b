//! WASI for guests whose standard library imports it, cut down to what is reproducible: clocks that count calls,
//! randomness from the job's hash, standard output as log lines. No sockets, no files.

use super::HostState;
use crate::ending::Ending;
use crate::fuel::{self, HostFuel};
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
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCliView as _};
use wasmtime_wasi::p2::bindings::cli::environment;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, random};
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe};

/// How far the virtual clocks advance each time they are read: 1 µs.
const TICK_NANOS: u64 = 1_000;

/// Where the virtual wall clock starts: 2025-01-01T00:00:00Z, since some programs do not accept 1970.
const WALL_EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// The most random bytes of one call: 1 MiB.
const MAX_RANDOM: u64 = 1 << 20;

/// The most bytes held back of a line that has not ended: 8 KiB.
const MAX_LINE: usize = 8 << 10;

/// The WASI context of a job: the environment holds the job's parameters, and the only argument is a fixed name.
pub(crate) fn context(spec: &JobSpec, reporter: &Arc<dyn Reporter>, fuel: &HostFuel) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder.arg("workload");
    for (name, value) in &spec.params {
        builder.env(name.as_str(), value);
    }
    let id = spec.id();
    builder
        .stdout(LineLog::new(LogLevel::Info, reporter, fuel))
        .stderr(LineLog::new(LogLevel::Warn, reporter, fuel))
        .secure_random(JobRandom::new(id.0.as_bytes(), b"secure"))
        .insecure_random(JobRandom::new(id.0.as_bytes(), b"insecure"))
        .insecure_random_seed(0)
        .max_random_size(MAX_RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// Links WASI preview 2; then again what is virtual, and what takes longer for a longer argument or answer and so is charged for.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    fn state(state: &mut HostState) -> &mut HostState {
        state
    }
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    monotonic_clock::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    wall_clock::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    random::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    insecure::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    environment::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    poll::add_to_linker::<_, HasSelf<_>>(linker, state)
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

/// A sleep on a virtual clock: over at once.
struct Elapsed;

#[wasmtime_wasi::async_trait]
impl Pollable for Elapsed {
    async fn ready(&mut self) {}
}

impl monotonic_clock::Host for HostState {
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
        subscribe(&mut self.table, elapsed)
    }
}

impl wall_clock::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = WALL_EPOCH.saturating_add(Duration::from_nanos(self.clock.advance(TICK_NANOS)));
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}

impl random::Host for HostState {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        let bytes = self.wasi.random().get_random_bytes(count)?;
        self.charge(count, fuel::ITEM).map_err(Ending::raise)?;
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.wasi.random().get_random_u64()
    }
}

impl insecure::Host for HostState {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        let bytes = self.wasi.random().get_insecure_random_bytes(count)?;
        self.charge(count, fuel::ITEM).map_err(Ending::raise)?;
        Ok(bytes)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.wasi.random().get_insecure_random_u64()
    }
}

impl environment::Host for HostState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let environment = self.cli().get_environment()?;
        let bytes = environment.iter().map(|(name, value)| name.len().saturating_add(value.len()) as u64).sum();
        self.charge(bytes, fuel::BYTE).map_err(Ending::raise)?;
        self.charge(environment.len() as u64, fuel::ITEM).map_err(Ending::raise)?;
        Ok(environment)
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        self.cli().get_arguments()
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        self.cli().initial_cwd()
    }
}

impl poll::Host for HostState {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.charge(pollables.len() as u64, fuel::ITEM).map_err(Ending::raise)?;
        self.table.poll(pollables)
    }
}

impl poll::HostPollable for HostState {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.table.ready(pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.table.block(pollable)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.table, pollable)
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
    fuel: HostFuel,
}

impl LineLog {
    fn new(level: LogLevel, reporter: &Arc<dyn Reporter>, fuel: &HostFuel) -> Self {
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
