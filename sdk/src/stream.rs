//! Named inputs and outputs, as readers and writers of `std::io`.

use std::io::{self, Read, Seek, SeekFrom, Write};

use bytemuck::Pod;

use crate::bindings::isobit::compute::io as raw;
use crate::{BufferSlice, Result};

/// The most that one call to the host returns: 16 MiB.
const PIECE: u64 = 16 * 1024 * 1024;

/// A named input of the job.
///
/// Every read is a call to the host: wrap an input in [`std::io::BufReader`] to read it in small pieces.
/// To bring it to the device, use [`Buffer::load_from`](crate::Buffer::load_from), which is faster
/// than any read.
///
/// ```no_run
/// # use std::io::Read;
/// let mut text = String::new();
/// isobit::Input::open("prompt")?.read_to_string(&mut text)?;
/// # Ok::<(), isobit::Error>(())
/// ```
#[derive(Debug)]
pub struct Input {
    raw: raw::Input,
    size: u64,
    position: u64,
}

impl Input {
    /// Opens an input. One input may be open more than once.
    ///
    /// # Errors
    /// [`Error::InputNotFound`](crate::Error::InputNotFound) if the job has no input of this name.
    pub fn open(name: &str) -> Result<Self> {
        let raw = raw::Input::open(name)?;
        Ok(Self { size: raw.size(), raw, position: 0 })
    }

    /// The names of all inputs of the job, sorted.
    pub fn names() -> Vec<String> {
        raw::input_names()
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the next read starts, in bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes from the position to the end.
    pub fn remaining(&self) -> u64 {
        self.size.saturating_sub(self.position)
    }

    /// The handle of the generated bindings.
    pub fn raw(&self) -> &raw::Input {
        &self.raw
    }

    pub(crate) fn skip(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
    }

    fn next_piece(&mut self, length: u64) -> Vec<u8> {
        let piece = self.raw.read(self.position, length.min(PIECE));
        self.skip(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        piece
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        self.next_piece(length).as_slice().read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        // An input that cannot fit fails in `try_reserve`, with an error instead of a trap.
        let remaining = usize::try_from(self.remaining()).unwrap_or(usize::MAX);
        buf.try_reserve_exact(remaining)?;
        while self.remaining() > 0 {
            buf.append(&mut self.next_piece(PIECE));
        }
        Ok(buf.len() - before)
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position =
            position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek to before the start"))?;
        Ok(self.position)
    }
}

/// A named output of the job, streamed to the renter while the job runs. Dropping it finishes it.
///
/// Every write is a call to the host: wrap an output in [`std::io::BufWriter`] to write it in small
/// pieces.
///
/// ```no_run
/// # use std::io::Write;
/// let mut out = isobit::Output::create("answer.txt")?;
/// writeln!(out, "42")?;
/// # Ok::<(), isobit::Error>(())
/// ```
#[derive(Debug)]
pub struct Output {
    raw: raw::Output,
}

impl Output {
    /// Creates an output. Names are 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, with a letter or digit
    /// first.
    ///
    /// # Errors
    /// [`Error::OutputExists`](crate::Error::OutputExists) if there was one of this name before;
    /// [`Error::InvalidName`](crate::Error::InvalidName) for any other name;
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) over the job's limit on the number of outputs.
    pub fn create(name: &str) -> Result<Self> {
        Ok(Self { raw: raw::Output::create(name)? })
    }

    /// Appends a buffer, or a slice of one. The bytes do not pass through guest memory.
    ///
    /// # Errors
    /// As [`BufferSlice::append_to`].
    pub fn append_from<'a, T: Pod>(&mut self, from: impl Into<BufferSlice<'a, T>>) -> Result<()> {
        from.into().append_to(self)
    }

    /// Bytes appended so far.
    pub fn size(&self) -> u64 {
        self.raw.size()
    }

    /// The handle of the generated bindings.
    pub fn raw(&self) -> &raw::Output {
        &self.raw
    }
}

impl Write for Output {
    /// Appends up to 64 MiB; the host takes at most 256 MiB in one call.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let now = buf.get(..64 << 20).unwrap_or(buf);
        self.raw.append(now).map_err(crate::Error::from)?;
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
