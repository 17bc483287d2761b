//! Blobs on their way from a renter's stream into the store, verified chunk group by chunk group.

use bytes::Bytes;
use isobit_job::{Blob, Hash};
use isobit_store::{Pin, ReceiveError, Store, StoreError};
use isobit_wire::Rejection;
use quinn::RecvStream;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Batches between the network task and the blocking task.
const BATCHES: usize = 8;

/// Bytes in a batch: 256 KiB, so that waking the blocking task costs little compared with its work.
const BATCH: usize = 256 << 10;

/// How long a renter may send nothing before its upload is given up.
pub(crate) const STALL: std::time::Duration = std::time::Duration::from_secs(60);

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

/// Receives one blob. Disk and hashing run on a thread of their own, so the network tasks are not blocked.
pub(crate) async fn receive(store: Store, blob: Blob, mut stream: RecvStream) -> Result<Pin, UploadError> {
    let bad = move |reason: String| UploadError::Rejected(Rejection::BadBlob { hash: blob.hash, reason });
    let (sender, mut batches) = mpsc::channel::<Vec<Bytes>>(BATCHES);
    let writer = tokio::task::spawn_blocking(move || {
        let mut incoming = store.begin(&blob).map_err(no_room)?;
        while let Some(batch) = batches.blocking_recv() {
            for piece in batch {
                incoming.write(&piece).map_err(|error| refuse(blob.hash, error))?;
            }
        }
        incoming.finish().map_err(|error| refuse(blob.hash, error))
    });
    let mut pieces = vec![Bytes::new(); PIECES];
    let (mut batch, mut length) = (Vec::new(), 0);
    loop {
        let read = tokio::time::timeout(STALL, stream.read_chunks(&mut pieces)).await;
        let read = read.map_err(|_| bad(format!("no bytes came for {} s", STALL.as_secs())))?;
        let count = match read {
            Ok(count) => count,
            Err(error) => {
                drop(sender);
                writer.await.ok();
                return Err(bad(format!("the upload broke off: {error}")));
            }
        };
        for piece in pieces.iter_mut().take(count.unwrap_or(0)) {
            length += piece.len();
            batch.push(std::mem::take(piece));
        }
        // A piece of a few bytes may hold a whole packet in memory, so pieces are counted too.
        if length >= BATCH || batch.len() >= PIECES || count.is_none() {
            length = 0;
            // The writer stops early when the bytes are wrong; its result says why.
            if sender.send(std::mem::take(&mut batch)).await.is_err() {
                stream.stop(isobit_transport::RESET_ABANDONED).ok();
                break;
            }
        }
        if count.is_none() {
            break;
        }
    }
    drop(sender);
    writer.await.map_err(|error| bad(error.to_string()))?
}
