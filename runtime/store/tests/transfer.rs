//! A blob's way from a file at the sender into the store of the receiver, with every kind of trouble on the way.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in test functions, not in what these call"
)]

mod fixture;

use std::fs;

use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::{DecodeResponseIter, encode_ranges_validated};
use bao_tree::{BaoTree, BlockSize, ChunkRanges};
use fixture::{Sample, bytes, files, node, read, store};
use isobit_job::{Blob, Hash};
use isobit_store::{Encoder, GROUP, Incoming, ReceiveError, SourceError, Store, encoded_len, hash_file};
use proptest::prelude::*;

const KIB: usize = 1024;
const LIMIT: usize = 64 * 1024 * KIB;

/// Around every edge of chunks, groups, pieces, write buffers and parallel subtrees.
const SIZES: &[usize] = &[
    0,
    1,
    KIB - 1,
    KIB,
    KIB + 1,
    16 * KIB - 1,
    16 * KIB,
    16 * KIB + 1,
    32 * KIB,
    33 * KIB,
    48 * KIB + 7,
    256 * KIB - 1,
    256 * KIB,
    256 * KIB + 1,
    272 * KIB + 1,
    512 * KIB,
    1000 * KIB + 3,
    4 * 1024 * KIB,
    4 * 1024 * KIB + 1,
    9 * 1024 * KIB + 12345,
];

/// Writes `encoded` in pieces of these lengths, over and over.
fn write_in_pieces(incoming: &mut Incoming, mut encoded: &[u8], lengths: &[usize]) -> Result<(), ReceiveError> {
    for length in lengths.iter().cycle() {
        let (piece, rest) = encoded.split_at((*length).min(encoded.len()));
        incoming.write(piece)?;
        encoded = rest;
        if encoded.is_empty() {
            break;
        }
    }
    Ok(())
}

#[test]
fn a_blob_of_any_size_arrives_as_it_was_sent() {
    let (store, folder) = store(LIMIT);
    for (seed, &size) in (0..).zip(SIZES) {
        let sample = Sample::new(size, seed);
        assert_eq!(sample.blob, Blob::of(&sample.data), "size {size}");
        let pin = sample.send(&store).unwrap();
        assert_eq!(pin.blob(), sample.blob);
        assert_eq!(read(&pin), sample.data, "size {size}");
        pin.verify().unwrap();
    }
    assert!(files(folder.path(), "temporary").is_empty());
}

#[test]
fn the_encoding_is_the_one_that_bao_tree_makes_and_reads() {
    for &size in SIZES {
        let sample = Sample::new(size, 1);
        let block = BlockSize::from_chunk_log(4);
        let ranges = ChunkRanges::all();
        let theirs = PreOrderMemOutboard::create(&sample.data, block);
        let mut encoded = Vec::new();
        encode_ranges_validated(&sample.data[..], &theirs, &ranges, &mut encoded).unwrap();
        assert!(encoded == sample.encoded, "size {size}");

        let tree = BaoTree::new(sample.blob.size.get(), block);
        let root = blake3::Hash::from(*sample.blob.hash.as_bytes());
        for item in DecodeResponseIter::new(root, tree, &sample.encoded[..], &ranges) {
            item.unwrap();
        }
    }
}

#[test]
fn the_length_of_an_encoding_is_known_beforehand() {
    for &size in SIZES {
        let sample = Sample::new(size, 2);
        let length = u64::try_from(sample.encoded.len()).unwrap();
        assert_eq!(encoded_len(sample.blob.size), length, "size {size}");
    }
}

#[test]
fn an_encoding_that_arrives_byte_by_byte_is_verified_all_the_same() {
    let (store, _folder) = store(LIMIT);
    let sample = Sample::new(100 * KIB + 1, 3);
    let mut incoming = store.begin(&node(), &sample.blob).unwrap();
    for byte in &sample.encoded {
        incoming.write(std::slice::from_ref(byte)).unwrap();
    }
    assert_eq!(incoming.position(), sample.blob.size.get());
    assert_eq!(read(&incoming.finish().unwrap()), sample.data);
}

#[test]
fn an_empty_blob_under_another_name_is_refused() {
    let (store, _folder) = store(LIMIT);
    let blob = Blob { hash: Hash::of(b"something"), size: bytes(0) };
    let error = store.begin(&node(), &blob).unwrap().finish().unwrap_err();
    assert!(matches!(error, ReceiveError::WrongData { offset: 0, .. }));
    assert!(!store.contains(&blob));
}

