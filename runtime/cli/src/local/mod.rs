//! A job run on this machine: what `isobit run`, `isobit profile` and `isobit verify --rerun` share. Where the system has a jail, it runs in a process
//! in that jail; elsewhere, and where this process is to look at it, in this one.

mod in_process;
#[cfg(target_os = "linux")]
mod jailed;

use std::collections::BTreeMap;
use std::fs::File;
#[cfg(target_os = "linux")]
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use isobit_device::{DeviceSelector, RaceReport, Timeline};
use isobit_job::{Claim, Fault, FaultKind, Name, Observed, Unread};
use isobit_renter::{Part, Places, Submission};
use isobit_sandbox::{CodeCache, Input, Reporter, Workload};

use crate::failure::{Failure, Status};
use crate::opening;
use crate::printer::Printer;

/// What to run, and on what.
pub struct LocalJob<'a> {
    pub submission: &'a Submission,
    pub workload: &'a Workload,
    pub inputs: &'a BTreeMap<Name, PathBuf>,
    pub device: &'a DeviceSelector,
    /// Look for races, on the CPU device, whichever device is selected.
    pub detect_races: bool,
    pub deadline: Duration,
    /// Where outputs go.
    pub places: &'a Arc<Places>,
    /// Warn of outputs that are not wanted.
    pub tell_unwanted: bool,
    /// Run it also where the system cannot close the jail.
    pub allow_weak_jail: bool,
    pub reporter: Arc<dyn Reporter>,
    pub printer: &'a Printer,
}

/// The result of a local run.
pub struct LocalRun {
    pub claim: Claim,
    pub observed: Observed,
    /// The races that were found, if they were looked for.
    pub races: Option<RaceReport>,
    /// The parameters and inputs that the workload never read.
    pub unread: Unread,
    /// The outputs, for [`Places::keep`]; none if the job trapped.
    pub outputs: Option<Vec<Part>>,
}

impl LocalJob<'_> {
    /// Compiles or loads the workload, and runs the job. It is cancelled when this process is asked to stop.
    pub fn run(&self) -> anyhow::Result<LocalRun> {
        #[cfg(target_os = "linux")]
        return jailed::run(self);
        #[cfg(not(target_os = "linux"))]
        {
            if !self.allow_weak_jail {
                self.printer.warn(
                    "jails are made on Linux only: the workload is confined by WebAssembly, and the driver by nothing",
                );
            }
            in_process::run(self, None)
        }
    }

    /// The same in this process on every system, which records what the device does.
    pub fn run_here(&self, timeline: &Timeline) -> anyhow::Result<LocalRun> {
        in_process::run(self, Some(timeline))
    }

    /// A fault of this machine as an error, with what to do about it.
    fn faulted(&self, fault: &Fault) -> anyhow::Error {
        match fault.kind {
            FaultKind::Cancelled => Failure::new("cancelled").status(Status::Cancelled),
            FaultKind::Deadline => {
                Failure::new(format!("{fault} of {:?}", self.deadline)).hint(fault.kind.hint()).status(Status::Faulted)
            }
            // Not the device's trouble: a disk, or a path that the user gave.
            FaultKind::Storage => Failure::new(fault.detail.clone())
                .hint("look at the files given with -i and -o, and at the room on their disks"),
            kind => Failure::new(fault.to_string()).hint(kind.hint()).status(Status::Faulted),
        }
        .into()
    }

    /// Begins an output, and warns if nobody asked for it.
    #[cfg(target_os = "linux")]
    fn begin(&self, name: &Name) -> io::Result<Part> {
        let part = self.places.begin(name)?;
        if self.tell_unwanted && !self.places.wants(name) {
            self.printer.warn(unwanted(name));
        }
        Ok(part)
    }
}

/// The error for a component that does not compile or is no workload.
fn not_a_workload(message: impl std::fmt::Display) -> anyhow::Error {
    Failure::new(message.to_string()).hint("look at it with `isobit inspect`").into()
}

fn code_cache() -> Option<CodeCache> {
    CodeCache::open(&opening::cache("code")?).ok()
}

fn open_inputs(
    spec: &BTreeMap<Name, isobit_job::Blob>,
    paths: &BTreeMap<Name, PathBuf>,
) -> anyhow::Result<BTreeMap<Name, Input>> {
    let mut inputs = BTreeMap::new();
    for (name, blob) in spec {
        let path = paths.get(name).ok_or_else(|| Failure::new(format!("the input {name} is not given")))?;
        let file = File::open(path)
            .map_err(|error| Failure::new(format!("cannot read the input {name}, {}: {error}", path.display())))?;
        inputs.insert(name.clone(), Input { file, size: blob.size.get() });
    }
    Ok(inputs)
}

/// The warning about an output that was not asked for.
pub fn unwanted(name: &Name) -> String {
    format!("the workload writes an output `{name}` that is not asked for; keep it with -o {name}=PATH")
}
