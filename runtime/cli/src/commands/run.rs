//! `isobit run`: a job on this machine, in the sandbox.

use std::sync::Arc;

use isobit_device::DeviceSelector;
use isobit_job::{Limits, Receipt};
use isobit_renter::{Destination, Submission};

use crate::failure::Status;
use crate::finished::Finished;
use crate::job_args::{JobArgs, JobFiles, place};
use crate::key::KeyArgs;
use crate::local::{LocalJob, LocalRun};
use crate::outputs;
use crate::printer::Printer;
use crate::races::Races;
use crate::watch::Watch;

/// Run a workload, or a kernel alone, on this machine, in the sandbox
///
/// The workload runs in a process of its own, in the jail that a provider's jobs run in.
/// Nothing is written before the job has completed. A file is then replaced whole; devices, named pipes and stdout (`-`)
/// are written into.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit run photo.wasm -i photo=in.png -o out=out.png -p radius=3
  isobit run mandelbrot.wasm -o out=m.png --device swiftshader --receipt r.json
  isobit run photo.wasm -i photo=in.png -o out=- | file -
  isobit run kernel.wgsl --bind 0=in.bin --bind 1=zeros:4096 --workgroups 64 -o 1=out.bin
  isobit run model.wasm -i weights=model.bin -o text=- --class large --device cpu
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
    /// Run the job even where the system cannot close the jail that it runs in
    #[arg(long)]
    allow_weak_jail: bool,
    /// Sign the claim with this node's key and write the receipt here
    #[arg(long, value_name = "FILE", value_parser = place)]
    receipt: Option<Destination>,
    #[command(flatten)]
    key: KeyArgs,
}

impl Run {
    /// Runs the job and puts its outputs in place.
    pub fn run(mut self, printer: &Printer) -> anyhow::Result<Status> {
        // Mistakes in the arguments are found before the job runs, not after it.
        let secret = self.receipt.is_some().then(|| self.key.load()).transpose()?;
        let profile = self.job.profile(printer);
        let JobFiles { workload, path, names, folder: _folder } = super::job_files(&mut self.job, profile)?;
        let key = self.key.path().map(|path| ("key", path));
        let key: Vec<_> = key.into_iter().collect();
        let places = Arc::new(outputs::check_places(&names, self.receipt.as_ref(), &path, &key, printer)?);
        let limits = Limits::from(self.job.limits);
        let submission = Submission::new(&path, &names.inputs, names.params, limits, profile)?;
        let submission = submission.of_class(self.job.class);
        let watch = Arc::new(Watch::new(printer));
        let job = LocalJob {
            submission: &submission,
            workload: &workload,
            inputs: &names.inputs,
            device: &self.device,
            detect_races: self.detect_races,
            deadline: self.job.deadline.into(),
            places: &places,
            tell_unwanted: true,
            allow_weak_jail: self.allow_weak_jail,
            reporter: Arc::clone(&watch) as _,
            printer,
        };
        let ran = job.run();
        watch.finish();
        let LocalRun { claim, observed, races, unread, outputs: arrived } = ran?;
        let receipt = secret.map(|secret| {
            let (spec, claim, observed) = (submission.spec().clone(), claim.clone(), observed.clone());
            let receipt = Receipt { spec, claim, observed, provider: secret.public(), bill: None };
            // The process that ran the job has run strangers' code: nothing that it says is signed unless it can be.
            receipt.check().map(|()| receipt.sign(&secret))
        });
        let receipt = receipt.transpose()?;
        let kept = outputs::keep(&places, arrived, receipt.as_ref(), claim.job, printer)?;
        let finished = Finished::new(&claim, &submission.spec().limits, &observed, &kept, &unread);
        finished.with_races(races.as_ref().map(Races::new)).show(printer, places.use_stdout())
    }
}
