//! The kinds of destination that an output can have: a file that exists or is to be created, or something that is written
//! into, such as a pipe. They are checked before a job starts, when a mistake costs nothing.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "other.rs")]
mod system;

use std::ffi::OsString;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use self::system::FileId;
use crate::spool::{Spool, folder_of};

/// The most symbolic links that are followed in a row, as on Linux.
const MAX_LINKS: u32 = 40;

/// Where the user wants an output or a receipt to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Standard output, written `-`.
    Stdout,
    /// A path. The kind of file that is there decides how it is written.
    Path(PathBuf),
}

impl From<PathBuf> for Destination {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::Path(path) }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Something that bytes are written into, because it cannot be replaced like a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output, under any name.
    Stdout,
    /// Standard error, under any name.
    Stderr,
    /// A device.
    Device(PathBuf),
    /// A named pipe. Opening it waits for a reader.
    Pipe(PathBuf),
}

/// What a destination is.
#[derive(Debug)]
pub(crate) enum Target {
    /// A regular file, which is replaced as a whole. The path has no symbolic links left. The permissions are those to keep from
    /// the file that is replaced; none if there is none.
    File { path: PathBuf, permissions: Option<Permissions> },
    /// Something that is written into.
    Sink(Sink),
}

/// Identifies a file, however its path is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Stdout,
    Stderr,
    /// The null device: any number of outputs may go there.
    Null,
    There(FileId),
    /// A file that does not exist yet: its folder and its name.
    New(FileId, OsString),
}

/// What is at a path.
#[cfg_attr(not(unix), expect(dead_code, reason = "not every system has them all"))]
enum Kind {
    File,
    Folder,
    Pipe,
    Socket,
    /// The null device, which discards everything.
    Null,
    Device,
}

/// Why a destination cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum TargetError {
    #[error("{} is a folder", .0.display())]
    Folder(PathBuf),
    #[error("cannot write {}: there is no folder {}", path.display(), folder.display())]
    NoFolder { path: PathBuf, folder: PathBuf },
    #[error("{} names no file", .0.display())]
    NoName(PathBuf),
    #[error("{} is a socket, which cannot be written like a file", .0.display())]
    Socket(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Refused { path: PathBuf, source: io::Error },
    #[error("cannot write {}: no room is left in {}", path.display(), folder.display())]
    Full { path: PathBuf, folder: PathBuf },
}

impl TargetError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder(path) => format!("name a file in it: {}", path.join("NAME").display()),
            Self::NoFolder { folder, .. } if folder.starts_with("~") => {
                "the shell has left `~` as it is; write $HOME".to_owned()
            }
            Self::NoFolder { folder, .. } => format!("make it with `mkdir -p {}`, or name another", folder.display()),
            Self::NoName(_) | Self::Socket(_) => "name a file".to_owned(),
            Self::Refused { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "choose a place that you may write to; a write-protected file is not replaced".to_owned()
            }
            Self::Refused { .. } => "choose another place".to_owned(),
            Self::Full { .. } => "make room, or choose another place".to_owned(),
        }
    }
}

impl Target {
    /// Determines what a destination is, and checks that it can be written.
    pub(crate) fn of(destination: &Destination) -> Result<(Self, Identity), TargetError> {
        let path = match destination {
            Destination::Stdout => return Ok((Self::Sink(Sink::Stdout), Identity::Stdout)),
            Destination::Path(path) => path,
        };
        Self::at(path, path, MAX_LINKS)
    }

    fn at(given: &Path, path: &Path, links: u32) -> Result<(Self, Identity), TargetError> {
        let refused = |source: io::Error| TargetError::Refused { path: given.to_owned(), source };
        match fs::metadata(path) {
            Ok(found) => Self::there(given, path, &found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
                // A link to a file that does not exist yet: that file is created, as a shell does.
                Ok(to) if links > 0 => Self::at(given, &path.parent().unwrap_or(Path::new("")).join(to), links - 1),
                _ => Self::new(given, path),
            },
            Err(error) => Err(refused(error)),
        }
    }

