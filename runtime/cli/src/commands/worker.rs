//! `isobit worker`: the process that runs one job. Started by `isobit serve`, never by hand.

use isobit_device::{DeviceSelector, SpotChecks};

use crate::failure::{Failure, Status};

/// Run one job for the supervisor that started this process
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Examples:\n  isobit worker --device best  (started by `isobit serve`)")]
pub struct Worker {
    /// The device
    #[arg(long)]
    device: DeviceSelector,
    /// The share of workgroups to check
    #[arg(long, default_value_t)]
    spot_checks: SpotChecks,
}

impl Worker {
    /// Runs the job. Says nothing on stdout: the supervisor is told over a socket.
    pub fn run(self) -> anyhow::Result<Status> {
        match isobit_provider::run_worker(&self.device, self.spot_checks) {
            Ok(()) => Ok(Status::Ok),
            Err(error) => Err(Failure::new(error.to_string()).into()),
        }
    }
}
