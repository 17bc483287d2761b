//! The CPU device's thread and its tasks.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use isobit_job::{Fault, FaultKind};
use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, Stopped, SystemBuffers};

use super::Words;
use crate::core::backend::{Report, Ticket, Waits};
use crate::stop::ASK_EVERY;

/// The most submissions under way. A further one waits.
const MAX_SUBMISSIONS: u64 = 64;

/// A pipeline's kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) program: Program,
    /// Invocations per workgroup.
    pub(super) invocations: u64,
    /// Whether loops cost fuel, as they do under profile dp32.
    pub(super) metered: bool,
    /// Whether its workgroups report their end.
    pub(super) reports: bool,
}

/// A range of a buffer, bound.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) group: u32,
    pub(super) binding: u32,
    pub(super) buffer: Arc<Words>,
    pub(super) words: Range<usize>,
}

/// A task of the thread. Offsets and lengths are in words.
#[derive(Debug)]
pub(super) enum Task {
    /// Runs the workgroups of a dispatch whose numbers, counted along x, then y, then z, are in `part`.
    Run {
        kernel: Arc<Kernel>,
        bound: Vec<Bound>,
        workgroups: [u32; 3],
        part: Range<u64>,
    },
    Copy {
        from: (Arc<Words>, usize),
        to: (Arc<Words>, usize),
        words: usize,
    },
    Clear {
        at: (Arc<Words>, usize),
        words: usize,
    },
}

#[derive(Debug)]
struct Submission {
    tasks: Vec<Task>,
    budget: u32,
}

/// The device's handle to the thread. Dropping it stops the work under way.
#[derive(Debug)]
pub(super) struct Worker {
    sender: mpsc::Sender<Submission>,
    shared: Arc<Shared>,
    submitted: u64,
}

#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Progress {
    done: u64,
    /// The reports of kernels since the last call of `collect`.
    report: Report,
    /// The fault if the report of a kernel shows an impossible result.
    fault: Option<Fault>,
    /// The thread has ended.
    gone: bool,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let shared =
            Arc::new(Shared { progress: Mutex::default(), changed: Condvar::new(), stop: AtomicBool::new(false) });
        let thread = Thread(Arc::clone(&shared));
        std::thread::Builder::new().name("cpu-device".to_owned()).spawn(move || thread.run(&receiver))?;
        Ok(Self { sender, shared, submitted: 0 })
    }

    pub(super) fn submit(&mut self, tasks: Vec<Task>, budget: u32, waits: &Waits) -> Result<Ticket, Fault> {
        drop(self.wait_until(self.submitted.saturating_sub(MAX_SUBMISSIONS), waits)?);
        self.sender.send(Submission { tasks, budget }).map_err(|_| lost())?;
        self.submitted += 1;
        Ok(self.submitted)
    }

    /// Waits for a submission; without a ticket, for all of them.
    pub(super) fn wait(&self, ticket: Option<Ticket>, waits: &Waits) -> Result<(), Fault> {
        self.wait_until(ticket.unwrap_or(self.submitted), waits).map(drop)
    }

    /// Waits for all submitted work. Returns the reports of kernels since the last call.
    pub(super) fn collect(&mut self, waits: &Waits) -> Result<Report, Fault> {
        Ok(std::mem::take(&mut self.wait_until(self.submitted, waits)?.report))
    }

    /// Waits until so many submissions are done.
    fn wait_until(&self, done: u64, waits: &Waits) -> Result<MutexGuard<'_, Progress>, Fault> {
        let start = Instant::now();
        let mut progress = self.shared.progress();
        loop {
            if let Some(fault) = &progress.fault {
                return Err(fault.clone());
            }
            if progress.gone {
                return Err(lost());
            }
            if progress.done >= done {
                return Ok(progress);
            }
            let left = waits.patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(waits.over());
            }
            waits.stop.check()?;
            let waited = self.shared.changed.wait_timeout(progress, left.min(ASK_EVERY));
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
    }
}

fn lost() -> Fault {
    Fault::new(FaultKind::DeviceLost, "its thread has ended")
}

/// Marks the thread as gone when it ends.
struct Thread(Arc<Shared>);

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.progress().gone = true;
        self.0.changed.notify_all();
    }
}

impl Thread {
    fn run(self, receiver: &mpsc::Receiver<Submission>) {
        while let Ok(Submission { tasks, budget }) = receiver.recv() {
            for task in tasks {
                if self.task(task, budget).is_err() {
                    return;
                }
            }
            self.0.progress().done += 1;
            self.0.changed.notify_all();
        }
    }

    fn task(&self, task: Task, budget: u32) -> Result<(), Stopped> {
        match task {
            Task::Run { kernel, bound, workgroups, part } => self.kernel(&kernel, &bound, workgroups, part, budget)?,
            Task::Copy { from: (from, from_at), to: (to, to_at), words } => {
                let from = from.get(from_at..from_at + words).unwrap_or_default();
                let to = to.get(to_at..to_at + words).unwrap_or_default();
                for (from, to) in from.iter().zip(to) {
                    to.store(from.load(Relaxed), Relaxed);
                }
            }
            Task::Clear { at: (buffer, at), words } => {
                for word in buffer.get(at..at + words).unwrap_or_default() {
                    word.store(0, Relaxed);
                }
            }
        }
        Ok(())
    }

    fn kernel(
        &self,
        kernel: &Kernel,
        bound: &[Bound],
        workgroups: [u32; 3],
        part: Range<u64>,
        budget: u32,
    ) -> Result<(), Stopped> {
        // Loops of a kernel of profile native may have any number of iterations.
        let budget = if kernel.metered { budget } else { u32::MAX };
        let system = SystemBuffers::new(SystemParams { budget, ..SystemParams::whole(workgroups) });
        let mut buffers = Buffers::new();
        for Bound { group, binding, buffer, words } in bound {
            buffers.bind(*group, *binding, buffer.get(words.clone()).unwrap_or_default());
        }
        buffers.bind_system(&system);
        let all = u32::try_from((part.end - part.start) & u64::from(u32::MAX)).unwrap_or(0);
        kernel.program.run_part(&buffers, workgroups, part, &self.0.stop)?;
        let status = system.status(kernel.invocations);
        let mut report = Report::default();
        let fault = match report.add(&status, if kernel.reports { all } else { 0 }) {
            Ok(()) if kernel.metered => None,
            Ok(()) if report.spent => Some(Fault::new(FaultKind::Internal, "an unmetered loop turned too often")),
            Ok(()) => return Ok(()),
            Err(fault) => Some(fault),
        };
        let mut progress = self.0.progress();
        match fault {
            Some(fault) => {
                progress.fault.get_or_insert(fault);
            }
            None => {
                progress.report.loop_fuel = progress.report.loop_fuel.saturating_add(report.loop_fuel);
                progress.report.spent |= report.spent;
            }
        }
        Ok(())
    }
}