#[test]
fn a_wrong_size_under_a_right_hash_is_refused() {
    let (store, _folder) = store(LIMIT);
    let sample = Sample::new(40 * KIB, 4);
    for size in [0, 1, 16 * KIB, 40 * KIB - 1, 40 * KIB + 1, 80 * KIB] {
        let blob = Blob { hash: sample.blob.hash, size: bytes(size) };
        let mut incoming = store.begin(&node(), &blob).unwrap();
        let written = incoming.write(&sample.encoded);
        assert!(written.is_err() || incoming.finish().is_err(), "size {size}");
        assert!(!store.contains(&blob));
    }
    // Nor does the store say that it has the blob once it is there under its right size.
    let _pin = sample.send(&store).unwrap();
    assert!(!store.contains(&Blob { hash: sample.blob.hash, size: bytes(1) }));
}

#[test]
fn data_after_the_end_is_refused() {
    let (store, _folder) = store(LIMIT);
    for size in [0, 1, 16 * KIB, 50 * KIB] {
        let sample = Sample::new(size, 5);
        let mut incoming = store.begin(&node(), &sample.blob).unwrap();
        incoming.write(&sample.encoded).unwrap();
        let error = incoming.write(&[0]).unwrap_err();
        assert!(matches!(error, ReceiveError::TooMuchData { .. }));
        let text = error.to_string();
        assert!(text.ends_with(&format!("data after its end at byte {size}")), "{text}");
    }
}

#[test]
fn a_receiver_that_failed_fails_again() {
    let (store, folder) = store(LIMIT);
    let sample = Sample::new(100 * KIB, 6);
    let mut encoded = sample.encoded.clone();
    encoded[50 * KIB] ^= 1;
    let mut incoming = store.begin(&node(), &sample.blob).unwrap();
    let first = incoming.write(&encoded).unwrap_err().to_string();
    assert_eq!(first, incoming.write(&[]).unwrap_err().to_string());
    assert_eq!(first, incoming.write(&sample.encoded).unwrap_err().to_string());
    assert_eq!(first, incoming.finish().unwrap_err().to_string());
    assert!(files(folder.path(), "temporary").is_empty());
}

#[test]
fn an_abandoned_receiver_leaves_nothing() {
    let (store, folder) = store(LIMIT);
    let sample = Sample::new(600 * KIB, 7);
    let mut incoming = store.begin(&node(), &sample.blob).unwrap();
    incoming.write(&sample.encoded[..500 * KIB]).unwrap();
    assert_eq!(files(folder.path(), "temporary").len(), 1);
    assert_eq!(store.usage().in_use, bytes(600 * KIB));
    drop(incoming);
    assert!(files(folder.path(), "temporary").is_empty());
    assert_eq!(store.usage().in_use, bytes(0));
    assert!(!store.contains(&sample.blob));
}

#[test]
fn receivers_of_the_same_blob_do_not_disturb_each_other() {
    let (store, folder) = store(LIMIT);
    let sample = Sample::new(700 * KIB + 5, 8);
    std::thread::scope(|scope| {
        for length in [1 << 20, 10_000, 1200, 65_536, 333_333, 16 * KIB + 64] {
            let (store, sample) = (&store, &sample);
            scope.spawn(move || {
                let mut incoming = store.begin(&node(), &sample.blob).unwrap();
                write_in_pieces(&mut incoming, &sample.encoded, &[length]).unwrap();
                let pin = incoming.finish().unwrap();
                assert_eq!(read(&pin), sample.data);
            });
        }
    });
    assert!(store.contains(&sample.blob));
    assert_eq!(files(folder.path(), "blobs").len(), 1);
    assert!(files(folder.path(), "temporary").is_empty());
    let usage = store.usage();
    assert_eq!((usage.stored, usage.in_use), (bytes(704 * KIB), bytes(0)));
}

#[test]
fn a_file_that_changed_after_it_was_hashed_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    fs::write(&path, vec![1; 100 * KIB]).unwrap();
    let (_, outboard) = hash_file(&path).unwrap();
    fs::write(&path, vec![1; 101 * KIB]).unwrap();
    let error = Encoder::open(&path, &outboard).unwrap_err();
    assert!(matches!(error, SourceError::Changed { .. }));
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_in_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    fs::write(&path, vec![1; 900 * KIB]).unwrap();
    let (_, outboard) = hash_file(&path).unwrap();
    let mut encoder = Encoder::open(&path, &outboard).unwrap();
    assert!(encoder.next().unwrap().is_ok());
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(300_000).unwrap();
    let rest: Vec<_> = encoder.by_ref().collect();
    assert!(matches!(rest.last(), Some(Err(SourceError::Changed { .. }))));
    assert_eq!(rest.iter().filter(|piece| piece.is_err()).count(), 1);
}

