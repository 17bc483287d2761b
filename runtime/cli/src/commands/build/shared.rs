//! Where build results are kept: one target folder per compiler in the user's cache, so that the standard library and the SDK's
//! dependencies are compiled once, and not for every crate.
//!
//! Cargo names the build results of a workspace's package by the package's place *within* the workspace, and judges by the
//! times of source files whether they are fresh. So two workspaces that look alike, such as two checkouts of one, would use
//! each other's results. Therefore the folder records which workspace each package was built from, and the results of another
//! workspace are cleaned first.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::printer::Printer;

/// Results of a compiler that was not used for this long are removed.
const UNUSED: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// Results with more bytes than this are removed and built again. One compiler's standard library and the SDK have some
/// 200 MiB.
const LARGEST: u64 = 4 << 30;

/// The file in the folder that says which workspace each package is from.
const OWNERS: &str = "isobit-owners.json";

/// A compiler's folder, locked: no other build uses it meanwhile.
#[derive(Debug)]
pub struct Shared {
    folder: PathBuf,
    _lock: File,
}

impl Shared {
    /// Opens the folder of the compiler `name` in `root`, waiting for other builds that use it. Removes results that have grown
    /// too large, and those of compilers that are no longer used.
    pub fn open(root: &Path, name: &str, printer: &Printer) -> anyhow::Result<Self> {
        let cannot = || format!("cannot use {} for build results", root.display());
        fs::create_dir_all(root).with_context(cannot)?;
        // The lock is next to the folder, not in it: the folder may be removed while another build waits for the lock.
        let lock = File::create(lock_of(root, name)).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                printer.note("waiting for another build to end");
                lock.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        let now = SystemTime::now();
        lock.set_modified(now).with_context(cannot)?;
        let folder = root.join(name);
        if size(&folder) > LARGEST {
            fs::remove_dir_all(&folder).with_context(cannot)?;
        }
        fs::create_dir_all(&folder).with_context(cannot)?;
        remove_unused(root, now);
        Ok(Self { folder, _lock: lock })
    }

    /// For cargo's `--target-dir`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which of `packages`, of the workspace at `workspace`, another workspace may have built here.
    pub fn foreign<'a>(&self, packages: &'a [String], workspace: &Path) -> Vec<&'a str> {
        let owners = self.owners();
        let workspace = workspace.to_string_lossy();
        packages.iter().map(String::as_str).filter(|name| owners.get(*name).is_none_or(|it| *it != workspace)).collect()
    }

    /// Records that `packages` are from `workspace` from now on. Call this after results of other workspaces were cleaned, and
    /// before anything is built, so that an interrupted build leaves no results that count as another workspace's.
    pub fn claim(&self, packages: &[String], workspace: &Path) -> anyhow::Result<()> {
        let mut owners = self.owners();
        let workspace = workspace.to_string_lossy();
        owners.extend(packages.iter().map(|name| (name.clone(), workspace.clone().into_owned())));
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            serde_json::to_writer(&mut file, &owners)?;
            file.persist(self.folder.join(OWNERS))?;
            Ok(())
        };
        write().with_context(|| format!("cannot write in {}", self.folder.display()))
    }

    /// The workspace of each package. Empty if the file cannot be read: then every package counts as another workspace's.
    fn owners(&self) -> BTreeMap<String, String> {
        let text = fs::read(self.folder.join(OWNERS)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

fn lock_of(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}.lock"))
}

/// Removes the folders of compilers that were not used for long and are not in use now. A folder that cannot be removed
/// stays.
fn remove_unused(root: &Path, now: SystemTime) {
    for entry in fs::read_dir(root).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) else { continue };
        let Ok(lock) = File::open(lock_of(root, name)) else { continue };
        let used = lock.metadata().and_then(|metadata| metadata.modified());
        let is_old = used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > UNUSED));
        if is_old && lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The bytes of all files in a folder. Symbolic links are not followed.
fn size(folder: &Path) -> u64 {
    let mut sum = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => sum += metadata.len(),
                Err(_) => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Printer {
        Printer::new(false, true, 0)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_another_workspace_may_have_built_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let shared = Shared::open(root.path(), "1.85.0", &quiet()).unwrap();
        let (mine, yours) = (Path::new("/mine"), Path::new("/yours"));
        let both = names(&["blur", "isobit-sdk"]);
        assert_eq!(shared.foreign(&both, mine), ["blur", "isobit-sdk"]);
        shared.claim(&both, mine).unwrap();
        assert!(shared.foreign(&both, mine).is_empty());
        shared.claim(&names(&["isobit-sdk"]), yours).unwrap();
        assert_eq!(shared.foreign(&both, mine), ["isobit-sdk"]);
        assert_eq!(shared.foreign(&both, yours), ["blur"]);
        // If the file cannot be read, nothing in the folder is trusted.
        fs::write(shared.folder().join(OWNERS), "{").unwrap();
        assert_eq!(shared.foreign(&both, mine).len(), 2);
    }

    #[test]
    fn a_compiler_that_is_used_no_more_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        for name in ["old", "new", "busy"] {
            let shared = Shared::open(root.path(), name, &quiet()).unwrap();
            fs::write(shared.folder().join("file"), "content").unwrap();
        }
        let long_ago = SystemTime::now() - UNUSED - Duration::from_secs(60);
        let busy = File::open(lock_of(root.path(), "busy")).unwrap();
        for name in ["old", "busy"] {
            File::options().write(true).open(lock_of(root.path(), name)).unwrap().set_modified(long_ago).unwrap();
        }
        busy.lock().unwrap();
        Shared::open(root.path(), "new", &quiet()).unwrap();
        let left = |name: &str| root.path().join(name).join("file").is_file();
        assert_eq!(["old", "new", "busy"].map(left), [false, true, true]);
    }

    #[test]
    fn two_builds_with_one_compiler_wait_for_each_other() {
        let root = tempfile::tempdir().unwrap();
        let first = Shared::open(root.path(), "1.85.0", &quiet()).unwrap();
        let second = File::open(lock_of(root.path(), "1.85.0")).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        second.try_lock().unwrap();
    }

    #[test]
    fn sizes_of_nested_folders_are_summed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("inner")).unwrap();
        fs::write(root.path().join("inner/a"), [0; 5]).unwrap();
        fs::write(root.path().join("b"), [0; 7]).unwrap();
        assert_eq!(size(root.path()), 12);
        assert_eq!(size(&root.path().join("nothing")), 0);
    }
}
