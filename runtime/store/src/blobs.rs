//! The store: a folder of blobs, each under its hash, and the handles that receive and hold them.
//!
//! A hash is a name, not a permission: a blob is there for the nodes that have brought it, and for nobody else.
//!
//! `blobs/xx/<hash>` holds finished blobs (`xx`: the hash's first two digits), `<hash>.holders` beside it the keys of the nodes
//! that have brought the blob, one a line, `temporary/` files that are being received or
//! removed; `lock` keeps out a second process. A blob is renamed into place when all of it was verified, and renamed away
//! before it is removed, so its path never holds only a part of it. Nothing is synced to disk: [`Pin::open`] finds blobs that
//! a power failure damaged, and they are sent again.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{ErrorKind, Seek, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use isobit_job::{Blob, Bytes, Hash, NodeKey};

use crate::error::{ReceiveError, StoreError};
use crate::index::{self, Index, Ticket};
use crate::receive::{Decoder, TempFile};
use crate::tree;

/// A folder of blobs under a byte limit. Clones share one store.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

/// How full a store is. Each blob counts as whole 4 KiB blocks, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The most that the store may hold.
    pub limit: Bytes,
    /// The bytes of its blobs.
    pub stored: Bytes,
    /// The bytes that eviction cannot free: pinned blobs, and room reserved for blobs being received.
    pub in_use: Bytes,
}

impl Store {
    /// Opens the store in `dir`, creating it if there is none. Temporary files of an earlier process are removed, and blobs are
    /// evicted until the store is within `limit`.
    ///
    /// # Errors
    /// The folder cannot be used, or another process uses it.
    pub fn open(dir: impl AsRef<Path>, limit: Bytes) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        let shared = Shared {
            blobs: dir.join("blobs"),
            temporary: dir.join("temporary"),
            names: AtomicU64::new(0),
            index: Mutex::new(Index::new(limit)),
            limit,
            _lock: lock_folder(dir)?,
        };
        create_folder(&shared.blobs)?;
        create_folder(&shared.temporary)?;
        shared.remove_left_overs()?;
        shared.find_blobs()?;
        shared.evict_while(None, |index| Ok(index.is_over_limit()))?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether the store has the blob, with this hash and this size.
    #[must_use]
    pub fn contains(&self, blob: &Blob) -> bool {
        self.shared.index().contains(blob)
    }

    /// Pins the blob: until the pin is dropped, it is not evicted. None if the store does not have it, or has it from others than
    /// `node` only.
    #[must_use]
    pub fn pin(&self, node: &NodeKey, blob: &Blob) -> Option<Pin> {
        if !self.shared.index().pin(node, blob) {
            return None;
        }
        let pin = Pin { shared: Arc::clone(&self.shared), blob: *blob };
        // The time of use keeps the eviction order across a restart. A failure here does no harm.
        let _ = File::open(self.shared.path(&blob.hash)).and_then(|file| file.set_modified(SystemTime::now()));
        Some(pin)
    }

    /// Starts to receive a blob from a node. Room is reserved as the bytes arrive, by eviction if necessary. The same blob may be
    /// received several times at once; the first transfer to finish provides it.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if the blob has more bytes than the store may hold, [`StoreError::NoRoom`] if there is no room for its first
    /// bytes, [`StoreError::Io`] if the temporary file cannot be created.
    pub fn begin(&self, node: &NodeKey, blob: &Blob) -> Result<Incoming, StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut room = Room { shared, node: *node, size: blob.size, reserved: 0 };
        // A blob takes at least one unit.
        room.grow(1)?;
        let file = TempFile::create(self.shared.temporary_path())?;
        Ok(Incoming { decoder: Decoder::new(*blob, file), room })
    }

    /// How full the store is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let index = self.shared.index();
        Usage { limit: self.shared.limit, stored: index::bytes(index.stored()), in_use: index::bytes(index.in_use()) }
    }
}

/// The bytes of a store's limit that a blob of this size uses.
#[must_use]
pub fn charged(size: Bytes) -> u64 {
    index::charge(size.get())
}

/// A blob that is being received. If it is dropped before [`Incoming::finish`], it leaves nothing behind.
pub struct Incoming {
    decoder: Decoder,
    room: Room,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("blob", &self.blob())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Incoming {
    /// The blob that is being received.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.decoder.blob()
    }

