//! Blobs on their way into the store: only the bytes that a hash names arrive under it, and what fails leaves nothing.

use isobit_job::{Blob, Bytes, NodeKey, SecretKey};
use isobit_store::{Encoder, Store, hash_file};
use std::io::Read as _;
use std::path::Path;

/// Bytes of a blob at most: three levels of the tree.
const MAX: usize = 100_000;

/// The first two bytes say how long the blob is, the third which byte it repeats, the fourth how it is split. The rest says where its encoding is changed, three
/// bytes for the place and one for how; or, if the fourth is odd, is the encoding itself. Panics if a promise is broken.
pub fn check(data: &[u8], folder: &Path) {
    let [low, high, fill, split, rest @ ..] = data else { return };
    let length = usize::from(u16::from_le_bytes([*low, *high])) * 2;
    let content: Vec<u8> = (0..length.min(MAX)).map(|at| fill.wrapping_add((at / 1024) as u8)).collect();
    let (blob, right) = encoded(&content, folder);
    let wrong = if split % 2 == 1 { rest.to_vec() } else { changed(&right, rest) };
    let is_right = wrong == right;

    let node = SecretKey::from_bytes([1; 32]).public();
    let store = Store::open(folder.join("store"), Bytes::mib(1)).unwrap();
    let received = receive(&store, &node, &blob, &wrong, 1 + usize::from(*split) * 97);
    assert_eq!(received.is_some(), is_right);
    assert_eq!(store.contains(&blob), is_right);
    match received {
        Some(found) => assert!(found == content),
        None => assert_eq!((store.usage().stored.get(), store.usage().in_use.get()), (0, 0)),
    }
    let left = std::fs::read_dir(folder.join("store/temporary")).unwrap().count();
    assert_eq!(left, 0, "a file was left behind");
    drop(store);
    std::fs::remove_dir_all(folder.join("store")).unwrap();
}

fn receive(store: &Store, node: &NodeKey, blob: &Blob, encoded: &[u8], step: usize) -> Option<Vec<u8>> {
    let mut incoming = store.begin(node, blob).unwrap();
    for piece in encoded.chunks(step) {
        incoming.write(piece).ok()?;
        assert!(incoming.position() <= blob.size.get());
    }
    let pin = incoming.finish().ok()?;
    let mut found = Vec::new();
    pin.open().unwrap().read_to_end(&mut found).unwrap();
    pin.verify().unwrap();
    Some(found)
}

fn encoded(content: &[u8], folder: &Path) -> (Blob, Vec<u8>) {
    let path = folder.join("content");
    std::fs::write(&path, content).unwrap();
    let (blob, outboard) = hash_file(&path).unwrap();
    (blob, Encoder::open(&path, &outboard).unwrap().flat_map(Result::unwrap).collect())
}

/// Bytes flipped, taken away, added, or cut off.
fn changed(right: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = right.to_vec();
    for change in changes.chunks_exact(4) {
        let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % (bytes.len() + 1);
        match change[3] % 5 {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, change[3]),
            2 if place < bytes.len() => drop(bytes.remove(place)),
            _ if place < bytes.len() => bytes[place] ^= change[3],
            _ => bytes.push(change[3]),
        }
    }
    bytes
}
