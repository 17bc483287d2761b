//! Outputs on their way from the worker's pipe to the renter's stream, hashed as they pass. Nothing is
//! stored: if a renter takes bytes slowly, its QUIC window fills, then the pipe, and then the guest waits.

use bytes::{Bytes, BytesMut};
use isobit_job::{Blob, Bytes as Size, Hash, Name};
use isobit_worker::word::Budget;
use quinn::SendStream;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How long the bytes of small writes are gathered.
const GATHER: Duration = Duration::from_millis(5);

/// A piece is small below this.
const SMALL: usize = 16 << 10;

/// Bytes taken from the pipe at once.
const PIECE: usize = 256 << 10;

/// How long a renter may take no bytes of an output before it counts as gone: meanwhile its guest waits, and holds a slot.
pub const STALL: Duration = Duration::from_secs(30);

/// Why an output was not relayed to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("the renter stopped taking the output: {0}")]
    Renter(#[from] quinn::WriteError),
    #[error("the renter took no bytes of the output for {} s", STALL.as_secs())]
    Stalled,
    #[error("the worker's pipe failed: {0}")]
    Pipe(#[from] std::io::Error),
    #[error("the worker wrote more than the job may")]
    OverBudget,
}

/// Relays one output until the worker closes its end of the pipe; then finishes the stream.
pub(crate) async fn relay(
    name: Name,
    pipe: OwnedFd,
    mut stream: SendStream,
    budget: Budget,
) -> Result<(Name, Blob), RelayError> {
    let mut pipe = crate::worker::output_of(pipe)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = BytesMut::new();
    let mut size = 0_u64;
    loop {
        buffer.reserve(PIECE);
        if pipe.read_buf(&mut buffer).await? == 0 {
            break;
        }
        // Small writes are gathered for a moment, and copied: each piece stays in memory until the renter has it, with all that was allocated for it.
        let until = tokio::time::Instant::now() + GATHER;
        while buffer.len() < SMALL {
            let Ok(read) = tokio::time::timeout_at(until, pipe.read_buf(&mut buffer)).await else { break };
            if read? == 0 {
                break;
            }
        }
        let piece = if buffer.len() < SMALL {
            let piece = Bytes::copy_from_slice(&buffer);
            buffer.clear();
            piece
        } else {
            buffer.split().freeze()
        };
        hasher.update(&piece);
        let length = piece.len() as u64;
        if !budget.take(length) {
            stream.reset(isobit_transport::RESET_ABANDONED).ok();
            return Err(RelayError::OverBudget);
        }
        size += length;
        tokio::time::timeout(STALL, stream.write_chunk(piece)).await.map_err(|_| RelayError::Stalled)??;
    }
    stream.finish().ok();
    Ok((name, Blob { hash: Hash::from(hasher.finalize()), size: Size::saturating_from(size) }))
}
