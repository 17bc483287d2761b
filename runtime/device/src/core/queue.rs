//! The queue: passes steps to the backend in order, in submissions of bounded length, and counts the fuel that kernels spend.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use isobit_job::Fault;
use isobit_shader::dp32::INVOCATION_FUEL;
use isobit_shader::interpreter::words_of;

use super::backend::{Backend, Report, Ticket, Waits};
use super::batch::{Action, Batch, Cursor, Slice};
use super::encoder::{Dispatch, Step};
use super::host_memory::HostCharge;
use super::observer::Observer;
use super::resources::{BindGroup, BindGroupLayout, Buffer, BufferUsage, ComputePipeline, Range};
use super::workgroup_time::{Load, SLICE, WorkgroupTime};
use crate::{DeviceInfo, Source};

/// A further submission waits while those under way take longer than this by estimate. With it, three slices are under way.
const MAX_AHEAD: Duration = SLICE.saturating_mul(2);

/// If a wait is shorter than this, the submission had finished before it.
const LEAST_WAIT: Duration = Duration::from_micros(100);

/// How often reports are read while steps run. A long dispatch is stopped about this long after it breaks the limit on kernel
/// fuel.
const SETTLE_EVERY: Duration = Duration::from_millis(500);

/// The cost of a job's kernels. Whether the limit is kept depends on the job alone, and while it is, so does the cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelUse {
    /// Kernel fuel: for each dispatch its workgroups times [`ComputePipeline::workgroup_cost`], plus the cost of metered loops.
    pub fuel: u64,
    /// The limit is broken: by the total fuel, or by one invocation that spent [`INVOCATION_FUEL`] or the limit.
    pub spent: bool,
}

/// A backend with work under way.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) waits: Waits,
    /// How long a submission should hold the device.
    slice: Duration,
    kernel_limit: u64,
    kernel_use: KernelUse,
    /// When reports of kernels were last read.
    settled: Instant,
    under_way: VecDeque<UnderWay>,
    /// When a submission was last seen to have finished.
    last_through: Instant,
    /// How many submissions of sliced dispatches there were.
    submissions: u64,
}

/// A submission under way and its workgroups.
#[derive(Debug)]
struct UnderWay {
    ticket: Ticket,
    since: Instant,
    load: Load,
}

impl Queue {
    pub(super) fn new(backend: Box<dyn Backend>, waits: Waits, slice: Duration, kernel_limit: u64) -> Self {
        let now = Instant::now();
        Self {
            backend,
            waits,
            slice,
            kernel_limit,
            kernel_use: KernelUse::default(),
            settled: now,
            under_way: VecDeque::new(),
            last_through: now,
            submissions: 0,
        }
    }

    pub(crate) fn info(&self) -> &DeviceInfo {
        self.backend.info()
    }

    pub(super) fn submissions(&self) -> u64 {
        self.submissions
    }

    /// The most fuel that loops of one invocation may spend.
    pub(crate) fn budget(&self) -> u32 {
        u32::try_from(self.kernel_limit).unwrap_or(INVOCATION_FUEL).min(INVOCATION_FUEL)
    }

    /// Kernel fuel that is left.
    pub(crate) fn fuel_left(&self) -> u64 {
        if self.kernel_use.spent { 0 } else { self.kernel_limit.saturating_sub(self.kernel_use.fuel) }
    }

