//! The job in this process, for systems without a jail and for `isobit profile`.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isobit_device::probe::Verdict;
use isobit_device::{Device, DeviceInfo, Policy, RaceLog, Timeline, open_cpu};
use isobit_job::{Fault, Name, Outcome};
use isobit_renter::{Part, Places};
use isobit_runner::{Embedder, Task};
use isobit_sandbox::{Interrupt, OutputSink, Reporter, Sandbox};

use super::{LocalJob, LocalRun, code_cache, not_a_workload, open_inputs, unwanted};
use crate::printer::Printer;
use crate::probing::{InChild, Watch};
use crate::{interrupt, opening};

pub(super) fn run(job: &LocalJob<'_>, timeline: Option<&Timeline>) -> anyhow::Result<LocalRun> {
    let arrived = Instant::now();
    let sandbox = Sandbox::new()?;
    let (device, races) = open_device(job, timeline)?;
    let compiled = match code_cache() {
        Some(cache) => cache.load_or_compile(&sandbox, job.workload),
        None => sandbox.compile(job.workload),
    };
    let compiled = compiled.map_err(not_a_workload)?;
    let spec = job.submission.spec();
    let inputs = open_inputs(&spec.inputs, job.inputs)?;
    let prepare = arrived.elapsed();
    let deadline = Instant::now() + job.deadline;
    let embedder = Here { job, parts: Mutex::default() };
    let task = Task { spec, inputs: &inputs, device, deadline };
    let run = isobit_runner::run(&compiled, task, &embedder).map_err(|fault| job.faulted(&fault))?;
    let observed = run.observed(isobit_renter::SOFTWARE, prepare);
    let unread = run.ended.unread.clone();
    let parts = (run.ended.outcome == Outcome::Completed).then(|| embedder.parts());
    let outputs = parts.iter().flatten().map(|part| (part.name().clone(), part.blob())).collect();
    let claim = run.ended.claim(spec.id(), outputs);
    let races = races.map(|races| races.report());
    Ok(LocalRun { claim, observed, races, unread, outputs: parts })
}

/// Opens the device, with a log if races are looked for, and with this timeline.
fn open_device(job: &LocalJob<'_>, timeline: Option<&Timeline>) -> anyhow::Result<(Device, Option<RaceLog>)> {
    // Longer than the deadline, so that the deadline is reported, which has the better message.
    let patience = job.deadline.saturating_add(Duration::from_secs(60));
    let races = job.detect_races.then(RaceLog::default);
    let device = match job.detect_races {
        true => open_cpu().map_err(opening::no_device)?,
        false => open(job)?,
    };
    let policy = Policy { patience, races: races.clone(), timeline: timeline.cloned(), ..Policy::default() };
    Ok((device.with(policy), races))
}

/// Opens the job's device, which is probed if it is not known yet.
fn open(job: &LocalJob<'_>) -> anyhow::Result<Device> {
    let verdicts = opening::verdicts();
    let mut watch = Watch::new(job.printer);
    let mut told = |event| watch.show(event);
    let mut prober = InChild::new(verdicts.as_deref(), &mut told);
    let (device, verdict) =
        isobit_device::open_probed(job.device, job.submission.spec().class, verdicts.as_deref(), &mut prober)
            .map_err(opening::no_device)?;
    if let Some(Verdict { failure: Some(failure), .. }) = verdict {
        job.printer.detail(format_args!("{} computes with integers only: {failure}", device.info().name));
    }
    Ok(device)
}

/// Takes a job's outputs as parts, and reports to the user.
struct Here<'a> {
    job: &'a LocalJob<'a>,
    /// Where the sandbox gives back the parts of the last attempt.
    parts: Mutex<Option<Receiver<Part>>>,
}

impl Here<'_> {
    fn parts(&self) -> Vec<Part> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().flat_map(Receiver::try_iter).collect()
    }
}

impl Embedder for Here<'_> {
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
        interrupt::stop_when_asked(move || interrupt.cancel());
    }

    fn restarting(&self, device: &DeviceInfo, reason: &Fault) -> Result<(), Fault> {
        self.job.printer.note(format_args!("{reason}; running the job anew on {}", device.name));
        self.job.places.restart();
        Ok(())
    }
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
