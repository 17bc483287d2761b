//! The source of the bytes of a write.

use std::fmt;
use std::io::{self, Read};

use isobit_job::Fault;

/// The size of the pieces in which a reader is read: 256 KiB stay in a core's cache between reading and copying. Readers do
/// not get mapped device memory as `&mut [u8]`, since it may be write-combining.
const PIECE_BYTES: usize = 256 << 10;

/// The bytes of a write.
pub enum Source<'a> {
    /// Bytes in memory. They are copied once, into memory that the device sees.
    Slice(&'a [u8]),
    /// `length` bytes from a reader. If it ends up to three bytes early, zeros are added; if it ends earlier, that is a
    /// fault.
    Reader {
        /// It is read up to `length` bytes or its end.
        reader: &'a mut dyn Read,
        /// How many bytes to write.
        length: u64,
    },
}

impl Source<'_> {
    /// How many bytes to write.
    pub fn length(&self) -> u64 {
        match self {
            Self::Slice(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Reader { length, .. } => *length,
        }
    }

    /// Passes the next `length` bytes to `sink`, piece by piece; at most [`Source::length`] in all. Every piece but the last of
    /// the source is a multiple of 4 bytes long.
    pub(crate) fn take(&mut self, length: usize, mut sink: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Slice(bytes) => {
                let (now, later) = bytes.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
                sink(now);
                *bytes = later;
            }
            Self::Reader { reader, length: left } => {
                let mut piece = vec![0; PIECE_BYTES.min(length)];
                let mut taken = 0;
                while taken < length {
                    let now = piece.get_mut(..PIECE_BYTES.min(length - taken)).unwrap_or_default();
                    *left = left.saturating_sub(read_padded(reader, now, *left)?);
                    taken += now.len();
                    sink(now);
                }
            }
        }
        Ok(())
    }

    /// Calls `then` with the next `length` bytes. For writes that are too small to map memory for.
    pub(crate) fn with_bytes<T>(&mut self, length: usize, then: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        if let Self::Slice(bytes) = self
            && bytes.len() == length
        {
            return Ok(then(bytes));
        }
        let mut copy = Vec::with_capacity(length);
        self.take(length, |bytes| copy.extend_from_slice(bytes))?;
        Ok(then(&copy))
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} bytes)", self.length())
    }
}

/// The fault for a source that could not be read.
pub(crate) fn unreadable(error: io::Error) -> Fault {
    Fault::storage("what was to be written to the device could not be read", &error)
}

/// Fills `piece`. Up to three missing bytes at the end of the `left` bytes become zeros. Returns the piece's length.
fn read_padded(reader: &mut dyn Read, piece: &mut [u8], left: u64) -> io::Result<u64> {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let whole = u64::try_from(piece.len()).unwrap_or(u64::MAX);
    let missing = piece.get_mut(filled..).unwrap_or_default();
    if missing.len() > 3 || (!missing.is_empty() && left > whole) {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before the length that was announced"));
    }
    missing.fill(0);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(mut source: Source<'_>, pieces: &[usize]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        for &piece in pieces {
            source.take(piece, |bytes| all.extend_from_slice(bytes))?;
        }
        Ok(all)
    }

    #[test]
    fn a_slice_is_handed_out_piece_by_piece() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(filled(Source::Slice(&bytes), &[4, 4]).unwrap(), bytes);
        assert!(filled(Source::Slice(&bytes), &[4, 8]).is_err());
    }

    #[test]
    fn a_reader_is_padded_within_its_last_word_only() {
        let mut five: &[u8] = &[1, 2, 3, 4, 5];
        let source = Source::Reader { reader: &mut five, length: 8 };
        assert_eq!(filled(source, &[4, 4]).unwrap(), [1, 2, 3, 4, 5, 0, 0, 0]);
        let mut four: &[u8] = &[1, 2, 3, 4];
        let source = Source::Reader { reader: &mut four, length: 8 };
        assert_eq!(filled(source, &[4, 4]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut three: &[u8] = &[1, 2, 3];
        let source = Source::Reader { reader: &mut three, length: 8 };
        assert!(filled(source, &[4, 4]).is_err(), "it ends before the last word");
    }

    #[test]
    fn a_long_reader_goes_through_several_pieces() {
        let bytes: Vec<u8> = (0..=250).cycle().take(PIECE_BYTES * 2 + 12).collect();
        let mut reader = bytes.as_slice();
        let source = Source::Reader { reader: &mut reader, length: bytes.len() as u64 };
        assert_eq!(filled(source, &[bytes.len()]).unwrap(), bytes);
    }
}
