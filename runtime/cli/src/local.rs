//! A job run on this machine, in this process: what `isobit run` and `isobit verify --rerun` share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use isobit_device::{CpuDevice, Device, DeviceInfo, DeviceSelector, RaceLog, RaceReport};
use isobit_job::{Claim, Millis, Name, Observed, Outcome};
use isobit_renter::{Part, Submission};
use isobit_sandbox::{CodeCache, FaultKind, Input, Interrupt, Job, OutputSink, Reporter, Sandbox};

use crate::commands::read_workload;
use crate::failure::{Failure, Status};
use crate::opening;
use crate::printer::Printer;

/// What to run, and on what.
pub struct LocalJob<'a> {
    pub submission: &'a Submission,
    pub workload: &'a Path,
    pub inputs: &'a BTreeMap<Name, PathBuf>,
    pub device: &'a DeviceSelector,
    /// On the CPU device, whichever is selected: look for races.
    pub detect_races: bool,
    pub deadline: Duration,
    /// Where outputs are wanted; others are hashed and let go.
    pub outputs: &'a BTreeMap<Name, PathBuf>,
    pub reporter: Arc<dyn Reporter>,
    pub printer: &'a Printer,
}

/// What came of it. The outputs are in their places only after [`LocalRun::keep`].
pub struct LocalRun {
    pub claim: Claim,
    pub observed: Observed,
    /// What was found, if it was looked for.
    pub races: Option<RaceReport>,
    parts: Vec<Part>,
}

impl LocalJob<'_> {
    /// Compiles or loads, and runs. `started` is given a handle that stops the job.
    pub fn run(self, started: impl FnOnce(Interrupt)) -> anyhow::Result<LocalRun> {
        let arrived = Instant::now();
        let workload = read_workload(self.workload)?;
        let sandbox = Sandbox::new()?;
        let (device, races) = self.open_device()?;
        let compiled = match code_cache() {
            Some(cache) => cache.load_or_compile(&sandbox, &workload),
            None => sandbox.compile(&workload),
        };
        let compiled =
            compiled.map_err(|error| Failure::new(error.to_string()).hint("look at it with `isobit inspect`"))?;
        let mut observed = unobserved(device.info());
        let (done, parts) = channel();
        let spec = self.submission.spec().clone();
        let job = Job {
            spec: spec.clone(),
            inputs: open_inputs(&spec.inputs, self.inputs)?,
            device,
            outputs: Box::new(PartSink { wanted: self.outputs.clone(), done }),
            reporter: self.reporter,
            deadline: Some(Instant::now() + self.deadline),
        };
        let prepared = compiled.prepare(job).map_err(|fault| faulted(&fault))?;
        started(prepared.interrupt());
        let begun = Instant::now();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let finished = prepared.run().map_err(|fault| faulted(&fault))?;
        observed.started_unix_ms = Millis::from_duration(since_epoch);
        observed.prepare_ms = Millis::from_duration(begun.duration_since(arrived));
        observed.run_ms = Millis::from_duration(begun.elapsed());
        let parts = collect(&parts);
        let outputs = match finished.outcome {
            Outcome::Completed => parts.iter().map(|part| (part.name().clone(), part.blob())).collect(),
            _ => BTreeMap::new(),
        };
        let claim =
            Claim { job: spec.id(), rules: finished.rules, outcome: finished.outcome, outputs, fuel: finished.fuel };
        let races = races.map(|races| races.report());
        Ok(LocalRun { claim, observed: observed.bounded(), races, parts })
    }

    /// The device, and its log if races are looked for.
    fn open_device(&self) -> anyhow::Result<(Box<dyn Device>, Option<RaceLog>)> {
        let (mut device, races) = if self.detect_races {
            let mut device = CpuDevice::open().map_err(opening::no_device)?;
            let races = device.detect_races();
            (Box::new(device) as Box<dyn Device>, Some(races))
        } else {
            (opening::open(self.device, self.printer)?, None)
        };
        // Longer than the deadline, which has a better word for it.
        device.set_patience(self.deadline.saturating_add(Duration::from_secs(60)));
        Ok((device, races))
    }
}

