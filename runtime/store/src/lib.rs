//! Blobs on disk, addressed by BLAKE3, and their verified transfer from one node to another.
//!
//! The sender hashes a file once, on all cores ([`hash_file`]), and then pulls its encoding piece by piece
//! ([`Encoder`]). The receiver pushes the encoding as it arrives, in any split ([`Incoming`]): each 16 KiB group is
//! checked against the hash before it touches the disk. A [`Store`] keeps received blobs under a byte limit and
//! evicts the least recently used blobs, but never one that a [`Pin`] holds.
//!
//! The encoding is bao in 16 KiB chunk groups, in pre-order and without the size prefix (the size travels with the
//! hash as a `Blob`): `size + 64 * (groups - 1)` bytes, 0.39 % more than the blob.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let (path, dir) = (folder.path().join("photo.png"), folder.path().join("store"));
//! # std::fs::write(&path, vec![7; 100_000])?;
//! use isobit_store::{Encoder, Store, hash_file};
//!
//! let (blob, outboard) = hash_file(&path)?;
//! let store = Store::open(dir, "1GiB".parse()?)?;
//! let node = isobit_job::SecretKey::generate().public();
//! let mut incoming = store.begin(&node, &blob)?;
//! for piece in Encoder::open(&path, &outboard)? {
//!     incoming.write(&piece?)?;
//! }
//! let pin = incoming.finish()?;
//! assert_eq!(pin.open()?.metadata()?.len(), blob.size.get());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything here blocks; async callers use their runtime's blocking threads. Memory is bounded: 256 KiB for each
//! transfer and, at the sender, the outboard (64 bytes for each group).

mod blobs;
mod error;
mod index;
mod receive;
mod send;
mod tree;

pub use blobs::{Incoming, Pin, Store, Usage, charged};
pub use error::{ReceiveError, SourceError, StoreError};
pub use index::MAX_HOLDERS;
pub use send::{Encoder, Outboard, hash_file};
pub use tree::{GROUP, encoded_len};
