//! The command line as a whole: global flags, the list of commands, what `isobit --help` says.

use clap::{Args, CommandFactory as _, Parser, Subcommand};

#[cfg(target_os = "linux")]
use crate::commands::config;
use crate::commands::{
    build, check, completions, devices, doctor, inspect, keygen, limits, man, new, profile, quote, run, serve, show,
    status, submit, verify, worker,
};
use crate::failure::Status;
use crate::printer::Printer;

const AFTER_HELP: &str = "\
Exit status:
  0    done, or the answer is yes
  1    the answer is no, or the job failed
  2    it could not be done: bad usage, a missing file, no connection, ...
  3    the provider faulted, or here the device or the deadline; run the job again, perhaps elsewhere
  130  cancelled, by Ctrl-C, a closed terminal or the system

Examples:
  isobit new blur && isobit build blur
  isobit devices --json";

/// Run GPU work in a sandbox, here or on other people's machines, and check that it was run right.
#[derive(Debug, Parser)]
#[command(name = "isobit", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Print the answer as one JSON document on stdout, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// Print errors, warnings and the answer only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What `isobit` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    New(new::New),
    Build(build::Build),
    Check(check::Check),
    Inspect(inspect::Inspect),
    Devices(devices::Devices),
    Doctor(doctor::Doctor),
    Run(run::Run),
    Profile(profile::Profile),
    Keygen(keygen::Keygen),
    Serve(Box<serve::Serve>),
    #[cfg(target_os = "linux")]
    Config(config::Config),
    Quote(quote::Quote),
    Status(status::Status),
    Submit(submit::Submit),
    Verify(verify::Verify),
    Show(show::Show),
    Limits(limits::Limits),
    Worker(worker::Worker),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Runs the command. The caller shows errors.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        match self {
            Self::New(command) => command.run(printer),
            Self::Build(command) => command.run(printer),
            Self::Check(command) => command.run(printer),
            Self::Inspect(command) => command.run(printer),
            Self::Devices(command) => command.run(printer),
            Self::Doctor(command) => command.run(printer),
            Self::Run(command) => command.run(printer),
            Self::Profile(command) => command.run(printer),
            Self::Keygen(command) => command.run(printer),
            Self::Serve(command) => command.run(printer),
            Self::Quote(command) => command.run(printer),
            #[cfg(target_os = "linux")]
            Self::Config(command) => command.run(printer),
            Self::Status(command) => command.run(printer),
            Self::Submit(command) => command.run(printer),
            Self::Verify(command) => command.run(printer),
            Self::Show(command) => command.run(printer),
            Self::Limits(command) => command.run(&Cli::command(), printer),
            Self::Worker(command) => command.run(),
            Self::Completions(command) => command.run(Cli::command(), printer),
            Self::Man(command) => command.run(Cli::command(), printer),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_commands_help_ends_with_examples() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = help.rsplit_once("Examples:\n").unwrap_or_else(|| panic!("{name} has no examples"));
            assert!(examples.lines().all(|line| line.starts_with("  ")), "{name}: {examples}");
            assert!(examples.contains(&format!("isobit {name}")), "{name}: {examples}");
        }
    }
}
