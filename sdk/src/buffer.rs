//! Device memory with an element type, and parts of it. The host counts in bytes and wants whole words;
//! this module converts elements to bytes.

use std::io::Read;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use bytemuck::Pod;

use crate::bindings::isobit::compute::gpu as raw;
use crate::{Error, Input, Output, Result};

/// The host moves whole words of 4 bytes.
const WORD: u64 = 4;

/// Elements are read in pieces of 16 MiB, so that guest memory holds a result once and not twice.
const PIECE: usize = 16 * 1024 * 1024;

/// What one write hands over at most: 256 MiB, since the host bounds what one call does. Only a buffer of device class `large` takes more.
const WRITE: usize = 256 * 1024 * 1024;

/// Device memory for elements of type `T`, the same bytes as a `[T]` in Rust.
///
/// Mind WGSL's layout rules in structs and arrays: a `vec3<f32>` takes 16 bytes in an array.
#[derive(Debug)]
pub struct Buffer<T> {
    raw: raw::Buffer,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    pub(crate) fn create(len: usize, usage: raw::BufferUsage) -> Result<Self> {
        // A size that does not fit is clamped to one that the host refuses.
        let size = bytes::<T>(len).clamp(WORD, u64::MAX - WORD).next_multiple_of(WORD);
        Ok(Self { raw: raw::Buffer::create(size, usage)?, len, elements: PhantomData })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in `range`. A range beyond the end is an error where the slice is used.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> BufferSlice<'_, T> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        BufferSlice { buffer: self, start, end: end.max(start) }
    }

    /// Writes `data` from the first element on, ordered with submitted work.
    ///
    /// # Errors
    /// As [`BufferSlice::write`].
    pub fn write(&self, data: &[T]) -> Result<()> {
        self.slice(..).write(data)
    }

    /// Reads all elements, after all submitted work.
    ///
    /// # Errors
    /// As [`BufferSlice::read_into`].
    pub fn read(&self) -> Result<Vec<T>> {
        self.slice(..).read()
    }

    /// Fills the buffer from an input; see [`BufferSlice::load_from`].
    ///
    /// # Errors
    /// As [`BufferSlice::load_from`].
    pub fn load_from(&self, input: &mut Input) -> Result<usize> {
        self.slice(..).load_from(input)
    }

    /// Appends all elements to an output; see [`BufferSlice::append_to`].
    ///
    /// # Errors
    /// As [`BufferSlice::append_to`].
    pub fn append_to(&self, output: &mut Output) -> Result<()> {
        self.slice(..).append_to(output)
    }

    /// Sets all elements to zero, ordered with submitted work.
    ///
    /// # Errors
    /// As [`BufferSlice::clear`].
    pub fn clear(&self) -> Result<()> {
        self.slice(..).clear()
    }

    /// The handle of the generated bindings.
    pub fn raw(&self) -> &raw::Buffer {
        &self.raw
    }
}

/// A range of a [`Buffer`]'s elements.
#[derive(Debug)]
pub struct BufferSlice<'a, T> {
    buffer: &'a Buffer<T>,
    start: usize,
    end: usize,
}

impl<T> Clone for BufferSlice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BufferSlice<'_, T> {}

impl<'a, T: Pod> From<&'a Buffer<T>> for BufferSlice<'a, T> {
    fn from(buffer: &'a Buffer<T>) -> Self {
        buffer.slice(..)
    }
}

