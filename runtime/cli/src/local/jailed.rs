//! The job in a process of its own, in the jail of a provider's worker: the guest is a stranger's here too. This process compiles nothing, opens no
//! driver, and believes the worker no more than a provider does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use isobit_device::{RaceReport, SpotChecks};
use isobit_job::{Ended, Fault, FaultKind, Instead, Millis, Observed, Outcome};
use isobit_renter::Part;
use isobit_sandbox::CodeCache;
use isobit_worker::word::{self, Budget};
use isobit_worker::{
    ChannelError, CodeFile, DeviceSummary, FromWorker, SpawnError, ToWorker, Worker, WorkerCommand, output_of, sealed,
};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

use super::{LocalJob, LocalRun, code_cache, not_a_workload, open_inputs};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::probing::{self, Watch};
use crate::{interrupt, opening};

/// Time after the deadline for the worker to end the job on its own, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes taken from an output's pipe at once.
const PIECE: usize = 64 << 10;

/// Runs the job. When this process is asked to stop, the worker is killed.
pub(super) fn run(job: &LocalJob<'_>) -> anyhow::Result<LocalRun> {
    let asked = Arc::new(Notify::new());
    let stop = Arc::clone(&asked);
    interrupt::stop_when_asked(move || stop.notify_one());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ran = run_in_worker(job) => ran,
            () = asked.notified() => Err(job.faulted(&FaultKind::Cancelled.into())),
        }
    })
}

async fn run_in_worker(job: &LocalJob<'_>) -> anyhow::Result<LocalRun> {
    let arrived = Instant::now();
    let mut worker = start(job).await?;
    let deadline = Instant::now() + job.deadline;
    let mut running = Running::new(job, &worker);
    running.hand_over(&mut worker).await?;
    let ended = tokio::time::timeout_at((deadline + GRACE).into(), running.until_ended(&mut worker)).await;
    let ended = ended.unwrap_or_else(|_| Err(job.faulted(&FaultKind::Deadline.into())))?;
    // It has nothing more to say, and holds the device.
    worker.kill().await;
    running.finish(ended, arrived)
}

/// Starts a worker. If its device has not been probed, a process that is in no jail probes it first, since the verdict is to be kept.
async fn start(job: &LocalJob<'_>) -> anyhow::Result<Worker> {
    let program = std::env::current_exe()?;
    let device = if job.detect_races { "cpu".to_owned() } else { job.device.to_string() };
    let class = job.submission.spec().class;
    let command = |verdicts: Option<&Path>| {
        let off = SpotChecks::OFF.to_string();
        let mut args: Vec<OsString> =
            ["worker", "--probed-elsewhere", "--device", &device, "--spot-checks", &off].map(Into::into).to_vec();
        args.extend(["--class", class.as_str()].map(Into::into));
        args.extend((0..job.printer.verbosity()).map(|_| "-v".into()));
        args.extend(job.printer.is_quiet().then(|| "-q".into()));
        args.extend(job.allow_weak_jail.then(|| "--allow-weak-jail".into()));
        args.extend(verdicts.into_iter().flat_map(|folder| ["--verdicts".into(), folder.into()]));
        WorkerCommand { program: program.clone(), args, groups: None }
    };
    let verdicts = opening::verdicts();
    let worker = match Worker::start(&command(verdicts.as_deref())).await {
        Err(SpawnError::Unprobed) => {
            let temporary = tempfile::tempdir()?;
            let folder = verdicts.filter(|folder| is_writable(folder, job.printer));
            let command = command(Some(folder.as_deref().unwrap_or(temporary.path())));
            probe(&command, job.printer)?;
            Worker::start(&command).await
        }
        started => started,
    };
    let worker = worker.map_err(|error| match error {
        SpawnError::Unusable { message, hint } => Failure::new(message).hint(hint),
        error => Failure::new(error.to_string()).hint("try `isobit devices`; a driver may be broken"),
    })?;
    for gap in &worker.gaps {
        let text = format!("the job is jailed without {gap}");
        if gap.required { job.printer.warn(text) } else { job.printer.detail(text) }
    }
    if let Some(failure) = &worker.integers_only {
        job.printer.detail(format_args!("{} computes with integers only: {failure}", worker.device.name));
    }
    Ok(worker)
}

/// Probes the device, and shows how far that is. A driver that crashes takes no more with it than the process that probes it.
fn probe(command: &WorkerCommand, printer: &Printer) -> anyhow::Result<()> {
    let mut watch = Watch::new(printer);
    let mut probe = Command::new(&command.program);
    // What is wrong with the device is for the worker to say, which opens it next.
    probing::run(probe.args(&command.args).arg("--probe-only"), |event| watch.show(event))?;
    Ok(())
}