/// What is known of a run before it begins.
fn unobserved(device: &DeviceInfo) -> Observed {
    Observed {
        device: device.name.clone(),
        driver: device.driver.clone(),
        backend: device.backend.clone(),
        software: isobit_renter::SOFTWARE.to_owned(),
        started_unix_ms: Millis::ZERO,
        queue_ms: Millis::ZERO,
        prepare_ms: Millis::ZERO,
        run_ms: Millis::ZERO,
    }
}

impl LocalRun {
    /// Puts the wanted outputs of a completed job in their places.
    pub fn keep(self, wanted: &BTreeMap<Name, PathBuf>) -> anyhow::Result<BTreeMap<Name, PathBuf>> {
        if self.claim.outcome != Outcome::Completed {
            return Ok(BTreeMap::new());
        }
        if let Some(name) = wanted.keys().find(|name| !self.claim.outputs.contains_key(*name)) {
            let created: Vec<_> = self.claim.outputs.keys().map(Name::as_str).collect();
            let created = if created.is_empty() { "none".to_owned() } else { created.join(", ") };
            let failure = Failure::new(format!("the workload created no output `{name}`; it created: {created}"));
            return Err(failure.hint("correct the name in -o NAME=PATH").into());
        }
        let mut kept = BTreeMap::new();
        for part in self.parts {
            let name = part.name().clone();
            if let Some(path) = part.keep()? {
                kept.insert(name, path);
            }
        }
        Ok(kept)
    }
}

fn code_cache() -> Option<CodeCache> {
    CodeCache::open(&opening::cache("code")?).ok()
}

fn open_inputs(
    spec: &BTreeMap<Name, isobit_job::Blob>,
    paths: &BTreeMap<Name, PathBuf>,
) -> anyhow::Result<BTreeMap<Name, Input>> {
    let mut inputs = BTreeMap::new();
    for (name, blob) in spec {
        let path = paths.get(name).ok_or_else(|| Failure::new(format!("the input {name} is not given")))?;
        let file = File::open(path)
            .map_err(|error| Failure::new(format!("cannot read the input {name}, {}: {error}", path.display())))?;
        inputs.insert(name.clone(), Input { file, size: blob.size.get() });
    }
    Ok(inputs)
}

fn faulted(fault: &isobit_sandbox::Fault) -> anyhow::Error {
    match fault.kind {
        FaultKind::Cancelled => Failure::new("cancelled").status(Status::Cancelled).into(),
        FaultKind::Deadline => {
            Failure::new(fault.to_string()).hint("give it more time with --deadline").status(Status::Faulted).into()
        }
        _ => Failure::new(fault.to_string()).status(Status::Faulted).into(),
    }
}

/// Creates parts, and gets them back when the sandbox is done with them.
struct PartSink {
    wanted: BTreeMap<Name, PathBuf>,
    done: Sender<Part>,
}

impl OutputSink for PartSink {
    fn create(&mut self, name: &Name) -> io::Result<Box<dyn Write + Send>> {
        let part = Part::create(name.clone(), self.wanted.get(name).cloned()).map_err(io::Error::other)?;
        Ok(Box::new(Loan { part: Some(part), done: Mutex::new(self.done.clone()) }))
    }
}

/// A part on loan to the sandbox; goes home when dropped.
struct Loan {
    part: Option<Part>,
    done: Mutex<Sender<Part>>,
}

impl Write for Loan {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.part.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let (Some(part), Ok(done)) = (self.part.take(), self.done.get_mut()) {
            // Nobody waits for it when the job has faulted.
            let _ = done.send(part);
        }
    }
}

fn collect(parts: &Receiver<Part>) -> Vec<Part> {
    parts.try_iter().collect()
}
