//! Submitted work: bounds how much of it is under way, and waits for it.

use std::collections::VecDeque;

use isobit_job::Fault;

use super::guard::Guard;
use crate::core::backend::{Ticket, Waits};

/// The most submissions under way, which bounds the memory that the driver holds for them. A further one waits for the
/// oldest.
const MAX_SUBMISSIONS: usize = 32;

/// Small writes are gathered in wgpu until the next submission. More than 4 MiB of them are submitted at once.
const MAX_GATHERED_BYTES: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Work {
    queue: wgpu::Queue,
    /// Oldest first.
    under_way: VecDeque<(Ticket, wgpu::SubmissionIndex)>,
    next: Ticket,
    /// Whether anything other than gathered writes is under way.
    busy: bool,
    gathered: u64,
}

impl Work {
    pub(super) fn new(queue: wgpu::Queue) -> Self {
        Self { queue, under_way: VecDeque::new(), next: 0, busy: false, gathered: 0 }
    }

    /// Submits commands after all gathered writes.
    pub(super) fn submit(
        &mut self,
        guard: &Guard,
        commands: Option<wgpu::CommandBuffer>,
        waits: &Waits,
    ) -> Result<Ticket, Fault> {
        while self.under_way.len() >= MAX_SUBMISSIONS {
            self.retire(guard, waits)?;
        }
        self.busy |= commands.is_some();
        let index = guard.run(|_| self.queue.submit(commands))?;
        self.gathered = 0;
        let ticket = self.next;
        self.next += 1;
        self.under_way.push_back((ticket, index));
        Ok(ticket)
    }

    /// Waits for the oldest submission.
    fn retire(&mut self, guard: &Guard, waits: &Waits) -> Result<(), Fault> {
        if let Some((_, oldest)) = self.under_way.front() {
            guard.wait_for(Some(oldest.clone()), waits)?;
            self.under_way.pop_front();
        }
        Ok(())
    }

    /// Waits for a submission and all before it.
    pub(super) fn wait(&mut self, guard: &Guard, ticket: Ticket, waits: &Waits) -> Result<(), Fault> {
        while self.under_way.front().is_some_and(|(oldest, _)| *oldest <= ticket) {
            self.retire(guard, waits)?;
        }
        Ok(())
    }

    /// Writes a few bytes, in order with submissions.
    pub(super) fn gather(
        &mut self,
        guard: &Guard,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
        waits: &Waits,
    ) -> Result<(), Fault> {
        guard.run(|_| self.queue.write_buffer(buffer, offset, bytes))?;
        self.gathered += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.gathered > MAX_GATHERED_BYTES {
            self.submit(guard, None, waits)?;
        }
        Ok(())
    }

    /// Whether the device has nothing left to do. Does not wait for submitted work.
    pub(super) fn is_idle(&mut self, guard: &Guard, waits: &Waits) -> Result<bool, Fault> {
        if self.gathered > 0 {
            self.submit(guard, None, waits)?;
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

    /// Whether the device is idle. Waits if only gathered writes are under way.
    pub(super) fn is_soon_idle(&mut self, guard: &Guard, waits: &Waits) -> Result<bool, Fault> {
        if self.busy {
            return self.is_idle(guard, waits);
        }
        self.drain(guard, waits)?;
        Ok(true)
    }

    /// Waits for all submitted work and gathered writes.
    pub(super) fn drain(&mut self, guard: &Guard, waits: &Waits) -> Result<(), Fault> {
        if !self.is_idle(guard, waits)? {
            guard.wait_for(None, waits)?;
        }
        self.through();
        Ok(())
    }

    fn through(&mut self) {
        self.under_way.clear();
        self.busy = false;
    }
}
