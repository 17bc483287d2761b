//! Identity, kind and permissions of files on Unix.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Kind, Sink};

/// Identifies a file: device and inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

pub(super) fn id(_: &Path, found: &Metadata) -> io::Result<FileId> {
    Ok(FileId(found.dev(), found.ino()))
}

pub(super) fn kind(_: &Path, found: &Metadata) -> Kind {
    let kind = found.file_type();
    if kind.is_dir() {
        Kind::Folder
    } else if kind.is_socket() {
        Kind::Socket
    } else if kind.is_fifo() {
        Kind::Pipe
    } else if kind.is_file() {
        Kind::File
    } else if is_null(found) {
        Kind::Null
    } else {
        Kind::Device
    }
}

/// Whether this is the null device, which is 1:3 on Linux.
fn is_null(found: &Metadata) -> bool {
    let is_device = |found: &Metadata| found.file_type().is_char_device();
    is_device(found) && fs::metadata("/dev/null").is_ok_and(|null| is_device(&null) && null.rdev() == found.rdev())
}

/// Standard output or standard error, if that stream of this process leads to the file.
pub(super) fn stream(found: &Metadata) -> Option<Sink> {
    let streams = [
        (io::stdout().as_fd().try_clone_to_owned(), Sink::Stdout),
        (io::stderr().as_fd().try_clone_to_owned(), Sink::Stderr),
    ];
    streams.into_iter().find_map(|(stream, sink)| {
        let stream = File::from(stream.ok()?).metadata().ok()?;
        ((stream.dev(), stream.ino()) == (found.dev(), found.ino())).then_some(sink)
    })
}

pub(super) fn check_writable(path: &Path, _: &Metadata) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?)
}

/// The permissions that the new file gets from the replaced one. The set-user-ID, set-group-ID and sticky bits are dropped,
/// because the new file may have another owner.
pub(super) fn kept_permissions(found: &Metadata) -> Permissions {
    Permissions::from_mode(found.mode() & 0o777)
}

/// Whether the file system has no block left. Some file systems accept a byte even then, and fail later.
pub(super) fn is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|room| room.f_blocks > 0 && room.f_bfree == 0)
}
