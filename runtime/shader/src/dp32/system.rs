//! The system's bind group: what a lowered kernel is told, and what it reports.

use crate::GUEST_BIND_GROUPS;

/// The number of the system's bind group, after the guest's.
pub const SYSTEM_GROUP: u32 = GUEST_BIND_GROUPS;

/// The most fuel that one invocation may spend in a dispatch: 2²⁸ operations, the better part of a second on
/// a fast device. A workgroup cannot be cut, so this bounds how long one holds the device.
pub const INVOCATION_FUEL: u32 = 1 << 28;

/// The member of the parameters that is zero, which only the running device knows.
pub(crate) const ZERO_MEMBER: u32 = 1;

/// Bytes of [`SystemParams`] in a buffer.
pub const SYSTEM_PARAMS_BYTES: usize = 32;

/// Counters that workgroups spread over, so that they do not all wait for one.
pub(crate) const SLOTS: usize = 64;

/// Bytes of the buffer that a dispatch reports in.
pub const STATUS_BYTES: usize = 16 + SLOTS * 16;

pub(crate) const SPENT: u32 = 1;
pub(crate) const LEFT_LOOP: u32 = 2;

/// What a slice of a dispatch is told, as `struct { workgroup_offset: vec3u, zero: u32, num_workgroups: vec3u, budget: u32 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemParams {
    /// Added to the workgroup ids of the slice.
    pub workgroup_offset: [u32; 3],
    /// The size of the whole dispatch.
    pub num_workgroups: [u32; 3],
    /// The most fuel that loops of one invocation may spend: [`INVOCATION_FUEL`], or the job's limit if that is less.
    pub budget: u32,
}

impl SystemParams {
    /// Of a dispatch that is not cut, with all the fuel that there is.
    pub fn whole(num_workgroups: [u32; 3]) -> Self {
        Self { workgroup_offset: [0; 3], num_workgroups, budget: INVOCATION_FUEL }
    }

    /// As it lies in the buffer.
    pub fn to_bytes(self) -> [u8; SYSTEM_PARAMS_BYTES] {
        let [ox, oy, oz] = self.workgroup_offset;
        let [nx, ny, nz] = self.num_workgroups;
        let mut bytes = [0; SYSTEM_PARAMS_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip([ox, oy, oz, 0, nx, ny, nz, self.budget]) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }
}

/// What dispatches of one pipeline have reported since the buffer was zero, as `struct { trap, finished, 0, 0: u32,
/// slots: array<struct { uniform: u64, varying: u64 }, 64> }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// An invocation has spent its budget.
    pub spent: bool,
    /// The device left a loop that had not ended (some drivers do so silently after many turns): the results
    /// are worthless and the device is at fault.
    pub left_loop: bool,
    /// Workgroups of kernels with loops that have reached their end. A sum modulo 2³².
    pub finished: u32,
    /// Fuel spent in loops, over all invocations.
    pub loop_fuel: u64,
}

impl Status {
    /// Reads what a pipeline of `invocations` per workgroup has reported. Missing bytes count as zeros.
    pub fn from_bytes(bytes: &[u8], invocations: u64) -> Self {
        let word = |index: usize| -> u32 {
            let at = bytes.get(index * 4..).and_then(<[u8]>::first_chunk::<4>);
            at.map_or(0, |word| u32::from_le_bytes(*word))
        };
        let wide = |index: usize| u64::from(word(index)) | u64::from(word(index + 1)) << 32;
        let mut loop_fuel = 0_u64;
        for slot in 0..SLOTS {
            let uniform = wide(4 + slot * 4).saturating_mul(invocations);
            loop_fuel = loop_fuel.saturating_add(uniform).saturating_add(wide(6 + slot * 4));
        }
        Self { spent: word(0) & SPENT != 0, left_loop: word(0) & LEFT_LOOP != 0, finished: word(1), loop_fuel }
    }
}
