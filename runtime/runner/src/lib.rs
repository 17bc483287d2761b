//! A job from its spec and files to a finished run: `isobit run`, `isobit verify --rerun` and the provider's worker all run
//! jobs with this.
//!
//! ```text
//! job spec + inputs + compiled workload + device -> run -> Run
//!     Run.ended + the outputs' hashes -> Claim
//!     Run.device + times              -> Observed
//! ```
//!
//! Whoever takes the outputs ([`Embedder`]) knows their hashes. The claim is composed from them by [`Ended::claim`]: by whoever runs a
//! job itself, and by the provider's supervisor, which believes its worker nothing about outputs.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use isobit_device::{Device, DeviceInfo, DeviceKind, open_cpu};
use isobit_job::{Ended, Fault, FaultKind, Instead, JobSpec, Millis, Name, Observed};
use isobit_sandbox::{CompiledWorkload, FinishedJob, Input, Interrupt, Job, OutputSink, Reporter};

/// What to run.
pub struct Task<'a> {
    /// The job.
    pub spec: &'a JobSpec,
    /// An open file for every input of the spec. Its content has been checked against the spec.
    pub inputs: &'a BTreeMap<Name, Input>,
    /// Runs the kernels.
    pub device: Device,
    /// When the job is given up with [`FaultKind::Deadline`].
    pub deadline: Instant,
}

/// Who has a job run: takes its outputs and is told how it goes.
pub trait Embedder {
    /// Takes outputs from now on. Called once for each attempt; what an earlier one has been given is void.
    fn outputs(&self) -> Box<dyn OutputSink>;

    /// Takes logs and progress of an attempt. `again` says that it is not the first.
    fn reporter(&self, again: bool) -> Arc<dyn Reporter>;

    /// An attempt is about to start; the handle stops it.
    fn starting(&self, interrupt: Interrupt) {
        drop(interrupt);
    }

    /// The device could not run the job to its end, and it begins anew on another.
    ///
    /// # Errors
    /// The job is given up.
    fn restarting(&self, device: &DeviceInfo, reason: &Fault) -> Result<(), Fault>;
}

/// A job that has run to an outcome.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended and what it cost.
    pub ended: Ended,
    /// The device that ran it to its end.
    pub device: DeviceInfo,
    /// The device that could not, if another was tried before.
    pub instead_of: Option<Instead>,
    /// When it began.
    started: SystemTime,
    /// From then on.
    took: Duration,
}

/// Runs a job. A device whose driver leaves a loop that had not ended gives way to the CPU device, once: the interpreter bounds no loops.
///
/// # Errors
/// The provider's own trouble. What follows from the job itself is an outcome.
pub fn run(workload: &CompiledWorkload, task: Task<'_>, embedder: &dyn Embedder) -> Result<Run, Fault> {
    let Task { spec, inputs, device, deadline } = task;
    let (started, begun) = (SystemTime::now(), Instant::now());
    let attempt = |device: Device, again| {
        let job = Job {
            spec: spec.clone(),
            inputs: reopen(inputs)?,
            device,
            outputs: embedder.outputs(),
            reporter: embedder.reporter(again),
            deadline: Some(deadline),
        };
        let prepared = workload.prepare(job)?;
        embedder.starting(prepared.interrupt());
        prepared.run()
    };
    let first = device.info().clone();
    let (finished, device, instead_of) = match attempt(device, false) {
        Err(fault) if fault.kind == FaultKind::LeftLoop && first.kind != DeviceKind::Interpreter => {
            let cpu = open_cpu().map_err(|error| Fault::new(FaultKind::OutOfMemory, error))?;
            let device = cpu.info().clone();
            embedder.restarting(&device, &fault)?;
            let instead = Instead { device: first.name, driver: first.driver, reason: fault.to_string() };
            (attempt(cpu, true)?, device, Some(instead))
        }
        finished => (finished?, first, None),
    };
    let FinishedJob { rules, outcome, cost, unread } = finished;
    let ended = Ended { rules, outcome, cost, unread };
    Ok(Run { ended, device, instead_of, started, took: begun.elapsed() })
}

impl Run {
    /// What stands in a receipt beside the claim. `software` ran it; it took `prepare` from when the job arrived until it began.
    pub fn observed(&self, software: &str, prepare: Duration) -> Observed {
        let since_epoch = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let observed = Observed {
            device: self.device.name.clone(),
            driver: self.device.driver.clone(),
            backend: self.device.backend.clone(),
            software: software.to_owned(),
            started_unix_ms: Millis::from_duration(since_epoch),
            queue_ms: Millis::ZERO,
            prepare_ms: Millis::from_duration(prepare),
            run_ms: Millis::from_duration(self.took),
            instead_of: self.instead_of.clone(),
        };
        observed.bounded()
    }
}

/// The inputs for one attempt. A file's position is shared between its copies, but inputs are read at offsets.
fn reopen(inputs: &BTreeMap<Name, Input>) -> Result<BTreeMap<Name, Input>, Fault> {
    let reopen = |(name, input): (&Name, &Input)| -> io::Result<_> {
        Ok((name.clone(), Input { file: input.file.try_clone()?, size: input.size }))
    };
    let reopened = inputs.iter().map(reopen).collect::<io::Result<_>>();
    reopened.map_err(|error| Fault::storage("an input could not be opened again", &error))
}
