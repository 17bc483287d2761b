//! `isobit run`: a job on this machine, in the sandbox.

use std::path::PathBuf;
use std::sync::Arc;

use isobit_device::DeviceSelector;
use isobit_job::{Limits, Receipt};
use isobit_renter::Submission;

use crate::failure::Status;
use crate::finished::Finished;
use crate::job_args::{JobArgs, by_name};
use crate::key::KeyArgs;
use crate::local::LocalJob;
use crate::printer::Printer;
use crate::races::Races;
use crate::watch::Watch;

/// Run a workload on this machine, in the sandbox
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit run photo.wasm -i photo=in.png -o out=out.png -p radius=3
  isobit run mandelbrot.wasm -o out=m.png --device swiftshader --receipt r.json
  isobit run reduce.wasm -i in=data -o out=sum --detect-races")]
pub struct Run {
    #[command(flatten)]
    job: JobArgs,
    /// The device: part of its name, its number in `isobit devices`, or cpu. Without any driver best is cpu
    #[arg(long, default_value = "best")]
    device: DeviceSelector,
    /// Run on the CPU device and look for invocations that touch one word without a barrier between, one of them writing.
    /// Exit status 1: there are such; 2: none was found, but not all memory could be followed
    #[arg(long, conflicts_with_all = ["device", "receipt"])]
    detect_races: bool,
    /// Sign the claim with this node's key and write the receipt here
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

impl Run {
    /// Runs the job and puts its outputs in place.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        // A receipt that cannot be signed is found out before the work, not after it.
        let secret = self.receipt.is_some().then(|| self.key.load()).transpose()?;
        let profile = self.job.profile(printer);
        let inputs = by_name("input", self.job.input)?;
        let outputs = by_name("output", self.job.output)?;
        let params = by_name("parameter", self.job.param)?;
        let limits = Limits::from(self.job.limits);
        let submission = Submission::new(&self.job.workload, &inputs, params, limits, profile)?;
        let watch = Arc::new(Watch::new(printer));
        let job = LocalJob {
            submission: &submission,
            workload: &self.job.workload,
            inputs: &inputs,
            device: &self.device,
            detect_races: self.detect_races,
            deadline: self.job.deadline.into(),
            outputs: &outputs,
            reporter: Arc::clone(&watch) as _,
            printer,
        };
        let ran = job.run(crate::interrupt::on_ctrl_c);
        watch.finish();
        let ran = ran?;
        let (claim, observed, races) = (ran.claim.clone(), ran.observed.clone(), ran.races.clone());
        let kept = ran.keep(&outputs)?;
        if let (Some(path), Some(secret)) = (&self.receipt, secret) {
            let receipt = Receipt {
                spec: submission.spec().clone(),
                claim: claim.clone(),
                observed: observed.clone(),
                provider: secret.public(),
            };
            super::write_receipt(path, &receipt.sign(&secret))?;
        }
        let finished = Finished::new(&claim, &observed, &kept, self.receipt.as_ref());
        let finished = finished.with_races(races.as_ref().map(Races::new));
        printer.answer(&finished, &finished)?;
        Ok(finished.status())
    }
}
