//! Profile dp32 on every device of this machine: in the interpreter, and on wgpu in both tiers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::cast_possible_truncation, reason = "numbers at random are cut to size")]

mod divergence;
mod programs;
mod runner;
#[path = "../../../../tests/support/seen.rs"]
mod seen;
mod traps;
mod words;
