//! The messages between the supervisor and a worker, the process that runs one job.
//!
//! They go over a Unix socket that the worker inherits as its standard input. Messages are small and
//! bounded; bulk data goes by file descriptor: the workload, inputs and code as files, outputs as pipes.

mod body;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]
mod breach_tests;
mod channel;
mod jail;
mod process;
mod spares;

pub use body::{Jail, WorkerError, run, try_jail};
pub(crate) use channel::ChannelError;
pub(crate) use process::{SpawnError, Worker, WorkerCommand};
pub(crate) use spares::{Seat, Workers};

use isobit_device::probe::Suspicion;
use isobit_job::{Ended, Fault, JobSpec, LogLevel};
use serde::{Deserialize, Serialize};

/// A message from the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ToWorker {
    /// Carries up to [`channel::MAX_FILES`] files for the `Start` that follows.
    Files,
    /// The job. Its files, in order: the workload, the code, then the inputs by name.
    Start {
        spec: JobSpec,
        /// Milliseconds from now until the job is given up.
        deadline_ms: u64,
        code: CodeFile,
    },
    /// The compiled code has been kept; go on.
    Run,
}

/// What the code file of a `Start` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CodeFile {
    /// Code that a worker compiled for this workload before.
    Compiled,
    /// Empty: compile the workload, write the code here, send `Compiled`, wait for `Run`.
    Empty,
}

/// A message from the worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FromWorker {
    /// Engine and device are open.
    Ready {
        device: DeviceSummary,
        code_key: String,
        /// What a suspicion against this device would be: said before the job, so it is the provider's own word.
        suspicion: Option<Suspicion>,
    },
    /// Engine or device cannot be opened.
    Unusable { message: String, hint: String },
    /// The code file is written. Nothing of the guest has run.
    Compiled,
    /// The code file cannot be loaded; the workload is compiled instead, and its code is not kept.
    CodeRefused,
    /// The guest is about to execute its first instruction.
    Started,
    /// The device computed otherwise than the CPU: it is to be probed again.
    Suspect { what: String },
    /// A line of the guest's log.
    Log { level: LogLevel, message: String },
    /// The guest's progress.
    Progress { fraction: f32, message: String },
    /// The guest created an output; the attached file is a pipe with its bytes.
    Output { name: String },
    /// The job has run to an outcome. Its outputs' pipes are closed.
    Ended(Ended),
    /// The device could not run the job to its end, and the job starts again on this one. Outputs so far are void. Sent at
    /// most once.
    Restarted { device: DeviceSummary, reason: String },
    /// The component does not compile or does not fit the world.
    NotAWorkload { message: String },
    /// The provider's own trouble.
    Faulted(Fault),
}

/// The device, as it stands in receipts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSummary {
    /// Its name.
    pub name: String,
    /// Driver and version.
    pub driver: String,
    /// `Vulkan`, `Metal`, `DX12` or `none`.
    pub backend: String,
}
