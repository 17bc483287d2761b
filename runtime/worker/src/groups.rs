//! Control groups of workers (version 2), where the group of this process has been delegated to it, as systemd does for a service with `Delegate=`.
//!
//! A group bounds what resource limits do not: memory that is shared or mapped from files, and the threads of all processes together.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where systems mount the groups.
const MOUNT: &str = "/sys/fs/cgroup";

/// What is bounded.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The prefix of a worker's group.
const PREFIX: &str = "isobit-worker-";

/// The group that this process moves into: a group with others below it has no processes.
const OWN: &str = "isobit-supervisor";

/// The groups of this process's workers.
#[derive(Debug)]
pub struct Groups {
    folder: PathBuf,
    next: AtomicU64,
}

/// The group of one worker. Removed with the next that is made, once its processes are gone.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Groups {
    /// Makes room for groups below that of this process, which moves into one of them itself.
    ///
    /// # Errors
    /// Why there can be none, in words.
    pub fn open() -> Result<Self, String> {
        let folder = own_folder(MOUNT.as_ref())?;
        Self::below(folder, std::process::id())
            .map_err(|error| format!("this process's group is not its own to divide: {error}"))
    }

    fn below(folder: PathBuf, process: u32) -> io::Result<Self> {
        let own = folder.join(OWN);
        fs::create_dir(&own).or_else(|error| if own.is_dir() { Ok(()) } else { Err(error) })?;
        put(&own.join("cgroup.procs"), process)?;
        let controllers = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
        if let Err(error) = put(&folder.join("cgroup.subtree_control"), controllers) {
            // Others are in the group, a shell say: back to them.
            put(&folder.join("cgroup.procs"), process).ok();
            fs::remove_dir(&own).ok();
            return Err(error);
        }
        Ok(Self { folder, next: AtomicU64::new(0) })
    }

    /// A group with this much memory and so many threads.
    pub(crate) fn make(&self, memory: u64, threads: u64) -> io::Result<Group> {
        self.sweep();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let group = Group(self.folder.join(format!("{PREFIX}{}-{number}", std::process::id())));
        fs::create_dir(&group.0)?;
        group.bound_memory(memory)?;
        put(&group.0.join("pids.max"), threads)?;
        // Half a worker is of no use.
        put(&group.0.join("memory.oom.group"), 1).ok();
        Ok(group)
    }

    /// Removes the groups of workers that are gone. The system keeps those that have processes.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
            fs::remove_dir(entry.path()).ok();
        }
    }
}

impl Group {
    /// The most memory of the group's processes together.
    pub(crate) fn bound_memory(&self, bytes: u64) -> io::Result<()> {
        put(&self.0.join("memory.max"), bytes)
    }

    /// The file to which a process writes `0` to enter.
    pub(crate) fn entrance(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.0.join("cgroup.procs"))
    }
}

/// Why [`Groups::open`] would fail, as far as can be said without trying.
pub(crate) fn missing() -> Option<String> {
    own_folder(MOUNT.as_ref()).err()
}

/// The folder of this process's group, if it has the controllers and has been delegated. Nobody else's groups are touched, whatever this user may write to.
fn own_folder(mount: &Path) -> Result<PathBuf, String> {
    const OLD: &str = "this system has no control groups of version 2 for this process";
    let groups = fs::read_to_string("/proc/self/cgroup")
        .map_err(|error| format!("this process's group is not known: {error}"))?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(OLD)?;
    let folder = mount.join(own);
    let there = fs::read_to_string(folder.join("cgroup.controllers")).map_err(|_| OLD)?;
    match CONTROLLERS.iter().find(|name| !there.split_whitespace().any(|it| it == **name)) {
        Some(name) => Err(format!("this process's group has no controller for {name}")),
        None if !is_delegated(&folder) => {
            Err("this process's group is not delegated to it, as systemd does with `Delegate=memory pids`".into())
        }
        None => Ok(folder),
    }
}

/// Whether systemd says so.
fn is_delegated(folder: &Path) -> bool {
    let says = |name: &str| {
        let mut value = [0; 1];
        rustix::fs::getxattr(folder, name, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
    };
    says("user.delegate") || says("trusted.delegate")
}

/// Writes to a file of the kernel's, which has to be there.
fn put(file: &Path, what: impl std::fmt::Display) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(what.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder stands for the kernel's, so it makes the files that the kernel would.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        folder
    }

    #[test]
    fn a_group_that_cannot_be_divided_is_left_as_it_was() {
        let folder = folder(&["cgroup.procs", "isobit-supervisor/cgroup.procs"]);
        // There is no `cgroup.subtree_control`.
        Groups::below(folder.path().to_owned(), 7).unwrap_err();
        assert_eq!(fs::read_to_string(folder.path().join("cgroup.procs")).unwrap(), "7");
    }

    #[test]
    fn groups_of_workers_that_are_gone_are_removed() {
        let folder = folder(&["cgroup.procs", "cgroup.subtree_control", "isobit-supervisor/cgroup.procs"]);
        let groups = Groups::below(folder.path().to_owned(), 7).unwrap();
        let controllers = fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap();
        assert_eq!(controllers, "+memory +pids");
        // Without the kernel a new group has no files, so its bounds cannot be set.
        groups.make(1, 1).unwrap_err();
        groups.sweep();
        let left = fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
        assert_eq!(left, 1, "the supervisor's own is left");
    }
}
