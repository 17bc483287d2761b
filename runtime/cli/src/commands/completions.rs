//! `isobit completions`: what a shell needs to complete command lines.

use clap_complete::Shell;

use crate::failure::Status;
use crate::printer::Printer;

/// Print a script that completes isobit's commands in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit completions bash > ~/.local/share/bash-completion/completions/isobit
  isobit completions fish > ~/.config/fish/completions/isobit.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    shell: String,
    script: &'a str,
}

impl Completions {
    /// Prints the script for `isobit` and all its commands.
    pub fn run(self, mut isobit: clap::Command, printer: &Printer) -> anyhow::Result<Status> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut isobit, "isobit", &mut script);
        let script = String::from_utf8(script)?;
        printer.answer(&Answer { shell: self.shell.to_string(), script: &script }, &script)?;
        Ok(Status::Ok)
    }
}
