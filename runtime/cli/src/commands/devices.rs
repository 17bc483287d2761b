//! `isobit devices`: what can run kernels on this machine.

use std::fmt;

use isobit_device::probe::{self, Failure, Verdict};
use isobit_device::{AdapterReport, DeviceKind};
use isobit_job::Bytes;

use crate::failure::Status;
use crate::opening;
use crate::printer::Printer;
use crate::table::{Table, listed};

/// List what can run kernels here
///
/// Every workload sees the same limits on every device of a class. Every device has class base; an adapter that has not is listed with what
/// it lacks. Class large, for jobs with `--class large`, has buffers and bindings of 1 GiB. The last is isobit's own CPU device, which needs no driver. Adapters behind OpenGL are none: their drivers go wrong in
/// silence.
///
/// Tier A: native arithmetic gives the right bits. Tier B: it does not, and the device computes with integers; the first
/// wrong result is shown. None: it gets those wrong too, and is not used. Which one is found out when the device is first used, or by `isobit doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit devices\n  isobit devices --json")]
pub struct Devices {}

#[derive(serde::Serialize)]
struct Answer {
    devices: Vec<Listed>,
}

#[derive(serde::Serialize)]
struct Listed {
    #[serde(flatten)]
    report: AdapterReport,
    /// None if it is not known.
    #[serde(flatten)]
    verdict: Option<Verdict>,
    /// What a job has found wrong with the device. It is probed again when it is next used.
    #[serde(skip_serializing_if = "Option::is_none")]
    suspicion: Option<Failure>,
}

impl Listed {
    fn is_unsound(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.tier.is_none())
    }

    fn is_usable(&self) -> bool {
        self.report.missing.is_empty() && !self.is_unsound()
    }
}

impl Devices {
    /// Lists the devices.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let verdicts = opening::verdicts();
        let listed = isobit_device::list_devices().into_iter().map(|report| {
            let verdict = verdicts.as_ref().and_then(|verdicts| probe::recall(verdicts, &report.info));
            let suspicion = verdicts.as_ref().and_then(|verdicts| probe::suspicion(verdicts, &report.info));
            Listed { report, verdict, suspicion }
        });
        let answer = Answer { devices: listed.collect() };
        let mut usable = answer.devices.iter().filter(|device| device.is_usable());
        printer.answer(&answer, &answer)?;
        if usable.all(|device| device.report.info.kind == DeviceKind::Interpreter) {
            printer.note("no driver here can run kernels; install one for Vulkan (on Debian: mesa-vulkan-drivers)");
        }
        Ok(Status::Ok)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.devices.is_empty() {
            return Ok(());
        }
        let mut table =
            Table::new(["index", "name", "backend", "kind", "memory", "driver", "runs kernels", "classes", "tier"]);
        for row @ Listed { report: AdapterReport { index, info, missing }, verdict, suspicion } in &self.devices {
            let memory = info.memory.map_or("unknown".to_owned(), |memory| Bytes::saturating_from(memory).to_string());
            let offer = match missing.is_empty() {
                true if row.is_unsound() => "no: computes wrongly".to_owned(),
                true => "yes".to_owned(),
                false => format!("no: lacks {}", missing.join(", ")),
            };
            let driver = format!("{} {}", info.driver, info.driver_info);
            let tier = match verdict {
                Some(Verdict { tier: None, failure }) => {
                    format!("none: {}", failure.as_ref().map_or_else(String::new, ToString::to_string))
                }
                Some(Verdict { tier: Some(tier), failure: None }) => format!("{tier:?}"),
                Some(Verdict { tier: Some(tier), failure: Some(failure) }) => format!("{tier:?}: {failure}"),
                None if info.kind == DeviceKind::Interpreter => "needs none".to_owned(),
                None if suspicion.is_some() => "to be probed again".to_owned(),
                None if missing.is_empty() => "not probed".to_owned(),
                None => String::new(),
            };
            table.row([
                index.to_string(),
                info.name.clone(),
                info.backend.clone(),
                info.kind.to_string(),
                memory,
                driver.trim().to_owned(),
                offer,
                listed(&info.classes),
                tier,
            ]);
        }
        table.fmt(f)
    }
}
