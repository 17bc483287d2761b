//! What can go wrong: with the store itself, with what a peer sends, and with a file that is to be sent.
//!
//! Three enums, because they are three parties' troubles: the provider's disk, the peer's bytes, the renter's file.

use std::io;
use std::path::{Path, PathBuf};

use isobit_job::{Bytes, Hash};

/// The store could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "create", "open".
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("the blob store {} is in use by another process: stop it, or choose another folder", dir.display())]
    InUse {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The blob is larger than the whole store may become.
    #[error("a blob of {size} does not fit into a blob store limited to {limit}: raise the store's limit")]
    TooLarge {
        /// The blob's size.
        size: Bytes,
        /// The store's limit.
        limit: Bytes,
    },
    /// There would be room, were it not for blobs in use or on their way in.
    #[error(
        "no room for a blob of {size}: {in_use} of the blob store's {limit} are in use; try again when a job has finished"
    )]
    NoRoom {
        /// The blob's size.
        size: Bytes,
        /// The store's limit.
        limit: Bytes,
        /// What is pinned or being received.
        in_use: Bytes,
    },
    /// The stored bytes are not those that were received. They are gone now.
    #[error("blob {hash} was damaged on disk and has been discarded: send it again")]
    Damaged {
        /// The blob.
        hash: Hash,
    },
}

impl StoreError {
    /// For `map_err` on file system calls.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// A blob could not be received. All but [`ReceiveError::Store`] are the sender's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The bytes are not those the hash stands for.
    #[error("blob {hash}: wrong data at byte {offset}: the bytes sent are not the ones its hash names")]
    WrongData {
        /// The blob.
        hash: Hash,
        /// Where the part of the blob starts that failed; all before it is right.
        offset: u64,
    },
    /// The stream ended early.
    #[error("blob {hash}: truncated after byte {offset} of {size}: send it again")]
    Truncated {
        /// The blob.
        hash: Hash,
        /// Bytes of the blob that arrived and were verified.
        offset: u64,
        /// Bytes the blob has.
        size: u64,
    },
    /// The stream went on after the blob's last byte.
    #[error("blob {hash}: data after its end at byte {size}")]
    TooMuchData {
        /// The blob.
        hash: Hash,
        /// Bytes the blob has.
        size: u64,
    },
    /// The bytes were right but could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file could not be hashed or sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "open", "read".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// The file has more bytes than a job can name.
    #[error("{} is too large: {size} bytes, at most {}", path.display(), Bytes::MAX.get())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// Someone wrote to the file after it was hashed.
    #[error("{} changed while it was being sent: leave it alone until the job has its inputs", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl SourceError {
    /// For `map_err` on file system calls.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}
