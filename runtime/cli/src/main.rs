//! The binary `isobit`: reads the command line, runs one command, ends with the command's exit status.
//!
//! One file per command in `commands/`. All messages to the user go through [`Printer`].

#[cfg(target_os = "linux")]
mod addresses;
mod again;
mod alone;
mod cli;
mod commands;
mod escape;
mod failure;
mod finished;
mod interrupt;
mod job_args;
mod kernel_args;
mod kernel_file;
mod key;
mod limits;
mod local;
mod made_up;
mod new_file;
mod opening;
mod outputs;
mod printer;
mod probing;
mod profiled;
mod races;
#[cfg(target_os = "linux")]
mod settings;
mod slot;
mod table;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::failure::{Shown, Status};
use crate::printer::Printer;

fn main() -> ExitCode {
    quiet_drivers();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error),
    };
    let mut printer = Printer::new(cli.global.json, cli.global.quiet, cli.global.verbose);
    if matches!(&cli.command, Command::Serve(serve) if serve.logs_json()) {
        printer.log_as_json();
    }
    start_log(&printer, &cli);
    let status = cli.command.run(&printer).unwrap_or_else(|error| {
        let shown = Shown::from(&error);
        printer.error(&shown);
        shown.status
    });
    // A kernel may still be running, or a driver may be compiling one. And drivers' exit handlers crash now and then even when
    // neither is: the exit status would be a signal although the answer has been printed.
    interrupt::leave(status)
}

/// Switches off Mesa's layer for choosing a device: it asks a display server, and complains on stderr where there is none.
/// isobit chooses the device itself. Worker processes inherit the variable.
#[allow(unsafe_code, reason = "changing the environment is unsafe beside other threads")]
fn quiet_drivers() {
    if std::env::var_os("NODEVICE_SELECT").is_none() {
        // SAFETY: called first in `main`, before anything has started a thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Prints help and version as answers, and anything else as bad usage: in JSON if `--json` was given.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|arg| arg == "--json");
    if !error.use_stderr() || !json {
        // As `error.exit()`, whose only failure is a closed pipe.
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { Status::CouldNot.code() } else { 0 });
    }
    let text = error.to_string();
    // clap's text is the message, then tips and usage after an empty line.
    let message = text.split("\n\n").next().unwrap_or(&text);
    let shown = Shown {
        message: message.trim_start_matches("error: ").trim_end().to_owned(),
        hint: Some("see `isobit --help`, or `--help` of the command".to_owned()),
        kept: None,
        status: Status::CouldNot,
    };
    Printer::new(true, true, 0).error(&shown);
    ExitCode::from(shown.status.code())
}

/// Sends `tracing` events to stderr. `ISOBIT_LOG` takes the directives of `RUST_LOG`.
fn start_log(printer: &Printer, cli: &Cli) {
    let default = match printer.verbosity() {
        // A line for each job, and what is said to people where that is logged.
        0 if matches!(cli.command, Command::Serve(_)) && !cli.global.quiet => {
            "isobit=warn,isobit::job=info,isobit::serve=info"
        }
        0 => "isobit=warn",
        1 => "isobit=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("ISOBIT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(printer.clone());
    match printer.is_json_log() {
        true => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        false => log.init(),
    }
}