    /// Bytes of the blob that arrived and were verified.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.decoder.position()
    }

    /// Takes the next bytes of the encoding, any number of them.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if they do not fit, see [`Store::begin`].
    /// The bytes are not the blob's, or cannot be written. The transfer cannot go on after that.
    pub fn write(&mut self, encoded: &[u8]) -> Result<(), ReceiveError> {
        self.room.grow(self.position().saturating_add(encoded.len() as u64))?;
        self.decoder.push(encoded)
    }

    /// Ends the transfer. The blob is then in the store, and the pin holds it.
    ///
    /// # Errors
    /// Bytes are missing or wrong, or the file cannot be written or moved to its place.
    pub fn finish(self) -> Result<Pin, ReceiveError> {
        let Self { decoder, mut room } = self;
        let blob = decoder.blob();
        let file = decoder.finish()?;
        file.seal()?;
        room.grow(blob.size.get())?;
        room.shared.put(&file, &blob, room.node, room.reserved)?;
        // The blob has taken its place.
        room.reserved = 0;
        Ok(Pin { shared: Arc::clone(&room.shared), blob })
    }
}

/// Room reserved for a blob that is being received.
#[derive(Debug)]
struct Room {
    shared: Arc<Shared>,
    node: NodeKey,
    size: Bytes,
    reserved: u64,
}

/// Room is reserved in steps, so that the index is not locked for every packet.
const STEP: u64 = 1 << 20;

impl Room {
    /// Reserves as much as `bytes` of the blob take, and a step ahead.
    fn grow(&mut self, bytes: u64) -> Result<(), StoreError> {
        let whole = index::charge(self.size.get());
        let needed = index::charge(bytes.min(self.size.get()));
        if needed <= self.reserved {
            return Ok(());
        }
        let wanted = needed.next_multiple_of(STEP).min(whole) - self.reserved;
        let (node, size) = (self.node, self.size);
        let mut has_room = false;
        self.shared.evict_while(Some(&node), |index| {
            has_room = index.reserve(node, wanted, size)?;
            Ok(!has_room)
        })?;
        // All that is left belongs to others.
        if !has_room {
            return Err(self.shared.index().no_room(size));
        }
        self.reserved += wanted;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.index().release(self.node, self.reserved);
    }
}

/// Holds a blob in its store: while it has a pin, the blob is not evicted.
#[derive(Debug)]
pub struct Pin {
    shared: Arc<Shared>,
    blob: Blob,
}

