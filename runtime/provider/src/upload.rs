//! Blobs on their way from a renter's stream into the store, verified chunk group by chunk group.

use crate::party::Party;
use bytes::Bytes;
use isobit_job::{Blob, Hash, NodeKey};
use isobit_store::{Pin, ReceiveError, Store, StoreError};
use isobit_wire::Rejection;
use quinn::RecvStream;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Bytes in a batch: 256 KiB, so that waking the blocking task costs little compared with its work.
const BATCH: usize = 256 << 10;

/// How long a renter may send nothing before its upload is given up.
pub const STALL: Duration = Duration::from_secs(30);

/// Pieces, each of a packet, that are taken from the stream at once.
const PIECES: usize = 32;

/// The blobs that a job still waits for.
pub(crate) struct Wanted(BTreeMap<Hash, Blob>);

impl Wanted {
    pub(crate) fn new(missing: impl IntoIterator<Item = Blob>) -> Self {
        Self(missing.into_iter().map(|blob| (blob.hash, blob)).collect())
    }

    pub(crate) fn hashes(&self) -> Vec<Hash> {
        self.0.keys().copied().collect()
    }

    pub(crate) fn first(&self) -> Option<Hash> {
        self.0.keys().next().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a blob off the list when its stream begins, so that no blob is sent twice.
    pub(crate) fn take(&mut self, hash: Hash) -> Option<Blob> {
        self.0.remove(&hash)
    }
}

/// Why a blob was not stored.
pub(crate) enum UploadError {
    /// The job is rejected.
    Rejected(Rejection),
    /// The provider's store failed.
    Store(StoreError),
}

/// Wrong bytes reject the job. An error of the store is the provider's trouble, unless it has no room.
fn refuse(hash: Hash, error: ReceiveError) -> UploadError {
    match error {
        ReceiveError::Store(error) => no_room(error),
        wrong => UploadError::Rejected(Rejection::BadBlob { hash, reason: wrong.to_string() }),
    }
}

fn no_room(error: StoreError) -> UploadError {
    match error {
        StoreError::TooLarge { size, limit } => {
            UploadError::Rejected(Rejection::NoRoom { needed: size, available: limit })
        }
        StoreError::NoRoom { size, limit, in_use } => {
            UploadError::Rejected(Rejection::NoRoom { needed: size, available: limit.saturating_sub(in_use) })
        }
        other => UploadError::Store(other),
    }
}

/// Jobs whose blobs are on their way. They hold no slot, but memory and room in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uploads(Arc<Mutex<BTreeMap<Party, usize>>>);

/// The most jobs at once whose blobs are on their way. Each has a connection of 16 streams at most, so they hold 1024 files.
pub const MAX_UPLOADING: usize = 64;

/// The most of one network.
pub const MAX_UPLOADING_PER_NETWORK: usize = 32;

/// The most of one renter.
pub const MAX_UPLOADING_PER_KEY: usize = 8;

/// A job's share in [`Uploads`].
#[derive(Debug)]
pub(crate) struct Uploading(Uploads, Party);

impl Uploads {
    /// A share for a job of this party.
    ///
    /// # Errors
    /// Its key or its network has its share, or there are too many in all.
    pub(crate) fn begin(&self, party: Party) -> Result<Uploading, Rejection> {
        let mut parties = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let below = |limit: &str, maximum: usize, counts: &dyn Fn(&Party) -> bool| {
            let used: usize = parties.iter().filter(|(party, _)| counts(party)).map(|(_, jobs)| jobs).sum();
            let reached =
                || Rejection::LimitReached { limit: limit.to_owned(), maximum: maximum as u64, used: used as u64 };
            if used >= maximum { Err(reached()) } else { Ok(()) }
        };
        below("uploads", MAX_UPLOADING_PER_KEY, &|other| other.key == party.key)?;
        below("uploads-of-an-address", MAX_UPLOADING_PER_NETWORK, &|other| other.network == party.network)?;
        below("uploads-of-all", MAX_UPLOADING, &|_| true)?;
        *parties.entry(party).or_default() += 1;
        Ok(Uploading(self.clone(), party))
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        let mut parties = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = parties.get_mut(&self.1) {
            *own = own.saturating_sub(1);
        }
        parties.retain(|_, own| *own > 0);
    }
}

/// The least bytes per second that the uploads of a job may have together, on average, after [`STALL`].
pub const SLOWEST: u64 = 64 << 10;

/// What the uploads of a job have brought so far.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    since: Instant,
    bytes: Arc<AtomicU64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { since: Instant::now(), bytes: Arc::default() }
    }
}

