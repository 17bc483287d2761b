//! What the provider does and has done, as counters: the jobs that it has now, and what those cost that have ended.
//!
//! All counters are bounded in number: what labels them comes from closed enums, never from a peer.

use isobit_job::{Bytes, Claim, JobId, JobSpec, NodeKey, Observed, Outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

/// Upper bounds of the histograms' buckets, in seconds: from what nobody notices to the longest deadline by default.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1200.0, 3600.0];

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Its blobs are looked for, or on their way.
    Uploading,
    /// It waits for a slot.
    Waiting,
    /// It has a slot and a worker.
    Running,
}

impl JobState {
    /// All states.
    pub(crate) const ALL: [JobState; 3] = [JobState::Uploading, JobState::Waiting, JobState::Running];

    /// Its name, as in JSON and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            JobState::Uploading => "uploading",
            JobState::Waiting => "waiting",
            JobState::Running => "running",
        }
    }
}

/// How jobs ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(crate) struct End {
    /// `completed`, `trapped`, or how it ended without a claim.
    pub outcome: &'static str,
    /// The cause of the trap, or the kind of fault or rejection; else empty.
    pub reason: String,
}

/// A job that the provider has now.
#[derive(Clone, Debug)]
pub(crate) struct LiveJob {
    pub job: JobId,
    pub renter: NodeKey,
    pub state: JobState,
    /// Since when it is in this state.
    pub since: Instant,
    /// The most device memory that it may take.
    pub device_memory: Bytes,
}

/// What the provider does and has done.
#[derive(Debug)]
pub(crate) struct Monitor {
    live: Arc<Mutex<Live>>,
    pub started: SystemTime,
    /// How many jobs have ended, and how.
    ends: Mutex<BTreeMap<End, u64>>,
    /// Of jobs that ended with a claim: the time from their arrival to their turn, from there to the guest's first instruction, and from there
    /// to their end.
    pub waited: Histogram,
    pub prepared: Histogram,
    pub ran: Histogram,
    /// What the claims bill.
    pub guest_fuel: Counter,
    pub kernel_fuel: Counter,
    pub input_bytes: Counter,
    pub output_bytes: Counter,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    jobs: BTreeMap<u64, LiveJob>,
}

/// A job that is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Mutex<Live>>, u64);

impl Monitor {
    pub(crate) fn new() -> Self {
        Self {
            live: Arc::default(),
            started: SystemTime::now(),
            ends: Mutex::default(),
            waited: Histogram::new(SECONDS),
            prepared: Histogram::new(SECONDS),
            ran: Histogram::new(SECONDS),
            guest_fuel: Counter::default(),
            kernel_fuel: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
        }
    }

    /// Watches a job from now on. It is [`JobState::Uploading`] at first.
    pub(crate) fn watch(&self, renter: NodeKey, spec: &JobSpec) -> Watched {
        let job = LiveJob {
            job: spec.id(),
            renter,
            state: JobState::Uploading,
            since: Instant::now(),
            device_memory: spec.limits.device_memory,
        };
        let mut live = lock(&self.live);
        live.next += 1;
        let number = live.next;
        live.jobs.insert(number, job);
        Watched(Arc::clone(&self.live), number)
    }

    /// The jobs that the provider has now, in the order in which they came.
    pub(crate) fn jobs(&self) -> Vec<LiveJob> {
        lock(&self.live).jobs.values().cloned().collect()
    }

    /// Counts a job that ended without a claim. `reason` is from a closed set.
    pub(crate) fn ended(&self, outcome: &'static str, reason: String) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        *ends.entry(End { outcome, reason }).or_default() += 1;
    }

    /// How many jobs have ended, and how.
    pub(crate) fn ends(&self) -> BTreeMap<End, u64> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a job that ended with a claim.
    pub(crate) fn claimed(&self, claim: &Claim, observed: &Observed) {
        match &claim.outcome {
            Outcome::Completed => self.ended("completed", String::new()),
            Outcome::Trapped(trap) => self.ended("trapped", name_of(trap)),
        }
        let times =
            [(&self.waited, observed.queue_ms), (&self.prepared, observed.prepare_ms), (&self.ran, observed.run_ms)];
        for (histogram, time) in times {
            histogram.observe(std::time::Duration::from_millis(time.get()).as_secs_f64());
        }
        self.guest_fuel.inc_by(claim.cost.guest_fuel.get());
        self.kernel_fuel.inc_by(claim.cost.kernel_fuel.get());
        self.input_bytes.inc_by(claim.cost.input_bytes.get());
        self.output_bytes.inc_by(claim.cost.output_bytes.get());
    }
}

impl Watched {
    /// Notes where the job is from now on.
    pub(crate) fn enters(&self, state: JobState) {
        if let Some(job) = lock(&self.0).jobs.get_mut(&self.1) {
            job.state = state;
            job.since = Instant::now();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&self.0).jobs.remove(&self.1);
    }
}

fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of an enum's variant in kebab case, without what it holds: of a trap its cause.
pub(crate) fn name_of(value: &impl Serialize) -> String {
    let name = match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(fields)) => match fields.get("cause") {
            Some(serde_json::Value::String(cause)) => cause.clone(),
            _ => fields.keys().next().cloned().unwrap_or_default(),
        },
        _ => String::new(),
    };
    let mut kebab = String::with_capacity(name.len() + 4);
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobit_job::{FaultKind, LimitName, Trap};
    use isobit_wire::Rejection;

    #[test]
    fn a_variant_is_named_without_what_it_holds() {
        assert_eq!(name_of(&FaultKind::ProviderDeadline), "provider-deadline");
        assert_eq!(name_of(&Trap::GuestError { message: "a secret".to_owned() }), "guest-error");
        assert_eq!(name_of(&Trap::Limit { limit: LimitName::Handles }), "limit");
        assert_eq!(name_of(&Rejection::Full { running: 1, queued: 2 }), "full");
        assert_eq!(name_of(&Rejection::InvalidSpec("a stranger's text".to_owned())), "invalid-spec");
        assert_eq!(name_of(&Rejection::NotAllowed), "not-allowed");
    }

    #[test]
    fn names_are_those_in_json() {
        for state in JobState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
