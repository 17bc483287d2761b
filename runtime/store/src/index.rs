//! The store's index: which blobs there are, how many pins hold each, and which is evicted next. It touches no files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use isobit_job::{Blob, Bytes, Hash, NodeKey};

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
    /// The nodes that have brought the blob. To all others it is as if it were not here.
    holders: BTreeSet<NodeKey>,
    /// The node that brought it first; its share is charged. None for a blob whose holders are not known.
    owner: Option<NodeKey>,
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
    /// The same by owner, and those without an owner.
    queues: BTreeMap<NodeKey, BTreeMap<Ticket, Hash>>,
    unowned: BTreeMap<Ticket, Hash>,
    /// What each node has reserved, and the charges of the blobs that it owns.
    shares: BTreeMap<NodeKey, Share>,
}

#[derive(Debug, Default)]
struct Share {
    reserved: u64,
    stored: u64,
}

/// The most holders that are noted for a blob. A further one sends it again each time.
pub const MAX_HOLDERS: usize = 64;

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
            queues: BTreeMap::new(),
            unowned: BTreeMap::new(),
            shares: BTreeMap::new(),
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

    /// What one node may take without evicting its own blobs first.
    fn share(&self) -> u64 {
        self.limit / 2
    }

    fn share_of(&mut self, node: NodeKey) -> &mut Share {
        self.shares.entry(node).or_default()
    }

    /// Forgets a node that has nothing here.
    fn tidy(&mut self, node: &NodeKey) {
        if self.shares.get(node).is_some_and(|share| share.reserved == 0 && share.stored == 0) {
            self.shares.remove(node);
        }
    }

    /// Adds to the charges of stored blobs.
    fn charge_stored(&mut self, owner: Option<NodeKey>, size: u64) {
        self.stored += charge(size);
        if let Some(owner) = owner {
            self.share_of(owner).stored += charge(size);
        }
    }

    fn discharge_stored(&mut self, owner: Option<NodeKey>, size: u64) {
        self.stored -= charge(size);
        if let Some(owner) = owner {
            let share = self.share_of(owner);
            share.stored = share.stored.saturating_sub(charge(size));
            self.tidy(&owner);
        }
    }

    fn enqueue(&mut self, owner: Option<NodeKey>, ticket: Ticket, hash: Hash) {
        self.queue.insert(ticket, hash);
        match owner {
            Some(owner) => self.queues.entry(owner).or_default().insert(ticket, hash),
            None => self.unowned.insert(ticket, hash),
        };
    }

    fn dequeue(&mut self, owner: Option<NodeKey>, ticket: Ticket) {
        self.queue.remove(&ticket);
        self.unowned.remove(&ticket);
        if let Some(owner) = owner
            && let Some(queue) = self.queues.get_mut(&owner)
        {
            queue.remove(&ticket);
            if queue.is_empty() {
                self.queues.remove(&owner);
            }
        }
    }

    /// Adds a file that was found on disk, as the most recently used one.
    pub(crate) fn found(&mut self, blob: Blob, holders: BTreeSet<NodeKey>) {
        let size = blob.size.get();
        let ticket = self.tick();
        let owner = holders.first().copied();
        let entry = Entry { size, verified: None, hold: Hold::Idle(ticket), holders, owner };
        if self.entries.insert(blob.hash, entry).is_none() {
            self.enqueue(owner, ticket, blob.hash);
            self.charge_stored(owner, size);
            self.idle += charge(size);
        }
    }

    /// Whether the node has brought the blob, and it is still here.
    pub(crate) fn holds(&self, node: &NodeKey, blob: &Blob) -> bool {
        self.contains(blob) && self.entries.get(&blob.hash).is_some_and(|entry| entry.holders.contains(node))
    }

    /// Notes that a node has brought the blob. True if that is new.
    pub(crate) fn note_holder(&mut self, node: NodeKey, hash: &Hash) -> bool {
        let entry = self.entries.get_mut(hash);
        entry.is_some_and(|entry| entry.holders.len() < MAX_HOLDERS && entry.holders.insert(node))
    }

    pub(crate) fn contains(&self, blob: &Blob) -> bool {
        self.entries.get(&blob.hash).is_some_and(|entry| entry.is_there() && entry.size == blob.size.get())
    }

    /// When this process verified the blob's bytes; none if it did not, or if the blob is not in the store.
    pub(crate) fn verified(&self, hash: &Hash) -> Option<Ticket> {
        let entry = self.entries.get(hash)?;
        entry.verified.filter(|_| entry.is_there())
    }

    /// Pins the blob. False if it is not in the store, or the node has not brought it.
    pub(crate) fn pin(&mut self, node: &NodeKey, blob: &Blob) -> bool {
        if !self.holds(node, blob) {
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
                let (ticket, owner) = (*ticket, entry.owner);
                self.idle -= charge(entry.size);
                entry.hold = Hold::Pinned(1);
                self.dequeue(owner, ticket);
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
                let owner = entry.owner;
                self.enqueue(owner, ticket, *hash);
            }
            Hold::Lost(1) => {
                self.entries.remove(hash);
            }
            Hold::Pinned(pins) | Hold::Lost(pins) => *pins -= 1,
            Hold::Idle(_) => {}
        }
    }

    /// Reserves `wanted` bytes, a multiple of the charge's unit, for a blob of `size` bytes that a node sends. False means that nothing was
    /// reserved, and that the [`Index::victim`] has to be evicted first.
    pub(crate) fn reserve(&mut self, node: NodeKey, wanted: u64, size: Bytes) -> Result<bool, StoreError> {
        let (whole, limit) = (charge(size.get()), bytes(self.limit));
        if whole > self.limit {
            return Err(StoreError::TooLarge { size, limit });
        }
        if self.in_use().saturating_add(wanted) > self.limit {
            return Err(self.no_room(size));
        }
        let fits = self.stored + self.reserved + wanted <= self.limit;
        if fits {
            self.reserved += wanted;
            self.share_of(node).reserved += wanted;
        }
        Ok(fits)
    }

    pub(crate) fn no_room(&self, size: Bytes) -> StoreError {
        StoreError::NoRoom { size, limit: bytes(self.limit), in_use: bytes(self.in_use()) }
    }

    /// Releases a reservation.
    pub(crate) fn release(&mut self, node: NodeKey, reserved: u64) {
        self.reserved = self.reserved.saturating_sub(reserved);
        let share = self.share_of(node);
        share.reserved = share.reserved.saturating_sub(reserved);
        self.tidy(&node);
    }

    /// Whether the stored blobs exceed the limit, which may be lower than at the last start.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.stored > self.limit
    }

    /// The next blob to evict, for a node that sends: the least recently used of those not in use. A node that takes more than its share evicts
    /// its own, and then those that are nobody's: what other nodes have brought stays.
    pub(crate) fn victim(&self, node: Option<&NodeKey>) -> Option<Hash> {
        let is_over = |node: &&NodeKey| {
            self.shares.get(*node).is_some_and(|share| share.stored.saturating_add(share.reserved) >= self.share())
        };
        let Some(node) = node.filter(is_over) else {
            return self.queue.first_key_value().map(|(_, hash)| *hash);
        };
        let own = self.queues.get(node).and_then(BTreeMap::first_key_value).map(|(_, hash)| *hash);
        own.or_else(|| self.unowned.first_key_value().map(|(_, hash)| *hash))
    }

    /// Removes a blob that is not in use and whose file is gone.
    pub(crate) fn evicted(&mut self, hash: &Hash) {
        if let Some(Entry { size, hold: Hold::Idle(ticket), owner, .. }) = self.entries.get(hash) {
            let (size, ticket, owner) = (*size, *ticket, *owner);
            self.dequeue(owner, ticket);
            self.discharge_stored(owner, size);
            self.idle -= charge(size);
            self.entries.remove(hash);
        }
    }

    /// Adds a blob whose verified bytes are now in place, with one pin, and releases what was reserved for it. The node holds it.
    pub(crate) fn arrived(&mut self, node: NodeKey, reserved: u64, blob: &Blob) {
        self.release(node, reserved);
        let size = blob.size.get();
        let verified = Some(self.tick());
        // An existing entry is pinned first: its charge then no longer counts as idle.
        self.hold(&blob.hash);
        let (holders, owner) = (BTreeSet::new(), Some(node));
        let new = Entry { size, verified, hold: Hold::Lost(1), holders, owner };
        let entry = self.entries.entry(blob.hash).or_insert(new);
        let before = match entry.hold {
            Hold::Lost(pins) => {
                entry.hold = Hold::Pinned(pins);
                None
            }
            _ => Some(entry.size),
        };
        entry.size = size;
        entry.verified = verified;
        let owner = entry.owner;
        if let Some(before) = before {
            self.discharge_stored(owner, before);
        }
        self.charge_stored(owner, size);
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
        let (owner, size) = (entry.owner, entry.size);
        self.discharge_stored(owner, size);
        true
    }
}

impl Entry {
    fn is_there(&self) -> bool {
        !matches!(self.hold, Hold::Lost(_))
    }
}
