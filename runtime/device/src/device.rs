//! An open device without a job, and its provider's policy.

use std::sync::Arc;
use std::time::Duration;

use crate::core::backend::{Backend, Waits};
use crate::core::{Observer, SLICE, TimelineObserver};
use crate::observe::{RaceDetector, SpotCheck};
use crate::verdicts::{Suspicion, Suspicions};
use crate::{DeviceInfo, DeviceKind, Gpu, JobLimits, RaceLog, SpotChecks, Stop, Timeline};

/// The default of [`Policy::patience`]: 10 minutes, enough for a long kernel on a software driver.
const PATIENCE: Duration = Duration::from_secs(600);

/// A provider's policy for jobs on its device. No result depends on it.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long to wait for the device, or for a readback to be dropped, before the job fails with
    /// [`DeviceTimeout`](isobit_job::FaultKind::DeviceTimeout).
    pub patience: Duration,
    /// Which workgroups of kernels under profile dp32 are run again on the CPU: some of the first dispatch of each shape, and this
    /// share of all. If the results differ, the job faults with [`Miscomputed`](isobit_job::FaultKind::Miscomputed), or with
    /// [`KernelRaces`](isobit_job::FaultKind::KernelRaces) or [`Irreproducible`](isobit_job::FaultKind::Irreproducible) if the
    /// device is not to blame. The CPU device is not checked against itself.
    pub spot_checks: SpotChecks,
    /// How long one submission of kernels under profile dp32 should hold the device. With 0, each workgroup runs in its own
    /// submission.
    pub slice: Duration,
    /// If set, every dispatch under profile dp32 is searched for races, which are added to this log. Results stay the same, but
    /// it is many times slower.
    pub races: Option<RaceLog>,
    /// If set, what the device does is recorded there. Results stay the same, but each dispatch is waited for.
    pub timeline: Option<Timeline>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { patience: PATIENCE, spot_checks: SpotChecks::OFF, slice: SLICE, races: None, timeline: None }
    }
}

/// An open device, ready for a job.
#[derive(Debug)]
pub struct Device {
    backend: Box<dyn Backend>,
    policy: Policy,
    suspicions: Suspicions,
}

impl Device {
    pub(crate) fn new(backend: Box<dyn Backend>, suspicions: Suspicions) -> Self {
        Self { backend, policy: Policy::default(), suspicions }
    }

    /// Its name, kind and driver. Never shown to a guest.
    pub fn info(&self) -> &DeviceInfo {
        self.backend.info()
    }

    /// The same device with another policy.
    #[must_use]
    pub fn with(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// What a suspicion of a job against the device would be; None if nobody is told of any.
    pub fn suspicion(&self) -> Option<Suspicion> {
        self.suspicions.against(self.info())
    }

    /// The same device, which tells of suspicions that jobs cast on it, instead of noting them next to the verdicts: for a process that may
    /// not write there.
    #[must_use]
    pub fn tell_suspicions(self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { suspicions: self.suspicions.told(Arc::new(tell)), ..self }
    }

    /// Starts a job on the device. `stop` is polled while the device is waited for.
    pub fn start(self, limits: JobLimits, stop: Stop) -> Gpu {
        let Self { backend, policy, suspicions } = self;
        let mut observers: Vec<Box<dyn Observer>> = Vec::new();
        if let Some(log) = policy.races {
            observers.push(Box::new(RaceDetector::new(log)));
        }
        let is_checked = backend.info().kind != DeviceKind::Interpreter;
        if let Some(one_in) = policy.spot_checks.one_in.filter(|_| is_checked) {
            observers.push(Box::new(SpotCheck::new(one_in, suspicions)));
        }
        if let Some(timeline) = &policy.timeline {
            observers.push(Box::new(TimelineObserver::new(timeline.clone())));
        }
        let waits = Waits { patience: policy.patience, stop };
        Gpu::new(backend, limits, waits, policy.slice, observers).with_timeline(policy.timeline)
    }
}
