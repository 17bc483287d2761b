//! A job run on this machine, in this process: what `isobit run` and `isobit verify --rerun` share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use isobit_device::{CpuDevice, Device, DeviceInfo, DeviceKind, DeviceSelector, RaceLog, RaceReport};
use isobit_job::{Claim, Instead, Millis, Name, Observed, Outcome, Unread};
use isobit_renter::{Part, Places, Submission};
use isobit_sandbox::{
    CodeCache, CompiledWorkload, Fault, FaultKind, FinishedJob, Input, Interrupt, Job, OutputSink, Reporter, Sandbox,
    Workload,
};

use crate::failure::{Failure, Status};
use crate::opening;
use crate::printer::Printer;

/// What to run, and on what.
pub struct LocalJob<'a> {
    pub submission: &'a Submission,
    pub workload: &'a Workload,
    pub inputs: &'a BTreeMap<Name, PathBuf>,
    pub device: &'a DeviceSelector,
    /// On the CPU device, whichever is selected: look for races.
    pub detect_races: bool,
    pub deadline: Duration,
    /// Where outputs are wanted.
    pub places: &'a Arc<Places>,
    /// Warn of outputs that are not wanted.
    pub tell_unwanted: bool,
    pub reporter: Arc<dyn Reporter>,
    pub printer: &'a Printer,
}

/// What came of it.
pub struct LocalRun {
    pub claim: Claim,
    pub observed: Observed,
    /// What was found, if it was looked for.
    pub races: Option<RaceReport>,
    /// What of the job the workload never looked at.
    pub unread: Unread,
    /// The outputs, for [`Places::keep`]; none if the job trapped.
    pub outputs: Option<Vec<Part>>,
}

impl LocalJob<'_> {
    /// Compiles or loads, and runs. `started` is given a handle that stops the job. Where the device cannot run it to its
    /// end, it runs anew on the CPU device.
    pub fn run(self, started: impl Fn(Interrupt)) -> anyhow::Result<LocalRun> {
        let arrived = Instant::now();
        let sandbox = Sandbox::new()?;
        let (device, races) = self.open_device()?;
        let compiled = match code_cache() {
            Some(cache) => cache.load_or_compile(&sandbox, self.workload),
            None => sandbox.compile(self.workload),
        };
        let compiled =
            compiled.map_err(|error| Failure::new(error.to_string()).hint("look at it with `isobit inspect`"))?;
        let mut observed = unobserved(device.info());
        let deadline = Instant::now() + self.deadline;
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begun = Instant::now();
        let on_interpreter = device.info().kind == DeviceKind::Interpreter;
        let attempt = match self.attempt(&compiled, device, deadline, &started)? {
            Err(fault) if fault.kind == FaultKind::LeftLoop && !on_interpreter => {
                let device = CpuDevice::open().map_err(opening::no_device)?;
                let reason = fault.message;
                self.printer.note(format_args!("{reason}; running the job anew on {}", device.info().name));
                let Observed { device: name, driver, .. } = observed;
                observed = unobserved(device.info());
                observed.instead_of = Some(Instead { device: name, driver, reason });
                self.places.restart();
                self.attempt(&compiled, Box::new(device), deadline, &started)?
            }
            attempt => attempt,
        };
        let (finished, parts) = attempt.map_err(|fault| self.faulted(&fault))?;
        observed.started_unix_ms = Millis::from_duration(since_epoch);
        observed.prepare_ms = Millis::from_duration(begun.duration_since(arrived));
        observed.run_ms = Millis::from_duration(begun.elapsed());
        let FinishedJob { rules, outcome, fuel, unread, .. } = finished;
        let completed = (outcome == Outcome::Completed).then_some(parts);
        let outputs = completed.iter().flatten().map(|part| (part.name().clone(), part.blob())).collect();
        let claim = Claim { job: self.submission.spec().id(), rules, outcome, outputs, fuel };
        let races = races.map(|races| races.report());
        Ok(LocalRun { claim, observed: observed.bounded(), races, unread, outputs: completed })
    }

    /// One run on one device. A fault is for the caller to judge.
    fn attempt(
        &self,
        compiled: &CompiledWorkload,
        device: Box<dyn Device>,
        deadline: Instant,
        started: &impl Fn(Interrupt),
    ) -> anyhow::Result<Result<(FinishedJob, Vec<Part>), Fault>> {
        let spec = self.submission.spec();
        let (done, parts) = channel();
        let told = self.tell_unwanted.then(|| self.printer.clone());
        let sink = PartSink { places: Arc::clone(self.places), told, done };
        let job = Job {
            spec: spec.clone(),
            inputs: open_inputs(&spec.inputs, self.inputs)?,
            device,
            outputs: Box::new(sink),
            reporter: Arc::clone(&self.reporter),
            deadline: Some(deadline),
        };
        Ok(compiled.prepare(job).and_then(|prepared| {
            started(prepared.interrupt());
            prepared.run().map(|finished| (finished, collect(&parts)))
        }))
    }

    /// Trouble of this machine's own, and what to do about it.
    fn faulted(&self, fault: &Fault) -> anyhow::Error {
        let failure = Failure::new(fault.to_string()).status(Status::Faulted);
        match fault.kind {
            FaultKind::Cancelled => Failure::new("cancelled").status(Status::Cancelled),
            FaultKind::Deadline => Failure::new(format!("{} of {:?}", fault.message, self.deadline))
                .hint("give it more time with --deadline")
                .status(Status::Faulted),
            // Not the device's trouble: the disk's, or that of who named the place.
            FaultKind::Io => Failure::new(fault.message.clone())
                .hint("look at the files given with -i and -o, and at the room on their disks"),
            FaultKind::Stack => failure,
            _ => failure.hint("run it again, or on another device with --device: cpu needs no driver"),
        }
        .into()
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
        instead_of: None,
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

/// Creates parts, and gets them back when the sandbox is done with them.
struct PartSink {
    places: Arc<Places>,
    /// Is told of outputs that nobody asked for.
    told: Option<Printer>,
    done: Sender<Part>,
}

impl OutputSink for PartSink {
    fn create(&mut self, name: &Name) -> io::Result<Box<dyn Write + Send>> {
        let part = self.places.begin(name)?;
        if let Some(printer) = self.told.as_ref().filter(|_| !self.places.wants(name)) {
            printer.warn(unwanted(name));
        }
        Ok(Box::new(Loan { part: Some(part), done: Mutex::new(self.done.clone()) }))
    }
}

/// Tells of an output that nobody asked for.
pub fn unwanted(name: &Name) -> String {
    format!("the workload writes an output `{name}` that is not asked for; keep it with -o {name}=PATH")
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
