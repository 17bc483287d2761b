//! Mapped ranges: maps buffers, waits for mappings, and keeps buffers mapped for readbacks.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Instant;

use isobit_job::{Fault, FaultKind};

use super::guard::Guard;
use crate::Readback;
use crate::core::backend::Waits;

const WAITING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// A mapping that was requested.
#[derive(Clone, Debug)]
pub(super) struct Pending(Arc<AtomicU8>);

impl Pending {
    pub(super) fn is_mapped(&self) -> bool {
        self.0.load(Ordering::Acquire) == MAPPED
    }
}

/// Requests a mapping of `range` of `buffer`, for when the device has finished with it.
pub(super) fn request(
    guard: &Guard,
    buffer: &wgpu::Buffer,
    mode: wgpu::MapMode,
    range: std::ops::Range<u64>,
) -> Result<Pending, Fault> {
    let state = Arc::new(AtomicU8::new(WAITING));
    let seen = Arc::clone(&state);
    guard.run(|_| {
        buffer.map_async(mode, range, move |result| {
            let now = if result.is_ok() { MAPPED } else { FAILED };
            seen.store(now, Ordering::Release);
        });
    })?;
    Ok(Pending(state))
}

/// Waits until a mapping is ready. It follows `submission`, or else all submitted work.
pub(super) fn finish(
    guard: &Guard,
    pending: &Pending,
    submission: Option<&wgpu::SubmissionIndex>,
    waits: &Waits,
) -> Result<(), Fault> {
    let start = Instant::now();
    loop {
        match pending.0.load(Ordering::Acquire) {
            MAPPED => return Ok(()),
            WAITING if start.elapsed() <= waits.patience => guard.wait_for(submission.cloned(), waits)?,
            WAITING => return Err(waits.over()),
            _ => return Err(guard.failed("device memory could not be mapped")),
        }
    }
}

/// The readbacks of one buffer that is mapped itself, without staging. The whole buffer is mapped for the first readback and
/// unmapped after the last.
#[derive(Debug, Default)]
pub(super) struct Readers {
    mapping: Mutex<Weak<Mapping>>,
    /// Whether the buffer is mapped. This remains true for a moment after the last readback was dropped.
    mapped: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug)]
struct Mapping {
    buffer: wgpu::Buffer,
    mapped: Arc<(Mutex<bool>, Condvar)>,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.buffer.unmap();
        let (mapped, changed) = &*self.mapped;
        *mapped.lock().unwrap_or_else(PoisonError::into_inner) = false;
        changed.notify_all();
    }
}

impl Readers {
    /// Waits until no readback holds the buffer.
    pub(super) fn gone(&self, waits: &Waits) -> Result<(), Fault> {
        let (mapped, changed) = &*self.mapped;
        let mapped = mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let (mapped, _) = changed
            .wait_timeout_while(mapped, waits.patience, |mapped| *mapped)
            .unwrap_or_else(PoisonError::into_inner);
        if *mapped {
            return Err(waits.over());
        }
        Ok(())
    }

    /// A readback of the buffer's own memory.
    pub(super) fn read(
        &self,
        guard: &Guard,
        buffer: &wgpu::Buffer,
        offset: u64,
        length: u64,
        waits: &Waits,
    ) -> Result<Readback, Fault> {
        let mut current = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        let mapping = match current.upgrade() {
            Some(mapping) => mapping,
            None => {
                self.gone(waits)?;
                let whole = 0..buffer.size();
                let pending = request(guard, buffer, wgpu::MapMode::Read, whole)?;
                finish(guard, &pending, None, waits)?;
                let (mapped, _) = &*self.mapped;
                *mapped.lock().unwrap_or_else(PoisonError::into_inner) = true;
                let mapping = Arc::new(Mapping { buffer: buffer.clone(), mapped: Arc::clone(&self.mapped) });
                *current = Arc::downgrade(&mapping);
                mapping
            }
        };
        view(guard, buffer, offset, length, mapping)
    }
}

/// A readback of mapped memory. wgpu requires offsets that are multiples of 8 and sizes that are multiples of 4.
pub(super) fn view(
    guard: &Guard,
    buffer: &wgpu::Buffer,
    offset: u64,
    length: u64,
    keeper: impl Send + Sync + 'static,
) -> Result<Readback, Fault> {
    let start = offset - offset % wgpu::MAP_ALIGNMENT;
    let end = (offset + length).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
    let mapped = guard.run(|_| buffer.get_mapped_range(start..end))?;
    let view = mapped.map_err(|error| guard.failed(&error.to_string()))?;
    let skip = host_size(offset - start)?;
    let range = skip..skip + host_size(length)?;
    Ok(Readback::new(View { view, _keeper: keeper }, range))
}

/// Mapped memory. It stays mapped until the keeper is dropped.
struct View<K> {
    // The order matters: the view is dropped before the keeper.
    view: wgpu::BufferView,
    _keeper: K,
}

impl<K> std::ops::Deref for View<K> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.view
    }
}

/// A size as a `usize`.
pub(super) fn host_size(bytes: u64) -> Result<usize, Fault> {
    usize::try_from(bytes).map_err(|_| FaultKind::OutOfMemory.into())
}
