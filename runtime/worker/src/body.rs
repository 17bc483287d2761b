//! What a worker process does: opens engine and device, takes one job, runs it, ends.

use crate::channel::{self, ChannelError, Inbox, receive};
use crate::jail::{self, Gap, Phase, Reach, Wall, Wrong};
use crate::{CodeFile, DeviceSummary, FromWorker, ToWorker};
use isobit_device::probe::{InProcess, Prober, Progress, Verdict};
use isobit_device::{Adapter, Device, DeviceInfo, DeviceSelector, OpenError, Policy, RaceLog, SpotChecks};
use isobit_job::{DeviceClass, Fault, FaultKind, JobSpec, LogLevel, Name};
use isobit_runner::{Embedder, Task};
use isobit_sandbox::{CompiledWorkload, Input, OutputSink, Reporter, Sandbox, TrustedCode, Workload};
use rustix::process::{Resource, Rlimit};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Bytes in the pipe of an output: 1 MiB, the most that an unprivileged process may ask for.
const PIPE: usize = 1 << 20;

/// The most bytes of a file that a worker writes: compiled code is the longest.
pub const MAX_FILE: u64 = 512 << 20;

/// The most descriptors that a worker has open: of 256 inputs, of outputs, and of a driver that has many.
const MAX_OPEN: u64 = 4096;

/// Stack of the job's thread, which compiles the workload. The guest runs on a thread of its own.
const JOB_STACK: usize = 64 << 20;

/// Why a worker process ended early.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum WorkerError {
    #[error("a worker is started by `isobit serve`, not by hand: {0}")]
    NotAWorker(io::Error),
    /// The supervisor is gone, or sent a broken message.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// How a worker is to be.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The device.
    pub device: &'a DeviceSelector,
    /// The class that the device has to have.
    pub class: DeviceClass,
    /// The share of workgroups to check.
    pub spot_checks: SpotChecks,
    /// The folder with verdicts of the probe.
    pub verdicts: Option<&'a Path>,
    /// Say [`FromWorker::Unprobed`] where there is no verdict, instead of probing the device in this process.
    pub probed_elsewhere: bool,
    /// What becomes of it where the system cannot close the jail.
    pub jail: Jail,
}

