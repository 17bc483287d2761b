//! Temporary files that outputs are written to before they are put in their places. If the system supports it, they have no
//! name until then, and nothing is left behind however the process ends. Otherwise [`remove_parts`] knows their names.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

/// Paths of the temporary files that have a name.
static NAMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Removes all half-written files that have a name. For a process that ends without running destructors.
pub fn remove_parts() {
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(path) = named.pop_first() {
        // A file that is already gone is fine.
        let _ = fs::remove_file(path);
    }
}

/// A temporary file that is yet to be put in its place. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(crate) enum Spool {
    /// Without a name, in the file system of its place.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// With a temporary name, in the folder of its place.
    Named(Part),
    /// Without a name, in the system's temporary folder. Its content is copied or written elsewhere.
    Passing(File),
}

/// A named temporary file that [`remove_parts`] knows.
#[derive(Debug)]
pub(crate) struct Part {
    file: Option<NamedTempFile>,
    path: PathBuf,
}

impl Part {
    fn new(file: NamedTempFile) -> Self {
        let path = file.path().to_owned();
        NAMED.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        Self { file: Some(file), path }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.file.take());
        NAMED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

impl Spool {
    /// A file in `folder`, which can be given a name there in one step. Its permissions are those of any new file.
    pub(crate) fn in_folder(folder: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed(folder)? {
            return Ok(Self::Unnamed(file));
        }
        Ok(Self::Named(Part::new(builder().tempfile_in(folder)?)))
    }

    /// A file in the system's temporary folder.
    pub(crate) fn passing() -> io::Result<Self> {
        tempfile::tempfile().map(Self::Passing)
    }

    /// The file.
    pub(crate) fn file(&mut self) -> io::Result<&mut File> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => Ok(file),
            Self::Passing(file) => Ok(file),
            Self::Named(part) => {
                part.file.as_mut().map(NamedTempFile::as_file_mut).ok_or(io::ErrorKind::NotFound.into())
            }
        }
    }

    /// Gives the file its name in one step, with these permissions if any are given. If that fails, the file stays usable.
    pub(crate) fn put(&mut self, path: &Path, replace: bool, permissions: Option<Permissions>) -> io::Result<()> {
        if let Self::Passing(file) = self {
            return copy(file, path, replace, permissions);
        }
        if let Some(permissions) = permissions {
            self.file()?.set_permissions(permissions)?;
        }
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => link(file, path, replace),
            Self::Passing(_) => Ok(()),
            Self::Named(part) => {
                let file = part.file.take().ok_or(io::ErrorKind::NotFound)?;
                let put = if replace { file.persist(path) } else { file.persist_noclobber(path) };
                put.map(drop).map_err(|error| {
                    part.file = Some(error.file);
                    error.error
                })
            }
        }
    }

    /// Gives the file a name in another folder, perhaps in another file system. Replaces nothing.
    pub(crate) fn put_elsewhere(&mut self, path: &Path) -> io::Result<()> {
        match self.put(path, false, None) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(_) => copy(self.file()?, path, false, None),
            done => done,
        }
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".isobit-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies to a temporary file in the same folder first: `path` never holds only a part of the content.
fn copy(from: &mut File, path: &Path, replace: bool, permissions: Option<Permissions>) -> io::Result<()> {
    from.rewind()?;
    let mut spool = Spool::in_folder(folder_of(path))?;
    io::copy(from, spool.file()?)?;
    spool.put(path, replace, permissions)
}

/// A file without a name that can be given one later; none if the system or the file system does not support that.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::io::Errno;
    // `link` needs this folder to give the file its name.
    if !Path::new("/proc/self/fd").exists() {
        return Ok(None);
    }
    match openat(CWD, folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o666)) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) if folder.is_dir() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Gives a file without a name the name `path`. A link replaces nothing: to replace a file, it links to a temporary name in
/// the same folder, and renames that.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path, replace: bool) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{AtFlags, CWD, linkat};
    let this = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |to: &Path| linkat(CWD, &this, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from);
    match link(path) {
        Err(error) if replace && error.kind() == io::ErrorKind::AlreadyExists => {}
        done => return done,
    }
    let beside = Part::new(builder().make_in(folder_of(path), |beside| {
        link(beside)?;
        File::open(beside)
    })?);
    let mut named = Spool::Named(beside);
    named.put(path, true, None)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// One of each kind, with the same content.
    fn spools(folder: &Path) -> Vec<Spool> {
        let named = Spool::Named(Part::new(builder().tempfile_in(folder).unwrap()));
        let mut spools = vec![Spool::in_folder(folder).unwrap(), named, Spool::passing().unwrap()];
        for spool in &mut spools {
            spool.file().unwrap().write_all(b"new").unwrap();
        }
        spools
    }

    #[test]
    fn a_file_gets_its_name_whole_and_replaces_only_when_told_to() {
        for kind in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out");
            fs::write(&path, "old").unwrap();
            let mut spool = spools(folder.path()).remove(kind);
            let error = spool.put(&path, false, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{kind}");
            assert_eq!(fs::read(&path).unwrap(), b"old", "{kind}");
            spool.put(&path, true, None).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new", "{kind}");
            drop(spool);
            assert_eq!(names(folder.path()), ["out"], "{kind}");
        }
    }

    #[test]
    fn what_is_dropped_or_removed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(spools(folder.path()));
        assert!(names(folder.path()).is_empty());
        // Like a process that ends without running destructors.
        let left = spools(folder.path());
        assert!(!names(folder.path()).is_empty());
        remove_parts();
        assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
        drop(left);
    }

    #[test]
    fn a_name_in_another_folder_is_never_taken_from_another_file() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (number, mut spool) in spools(folder.path()).into_iter().enumerate() {
            let path = other.path().join(format!("kept-{number}"));
            spool.put_elsewhere(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
        let taken = other.path().join("kept-0");
        fs::write(&taken, "old").unwrap();
        let mut spool = spools(folder.path()).remove(0);
        assert_eq!(spool.put_elsewhere(&taken).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&taken).unwrap(), b"old");
    }
}