impl Pace {
    /// Adds bytes, and says whether they come fast enough.
    fn keeps(&self, more: u64) -> bool {
        let bytes = self.bytes.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let expected = self.since.elapsed().saturating_sub(STALL).as_secs().saturating_mul(SLOWEST);
        bytes >= expected
    }
}

/// Receives one blob of a renter. Bytes are hashed and written on a thread for blocking work, batch by batch: no thread waits for the
/// renter.
pub(crate) async fn receive(
    store: Store,
    renter: NodeKey,
    blob: Blob,
    mut stream: RecvStream,
    pace: Pace,
) -> Result<Pin, UploadError> {
    let mut writer = blocking(move || store.begin(&renter, &blob).map_err(no_room));
    let mut pieces = vec![Bytes::new(); PIECES];
    let (mut batch, mut length) = (Vec::new(), 0);
    loop {
        let read = tokio::time::timeout(STALL, stream.read_chunks(&mut pieces)).await;
        let read = read.map_err(|_| bad(blob, format!("no bytes came for {} s", STALL.as_secs())))?;
        let count = read.map_err(|error| bad(blob, format!("the upload broke off: {error}")))?;
        let mut arrived = 0;
        for piece in pieces.iter_mut().take(count.unwrap_or(0)) {
            arrived += piece.len();
            batch.push(std::mem::take(piece));
        }
        if !pace.keeps(arrived as u64) {
            return Err(bad(blob, format!("the job's uploads bring less than {} KiB/s", SLOWEST >> 10)));
        }
        length += arrived;
        // A piece of a few bytes may hold a whole packet in memory, so pieces are counted too.
        if length >= BATCH || batch.len() >= PIECES || count.is_none() {
            length = 0;
            let (batch, mut incoming) = (std::mem::take(&mut batch), written(writer, blob).await?);
            writer = blocking(move || {
                for piece in batch {
                    incoming.write(&piece).map_err(|error| refuse(blob.hash, error))?;
                }
                Ok(incoming)
            });
        }
        if count.is_none() {
            break;
        }
    }
    let incoming = written(writer, blob).await?;
    written(blocking(move || incoming.finish().map_err(|error| refuse(blob.hash, error))), blob).await
}

/// Work on a thread for blocking work. It ends by itself if nobody waits for it any more.
type Blocking<T> = JoinHandle<Result<T, UploadError>>;

fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, UploadError> + Send + 'static) -> Blocking<T> {
    tokio::task::spawn_blocking(work)
}

async fn written<T>(writer: Blocking<T>, blob: Blob) -> Result<T, UploadError> {
    writer.await.map_err(|error| bad(blob, error.to_string()))?
}

fn bad(blob: Blob, reason: String) -> UploadError {
    UploadError::Rejected(Rejection::BadBlob { hash: blob.hash, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_of_one_renter_or_network_leave_room_for_others() {
        let (uploads, own) = (Uploads::default(), Party::at(1));
        let shares: Vec<_> = std::iter::from_fn(|| uploads.begin(own).ok()).collect();
        assert_eq!(shares.len(), MAX_UPLOADING_PER_KEY);
        let refused = uploads.begin(Party::with(own.key, 2)).unwrap_err().to_string();
        assert_eq!(refused, "limit `uploads` of the provider is reached: 8 of 8 in use");
        let neighbours: Vec<_> = std::iter::from_fn(|| uploads.begin(Party::at(1)).ok()).collect();
        assert_eq!(shares.len() + neighbours.len(), MAX_UPLOADING_PER_NETWORK);
        assert!(uploads.begin(Party::at(1)).unwrap_err().to_string().contains("`uploads-of-an-address`"));
        assert!(uploads.begin(Party::at(2)).is_ok());
        drop((shares, neighbours));
        assert!(uploads.0.lock().unwrap().is_empty());
        let all: Vec<_> = (0..100).filter_map(|host| uploads.begin(Party::at(host)).ok()).collect();
        assert_eq!(all.len(), MAX_UPLOADING);
        assert!(uploads.begin(own).unwrap_err().to_string().contains("`uploads-of-all`"));
    }
}
