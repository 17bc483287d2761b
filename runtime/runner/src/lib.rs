//! Runs a job, from its spec and files to a finished run. `isobit run`, `isobit verify --rerun` and the provider's worker all
//! use this.
//!
//! ```text
//! job spec + inputs + compiled workload + device -> run -> Run
//!     Run.ended + the outputs' hashes -> Claim
//!     Run.device + times              -> Observed
//! ```
//!
//! The [`Embedder`] takes the outputs and knows their hashes. [`Ended::claim`] makes the claim from them. A program that runs a
//! job itself calls it; at a provider the supervisor does, with hashes of its own, because it does not trust its worker.

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
    /// The device that runs the kernels.
    pub device: Device,
    /// When the job is given up with [`FaultKind::Deadline`].
    pub deadline: Instant,
}

/// The caller's side of a run: takes outputs, logs and progress.
pub trait Embedder {
    /// Returns the sink for an attempt's outputs. Called once for each attempt; the outputs of an earlier attempt are void.
    fn outputs(&self) -> Box<dyn OutputSink>;

    /// Returns the reporter for an attempt's logs and progress. `again` is true if it is not the first attempt.
    fn reporter(&self, again: bool) -> Arc<dyn Reporter>;

    /// An attempt is about to start. `interrupt` can stop it.
    fn starting(&self, interrupt: Interrupt) {
        drop(interrupt);
    }

    /// The first device could not run the job to its end, and the job is about to run again on `device`.
    ///
    /// # Errors
    /// An error of the implementation: the job is given up with it.
    fn restarting(&self, device: &DeviceInfo, reason: &Fault) -> Result<(), Fault>;
}

/// A job that has run to an outcome.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended and what it cost.
    pub ended: Ended,
    /// The device that ran it to its end.
    pub device: DeviceInfo,
    /// The device that was tried before and could not run the job to its end, if there was one.
    pub instead_of: Option<Instead>,
    /// When it began.
    started: SystemTime,
    /// How long it took from then.
    took: Duration,
}

/// Runs a job. If the device's driver leaves a loop before its end, the job runs again on the CPU device, which does not bound
/// loops.
///
/// # Errors
/// The job could not be run to its end, for a reason that does not follow from the job. An end that does is an outcome.
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
    // Whoever chose the device has seen to this.
    if !first.classes.contains(&spec.class) {
        let detail = format_args!("{} has no device class {}", first.name, spec.class);
        return Err(Fault::new(FaultKind::Internal, detail));
    }
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
    /// The observations for a receipt. `software` is the program that ran the job; `prepare` is the time from the job's arrival
    /// to the start of the run.
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

/// The inputs for one attempt. The copies of a file share its position, which does not matter: inputs are read at offsets.
fn reopen(inputs: &BTreeMap<Name, Input>) -> Result<BTreeMap<Name, Input>, Fault> {
    let reopen = |(name, input): (&Name, &Input)| -> io::Result<_> {
        Ok((name.clone(), Input { file: input.file.try_clone()?, size: input.size }))
    };
    let reopened = inputs.iter().map(reopen).collect::<io::Result<_>>();
    reopened.map_err(|error| Fault::storage("an input could not be opened again", &error))
}