/// Runs a worker process. Its standard input is the parent's socket; it exits when the parent is gone.
/// Call it at the start of the process: it closes all that is open, and may go on in a child.
///
/// # Errors
/// Fails if the communication with the parent breaks. Trouble with the job is reported to the parent instead.
pub fn run(options: &Options<'_>) -> Result<(), WorkerError> {
    let &Options { device: selector, class, spot_checks, verdicts, jail, .. } = options;
    // The jail has another working folder.
    let verdicts = verdicts.map(std::path::absolute).transpose().map_err(WorkerError::NotAWorker)?;
    let verdicts = verdicts.as_deref();
    let wrong = if jail == Jail::Weak { Wrong::Fails } else { Wrong::Ends };
    let mut gaps = enter(verdicts, wrong);
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(WorkerError::NotAWorker)?;
    let socket = UnixStream::from(socket);
    socket.peer_addr().map_err(WorkerError::NotAWorker)?;
    let supervisor = Supervisor(Arc::new(Mutex::new(socket.try_clone().map_err(WorkerError::NotAWorker)?)));
    let mut prober = Probes { elsewhere: options.probed_elsewhere, is_missed: false };
    let opened = accept(&gaps, jail).and_then(|()| open(selector, class, verdicts, &mut prober)).and_then(|opened| {
        gaps.extend(jail::close_calls(Phase::Job, wrong).err().map(|reason| Gap::new(Wall::Calls, reason)));
        accept(&gaps, jail).map(|()| opened)
    });
    let (sandbox, opened) = match opened {
        Ok(opened) => opened,
        Err(_) if prober.is_missed => return Ok(supervisor.send(&FromWorker::Unprobed, &[])?),
        Err((message, hint)) => return Ok(supervisor.send(&FromWorker::Unusable { message, hint }, &[])?),
    };
    let (device, code_key) = (summary(opened.0.info()), sandbox.code_key().as_str().to_owned());
    let integers_only = opened.1.as_ref().and_then(|verdict| verdict.failure.as_ref()).map(ToString::to_string);
    let suspicion = opened.0.suspicion();
    supervisor.send(&FromWorker::Ready { device, code_key, integers_only, suspicion, gaps }, &[])?;
    let mut inbox = Inbox::default();
    let start = match Start::receive(&socket, &mut inbox) {
        Err(ChannelError::Closed) => return Ok(()),
        start => start?,
    };
    limit(Resource::Data, crate::memory_for(&start.spec.limits));
    // This worker may have waited for long; a job of another worker may have shown meanwhile that the device miscomputes.
    let device = match isobit_device::reopen_if_demoted(opened, selector, class, verdicts) {
        Ok((device, _)) => device,
        Err(error) => {
            let fault = Fault::new(FaultKind::DeviceLost, error);
            return Ok(supervisor.send(&FromWorker::Faulted(fault), &[])?);
        }
    };
    let races = start.detect_races.then(RaceLog::default);
    let patience = start.patience.unwrap_or(Policy::default().patience);
    let device = device.with(Policy { spot_checks, patience, races: races.clone(), ..Policy::default() });
    let told = supervisor.clone();
    let device =
        device.tell_suspicions(move |what| drop(told.send(&FromWorker::Suspect { what: what.to_owned() }, &[])));
    let go = watch(socket, inbox);
    let thread = std::thread::Builder::new().name("job".into()).stack_size(JOB_STACK);
    let report = supervisor.clone();
    let job = thread.spawn(move || start.run(&sandbox, device, &report, &go)).map_err(ChannelError::Io)?;
    match job.join() {
        Ok(last) => {
            let last = last?;
            if let Some(races) = races {
                supervisor.send(&FromWorker::Races(races.report()), &[])?;
            }
            Ok(supervisor.send(&last, &[])?)
        }
        // The panic's message went to standard error; the supervisor sees the process end without a message.
        Err(_) => std::process::exit(101),
    }
}

/// What becomes of a worker whose jail the system cannot close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jail {
    /// It takes no job.
    Required,
    /// It takes jobs in the jail that there is, and a system call that is not allowed only fails.
    Weak,
}

const WEAK_HINT: &str =
    "use a kernel with Landlock (Linux 5.13, better 6.12), or accept the risk with `--allow-weak-jail`";

/// Closes the jail of a worker around this process, to find out how far the system lets it. May go on in a child, and closes all that is open.
pub fn try_jail() -> Vec<Gap> {
    // A parent makes groups, and only a provider does.
    let group = crate::groups::missing().map(|reason| Gap::new(Wall::Group, reason));
    let mut gaps = enter(None, Wrong::Ends);
    gaps.extend(group);
    gaps.extend(jail::close_calls(Phase::Job, Wrong::Ends).err().map(|reason| Gap::new(Wall::Calls, reason)));
    gaps
}

/// The first step into the jail.
fn enter(verdicts: Option<&Path>, wrong: Wrong) -> Vec<Gap> {
    limit(Resource::Core, 0);
    limit(Resource::Fsize, MAX_FILE);
    limit(Resource::Nofile, MAX_OPEN);
    let more: Vec<_> = jail::drivers_folders().into_iter().chain(verdicts.map(Path::to_owned)).collect();
    let gaps = jail::enter(&Reach::with(&more), wrong);
    // The system counts by users: one that others are too would be counted with their processes.
    if !gaps.iter().any(|gap| gap.wall == Wall::Namespaces) && !rustix::process::geteuid().is_root() {
        limit(Resource::Nproc, crate::MAX_THREADS);
    }
    gaps
}

/// Whether a worker may run in a jail with these gaps; why not, and what to do.
fn accept(gaps: &[Gap], jail: Jail) -> Result<(), (String, String)> {
    match (gaps.iter().find(|gap| gap.required), jail) {
        (Some(gap), Jail::Required) => Err((format!("a worker cannot be jailed here: {gap}"), WEAK_HINT.to_owned())),
        _ => Ok(()),
    }
}

