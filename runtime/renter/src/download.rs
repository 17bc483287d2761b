//! Receives outputs: hashes and writes them as they arrive. They are put in their places once the receipt is checked.

use crate::error::SubmitError;
use crate::patience::Allowance;
use crate::places::{Part, Places};
use bytes::Bytes;
use isobit_job::Name;
use quinn::RecvStream;
use std::io::Write;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Batches between the network task and the blocking task.
const BATCHES: usize = 8;

/// Bytes in a batch: 256 KiB, so waking the blocking task costs little compared with its work.
const BATCH: usize = 256 << 10;

/// The most pieces, each of one packet, that are taken from the stream at once.
const PIECES: usize = 32;

/// Receives one output.
pub(crate) async fn receive(
    name: Name,
    mut stream: RecvStream,
    places: Arc<Places>,
    allowance: Allowance,
) -> Result<Part, SubmitError> {
    let (sender, batches) = mpsc::channel(BATCHES);
    let writer = tokio::task::spawn_blocking(move || write(&name, &places, batches));
    let mut pieces = vec![Bytes::new(); PIECES];
    let (mut batch, mut length) = (Vec::new(), 0);
    loop {
        let count = stream.read_chunks(&mut pieces).await.map_err(|error| SubmitError::broken(&error))?;
        let mut arrived = 0;
        for piece in pieces.iter_mut().take(count.unwrap_or(0)) {
            arrived += piece.len();
            batch.push(std::mem::take(piece));
        }
        allowance.take(arrived as u64)?;
        length += arrived;
        // A piece of a few bytes may keep a whole packet in memory, so the number of pieces is limited too.
        if length >= BATCH || batch.len() >= PIECES || count.is_none() {
            length = 0;
            if sender.send(std::mem::take(&mut batch)).await.is_err() {
                break;
            }
        }
        if count.is_none() {
            break;
        }
    }
    drop(sender);
    writer.await.map_err(|error| SubmitError::broken(&error))?
}

fn write(name: &Name, places: &Places, mut batches: mpsc::Receiver<Vec<Bytes>>) -> Result<Part, SubmitError> {
    let failed = |source| SubmitError::Write { name: name.clone(), source };
    let mut part = places.begin(name).map_err(failed)?;
    while let Some(batch) = batches.blocking_recv() {
        for piece in batch {
            part.write_all(&piece).map_err(failed)?;
        }
    }
    Ok(part)
}
