//! The queue: what has been submitted, how much of it may be under way, and bounded waits for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::guard::Guard;
use super::pace::{Load, Pace, SLICE};
use crate::stop::ASK_EVERY;
use crate::{DeviceError, DeviceFault, Stop};

/// Submissions under way before a further one waits for the oldest: what the driver holds
/// for them is bounded so.
const MAX_SUBMISSIONS: usize = 32;

/// Estimated time of the submissions under way before a further one waits: with it, three slices.
const MAX_AHEAD: Duration = SLICE.saturating_mul(2);

/// A wait that is over sooner has waited for nothing: the submission was through before.
const LEAST_WAIT: Duration = Duration::from_micros(100);

/// Small writes gather in wgpu until the next submission; 4 MiB of them are submitted on their own.
const MAX_GATHERED_BYTES: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Work {
    pub(super) queue: wgpu::Queue,
    /// How long anything is waited for.
    pub(super) patience: Duration,
    pub(super) stop: Stop,
    /// How many submissions of sliced dispatches there were.
    pub(super) submissions: u64,
    under_way: VecDeque<UnderWay>,
    /// When a submission was last seen to be through.
    last_through: Instant,
    /// Whether more than gathered writes is under way.
    busy: bool,
    gathered: u64,
}

/// A submission and what it holds the device with.
#[derive(Debug)]
struct UnderWay {
    index: wgpu::SubmissionIndex,
    since: Instant,
    load: Load,
}

impl Work {
    pub(super) fn new(queue: wgpu::Queue, patience: Duration) -> Self {
        let last_through = Instant::now();
        Self {
            queue,
            patience,
            stop: Stop::default(),
            submissions: 0,
            under_way: VecDeque::new(),
            last_through,
            busy: false,
            gathered: 0,
        }
    }

    /// Submits commands after all gathered writes.
    pub(super) fn submit(
        &mut self,
        guard: &Guard,
        commands: Option<wgpu::CommandBuffer>,
    ) -> Result<wgpu::SubmissionIndex, DeviceError> {
        self.submit_load(guard, commands, Load::default())
    }

    /// As [`Work::submit`]; how long it takes is learnt once it is through.
    pub(super) fn submit_load(
        &mut self,
        guard: &Guard,
        commands: Option<wgpu::CommandBuffer>,
        load: Load,
    ) -> Result<wgpu::SubmissionIndex, DeviceError> {
        while self.under_way.len() >= MAX_SUBMISSIONS || (!load.is_empty() && self.ahead() > MAX_AHEAD) {
            self.retire(guard)?;
        }
        self.busy |= commands.is_some();
        self.submissions += u64::from(!load.is_empty());
        let index = guard.run(|_| self.queue.submit(commands))?;
        self.gathered = 0;
        self.under_way.push_back(UnderWay { index: index.clone(), since: Instant::now(), load });
        Ok(index)
    }

    /// Waits until it is known how long the workgroups take that are under way to find it out.
    pub(super) fn learn(&mut self, guard: &Guard, pace: &Pace) -> Result<(), DeviceError> {
        while pace.is_probing() && !self.under_way.is_empty() {
            self.retire(guard)?;
        }
        Ok(())
    }

    /// Estimated time of what is under way.
    fn ahead(&self) -> Duration {
        self.under_way.iter().map(|submission| submission.load.estimate()).sum()
    }

    /// Waits for the oldest submission and learns how long it took.
    fn retire(&mut self, guard: &Guard) -> Result<(), DeviceFault> {
        let Some(oldest) = self.under_way.front() else { return Ok(()) };
        let before = Instant::now();
        self.wait_for(guard, Some(oldest.index.clone()))?;
        let now = Instant::now();
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        let exactly = now.duration_since(before) > LEAST_WAIT;
        oldest.load.took(now.duration_since(oldest.since.max(self.last_through)), exactly);
        self.last_through = now;
        Ok(())
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
        while !self.under_way.is_empty() {
            self.retire(guard)?;
        }
        self.wait_for(guard, None)?;
        self.through();
        Ok(())
    }

    /// All that was submitted is through, who knows since when.
    fn through(&mut self) {
        let now = Instant::now();
        for submission in self.under_way.drain(..) {
            submission.load.took(now.duration_since(submission.since), false);
        }
        self.last_through = now;
        self.busy = false;
    }

    /// Waits for one submission, or for the latest.
    pub(super) fn wait_for(&self, guard: &Guard, index: Option<wgpu::SubmissionIndex>) -> Result<(), DeviceFault> {
        let start = Instant::now();
        loop {
            self.stop.check()?;
            // Bounded, too, because software drivers have been seen to deadlock on endless waits.
            let polled = guard.poll(wgpu::PollType::Wait {
                submission_index: index.clone(),
                timeout: Some(ASK_EVERY.min(self.patience)),
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
