//! Looks at blobs that the store has. They block, so they happen on threads for blocking work, of which they take a bounded number; and what this
//! process has not verified yet is hashed, which costs a renter one byte for each of its size: so a network has one blob hashed at a time.

use crate::party::Network;
use isobit_job::{Blob, NodeKey};
use isobit_store::{Pin, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Jobs at once whose blobs are looked for.
const LOOKS: usize = 16;

/// Blobs at once that are hashed, each on all cores.
const HASHES: usize = 2;

/// The looks of one provider.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    store: Store,
    looks: Arc<Semaphore>,
    hashes: Arc<Semaphore>,
    networks: Arc<Mutex<BTreeMap<Network, Arc<Semaphore>>>>,
}

/// What the store has of a job.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) pins: Vec<Pin>,
    pub(crate) missing: Vec<Blob>,
}

impl Looks {
    pub(crate) fn new(store: Store) -> Self {
        let [looks, hashes] = [LOOKS, HASHES].map(|most| Arc::new(Semaphore::new(most)));
        Self { store, looks, hashes, networks: Arc::default() }
    }

    /// Pins those of a renter's blobs that the store has from it and that are intact. What is damaged counts as missing. A look that is cancelled ends
    /// in the background, and keeps its turn until then.
    pub(crate) async fn find(&self, renter: NodeKey, network: Network, blobs: Vec<Blob>) -> Found {
        let store = self.store.clone();
        let pinned = blocking(&self.looks, move || {
            let found = |blob: Blob| (blob, store.pin(&renter, &blob));
            blobs.into_iter().map(found).collect::<Vec<_>>()
        });
        let mut found = Found::default();
        let mut unverified = Vec::new();
        for (blob, pin) in pinned.await.unwrap_or_default() {
            match pin {
                None => found.missing.push(blob),
                Some(pin) if pin.is_verified() => found.pins.push(pin),
                Some(pin) => unverified.push(pin),
            }
        }
        if unverified.is_empty() {
            return found;
        }
        let turns = self.turns(network);
        for pin in unverified {
            let (blob, turn) = (pin.blob(), Arc::clone(&turns).acquire_owned().await);
            let looked = blocking(&self.hashes, move || {
                let _turn = turn;
                pin.open().is_ok().then_some(pin)
            });
            match looked.await.flatten() {
                Some(pin) => found.pins.push(pin),
                None => found.missing.push(blob),
            }
        }
        found
    }

    /// The turns of a network: one.
    fn turns(&self, network: Network) -> Arc<Semaphore> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits for any more.
        networks.retain(|_, turns| Arc::strong_count(turns) > 1);
        Arc::clone(networks.entry(network).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

/// Runs work on a thread for blocking work when there is a place for it. None if the work panicked.
async fn blocking<T: Send + 'static>(places: &Arc<Semaphore>, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    // This cannot fail: nobody closes the semaphore.
    let place: Option<OwnedSemaphorePermit> = Arc::clone(places).acquire_owned().await.ok();
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    done.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::Party;
    use isobit_job::Bytes;

    /// A store that has been opened again, so that it has verified nothing, with the blobs that a renter has brought.
    fn reopened(folder: &std::path::Path, renter: NodeKey, contents: &[Vec<u8>]) -> (Store, Vec<Blob>) {
        let input = folder.join("input");
        let (dir, limit) = (folder.join("store"), Bytes::mib(64));
        let store = Store::open(&dir, limit).unwrap();
        let mut blobs = Vec::new();
        for content in contents {
            std::fs::write(&input, content).unwrap();
            let (blob, outboard) = isobit_store::hash_file(&input).unwrap();
            let mut incoming = store.begin(&renter, &blob).unwrap();
            for piece in isobit_store::Encoder::open(&input, &outboard).unwrap() {
                incoming.write(&piece.unwrap()).unwrap();
            }
            drop(incoming.finish().unwrap());
            blobs.push(blob);
        }
        drop(store);
        (Store::open(&dir, limit).unwrap(), blobs)
    }

    #[tokio::test]
    async fn what_is_there_is_pinned_and_what_is_damaged_or_anothers_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let renter = Party::at(1);
        let (store, blobs) = reopened(folder.path(), renter.key, &[vec![1; 100_000], vec![2; 100_000]]);
        let hash = blobs[1].hash.to_string();
        let file = folder.path().join("store/blobs").join(&hash[..2]).join(&hash);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, vec![3; 100_000]).unwrap();
        let looks = Looks::new(store);
        let found = looks.find(renter.key, renter.network, blobs.clone()).await;
        assert_eq!(found.pins.iter().map(Pin::blob).collect::<Vec<_>>(), blobs[..1]);
        assert_eq!(found.missing, blobs[1..]);
        let found = looks.find(Party::at(1).key, renter.network, blobs.clone()).await;
        assert!(found.pins.is_empty() && found.missing == blobs);
    }

    #[tokio::test]
    async fn a_network_has_one_blob_hashed_at_a_time_and_keeps_no_other_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let renter = Party::at(1);
        let (store, blobs) = reopened(folder.path(), renter.key, &[vec![1; 100_000], vec![2; 100_000]]);
        let looks = Looks::new(store);
        // Somebody of the same network has its turn, as long as this is held.
        let turn = looks.turns(renter.network).acquire_owned().await.unwrap();
        let mut waits = std::pin::pin!(looks.find(renter.key, renter.network, blobs[..1].to_vec()));
        let elsewhere = looks.find(renter.key, Party::at(2).network, blobs[1..].to_vec());
        tokio::select! {
            biased;
            _ = &mut waits => panic!("it has not waited for its turn"),
            found = elsewhere => assert_eq!(found.pins.len(), 1),
        }
        drop(turn);
        assert_eq!(waits.await.pins.len(), 1);
        looks.turns(Party::at(3).network);
        assert_eq!(looks.networks.lock().unwrap().len(), 1, "turns that are over are forgotten");
    }
}
