//! The timeline: what a job's device does, when, and for how long. Each dispatch is waited for, so that its time is its own; results and costs stay
//! the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use isobit_job::Fault;

use super::encoder::{Dispatch, Step};
use super::observer::Observer;
use super::queue::Queue;
use super::resources::{PipelineState, Range};

/// The most kernels that are told apart. Further ones are counted as one.
const MAX_KERNELS: usize = 1024;

/// The most spans that are kept: 100 000 * 56 B. Sums go on beyond it.
const MAX_SPANS: usize = 100_000;

/// What a job's device did. It outlives the job's device.
#[derive(Clone, Debug, Default)]
pub struct Timeline(Arc<Mutex<Recorder>>);

#[derive(Debug, Default)]
struct Recorder {
    recording: Recording,
    /// The places of pipelines among the kernels, by number.
    places: HashMap<u64, usize>,
}

/// What a [`Timeline`] holds so far.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The kernels, in the order of their first dispatches.
    pub kernels: Vec<KernelTotals>,
    /// What else the device did.
    pub others: HashMap<Activity, Totals>,
    /// What it did one after the other: the first 100 000 of them.
    pub spans: Vec<Span>,
    /// How many spans there were besides.
    pub more_spans: u64,
    /// When the last of them ended.
    pub until: Option<Instant>,
}

/// All dispatches of a kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelTotals {
    /// The name of its entry point, or the first part of a long one; empty for all the kernels after the first 1024.
    pub entry_point: String,
    /// Invocations per workgroup.
    pub workgroup_size: [u32; 3],
    /// How many dispatches there were, how long they took, and the bytes of all ranges that were bound to them.
    pub totals: Totals,
    /// Bytes of the bound ranges that it may write.
    pub writable_bytes: u64,
    /// Workgroups of all dispatches.
    pub workgroups: u64,
    /// Kernel fuel of all dispatches.
    pub fuel: u64,
}

/// What something took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How often it was done.
    pub count: u64,
    /// How long it took.
    pub time: Duration,
    /// The bytes that were moved, or that could be.
    pub bytes: u64,
}

/// What a device does besides running kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// Rewrites and compiles a kernel.
    Compile,
    /// Makes a buffer.
    Allocate,
    /// Writes a buffer.
    Write,
    /// Reads a buffer.
    Read,
    /// Copies and clears buffers, encodes, and waits.
    Queue,
}

/// Something that a device did.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// What it was.
    pub what: SpanKind,
    /// When it began.
    pub begun: Instant,
    /// How long it took.
    pub time: Duration,
}

/// What a device did in a [`Span`].
#[derive(Clone, Copy, Debug)]
pub enum SpanKind {
    /// Ran a dispatch.
    Dispatch {
        /// The number of its kernel in [`Recording::kernels`].
        kernel: usize,
        /// Workgroups along x, y and z.
        workgroups: [u32; 3],
        /// Its kernel fuel.
        fuel: u64,
    },
    /// Something else.
    Other(Activity),
}

impl Timeline {
    /// What was recorded so far.
    pub fn recording(&self) -> Recording {
        self.lock().recording.clone()
    }

    /// Forgets everything, for a job that begins anew.
    pub fn clear(&self) {
        *self.lock() = Recorder::default();
    }

    /// Records something that began then and ends now. What kernels took of that time is theirs.
    pub(crate) fn add(&self, activity: Activity, bytes: u64, begun: Instant, before: Duration) {
        let mut recorder = self.lock();
        let recording = &mut recorder.recording;
        let of_kernels = recording.time_of_kernels().saturating_sub(before);
        let time = begun.elapsed().saturating_sub(of_kernels);
        recording.others.entry(activity).or_default().add(time, bytes);
        // The spans of kernels within it say the rest.
        match of_kernels.is_zero() {
            true => recording.keep(Span { what: SpanKind::Other(activity), begun, time }),
            false => recording.until = Some(Instant::now()),
        }
    }

