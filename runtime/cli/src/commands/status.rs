//! `isobit status`: what a provider on this machine is doing, for people.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use isobit_provider::{AskError, DeviceSummary, JobState, Place};

use crate::failure::{Failure, Status as Ending};
use crate::printer::Printer;
use crate::settings::default_data_dir;
use crate::table::{Table, listed};

/// Show what a provider on this machine is doing
///
/// Its jobs, its workers, what it has done since its start. The provider is asked through a socket in its data folder, or at its address for metrics.
/// The exit status is 1 if none runs there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit status
  isobit status /var/lib/isobit
  isobit status 127.0.0.1:9464 --json")]
pub struct Status {
    /// The provider's data folder, or its address for metrics [default: ~/.local/share/isobit]
    #[arg(value_name = "FOLDER|ADDRESS")]
    provider: Option<String>,
}

impl Status {
    /// Asks the provider, and prints what it says.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Ending> {
        let place = match self.provider {
            None => Place::Folder(default_data_dir()?),
            Some(text) => match text.parse::<SocketAddr>() {
                Ok(address) => Place::Address(address),
                Err(_) => Place::Folder(PathBuf::from(text)),
            },
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = runtime.block_on(isobit_provider::ask(&place)).map_err(failure)?;
        printer.answer(&status, &Shown(&status))?;
        Ok(Ending::Ok)
    }
}

fn failure(error: AskError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        AskError::NotRunning { place: Place::Folder(_) } => failure
            .hint("start one with `isobit serve`, or name the folder that it was given with --data-dir: /var/lib/isobit for a service")
            .status(Ending::No),
        AskError::NotRunning { .. } => {
            failure.hint("start one with `isobit serve --metrics ADDRESS`, or name its data folder").status(Ending::No)
        }
        AskError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            failure.hint("ask as the provider's user, or as one of its group: `sudo -u isobit isobit status /var/lib/isobit`")
        }
        _ => failure.hint("see what listens there, and whether it is of this version: `isobit --version`"),
    }
}

struct Shown<'a>(&'a isobit_provider::Status);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        let draining = if status.draining { ", draining" } else { "" };
        writeln!(f, "provider     {} ({}, process {}{draining})", status.key, status.software, status.pid)?;
        writeln!(f, "listens at   {}, for {}", status.listen, Span(status.uptime()))?;
        for (index, device) in status.devices.iter().enumerate() {
            let head = if index == 0 { "devices" } else { "" };
            let DeviceSummary { name, driver, classes, .. } = &device.device;
            writeln!(f, "{head:<12} {name} ({driver}), slots: {}, classes: {}", device.slots, listed(classes))?;
        }
        let jobs = |state| status.jobs_in(state);
        writeln!(
            f,
            "jobs         {} of {} running, {} of {} waiting, {} uploading",
            jobs(JobState::Running),
            status.slots,
            jobs(JobState::Waiting),
            status.waiting_limit,
            jobs(JobState::Uploading)
        )?;
        let ended: Vec<String> = status.ended.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        writeln!(f, "ended        {}", if ended.is_empty() { "none".to_owned() } else { ended.join(", ") })?;
        let billed = &status.billed;
        writeln!(
            f,
            "billed       {} guest fuel, {} kernel fuel, {} in, {} out",
            billed.guest_fuel, billed.kernel_fuel, billed.input_bytes, billed.output_bytes
        )?;
        writeln!(f, "workers      {} busy, {} ready", status.workers.busy, status.workers.idle)?;
        writeln!(f, "connections  {}", status.connections)?;
        let store = &status.store;
        writeln!(f, "store        {} of {}, {} in use", store.stored, store.limit, store.in_use)?;
        writeln!(
            f,
            "memory       {} here, {} of the device granted",
            status.resident_memory, status.device_memory_granted
        )?;
        if !status.jobs.is_empty() {
            let mut table = Table::new(["job", "renter", "state", "for"]);
            for job in &status.jobs {
                let time = Span(Duration::from_millis(job.for_ms.get())).to_string();
                table.row([job.job.to_string(), job.renter.to_string(), job.state.name().to_owned(), time]);
            }
            write!(f, "\n{table}")?;
        }
        Ok(())
    }
}

/// A time as people say it: its two largest units.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{:.1} s", self.0.as_secs_f64()),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_two_units() {
        let told = |seconds| Span(Duration::from_secs(seconds)).to_string();
        assert_eq!([told(9), told(61), told(3661), told(90_000)], ["9.0 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