impl<'a, T: Pod> BufferSlice<'a, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Writes `data` from the slice's first element on, ordered with submitted work.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `data` is longer than the slice. For elements smaller than 4 bytes,
    /// [`Error::Validation`] unless the write starts on a multiple of 4 bytes and ends on one or at the
    /// end of the buffer.
    pub fn write(&self, data: &[T]) -> Result<()> {
        let end = self.end_of(data)?;
        let offset = bytes::<T>(self.start);
        let all: &[u8] = bytemuck::cast_slice(data);
        let (words, rest) = all.split_at(all.len() - all.len() % 4);
        if rest.is_empty() || end != self.buffer.len {
            return self.write_bytes(offset, all);
        }
        // Only a part of the buffer's last word holds elements; the rest of it is padding.
        self.write_bytes(offset, words)?;
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(self.buffer.raw.write(offset + bytes::<u8>(words.len()), &last)?)
    }

    /// Writes bytes at an offset in the buffer.
    fn write_bytes(&self, mut offset: u64, data: &[u8]) -> Result<()> {
        let (first, more) = data.split_at(data.len().min(WRITE));
        for piece in std::iter::once(first).chain(more.chunks(WRITE)) {
            self.buffer.raw.write(offset, piece)?;
            offset += bytes::<u8>(piece.len());
        }
        Ok(())
    }

    /// Reads the elements, after all submitted work.
    ///
    /// # Errors
    /// As [`read_into`](Self::read_into).
    pub fn read(&self) -> Result<Vec<T>> {
        self.checked()?;
        let mut data = vec![T::zeroed(); self.len()];
        self.read_into(&mut data)?;
        Ok(data)
    }

    /// Reads the first elements of the slice into `data`, after all submitted work.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `data` is longer than the slice.
    pub fn read_into(&self, data: &mut [T]) -> Result<()> {
        self.end_of(data)?;
        let mut offset = bytes::<T>(self.start);
        for piece in bytemuck::cast_slice_mut::<T, u8>(data).chunks_mut(PIECE) {
            // Small elements may start and end inside a word.
            let start = offset - offset % WORD;
            let end = offset + bytes::<u8>(piece.len());
            let words = self.buffer.raw.read(start, end.next_multiple_of(WORD) - start)?;
            let skipped = usize::try_from(offset - start).unwrap_or_default();
            words.get(skipped..).unwrap_or_default().read_exact(piece)?;
            offset = end;
        }
        Ok(())
    }

    /// Fills the slice from the position of `input`, and advances `input`. Returns the number of elements
    /// filled: fewer than the slice has only at the end of the input, none past it. If the input
    /// ends inside an element, the rest of that element's word is zero.
    ///
    /// The bytes do not pass through guest memory.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; for elements smaller than 4 bytes, [`Error::Validation`] unless the slice
    /// starts on a multiple of 4 bytes and its length is one too (the last piece of an input may
    /// have any length).
    pub fn load_from(&self, input: &mut Input) -> Result<usize> {
        self.checked()?;
        let length = input.remaining().min(bytes::<T>(self.len()));
        if length == 0 {
            return Ok(0);
        }
        self.buffer.raw.load_from(bytes::<T>(self.start), input.raw(), input.position(), length)?;
        input.skip(length);
        Ok(elements::<T>(length))
    }

    /// Appends the elements to an output, after all submitted work.
    ///
    /// The bytes do not pass through guest memory.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::LimitExceeded`] over the job's limit on output bytes; for elements
    /// smaller than 4 bytes, [`Error::Validation`] unless the slice starts on a multiple of 4 bytes.
    pub fn append_to(&self, output: &mut Output) -> Result<()> {
        self.checked()?;
        let (offset, length) = (bytes::<T>(self.start), bytes::<T>(self.len()));
        Ok(self.buffer.raw.append_to(offset, length, output.raw())?)
    }

    /// Sets the elements to zero, ordered with submitted work.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; for elements smaller than 4 bytes, [`Error::Validation`] unless the slice
    /// starts on a multiple of 4 bytes and ends on one or at the end of the buffer.
    pub fn clear(&self) -> Result<()> {
        self.checked()?;
        if self.is_empty() {
            return Ok(());
        }
        let (offset, size) = self.words();
        Ok(self.buffer.raw.clear(offset, size)?)
    }

    /// The buffer's handle, and the slice's offset and size in bytes. The size includes the padding of the
    /// buffer's last word.
    pub(crate) fn parts(&self) -> Result<(&'a raw::Buffer, u64, u64)> {
        self.checked()?;
        let (offset, size) = self.words();
        Ok((&self.buffer.raw, offset, size))
    }

    fn words(&self) -> (u64, u64) {
        let offset = bytes::<T>(self.start);
        let end = bytes::<T>(self.end);
        if self.end == self.buffer.len {
            (offset, end.next_multiple_of(WORD).max(WORD) - offset)
        } else {
            (offset, end - offset)
        }
    }

    fn checked(&self) -> Result<()> {
        if self.end <= self.buffer.len {
            Ok(())
        } else {
            Err(Error::OutOfRange { end: self.end, len: self.buffer.len })
        }
    }

    /// The end of `data`, in elements of the buffer, if it starts where the slice starts.
    fn end_of(&self, data: &[T]) -> Result<usize> {
        self.checked()?;
        let end = self.start.saturating_add(data.len());
        if end <= self.end { Ok(end) } else { Err(Error::OutOfRange { end, len: self.end }) }
    }
}

/// The size of `count` elements.
fn bytes<T>(count: usize) -> u64 {
    let size = count.saturating_mul(size_of::<T>());
    u64::try_from(size).unwrap_or(u64::MAX)
}

/// How many elements start in the first `bytes` of a buffer.
fn elements<T: Pod>(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(size_of::<T>())
}
