//! What a provider is doing now, for people on its machine: taken from what its jobs share, and asked for over a socket.

use crate::SOFTWARE;
use crate::monitor::JobState;
use crate::shared::{Phase, Shared};
use crate::worker::DeviceSummary;
use isobit_job::{Bytes, Fuel, JobId, Millis, NodeKey};
use isobit_store::Usage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// What a provider is doing, and what it has done since it was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Its program and version.
    pub software: String,
    /// Its process.
    pub pid: u32,
    /// Its public key.
    pub key: NodeKey,
    /// Where it listens for renters.
    pub listen: SocketAddr,
    /// What jobs run on.
    pub devices: Vec<DeviceStatus>,
    /// When it was started: milliseconds since the start of 1970, UTC.
    pub started_unix_ms: Millis,
    /// How long ago that was.
    pub uptime_ms: Millis,
    /// Whether it has been asked to stop: it finishes the jobs that it has accepted.
    pub draining: bool,
    /// Jobs that may run at once.
    pub slots: u32,
    /// Jobs that may wait.
    pub waiting_limit: u32,
    /// The jobs that it has now, in the order in which they came.
    pub jobs: Vec<JobStatus>,
    /// How many jobs have ended, by outcome.
    pub ended: BTreeMap<String, u64>,
    /// What the claims that it has signed since its start bill, all together.
    pub billed: Billed,
    /// Open connections of renters.
    pub connections: u32,
    /// Worker processes.
    pub workers: WorkersStatus,
    /// The blobs that it keeps.
    pub store: StoreStatus,
    /// The most device memory that its running jobs may take together.
    pub device_memory_granted: Bytes,
    /// Memory of the supervisor's process.
    pub resident_memory: Bytes,
}

/// A device of a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Which.
    #[serde(flatten)]
    pub device: DeviceSummary,
    /// Jobs that run on it at once.
    pub slots: u32,
}

/// A job that a provider has now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobStatus {
    /// Its name.
    pub job: JobId,
    /// Whose it is.
    pub renter: NodeKey,
    /// Where it is.
    pub state: JobState,
    /// How long it has been there.
    pub for_ms: Millis,
}

/// What signed claims bill.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Billed {
    /// Fuel for guests' instructions.
    pub guest_fuel: Fuel,
    /// Fuel for dispatches.
    pub kernel_fuel: Fuel,
    /// Bytes of inputs.
    pub input_bytes: Bytes,
    /// Bytes of outputs.
    pub output_bytes: Bytes,
}

/// A provider's worker processes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkersStatus {
    /// Those that are ready for a job.
    pub idle: u32,
    /// Those with a job.
    pub busy: u32,
}

/// The blobs that a provider keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoreStatus {
    /// Bytes of them, with what is on its way.
    pub stored: Bytes,
    /// Bytes of those that jobs use now.
    pub in_use: Bytes,
    /// The most bytes.
    pub limit: Bytes,
}

impl Status {
    /// What the provider does now.
    pub(crate) fn of(shared: &Shared) -> Self {
        let monitor = &shared.monitor;
        let live = monitor.jobs();
        let running = || live.iter().filter(|job| job.state == JobState::Running);
        let Usage { limit, stored, in_use } = shared.store.usage();
        let (idle, busy) = shared.workers.idle_and_busy();
        let mut ended = BTreeMap::new();
        for (end, count) in monitor.ends() {
            *ended.entry(end.outcome.to_owned()).or_default() += count;
        }
        let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            software: SOFTWARE.to_owned(),
            pid: std::process::id(),
            key: shared.secret.public(),
            listen: shared.listen,
            devices: shared
                .workers
                .devices()
                .map(|(device, slots)| DeviceStatus { device: device.clone(), slots: count(slots) })
                .collect(),
            started_unix_ms: Millis::from_duration(since_epoch(monitor.started)),
            uptime_ms: Millis::from_duration(monitor.started.elapsed().unwrap_or_default()),
            draining: *shared.phase.borrow() >= Phase::Draining,
            slots: count(shared.queue.slots()),
            waiting_limit: count(shared.queue.places()),
            jobs: live
                .iter()
                .map(|job| JobStatus {
                    job: job.job,
                    renter: job.renter,
                    state: job.state,
                    for_ms: Millis::from_duration(job.since.elapsed()),
                })
                .collect(),
            ended,
            billed: Billed {
                guest_fuel: Fuel::saturating_from(monitor.guest_fuel.get()),
                kernel_fuel: Fuel::saturating_from(monitor.kernel_fuel.get()),
                input_bytes: Bytes::saturating_from(monitor.input_bytes.get()),
                output_bytes: Bytes::saturating_from(monitor.output_bytes.get()),
            },
            connections: count(shared.connections.count()),
            workers: WorkersStatus { idle: count(idle), busy: count(busy) },
            store: StoreStatus { stored, in_use, limit },
            device_memory_granted: running()
                .fold(Bytes::saturating_from(0), |sum, job| sum.saturating_add(job.device_memory)),
            resident_memory: resident_memory(),
        }
    }

    /// Jobs in a state.
    #[must_use]
    pub fn jobs_in(&self, state: JobState) -> usize {
        self.jobs.iter().filter(|job| job.state == state).count()
    }

    /// How long it has run.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime_ms.get())
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The memory of this process that is in use; 0 if the system does not say.
fn resident_memory() -> Bytes {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    Bytes::saturating_from(kib.saturating_mul(1 << 10))
}
