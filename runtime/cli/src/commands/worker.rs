//! `isobit worker`: the process that runs one job. Started by `isobit serve`, never by hand.

use isobit_device::DeviceSelector;

use crate::failure::{Failure, Status};

/// Run one job for the supervisor that started this process
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Examples:\n  isobit worker --device best  (started by `isobit serve`)")]
pub struct Worker {
    /// The device
    #[arg(long)]
    device: DeviceSelector,
}

impl Worker {
    /// Runs the job. Says nothing on stdout: the supervisor is told over a socket.
    pub fn run(self) -> anyhow::Result<Status> {
        match isobit_provider::run_worker(&self.device) {
            Ok(()) => Ok(Status::Ok),
            Err(error) => Err(Failure::new(error.to_string()).into()),
        }
    }
}
