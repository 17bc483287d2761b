//! An open device that has no job yet, and how its provider treats jobs on it.

use std::time::Duration;

use crate::core::backend::{Backend, Waits};
use crate::core::{Observer, SLICE};
use crate::observe::{RaceDetector, SpotCheck};
use crate::verdicts::Suspicions;
use crate::{DeviceInfo, DeviceKind, Gpu, JobLimits, RaceLog, SpotChecks, Stop};

/// How long anything is waited for unless [`Policy::patience`] says otherwise: 10 minutes, a long kernel on a software driver.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a provider treats jobs on its device. No result depends on it.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long the device, or a readback to be dropped, is waited for before the job is given up with
    /// [`DeviceTimeout`](isobit_job::FaultKind::DeviceTimeout).
    pub patience: Duration,
    /// Which workgroups of kernels under profile dp32 are run again on the CPU: some of the first dispatch of each shape, and this
    /// share of all. Where that disagrees, the job faults with [`Miscomputed`](isobit_job::FaultKind::Miscomputed), or with
    /// [`KernelRaces`](isobit_job::FaultKind::KernelRaces) or [`Irreproducible`](isobit_job::FaultKind::Irreproducible) if the
    /// device is not to blame. The CPU device is not checked against itself.
    pub spot_checks: SpotChecks,
    /// How long one submission of kernels under profile dp32 should hold the device; 0 runs each workgroup in a submission of its own.
    pub slice: Duration,
    /// Looks for races in every dispatch under profile dp32, many times slower, with the same results.
    pub races: Option<RaceLog>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { patience: PATIENCE, spot_checks: SpotChecks::OFF, slice: SLICE, races: None }
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

    /// Who it is. Never shown to a guest.
    pub fn info(&self) -> &DeviceInfo {
        self.backend.info()
    }

    /// The same with another policy.
    #[must_use]
    pub fn with(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// The device as one job has it. `stop` is polled while it is waited for.
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
        let waits = Waits { patience: policy.patience, stop };
        Gpu::new(backend, limits, waits, policy.slice, observers)
    }
}