    fn there(given: &Path, path: &Path, found: &Metadata) -> Result<(Self, Identity), TargetError> {
        let refused = |source: io::Error| TargetError::Refused { path: given.to_owned(), source };
        let kind = system::kind(path, found);
        match kind {
            Kind::Folder => return Err(TargetError::Folder(given.to_owned())),
            Kind::Socket => return Err(TargetError::Socket(given.to_owned())),
            Kind::Null => return Ok((Self::Sink(Sink::Device(path.to_owned())), Identity::Null)),
            Kind::File | Kind::Pipe | Kind::Device => {}
        }
        // A file that standard output or standard error leads to is written through that stream, not replaced.
        match system::stream(found) {
            Some(Sink::Stdout) => return Ok((Self::Sink(Sink::Stdout), Identity::Stdout)),
            Some(sink) => return Ok((Self::Sink(sink), Identity::Stderr)),
            None => {}
        }
        system::check_writable(path, found).map_err(refused)?;
        let identity = Identity::There(system::id(path, found).map_err(refused)?);
        match kind {
            Kind::Pipe => return Ok((Self::Sink(Sink::Pipe(path.to_owned())), identity)),
            Kind::Device => return Ok((Self::Sink(Sink::Device(path.to_owned())), identity)),
            _ => {}
        }
        let path = fs::canonicalize(path).map_err(refused)?;
        try_folder(given, folder_of(&path))?;
        Ok((Self::File { path, permissions: Some(system::kept_permissions(found)) }, identity))
    }

    fn new(given: &Path, path: &Path) -> Result<(Self, Identity), TargetError> {
        let folder = folder_of(path);
        let no_folder = || TargetError::NoFolder { path: given.to_owned(), folder: folder.to_owned() };
        let ends_open = path.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        let Some(name) = path.file_name().filter(|_| !ends_open) else {
            return Err(match fs::metadata(path.join(".")) {
                Ok(_) => TargetError::NoName(given.to_owned()),
                Err(_) => TargetError::NoFolder { path: given.to_owned(), folder: path.to_owned() },
            });
        };
        let found = fs::metadata(folder).map_err(|_| no_folder())?;
        let real = fs::canonicalize(folder).map_err(|_| no_folder())?;
        try_folder(given, &real)?;
        let folder =
            system::id(&real, &found).map_err(|source| TargetError::Refused { path: given.to_owned(), source })?;
        let identity = Identity::New(folder, name.to_owned());
        Ok((Self::File { path: real.join(name), permissions: None }, identity))
    }
}

impl Identity {
    /// Whether writes to both would go to one file. `folder` is that of `self`.
    pub(crate) fn is_same(&self, other: &Self, folder: &Path) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => false,
            (Self::New(within, name), Self::New(other_within, other_name)) => {
                within == other_within
                    && (name == other_name || (differ_in_case(name, other_name) && ignores_case(folder)))
            }
            _ => self == other,
        }
    }

    /// The identity of a path; none if nothing is there.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        system::id(path, &found).ok().map(Self::There)
    }
}

/// Checks that a file can be created in a folder and a byte written to it.
fn try_folder(given: &Path, folder: &Path) -> Result<(), TargetError> {
    let full = || TargetError::Full { path: given.to_owned(), folder: folder.to_owned() };
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(),
        _ => TargetError::Refused { path: given.to_owned(), source },
    };
    let mut spool = Spool::in_folder(folder).map_err(refused)?;
    io::Write::write_all(spool.file().map_err(refused)?, b"?").map_err(refused)?;
    if system::is_full(folder) { Err(full()) } else { Ok(()) }
}

fn differ_in_case(left: &OsString, right: &OsString) -> bool {
    left.to_string_lossy().to_lowercase() == right.to_string_lossy().to_lowercase()
}

/// Whether names in a folder ignore case. Tested with a temporary file, because there is no other way to find out.
fn ignores_case(folder: &Path) -> bool {
    let probe = tempfile::Builder::new().prefix(".isobit-case-").rand_bytes(12).tempfile_in(folder);
    probe.is_ok_and(|probe| {
        let Some(name) = probe.path().file_name().map(|name| name.to_string_lossy().to_uppercase()) else {
            return false;
        };
        folder.join(name).exists()
    })
}
