//! Clocks that count calls.

use super::super::HostState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// How far the virtual clocks advance each time they are read: 1 µs.
const TICK_NANOS: u64 = 1_000;

/// Where the virtual wall clock starts: 2025-01-01T00:00:00Z, since some programs do not accept 1970.
pub(super) const WALL_EPOCH: Duration = Duration::from_secs(1_735_689_600);

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
