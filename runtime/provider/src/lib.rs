//! Runs jobs for renters. The supervisor owns the node's key, the sockets and the store; it neither
//! compiles wasm nor touches a GPU driver. Each job runs in a worker process of its own.
//!
//! Linux only: workers are passed file descriptors, and are to be confined with features that only Linux has. On other
//! systems the crate is empty.
//!
//! `server` accepts connections, `job` takes one job from its spec to its turn, `run` from there to the receipt.
//! `admission` decides which jobs are accepted, `queue` which runs next, `party` whose share each takes. `worker` keeps workers
//! ready; what they are is in the crate `isobit-worker`. `monitor` counts what happens, `endpoint` tells this machine of it: [`Status`] for people, `metrics`
//! for Prometheus.

#![cfg(target_os = "linux")]

mod admission;
mod connections;
mod end_reason;
mod endpoint;
mod handshakes;
mod job;
pub mod limits;
mod log_limit;
mod looks;
mod metrics;
mod monitor;
mod party;
mod queue;
mod relay;
mod room;
mod run;
mod server;
mod shared;
mod status;
mod upload;
mod worker;

pub use admission::{Admission, Ceiling};
pub use endpoint::{AskError, EndpointError, Place, ask};
pub use monitor::JobState;
pub use server::{Config, Provider, ServeError};
pub use status::{Billed, DeviceStatus, JobStatus, Status, StoreStatus, WorkersStatus};
pub use worker::{DeviceSummary, Gap};

/// The software's name in receipts and handshakes.
pub const SOFTWARE: &str = concat!("isobit ", env!("CARGO_PKG_VERSION"));
