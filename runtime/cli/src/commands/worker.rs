//! `isobit worker`: the process that runs one job. Started by `isobit serve` and `isobit run`, never by hand.

use std::path::PathBuf;

use isobit_device::probe;
use isobit_device::{Adapter, DeviceClass, DeviceSelector, SpotChecks};

use crate::failure::{Failure, Status};
use crate::probing::{Event, InChild};

/// Run one job for the supervisor that started this process
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Examples:\n  isobit worker --device best  (started by `isobit serve`)")]
pub struct Worker {
    /// The device
    #[arg(long)]
    device: DeviceSelector,
    /// The class that the device has to have
    #[arg(long, default_value_t)]
    class: DeviceClass,
    /// The share of workgroups to check
    #[arg(long, default_value_t)]
    spot_checks: SpotChecks,
    /// Folder with the probe's verdicts
    #[arg(long, value_name = "DIR")]
    verdicts: Option<PathBuf>,
    /// Run no job: have the device probed, unless it has been, and tell how far it is
    #[arg(long)]
    probe_only: bool,
    /// Run no job: probe the device in this process, and tell how far it is
    #[arg(long, conflicts_with = "probe_only")]
    probe: bool,
    /// Run no job: close the jail, and list on stdout what it lacks
    #[arg(long, conflicts_with_all = ["probe", "probe_only"])]
    jail_only: bool,
    /// Say so where the device has not been probed, instead of probing it
    #[arg(long)]
    probed_elsewhere: bool,
    /// Run the job even where the system cannot close the jail
    #[arg(long)]
    allow_weak_jail: bool,
}

impl Worker {
    /// Runs the job, with messages to the supervisor over a socket. With `--probe` or `--probe-only` it probes the device
    /// instead, and writes events to stdout.
    pub fn run(self) -> anyhow::Result<Status> {
        if self.probe_only {
            let (mut told, verdicts) = (|event: Event| event.say(), self.verdicts.as_deref());
            let mut prober = InChild::new(verdicts, &mut told);
            let opened = isobit_device::open_probed(&self.device, self.class, verdicts, &mut prober);
            return opened.map(|_| Status::Ok).map_err(|error| Failure::new(error.to_string()).into());
        }
        if self.probe {
            let adapter = Adapter::select(&self.device);
            match adapter.and_then(|adapter| probe::probe(&adapter, &mut |progress| Event::at(progress).say())) {
                Ok(verdict) => Event::Found(verdict).say(),
                Err(error) => Event::Failed { reason: error.to_string() }.say(),
            }
            return Ok(Status::Ok);
        }
        if self.jail_only {
            return jail_only();
        }
        self.run_job()
    }

    #[cfg(target_os = "linux")]
    fn run_job(self) -> anyhow::Result<Status> {
        let options = isobit_worker::Options {
            device: &self.device,
            class: self.class,
            spot_checks: self.spot_checks,
            verdicts: self.verdicts.as_deref(),
            probed_elsewhere: self.probed_elsewhere,
            jail: if self.allow_weak_jail { isobit_worker::Jail::Weak } else { isobit_worker::Jail::Required },
        };
        match isobit_worker::run(&options) {
            Ok(()) => Ok(Status::Ok),
            Err(error) => Err(Failure::new(error.to_string()).into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn run_job(self) -> anyhow::Result<Status> {
        let _ = (self.spot_checks, self.allow_weak_jail, self.probed_elsewhere);
        Err(Failure::new("a worker runs on Linux only").into())
    }
}

#[cfg(target_os = "linux")]
fn jail_only() -> anyhow::Result<Status> {
    println!("{}", serde_json::to_string(&isobit_worker::try_jail())?);
    Ok(Status::Ok)
}

#[cfg(not(target_os = "linux"))]
fn jail_only() -> anyhow::Result<Status> {
    Err(Failure::new("jails are made on Linux only").into())
}
