//! One file per command.

pub mod build;
pub mod check;
pub mod completions;
pub mod devices;
pub mod doctor;
pub mod inspect;
pub mod keygen;
pub mod man;
pub mod new;
pub mod run;
pub mod serve;
pub mod submit;
pub mod verify;
pub mod worker;

use std::io::Write as _;
use std::path::Path;

use isobit_job::Envelope;
use isobit_renter::Part;
use isobit_sandbox::Workload;

use crate::failure::{Failure, Status};

/// Reads a file and checks that it is a workload.
pub fn read_workload(path: &Path) -> anyhow::Result<Workload> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| Failure::new(format!("cannot read {shown}: {error}")))?;
    Ok(Workload::parse(bytes)
        .map_err(|error| Failure::new(format!("{shown} is not a workload: {error}")).status(Status::No))?)
}

/// Writes a receipt, whole or not at all.
fn write_receipt(path: &Path, envelope: &Envelope) -> anyhow::Result<()> {
    let mut part = Part::create("receipt".parse()?, Some(path.to_owned()))?;
    writeln!(part, "{}", envelope.to_json_pretty())?;
    part.keep()?;
    Ok(())
}
