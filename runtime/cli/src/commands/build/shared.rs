//! Where build results are kept: one target folder per compiler in the user's cache, so that the standard library and the SDK's
//! dependencies are compiled once, and not for every crate.
//!
//! Cargo names what it builds of a package in the workspace by the package's place *within* it, and takes it for fresh by the
//! times of its sources. So two workspaces that look alike, such as two checkouts of one, would take each other's results for
//! their own. Therefore the folder notes which workspace each package in it is from, and what is another's is cleaned first.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::printer::Printer;

/// A compiler's results go when it was not used for so long.
const UNUSED: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// Results that have grown beyond this are made anew. One compiler's standard library and the SDK come to some 200 MiB.
const LARGEST: u64 = 4 << 30;

/// The file in the folder that says which workspace each package is from.
const OWNERS: &str = "isobit-owners.json";

/// A compiler's folder, locked: nobody else builds in it meanwhile.
#[derive(Debug)]
pub struct Shared {
    folder: PathBuf,
    _lock: File,
}

impl Shared {
    /// Opens the folder of the compiler `name` in `root`, waiting for other builds with it. Removes what compilers left that are
    /// used no more, and what has grown too large.
    pub fn open(root: &Path, name: &str, printer: &Printer) -> anyhow::Result<Self> {
        let cannot = || format!("cannot use {} for build results", root.display());
        fs::create_dir_all(root).with_context(cannot)?;
        // Beside the folder, so that who waits for it does not wait for a file that was removed.
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

    /// Notes that `packages` are from `workspace` from now on. To be called once another's were cleaned, and before anything is
    /// built, so that a build which is broken off leaves nothing behind that is taken for another's.
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

    /// What cannot be read says nothing: then every package counts as another's.
    fn owners(&self) -> BTreeMap<String, String> {
        let text = fs::read(self.folder.join(OWNERS)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

fn lock_of(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}.lock"))
}

/// Removes the folders of compilers that were not used for long and that nobody builds in. What cannot be removed stays.
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

/// How many bytes the files in a folder have. Symbolic links are not followed.
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
        // A file that says nothing is no reason to trust what is there.
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
