//! The CPU device's thread and what it has to do.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use isobit_shader::dp32::{INVOCATION_FUEL, Status, SystemParams};
use isobit_shader::interpreter::{Buffers, Program, RaceReport, Races, Stopped, SystemBuffers};

use super::Words;
use crate::stop::ASK_EVERY;
use crate::{DeviceError, DeviceFault, KernelUse, Stop};

/// How long anything is waited for unless [`crate::Device::set_patience`] says otherwise: 10 minutes, a long kernel.
const PATIENCE: Duration = Duration::from_secs(600);

/// Submissions under way before a further one waits.
const MAX_SUBMISSIONS: u64 = 64;

/// Races that are reported in all.
const MAX_RACES: usize = 64;

/// A dispatch is run in parts, each but for the first few at least this long.
const PART_TIME: Duration = Duration::from_millis(20);

/// A pipeline's kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) program: Program,
    /// What the guest wrote.
    pub(super) source: Arc<str>,
    /// Per workgroup.
    pub(super) invocations: u64,
    /// Kernel fuel per workgroup, loops aside.
    pub(super) cost: u64,
    /// Whether loops cost fuel: under profile dp32.
    pub(super) metered: bool,
    /// Whether its workgroups report their end.
    pub(super) reports: bool,
}

/// A range of a buffer, bound.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) group: u32,
    pub(super) binding: u32,
    pub(super) buffer: Arc<Words>,
    /// In words.
    pub(super) offset: usize,
    pub(super) words: usize,
}

impl Bound {
    fn range(&self) -> &[AtomicU32] {
        self.buffer.get(self.offset..self.offset + self.words).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) kernel: Arc<Kernel>,
    pub(super) bound: Vec<Bound>,
    pub(super) workgroups: [u32; 3],
}

/// A checked command. Places and lengths are in words.
#[derive(Debug)]
pub(super) enum Step {
    Dispatch(Dispatch),
    Copy { from: (Arc<Words>, usize), to: (Arc<Words>, usize), words: usize },
    Clear { at: (Arc<Words>, usize), words: usize },
}

/// The device's end of the queue. Dropping it ends what is under way.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Vec<Step>>,
    shared: Arc<Shared>,
    patience: Duration,
    stop: Stop,
    submitted: u64,
}

/// What a [`CpuDevice`](crate::CpuDevice) has found out about races so far; outlives it.
#[derive(Clone, Debug, Default)]
pub struct RaceLog(Arc<Mutex<RaceReport>>);

impl RaceLog {
    /// What was found in the dispatches that have been waited for: up to 64 races in all, of which no two are of the same
    /// places in the source.
    pub fn report(&self) -> RaceReport {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RaceReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
    stop: AtomicBool,
    kernel_limit: AtomicU64,
    /// Where to report races, if they are looked for.
    races: Mutex<Option<RaceLog>>,
}

#[derive(Debug, Default)]
struct Progress {
    done: u64,
    kernels: KernelUse,
    /// What a kernel's report shows to be impossible.
    wrong: Option<String>,
    /// The thread has ended.
    gone: bool,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn races(&self) -> MutexGuard<'_, Option<RaceLog>> {
        self.races.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something to look for races with, if they are to be looked for.
    fn new_races(&self, kernel: &Kernel) -> Option<Races> {
        self.races().as_ref().map(|_| Races::new(Arc::clone(&kernel.source), MAX_RACES))
    }

    fn report(&self, found: Option<Races>) {
        if let (Some(log), Some(found)) = (&*self.races(), found) {
            log.lock().add(found.into_report(), MAX_RACES);
        }
    }
}

impl Queue {
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::new(Shared {
            progress: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            kernel_limit: AtomicU64::new(u64::MAX),
            races: Mutex::default(),
        });
        let worker = Worker(Arc::clone(&shared));
        std::thread::Builder::new().name("cpu-device".to_owned()).spawn(move || worker.run(&receiver))?;
        Ok(Self { sender, shared, patience: PATIENCE, stop: Stop::default(), submitted: 0 })
    }

    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(super) fn set_stop(&mut self, stop: Stop) {
        self.stop = stop;
    }

