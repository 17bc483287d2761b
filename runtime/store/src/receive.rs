//! The receiver's side: a push-style decoder of the encoding. bao-tree's own decoders pull from a reader, which a
//! stream of arriving packets is not. The order of the nodes comes from bao-tree.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bao_tree::io::sync::WriteAt;
use bao_tree::iter::{BaoChunk, ResponseIter};
use blake3::hazmat::ChainingValue;
use isobit_job::Blob;

use crate::error::{ReceiveError, StoreError};
use crate::tree::{self, PAIR};

/// Verified groups are written this many bytes at a time: 16 groups * 16 KiB, which are then still in the core's cache.
const WRITE: usize = 256 * 1024;

/// A file that is removed when dropped, unless it was moved away before.
pub(crate) struct TempFile {
    file: File,
    path: PathBuf,
}

impl TempFile {
    /// Creates the file. Only this user may read it, because it holds a renter's data.
    pub(crate) fn create(path: PathBuf) -> Result<Self, StoreError> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(StoreError::io("create", &path))?;
        Ok(Self { file, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file read-only, on Unix.
    pub(crate) fn seal(&self) -> Result<(), StoreError> {
        #[cfg(unix)]
        {
            let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o400);
            self.file.set_permissions(read_only).map_err(StoreError::io("protect", &self.path))?;
        }
        Ok(())
    }

    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all_at(position, bytes).map_err(StoreError::io("write", &self.path))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // After a rename there is no file here. One that cannot be removed now is removed when the store is opened next.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes an encoding in any split and writes the blob, each group only after it was verified.
///
/// A step that fails changes nothing. After wrong data, every further call fails in the same way.
pub(crate) struct Decoder {
    blob: Blob,
    file: TempFile,
    nodes: ResponseIter,
    next: Option<BaoChunk>,
    /// Hashes of the nodes to come, the next one last. It starts with the blob's own hash.
    expected: Vec<ChainingValue>,
    /// The bytes of the next parent node that have arrived.
    pair: Vec<u8>,
    /// Verified groups not yet written, then the bytes of the next group that have arrived.
    groups: Vec<u8>,
    /// Bytes at the start of `groups` that are verified.
    verified: usize,
    /// Bytes of the blob that are written.
    written: u64,
}

/// The result of a step.
enum Step {
    /// A node was verified.
    Forward,
    /// The next node needs more input.
    Hungry,
    /// There is no next node.
    Finished,
}

impl Decoder {
    pub(crate) fn new(blob: Blob, file: TempFile) -> Self {
        let mut nodes = tree::nodes(&blob);
        let next = nodes.next();
        let buffer = usize::try_from(blob.size.get()).map_or(WRITE, |size| size.min(WRITE));
        Self {
            blob,
            file,
            nodes,
            next,
            expected: vec![*blob.hash.as_bytes()],
            pair: Vec::with_capacity(PAIR),
            groups: Vec::with_capacity(buffer),
            verified: 0,
            written: 0,
        }
    }

    pub(crate) fn blob(&self) -> Blob {
        self.blob
    }

    /// Bytes of the blob that arrived and were verified.
    pub(crate) fn position(&self) -> u64 {
        let verified = u64::try_from(self.verified).unwrap_or(u64::MAX);
        self.written.saturating_add(verified)
    }

    /// Takes all of `input`.
    pub(crate) fn push(&mut self, mut input: &[u8]) -> Result<(), ReceiveError> {
        loop {
            match self.step(&mut input)? {
                Step::Forward => {}
                Step::Hungry => return Ok(()),
                Step::Finished if input.is_empty() => return Ok(()),
                Step::Finished => {
                    return Err(ReceiveError::TooMuchData { hash: self.blob.hash, size: self.blob.size.get() });
                }
            }
        }
    }

    /// Writes the remaining groups and returns the file, which now holds the whole blob.
    pub(crate) fn finish(mut self) -> Result<TempFile, ReceiveError> {
        self.push(&[])?;
        if self.next.is_some() {
            return Err(ReceiveError::Truncated {
                hash: self.blob.hash,
                offset: self.position(),
                size: self.blob.size.get(),
            });
        }
        self.write()?;
        Ok(self.file)
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Step, ReceiveError> {
        match self.next {
            None => Ok(Step::Finished),
            Some(BaoChunk::Parent { is_root, .. }) => self.parent(input, is_root),
            Some(BaoChunk::Leaf { start_chunk, size, is_root, .. }) => {
                if self.verified >= WRITE {
                    self.write()?;
                }
                self.group(input, start_chunk.to_bytes(), size, is_root)
            }
        }
    }

    fn parent(&mut self, input: &mut &[u8], is_root: bool) -> Result<Step, ReceiveError> {
        fill(&mut self.pair, PAIR, input);
        let Some((left, right)) = halves(&self.pair) else {
            return Ok(Step::Hungry);
        };
        if self.expected.last() != Some(&tree::parent_hash(left, right, is_root)) {
            return Err(self.wrong());
        }
        let (left, right) = (*left, *right);
        self.expected.pop();
        self.expected.extend([right, left]);
        self.pair.clear();
        self.next = self.nodes.next();
        Ok(Step::Forward)
    }

    fn group(&mut self, input: &mut &[u8], start: u64, size: usize, is_root: bool) -> Result<Step, ReceiveError> {
        let end = self.verified.saturating_add(size);
        fill(&mut self.groups, end, input);
        let Some(group) = self.groups.get(self.verified..end) else {
            return Ok(Step::Hungry);
        };
        if self.expected.last() != Some(&tree::group_hash(start, group, is_root)) {
            return Err(self.wrong());
        }
        self.expected.pop();
        self.verified = end;
        self.next = self.nodes.next();
        Ok(Step::Forward)
    }

    /// Writes the verified groups. The buffer must hold nothing else.
    fn write(&mut self) -> Result<(), StoreError> {
        self.file.write(self.written, &self.groups)?;
        self.written = self.position();
        self.groups.clear();
        self.verified = 0;
        Ok(())
    }

    fn wrong(&self) -> ReceiveError {
        ReceiveError::WrongData { hash: self.blob.hash, offset: self.position() }
    }
}

/// Moves bytes from `input` until `buffer` has `len`.
fn fill(buffer: &mut Vec<u8>, len: usize, input: &mut &[u8]) {
    let wanted = len.saturating_sub(buffer.len()).min(input.len());
    let (taken, rest) = input.split_at(wanted);
    buffer.extend_from_slice(taken);
    *input = rest;
}

/// The two hashes of a parent node; none until all of it has arrived.
fn halves(pair: &[u8]) -> Option<(&ChainingValue, &ChainingValue)> {
    let (left, rest) = pair.split_first_chunk()?;
    Some((left, rest.first_chunk()?))
}
