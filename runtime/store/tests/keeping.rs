//! What the store keeps, what it evicts, and what it finds again when it is opened.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in test functions, not in what these call"
)]

mod fixture;

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use fixture::{Sample, all_files, bytes, files, node, read, store};
use isobit_job::SecretKey;
use isobit_store::{Pin, ReceiveError, Store, StoreError};
use proptest::prelude::*;

const KIB: usize = 1024;

/// Writes to a stored file as nobody should.
fn tamper(store: &Path, sample: &Sample, data: &[u8]) {
    let name = sample.blob.hash.to_string();
    let path = store.join("blobs").join(&name[..2]).join(&name);
    fs::remove_file(&path).unwrap();
    fs::write(&path, data).unwrap();
}

#[test]
fn the_blob_used_longest_ago_goes_first() {
    let (store, _folder) = store(12 * KIB);
    let samples = [1, 2, 3, 4].map(|seed| Sample::new(4 * KIB, seed));
    for sample in &samples[..3] {
        sample.send(&store).unwrap();
    }
    // The first is used again, so the second is the oldest.
    drop(store.pin(&node(), &samples[0].blob).unwrap());
    samples[3].send(&store).unwrap();
    let kept = samples.each_ref().map(|sample| store.contains(&sample.blob));
    assert_eq!(kept, [true, false, true, true]);
}

#[test]
fn a_pinned_blob_is_never_evicted() {
    let (store, folder) = store(8 * KIB);
    let [first, second, third] = [1, 2, 3].map(|seed| Sample::new(4 * KIB, seed));
    let first_pin = first.send(&store).unwrap();
    drop(second.send(&store).unwrap());
    let third_pin = third.send(&store).unwrap();
    assert!(store.contains(&first.blob) && !store.contains(&second.blob));

    let error = second.send(&store).unwrap_err();
    assert!(matches!(error, StoreError::NoRoom { .. }));
    assert_eq!(
        error.to_string(),
        "no room for a blob of 4 KiB: 8 KiB of the blob store's 8 KiB are in use; \
         try again when a job has finished"
    );
    drop(third_pin);
    second.send(&store).unwrap();
    assert_eq!(read(&first_pin), first.data);
    assert_eq!(files(folder.path(), "blobs").len(), 2);
    assert!(files(folder.path(), "temporary").is_empty());
}

#[test]
fn a_blob_pinned_twice_is_held_until_both_pins_are_gone() {
    let (store, _folder) = store(4 * KIB);
    let [first, second] = [1, 2].map(|seed| Sample::new(100, seed));
    let pins = (first.send(&store).unwrap(), store.pin(&node(), &first.blob).unwrap());
    drop(pins.0);
    assert!(second.send(&store).is_err());
    drop(pins.1);
    assert!(second.send(&store).is_ok());
    assert!(store.pin(&node(), &first.blob).is_none());
}

#[test]
fn a_refused_blob_costs_no_other() {
    let (store, _folder) = store(12 * KIB);
    let [small, held] = [1, 2].map(|seed| Sample::new(4 * KIB, seed));
    small.send(&store).unwrap();
    let _held = held.send(&store).unwrap();
    let error = Sample::new(12 * KIB, 3).send(&store).unwrap_err();
    assert!(matches!(error, StoreError::NoRoom { .. }));
    let error = Sample::new(13 * KIB, 4).send(&store).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
    assert!(store.contains(&small.blob));
}

#[test]
fn room_is_taken_as_bytes_arrive_and_not_for_a_promise() {
    let (store, _folder) = store(8 << 20);
    let [kept, promised] = [(4 << 20, 1), (8 << 20, 2)].map(|(size, seed)| Sample::new(size, seed));
    let other = SecretKey::generate().public();
    kept.send(&store).unwrap();
    let mut incoming = store.begin(&other, &promised.blob).unwrap();
    assert!(store.contains(&kept.blob), "70 bytes have evicted 4 MiB");
    assert_eq!(store.usage().in_use, bytes(1 << 20));
    // Half the store is another's share; what is beyond it is not taken from those who brought something.
    let (first, rest) = promised.encoded.split_at(3 << 20);
    incoming.write(first).unwrap();
    assert!(store.contains(&kept.blob));
    let refused = rest.chunks(64 << 10).find_map(|piece| incoming.write(piece).err());
    assert!(matches!(refused, Some(ReceiveError::Store(StoreError::NoRoom { .. }))), "{refused:?}");
    assert!(store.contains(&kept.blob));
    drop(incoming);
    assert_eq!(store.usage().in_use, bytes(0));
    assert!(promised.send(&store).is_ok(), "of its own blobs a node may evict all");
}