impl Pin {
    /// The pinned blob.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.blob
    }

    /// Whether this process has verified the blob, so that opening it does not read it.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.shared.index().verified(&self.blob.hash).is_some()
    }

    /// Opens the blob for reading, from its start. The first time that this process opens a blob it did not receive
    /// itself, all of it is verified; later it is only opened.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the file is damaged or gone; the store then no longer contains the blob. [`StoreError::Io`] if
    /// it cannot be read.
    pub fn open(&self) -> Result<File, StoreError> {
        let verified = self.shared.index().verified(&self.blob.hash);
        self.open_checked(verified, verified.is_none())
    }

    /// Reads and verifies all of the blob, on all cores.
    ///
    /// # Errors
    /// As for [`Pin::open`].
    pub fn verify(&self) -> Result<(), StoreError> {
        let verified = self.shared.index().verified(&self.blob.hash);
        self.open_checked(verified, true).map(|_| ())
    }

    fn open_checked(&self, verified: Option<Ticket>, check: bool) -> Result<File, StoreError> {
        let path = self.shared.path(&self.blob.hash);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(self.damaged(verified));
            }
            opened => opened.map_err(StoreError::io("open", &path))?,
        };
        if check {
            if !self.is_right(&file).map_err(StoreError::io("read", &path))? {
                return Err(self.damaged(verified));
            }
            self.shared.index().found_right(&self.blob.hash);
            file.rewind().map_err(StoreError::io("read", &path))?;
        }
        Ok(file)
    }

    fn is_right(&self, file: &File) -> std::io::Result<bool> {
        let size = self.blob.size.get();
        if file.metadata()?.len() != size {
            return Ok(false);
        }
        match tree::hash_blob(file, size, None) {
            Ok(root) => Ok(root == *self.blob.hash.as_bytes()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the damaged blob from the store, and returns the error to report.
    fn damaged(&self, seen: Option<Ticket>) -> StoreError {
        let hash = self.blob.hash;
        let moved = {
            let mut index = self.shared.index();
            index.lost(&hash, seen).then(|| self.shared.move_away(&hash))
        };
        match moved {
            Some(Err(error)) => error,
            Some(Ok(path)) => {
                remove(&path);
                StoreError::Damaged { hash }
            }
            None => StoreError::Damaged { hash },
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.index().unpin(&self.blob.hash);
    }
}

/// The state that a store, its pins and its receivers share.
#[derive(Debug)]
struct Shared {
    blobs: PathBuf,
    temporary: PathBuf,
    /// Number of the next temporary file.
    names: AtomicU64,
    /// Files under `blobs` are added and removed only while this is locked.
    index: Mutex<Index>,
    limit: Bytes,
    /// Locked as long as it is open.
    _lock: File,
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        // Every method leaves the index consistent, so a panic elsewhere while it was locked did no harm.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        let shard: String = name.chars().take(2).collect();
        self.blobs.join(shard).join(name)
    }

    fn temporary_path(&self) -> PathBuf {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        self.temporary.join(number.to_string())
    }

    fn remove_left_overs(&self) -> Result<(), StoreError> {
        // Only files with numbers for names are ours: the user may have chosen a folder that holds other things.
        let is_ours = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u64>().is_ok())
        };
        for path in entries(&self.temporary)?.into_iter().filter(is_ours) {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(())
    }

    /// Adds the blobs on disk to the index, in the order of last use. Other files are left alone.
    fn find_blobs(&self) -> Result<(), StoreError> {
        let mut found = Vec::new();
        for shard in entries(&self.blobs)? {
            if !shard.is_dir() {
                continue;
            }
            for path in entries(&shard)? {
                found.extend(self.blob_at(&path));
            }
        }
        found.sort_unstable_by_key(|(last_use, blob, _)| (*last_use, blob.hash));
        let mut index = self.index();
        for (_, blob, holders) in found {
            index.found(blob, holders);
        }
        Ok(())
    }

    fn blob_at(&self, path: &Path) -> Option<(SystemTime, Blob, BTreeSet<NodeKey>)> {
        let hash: Hash = path.file_name()?.to_str()?.parse().ok()?;
        let metadata = path.symlink_metadata().ok()?;
        if path != self.path(&hash) || !metadata.is_file() {
            return None;
        }
        let size = Bytes::try_from(metadata.len()).ok()?;
        // Without a list of holders the blob is nobody's, and is evicted in its time.
        let holders = fs::read_to_string(self.holders_path(&hash)).unwrap_or_default();
        let holders = holders.lines().filter_map(|line| line.parse().ok()).take(index::MAX_HOLDERS).collect();
        Some((metadata.modified().ok()?, Blob { hash, size }, holders))
    }

    /// The file with the keys of a blob's holders.
    fn holders_path(&self, hash: &Hash) -> PathBuf {
        self.path(hash).with_extension("holders")
    }

    /// Notes on disk that a node holds a blob. A line that is lost costs an upload after the next start.
    fn note_holder(&self, hash: &Hash, node: &NodeKey) {
        let mut options = File::options();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let _ = options.open(self.holders_path(hash)).and_then(|mut file| writeln!(file, "{node}"));
    }

    /// Evicts blobs one by one while `must` returns true and there are any to evict.
    fn evict_while(
        &self,
        node: Option<&NodeKey>,
        mut must: impl FnMut(&mut Index) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut evicted = Vec::new();
        let outcome = self.move_out_while(node, &mut must, &mut evicted);
        // Removing a large file takes long, so the index is not locked meanwhile.
        evicted.iter().for_each(|path| remove(path));
        outcome
    }

    fn move_out_while(
        &self,
        node: Option<&NodeKey>,
        must: &mut impl FnMut(&mut Index) -> Result<bool, StoreError>,
        evicted: &mut Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        let mut index = self.index();
        while must(&mut index)? {
            let Some(hash) = index.victim(node) else {
                break;
            };
            evicted.push(self.move_away(&hash)?);
            index.evicted(&hash);
        }
        Ok(())
    }

    /// Moves a blob's file to the temporary folder. The caller holds the lock of the index.
    fn move_away(&self, hash: &Hash) -> Result<PathBuf, StoreError> {
        let (from, to) = (self.path(hash), self.temporary_path());
        remove(&self.holders_path(hash));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", &from)(error)),
            // A missing file is as good as a moved one.
            _ => Ok(to),
        }
    }

    /// Moves a verified file to its place, unless a verified one is there.
    fn put(&self, file: &TempFile, blob: &Blob, node: NodeKey, reserved: u64) -> Result<(), StoreError> {
        let path = self.path(&blob.hash);
        if let Some(shard) = path.parent() {
            create_folder(shard)?;
        }
        let mut index = self.index();
        if index.verified(&blob.hash).is_none() {
            fs::rename(file.path(), &path).map_err(StoreError::io("create", &path))?;
        }
        index.arrived(node, reserved, blob);
        if index.note_holder(node, &blob.hash) {
            self.note_holder(&blob.hash, &node);
        }
        Ok(())
    }
}

/// Creates a folder that only this user may enter.
fn create_folder(path: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(StoreError::io("create", path))
}

fn lock_folder(dir: &Path) -> Result<File, StoreError> {
    create_folder(dir)?;
    let path = dir.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(StoreError::io("read", folder))
}

/// Removes a file from the temporary folder. One that cannot be removed now is removed when the store is opened next.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}
