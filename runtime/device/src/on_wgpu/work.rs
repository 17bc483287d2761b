//! The queue: what has been submitted, how much of it may be under way, and bounded waits for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::guard::Guard;
use crate::{DeviceError, DeviceFault};

/// Submissions under way before a further one waits for the oldest: what the driver holds
/// for them is bounded so.
const MAX_SUBMISSIONS: usize = 32;

/// Small writes gather in wgpu until the next submission; 4 MiB of them are submitted on their own.
const MAX_GATHERED_BYTES: u64 = 4 << 20;

/// One bounded wait: software drivers have been seen to deadlock on endless ones.
const WAIT_SLICE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Work {
    pub(super) queue: wgpu::Queue,
    /// How long anything is waited for.
    pub(super) patience: Duration,
    under_way: VecDeque<wgpu::SubmissionIndex>,
    /// Whether more than gathered writes is under way.
    busy: bool,
    gathered: u64,
}

impl Work {
    pub(super) fn new(queue: wgpu::Queue, patience: Duration) -> Self {
        Self { queue, patience, under_way: VecDeque::new(), busy: false, gathered: 0 }
    }

    /// Submits commands after all gathered writes.
    pub(super) fn submit(
        &mut self,
        guard: &Guard,
        commands: Option<wgpu::CommandBuffer>,
    ) -> Result<wgpu::SubmissionIndex, DeviceError> {
        if self.under_way.len() >= MAX_SUBMISSIONS
            && let Some(oldest) = self.under_way.pop_front()
        {
            self.wait_for(guard, Some(oldest))?;
        }
        self.busy |= commands.is_some();
        let index = guard.run(|_| self.queue.submit(commands))?;
        self.gathered = 0;
        self.under_way.push_back(index.clone());
        Ok(index)
    }

    /// Copies a few bytes, ordered with submissions.
    pub(super) fn gather(
        &mut self,
        guard: &Guard,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        guard.run(|_| self.queue.write_buffer(buffer, offset, bytes))?;
        self.gathered += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.gathered > MAX_GATHERED_BYTES {
            self.submit(guard, None)?;
        }
        Ok(())
    }

    /// Whether the device has nothing left to do, found out without waiting.
    pub(super) fn is_idle(&mut self, guard: &Guard) -> Result<bool, DeviceError> {
        if self.gathered > 0 {
            self.submit(guard, None)?;
        }
        if self.under_way.is_empty() {
            return Ok(true);
        }
        let polled = guard.poll(wgpu::PollType::Poll)?;
        let idle = matches!(polled, Ok(status) if status.is_queue_empty());
        if idle {
            self.through();
        }
        Ok(idle)
    }

    /// Whether the device is idle, waiting for no more than gathered writes.
    pub(super) fn is_soon_idle(&mut self, guard: &Guard) -> Result<bool, DeviceError> {
        if self.busy {
            return self.is_idle(guard);
        }
        self.drain(guard)?;
        Ok(true)
    }

    /// Waits for all that was submitted and gathered.
    pub(super) fn drain(&mut self, guard: &Guard) -> Result<(), DeviceError> {
        self.is_idle(guard)?;
        self.wait_for(guard, None)?;
        self.through();
        Ok(())
    }

    fn through(&mut self) {
        self.under_way.clear();
        self.busy = false;
    }

    /// Waits for one submission, or for the latest.
    pub(super) fn wait_for(&self, guard: &Guard, index: Option<wgpu::SubmissionIndex>) -> Result<(), DeviceFault> {
        let start = Instant::now();
        loop {
            let polled = guard.poll(wgpu::PollType::Wait {
                submission_index: index.clone(),
                timeout: Some(WAIT_SLICE.min(self.patience)),
            })?;
            match polled {
                Ok(_) => return Ok(()),
                Err(wgpu::PollError::Timeout) if start.elapsed() < self.patience => {}
                Err(wgpu::PollError::Timeout) => {
                    let after = self.patience;
                    return Err(DeviceFault::TimedOut { after });
                }
                Err(error) => return Err(guard.failed(&error.to_string())),
            }
        }
    }
}
