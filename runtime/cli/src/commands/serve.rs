//! `isobit serve`: this machine as a provider.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use isobit_device::{AdapterReport, DeviceKind, DeviceSelector};
use isobit_job::{NodeAddr, NodeKey, Prices};
use isobit_provider::{Admission, Ceiling, Config, DeviceSummary, Gap, Provider};
use sd_notify::NotifyState;

use crate::addresses::reachable;
use crate::commands::settings_file;
use crate::failure::{Failure, Status};
use crate::interrupt::StopRequests;
use crate::job_args::Span;
use crate::key;
use crate::opening;
use crate::printer::Printer;
use crate::probing::{self, Watch};
use crate::settings::{DeviceChoice, Given, LogFormat, PriceList, Settings};
use crate::table::listed;

/// Time to say goodbye after the drain, and some.
const FAREWELL: Duration = Duration::from_secs(10);

/// Offer this machine's devices to renters
///
/// Prints the address that renters need, one for each interface where it listens on all of them, and serves until Ctrl-C or
/// SIGTERM: then it finishes the jobs that run and hands back all others; a second request stops at once. Each job runs in a process of its own, and is told of in a line on stderr when it has ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit serve --listen 0.0.0.0:4433
  isobit serve --listen [::]:4433 --max-deadline 10m
  isobit serve --listen 127.0.0.1:4433 --allow KEY --allow KEY --device llvmpipe
  isobit serve --device all --slots 2
  isobit serve --price kernel-fuel=0.05,out=0.01,currency=EUR
  isobit serve --listen 0.0.0.0:4433 --metrics 127.0.0.1:9464 --log-format json
  isobit serve --config provider.toml")]
pub struct Serve {
    /// File with settings, in TOML; flags win over it, see `isobit config`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Given,
}

/// A device that is served.
#[derive(serde::Serialize)]
struct Served<'a> {
    #[serde(flatten)]
    device: &'a DeviceSummary,
    /// Jobs that run on it at once.
    slots: usize,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    /// The one that most likely works.
    address: &'a NodeAddr,
    addresses: &'a [NodeAddr],
    key: NodeKey,
    devices: Vec<Served<'a>>,
    /// Where metrics are served.
    metrics: Option<SocketAddr>,
}

impl Serve {
    /// Whether each line on stderr is to be a JSON object. A file that cannot be read says so when the settings are taken from it.
    pub fn logs_json(&self) -> bool {
        let in_file = || self.config.as_deref().and_then(|path| settings_file(path).ok()?.log_format);
        self.flags.log_format.or_else(in_file) == Some(LogFormat::Json)
    }

    /// Serves until asked to stop.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let file = self.config.as_deref().map(settings_file).transpose()?;
        let settings = Settings::new(self.flags, file)?;
        let prices = prices(&settings.price)?;
        let mut ceiling = Ceiling {
            deadline: settings.max_deadline.into(),
            blob_bytes: settings.store_limit,
            native: settings.allow_native,
            ..Ceiling::default()
        };
        ceiling.limits.device_memory = settings.max_device_memory;
        let admission = match settings.allow.is_empty() {
            true => Admission::Open,
            false => Admission::Only(settings.allow.into_iter().collect()),
        };
        let secret = key::read(&settings.key)?;
        let verdicts = verdicts(&settings.data_dir, printer);
        let program = std::env::current_exe().context("cannot find this program to start workers with")?;
        let worker = |device: DeviceSelector| {
            let (device, checks) = (device.to_string(), settings.spot_checks.to_string());
            let mut args = ["worker", "--device", &device, "--spot-checks", &checks].map(OsString::from).to_vec();
            args.extend(["--verdicts".into(), verdicts.clone().into_os_string()]);
            args.extend(settings.allow_weak_jail.then(|| "--allow-weak-jail".into()));
            (program.clone(), args)
        };
        let workers: Vec<_> = devices(&settings.device, &program, printer)?.into_iter().map(worker).collect();
        for (program, args) in &workers {
            probe(program, args, printer);
        }
        let config = Config {
            listen: settings.listen,
            secret,
            admission,
            ceiling,
            prices,
            data_dir: settings.data_dir,
            store_limit: settings.store_limit,
            slots: settings.slots.get(),
            waiting: settings.waiting.get(),
            metrics: settings.metrics.address(),
            verdicts: Some(verdicts),
            workers,
        };
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let requests = StopRequests::listen();
            let provider = Provider::start(config).await.map_err(|error| {
                let failure = Failure::new(error.to_string());
                if error.hint().is_empty() { failure } else { failure.hint(error.hint()) }
            })?;
            let local = provider.local_addr()?;
            let addresses = reachable(local, provider.key());
            let address = addresses.first().context("the node has no address")?;
            let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
            let devices: Vec<_> = provider.devices().map(|(device, slots)| Served { device, slots }).collect();
            let shown = |Served { device, slots }: &Served<'_>| {
                format!("{} (slots: {slots}, classes: {})", device.name, listed(&device.classes))
            };
            let names = devices.iter().map(shown);
            printer.note(format_args!("serving {}", names.collect::<Vec<_>>().join(", ")));
            tell_gaps(provider.gaps(), printer);
            if let Some(metrics) = provider.metrics() {
                printer.note(format_args!("metrics under http://{metrics}/metrics"));
            }
            let metrics = provider.metrics();
            let answer = Answer { address, addresses: &addresses, key: provider.key(), devices, metrics };
            printer.answer(&answer, &text)?;
            tell_manager(&[NotifyState::Ready], printer);
            match provider.serve(drain(requests, settings.drain_timeout, printer)).await {
                0 => {
                    printer.note("stopped");
                    Ok(Status::Ok)
                }
                count => {
                    printer.note(format_args!("stopped; jobs given up: {count}"));
                    Ok(Status::Cancelled)
                }
            }
        })
    }
}

