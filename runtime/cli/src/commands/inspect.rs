//! `isobit inspect`: what a component is, from its bytes alone.

use std::fmt;
use std::path::PathBuf;

use isobit_job::{Bytes, Hash};

use crate::commands::read_workload;
use crate::failure::Status;
use crate::printer::Printer;

/// Show a workload's imports, exports, size and hash
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit inspect blur.wasm\n  isobit inspect blur.wasm --json")]
pub struct Inspect {
    /// The component
    #[arg(value_name = "WORKLOAD")]
    workload: PathBuf,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    hash: Hash,
    size: Bytes,
    imports: &'a [String],
    exports: &'a [String],
}

impl Inspect {
    /// Prints what was found.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let workload = read_workload(&self.workload)?;
        let blob = workload.blob();
        let answer =
            Answer { hash: blob.hash, size: blob.size, imports: workload.imports(), exports: workload.exports() };
        printer.answer(&answer, &answer)?;
        Ok(Status::Ok)
    }
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hash     {}", self.hash)?;
        writeln!(f, "size     {} ({} bytes)", self.size, self.size.get())?;
        for (label, names) in [("imports", self.imports), ("exports", self.exports)] {
            let mut label = label;
            for name in names {
                // Names are the file's: one of them must not look like two.
                writeln!(f, "{label:<8} {}", crate::escape::line(name))?;
                label = "";
            }
        }
        Ok(())
    }
}
