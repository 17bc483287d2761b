//! Identity, kind and permissions of files on systems other than Unix.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::{Kind, Sink};

/// Identifies a file: its path without links and dots. Hard links count as different files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileId(PathBuf);

pub(super) fn id(path: &Path, _: &Metadata) -> io::Result<FileId> {
    fs::canonicalize(path).map(FileId)
}

pub(super) fn kind(path: &Path, found: &Metadata) -> Kind {
    if path.as_os_str().eq_ignore_ascii_case("NUL") {
        Kind::Null
    } else if found.is_dir() {
        Kind::Folder
    } else if found.is_file() {
        Kind::File
    } else {
        Kind::Device
    }
}

/// The standard stream of this process that leads to the file: unknown here.
pub(super) fn stream(_: &Metadata) -> Option<Sink> {
    None
}

pub(super) fn check_writable(_: &Path, found: &Metadata) -> io::Result<()> {
    if found.permissions().readonly() { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

/// The permissions that the new file gets from the replaced one.
pub(super) fn kept_permissions(found: &Metadata) -> Permissions {
    found.permissions()
}

/// Whether the file system has no room left: unknown here.
pub(super) fn is_full(_: &Path) -> bool {
    false
}
