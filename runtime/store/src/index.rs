//! The store's index: which blobs there are, how many pins hold each, and which is evicted next. It touches no files.

use std::collections::{BTreeMap, HashMap};

use isobit_job::{Blob, Bytes, Hash};

use crate::error::StoreError;

/// A blob is charged in units of this many bytes, and at least one: a file takes a disk block and an inode, and a store full
/// of tiny blobs must not use up either.
const CHARGE_UNIT: u64 = 4096;

/// The bytes of the limit that a blob of `size` bytes uses.
pub(crate) fn charge(size: u64) -> u64 {
    size.max(1).next_multiple_of(CHARGE_UNIT)
}

/// Saturating conversion for sums that the limit bounds anyway.
pub(crate) fn bytes(value: u64) -> Bytes {
    Bytes::try_from(value).unwrap_or(Bytes::MAX)
}

/// A point in the order of events. Later is larger.
pub(crate) type Ticket = u64;

#[derive(Debug)]
struct Entry {
    size: u64,
    /// When this process verified the blob's bytes. Until then, even the size may be wrong.
    verified: Option<Ticket>,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    /// Not in use since this ticket.
    Idle(Ticket),
    /// Held by this many pins.
    Pinned(u64),
    /// Held by this many pins, but its file is gone.
    Lost(u64),
}

/// The index. `stored` and `idle` are sums of charges; their difference is pinned.
#[derive(Debug)]
pub(crate) struct Index {
    limit: u64,
    stored: u64,
    idle: u64,
    reserved: u64,
    clock: Ticket,
    entries: HashMap<Hash, Entry>,
    /// Blobs not in use, least recently used first. Pinned blobs are not in it and so cannot be evicted.
    queue: BTreeMap<Ticket, Hash>,
}

impl Index {
    pub(crate) fn new(limit: Bytes) -> Self {
        Self {
            limit: limit.get(),
            stored: 0,
            idle: 0,
            reserved: 0,
            clock: 0,
            entries: HashMap::new(),
            queue: BTreeMap::new(),
        }
    }

    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// Charges that eviction cannot free.
    pub(crate) fn in_use(&self) -> u64 {
        self.stored - self.idle + self.reserved
    }

    fn tick(&mut self) -> Ticket {
        self.clock += 1;
        self.clock
    }

    /// Adds a file that was found on disk, as the most recently used one.
    pub(crate) fn found(&mut self, blob: Blob) {
        let size = blob.size.get();
        let ticket = self.tick();
        let entry = Entry { size, verified: None, hold: Hold::Idle(ticket) };
        if self.entries.insert(blob.hash, entry).is_none() {
            self.queue.insert(ticket, blob.hash);
            self.stored += charge(size);
            self.idle += charge(size);
        }
    }

    pub(crate) fn contains(&self, blob: &Blob) -> bool {
        self.entries.get(&blob.hash).is_some_and(|entry| entry.is_there() && entry.size == blob.size.get())
    }

    /// When this process verified the blob's bytes; none if it did not, or if the blob is not in the store.
    pub(crate) fn verified(&self, hash: &Hash) -> Option<Ticket> {
        let entry = self.entries.get(hash)?;
        entry.verified.filter(|_| entry.is_there())
    }

    /// Pins the blob. False if it is not in the store.
    pub(crate) fn pin(&mut self, blob: &Blob) -> bool {
        if !self.contains(blob) {
            return false;
        }
        self.hold(&blob.hash);
        true
    }

    /// Adds a pin to an entry, if it exists.
    fn hold(&mut self, hash: &Hash) {
        let Some(entry) = self.entries.get_mut(hash) else {
            return;
        };
        match &mut entry.hold {
            Hold::Pinned(pins) | Hold::Lost(pins) => *pins += 1,
            Hold::Idle(ticket) => {
                self.queue.remove(ticket);
                self.idle -= charge(entry.size);
                entry.hold = Hold::Pinned(1);
            }
        }
    }

