//! Randomness from the job's hash.

use super::super::HostState;
use crate::ending::Ending;
use crate::fuel;
use std::convert::Infallible;
use wasmtime_wasi::p2::bindings::random::{insecure, random};

/// The most random bytes of one call: 1 MiB.
pub(super) const MAX_RANDOM: u64 = 1 << 20;

/// Random bytes as a function of the job: BLAKE3's extended output, keyed by the job's hash.
pub(super) struct JobRandom(blake3::OutputReader);

impl JobRandom {
    pub(super) fn new(job: &[u8; 32], stream: &[u8]) -> Self {
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