/// Has the system hold this process to a limit for good. What it does not grant, other limits hold.
fn limit(resource: Resource, most: u64) {
    let before = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let most = Some(most.min(before));
    rustix::process::setrlimit(resource, Rlimit { current: most, maximum: most }).ok();
}

/// A device as the parent is told of it.
fn summary(info: &DeviceInfo) -> DeviceSummary {
    DeviceSummary {
        name: info.name.clone(),
        driver: info.driver.clone(),
        backend: info.backend.clone(),
        classes: info.classes.iter().copied().collect(),
    }
}

/// A device, and what the probe found out about it.
type Opened = (Device, Option<Verdict>);

/// Probes in this process, unless another is to do it.
struct Probes {
    elsewhere: bool,
    /// Another is to do it, and has not.
    is_missed: bool,
}

impl Prober for Probes {
    fn probe(&mut self, adapter: &Adapter) -> Result<Verdict, OpenError> {
        self.is_missed = self.elsewhere;
        match self.elsewhere {
            true => {
                Err(OpenError::Refused { name: adapter.info().name.clone(), reason: "it has not been probed".into() })
            }
            false => InProcess(|_: Progress<'_>| ()).probe(adapter),
        }
    }
}

fn open(
    selector: &DeviceSelector,
    class: DeviceClass,
    verdicts: Option<&Path>,
    prober: &mut Probes,
) -> Result<(Sandbox, Opened), (String, String)> {
    let sandbox = Sandbox::new().map_err(|error| (error.to_string(), String::new()))?;
    let opened = isobit_device::open_probed(selector, class, verdicts, prober);
    Ok((sandbox, opened.map_err(|error| (error.to_string(), error.hint().to_owned()))?))
}

/// Reads from the supervisor while the job runs, and exits when the supervisor is gone. Passes `Run` on.
fn watch(socket: UnixStream, mut inbox: Inbox) -> mpsc::Receiver<()> {
    let (go, run) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((ToWorker::Run, _)) = receive(&socket, &mut inbox) {
            go.send(()).ok();
        }
        std::process::exit(1);
    });
    run
}

/// The worker's end of the socket.
#[derive(Clone)]
struct Supervisor(Arc<Mutex<UnixStream>>);

impl Supervisor {
    fn send(&self, message: &FromWorker, files: &[std::os::fd::BorrowedFd<'_>]) -> Result<(), ChannelError> {
        channel::send(&*self.0.lock().unwrap_or_else(PoisonError::into_inner), message, files)
    }
}

impl Reporter for Supervisor {
    fn started(&self) {
        self.send(&FromWorker::Started, &[]).ok();
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.send(&FromWorker::Log { level, message: message.to_owned() }, &[]).ok();
    }

    fn progress(&self, fraction: f32, message: &str) {
        self.send(&FromWorker::Progress { fraction, message: message.to_owned() }, &[]).ok();
    }
}

/// Reports a job that runs again, without `Started`, which was sent the first time.
struct Again(Supervisor);

impl Reporter for Again {
    fn log(&self, level: LogLevel, message: &str) {
        self.0.log(level, message);
    }

    fn progress(&self, fraction: f32, message: &str) {
        self.0.progress(fraction, message);
    }
}

impl OutputSink for Supervisor {
    fn create(&mut self, name: &Name) -> io::Result<Box<dyn Write + Send>> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // A smaller pipe only costs speed.
        rustix::pipe::fcntl_setpipe_size(&write, PIPE).ok();
        self.send(&FromWorker::Output { name: name.to_string() }, &[read.as_fd()]).map_err(io::Error::other)?;
        Ok(Box::new(File::from(write)))
    }
}

impl Embedder for Supervisor {
    fn outputs(&self) -> Box<dyn OutputSink> {
        Box::new(self.clone())
    }

    fn reporter(&self, again: bool) -> Arc<dyn Reporter> {
        if again { Arc::new(Again(self.clone())) } else { Arc::new(self.clone()) }
    }

    fn restarting(&self, device: &DeviceInfo, reason: &Fault) -> Result<(), Fault> {
        let restarted = FromWorker::Restarted { device: summary(device), reason: reason.to_string() };
        self.send(&restarted, &[]).map_err(|error| Fault::new(FaultKind::Internal, error))
    }
}

