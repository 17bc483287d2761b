//! Runs a workload inside wasmtime: engine settings, limits, and the host side of `wit/`.
//!
//! A job passes through these states, each made from the one before: [`Workload`] (parsed bytes) →
//! [`CompiledWorkload`] → [`PreparedJob`] (with its inputs, device and sinks) → [`FinishedJob`].
//! Everything is synchronous: the embedder gives a job a thread, or a process, of its own.

mod bounds;
mod code;
mod ending;
mod engine;
mod fuel;
mod host;
mod job;
pub mod limits;
mod rewrite;
mod rules;
mod run;
mod takes;
mod workload;

pub use bounds::TooComplex;
pub use code::CodeCache;
pub use engine::{CodeKey, CompileError, CompiledWorkload, Sandbox, TrustedCode, instrumented, settings};
pub use job::{Input, Job, OutputSink, Reporter};
pub use rules::{SANDBOX_VERSION, rules};
pub use run::{FinishedJob, Interrupt, PreparedJob};
pub use takes::Takes;
pub use workload::{MAX_WORKLOAD, Workload, WorkloadError};