/// Whether a verdict can be kept in a folder.
fn is_writable(folder: &Path, printer: &Printer) -> bool {
    let written = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    if let Err(error) = &written {
        let folder = folder.display();
        printer.warn(format_args!(
            "what the probe finds cannot be kept in {folder}, and is found anew each time: {error}"
        ));
    }
    written.is_ok()
}

/// The state of a run.
struct Running<'a> {
    job: &'a LocalJob<'a>,
    code: Option<CodeCache>,
    code_key: String,
    /// The file that the worker compiles into.
    scratch: Option<File>,
    relays: JoinSet<Result<Part, Fault>>,
    parts: Vec<Part>,
    /// The outputs that have begun since the start, or since the job began anew.
    begun: u32,
    budget: Budget,
    races: Option<RaceReport>,
    device: DeviceSummary,
    instead_of: Option<Instead>,
    started: Option<(Instant, SystemTime)>,
}

impl<'a> Running<'a> {
    fn new(job: &'a LocalJob<'a>, worker: &Worker) -> Self {
        Self {
            job,
            code: code_cache(),
            code_key: worker.code_key.clone(),
            scratch: None,
            relays: JoinSet::new(),
            parts: Vec::new(),
            begun: 0,
            budget: Budget::new(job.submission.spec().limits.output_bytes),
            races: None,
            device: worker.device.clone(),
            instead_of: None,
            started: None,
        }
    }

    /// Sends the worker its job, with the workload as it was read and hashed, and with code that was compiled before, if there is any.
    async fn hand_over(&mut self, worker: &mut Worker) -> anyhow::Result<()> {
        let spec = self.job.submission.spec();
        let cached = self.code.as_ref().and_then(|cache| cache.get(spec.workload.hash, &self.code_key));
        let code = if cached.is_some() { CodeFile::Compiled } else { CodeFile::Empty };
        let code_file = match cached {
            Some(file) => sealed(file)?,
            None => self.code.as_ref().map_or_else(tempfile::tempfile, CodeCache::scratch)?,
        };
        self.scratch = (code == CodeFile::Empty).then(|| code_file.try_clone()).transpose()?;
        let inputs = open_inputs(&spec.inputs, self.job.inputs)?;
        let files: Vec<File> = [sealed(self.job.workload.bytes())?, code_file]
            .into_iter()
            .chain(inputs.into_values().map(|input| input.file))
            .collect();
        let deadline_ms = u64::try_from(self.job.deadline.as_millis()).unwrap_or(u64::MAX);
        let start = ToWorker::Start {
            spec: spec.clone(),
            deadline_ms,
            code,
            // The deadline is reported, which has the better message.
            patience_ms: Some(deadline_ms.saturating_add(60_000)),
            detect_races: self.job.detect_races,
        };
        let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        worker.send(&start, &files).await.map_err(|error| self.died(&error))
    }

    /// Takes the worker's messages and outputs until the job has ended.
    async fn until_ended(&mut self, worker: &mut Worker) -> anyhow::Result<Ended> {
        let ended = loop {
            tokio::select! {
                message = worker.receive() => {
                    let (message, files) = message.map_err(|error| self.died(&error))?;
                    if let Some(ended) = self.take(worker, message, files).await? {
                        break ended;
                    }
                }
                Some(relayed) = self.relays.join_next() => self.keep(relayed)?,
            }
        };
        while let Some(relayed) = self.relays.join_next().await {
            self.keep(relayed)?;
        }
        Ok(ended)
    }

    async fn take(
        &mut self,
        worker: &mut Worker,
        message: FromWorker,
        files: Vec<OwnedFd>,
    ) -> anyhow::Result<Option<Ended>> {
        match message {
            FromWorker::Compiled => {
                self.keep_code()?;
                worker.send(&ToWorker::Run, &[]).await.map_err(|error| self.died(&error))?;
            }
            FromWorker::CodeRefused => {
                let workload = self.job.submission.spec().workload.hash;
                self.code.iter().for_each(|cache| cache.forget(workload, &self.code_key));
            }
            FromWorker::Started if self.started.is_none() => {
                self.started = Some((Instant::now(), SystemTime::now()));
                self.job.reporter.started();
            }
            FromWorker::Log { level, message } => self.job.reporter.log(level, &message),
            FromWorker::Progress { fraction, message } => {
                let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
                self.job.reporter.progress(fraction, &message);
            }
            FromWorker::Output { name } => self.open_output(&name, files)?,
            FromWorker::Restarted { device, reason } if self.instead_of.is_none() => {
                self.job.printer.note(format_args!("{reason}; running the job anew on {}", device.name));
                self.relays.shutdown().await;
                self.parts.clear();
                self.begun = 0;
                self.budget = self.budget.anew();
                self.job.places.restart();
                let before = std::mem::replace(&mut self.device, device);
                self.instead_of = Some(Instead { device: before.name, driver: before.driver, reason });
            }
            FromWorker::Races(report) if self.job.detect_races => self.races = Some(report),
            FromWorker::Ended(ended) => return Ok(Some(ended)),
            FromWorker::NotAWorkload { message } => return Err(not_a_workload(message)),
            FromWorker::Faulted(fault) => return Err(self.job.faulted(&fault)),
            // Nobody has asked this worker to check its device.
            FromWorker::Suspect { .. } => {}
            FromWorker::Started
            | FromWorker::Restarted { .. }
            | FromWorker::Races(_)
            | FromWorker::Ready { .. }
            | FromWorker::Unprobed
            | FromWorker::Unusable { .. } => return Err(self.died(&ChannelError::Broken("it came out of turn"))),
        }
        Ok(None)
    }