    /// Runs steps after all work submitted before, and may return while they run. Once the limit on kernel fuel is broken, the
    /// rest is skipped: the job traps, so the difference cannot be seen.
    pub(super) fn run(&mut self, steps: &[Step], fuel: u64, observers: &mut [Box<dyn Observer>]) -> Result<(), Fault> {
        self.spend(fuel);
        let mut cursor = Cursor::new(steps, self.slice);
        let mut chosen: Vec<usize> = observers.iter_mut().flat_map(|observer| observer.choose(steps)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        cursor.watch(chosen);
        let mut watched = None;
        while !cursor.is_through() && !self.kernel_use.spent {
            if let Some(dispatch) = cursor.dispatch() {
                self.learn(&dispatch.pipeline.state().workgroup_time)?;
            }
            if let Some((number, dispatch)) = cursor.at_watched() {
                let mut is_watched = false;
                for observer in &mut *observers {
                    is_watched |= observer.before(number, dispatch, self)?;
                }
                match is_watched {
                    true => watched = Some((number, dispatch)),
                    false => cursor.unwatch(),
                }
            }
            self.submit(cursor.next())?;
            if let Some((_, dispatch)) = watched.take_if(|(number, _)| cursor.is_past(*number)) {
                for observer in &mut *observers {
                    observer.after(dispatch, self)?;
                }
            }
            if !cursor.is_through() && self.settled.elapsed() > SETTLE_EVERY {
                self.collect()?;
            }
        }
        Ok(())
    }

    fn submit(&mut self, batch: Batch<'_>) -> Result<(), Fault> {
        if batch.actions.is_empty() {
            return Ok(());
        }
        while !batch.load.is_empty() && self.ahead() > MAX_AHEAD {
            self.retire()?;
        }
        self.submissions += u64::from(!batch.load.is_empty());
        let budget = self.budget();
        let ticket = self.backend.submit(&batch.actions, budget, &self.waits)?;
        if !batch.load.is_empty() {
            self.under_way.push_back(UnderWay { ticket, since: Instant::now(), load: batch.load });
        }
        Ok(())
    }

    /// Waits for the first workgroups of a pipeline, from which it is learned how long one takes.
    fn learn(&mut self, workgroup_time: &WorkgroupTime) -> Result<(), Fault> {
        while workgroup_time.is_probing() && !self.under_way.is_empty() {
            self.retire()?;
        }
        Ok(())
    }

    /// The estimated time of all submissions under way.
    fn ahead(&self) -> Duration {
        self.under_way.iter().map(|submission| submission.load.estimate()).sum()
    }

    /// Waits for the oldest submission and learns how long it took.
    fn retire(&mut self) -> Result<(), Fault> {
        let Some(oldest) = self.under_way.front() else { return Ok(()) };
        let before = Instant::now();
        self.backend.wait(Some(oldest.ticket), &self.waits)?;
        let now = Instant::now();
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        let exactly = now.duration_since(before) > LEAST_WAIT;
        oldest.load.took(now.duration_since(oldest.since.max(self.last_through)), exactly);
        self.last_through = now;
        Ok(())
    }

    /// Waits for all submitted work.
    pub(crate) fn drain(&mut self) -> Result<(), Fault> {
        while !self.under_way.is_empty() {
            self.retire()?;
        }
        self.backend.wait(None, &self.waits)
    }

    fn spend(&mut self, fuel: u64) {
        self.kernel_use.fuel = self.kernel_use.fuel.saturating_add(fuel);
        self.kernel_use.spent |= self.kernel_use.fuel > self.kernel_limit;
    }

    /// Adds the reports of kernels since the last call to the cost.
    pub(crate) fn collect(&mut self) -> Result<KernelUse, Fault> {
        let Report { loop_fuel, spent } = self.backend.collect(&self.waits)?;
        self.kernel_use.spent |= spent;
        self.spend(loop_fuel);
        self.settled = Instant::now();
        Ok(self.kernel_use)
    }

    /// The contents of a range, after all submitted work.
    pub(crate) fn contents(&mut self, range: &Range) -> Result<Vec<AtomicU32>, Fault> {
        let (memory, waits) = (range.buffer.memory(), &self.waits);
        Ok(words_of(&self.backend.read(memory, range.offset, range.size, waits)?))
    }

    /// The contents of each range that a dispatch accesses, in the order of [`Dispatch::ranges`].
    pub(crate) fn contents_of(&mut self, dispatch: &Dispatch) -> Result<Vec<Vec<AtomicU32>>, Fault> {
        dispatch.ranges().map(|(_, range)| self.contents(&range)).collect()
    }

    /// Runs one workgroup of a dispatch again, alone and on copies of these contents, and returns the contents of its ranges
    /// afterwards. The re-run is not charged to the job.
    pub(crate) fn run_alone(
        &mut self,
        dispatch: &Dispatch,
        contents: &[Vec<u32>],
        workgroup: [u32; 3],
    ) -> Result<Vec<Vec<AtomicU32>>, Fault> {
        self.collect()?;
        let mut ranges = Vec::new();
        for ((group, range), words) in dispatch.ranges().zip(contents) {
            ranges.push((group, self.copy_of(&range, words)?));
        }
        let pipeline = &dispatch.pipeline;
        let mut copy =
            Dispatch { pipeline: pipeline.clone(), groups: [const { None }; 3], workgroups: dispatch.workgroups };
        for ((index, layout), slot) in (0..).zip(&pipeline.state().layouts).zip(&mut copy.groups) {
            let own: Vec<_> =
                ranges.iter().filter(|(group, _)| *group == index).map(|(_, range)| range.clone()).collect();
            if !own.is_empty() {
                *slot = Some(super::encoder::SetGroup::at_zero(self.group(layout, own, None)?));
            }
        }
        let alone = Action::Run(Slice { dispatch: &copy, offset: workgroup, size: [1; 3] });
        let budget = self.budget();
        self.backend.submit(&[alone], budget, &self.waits)?;
        self.backend.collect(&self.waits)?;
        ranges.iter().map(|(_, range)| self.contents(range)).collect()
    }

    /// A new buffer with these words, bound like `range`.
    fn copy_of(&mut self, range: &Range, words: &[u32]) -> Result<Range, Fault> {
        let usage = BufferUsage { storage: true, uniform: true };
        let size = range.size.next_multiple_of(4);
        let memory = self.backend.allocate(size, usage)?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.backend.write(&memory, 0, &mut Source::Slice(&bytes), &self.waits)?;
        let buffer = Buffer::new(size, usage, memory, None);
        Ok(Range { entry: range.entry, buffer, offset: 0, size: range.size })
    }

    pub(super) fn group(
        &mut self,
        layout: &BindGroupLayout,
        ranges: Vec<Range>,
        charge: Option<HostCharge>,
    ) -> Result<BindGroup, Fault> {
        let made = self.backend.bind(layout, &ranges)?;
        Ok(BindGroup::new(layout.clone(), ranges, made, charge))
    }
}

/// Whether the dispatches of a pipeline can be replayed.
pub(crate) fn is_replayable(pipeline: &ComputePipeline) -> bool {
    pipeline.state().lowered.is_some()
}
