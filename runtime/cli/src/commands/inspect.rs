//! `isobit inspect`: what a component is, from its bytes alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use isobit_job::{Bytes, Hash, Name};

use crate::failure::Status;
use crate::printer::Printer;

/// Show a workload's size and hash, what it imports, and what it says that it takes
///
/// A workload says what it takes with `isobit::takes!` of the SDK. Exit status 1: the file is no workload.
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
    /// Whether it is a program with `main`: `wasi:cli/run`.
    command: bool,
    takes: Takes<'a>,
}

/// Names with descriptions; nothing is known of those that the workload does not mention.
#[derive(serde::Serialize)]
struct Takes<'a> {
    params: &'a BTreeMap<Name, String>,
    inputs: &'a BTreeMap<Name, String>,
    outputs: &'a BTreeMap<Name, String>,
}

impl Inspect {
    /// Prints what was found.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let workload = super::read_workload(Status::No, &self.workload)?;
        let (blob, takes) = (workload.blob(), workload.takes());
        let answer = Answer {
            hash: blob.hash,
            size: blob.size,
            imports: workload.imports(),
            exports: workload.exports(),
            command: workload.is_command(),
            takes: Takes { params: &takes.params, inputs: &takes.inputs, outputs: &takes.outputs },
        };
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
                // Names come from the file. They are escaped, so that one cannot look like two.
                writeln!(f, "{label:<8} {}", crate::escape::line(name))?;
                label = "";
            }
        }
        let Takes { params, inputs, outputs } = self.takes;
        for (label, names) in [("params", params), ("inputs", inputs), ("outputs", outputs)] {
            let width = names.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
            let mut label = label;
            for (name, description) in names {
                let line = format!("{label:<8} {:<width$}  {}", name.as_str(), crate::escape::line(description));
                writeln!(f, "{}", line.trim_end())?;
                label = "";
            }
        }
        if self.command {
            return writeln!(
                f,
                "takes    arguments after --, --env, input stdin, any input as a file in /in; makes output stdout, and files in /out"
            );
        }
        if params.is_empty() && inputs.is_empty() && outputs.is_empty() {
            writeln!(f, "takes    it does not say")?;
        }
        Ok(())
    }
}
