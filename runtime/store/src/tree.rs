//! The shape of a blob's BLAKE3 tree in 16 KiB groups, and the hashes of its nodes.
//!
//! bao-tree says which nodes an encoding holds and in which order; the hashes are blake3's own primitives.

use std::fs::File;
use std::io;

use bao_tree::io::sync::ReadAt;
use bao_tree::iter::ResponseIter;
use bao_tree::{BaoTree, BlockSize, ChunkRanges};
use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use isobit_job::{Blob, Bytes};

/// Bytes in one chunk group, the unit of verification: 16 chunks * 1 KiB.
pub const GROUP: u64 = 16 * 1024;

/// Bytes of one parent node in outboard and encoding: two chaining values * 32 B.
pub(crate) const PAIR: usize = 2 * 32;

/// log2 of the chunks in a [`GROUP`].
const GROUP_CHUNK_LOG: u8 = 4;

/// Subtrees above this many bytes are hashed on several cores: 4 MiB take one core about a millisecond, far longer
/// than it takes to hand them over.
const PARALLEL_FROM: u64 = 4 * 1024 * 1024;

/// Length in bytes of the encoding of a blob of `size` bytes.
#[must_use]
pub fn encoded_len(size: Bytes) -> u64 {
    size.get().saturating_add(outboard_len(size.get()))
}

/// Length in bytes of the outboard of `size` bytes: a pair for each group but one.
pub(crate) fn outboard_len(size: u64) -> u64 {
    (size.div_ceil(GROUP).max(1) - 1).saturating_mul(64)
}

/// The nodes of the encoding of `blob`, in the order in which they are sent.
pub(crate) fn nodes(blob: &Blob) -> ResponseIter {
    let tree = BaoTree::new(blob.size.get(), BlockSize::from_chunk_log(GROUP_CHUNK_LOG));
    ResponseIter::new(tree, ChunkRanges::all())
}

/// Hash of the group that starts at byte `start` of its blob.
pub(crate) fn group_hash(start: u64, data: &[u8], is_root: bool) -> ChainingValue {
    if is_root {
        return *blake3::hash(data).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    hasher.update(data);
    hasher.finalize_non_root()
}

/// Hash of the node over `left` and `right`.
pub(crate) fn parent_hash(left: &ChainingValue, right: &ChainingValue, is_root: bool) -> ChainingValue {
    if is_root {
        *hazmat::merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        hazmat::merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

/// Hashes the first `size` bytes of `file` on all cores. `outboard`, if given, has [`outboard_len`] bytes and receives the
/// pairs in pre-order.
pub(crate) fn hash_blob(file: &File, size: u64, outboard: Option<&mut [u8]>) -> io::Result<ChainingValue> {
    let whole = Subtree { start: 0, len: size, is_root: true };
    whole.hash(file, outboard, &mut Vec::new())
}

/// A part of the blob that is one node of its tree.
struct Subtree {
    start: u64,
    len: u64,
    is_root: bool,
}

impl Subtree {
    /// The hash of this part. `buffer` is scratch space that neighbours share.
    fn hash(&self, file: &File, outboard: Option<&mut [u8]>, buffer: &mut Vec<u8>) -> io::Result<ChainingValue> {
        if self.len <= GROUP {
            buffer.resize(usize::try_from(self.len).map_err(io::Error::other)?, 0);
            file.read_exact_at(self.start, buffer)?;
            return Ok(group_hash(self.start, buffer, self.is_root));
        }
        let (left, right) = self.children();
        let (pair, left_pairs, right_pairs) = divide(outboard, left.len);
        let (left, right) = if self.len > PARALLEL_FROM {
            let (left, right) =
                rayon::join(|| left.hash(file, left_pairs, buffer), || right.hash(file, right_pairs, &mut Vec::new()));
            (left?, right?)
        } else {
            (left.hash(file, left_pairs, buffer)?, right.hash(file, right_pairs, buffer)?)
        };
        if let Some(pair) = pair {
            let (first, second) = pair.split_at_mut(left.len());
            first.copy_from_slice(&left);
            second.copy_from_slice(&right);
        }
        Ok(parent_hash(&left, &right, self.is_root))
    }

    fn children(&self) -> (Self, Self) {
        let left = hazmat::left_subtree_len(self.len);
        (
            Self { start: self.start, len: left, is_root: false },
            Self { start: self.start + left, len: self.len - left, is_root: false },
        )
    }
}

/// The parts of a pre-order outboard: a node's own pair, then all pairs of its left child, then those of its right.
type Places<'a> = (Option<&'a mut [u8; PAIR]>, Option<&'a mut [u8]>, Option<&'a mut [u8]>);

fn divide(outboard: Option<&mut [u8]>, left_len: u64) -> Places<'_> {
    let places = outboard.and_then(|pairs| pairs.split_first_chunk_mut::<PAIR>()).and_then(|(pair, rest)| {
        let left_pairs = usize::try_from(outboard_len(left_len)).ok()?;
        let (left, right) = rest.split_at_mut_checked(left_pairs)?;
        Some((pair, left, right))
    });
    match places {
        Some((pair, left, right)) => (Some(pair), Some(left), Some(right)),
        None => (None, None, None),
    }
}
