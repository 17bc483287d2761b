//! The sender's side: a file is hashed once, in parallel; then its encoding is read piece by piece.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bao_tree::io::sync::ReadAt;
use bao_tree::iter::{BaoChunk, ResponseIter};
use isobit_job::{Blob, Bytes, Hash};

use crate::error::SourceError;
use crate::tree::{self, PAIR};

/// Bytes in a piece of an encoding: large enough that passing it on costs little, small enough to stay in cache.
const PIECE: usize = 256 * 1024;

/// Capacity of a piece: its last group may start just before the piece is full, and up to 64 pairs, one for each level of a
/// tree, come before a group. A piece that outgrew its capacity would be copied.
const PIECE_ROOM: usize = PIECE + 16 * 1024 + 64 * PAIR;

/// The inner hashes of a file, with which it can be sent without being hashed again. Clones share them.
#[derive(Clone, Debug)]
pub struct Outboard {
    blob: Blob,
    stamp: Stamp,
    /// Pairs in pre-order.
    pairs: Arc<Vec<u8>>,
}

impl Outboard {
    /// The hash and size of the file when it was hashed.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.blob
    }
}

/// The length and modification time of a file. If they change, the file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// A regular file, opened for reading, and its state at that time.
#[derive(Debug)]
struct Source {
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

impl Source {
    fn open(path: &Path) -> Result<Self, SourceError> {
        // Checked before opening, because opening a pipe waits for its writer.
        let metadata = path.metadata().map_err(SourceError::io("open", path))?;
        if !metadata.is_file() {
            return Err(SourceError::NotAFile { path: path.to_path_buf() });
        }
        let file = File::open(path).map_err(SourceError::io("open", path))?;
        let metadata = file.metadata().map_err(SourceError::io("read", path))?;
        Ok(Self { file, path: path.to_path_buf(), stamp: Stamp::of(&metadata) })
    }

    fn expect(&self, stamp: Stamp) -> Result<(), SourceError> {
        let metadata = self.file.metadata().map_err(SourceError::io("read", &self.path))?;
        if Stamp::of(&metadata) == stamp { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> SourceError {
        SourceError::Changed { path: self.path.clone() }
    }

    /// A read that found the file shorter than it was is a change, not an I/O error.
    fn read_error(&self, source: std::io::Error) -> SourceError {
        if source.kind() == ErrorKind::UnexpectedEof {
            self.changed()
        } else {
            SourceError::io("read", &self.path)(source)
        }
    }
}

/// Hashes a file on all cores. The outboard takes 0.39 % of the file's size in memory.
///
/// # Errors
/// The file cannot be read, is not a regular file, is too large, or is written to meanwhile.
pub fn hash_file(path: impl AsRef<Path>) -> Result<(Blob, Outboard), SourceError> {
    let path = path.as_ref();
    let source = Source::open(path)?;
    let len = source.stamp.len;
    let too_large = || SourceError::TooLarge { path: path.to_path_buf(), size: len };
    let size = Bytes::try_from(len).map_err(|_| too_large())?;
    let pairs_len = usize::try_from(tree::outboard_len(len)).map_err(|_| too_large())?;
    let mut pairs = vec![0; pairs_len];
    let root = tree::hash_blob(&source.file, len, Some(&mut pairs)).map_err(|error| source.read_error(error))?;
    source.expect(source.stamp)?;
    let blob = Blob { hash: Hash::from_bytes(root), size };
    let outboard = Outboard { blob, stamp: source.stamp, pairs: Arc::new(pairs) };
    Ok((blob, outboard))
}

/// The encoding of a file: an iterator over pieces of about 256 KiB, ready to be written to a stream one after the other.
///
/// The data is not hashed again. A change of the file shows in its length or modification time; if not, the receiver finds
/// it. The iterator ends after an error.
#[derive(Debug)]
pub struct Encoder {
    source: Source,
    outboard: Outboard,
    /// Bytes of the outboard that were sent.
    pairs_sent: usize,
    nodes: ResponseIter,
    finished: bool,
}

impl Encoder {
    /// Opens the file that `outboard` was made from.
    ///
    /// # Errors
    /// The file cannot be opened, is not a regular file, or was written to since.
    pub fn open(path: impl AsRef<Path>, outboard: &Outboard) -> Result<Self, SourceError> {
        let source = Source::open(path.as_ref())?;
        source.expect(outboard.stamp)?;
        Ok(Self {
            source,
            outboard: outboard.clone(),
            pairs_sent: 0,
            nodes: tree::nodes(&outboard.blob),
            finished: false,
        })
    }

    /// Length in bytes of the whole encoding.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        tree::encoded_len(self.outboard.blob.size)
    }

    /// The next piece; an empty one at the end.
    fn piece(&mut self) -> Result<Vec<u8>, SourceError> {
        let mut piece = Vec::with_capacity(PIECE_ROOM);
        while piece.len() < PIECE {
            let Some(node) = self.nodes.next() else {
                self.finished = true;
                self.source.expect(self.outboard.stamp)?;
                break;
            };
            match node {
                BaoChunk::Parent { .. } => {
                    let end = self.pairs_sent.saturating_add(PAIR);
                    // Outboard and nodes are made for the same size, so the pair exists.
                    if let Some(pair) = self.outboard.pairs.get(self.pairs_sent..end) {
                        piece.extend_from_slice(pair);
                    }
                    self.pairs_sent = end;
                }
                BaoChunk::Leaf { start_chunk, size, .. } => {
                    self.append_group(&mut piece, start_chunk.to_bytes(), size)?
                }
            }
        }
        Ok(piece)
    }

    fn append_group(&self, piece: &mut Vec<u8>, start: u64, size: usize) -> Result<(), SourceError> {
        let before = piece.len();
        piece.resize(before.saturating_add(size), 0);
        let group = piece.get_mut(before..).unwrap_or_default();
        self.source.file.read_exact_at(start, group).map_err(|error| self.source.read_error(error))
    }
}

impl Iterator for Encoder {
    type Item = Result<Vec<u8>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let piece = self.piece();
        match &piece {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(_) => Some(piece),
            Err(_) => {
                self.finished = true;
                Some(piece)
            }
        }
    }
}
