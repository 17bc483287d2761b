//! `isobit run --watch`: builds and runs a workload, and does so again when what it is made of changes. Each build and each run is a process of its own, so
//! that nothing is left of the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{Receiver, channel};

use crate::failure::{Failure, Status};
use crate::interrupt::{self, StopRequests};
use crate::printer::Printer;

/// An editor that saves several files, or one in several steps, is given this long to do it.
const QUIET: Duration = Duration::from_millis(100);

/// Time for a build or a run to end when it is asked to.
const GRACE: Duration = Duration::from_secs(4);

/// The most files of a crate that are watched.
const MAX_FILES: usize = 10_000;

/// What is run again and again.
pub struct Again {
    /// A component, or a crate's folder.
    pub workload: PathBuf,
    pub inputs: Vec<PathBuf>,
    /// What the runs write: it may lie in the crate's folder.
    pub written: Vec<PathBuf>,
}

/// The files that matter, each with its size and the time of its last change; none for a file that is not there.
type Seen = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

/// How a part of a round ended.
enum Turn {
    /// With the child's own end: whether it went well.
    Ended(bool),
    /// Something has changed.
    Changed,
    /// The user wants no more.
    Stopped,
}

impl Again {
    /// Runs until it is asked to stop.
    pub fn run(&self, printer: &Printer) -> anyhow::Result<Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.go_on(printer))
    }

    async fn go_on(&self, printer: &Printer) -> anyhow::Result<Status> {
        let built = tempfile::tempdir().context("there is no room for what is built")?;
        let component = built.path().join("workload.wasm");
        let mut stop = StopRequests::listen();
        let mut files = Files::new()?;
        loop {
            // The first look begins to watch, so that what happens after the second is told.
            self.look(&mut files)?;
            let seen = self.look(&mut files)?;
            let mut turn = Turn::Ended(true);
            if self.workload.is_dir() {
                turn = self.follow(self.build(&component, printer)?, &seen, &mut files, &mut stop).await?;
            }
            if let Turn::Ended(true) = turn {
                turn = self.follow(self.run_once(&component)?, &seen, &mut files, &mut stop).await?;
            }
            if let Turn::Ended(_) = turn {
                printer.note("waiting for changes; Ctrl-C ends this");
                turn = tokio::select! {
                    changed = self.changed(&seen, &mut files) => changed.map(|()| Turn::Changed)?,
                    () = stop.next() => Turn::Stopped,
                };
            }
            match turn {
                Turn::Stopped => return Ok(Status::Cancelled),
                _ => printer.note("something has changed"),
            }
        }
    }

    /// Waits for the end of a process, and ends it before where something changes or the user wants no more.
    async fn follow(
        &self,
        mut child: Child,
        seen: &Seen,
        files: &mut Files,
        stop: &mut StopRequests,
    ) -> anyhow::Result<Turn> {
        let turn = tokio::select! {
            ended = child.wait() => return Ok(Turn::Ended(ended?.success())),
            changed = self.changed(seen, files) => changed.map(|()| Turn::Changed)?,
            () = stop.next() => Turn::Stopped,
        };
        interrupt::ask_to_stop(&mut child);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            child.kill().await.context("a process could not be ended")?;
        }
        Ok(turn)
    }

    fn build(&self, component: &Path, printer: &Printer) -> anyhow::Result<Child> {
        let mut args: Vec<OsString> = vec!["build".into(), self.workload.clone().into(), "-o".into(), component.into()];
        args.extend(printer.is_quiet().then(|| "--quiet".into()));
        // The path of a component that nobody will look for is no answer.
        start(args, Stdio::null())
    }

    /// The command line of this process, with the component that a folder was built to instead of `--watch`.
    fn run_once(&self, component: &Path) -> anyhow::Result<Child> {
        let built = self.workload.is_dir().then(|| ["--built".into(), component.into()]);
        let mut built = Some(built.into_iter().flatten().collect::<Vec<OsString>>());
        let args = std::env::args_os().skip(1).flat_map(|arg| match arg == "--watch" {
            true => built.take().unwrap_or_else(|| vec![arg]),
            false => vec![arg],
        });
        start(args.collect(), Stdio::inherit())
    }

    /// Waits until a file that matters is not what it was.
    async fn changed(&self, seen: &Seen, files: &mut Files) -> anyhow::Result<()> {
        loop {
            files.changes.recv().await;
            while tokio::time::timeout(QUIET, files.changes.recv()).await.is_ok() {}
            if self.look(files)? != *seen {
                return Ok(());
            }
        }
    }

    /// Looks at the files that matter, and watches the folders that they are in.
    fn look(&self, files: &mut Files) -> anyhow::Result<Seen> {
        let mut seen = Seen::new();
        let mut folders = BTreeSet::new();
        let alone = match self.workload.is_dir() {
            true => {
                self.look_into(&self.workload, &mut seen, &mut folders)?;
                None
            }
            false => Some(&self.workload),
        };
        for file in alone.into_iter().chain(&self.inputs) {
            folders.insert(folder_of(file).to_owned());
            seen.insert(file.clone(), state(file));
        }
        for folder in &folders {
            files.watch(folder);
        }
        Ok(seen)
    }

    /// Adds the files of a crate, and its folders.
    fn look_into(&self, root: &Path, seen: &mut Seen, folders: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
        let written: BTreeSet<_> = self.written.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            // A folder may go away at any time.
            for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
                let (path, name) = (entry.path(), entry.file_name());
                // Cargo writes these, and editors and version control those with a dot.
                let is_ours = name != "target" && name != "Cargo.lock" && !name.as_encoded_bytes().starts_with(b".");
                match entry.file_type() {
                    Ok(kind) if is_ours && kind.is_dir() => open.push(path),
                    Ok(_) if is_ours && !std::path::absolute(&path).is_ok_and(|path| written.contains(&path)) => {
                        seen.insert(path.clone(), state(&path));
                    }
                    _ => {}
                }
            }
            folders.insert(folder);
            if seen.len().max(folders.len()) > MAX_FILES {
                let what = format!("{} has more than {MAX_FILES} files: too many to watch", root.display());
                return Err(Failure::new(what).hint("name the folder of the crate alone").into());
            }
        }
        Ok(())
    }
}

/// Tells when something happens in folders.
struct Files {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    changes: Receiver<()>,
}

impl Files {
    fn new() -> anyhow::Result<Self> {
        let (sender, changes) = channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Looking at files is no change to them. One message that waits is enough.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                sender.try_send(()).ok();
            }
        });
        let watcher = watcher.context("changes of files cannot be watched here")?;
        Ok(Self { watcher, watched: BTreeSet::new(), changes })
    }

    /// Watches the files in a folder, but not those in folders in it. A folder that is not there cannot be watched, and the run will say so.
    fn watch(&mut self, folder: &Path) {
        if !folder.is_dir() {
            self.watched.remove(folder);
        } else if self.watched.insert(folder.to_owned()) {
            self.watcher.watch(folder, RecursiveMode::NonRecursive).ok();
        }
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn state(file: &Path) -> Option<(u64, SystemTime)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// Starts this program with these arguments, in a group of its own: what it starts ends with it.
fn start(args: Vec<OsString>, stdout: Stdio) -> anyhow::Result<Child> {
    let begin = || -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(Stdio::null()).stdout(stdout).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn()
    };
    begin().context("isobit cannot start itself")
}
