//! Runs jobs for renters. The supervisor owns the node's key, the sockets and the store; it neither
//! compiles wasm nor touches a GPU driver. Each job runs in a worker process of its own.
//!
//! Linux only: workers are passed descriptors, and are to be jailed by what only Linux has. Elsewhere the crate is empty.
//!
//! `server` accepts connections, `job` walks one job from spec to its turn, `run`
//! from there to the receipt, `admission` says who and what
//! gets in, `queue` who is next, `worker` is the other process.

#![cfg(target_os = "linux")]

mod admission;
mod end_reason;
mod job;
mod queue;
mod relay;
mod run;
mod server;
mod shared;
mod upload;
mod worker;

pub use admission::{Admission, Ceiling};
pub use server::{Config, Provider, ServeError};
pub use worker::{DeviceSummary, WorkerError, run as run_worker};

/// What stands in receipts and handshakes as the software's name.
pub const SOFTWARE: &str = concat!("isobit ", env!("CARGO_PKG_VERSION"));
