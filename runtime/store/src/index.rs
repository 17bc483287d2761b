//! The store's ledger: which blobs there are, who holds them, and which goes first. Pure bookkeeping, no files.

use std::collections::{BTreeMap, HashMap};

use isobit_job::{Blob, Bytes, Hash};

use crate::error::StoreError;

/// A blob is charged in units of this many bytes, and at least one: a file takes a disk block and an inode, and a
/// store full of tiny blobs must not run the disk out of them.
const CHARGE_UNIT: u64 = 4096;

/// What a blob of `size` bytes takes from the limit.
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
    /// When these bytes were verified by this process. Before that, not even the size is sure.
    verified: Option<Ticket>,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    /// In no use, since then.
    Idle(Ticket),
    /// Held by this many pins.
    Pinned(u64),
    /// Held by this many pins, but its file is gone.
    Lost(u64),
}

/// The ledger. `stored` and `idle` count charges; pinned is what is between them.
#[derive(Debug)]
pub(crate) struct Index {
    limit: u64,
    stored: u64,
    idle: u64,
    reserved: u64,
    clock: Ticket,
    entries: HashMap<Hash, Entry>,
    /// Blobs in no use, least recently used first. A pinned one is not in here, so it cannot be evicted.
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

    /// Charges that cannot be had by eviction.
    pub(crate) fn in_use(&self) -> u64 {
        self.stored - self.idle + self.reserved
    }

    fn tick(&mut self) -> Ticket {
        self.clock += 1;
        self.clock
    }

    /// Enters a file that was found on disk, as the most recently used one.
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

    /// Whether the blob is there and its bytes were verified by this process.
    pub(crate) fn verified(&self, hash: &Hash) -> Option<Ticket> {
        let entry = self.entries.get(hash)?;
        entry.verified.filter(|_| entry.is_there())
    }

    /// Holds the blob; false when it is not there.
    pub(crate) fn pin(&mut self, blob: &Blob) -> bool {
        if !self.contains(blob) {
            return false;
        }
        self.hold(&blob.hash);
        true
    }

    /// One more pin on an entry that exists.
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

    /// One pin less.
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

    /// Sets room aside for a blob on its way in, as far as it is there without eviction: false means that the
    /// [`Index::victim`] has to go first.
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

    /// Gives a reservation back.
    pub(crate) fn release(&mut self, size: Bytes) {
        self.reserved = self.reserved.saturating_sub(charge(size.get()));
    }

    /// Whether more is stored than may be (the limit may be lower than at the last start).
    pub(crate) fn is_over_limit(&self) -> bool {
        self.stored > self.limit
    }

    /// The blob that goes next: of those in no use, the one whose last use is longest ago.
    pub(crate) fn victim(&self) -> Option<Hash> {
        self.queue.first_key_value().map(|(_, hash)| *hash)
    }

    /// Strikes out a blob in no use whose file is gone.
    pub(crate) fn evicted(&mut self, hash: &Hash) {
        if let Some(Entry { size, hold: Hold::Idle(ticket), .. }) = self.entries.get(hash) {
            self.queue.remove(ticket);
            self.stored -= charge(*size);
            self.idle -= charge(*size);
            self.entries.remove(hash);
        }
    }

    /// Enters a blob whose verified bytes are now in place, with one pin on it. Its reservation ends.
    pub(crate) fn arrived(&mut self, blob: &Blob) {
        self.release(blob.size);
        let size = blob.size.get();
        let verified = Some(self.tick());
        // An entry that was there already is held first, so that its charge is no idle one any more.
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

    /// Notes that a blob was read again and is right.
    pub(crate) fn found_right(&mut self, hash: &Hash) {
        let ticket = self.tick();
        if let Some(entry) = self.entries.get_mut(hash) {
            entry.verified.get_or_insert(ticket);
        }
    }

    /// Strikes out a pinned blob that was found damaged, unless fresh bytes took its place after `seen` was read
    /// from [`Index::verified`]. True when its file is to be removed.
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