#[test]
fn a_node_over_its_share_evicts_its_own_blobs() {
    let (store, _folder) = store(16 * KIB);
    let other = SecretKey::generate().public();
    let theirs = Sample::new(4 * KIB, 0);
    theirs.send_as(&other, &store).unwrap();
    for seed in 1..50 {
        Sample::new(4 * KIB, seed).send(&store).unwrap();
        assert!(store.pin(&other, &theirs.blob).is_some(), "{seed}");
    }
}

#[test]
fn a_hash_is_a_name_and_not_a_permission() {
    let (first_store, folder) = store(64 * KIB);
    let sample = Sample::new(5000, 1);
    let other = SecretKey::generate().public();
    drop(sample.send(&first_store).unwrap());
    assert!(first_store.pin(&other, &sample.blob).is_none());
    // Whoever brings the blob holds it, too; it is there once.
    assert_eq!(read(&sample.send_as(&other, &first_store).unwrap()), sample.data);
    assert!(first_store.pin(&other, &sample.blob).is_some() && first_store.pin(&node(), &sample.blob).is_some());
    assert_eq!(first_store.usage().stored, bytes(8192));
    drop(first_store);

    let again = Store::open(folder.path(), bytes(64 * KIB)).unwrap();
    assert!(again.pin(&other, &sample.blob).is_some() && again.pin(&node(), &sample.blob).is_some());
    assert!(again.pin(&SecretKey::generate().public(), &sample.blob).is_none());
    // Evicted, it is nobody's.
    Sample::new(60_000, 2).send(&again).unwrap();
    assert!(!again.contains(&sample.blob));
    let left = all_files(folder.path(), "blobs");
    assert_eq!(left.len(), 2, "one blob and the list of its holders: {left:?}");
}

#[test]
fn an_open_file_survives_the_eviction_of_its_blob() {
    let (store, _folder) = store(8 * KIB);
    let [first, second] = [1, 2].map(|seed| Sample::new(8 * KIB, seed));
    let mut file = first.send(&store).unwrap().open().unwrap();
    second.send(&store).unwrap();
    assert!(!store.contains(&first.blob));
    let mut data = Vec::new();
    file.read_to_end(&mut data).unwrap();
    assert_eq!(data, first.data);
}

#[test]
fn a_store_that_is_opened_again_has_its_blobs_and_their_order() {
    let (first_store, folder) = store(12 * KIB);
    let samples = [1, 2, 3, 4].map(|seed| Sample::new(4 * KIB, seed));
    for sample in &samples[..3] {
        sample.send(&first_store).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(first_store.pin(&node(), &samples[0].blob));
    drop(first_store);

    let again = Store::open(folder.path(), bytes(12 * KIB)).unwrap();
    assert_eq!(again.usage().stored, bytes(12 * KIB));
    assert_eq!(read(&again.pin(&node(), &samples[2].blob).unwrap()), samples[2].data);
    samples[3].send(&again).unwrap();
    let kept = samples.each_ref().map(|sample| again.contains(&sample.blob));
    assert_eq!(kept, [true, false, true, true]);
}

#[test]
fn a_store_that_is_opened_with_a_lower_limit_shrinks() {
    let (large, folder) = store(64 * KIB);
    for seed in 0..16 {
        Sample::new(4 * KIB, seed).send(&large).unwrap();
    }
    drop(large);
    let small = Store::open(folder.path(), bytes(20 * KIB)).unwrap();
    assert_eq!(small.usage().stored, bytes(20 * KIB));
    assert_eq!(files(folder.path(), "blobs").len(), 5);
}

#[test]
fn left_overs_of_a_killed_process_are_removed_and_foreign_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("blobs/ab/notes.txt");
    fs::create_dir_all(folder.path().join("temporary")).unwrap();
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(folder.path().join("temporary/0"), "half a blob").unwrap();
    fs::write(&foreign, "not a blob").unwrap();
    let thesis = folder.path().join("temporary/thesis.txt");
    fs::write(&thesis, "years of work").unwrap();
    let store = Store::open(folder.path(), bytes(64 * KIB)).unwrap();
    assert!(!folder.path().join("temporary/0").exists());
    assert_eq!(store.usage().stored, bytes(0));
    assert!(foreign.exists() && thesis.exists());
}

#[test]
fn two_processes_do_not_share_a_store() {
    let (first, folder) = store(KIB);
    let error = Store::open(folder.path(), bytes(KIB)).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    drop(first);
    assert!(Store::open(folder.path(), bytes(KIB)).is_ok());
}

#[test]
fn a_blob_damaged_between_two_runs_is_found_and_can_be_sent_again() {
    for damage in [b"short".to_vec(), vec![0; 20 * KIB]] {
        let sample = Sample::new(20 * KIB, 1);
        let (first_store, folder) = store(64 * KIB);
        sample.send(&first_store).unwrap();
        drop(first_store);
        tamper(folder.path(), &sample, &damage);

        let again = Store::open(folder.path(), bytes(64 * KIB)).unwrap();
        if let Some(pin) = again.pin(&node(), &sample.blob) {
            let error = pin.open().unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }));
        }
        assert!(!again.contains(&sample.blob));
        let pin = sample.send(&again).unwrap();
        assert_eq!(read(&pin), sample.data);
        assert_eq!(again.usage().stored, bytes(20 * KIB));
        assert_eq!(files(folder.path(), "blobs").len(), 1);
    }
}

