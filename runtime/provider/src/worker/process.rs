//! The supervisor's handle on a worker process.

use super::channel::{ChannelError, Inbox, MAX_FILES, Outgoing};
use super::{DeviceSummary, FromWorker, ToWorker};
use isobit_device::probe::Suspicion;
use isobit_job::JobId;
use rustix::net::RecvFlags;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};

/// Time to open engine and device; a cold driver on a busy machine takes some seconds.
const START: Duration = Duration::from_secs(60);

/// How a worker process is started.
#[derive(Clone, Debug)]
pub(crate) struct WorkerCommand {
    /// The program, which calls [`super::run`].
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum SpawnError {
    #[error("the worker process cannot be started: {0}")]
    Process(#[source] std::io::Error),
    /// Its engine or device cannot be opened.
    #[error("{message}")]
    Unusable {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// It ended, sent nothing in time, or sent another message first.
    #[error("the worker process did not become ready: {0}")]
    Silent(String),
}

/// A worker that is ready for one job. Dropping it kills the process.
pub(crate) struct Worker {
    child: Child,
    socket: UnixStream,
    inbox: Inbox,
    pub device: DeviceSummary,
    pub code_key: String,
    /// What a suspicion against the device would be. Taken by the first.
    pub suspicion: Option<Suspicion>,
    /// The job that it runs, for the log.
    pub job: Arc<OnceLock<JobId>>,
    /// The number of its device.
    pub lane: usize,
}

/// Whether a variable of this process is a worker's business: where drivers are and how they behave, and how panics look.
fn is_for_workers(name: &OsStr) -> bool {
    const NAMES: [&str; 8] = [
        "HOME",
        "PATH",
        "LANG",
        "LD_LIBRARY_PATH",
        "XDG_DATA_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_DIRS",
        "XDG_CONFIG_DIRS",
    ];
    const FAMILIES: [&str; 13] = [
        "VK_",
        "MESA_",
        "LP_",
        "GALLIUM_",
        "LIBGL_",
        "DRI_",
        "NODEVICE_",
        "RADV_",
        "AMD_",
        "INTEL_",
        "__NV",
        "CUDA_",
        "RUST_",
    ];
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || name.starts_with("ISOBIT_") || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The most bytes of a worker's standard error that are passed on: drivers complain there, and panics.
const MAX_STDERR: usize = 64 << 10;

/// What a line counts besides its bytes: what the log puts around it.
const LINE: usize = 64;

/// The most bytes of one line.
const MAX_LINE: usize = 4 << 10;

/// Logs what a process says on standard error, line by line and within bounds; the rest is read and dropped, so that the process does not wait. `job` is
/// the job that it runs, once it has one.
pub(super) async fn forward(stderr: ChildStderr, job: Arc<OnceLock<JobId>>) {
    let (mut left, mut buffer, mut line) = (MAX_STDERR, vec![0; 4096], Vec::new());
    let mut stderr = stderr;
    let mut log = |line: &mut Vec<u8>| {
        let taken = line.get(..line.len().min(left)).unwrap_or_default();
        left = left.saturating_sub(line.len() + LINE);
        let text = String::from_utf8_lossy(taken);
        let shown = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        let text: String = text.trim_end().chars().map(shown).collect();
        line.clear();
        match job.get() {
            _ if text.is_empty() => {}
            Some(job) => tracing::warn!(target: "isobit::worker", %job, "{text}"),
            None => tracing::warn!(target: "isobit::worker", "{text}"),
        }
    };
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        for byte in buffer.iter().take(count) {
            match byte {
                b'\n' => log(&mut line),
                byte => line.push(*byte),
            }
            if line.len() >= MAX_LINE {
                log(&mut line);
            }
        }
    }
    log(&mut line);
}

impl Worker {
    /// Starts a process and waits until its engine and device are open.
    pub(crate) async fn start(command: &WorkerCommand) -> Result<Self, SpawnError> {
        let job = Arc::default();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(SpawnError::Process)?;
        ours.set_nonblocking(true).map_err(SpawnError::Process)?;
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_for_workers(name)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C and the end of a terminal are for the supervisor: it finishes the jobs that run.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(SpawnError::Process)?;
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, Arc::clone(&job)));
        }
        let socket = UnixStream::from_std(ours).map_err(SpawnError::Process)?;
        let device = DeviceSummary { name: String::new(), driver: String::new(), backend: String::new() };
        let mut worker = Self {
            child,
            socket,
            inbox: Inbox::default(),
            device,
            code_key: String::new(),
            suspicion: None,
            lane: 0,
            job,
        };
        let first = tokio::time::timeout(START, worker.receive()).await;
        match first.map_err(|_| SpawnError::Silent(format!("no word within {} s", START.as_secs())))? {
            Ok((FromWorker::Ready { device, code_key, suspicion }, _)) => {
                worker.suspicion = suspicion;
                worker.device = device;
                worker.code_key = code_key;
                Ok(worker)
            }
            Ok((FromWorker::Unusable { message, hint }, _)) => Err(SpawnError::Unusable { message, hint }),
            Ok(_) => Err(SpawnError::Silent("it spoke out of turn".into())),
            Err(error) => Err(SpawnError::Silent(error.to_string())),
        }
    }

    /// Sends a message. Files that do not fit into its frame go ahead of it, in frames of their own.
    pub(crate) async fn send(&mut self, message: &ToWorker, files: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let (early, late) = files.split_at(files.len() - files.len() % MAX_FILES);
        for batch in early.chunks(MAX_FILES) {
            self.send_frame(Outgoing::new(&ToWorker::Files, batch)?).await?;
        }
        self.send_frame(Outgoing::new(message, late)?).await
    }

    async fn send_frame(&self, mut frame: Outgoing<'_>) -> Result<(), ChannelError> {
        while !self.socket.async_io(Interest::WRITABLE, || frame.step(self.socket.as_fd())).await? {}
        Ok(())
    }

    /// The next message. May be cancelled and called again.
    pub(crate) async fn receive(&mut self) -> Result<(FromWorker, Vec<OwnedFd>), ChannelError> {
        loop {
            if let Some(frame) = self.inbox.next()? {
                return Ok(frame);
            }
            self.socket.readable().await?;
            let (socket, inbox) = (&self.socket, &mut self.inbox);
            let filled = socket.try_io(Interest::READABLE, || match inbox.fill(socket.as_fd()) {
                Err(ChannelError::Io(error)) => Err(error),
                other => Ok(other),
            });
            match filled {
                Ok(result) => result?,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the process still runs and has sent nothing, as a spare worker does.
    pub(crate) fn is_alive(&self) -> bool {
        // Asks the system, because tokio may not have noticed the process's end yet.
        let probe = rustix::net::recv(&self.socket, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        probe.is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK)
    }

    /// Ends the process, whatever it is doing, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.ok();
    }
}
