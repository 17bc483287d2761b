//! Sends blobs to the provider. They are read and encoded on a thread of their own, and sent as flow control allows.

use crate::error::SubmitError;
use crate::submission::Source;
use bytes::Bytes;
use isobit_store::{Encoder, SourceError};
use isobit_wire::{BlobHeader, ProtocolError, encode};
use quinn::{Connection, WriteError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// The most encoded pieces buffered between the disk and the network.
const PIECES: usize = 16;

/// Sends one blob. Adds the encoded bytes that the stream has accepted to `progress`.
pub(crate) async fn send(
    connection: Connection,
    job: u64,
    source: &Source,
    progress: Arc<AtomicU64>,
) -> Result<(), SubmitError> {
    let blob = source.outboard.blob();
    let encoder = Encoder::open(&source.path, &source.outboard)?;
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let reader = tokio::task::spawn_blocking(move || -> Result<(), SourceError> {
        for piece in encoder {
            if sender.blocking_send(Bytes::from(piece?)).is_err() {
                break;
            }
        }
        Ok(())
    });
    let mut stream = connection.open_uni().await.map_err(|error| SubmitError::broken(&error))?;
    let header = encode(&BlobHeader { job, blob }).map_err(ProtocolError::from)?;
    stream.write_all(&header).await.map_err(|error| SubmitError::broken(&error))?;
    while let Some(piece) = pieces.recv().await {
        let length = piece.len() as u64;
        match stream.write_chunk(piece).await {
            Ok(()) => {}
            // The provider wants no more of the blob, and gives the reason on the control stream.
            Err(WriteError::Stopped(_)) => return Ok(()),
            Err(error) => return Err(SubmitError::broken(&error)),
        }
        progress.fetch_add(length, Ordering::Relaxed);
    }
    match reader.await {
        Ok(read) => read?,
        Err(error) => return Err(SubmitError::broken(&error)),
    }
    stream.finish().ok();
    Ok(())
}