/// The price list that several lists make together; none if nothing costs anything.
fn prices(lists: &[PriceList]) -> anyhow::Result<Option<Prices>> {
    if lists.is_empty() {
        return Ok(None);
    }
    let prices = lists.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").parse().map_err(
        |error: isobit_job::PriceError| Failure::new(format!("--price: {error}")).hint("see `isobit serve --help`"),
    )?;
    Ok(Some(prices))
}

/// Completes with the first request to stop. What it returns completes when the jobs that still run are to be given up.
async fn drain(mut requests: StopRequests, patience: Span, printer: &Printer) -> impl Future<Output = ()> {
    requests.next().await;
    printer.note(format_args!(
        "draining: jobs that run have {patience} to end, and others are handed back; a second request stops at once"
    ));
    let patience = Duration::from(patience);
    // systemd would end the service after a time of its own.
    let extended = u32::try_from((patience + FAREWELL).as_micros()).unwrap_or(u32::MAX);
    tell_manager(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(extended)], printer);
    async move {
        tokio::select! {
            () = requests.next() => printer.note("stopping at once"),
            () = tokio::time::sleep(patience) => printer.note("stopping: the time to drain is over"),
        }
    }
}

/// Tells the service manager, where there is one.
fn tell_manager(states: &[NotifyState<'_>], printer: &Printer) {
    if let Err(error) = sd_notify::notify(states) {
        printer.detail(format_args!("the service manager cannot be told: {error}"));
    }
}

/// The devices that are chosen, each once. Drivers must not run in this process, so that a child lists them; one device needs no list. What
/// cannot be found is left to the provider, which says so.
fn devices(choices: &[DeviceChoice], program: &Path, printer: &Printer) -> anyhow::Result<Vec<DeviceSelector>> {
    #[derive(serde::Deserialize)]
    struct Listed {
        devices: Vec<AdapterReport>,
    }
    if let [DeviceChoice::One(one)] = choices {
        return Ok(vec![one.clone()]);
    }
    let failed = |reason: &dyn std::fmt::Display| {
        let failure = Failure::new(format!("the devices of this machine cannot be listed: {reason}"));
        failure.hint("try `isobit devices`; a driver may be broken. One --device needs no list")
    };
    let listed = Command::new(program).args(["devices", "--json"]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let listed = listed.map_err(|error| failed(&error))?;
    let Listed { devices } = serde_json::from_slice(&listed.stdout).map_err(|_| failed(&listed.status))?;
    let selector = |report: &AdapterReport| match report.info.kind {
        DeviceKind::Interpreter => DeviceSelector::Cpu,
        _ => DeviceSelector::Index(report.index),
    };
    let mut chosen = Vec::new();
    for choice in choices {
        match choice {
            DeviceChoice::All => chosen.extend(all(&devices).map(selector)),
            DeviceChoice::One(one) => chosen.push(one.among(&devices).map_or_else(|| one.clone(), selector)),
        }
    }
    let mut each = Vec::new();
    for device in chosen {
        if each.contains(&device) {
            printer.warn(format_args!("a device is named twice, and served once: {device}"));
        } else {
            each.push(device);
        }
    }
    Ok(each)
}

/// All GPUs that can run kernels; without any, all drivers that compute on the CPU; without any, the CPU device.
fn all(devices: &[AdapterReport]) -> impl Iterator<Item = &AdapterReport> {
    let rank = |report: &AdapterReport| match report.info.kind {
        DeviceKind::Interpreter => 2,
        DeviceKind::Cpu => 1,
        _ => 0,
    };
    let usable = devices.iter().filter(|report| report.missing.is_empty());
    let best = usable.clone().map(rank).min();
    usable.filter(move |report| Some(rank(report)) == best)
}

/// Says what the jail lacks: in full what it should have, and in a line what the system might not permit.
fn tell_gaps(gaps: &[Gap], printer: &Printer) {
    let (required, more): (Vec<_>, Vec<_>) = gaps.iter().partition(|gap| gap.required);
    for gap in required {
        printer.warn(format_args!("workers are jailed without {gap}"));
    }
    if !more.is_empty() {
        let walls: Vec<_> = more.iter().map(|gap| gap.wall.to_string()).collect();
        printer.note(format_args!("workers are jailed without {}; `isobit doctor` says why", walls.join(", ")));
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
