//! Outputs on their way home: hashed as they arrive, written beside their final place, and moved there
//! only when the receipt agrees.

use crate::error::SubmitError;
use bytes::Bytes;
use isobit_job::{Blob, Bytes as Size, Hash, Name};
use quinn::RecvStream;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

/// Batches between the network task and the blocking task.
const BATCHES: usize = 8;

/// Bytes in a batch: 256 KiB, so that waking the blocking task costs little beside what it does then.
const BATCH: usize = 256 << 10;

/// Pieces of a packet each that are taken from the stream at once.
const PIECES: usize = 32;

/// An output on its way: hashed and counted as it is written, beside the place where it is wanted.
/// Dropping it leaves nothing behind.
pub struct Part {
    name: Name,
    hasher: blake3::Hasher,
    size: u64,
    file: Option<(NamedTempFile, PathBuf)>,
}

impl Part {
    /// Begins an output. Without a path its bytes are hashed and let go.
    ///
    /// # Errors
    /// Nothing can be written in the folder of `path`.
    pub fn create(name: Name, path: Option<PathBuf>) -> Result<Self, SubmitError> {
        let file = match path {
            None => None,
            Some(path) => Some((beside(&path)?, path)),
        };
        Ok(Self { name, hasher: blake3::Hasher::new(), size: 0, file })
    }

    /// The output's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Hash and size of what was written so far.
    #[must_use]
    pub fn blob(&self) -> Blob {
        Blob { hash: Hash::from(self.hasher.finalize()), size: Size::saturating_from(self.size) }
    }

    /// Puts the output in its place. Returns the place, if one was wanted.
    ///
    /// # Errors
    /// It cannot be moved there.
    pub fn keep(self) -> Result<Option<PathBuf>, SubmitError> {
        let Some((file, path)) = self.file else { return Ok(None) };
        file.persist(&path).map_err(|error| SubmitError::Write { path: path.clone(), source: error.error })?;
        Ok(Some(path))
    }
}

impl Write for Part {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_all(data).map(|()| data.len())
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some((file, _)) = &mut self.file {
            file.write_all(data)?;
        }
        self.hasher.update(data);
        self.size += data.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Receives one output; `path` is where it is wanted, if it is.
pub(crate) async fn receive(name: Name, mut stream: RecvStream, path: Option<PathBuf>) -> Result<Part, SubmitError> {
    let (sender, batches) = mpsc::channel(BATCHES);
    let writer = tokio::task::spawn_blocking(move || write(name, path, batches));
    let mut pieces = vec![Bytes::new(); PIECES];
    let (mut batch, mut length) = (Vec::new(), 0);
    loop {
        let count = stream.read_chunks(&mut pieces).await.map_err(|error| SubmitError::broken(&error))?;
        for piece in pieces.iter_mut().take(count.unwrap_or(0)) {
            length += piece.len();
            batch.push(std::mem::take(piece));
        }
        // A piece of a few bytes may hold a whole packet in memory, so they are counted too.
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

fn write(name: Name, path: Option<PathBuf>, mut batches: mpsc::Receiver<Vec<Bytes>>) -> Result<Part, SubmitError> {
    let mut part = Part::create(name, path.clone())?;
    while let Some(batch) = batches.blocking_recv() {
        for piece in batch {
            part.write_all(&piece)
                .map_err(|source| SubmitError::Write { path: path.clone().unwrap_or_default(), source })?;
        }
    }
    Ok(part)
}

/// A temporary file in the folder of `path`, so that moving it there is one step.
fn beside(path: &Path) -> Result<NamedTempFile, SubmitError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".isobit-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(folder).map_err(|source| SubmitError::Write { path: path.to_owned(), source })
}
