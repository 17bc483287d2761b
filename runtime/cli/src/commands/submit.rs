//! `isobit submit`: a job at a provider.

use std::path::PathBuf;
use std::sync::Arc;

use isobit_job::{Limits, NodeAddr, SecretKey};
use isobit_renter::{Event, Submission, SubmitError, submit};
use isobit_sandbox::{LogLevel, Reporter as _};

use crate::failure::{Failure, Status};
use crate::finished::Finished;
use crate::interrupt::asked_to_stop;
use crate::job_args::{JobArgs, by_name};
use crate::key::KeyArgs;
use crate::printer::Printer;
use crate::watch::Watch;

/// Run a workload at a provider and bring outputs and receipt home
///
/// Ctrl-C cancels the job at the provider. Nothing is written unless the receipt agrees with the bytes that
/// arrived.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit submit photo.wasm --to provider.example:4433#KEY -i photo=in.png -o out=out.png
  isobit submit mandelbrot.wasm --to 127.0.0.1:4433#KEY -o out=m.png --receipt r.json --json")]
pub struct Submit {
    #[command(flatten)]
    job: JobArgs,
    /// The provider's address: host:port#key
    #[arg(long, value_name = "ADDRESS")]
    to: NodeAddr,
    /// Write the provider's receipt here
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

impl Submit {
    /// Submits the job and waits for its end.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let secret = match self.key.find()? {
            Some(secret) => secret,
            None => {
                printer.detail("no key: this job is submitted under a key made for it; see `isobit keygen`");
                SecretKey::generate()
            }
        };
        let profile = self.job.profile(printer);
        let inputs = by_name("input", self.job.input)?;
        let outputs = by_name("output", self.job.output)?;
        let params = by_name("parameter", self.job.param)?;
        super::read_workload(&self.job.workload)?;
        let hashing = printer.spinner("hashing");
        let submission = Submission::new(&self.job.workload, &inputs, params, Limits::from(self.job.limits), profile);
        hashing.finish_and_clear();
        let submission = Arc::new(submission?);
        let watch = Watch::new(printer);
        let runtime = tokio::runtime::Runtime::new()?;
        let deadline = self.job.deadline.into();
        let result = runtime.block_on(submit(
            &self.to,
            &secret,
            &submission,
            deadline,
            &outputs,
            |event| show(printer, &watch, event),
            asked_to_stop(),
        ));
        watch.finish();
        let delivered = result.map_err(|error| failure(&error))?;
        if let Some(path) = &self.receipt {
            super::write_receipt(path, &delivered.envelope)?;
        }
        let receipt = &delivered.receipt;
        let here = isobit_sandbox::rules(profile);
        if receipt.claim.rules != here {
            printer.warn(format_args!(
                "the provider's claim is under {}, and this isobit has {here}: it cannot check it by running the job again",
                receipt.claim.rules
            ));
        }
        let finished = Finished::new(&receipt.claim, &receipt.observed, &delivered.outputs, self.receipt.as_ref());
        printer.answer(&finished, &finished)?;
        Ok(finished.status())
    }
}

fn show(printer: &Printer, watch: &Watch, event: Event) {
    match event {
        Event::Connected { software } => printer.detail(format_args!("the provider runs {software}")),
        Event::Uploading { sent, total } => watch.bytes("sending", sent, total),
        Event::Queued { position, reason } => {
            printer.note(format_args!("waiting, number {position} in line: {reason}"))
        }
        Event::Accepted => {
            watch.finish();
            printer.detail("accepted");
        }
        Event::Running { device } => printer.note(format_args!("running on {device}")),
        Event::Log { level, message } => watch.log(of_wire(level), &message),
        Event::Progress { fraction, message } => watch.progress(fraction, &message),
        Event::Output { name, wanted: false } => {
            printer.warn(format_args!(
                "the workload writes an output `{name}` that is not asked for; keep it with -o {name}=PATH"
            ));
        }
        _ => {}
    }
}

fn of_wire(level: isobit_wire::Level) -> LogLevel {
    match level {
        isobit_wire::Level::Error => LogLevel::Error,
        isobit_wire::Level::Warn => LogLevel::Warn,
        isobit_wire::Level::Info => LogLevel::Info,
        isobit_wire::Level::Debug => LogLevel::Debug,
    }
}

fn failure(error: &SubmitError) -> Failure {
    let status = match error {
        SubmitError::Faulted { .. } | SubmitError::Connection(_) => Status::Faulted,
        SubmitError::OutputMismatch { .. } | SubmitError::Receipt(_) | SubmitError::WrongReceipt(_) => Status::No,
        SubmitError::Cancelled => Status::Cancelled,
        _ => Status::CouldNot,
    };
    let failure = Failure::new(error.to_string()).status(status);
    match error.hint() {
        hint if hint.is_empty() => failure,
        hint => failure.hint(hint),
    }
}