    pub(super) fn set_kernel_limit(&mut self, limit: u64) {
        self.shared.kernel_limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn detect_races(&mut self) -> RaceLog {
        self.shared.races().get_or_insert_default().clone()
    }

    pub(super) fn submit(&mut self, steps: Vec<Step>) -> Result<(), DeviceError> {
        if steps.is_empty() {
            return Ok(());
        }
        drop(self.wait(MAX_SUBMISSIONS)?);
        self.sender.send(steps).map_err(|_| lost())?;
        self.submitted += 1;
        Ok(())
    }

    /// Waits until all that was submitted is done.
    pub(super) fn drain(&mut self) -> Result<(), DeviceError> {
        self.wait(0).map(drop)
    }

    /// What kernels have cost, once all have run.
    pub(super) fn settle(&mut self) -> Result<KernelUse, DeviceError> {
        Ok(self.wait(0)?.kernels)
    }

    /// Waits until no more than so many submissions are under way.
    fn wait(&self, most: u64) -> Result<MutexGuard<'_, Progress>, DeviceError> {
        let start = Instant::now();
        let mut progress = self.shared.progress();
        loop {
            if let Some(what) = &progress.wrong {
                return Err(DeviceFault::Miscomputed { what: what.clone() }.into());
            }
            if progress.gone {
                return Err(lost());
            }
            if self.submitted - progress.done <= most {
                return Ok(progress);
            }
            let left = self.patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(DeviceFault::TimedOut { after: self.patience }.into());
            }
            self.stop.check()?;
            progress = self
                .shared
                .changed
                .wait_timeout(progress, left.min(ASK_EVERY))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn lost() -> DeviceError {
    DeviceFault::Lost { reason: "its thread has ended".to_owned() }.into()
}

/// The thread's end of the queue.
struct Worker(Arc<Shared>);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.progress().gone = true;
        self.0.changed.notify_all();
    }
}

impl Worker {
    fn run(self, receiver: &mpsc::Receiver<Vec<Step>>) {
        while let Ok(steps) = receiver.recv() {
            for step in steps {
                if self.step(&step).is_err() {
                    return;
                }
            }
            self.0.progress().done += 1;
            self.0.changed.notify_all();
        }
    }

    fn step(&self, step: &Step) -> Result<(), Stopped> {
        match step {
            Step::Dispatch(dispatch) => return self.dispatch(dispatch),
            Step::Copy { from: (from, from_at), to: (to, to_at), words } => {
                let from = from.get(*from_at..from_at + words).unwrap_or_default();
                let to = to.get(*to_at..to_at + words).unwrap_or_default();
                for (from, to) in from.iter().zip(to) {
                    to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
            Step::Clear { at: (buffer, at), words } => {
                for word in buffer.get(*at..at + words).unwrap_or_default() {
                    word.store(0, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    fn dispatch(&self, dispatch: &Dispatch) -> Result<(), Stopped> {
        let Dispatch { kernel, bound, workgroups } = dispatch;
        let all = workgroups.iter().fold(1, |all: u64, side| all.saturating_mul(u64::from(*side)));
        let limit = self.0.kernel_limit.load(Ordering::Relaxed);
        if !self.spend(all.saturating_mul(kernel.cost), false, limit) {
            return Ok(());
        }
        // A kernel of profile native may turn its loops as often as it likes.
        let budget = if kernel.metered {
            u32::try_from(limit).unwrap_or(INVOCATION_FUEL).min(INVOCATION_FUEL)
        } else {
            u32::MAX
        };
        let system = SystemBuffers::new(SystemParams { budget, ..SystemParams::whole(*workgroups) });
        let mut buffers = Buffers::new();
        for bound in bound {
            buffers.bind(bound.group, bound.binding, bound.range());
        }
        buffers.bind_system(&system);
        let mut races = self.0.new_races(kernel);
        // In parts, so that a dispatch which breaks the limit does not go on for days.
        let (mut from, mut part, mut counted) = (0, 1, 0);
        let status = loop {
            let start = Instant::now();
            let to = all.min(from + part);
            match &mut races {
                Some(races) => {
                    kernel.program.run_part_watched(&buffers, *workgroups, from..to, &self.0.stop, races)?;
                }
                None => kernel.program.run_part(&buffers, *workgroups, from..to, &self.0.stop)?,
            }
            from = to;
            let status = system.status(kernel.invocations);
            let fuel = if kernel.metered { status.loop_fuel } else { 0 };
            let left = self.spend(fuel.saturating_sub(counted), kernel.metered && status.spent, limit);
            counted = fuel;
            if from >= all {
                break status;
            }
            if !left {
                self.0.report(races);
                return Ok(());
            }
            if start.elapsed() < PART_TIME {
                part = part.saturating_mul(2);
            }
        };
        self.0.report(races);
        self.judge(kernel, all, status);
        Ok(())
    }

    /// Looks for what is impossible in the report of a dispatch of `all` workgroups that has run to its end.
    fn judge(&self, kernel: &Kernel, all: u64, status: Status) {
        let finished = u64::from(status.finished);
        let expected = if kernel.reports { all & u64::from(u32::MAX) } else { 0 };
        if finished != expected || status.left_loop || (status.spent && !kernel.metered) {
            let what = format!("of {all} workgroups {finished} came to their end: {status:?}");
            self.0.progress().wrong.get_or_insert(what);
        }
    }

    /// Counts fuel. Whether there is any left.
    fn spend(&self, fuel: u64, spent: bool, limit: u64) -> bool {
        let kernels = &mut self.0.progress().kernels;
        kernels.fuel = kernels.fuel.saturating_add(fuel);
        kernels.spent |= spent || kernels.fuel > limit;
        !kernels.spent
    }
}
