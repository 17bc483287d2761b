//! A job run on this machine, in this process: what `isobit run` and `isobit verify --rerun` share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isobit_device::{Device, DeviceInfo, DeviceSelector, Policy, RaceLog, RaceReport, open_cpu};
use isobit_job::{Claim, Fault, FaultKind, Name, Observed, Outcome, Unread};
use isobit_renter::{Part, Places, Submission};
use isobit_runner::{Embedder, Task};
use isobit_sandbox::{CodeCache, Input, Interrupt, OutputSink, Reporter, Sandbox, Workload};

use crate::failure::{Failure, Status};
use crate::opening;
use crate::printer::Printer;

/// What to run, and on what.
pub struct LocalJob<'a> {
    pub submission: &'a Submission,
    pub workload: &'a Workload,
    pub inputs: &'a BTreeMap<Name, PathBuf>,
    pub device: &'a DeviceSelector,
    /// Look for races, on the CPU device, whichever device is selected.
    pub detect_races: bool,
    pub deadline: Duration,
    /// Where outputs go.
    pub places: &'a Arc<Places>,
    /// Warn of outputs that are not wanted.
    pub tell_unwanted: bool,
    pub reporter: Arc<dyn Reporter>,
    pub printer: &'a Printer,
}

/// The result of a local run.
pub struct LocalRun {
    pub claim: Claim,
    pub observed: Observed,
    /// The races that were found, if they were looked for.
    pub races: Option<RaceReport>,
    /// The parameters and inputs that the workload never read.
    pub unread: Unread,
    /// The outputs, for [`Places::keep`]; none if the job trapped.
    pub outputs: Option<Vec<Part>>,
}

impl LocalJob<'_> {
    /// Compiles or loads the workload, and runs the job. `started` gets a handle that stops the job.
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
        let spec = self.submission.spec();
        let inputs = open_inputs(&spec.inputs, self.inputs)?;
        let prepare = arrived.elapsed();
        let deadline = Instant::now() + self.deadline;
        let embedder = Here { job: &self, started, parts: Mutex::default() };
        let task = Task { spec, inputs: &inputs, device, deadline };
        let run = isobit_runner::run(&compiled, task, &embedder).map_err(|fault| self.faulted(&fault))?;
        let observed = run.observed(isobit_renter::SOFTWARE, prepare);
        let unread = run.ended.unread.clone();
        let parts = (run.ended.outcome == Outcome::Completed).then(|| embedder.parts());
        let outputs = parts.iter().flatten().map(|part| (part.name().clone(), part.blob())).collect();
        let claim = run.ended.claim(spec.id(), outputs);
        let races = races.map(|races| races.report());
        Ok(LocalRun { claim, observed, races, unread, outputs: parts })
    }

    /// A fault of this machine as an error, with what to do about it.
    fn faulted(&self, fault: &Fault) -> anyhow::Error {
        match fault.kind {
            FaultKind::Cancelled => Failure::new("cancelled").status(Status::Cancelled),
            FaultKind::Deadline => {
                Failure::new(format!("{fault} of {:?}", self.deadline)).hint(fault.kind.hint()).status(Status::Faulted)
            }
            // Not the device's trouble: a disk, or a path that the user gave.
            FaultKind::Storage => Failure::new(fault.detail.clone())
                .hint("look at the files given with -i and -o, and at the room on their disks"),
            kind => Failure::new(fault.to_string()).hint(kind.hint()).status(Status::Faulted),
        }
        .into()
    }

    /// Opens the device, with a log if races are looked for.
    fn open_device(&self) -> anyhow::Result<(Device, Option<RaceLog>)> {
        // Longer than the deadline, so that the deadline is reported, which has the better message.
        let patience = self.deadline.saturating_add(Duration::from_secs(60));
        let races = self.detect_races.then(RaceLog::default);
        let device = match self.detect_races {
            true => open_cpu().map_err(opening::no_device)?,
            false => opening::open(self.device, self.printer)?,
        };
        Ok((device.with(Policy { patience, races: races.clone(), ..Policy::default() }), races))
    }
}

/// Takes a job's outputs as parts, and reports to the user.
struct Here<'a, F> {
    job: &'a LocalJob<'a>,
    started: F,
    /// Where the sandbox gives back the parts of the last attempt.
    parts: Mutex<Option<Receiver<Part>>>,
}

impl<F> Here<'_, F> {
    fn parts(&self) -> Vec<Part> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().flat_map(Receiver::try_iter).collect()
    }
}

impl<F: Fn(Interrupt)> Embedder for Here<'_, F> {
    fn outputs(&self) -> Box<dyn OutputSink> {
        let told = self.job.tell_unwanted.then(|| self.job.printer.clone());
        let (done, parts) = channel();
        *self.parts.lock().unwrap_or_else(PoisonError::into_inner) = Some(parts);
        Box::new(PartSink { places: Arc::clone(self.job.places), told, done })
    }

    fn reporter(&self, _: bool) -> Arc<dyn Reporter> {
        Arc::clone(&self.job.reporter)
    }

    fn starting(&self, interrupt: Interrupt) {
        (self.started)(interrupt);
    }

    fn restarting(&self, device: &DeviceInfo, reason: &Fault) -> Result<(), Fault> {
        self.job.printer.note(format_args!("{reason}; running the job anew on {}", device.name));
        self.job.places.restart();
        Ok(())
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

/// Creates parts. Each is sent to `done` when the sandbox is done with it.
struct PartSink {
    places: Arc<Places>,
    /// Where to warn of outputs that were not asked for.
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

/// The warning about an output that was not asked for.
pub fn unwanted(name: &Name) -> String {
    format!("the workload writes an output `{name}` that is not asked for; keep it with -o {name}=PATH")
}

/// A part lent to the sandbox. It is sent back when dropped.
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
            // The receiver is gone if the job has faulted.
            let _ = done.send(part);
        }
    }
}
