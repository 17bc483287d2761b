//! `isobit doctor`: whether this machine's devices compute as they should.

use std::fmt;
use std::process::Command;

use isobit_device::probe::{self, Prober as _, Verdict};
use isobit_device::{Adapter, DeviceInfo, DeviceKind, DeviceSelector, Tier, list_adapters, select};

use crate::failure::Status;
use crate::opening;
use crate::printer::Printer;
use crate::probing::{InChild, Watch};
use crate::table::listed;

/// Check that devices compute every bit as they should
///
/// Runs the whole probe on a device, or on all of them: every operation and every builtin over operands that fall where
/// arithmetic goes wrong, code that drivers like to rearrange, and random programs, each bit compared with the CPU's. A
/// device that passes may use native arithmetic (tier A); one that does not computes with integers only (tier B), with
/// the same results; one that gets those wrong too is not used. The CPU device needs no probe: the others are compared with
/// it. Exit status 1: a device has failed, or there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit doctor\n  isobit doctor --device llvmpipe --json")]
pub struct Doctor {
    /// Only this device: part of its name, its number in `isobit devices`, or cpu
    #[arg(long)]
    device: Option<DeviceSelector>,
}

#[derive(serde::Serialize)]
struct Answer {
    devices: Vec<Probed>,
    jail: Jail,
}

/// Whether strangers' code can be jailed here.
#[derive(serde::Serialize)]
struct Jail {
    /// Whether it has all that is required.
    closed: bool,
    /// What it lacks.
    gaps: Vec<Gap>,
    /// Why nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A wall that the jail lacks, as a process says that has tried.
#[derive(serde::Serialize, serde::Deserialize)]
struct Gap {
    wall: String,
    required: bool,
    reason: String,
}

#[derive(serde::Serialize)]
struct Probed {
    #[serde(flatten)]
    info: DeviceInfo,
    /// None for the CPU device, and if there is an `error`.
    #[serde(flatten)]
    verdict: Option<Verdict>,
    /// Why the probe could not be carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Doctor {
    /// Probes the devices, even if their verdicts are known.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let selectors = match self.device {
            Some(device) => vec![device],
            None => {
                let adapters = list_adapters();
                let capable = adapters.iter().filter(|adapter| adapter.missing.is_empty());
                capable.map(|adapter| DeviceSelector::Index(adapter.index)).collect()
            }
        };
        let devices: Vec<_> =
            selectors.iter().map(|selector| examine(selector, printer)).collect::<anyhow::Result<_>>()?;
        let healthy = |it: &Probed| match &it.verdict {
            Some(verdict) => verdict.tier == Some(Tier::A),
            None => it.error.is_none(),
        };
        let status = if !devices.is_empty() && devices.iter().all(healthy) { Status::Ok } else { Status::No };
        if devices.iter().any(|it| it.verdict.as_ref().is_some_and(|verdict| verdict.tier.is_none())) {
            printer.note("choose another device for jobs (`--device cpu` is always right), or update the driver and run this again");
        }
        if devices.is_empty() {
            printer.note("there is no driver to check; kernels run on the CPU");
        }
        let answer = Answer { devices, jail: Jail::examine() };
        printer.answer(&answer, &answer)?;
        Ok(status)
    }
}

impl Jail {
    /// Has a child process close one around itself.
    fn examine() -> Self {
        if !cfg!(target_os = "linux") {
            return Self { closed: false, gaps: Vec::new(), reason: Some("jails are made on Linux only".to_owned()) };
        }
        let tried = std::env::current_exe()
            .and_then(|program| Command::new(program).args(["worker", "--device", "cpu", "--jail-only"]).output());
        let gaps = tried.map_err(|error| error.to_string()).and_then(|output| {
            let ended = || format!("the process that tried ended: {}", output.status);
            if output.status.success() {
                serde_json::from_slice(&output.stdout).map_err(|_| ended())
            } else {
                Err(ended())
            }
        });
        match gaps {
            Ok(gaps) => {
                let gaps: Vec<Gap> = gaps;
                Self { closed: !gaps.iter().any(|gap| gap.required), gaps, reason: None }
            }
            Err(reason) => Self { closed: false, gaps: Vec::new(), reason: Some(reason) },
        }
    }
}

impl fmt::Display for Jail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |required| if required { "; `isobit serve` and `isobit run` need --allow-weak-jail" } else { "" };
        match &self.reason {
            Some(reason) => writeln!(f, "jail: weak, as {reason}{}", end(true)),
            None if self.closed && self.gaps.is_empty() => writeln!(f, "jail: strangers' code can be jailed"),
            None if self.closed => writeln!(f, "jail: strangers' code can be jailed, but not in all ways"),
            None => writeln!(f, "jail: weak"),
        }?;
        self.gaps.iter().try_for_each(|Gap { wall, required, reason }| {
            writeln!(f, "  without {}: {reason}{}", wall.replace('-', " "), end(*required))
        })
    }
}

fn examine(selector: &DeviceSelector, printer: &Printer) -> anyhow::Result<Probed> {
    let chosen = select(selector).map_err(opening::no_device)?;
    if chosen.info.kind == DeviceKind::Interpreter {
        return Ok(Probed { info: chosen.info, verdict: None, error: None });
    }
    let info = chosen.info;
    let cache = opening::verdicts();
    let mut watch = Watch::new(printer);
    let mut told = |event| watch.show(event);
    let mut prober = InChild::new(cache.as_deref(), &mut told);
    let (verdict, error) = match Adapter::select(selector).and_then(|adapter| prober.probe(&adapter)) {
        Ok(verdict) => (Some(verdict), None),
        Err(error) => (None, Some(error.to_string())),
    };
    if let (Some(cache), Some(verdict)) = (&cache, &verdict)
        && let Err(error) = probe::record(cache, &info, verdict)
    {
        prober.not_kept(cache, &error);
    }
    Ok(Probed { info, verdict, error })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Probed { info, verdict, error } in &self.devices {
            let name = format!("{} ({}, classes: {})", info.name, info.backend, listed(&info.classes));
            match (verdict, error) {
                (Some(Verdict { tier: None, failure: Some(failure) }), _) => {
                    writeln!(f, "{name}: not to be used, since even with integers only {failure}")
                }
                (Some(Verdict { failure: Some(failure), .. }), _) => {
                    writeln!(f, "{name}: integers only, since {failure}")
                }
                (Some(_), _) => writeln!(f, "{name}: every bit is right"),
                (None, Some(error)) => writeln!(f, "{name}: failed: {error}"),
                (None, None) => writeln!(f, "{name}: needs no probe; the others are compared with it"),
            }?;
        }
        self.jail.fmt(f)
    }
}
