//! Room in the store: the blobs of a renter's jobs, from their job spec to their end, may take half of it. So may those of a network, for keys cost nothing.
//!
//! What counts is what a job has declared, not what has arrived: so a job is refused before it sends a byte. A blob of several jobs counts once.

use crate::party::{Network, Party};
use isobit_job::{Blob, Bytes, NodeKey};
use isobit_wire::Rejection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who holds which blobs.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// The most bytes of a renter, or of a network.
    share: u64,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<NodeKey, Blobs>,
    networks: BTreeMap<Network, Blobs>,
}

/// The blobs that one holds, and how many of its jobs hold each.
#[derive(Debug, Default)]
struct Blobs {
    jobs: BTreeMap<Blob, usize>,
    bytes: u64,
}

/// What a job holds. Dropping it frees the room.
#[derive(Debug)]
pub(crate) struct Holding {
    room: Room,
    party: Party,
    blobs: Vec<Blob>,
}

impl Room {
    /// Of a store with this limit, half is a share.
    pub(crate) fn of_store(limit: Bytes) -> Self {
        Self { share: limit.get() / 2, held: Arc::default() }
    }

    /// The most bytes of a renter.
    pub(crate) fn share(&self) -> Bytes {
        Bytes::saturating_from(self.share)
    }

    /// Holds the blobs of a job.
    ///
    /// # Errors
    /// The renter, or its network, would hold more than its share.
    pub(crate) fn hold(&self, party: Party, blobs: impl IntoIterator<Item = Blob>) -> Result<Holding, Rejection> {
        let blobs: Vec<Blob> = blobs.into_iter().collect();
        let mut held = self.lock();
        let none = Blobs::default();
        let of_key = held.keys.get(&party.key).unwrap_or(&none);
        let of_network = held.networks.get(&party.network).unwrap_or(&none);
        for owned in [of_key, of_network] {
            let needed = owned.lacks(&blobs);
            if owned.bytes.saturating_add(needed) > self.share {
                let [needed, in_use] = [needed, owned.bytes].map(Bytes::saturating_from);
                return Err(Rejection::StoreShare { needed, in_use, maximum: self.share() });
            }
        }
        held.keys.entry(party.key).or_default().add(&blobs);
        held.networks.entry(party.network).or_default().add(&blobs);
        drop(held);
        Ok(Holding { room: self.clone(), party, blobs })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs {
    /// The bytes of those that are not held yet.
    fn lacks(&self, blobs: &[Blob]) -> u64 {
        let new = blobs.iter().filter(|blob| !self.jobs.contains_key(blob));
        new.fold(0, |sum: u64, blob| sum.saturating_add(isobit_store::charged(blob.size)))
    }

    fn add(&mut self, blobs: &[Blob]) {
        for blob in blobs {
            let jobs = self.jobs.entry(*blob).or_default();
            *jobs += 1;
            if *jobs == 1 {
                self.bytes = self.bytes.saturating_add(isobit_store::charged(blob.size));
            }
        }
    }

    fn remove(&mut self, blobs: &[Blob]) {
        for blob in blobs {
            let Some(jobs) = self.jobs.get_mut(blob) else { continue };
            *jobs = jobs.saturating_sub(1);
            if *jobs == 0 {
                self.jobs.remove(blob);
                self.bytes = self.bytes.saturating_sub(isobit_store::charged(blob.size));
            }
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let Held { keys, networks } = &mut *self.room.lock();
        if let Some(owned) = keys.get_mut(&self.party.key) {
            owned.remove(&self.blobs);
        }
        if let Some(owned) = networks.get_mut(&self.party.network) {
            owned.remove(&self.blobs);
        }
        keys.retain(|_, owned| !owned.jobs.is_empty());
        networks.retain(|_, owned| !owned.jobs.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobit_job::Hash;

    fn blob(name: u8, mib: u32) -> Blob {
        Blob { hash: Hash::of(&[name]), size: Bytes::mib(mib) }
    }

    #[test]
    fn a_renter_holds_half_the_store_at_most_and_is_told_so() {
        let (room, renter) = (Room::of_store(Bytes::mib(16)), Party::at(1));
        let first = room.hold(renter, [blob(1, 3), blob(2, 2)]).unwrap();
        // What is held already costs nothing more.
        let second = room.hold(renter, [blob(1, 3), blob(3, 3)]).unwrap();
        let refused = room.hold(renter, [blob(1, 3), blob(4, 1)]).unwrap_err();
        let told = Rejection::StoreShare { needed: Bytes::mib(1), in_use: Bytes::mib(8), maximum: Bytes::mib(8) };
        assert_eq!(refused, told);
        assert!(room.hold(Party::at(2), [blob(9, 8)]).is_ok());
        assert!(room.hold(Party::at(2), [blob(9, 9)]).is_err());
        drop(first);
        // The first blob is the second job's, too.
        assert!(room.hold(renter, [blob(4, 3)]).is_err());
        assert!(room.hold(renter, [blob(4, 2)]).is_ok());
        drop(second);
        assert!(room.lock().keys.is_empty() && room.lock().networks.is_empty());
    }

    #[test]
    fn many_keys_of_one_host_hold_what_one_may_and_one_key_at_many_hosts_too() {
        let room = Room::of_store(Bytes::mib(16));
        let crowd: Vec<_> = (0..20).filter_map(|name| room.hold(Party::at(1), [blob(name, 1)]).ok()).collect();
        assert_eq!(crowd.len(), 8);
        let key = Party::at(0).key;
        let hosts: Vec<_> =
            (0..20).filter_map(|host| room.hold(Party::with(key, 10 + host), [blob(host, 1)]).ok()).collect();
        assert_eq!(hosts.len(), 8);
    }

    #[test]
    fn tiny_blobs_count_as_the_store_counts_them() {
        let room = Room::of_store(Bytes::mib(1));
        let tiny = (0..200).map(|name| Blob { hash: Hash::of(&[name]), size: 1_u32.into() });
        assert!(room.hold(Party::at(1), tiny).is_err());
    }
}