/// A job with its files.
struct Start {
    spec: JobSpec,
    deadline: Instant,
    code_file: CodeFile,
    patience: Option<Duration>,
    detect_races: bool,
    workload: File,
    code: File,
    inputs: BTreeMap<Name, Input>,
}

impl Start {
    fn receive(socket: &UnixStream, inbox: &mut Inbox) -> Result<Self, ChannelError> {
        let mut files: Vec<OwnedFd> = Vec::new();
        loop {
            let (message, more) = receive::<ToWorker>(socket, inbox)?;
            files.extend(more);
            match message {
                ToWorker::Files => {}
                ToWorker::Start { spec, deadline_ms, code, patience_ms, detect_races } => {
                    let start = Self::with_files(spec, Duration::from_millis(deadline_ms), code, files)?;
                    return Ok(Self { patience: patience_ms.map(Duration::from_millis), detect_races, ..start });
                }
                ToWorker::Run => return Err(ChannelError::Broken("it came before the job")),
            }
        }
    }

    fn with_files(
        spec: JobSpec,
        deadline: Duration,
        code_file: CodeFile,
        files: Vec<OwnedFd>,
    ) -> Result<Self, ChannelError> {
        let mut files = files.into_iter().map(File::from);
        let (Some(workload), Some(code)) = (files.next(), files.next()) else {
            return Err(ChannelError::Broken("its files are missing"));
        };
        let inputs: BTreeMap<_, _> = spec
            .inputs
            .iter()
            .zip(files)
            .map(|((name, blob), file)| (name.clone(), Input { file, size: blob.size.get() }))
            .collect();
        let deadline = Instant::now() + deadline;
        Ok(Self { spec, deadline, code_file, patience: None, detect_races: false, workload, code, inputs })
    }

    /// Compiles or loads the workload, and runs the job. Returns the worker's last message.
    fn run(
        self,
        sandbox: &Sandbox,
        device: Device,
        supervisor: &Supervisor,
        go: &mpsc::Receiver<()>,
    ) -> Result<FromWorker, ChannelError> {
        let loaded = match self.code_file {
            CodeFile::Compiled => self.load(sandbox)?,
            CodeFile::Empty => None,
        };
        let was_refused = loaded.is_none();
        let compiled = match loaded {
            Some(compiled) => compiled,
            None => match self.compile(sandbox)? {
                Ok(compiled) => compiled,
                Err(message) => return Ok(FromWorker::NotAWorkload { message }),
            },
        };
        match self.code_file {
            CodeFile::Empty => {
                let code = compiled.code().map_err(|error| ChannelError::Io(io::Error::other(error)))?;
                (&self.code).write_all(&code)?;
                supervisor.send(&FromWorker::Compiled, &[])?;
                go.recv().map_err(|_| ChannelError::Closed)?;
            }
            CodeFile::Compiled if was_refused => supervisor.send(&FromWorker::CodeRefused, &[])?,
            CodeFile::Compiled => {}
        }
        let task = Task { spec: &self.spec, inputs: &self.inputs, device, deadline: self.deadline };
        Ok(match isobit_runner::run(&compiled, task, supervisor) {
            Ok(run) => FromWorker::Ended(run.ended),
            Err(fault) => FromWorker::Faulted(fault),
        })
    }

    /// The compiled code; none if wasmtime does not take it.
    fn load(&self, sandbox: &Sandbox) -> Result<Option<CompiledWorkload>, ChannelError> {
        // The supervisor keeps one file per workload and engine, written by a worker before it ran any guest code, and has checked its hash.
        let code = TrustedCode::promise(self.code.try_clone()?);
        Ok(sandbox.load(&code, self.spec.workload.hash).ok())
    }

    fn compile(&self, sandbox: &Sandbox) -> Result<Result<CompiledWorkload, String>, ChannelError> {
        let mut bytes = Vec::new();
        (&self.workload).take(isobit_sandbox::MAX_WORKLOAD + 1).read_to_end(&mut bytes)?;
        let workload = Workload::parse(bytes).map_err(|error| error.to_string());
        Ok(workload.and_then(|workload| sandbox.compile(&workload).map_err(|error| error.to_string())))
    }
}
