//! Staging memory, where host and device share none: a ring of pieces for uploads, and buffers for readbacks, which are reused
//! when the readback is dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use isobit_job::Fault;

use super::guard::Guard;
use super::mapping::{self, Pending};
use super::work::Work;
use crate::core::backend::{Ticket, Waits};
use crate::{Readback, Source, source};

/// The size of one piece of the upload ring. To copy 16 MiB takes far longer than the overhead of a submission.
const PIECE_BYTES: u64 = 16 << 20;

/// How many pieces the ring has, 64 MiB in all: one is filled while others are copied.
const PIECES: usize = 4;

/// The most bytes of readback buffers that are kept for further readbacks: 256 MiB, the size of the largest buffer of class base. Larger
/// ones are freed.
const KEPT_BYTES: u64 = 256 << 20;

/// The least size of a readback buffer; sizes of those that are kept are powers of two from here.
const LEAST_READBACK_BYTES: u64 = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Oldest first.
    uploads: VecDeque<Piece>,
    downloads: Arc<Kept>,
}

/// An upload piece; mapped for writing as soon as its last copy is done.
#[derive(Debug)]
struct Piece {
    buffer: wgpu::Buffer,
    /// Its last copy, and the mapping that follows it.
    last: Ticket,
    pending: Pending,
}

/// Readback buffers not in use.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<wgpu::Buffer>>);

impl Staging {
    /// Uploads `source` piece by piece; the device copies one while the next is filled.
    pub(super) fn upload(
        &mut self,
        guard: &Guard,
        work: &mut Work,
        target: &wgpu::Buffer,
        offset: u64,
        source: &mut Source<'_>,
        waits: &Waits,
    ) -> Result<(), Fault> {
        let length = source.length();
        let mut done = 0;
        while done < length {
            let now = PIECE_BYTES.min(length - done);
            let piece = self.take(guard, work, waits)?;
            let filled = fill(guard, &piece, 0..now, 0, source);
            guard.run(|_| piece.unmap())?;
            filled?;
            let commands = guard.run(|device| {
                let mut encoder = device.create_command_encoder(&Default::default());
                encoder.copy_buffer_to_buffer(&piece, 0, target, offset + done, now);
                encoder.finish()
            })?;
            let last = work.submit(guard, Some(commands), waits)?;
            let write = wgpu::MapMode::Write;
            let pending = mapping::request(guard, &piece, write, 0..PIECE_BYTES)?;
            self.uploads.push_back(Piece { buffer: piece, last, pending });
            done += now;
        }
        Ok(())
    }

    /// A mapped piece: one whose copy is done, a new one, or the oldest after waiting for its copy.
    fn take(&mut self, guard: &Guard, work: &mut Work, waits: &Waits) -> Result<wgpu::Buffer, Fault> {
        work.is_idle(guard, waits)?;
        let ready = |piece: &Piece| piece.pending.is_mapped();
        let reuse = self.uploads.len() >= PIECES || self.uploads.front().is_some_and(ready);
        if let Some(oldest) = self.uploads.pop_front_if(|_| reuse) {
            work.wait(guard, oldest.last, waits)?;
            mapping::finish(guard, &oldest.pending, None, waits)?;
            return Ok(oldest.buffer);
        }
        guard.run(|device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: PIECE_BYTES,
                usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: true,
            })
        })
    }

    /// Copies a range into a mappable buffer and returns a readback of that.
    pub(super) fn download(
        &mut self,
        guard: &Guard,
        work: &mut Work,
        source: &wgpu::Buffer,
        offset: u64,
        length: u64,
        waits: &Waits,
    ) -> Result<Readback, Fault> {
        let size = length.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
        let staging = self.readback_buffer(guard, size)?;
        let commands = guard.run(|device| {
            let mut encoder = device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(source, offset, &staging, 0, size);
            encoder.finish()
        })?;
        work.submit(guard, Some(commands), waits)?;
        let pending = mapping::request(guard, &staging, wgpu::MapMode::Read, 0..size)?;
        work.drain(guard, waits)?;
        mapping::finish(guard, &pending, None, waits)?;
        let lent = Lent { buffer: staging.clone(), home: Arc::clone(&self.downloads) };
        mapping::view(guard, &staging, 0, length, lent)
    }

    fn readback_buffer(&self, guard: &Guard, size: u64) -> Result<wgpu::Buffer, Fault> {
        let size = match size.max(LEAST_READBACK_BYTES) {
            // It is not kept, and the next power of two could be more than the driver makes.
            large if large > KEPT_BYTES => large,
            size => size.next_power_of_two(),
        };
        let mut kept = self.downloads.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|buffer| buffer.size() == size) {
            return Ok(kept.swap_remove(at));
        }
        drop(kept);
        guard.run(|device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }
}

/// A readback buffer that returns to `home` when its readback is dropped.
struct Lent {
    buffer: wgpu::Buffer,
    home: Arc<Kept>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.buffer.unmap();
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(self.buffer.clone());
        let mut total: u64 = kept.iter().map(wgpu::Buffer::size).sum();
        while total > KEPT_BYTES {
            total -= kept.remove(0).size();
        }
    }
}

/// Fills a mapped range with the next bytes of `source`. The first `skip` bytes of the range stay as they are.
pub(super) fn fill(
    guard: &Guard,
    buffer: &wgpu::Buffer,
    range: std::ops::Range<u64>,
    skip: usize,
    source: &mut Source<'_>,
) -> Result<(), Fault> {
    let mapped = guard.run(|_| buffer.get_mapped_range_mut(range))?;
    let mut view = mapped.map_err(|error| guard.failed(&error.to_string()))?;
    let (length, mut at) = (view.len().saturating_sub(skip), skip);
    // The reader is the caller's code, so a panic in it must not count as a fault of the device.
    let filled = source.take(length, |bytes| {
        view.slice(at..at + bytes.len()).copy_from_slice(bytes);
        at += bytes.len();
    });
    filled.map_err(source::unreadable)
}
