//! The supervisor's handle on a worker process.

use crate::channel::{ChannelError, Inbox, MAX_FILES, Outgoing};
use crate::groups::{Group, Groups};
use crate::{DeviceSummary, FromWorker, Gap, MAX_THREADS, OWN_MEMORY, ToWorker, memory_for};
use isobit_device::probe::Suspicion;
use isobit_job::JobId;
use rustix::net::RecvFlags;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStderr, Command};

/// Time to open engine and device; a cold driver on a busy machine takes some seconds.
pub const START: Duration = Duration::from_secs(60);

/// Time for a process that has closed its socket to end.
const END: Duration = Duration::from_secs(1);

/// How a worker process is started.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program, which calls [`run`](crate::run).
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where workers get control groups.
    pub groups: Option<Arc<Groups>>,
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
    /// Its control group cannot be made or entered.
    #[error("the worker's control group cannot be made: {0}")]
    Group(#[source] std::io::Error),
    /// No verdict on its device is known, and it was told not to find one.
    #[error("the device has not been probed")]
    Unprobed,
    /// It ended, sent nothing in time, or sent another message first.
    #[error("the worker process did not become ready: {0}")]
    Silent(String),
}

/// A worker that is ready for one job. Dropping it kills the process.
pub struct Worker {
    child: Child,
    group: Option<Group>,
    socket: UnixStream,
    inbox: Inbox,
    /// Its device.
    pub device: DeviceSummary,
    /// What tells engines apart for which code was compiled.
    pub code_key: String,
    /// Why the device computes with integers only, if it does.
    pub integers_only: Option<String>,
    /// What a suspicion against the device would be. Taken by the first.
    pub suspicion: Option<Suspicion>,
    /// The number of its device, for whoever keeps workers of several.
    pub lane: usize,
    /// The walls that its jail lacks.
    pub gaps: Vec<Gap>,
    /// The job that it runs, for the log.
    pub job: Arc<OnceLock<JobId>>,
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
    // Where the node's key is, no worker need know.
    let is_ours = name.starts_with("ISOBIT_") && name != "ISOBIT_KEY";
    NAMES.contains(&&*name) || is_ours || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The most bytes of a worker's standard error that are passed on: drivers complain there, and panics.
pub const MAX_STDERR: usize = 64 << 10;

/// What a line counts besides its bytes: what the log puts around it.
const LINE: usize = 64;

/// The most bytes of one line.
const MAX_LINE: usize = 4 << 10;

/// Logs what a process says on standard error, line by line and within bounds; the rest is read and dropped, so that the process does not wait. `job` is
/// the job that it runs, once it has one.
pub async fn forward(stderr: ChildStderr, job: Arc<OnceLock<JobId>>) {
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
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn start(command: &WorkerCommand) -> Result<Self, SpawnError> {
        let job = Arc::default();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(SpawnError::Process)?;
        ours.set_nonblocking(true).map_err(SpawnError::Process)?;
        let group = command.groups.as_ref().map(|groups| groups.make(OWN_MEMORY, MAX_THREADS)).transpose();
        let group = group.map_err(SpawnError::Group)?;
        let mut process = Command::new(&command.program);
        if let Some(group) = &group {
            enter_first(&mut process, group.entrance().map_err(SpawnError::Group)?);
        }
        let child = process
            .args(&command.args)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_for_workers(name)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A terminal's Ctrl-C is for the supervisor, which ends its workers when it is time.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        // It holds the worker's end of the socket, which has to close when the worker ends.
        drop(process);
        let mut child = child.map_err(SpawnError::Process)?;
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, Arc::clone(&job)));
        }
        let socket = UnixStream::from_std(ours).map_err(SpawnError::Process)?;
        let none = String::new;
        let mut worker = Self {
            child,
            group,
            socket,
            inbox: Inbox::default(),
            device: DeviceSummary { name: none(), driver: none(), backend: none(), classes: BTreeSet::new() },
            code_key: none(),
            integers_only: None,
            suspicion: None,
            lane: 0,
            gaps: Vec::new(),
            job,
        };
        let first = tokio::time::timeout(START, worker.receive()).await;
        match first.map_err(|_| SpawnError::Silent(format!("no word within {} s", START.as_secs())))? {
            Ok((FromWorker::Ready { device, code_key, integers_only, suspicion, gaps }, _)) => {
                Ok(Self { device, code_key, integers_only, suspicion, gaps, ..worker })
            }
            Ok((FromWorker::Unusable { message, hint }, _)) => Err(SpawnError::Unusable { message, hint }),
            Ok((FromWorker::Unprobed, _)) => Err(SpawnError::Unprobed),
            Ok(_) => Err(SpawnError::Silent("it spoke out of turn".into())),
            Err(error) => Err(SpawnError::Silent(error.to_string())),
        }
    }

    /// Sends a message. Files that do not fit into its frame go ahead of it, in frames of their own.
    ///
    /// # Errors
    /// The worker is gone, or the message is too large.
    pub async fn send(&mut self, message: &ToWorker, files: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        if let (Some(group), ToWorker::Start { spec, .. }) = (&self.group, message) {
            group.bound_memory(memory_for(&spec.limits))?;
        }
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
    ///
    /// # Errors
    /// The worker is gone, or what it sends is no message.
    pub async fn receive(&mut self) -> Result<(FromWorker, Vec<OwnedFd>), ChannelError> {
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
                Ok(Err(ChannelError::Closed)) => return Err(ChannelError::Died(self.last_word().await)),
                Ok(result) => result?,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How the process has ended, which has closed its socket.
    async fn last_word(&mut self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(Ok(status)) if status.signal() == Some(libc::SIGSYS) => {
                "was ended by its jail: it made a system call that is not allowed".into()
            }
            Ok(Ok(status)) => match status.signal() {
                Some(signal) => format!("was ended by signal {signal}"),
                None => format!("ended by itself: {status}"),
            },
            _ => "has closed its socket".into(),
        }
    }

    /// Whether the process still runs and has sent nothing, as a spare worker does.
    pub fn is_alive(&self) -> bool {
        // Asks the system, because tokio may not have noticed the process's end yet.
        let probe = rustix::net::recv(&self.socket, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        probe.is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK)
    }

    /// Ends the process, whatever it is doing, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.ok();
    }
}

/// Has a process enter a group before it runs its program.
#[allow(unsafe_code, reason = "only so is no moment lost")]
fn enter_first(command: &mut Command, entrance: File) {
    let enter = move || {
        rustix::io::write(&entrance, b"0")?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes one system call, and takes no lock and no memory.
    unsafe { command.pre_exec(enter) };
}

/// The bytes of an output, from what came with [`FromWorker::Output`].
///
/// # Errors
/// It is no pipe.
pub fn output_of(pipe: OwnedFd) -> std::io::Result<Receiver> {
    rustix::io::ioctl_fionbio(&pipe, true)?;
    Receiver::from_owned_fd(pipe)
}

/// A copy in memory that nobody can change any more.
///
/// # Errors
/// It cannot be read, or there is no room for it.
pub fn sealed(mut content: impl std::io::Read) -> std::io::Result<File> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let mut copy = File::from(memfd_create("isobit", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    std::io::copy(&mut content, &mut copy)?;
    std::io::Seek::rewind(&mut copy)?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy)
}