    /// Removes a pin.
    pub(crate) fn unpin(&mut self, hash: &Hash) {
        let ticket = self.tick();
        let Some(entry) = self.entries.get_mut(hash) else {
            return;
        };
        match &mut entry.hold {
            Hold::Pinned(1) => {
                entry.hold = Hold::Idle(ticket);
                self.idle += charge(entry.size);
                self.queue.insert(ticket, *hash);
            }
            Hold::Lost(1) => {
                self.entries.remove(hash);
            }
            Hold::Pinned(pins) | Hold::Lost(pins) => *pins -= 1,
            Hold::Idle(_) => {}
        }
    }

    /// Reserves room for a blob that is to be received. False means that nothing was reserved, and that the [`Index::victim`]
    /// has to be evicted first.
    pub(crate) fn reserve(&mut self, size: Bytes) -> Result<bool, StoreError> {
        let wanted = charge(size.get());
        let limit = bytes(self.limit);
        if wanted > self.limit {
            return Err(StoreError::TooLarge { size, limit });
        }
        if self.in_use().saturating_add(wanted) > self.limit {
            let in_use = bytes(self.in_use());
            return Err(StoreError::NoRoom { size, limit, in_use });
        }
        let fits = self.stored + self.reserved + wanted <= self.limit;
        if fits {
            self.reserved += wanted;
        }
        Ok(fits)
    }

    /// Releases a reservation.
    pub(crate) fn release(&mut self, size: Bytes) {
        self.reserved = self.reserved.saturating_sub(charge(size.get()));
    }

    /// Whether the stored blobs exceed the limit, which may be lower than at the last start.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.stored > self.limit
    }

    /// The next blob to evict: the least recently used of those not in use.
    pub(crate) fn victim(&self) -> Option<Hash> {
        self.queue.first_key_value().map(|(_, hash)| *hash)
    }

    /// Removes a blob that is not in use and whose file is gone.
    pub(crate) fn evicted(&mut self, hash: &Hash) {
        if let Some(Entry { size, hold: Hold::Idle(ticket), .. }) = self.entries.get(hash) {
            self.queue.remove(ticket);
            self.stored -= charge(*size);
            self.idle -= charge(*size);
            self.entries.remove(hash);
        }
    }

    /// Adds a blob whose verified bytes are now in place, with one pin, and releases its reservation.
    pub(crate) fn arrived(&mut self, blob: &Blob) {
        self.release(blob.size);
        let size = blob.size.get();
        let verified = Some(self.tick());
        // An existing entry is pinned first: its charge then no longer counts as idle.
        self.hold(&blob.hash);
        let entry = self.entries.entry(blob.hash).or_insert(Entry { size, verified, hold: Hold::Lost(1) });
        match entry.hold {
            Hold::Lost(pins) => entry.hold = Hold::Pinned(pins),
            _ => self.stored -= charge(entry.size),
        }
        self.stored += charge(size);
        entry.size = size;
        entry.verified = verified;
    }

    /// Records that a blob was read again and verified.
    pub(crate) fn found_right(&mut self, hash: &Hash) {
        let ticket = self.tick();
        if let Some(entry) = self.entries.get_mut(hash) {
            entry.verified.get_or_insert(ticket);
        }
    }

    /// Marks a pinned blob that was found damaged as lost, unless its bytes were replaced or verified after `seen` was read
    /// from [`Index::verified`]. True if its file has to be removed.
    pub(crate) fn lost(&mut self, hash: &Hash, seen: Option<Ticket>) -> bool {
        let Some(entry) = self.entries.get_mut(hash) else {
            return false;
        };
        let Hold::Pinned(pins) = entry.hold else {
            return false;
        };
        if entry.verified != seen {
            return false;
        }
        entry.hold = Hold::Lost(pins);
        self.stored -= charge(entry.size);
        true
    }
}

impl Entry {
    fn is_there(&self) -> bool {
        !matches!(self.hold, Hold::Lost(_))
    }
}
