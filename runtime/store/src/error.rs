//! Errors of the store itself, of received bytes, and of files to be sent.
//!
//! Three enums, because the causes are separate: the provider's disk, the peer's bytes, the renter's file.

use std::io;
use std::path::{Path, PathBuf};

use isobit_job::{Bytes, Hash};

/// The store failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum StoreError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What failed, as a verb: "create", "open".
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the blob store {} is in use by another process: stop it, or choose another folder", dir.display())]
    InUse { dir: PathBuf },
    #[error("a blob of {size} does not fit into a blob store limited to {limit}: raise the store's limit")]
    TooLarge { size: Bytes, limit: Bytes },
    #[error(
        "no room for a blob of {size}: {in_use} of the blob store's {limit} are in use; try again when a job has finished"
    )]
    NoRoom {
        size: Bytes,
        limit: Bytes,
        /// Bytes pinned or reserved for blobs being received.
        in_use: Bytes,
    },
    #[error("blob {hash} was damaged on disk and has been discarded: send it again")]
    Damaged { hash: Hash },
}

impl StoreError {
    /// For `map_err` on file system calls.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// A blob could not be received. All but [`ReceiveError::Store`] are the sender's fault.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum ReceiveError {
    #[error("blob {hash}: wrong data at byte {offset}: the bytes sent are not the ones its hash names")]
    WrongData {
        hash: Hash,
        /// Bytes of the blob that arrived and were verified; the wrong data comes after them.
        offset: u64,
    },
    #[error("blob {hash}: truncated after byte {offset} of {size}: send it again")]
    Truncated {
        hash: Hash,
        /// Bytes of the blob that arrived and were verified.
        offset: u64,
        size: u64,
    },
    #[error("blob {hash}: data after its end at byte {size}")]
    TooMuchData { hash: Hash, size: u64 },
    /// The bytes were verified but could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file could not be hashed or sent.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum SourceError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What failed, as a verb: "open", "read".
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is too large: {size} bytes, at most {}", path.display(), Bytes::MAX.get())]
    TooLarge { path: PathBuf, size: u64 },
    #[error("{} changed while it was being sent: leave it alone until the job has its inputs", path.display())]
    Changed { path: PathBuf },
}

impl SourceError {
    /// For `map_err` on file system calls.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}
