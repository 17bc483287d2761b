//! What a path that an output is to go to stands for: a file that is there or is to be made, or something that is written into.
//! Found out before a job starts, so that mistakes cost nothing.

use std::ffi::OsString;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::spool::{Spool, folder_of};

/// The most symbolic links in a row, as Linux counts.
const MAX_LINKS: u32 = 40;

/// Where the user wants something to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Standard output, written `-`.
    Stdout,
    /// A path; what stands there decides what is done.
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

/// What bytes are written into, as it cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output, by whatever name.
    Stdout,
    /// Standard error, by whatever name.
    Stderr,
    /// A device.
    Device(PathBuf),
    /// A named pipe. Opening it waits for its reader.
    Pipe(PathBuf),
}

/// What a destination stands for.
#[derive(Debug)]
pub(crate) enum Target {
    /// A regular file, replaced whole. The path has no links left, and the permissions are those of the file to be replaced.
    File { path: PathBuf, permissions: Option<Permissions> },
    /// Written into.
    Sink(Sink),
}

/// What makes two paths one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Stdout,
    Stderr,
    /// Swallows everything, so any number of outputs may go there.
    Null,
    /// Device and inode.
    There(u64, u64),
    /// Not there yet: device and inode of its folder, and its name.
    New(u64, u64, OsString),
}

/// Why a destination cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is a folder.
    #[error("{} is a folder", .0.display())]
    Folder(PathBuf),
    /// It is in a folder that is not there.
    #[error("cannot write {}: there is no folder {}", path.display(), folder.display())]
    NoFolder {
        /// The path given.
        path: PathBuf,
        /// The folder that it names.
        folder: PathBuf,
    },
    /// It ends in nothing that a file could be called.
    #[error("{} names no file", .0.display())]
    NoName(PathBuf),
    /// It is a socket.
    #[error("{} is a socket, which cannot be written like a file", .0.display())]
    Socket(PathBuf),
    /// The system refuses it.
    #[error("cannot write {}: {source}", path.display())]
    Refused {
        /// The path given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no room left for any byte.
    #[error("cannot write {}: no room is left in {}", path.display(), folder.display())]
    Full {
        /// The path given.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
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
    /// Looks at what a destination stands for, and tries whether it can be written.
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
                // A link to a file that is not there yet: that file is made, as the shell does.
                Ok(to) if links > 0 => Self::at(given, &folder_of(path).join(to), links - 1),
                _ => Self::new(given, path),
            },
            Err(error) => Err(refused(error)),
        }
    }

    fn there(given: &Path, path: &Path, found: &Metadata) -> Result<(Self, Identity), TargetError> {
        let kind = found.file_type();
        let identity = Identity::There(found.dev(), found.ino());
        let refused = |source: io::Error| TargetError::Refused { path: given.to_owned(), source };
        if kind.is_dir() {
            return Err(TargetError::Folder(given.to_owned()));
        }
        if kind.is_socket() {
            return Err(TargetError::Socket(given.to_owned()));
        }
        if is_null(found) {
            return Ok((Self::Sink(Sink::Device(path.to_owned())), Identity::Null));
        }
        // Whatever it is, what a stream of this process leads to is not replaced beneath it.
        for (stream, sink, stands_for) in [
            (io::stdout().as_fd().try_clone_to_owned(), Sink::Stdout, Identity::Stdout),
            (io::stderr().as_fd().try_clone_to_owned(), Sink::Stderr, Identity::Stderr),
        ] {
            let stream = stream.and_then(|stream| fs::File::from(stream).metadata());
            if stream.is_ok_and(|stream| (stream.dev(), stream.ino()) == (found.dev(), found.ino())) {
                return Ok((Self::Sink(sink), stands_for));
            }
        }
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(|error| refused(error.into()))?;
        if kind.is_fifo() {
            return Ok((Self::Sink(Sink::Pipe(path.to_owned())), identity));
        }
        if !kind.is_file() {
            return Ok((Self::Sink(Sink::Device(path.to_owned())), identity));
        }
        let path = fs::canonicalize(path).map_err(refused)?;
        try_folder(given, folder_of(&path))?;
        Ok((Self::File { path, permissions: Some(kept_permissions(found)) }, identity))
    }

    fn new(given: &Path, path: &Path) -> Result<(Self, Identity), TargetError> {
        let folder = folder_of(path);
        let no_folder = || TargetError::NoFolder { path: given.to_owned(), folder: folder.to_owned() };
        let ends_open = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let Some(name) = path.file_name().filter(|_| !ends_open) else {
            return Err(match fs::metadata(path.join(".")) {
                Ok(_) => TargetError::NoName(given.to_owned()),
                Err(_) => TargetError::NoFolder { path: given.to_owned(), folder: path.to_owned() },
            });
        };
        let found = fs::metadata(folder).map_err(|_| no_folder())?;
        let real = fs::canonicalize(folder).map_err(|_| no_folder())?;
        try_folder(given, &real)?;
        let identity = Identity::New(found.dev(), found.ino(), name.to_owned());
        Ok((Self::File { path: real.join(name), permissions: None }, identity))
    }
}

impl Identity {
    /// Whether what is written to both would be written to one file.
    pub(crate) fn is_same(&self, other: &Self, folder: &Path) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => false,
            (Self::New(device, inode, name), Self::New(other_device, other_inode, other_name)) => {
                (device, inode) == (other_device, other_inode)
                    && (name == other_name || (differ_in_case(name, other_name) && ignores_case(folder)))
            }
            _ => self == other,
        }
    }

    /// What a path that is there is known by.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|found| Self::There(found.dev(), found.ino()))
    }
}

/// The device that swallows everything, 1:3 on Linux.
fn is_null(found: &Metadata) -> bool {
    found.file_type().is_char_device()
        && fs::metadata("/dev/null").is_ok_and(|null| null.file_type().is_char_device() && null.rdev() == found.rdev())
}

/// What of a file's permissions its successor gets: not that it runs as its owner, who may be another.
fn kept_permissions(found: &Metadata) -> Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(found.mode() & 0o777)
}

/// Whether a file can be made in a folder, and a byte be written to it.
fn try_folder(given: &Path, folder: &Path) -> Result<(), TargetError> {
    let full = || TargetError::Full { path: given.to_owned(), folder: folder.to_owned() };
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(),
        _ => TargetError::Refused { path: given.to_owned(), source },
    };
    let mut spool = Spool::beside(folder).map_err(refused)?;
    io::Write::write_all(spool.file().map_err(refused)?, b"?").map_err(refused)?;
    // Some file systems take a byte and have no block for it until later.
    match rustix::fs::statvfs(folder) {
        Ok(room) if room.f_blocks > 0 && room.f_bfree == 0 => Err(full()),
        _ => Ok(()),
    }
}

fn differ_in_case(left: &OsString, right: &OsString) -> bool {
    left.to_string_lossy().to_lowercase() == right.to_string_lossy().to_lowercase()
}

/// Whether a folder takes two spellings for one name. Tried with a file, as nothing else tells.
fn ignores_case(folder: &Path) -> bool {
    let probe = tempfile::Builder::new().prefix(".isobit-case-").rand_bytes(12).tempfile_in(folder);
    probe.is_ok_and(|probe| {
        let Some(name) = probe.path().file_name().map(|name| name.to_string_lossy().to_uppercase()) else {
            return false;
        };
        folder.join(name).exists()
    })
}
