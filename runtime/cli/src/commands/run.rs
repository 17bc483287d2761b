//! `isobit run`: a job on this machine, in the sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use isobit_device::DeviceSelector;
use isobit_job::{Limits, Name, Receipt};
use isobit_renter::{Destination, Places, Submission};
use isobit_sandbox::{Reporter, Workload};
use tempfile::TempDir;

use crate::again::Again;
use crate::failure::Status;
use crate::finished::Finished;
use crate::job_args::{JobArgs, JobFiles, place};
use crate::key::KeyArgs;
use crate::local::{LocalJob, LocalRun};
use crate::outputs;
use crate::printer::Printer;
use crate::races::Races;
use crate::slot::Contents;
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
  isobit run reduce.wasm -i in=data -o out=sum --detect-races
  isobit run --watch blur -i photo=in.png -o out=out.png")]
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
    /// Run it again whenever the workload or an input changes, until Ctrl-C. The workload may be a crate's folder: then it is built before
    #[arg(long)]
    watch: bool,
    /// The component that the workload's folder was built to: what `--watch` gives to the runs that it starts
    #[arg(long, hide = true, conflicts_with = "watch")]
    built: Option<PathBuf>,
    /// Sign the claim with this node's key and write the receipt here
    #[arg(long, value_name = "FILE", value_parser = place)]
    receipt: Option<Destination>,
    #[command(flatten)]
    key: KeyArgs,
}

impl Run {
    /// Runs the job and puts its outputs in place.
    pub fn run(mut self, printer: &Printer) -> anyhow::Result<Status> {
        if self.watch {
            return self.again().run(printer);
        }
        if let Some(built) = self.built.take() {
            self.job.workload = built;
        }
        // Mistakes in the arguments are found before the job runs, not after it.
        let secret = self.receipt.is_some().then(|| self.key.load()).transpose()?;
        let key = self.key.path().map(|path| ("key", path));
        let key: Vec<_> = key.into_iter().collect();
        let prepared = Prepared::new(&mut self.job, self.receipt.as_ref(), &key, printer)?;
        let watch = Arc::new(Watch::new(printer));
        let job = LocalJob {
            detect_races: self.detect_races,
            allow_weak_jail: self.allow_weak_jail,
            ..prepared.job(&self.device, Arc::clone(&watch) as _, printer)
        };
        let ran = job.run();
        watch.finish();
        let Prepared { submission, places, .. } = &prepared;
        let LocalRun { claim, observed, races, unread, outputs: arrived } = ran?;
        let receipt = secret.map(|secret| {
            let (spec, claim, observed) = (submission.spec().clone(), claim.clone(), observed.clone());
            let receipt = Receipt { spec, claim, observed, provider: secret.public(), bill: None };
            // The process that ran the job has run strangers' code: nothing that it says is signed unless it can be.
            receipt.check().map(|()| receipt.sign(&secret))
        });
        let receipt = receipt.transpose()?;
        let kept = outputs::keep(places, arrived, receipt.as_ref(), claim.job, printer)?;
        let finished = Finished::new(&claim, &submission.spec().limits, &observed, &kept, &unread);
        finished.with_races(races.as_ref().map(Races::new)).show(printer, places.use_stdout())
    }
}

impl Run {
    fn again(&self) -> Again {
        let outputs = self.job.output.iter().map(|output| &output.value).chain(&self.receipt);
        let path = |place: &Destination| match place {
            Destination::Path(path) => Some(path.clone()),
            Destination::Stdout => None,
        };
        let bound = self.job.kernel.bind.iter().filter_map(|bind| match &bind.contents {
            Contents::File(path) => Some(path),
            Contents::Words(_) | Contents::Zeros(_) => None,
        });
        Again {
            workload: self.job.workload.clone(),
            inputs: self.job.input.iter().map(|input| &input.value).chain(bound).cloned().collect(),
            written: outputs.filter_map(path).collect(),
        }
    }
}

/// A job that is to be run here, with all that can be found wrong before it runs.
pub(super) struct Prepared {
    pub(super) submission: Submission,
    pub(super) places: Arc<Places>,
    workload: Workload,
    inputs: BTreeMap<Name, PathBuf>,
    deadline: Duration,
    /// Holds files that were made for the job.
    _folder: Option<TempDir>,
}

impl Prepared {
    /// `sources` are files besides the job's own that must not be overwritten.
    pub(super) fn new(
        args: &mut JobArgs,
        receipt: Option<&Destination>,
        sources: &[(&str, PathBuf)],
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let profile = args.profile(printer);
        let JobFiles { workload, path, names, folder } = super::job_files(args, profile, printer)?;
        let places = Arc::new(outputs::check_places(&names, receipt, &args.workload, sources, printer)?);
        let limits = Limits::from(args.limits.clone());
        let submission = Submission::new(&path, &names.inputs, names.params, limits, profile)?;
        let submission = submission.of_class(args.class);
        Ok(Self { submission, places, workload, inputs: names.inputs, deadline: args.deadline.into(), _folder: folder })
    }

    /// The files that the job reads.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Path> {
        self.inputs.values().map(PathBuf::as_path)
    }

    /// The job on a device.
    pub(super) fn job<'a>(
        &'a self,
        device: &'a DeviceSelector,
        reporter: Arc<dyn Reporter>,
        printer: &'a Printer,
    ) -> LocalJob<'a> {
        LocalJob {
            submission: &self.submission,
            workload: &self.workload,
            inputs: &self.inputs,
            device,
            detect_races: false,
            deadline: self.deadline,
            places: &self.places,
            tell_unwanted: true,
            allow_weak_jail: false,
            reporter,
            printer,
        }
    }
}
