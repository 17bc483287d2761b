//! `isobit serve`: this machine as a provider.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use isobit_device::{DeviceSelector, SpotChecks};
use isobit_job::{Bytes, NodeAddr, NodeKey};
use isobit_provider::{Admission, Ceiling, Config, DeviceSummary, Provider};

use crate::addresses::{listen_address, reachable};
use crate::failure::{Failure, Status};
use crate::interrupt::StopRequests;
use crate::job_args::Span;
use crate::key::KeyArgs;
use crate::opening;
use crate::printer::Printer;
use crate::probing::{self, Watch};

/// Offer this machine's device to renters
///
/// Prints the address that renters need, one for each interface where it listens on all of them, and serves until Ctrl-C. Each
/// job runs in a process of its own, and is told of in a line on stderr when it has ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit serve --listen 0.0.0.0:4433
  isobit serve --listen [::]:4433 --max-deadline 10m
  isobit serve --listen 127.0.0.1:4433 --allow KEY --allow KEY --device llvmpipe
  isobit serve --listen 0.0.0.0:4433 --metrics 127.0.0.1:9464 --log-format json")]
pub struct Serve {
    /// Where to listen; port 0 takes any
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4433", value_parser = listen_address)]
    listen: SocketAddr,
    /// Take jobs only from renters with these keys; without it, from anyone
    #[arg(long, value_name = "KEY", num_args = 1..)]
    allow: Vec<NodeKey>,
    /// The device: part of its name, its number in `isobit devices`, or cpu. Without any driver best is cpu
    #[arg(long, default_value = "best")]
    device: DeviceSelector,
    /// Folder for blobs and compiled workloads [default: ~/.local/share/isobit]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The most bytes of blobs kept there
    #[arg(long, value_name = "BYTES", default_value = "32GiB")]
    store_limit: Bytes,
    /// Jobs that run at once
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    slots: usize,
    /// Jobs that may wait
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    waiting: usize,
    /// The longest that a job may run
    #[arg(long, value_name = "TIME", default_value = "1h")]
    max_deadline: Span,
    /// The most device memory that a job may ask for
    #[arg(long, value_name = "BYTES", default_value_t = Ceiling::default().limits.device_memory)]
    max_device_memory: Bytes,
    /// Workgroups of dp32 kernels to run again on the CPU, as far as a twentieth of the job's time allows: 1/1000, or off
    #[arg(long, value_name = "SHARE", default_value_t)]
    spot_checks: SpotChecks,
    /// Run jobs even where the system cannot close the jail that they run in
    #[arg(long)]
    allow_weak_jail: bool,
    /// Take jobs of profile native too. Their kernels run as written: nothing but the deadline bounds their time
    #[arg(long)]
    allow_native: bool,
    /// Serve metrics for Prometheus under http://ADDRESS/metrics, an address of loopback; port 0 takes any
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// How to log on stderr: text, or a JSON object a line, with the job's name in `job`
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(flatten)]
    key: KeyArgs,
}

/// How a provider logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    /// The one that most likely works.
    address: &'a NodeAddr,
    addresses: &'a [NodeAddr],
    key: NodeKey,
    device: &'a DeviceSummary,
    /// Where metrics are served.
    metrics: Option<SocketAddr>,
}

impl Serve {
    /// Whether each line on stderr is to be a JSON object.
    pub fn logs_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// Serves until asked to stop.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let mut ceiling =
            Ceiling { deadline: self.max_deadline.into(), blob_bytes: self.store_limit, ..Ceiling::default() };
        ceiling.limits.device_memory = self.max_device_memory;
        ceiling.native = self.allow_native;
        let admission = match self.allow.is_empty() {
            true => Admission::Open,
            false => Admission::Only(self.allow.into_iter().collect()),
        };
        let data_dir = self.data_dir.map_or_else(default_data_dir, Ok)?;
        let verdicts = verdicts(&data_dir, printer);
        let program = std::env::current_exe().context("cannot find this program to start workers with")?;
        let mut worker =
            ["worker", "--device", &self.device.to_string(), "--spot-checks", &self.spot_checks.to_string()]
                .map(OsString::from)
                .to_vec();
        worker.extend(["--verdicts".into(), verdicts.clone().into_os_string()]);
        worker.extend(self.allow_weak_jail.then(|| "--allow-weak-jail".into()));
        probe(&program, &worker, printer);
        let config = Config {
            listen: self.listen,
            secret: self.key.load()?,
            admission,
            ceiling,
            data_dir,
            store_limit: self.store_limit,
            slots: self.slots,
            waiting: self.waiting,
            metrics: self.metrics,
            verdicts: Some(verdicts),
            worker: (program, worker),
        };
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let mut requests = StopRequests::listen();
            let provider = Provider::start(config).await.map_err(|error| {
                let failure = Failure::new(error.to_string());
                if error.hint().is_empty() { failure } else { failure.hint(error.hint()) }
            })?;
            let local = provider.local_addr()?;
            let addresses = reachable(local, provider.key());
            let address = addresses.first().context("the node has no address")?;
            let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
            printer.note(format_args!("serving {}", provider.device().name));
            if let Some(metrics) = provider.metrics() {
                printer.note(format_args!("metrics under http://{metrics}/metrics"));
            }
            let answer = Answer {
                address,
                addresses: &addresses,
                key: provider.key(),
                device: provider.device(),
                metrics: provider.metrics(),
            };
            printer.answer(&answer, &text)?;
            provider.serve(async move { requests.next().await }).await;
            printer.note("stopped");
            Ok(Status::Ok)
        })
    }
}

/// Has the device probed, unless it has been, so that no worker needs to. This is done in a child process, since no driver may
/// run in this one. If the device cannot be opened, the first worker reports why.
fn probe(program: &Path, worker: &[OsString], printer: &Printer) {
    let mut watch = Watch::new(printer);
    let found = probing::run(Command::new(program).args(worker).arg("--probe-only"), |event| watch.show(event));
    if let Err(error) = found {
        printer.detail(format_args!("the device was not probed: {error}"));
    }
}

/// The folder where workers find the verdict: in the user's cache, or, if that cannot be written, next to the blobs. Without
/// one, each worker would probe again.
fn verdicts(data_dir: &Path, printer: &Printer) -> PathBuf {
    let beside = data_dir.join("probe");
    let Some(cache) = opening::verdicts() else { return beside };
    let written = std::fs::create_dir_all(&cache).and_then(|()| tempfile::tempfile_in(&cache));
    match written {
        Ok(_) => cache,
        Err(error) => {
            let (beside, cache) = (beside.display(), cache.display());
            printer
                .warn(format_args!("what the probe finds is kept in {beside}, as {cache} cannot be written: {error}"));
            data_dir.join("probe")
        }
    }
}

/// `$XDG_DATA_HOME/isobit`, or `~/.local/share/isobit`.
pub fn default_data_dir() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    let data = data.ok_or_else(|| {
        Failure::new("no place for blobs: neither XDG_DATA_HOME nor HOME is set").hint("name a folder with --data-dir")
    })?;
    Ok(data.join("isobit"))
}
