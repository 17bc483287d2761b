//! `isobit profile`: where the time of a job goes, kernel by kernel.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use isobit_device::{DeviceSelector, Timeline};
use isobit_job::LogLevel;
use isobit_sandbox::Reporter;

use super::run::Prepared;
use crate::failure::{Failure, Status};
use crate::finished::Finished;
use crate::job_args::JobArgs;
use crate::local::LocalRun;
use crate::new_file::NewFile;
use crate::outputs;
use crate::printer::Printer;
use crate::profiled::Profiled;
use crate::watch::Watch;

/// Run a workload on this machine and show where its time goes
///
/// It takes the arguments of `isobit run`, and makes the same outputs and the same claim. For each kernel it shows dispatches, workgroups, kernel fuel,
/// time, and the bytes of the ranges that were bound to it, all of them and those that it may write; besides that what else the device did, and what is
/// left: the guest's own time.
///
/// Each dispatch is waited for, so that its time is its own: what takes less time by running while the guest goes on does not show here. The
/// workload runs in this process, in the sandbox but without the jail of `isobit run`: profile what you have built yourself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit profile photo.wasm -i photo=in.png -o out=out.png -p radius=3
  isobit profile nbody.wasm -o bodies=b --device cpu --trace trace.json
  isobit profile nbody.wasm --json")]
pub struct Profile {
    #[command(flatten)]
    job: JobArgs,
    /// The device: part of its name, its number in `isobit devices`, or cpu. Without any driver best is cpu
    #[arg(long, default_value = "best")]
    device: DeviceSelector,
    /// Write what ran when to this file, in the Chrome trace event format: for chrome://tracing, Perfetto, Speedscope and others
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl Profile {
    /// Runs the job, puts its outputs in place, and shows what took how long.
    pub fn run(mut self, printer: &Printer) -> anyhow::Result<Status> {
        let sources = self.sources();
        let prepared = Prepared::new(&mut self.job, None, &sources, printer)?;
        if let Some(trace) = &self.trace {
            self.refuse_overwriting(trace, &prepared)?;
            // What stands in the way of the file is found before the job runs.
            drop(NewFile::create(trace)?);
        }
        let (timeline, watch) = (Timeline::default(), Arc::new(Started::new(printer)));
        let job = prepared.job(&self.device, Arc::clone(&watch) as _, printer);
        let ran = job.run_here(&timeline);
        watch.watch.finish();
        let LocalRun { claim, observed, unread, outputs: arrived, .. } = ran?;
        let Prepared { submission, places, .. } = &prepared;
        let kept = outputs::keep(places, arrived, None, claim.job, printer)?;
        if let Some(instead) = &observed.instead_of {
            printer.warn(format_args!(
                "the profile shows the attempt on {}, up to where it was given up; --device cpu shows all of it",
                instead.device
            ));
        }
        let profiled = Profiled::new(timeline.recording(), watch.at(), self.trace.as_deref());
        if let Some(trace) = &self.trace {
            NewFile::create(trace)?.keep(&profiled.trace()?)?;
        }
        let finished = Finished::new(&claim, &submission.spec().limits, &observed, &kept, &unread);
        finished.with_profile(Some(profiled)).show(printer, places.use_stdout())
    }

    /// The files that no output may overwrite, besides the job's own.
    fn sources(&self) -> Vec<(&'static str, PathBuf)> {
        self.trace.iter().map(|trace| ("trace", trace.clone())).collect()
    }

    fn refuse_overwriting(&self, trace: &Path, prepared: &Prepared) -> anyhow::Result<()> {
        let same = |path: &Path| std::fs::canonicalize(path).ok().is_some_and(|path| is(trace, &path));
        match prepared.inputs().chain([self.job.workload.as_path()]).find(|path| same(path)) {
            Some(path) => {
                let what = format!("the trace would overwrite {}, which the job reads", path.display());
                Err(Failure::new(what).hint("give --trace another name").into())
            }
            None => Ok(()),
        }
    }
}

/// Whether a path names this file.
fn is(path: &Path, file: &Path) -> bool {
    std::fs::canonicalize(path).is_ok_and(|path| path == file)
}

/// Shows logs and progress, and notes when the guest began.
struct Started {
    watch: Watch,
    at: OnceLock<Instant>,
}

impl Started {
    fn new(printer: &Printer) -> Self {
        Self { watch: Watch::new(printer), at: OnceLock::new() }
    }

    /// When the guest began; now, if it did not.
    fn at(&self) -> Instant {
        *self.at.get_or_init(Instant::now)
    }
}

impl Reporter for Started {
    fn started(&self) {
        self.at();
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.watch.log(level, message);
    }

    fn progress(&self, fraction: f32, message: &str) {
        self.watch.progress(fraction, message);
    }
}