#[test]
fn a_blob_damaged_in_use_is_found_by_verify_and_replaced_under_its_pins() {
    let (store, folder) = store(64 * KIB);
    let sample = Sample::new(20 * KIB, 1);
    let pin = sample.send(&store).unwrap();
    pin.verify().unwrap();
    tamper(folder.path(), &sample, &vec![0; 20 * KIB]);
    assert!(matches!(pin.verify().unwrap_err(), StoreError::Damaged { .. }));
    assert!(!store.contains(&sample.blob));
    assert!(pin.open().is_err() && store.pin(&node(), &sample.blob).is_none());
    assert_eq!(store.usage().stored, bytes(0));

    drop(sample.send(&store).unwrap());
    assert_eq!(read(&pin), sample.data);
    assert_eq!(store.usage().in_use, bytes(20 * KIB));
    drop(pin);
    assert_eq!(store.usage().in_use, bytes(0));
}

#[test]
fn a_blob_whose_file_vanished_is_no_longer_there() {
    let (store, folder) = store(64 * KIB);
    let sample = Sample::new(20 * KIB, 1);
    let pin = sample.send(&store).unwrap();
    fs::remove_file(&files(folder.path(), "blobs")[0]).unwrap();
    assert!(matches!(pin.open().unwrap_err(), StoreError::Damaged { .. }));
    drop(pin);
    assert!(!store.contains(&sample.blob));
    assert_eq!(store.usage().stored, bytes(0));
}

#[cfg(unix)]
#[test]
fn stored_blobs_are_read_only_and_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (store, folder) = store(64 * KIB);
    let _pin = Sample::new(100, 1).send(&store).unwrap();
    let file = fs::metadata(&files(folder.path(), "blobs")[0]).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o400);
    let blobs = fs::metadata(folder.path().join("blobs")).unwrap();
    assert_eq!(blobs.permissions().mode() & 0o777, 0o700);
}

/// Blobs of 1 to 6 blocks of 4 KiB.
static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    (1..=12)
        .zip([1, 2, 3, 4, 5, 6].into_iter().cycle())
        .map(|(seed, blocks)| Sample::new(blocks * 4 * KIB, seed))
        .collect()
});

#[derive(Clone, Debug)]
enum Event {
    Send(usize),
    Pin(usize),
    Unpin(usize),
    Reopen,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0..12_usize).prop_map(Event::Send),
        4 => (0..12_usize).prop_map(Event::Pin),
        4 => (0..12_usize).prop_map(Event::Unpin),
        1 => Just(Event::Reopen),
    ]
}

fn blocks(pins: &HashMap<usize, Vec<Pin>>) -> usize {
    let held = pins.iter().filter(|(_, pins)| !pins.is_empty());
    held.map(|(which, _)| SAMPLES[*which].data.len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_pinned_blobs_stay_and_the_limit_holds(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let limit = 64 * KIB;
        let (mut store, folder) = store(limit);
        let mut pins: HashMap<usize, Vec<Pin>> = HashMap::new();
        for event in events {
            match event {
                Event::Send(which) => {
                    let sample = &SAMPLES[which];
                    let fits = blocks(&pins) + sample.data.len() <= limit;
                    let sent = sample.send(&store);
                    prop_assert_eq!(sent.is_ok(), fits);
                    if let Ok(pin) = sent {
                        pins.entry(which).or_default().push(pin);
                    }
                }
                Event::Pin(which) => {
                    let there = store.contains(&SAMPLES[which].blob);
                    let pin = store.pin(&node(), &SAMPLES[which].blob);
                    prop_assert_eq!(pin.is_some(), there);
                    pins.entry(which).or_default().extend(pin);
                }
                Event::Unpin(which) => {
                    pins.entry(which).or_default().pop();
                }
                Event::Reopen => {
                    pins.clear();
                    drop(store);
                    store = Store::open(folder.path(), bytes(limit)).unwrap();
                }
            }
            let usage = store.usage();
            prop_assert!(usage.stored <= bytes(limit));
            prop_assert_eq!(usage.in_use, bytes(blocks(&pins)));
            let on_disk: u64 = files(folder.path(), "blobs")
                .iter()
                .map(|path| path.metadata().unwrap().len())
                .sum();
            prop_assert_eq!(usage.stored.get(), on_disk);
            prop_assert!(files(folder.path(), "temporary").is_empty());
            for (which, pin) in pins.iter().flat_map(|(which, pins)| pins.iter().map(move |pin| (which, pin))) {
                prop_assert!(read(pin) == SAMPLES[*which].data);
            }
        }
    }
}
