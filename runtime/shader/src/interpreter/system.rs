//! The system's bind group in memory: what a run of a lowered kernel is told, and what it reports.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Buffers;
use crate::dp32::{STATUS_BYTES, SYSTEM_GROUP, Status, SystemParams};

/// The system's buffers of one dispatch. They go into [`Buffers`] by [`Buffers::bind_system`].
#[derive(Debug)]
pub struct SystemBuffers {
    params: Vec<AtomicU32>,
    status: Vec<AtomicU32>,
}

impl SystemBuffers {
    /// For a dispatch that is told this and has reported nothing yet.
    pub fn new(params: SystemParams) -> Self {
        Self { params: words_of(&params.to_bytes()), status: words_of(&[0; STATUS_BYTES]) }
    }

    /// What a kernel of `invocations` per workgroup has reported so far.
    pub fn status(&self, invocations: u64) -> Status {
        let bytes: Vec<u8> = self.status.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        Status::from_bytes(&bytes, invocations)
    }
}

impl<'a> Buffers<'a> {
    /// Binds what every lowered kernel needs besides the guest's buffers.
    pub fn bind_system(&mut self, system: &'a SystemBuffers) -> &mut Self {
        self.bind(SYSTEM_GROUP, 0, &system.params).bind(SYSTEM_GROUP, 1, &system.status)
    }
}

/// Bytes as the interpreter takes them: little-endian words, the last filled up with zeros.
pub fn words_of(bytes: &[u8]) -> Vec<AtomicU32> {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    bytes.chunks(4).map(|chunk| AtomicU32::new(word(chunk))).collect()
}