    /// How long all kernels took so far.
    pub(crate) fn time_of_kernels(&self) -> Duration {
        self.lock().recording.time_of_kernels()
    }

    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    /// How long all kernels took together.
    pub fn time_of_kernels(&self) -> Duration {
        self.kernels.iter().map(|kernel| kernel.totals.time).sum()
    }

    fn keep(&mut self, span: Span) {
        self.until = Some(Instant::now());
        match self.spans.len() < MAX_SPANS {
            true => self.spans.push(span),
            false => self.more_spans = self.more_spans.saturating_add(1),
        }
    }
}

impl Recorder {
    /// The place of a pipeline among the kernels.
    fn place(&mut self, pipeline: &PipelineState) -> usize {
        if let Some(place) = self.places.get(&pipeline.serial) {
            return *place;
        }
        let kernels = &mut self.recording.kernels;
        let place = kernels.len().min(MAX_KERNELS);
        if place == kernels.len() {
            let is_known = place < MAX_KERNELS;
            kernels.push(KernelTotals {
                entry_point: if is_known { pipeline.name.to_string() } else { String::new() },
                workgroup_size: if is_known { pipeline.workgroup_size } else { [0; 3] },
                ..KernelTotals::default()
            });
        }
        if place < MAX_KERNELS {
            self.places.insert(pipeline.serial, place);
        }
        place
    }

    fn ran(&mut self, dispatch: &Dispatch, fuel: u64, begun: Instant, time: Duration) {
        let place = self.place(dispatch.pipeline.state());
        if let Some(kernel) = self.recording.kernels.get_mut(place) {
            let bytes = |is_counted: fn(&Range) -> bool| {
                let ranges = dispatch.ranges().filter(|(_, range)| is_counted(range));
                ranges.fold(0_u64, |sum, (_, range)| sum.saturating_add(range.size))
            };
            kernel.totals.add(time, bytes(|_| true));
            kernel.writable_bytes = kernel.writable_bytes.saturating_add(bytes(Range::is_written));
            kernel.workgroups = kernel.workgroups.saturating_add(dispatch.count());
            kernel.fuel = kernel.fuel.saturating_add(fuel);
        }
        let what = SpanKind::Dispatch { kernel: place, workgroups: dispatch.workgroups, fuel };
        self.recording.keep(Span { what, begun, time });
    }
}

impl Totals {
    fn add(&mut self, time: Duration, bytes: u64) {
        self.count = self.count.saturating_add(1);
        self.time = self.time.saturating_add(time);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Records every dispatch.
#[derive(Debug)]
pub(crate) struct TimelineObserver {
    timeline: Timeline,
    /// When the dispatch began that is running, and the kernel fuel of all before it.
    running: Option<(Instant, u64)>,
}

impl TimelineObserver {
    pub(crate) fn new(timeline: Timeline) -> Self {
        Self { timeline, running: None }
    }
}

impl Observer for TimelineObserver {
    fn choose(&mut self, steps: &[Step]) -> Vec<usize> {
        let is_dispatch = |step: &Step| matches!(step, Step::Dispatch(_));
        steps.iter().enumerate().filter(|(_, step)| is_dispatch(step)).map(|(number, _)| number).collect()
    }

    fn before(&mut self, _: usize, _: &Dispatch, queue: &mut Queue) -> Result<bool, Fault> {
        queue.drain()?;
        let fuel = queue.collect()?.fuel;
        self.running = Some((Instant::now(), fuel));
        Ok(true)
    }

    fn after(&mut self, dispatch: &Dispatch, queue: &mut Queue) -> Result<(), Fault> {
        queue.drain()?;
        let Some((begun, before)) = self.running.take() else { return Ok(()) };
        let time = begun.elapsed();
        let loops = queue.collect()?.fuel.saturating_sub(before);
        self.timeline.lock().ran(dispatch, dispatch.cost().saturating_add(loops), begun, time);
        Ok(())
    }
}
