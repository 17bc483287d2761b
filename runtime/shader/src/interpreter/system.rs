//! The system's bind group in memory: the parameters and the report of a lowered kernel.

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
    /// Buffers for a dispatch with these parameters that has reported nothing yet.
    pub fn new(params: SystemParams) -> Self {
        Self { params: words_of(&params.to_bytes()), status: words_of(&[0; STATUS_BYTES]) }
    }

    /// The report so far of a kernel with `invocations` per workgroup.
    pub fn status(&self, invocations: u64) -> Status {
        let bytes: Vec<u8> = self.status.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        Status::from_bytes(&bytes, invocations)
    }
}

impl<'a> Buffers<'a> {
    /// Binds the buffers that every lowered kernel needs besides the guest's.
    pub fn bind_system(&mut self, system: &'a SystemBuffers) -> &mut Self {
        self.bind(SYSTEM_GROUP, 0, &system.params).bind(SYSTEM_GROUP, 1, &system.status)
    }
}

/// Bytes as the words that the interpreter uses: little-endian, the last filled up with zeros.
pub fn words_of(bytes: &[u8]) -> Vec<AtomicU32> {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    bytes.chunks(4).map(|chunk| AtomicU32::new(word(chunk))).collect()
}
