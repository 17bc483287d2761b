//! A worker: the process that runs one job, in a jail. A provider starts one for each job; `isobit run` and `isobit verify --rerun` do too, because
//! a guest is a stranger's there as well.
//!
//! ```text
//! parent: Worker::start -> Ready -> Start, files -> Log, Output, pipes ... -> Ended -> Worker::kill
//! child:  run: jail -> engine, device -> Ready -> last of the jail -> Start -> the job -> Ended
//! ```
//!
//! Messages go over a Unix socket that the worker inherits as its standard input. They are small and bounded; bulk data goes by file descriptor: the workload,
//! inputs and code as files, outputs as pipes. The parent believes nothing that it can check.
#![cfg(target_os = "linux")]

mod body;
mod channel;
mod groups;
mod jail;
mod process;
pub mod word;

pub use body::{Jail, MAX_FILE, Options, WorkerError, run, try_jail};
pub use channel::{ChannelError, Inbox, receive, send};
pub use groups::Groups;
pub use jail::{Gap, Wall};
pub use process::{MAX_STDERR, START, SpawnError, Worker, WorkerCommand, forward, output_of, sealed};

use isobit_device::RaceReport;
use isobit_device::probe::Suspicion;
use isobit_job::{DeviceClass, Ended, Fault, JobSpec, Limits, LogLevel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A message from the parent, which a provider's supervisor is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToWorker {
    /// Carries up to 64 files for the `Start` that follows.
    Files,
    /// The job. Its files, in order: the workload, the code, then the inputs by name.
    Start {
        /// What to run.
        spec: JobSpec,
        /// Milliseconds from now until the job is given up.
        deadline_ms: u64,
        /// What the code file is.
        code: CodeFile,
        /// How long to wait for the device before it counts as stuck, in milliseconds. None: as long as a provider waits.
        patience_ms: Option<u64>,
        /// Look for races, and send [`FromWorker::Races`] before the end.
        detect_races: bool,
    },
    /// The compiled code has been kept; go on.
    Run,
}

/// What the code file of a `Start` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeFile {
    /// Code that a worker compiled for this workload before.
    Compiled,
    /// Empty: compile the workload, write the code here, send `Compiled`, wait for `Run`.
    Empty,
}

/// A message from the worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum FromWorker {
    /// Engine and device are open.
    Ready {
        /// The device.
        device: DeviceSummary,
        /// What tells engines apart for which code was compiled.
        code_key: String,
        /// Why the device computes with integers only, if it does.
        integers_only: Option<String>,
        /// What a suspicion against this device would be: said before the job, so it is the provider's own word.
        suspicion: Option<Suspicion>,
        /// The walls that its jail lacks.
        gaps: Vec<Gap>,
    },
    /// Engine or device cannot be opened.
    Unusable {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// No verdict on the device is known, and another process is to probe it.
    Unprobed,
    /// The code file is written. Nothing of the guest has run.
    Compiled,
    /// The code file cannot be loaded; the workload is compiled instead, and its code is not kept.
    CodeRefused,
    /// The guest is about to execute its first instruction.
    Started,
    /// The device computed otherwise than the CPU: it is to be probed again.
    Suspect {
        /// How.
        what: String,
    },
    /// A line of the guest's log.
    Log {
        /// How grave it is.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// The guest's progress.
    Progress {
        /// From 0 to 1.
        fraction: f32,
        /// What it does now.
        message: String,
    },
    /// The guest created an output; the attached file is a pipe with its bytes.
    Output {
        /// Its name.
        name: String,
    },
    /// The races that were found. Sent once, before `Ended`.
    Races(RaceReport),
    /// The job has run to an outcome. Its outputs' pipes are closed.
    Ended(Ended),
    /// The device could not run the job to its end, and the job starts again on this one. Outputs so far are void. Sent at
    /// most once.
    Restarted {
        /// The device that runs it now.
        device: DeviceSummary,
        /// Why the first could not.
        reason: String,
    },
    /// The component does not compile or does not fit the world.
    NotAWorkload {
        /// Why.
        message: String,
    },
    /// The provider's own trouble.
    Faulted(Fault),
}

/// The device: as it stands in receipts, and which jobs it can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSummary {
    /// Its name.
    pub name: String,
    /// Driver and version.
    pub driver: String,
    /// `Vulkan`, `Metal`, `DX12` or `none`.
    pub backend: String,
    /// The device classes that it has.
    pub classes: BTreeSet<DeviceClass>,
}

/// What a worker may take besides a job's memory: its program, the driver and its compilers, stacks, the job's objects in the host. A worker that needs more
/// ends, and not the machine.
pub const OWN_MEMORY: u64 = 4 << 30;

/// The most threads of a worker. Drivers and the compiler have some for each processor.
const MAX_THREADS: u64 = 4096;

/// The most memory of a worker in bytes while it runs a job with these limits. A driver may hold a buffer twice, in staging memory too.
fn memory_for(limits: &Limits) -> u64 {
    limits.guest_memory.get().saturating_add(limits.device_memory.get().saturating_mul(2)).saturating_add(OWN_MEMORY)
}