#[test]
fn only_regular_files_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let error = hash_file(folder.path()).unwrap_err();
    assert!(matches!(error, SourceError::NotAFile { .. }));
    let error = hash_file(folder.path().join("nowhere")).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
}

#[test]
fn pieces_of_an_encoding_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    fs::write(&path, vec![7; 3_000_000]).unwrap();
    let (_, outboard) = hash_file(&path).unwrap();
    for piece in Encoder::open(&path, &outboard).unwrap() {
        assert!(piece.unwrap().len() <= 256 * KIB + 16 * KIB);
    }
}

#[test]
fn transfers_may_move_between_threads() {
    fn may_move<T: Send + 'static>() {}
    may_move::<Encoder>();
    may_move::<Incoming>();
    may_move::<isobit_store::Pin>();
    may_move::<Store>();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_the_stream_gives_the_same_blob(
        size in 0..700 * KIB,
        lengths in prop::collection::vec(prop_oneof![1..100_usize, 1..70_000_usize], 1..20),
    ) {
        let (store, _folder) = store(LIMIT);
        let sample = Sample::new(size, 9);
        // At most some ten thousand pieces, however short they are.
        let least = sample.encoded.len() / 10_000 + 1;
        let lengths: Vec<_> = lengths.into_iter().map(|length| length.max(least)).collect();
        let mut incoming = store.begin(&node(), &sample.blob).unwrap();
        write_in_pieces(&mut incoming, &sample.encoded, &lengths).unwrap();
        prop_assert!(read(&incoming.finish().unwrap()) == sample.data);
    }

    #[test]
    fn a_changed_bit_anywhere_is_found_before_it_reaches_the_disk(
        size in 1..700 * KIB,
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        length in 1000..70_000_usize,
    ) {
        let (store, folder) = store(LIMIT);
        let sample = Sample::new(size, 10);
        let mut encoded = sample.encoded.clone();
        let place = place.index(encoded.len());
        encoded[place] ^= 1 << bit;

        let mut incoming = store.begin(&node(), &sample.blob).unwrap();
        let error = write_in_pieces(&mut incoming, &encoded, &[length]).unwrap_err();
        let ReceiveError::WrongData { offset, .. } = error else {
            panic!("{error}");
        };
        prop_assert_eq!(offset % GROUP, 0);
        prop_assert!(offset <= u64::try_from(place).unwrap());
        prop_assert_eq!(offset, incoming.position());
        let written = fs::read(&files(folder.path(), "temporary")[0]).unwrap();
        prop_assert!(sample.data.starts_with(&written));

        drop(incoming);
        prop_assert!(files(folder.path(), "temporary").is_empty());
        prop_assert!(!store.contains(&sample.blob));
        prop_assert!(sample.send(&store).is_ok());
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error_that_says_where(
        size in 1..700 * KIB,
        place in any::<prop::sample::Index>(),
    ) {
        let (store, folder) = store(LIMIT);
        let sample = Sample::new(size, 11);
        let end = place.index(sample.encoded.len());
        let mut incoming = store.begin(&node(), &sample.blob).unwrap();
        incoming.write(&sample.encoded[..end]).unwrap();
        let position = incoming.position();
        let error = incoming.finish().unwrap_err();
        let ReceiveError::Truncated { offset, size, .. } = error else {
            panic!("{error}");
        };
        prop_assert_eq!((offset, size), (position, sample.blob.size.get()));
        prop_assert!(offset < size);
        prop_assert!(files(folder.path(), "temporary").is_empty());
        prop_assert!(!store.contains(&sample.blob));
    }

    #[test]
    fn noise_is_refused_at_once(noise in prop::collection::vec(any::<u8>(), 64..40_000)) {
        let (store, _folder) = store(LIMIT);
        let blob = Blob { hash: Hash::of(b"what was asked for"), size: bytes(1 << 20) };
        let mut incoming = store.begin(&node(), &blob).unwrap();
        let error = incoming.write(&noise).unwrap_err();
        let refused = matches!(error, ReceiveError::WrongData { offset: 0, .. });
        prop_assert!(refused);
    }
}
