//! One file per command.

pub mod build;
pub mod check;
pub mod completions;
#[cfg(target_os = "linux")]
pub mod config;
pub mod devices;
pub mod doctor;
pub mod inspect;
pub mod keygen;
pub mod limits;
pub mod man;
pub mod new;
pub mod profile;
pub mod quote;
pub mod run;
#[cfg_attr(not(target_os = "linux"), path = "serve_elsewhere.rs")]
pub mod serve;
pub mod show;
#[cfg_attr(not(target_os = "linux"), path = "status_elsewhere.rs")]
pub mod status;
pub mod submit;
pub mod verify;
pub mod worker;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use isobit_job::{Envelope, MAX_ENVELOPE_JSON, Profile, Receipt, ReceiptError};
use isobit_sandbox::{MAX_WORKLOAD, Workload, WorkloadError};
use tempfile::TempDir;

use crate::alone;
use crate::failure::{Failure, Status};
use crate::job_args::{JobArgs, JobFiles, JobNames, in_a_folder};
use crate::printer::Printer;

/// A workload, and the file that has its bytes.
struct Program {
    workload: Workload,
    path: PathBuf,
    /// Holds the file if it was made here.
    folder: Option<TempDir>,
}

/// Reads a file that is a workload, or a program for WASI as a core module, which becomes one.
fn read_program(path: &Path) -> anyhow::Result<Program> {
    let bytes = read_bounded(path, MAX_WORKLOAD)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|size| size <= MAX_WORKLOAD);
    if !(fits && Workload::is_core_module(&bytes)) {
        let workload = parse(Status::CouldNot, path, bytes)?;
        return Ok(Program { workload, path: path.to_owned(), folder: None });
    }
    let workload = build::component::from_command(&bytes).map_err(|error| error.context(path.display().to_string()))?;
    let (folder, path) = in_a_folder(&workload)?;
    Ok(Program { workload, path, folder: Some(folder) })
}

/// Reads a file and checks that it is a workload. `status` is the exit status of the command if it is not.
fn read_workload(status: Status, path: &Path) -> anyhow::Result<Workload> {
    parse(status, path, read_bounded(path, MAX_WORKLOAD)?)
}

fn parse(status: Status, path: &Path, bytes: Vec<u8>) -> anyhow::Result<Workload> {
    Ok(Workload::parse(bytes).map_err(|error| {
        let failure = Failure::new(format!("{} is not a workload: {error}", path.display())).status(status);
        match error {
            WorkloadError::CoreModule => {
                failure.hint("`isobit run` and `isobit submit` make it one, if it is a WASI program")
            }
            WorkloadError::NotWasm(_) => failure.hint("make one with `isobit build DIR`"),
            _ => failure.hint("look at the crate that it was built from: `isobit new DIR` makes one that fits"),
        }
    })?)
}

/// Reads the workload of a job, and takes the names out of its arguments; of a kernel alone, makes both.
fn job_files(args: &mut JobArgs, profile: Profile, printer: &Printer) -> anyhow::Result<JobFiles> {
    if let Some(alone) = alone::files(args, profile)? {
        return Ok(alone);
    }
    let Program { workload, path, folder } = read_program(&args.workload)?;
    let names = JobNames::new(args, &workload, printer)?;
    Ok(JobFiles { workload, path, names, folder })
}

/// Reads a receipt's file and verifies it. The outer error: the file cannot be read. The inner: its content is wrong.
fn read_receipt(path: &Path) -> anyhow::Result<Result<Receipt, ReceiptError>> {
    let bytes = read_bounded(path, u64::try_from(MAX_ENVELOPE_JSON)?)?;
    Ok(Envelope::from_json(&bytes).and_then(|envelope| envelope.verify()))
}

/// Reads a file with a provider's settings.
#[cfg(target_os = "linux")]
fn settings_file(path: &Path) -> anyhow::Result<crate::settings::Given> {
    let bytes = read_bounded(path, crate::settings::MAX_FILE).map_err(|error| {
        let failure = Failure::new(format!("there are no settings: {error}"));
        failure.hint("`isobit config example > FILE` writes a file with every key and its default")
    })?;
    crate::settings::Given::parse(path, &bytes)
}

/// Reads up to `most` bytes of a file, and one more of a longer file, so that the caller notices that it is too long.
fn read_bounded(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let refused = |error: std::io::Error| Failure::new(format!("cannot read {shown}: {error}"));
    let file = File::open(path).map_err(refused)?;
    if file.metadata().map_err(refused)?.is_dir() {
        return Err(Failure::new(format!("{shown} is a folder, not a file")).into());
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(refused)?;
    Ok(bytes)
}