    fn keep_code(&mut self) -> anyhow::Result<()> {
        let scratch = self.scratch.take().ok_or_else(|| self.died(&ChannelError::Broken("it came out of turn")))?;
        let workload = self.job.submission.spec().workload.hash;
        if let Some(Err(error)) = self.code.as_ref().map(|cache| cache.keep(workload, &self.code_key, scratch)) {
            self.job.printer.detail(format_args!("compiled code could not be kept: {error}"));
        }
        Ok(())
    }

    fn open_output(&mut self, name: &str, files: Vec<OwnedFd>) -> anyhow::Result<()> {
        let named = word::output(name, files, self.begun, self.job.submission.spec());
        let (name, pipe) = named.map_err(|error| self.died(&error))?;
        self.begun += 1;
        let storage = |error| self.job.faulted(&Fault::storage("the output could not be created", &error));
        let part = self.job.begin(&name).map_err(storage)?;
        self.relays.spawn(relay(part, pipe, self.budget.clone()));
        Ok(())
    }

    fn keep(&mut self, relayed: Result<Result<Part, Fault>, JoinError>) -> anyhow::Result<()> {
        let part = relayed.unwrap_or_else(|error| Err(Fault::new(FaultKind::Internal, error)));
        self.parts.push(part.map_err(|fault| self.job.faulted(&fault))?);
        Ok(())
    }

    fn died(&self, error: &ChannelError) -> anyhow::Error {
        self.job.faulted(&Fault::new(FaultKind::WorkerDied, error))
    }

    /// What the worker says of the run is kept as far as it can be true.
    fn finish(self, ended: Ended, arrived: Instant) -> anyhow::Result<LocalRun> {
        let spec = self.job.submission.spec();
        let unread = word::unread(&ended, spec);
        let unread = unread.map_err(|said| self.job.faulted(&Fault::new(FaultKind::Internal, said)))?;
        let (started, since) = self.started.unwrap_or_else(|| (Instant::now(), SystemTime::now()));
        let since_epoch = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let observed = Observed {
            device: self.device.name,
            driver: self.device.driver,
            backend: self.device.backend,
            software: isobit_renter::SOFTWARE.to_owned(),
            started_unix_ms: Millis::from_duration(since_epoch),
            queue_ms: Millis::ZERO,
            prepare_ms: Millis::from_duration(started.duration_since(arrived)),
            run_ms: Millis::from_duration(started.elapsed()),
            instead_of: self.instead_of,
        };
        let parts = (ended.outcome == Outcome::Completed).then_some(self.parts);
        let outputs = parts.iter().flatten().map(|part| (part.name().clone(), part.blob())).collect();
        let claim = ended.claim(spec.id(), outputs);
        let races = self.job.detect_races.then(|| self.races.unwrap_or_default());
        Ok(LocalRun { claim, observed: observed.bounded(), races, unread, outputs: parts })
    }
}

/// Writes what comes out of an output's pipe to its place, until the worker closes it.
async fn relay(mut part: Part, pipe: OwnedFd, budget: Budget) -> Result<Part, Fault> {
    let broken = |error: io::Error| Fault::new(FaultKind::WorkerDied, format_args!("the pipe of an output: {error}"));
    let mut pipe = output_of(pipe).map_err(broken)?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = pipe.read(&mut piece).await.map_err(broken)?;
        if count == 0 {
            return Ok(part);
        }
        let length = u64::try_from(count).unwrap_or(u64::MAX);
        if !budget.take(length) {
            return Err(Fault::new(FaultKind::WorkerDied, "it wrote more than the job may"));
        }
        let written = part.write_all(piece.get(..count).unwrap_or_default());
        written.map_err(|error| Fault::storage("the output could not be written", &error))?;
    }
}
