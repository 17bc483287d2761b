//! `isobit submit`: a job at a provider.

use std::sync::Arc;
use std::time::Duration;

use isobit_job::{Limits, NodeAddr, SecretKey};
use isobit_renter::{Destination, Event, Submission, SubmitError, submit};
use isobit_sandbox::Reporter as _;

use crate::escape;
use crate::failure::{Failure, Status};
use crate::finished::{Finished, Queued};
use crate::interrupt::{StopRequests, leave_when_asked};
use crate::job_args::{JobArgs, JobFiles, TermArgs, place};
use crate::key::KeyArgs;
use crate::local::unwanted;
use crate::outputs;
use crate::printer::Printer;
use crate::watch::Watch;

/// Run a workload, or a kernel alone, at a provider and bring outputs and receipt home
///
/// Ctrl-C cancels the job at the provider, and so does closing the terminal. Nothing is written unless the receipt agrees
/// with the bytes that arrived. A file is then replaced whole; devices, named pipes and stdout (`-`) are written into.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit submit photo.wasm --to provider.example:4433#KEY -i photo=in.png -o out=out.png
  isobit submit photo.wasm --to provider.example:4433#KEY -i photo=in.png -o out=out.png --fuel 10G --budget 0.5EUR
  isobit submit kernel.wgsl --to 127.0.0.1:4433#KEY --bind 0=in.bin --bind 1=zeros:4096 --workgroups 64 -o 1=out.bin
  isobit submit mandelbrot.wasm --to 127.0.0.1:4433#KEY -o out=m.png --receipt r.json --json")]
pub struct Submit {
    #[command(flatten)]
    job: JobArgs,
    /// The provider's address: host:port#key
    #[arg(long, value_name = "ADDRESS")]
    to: NodeAddr,
    #[command(flatten)]
    terms: TermArgs,
    /// Write the provider's receipt here
    #[arg(long, value_name = "FILE", value_parser = place)]
    receipt: Option<Destination>,
    #[command(flatten)]
    key: KeyArgs,
}

impl Submit {
    /// Submits the job and waits for its end.
    pub fn run(mut self, printer: &Printer) -> anyhow::Result<Status> {
        let secret = match self.key.find()? {
            Some(secret) => secret,
            None => {
                printer.detail("no key: this job is submitted under a key made for it; see `isobit keygen`");
                SecretKey::generate()
            }
        };
        let profile = self.job.profile(printer);
        let JobFiles { path, names, folder: _folder, .. } = super::job_files(&mut self.job, profile, printer)?;
        let key: Vec<_> = self.key.path().map(|path| ("key", path)).into_iter().collect();
        let places = Arc::new(outputs::check_places(&names, self.receipt.as_ref(), &self.job.workload, &key, printer)?);
        let hashing = printer.spinner("hashing");
        let limits = Limits::from(self.job.limits);
        let submission = Submission::new(&path, &names.inputs, names.params, limits, profile);
        hashing.finish_and_clear();
        let submission = Arc::new(submission?.of_class(self.job.class).with_terms(self.terms.into()));
        let watch = Watch::new(printer);
        let runtime = tokio::runtime::Runtime::new()?;
        let deadline = self.job.deadline.into();
        let mut requests = {
            let _context = runtime.enter();
            StopRequests::listen()
        };
        let mut queued = None;
        let result = runtime.block_on(submit(
            &self.to,
            &secret,
            &submission,
            deadline,
            &places,
            |event| {
                if let (None, Event::Queued { position, reason }) = (&queued, &event) {
                    queued = Some(Queued { position: *position, reason: reason.clone() });
                }
                show(printer, &watch, deadline, event);
            },
            requests.next(),
        ));
        watch.finish();
        let delivered = result.map_err(|error| failure(&error))?;
        // The provider is done, so a request to stop may end this process at once. A named pipe may still wait for a reader.
        leave_when_asked();
        let receipt = &delivered.receipt;
        let kept = outputs::keep(&places, delivered.outputs, Some(&delivered.envelope), receipt.claim.job, printer)?;
        let here = isobit_sandbox::rules(profile);
        if receipt.claim.rules != here {
            printer.warn(format_args!(
                "the provider's claim is under {}, and this isobit has {here}: it cannot check it by running the job again",
                receipt.claim.rules
            ));
        }
        let finished = Finished::new(&receipt.claim, &receipt.spec.limits, &receipt.observed, &kept, &delivered.unread);
        let finished = finished.with_bill(receipt.bill.as_ref()).with_queued(queued);
        finished.show(printer, places.use_stdout())
    }
}

fn show(printer: &Printer, watch: &Watch, asked: Duration, event: Event) {
    match event {
        Event::Connected { software } => printer.detail(format_args!("the provider runs {software}")),
        Event::Uploading { sent, total } => watch.bytes("sending", sent, total),
        Event::Prices { prices, most } => {
            let currency = &prices.currency;
            printer.note(format_args!("the provider charges for this job, by its limits at most {most} {currency}"));
            printer.detail(format_args!("its prices: {prices}"));
        }
        Event::Queued { position, reason } => {
            printer.note(format_args!("waiting, number {position} in line: {}", escape::line(&reason)))
        }
        Event::Accepted { deadline } => {
            watch.finish();
            printer.detail("accepted");
            if deadline < asked {
                printer
                    .note(format_args!("the provider gives any job {deadline:?}, less than the {asked:?} asked for"));
            }
        }
        Event::Restarted { device, reason } => {
            watch.finish();
            printer.note(format_args!("{}; running anew on {}", escape::line(&reason), escape::line(&device)));
        }
        Event::Running { device } => printer.note(format_args!("running on {}", escape::line(&device))),
        Event::Log { level, message } => watch.log(level, &message),
        Event::Progress { fraction, message } => watch.progress(fraction, &message),
        Event::Output { name, wanted: false } => {
            printer.warn(unwanted(&name));
        }
        _ => {}
    }
}

fn failure(error: &SubmitError) -> Failure {
    let status = match error {
        SubmitError::Faulted(_) | SubmitError::Connection(_) | SubmitError::Silent { .. } => Status::Faulted,
        SubmitError::OutputMismatch { .. }
        | SubmitError::MissingOutputs { .. }
        | SubmitError::TooMuch { .. }
        | SubmitError::Receipt(_)
        | SubmitError::OtherPrices
        | SubmitError::WrongReceipt(_) => Status::No,
        SubmitError::Cancelled => Status::Cancelled,
        _ => Status::CouldNot,
    };
    let failure = Failure::new(error.to_string()).status(status);
    match error.hint() {
        hint if hint.is_empty() => failure,
        hint => failure.hint(hint),
    }
}
