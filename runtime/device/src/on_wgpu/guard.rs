//! The boundary to wgpu: every call that can fail goes through [`Guard`], which turns every error (an error scope's error, an
//! uncaptured error, a lost device, a panic) into a [`Fault`]. A guest's mistakes are found before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use isobit_job::{Fault, FaultKind};
use pollster::block_on;

use crate::core::backend::Waits;
use crate::stop::ASK_EVERY;

/// Stack for compiling a kernel: 256 MiB reserved, not committed. Compilers recurse as deep as a kernel nests.
const COMPILER_STACK_BYTES: usize = 256 << 20;

/// A wgpu device with its state of health.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) device: wgpu::Device,
    health: Arc<Health>,
}

/// Why the device can no longer be used, if it cannot.
#[derive(Debug, Default)]
struct Health(Mutex<Option<String>>);

impl Health {
    /// The first reason is kept: later ones follow from it.
    fn lose(&self, reason: String) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_none() {
            tracing::error!(target: "isobit::device", reason, "lost");
            *lost = Some(reason);
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*lost {
            Some(reason) => Err(Fault::new(FaultKind::DeviceLost, reason)),
            None => Ok(()),
        }
    }
}

impl Guard {
    pub(super) fn new(device: wgpu::Device) -> Self {
        let health = Arc::new(Health::default());
        let uncaptured = Arc::clone(&health);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.lose(error.to_string());
        }));
        let lost = Arc::clone(&health);
        device.set_device_lost_callback(move |reason, message| {
            lost.lose(format!("{reason:?}: {message}"));
        });
        Self { device, health }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        self.health.check()
    }

    /// Runs calls on wgpu under error scopes of every kind.
    pub(super) fn run<T>(&self, work: impl FnOnce(&wgpu::Device) -> T) -> Result<T, Fault> {
        self.check()?;
        let result = self.catch(|| self.scoped(work))?;
        if result.is_err() {
            // A lost device returns invalid objects, and reports the loss only when it is polled.
            self.poll(wgpu::PollType::Poll)?.ok();
        }
        self.check()?;
        result
    }

    /// Polls the device, which runs callbacks, including that of a lost device.
    pub(super) fn poll(&self, how: wgpu::PollType) -> Result<Result<wgpu::PollStatus, wgpu::PollError>, Fault> {
        let polled = self.catch(|| self.device.poll(how))?;
        self.check()?;
        Ok(polled)
    }

    /// As [`Guard::run`], on a thread with a deep stack: for calls that compile kernels. A driver may take minutes for that and cannot
    /// be interrupted. If the wait is given up, the thread goes on running.
    pub(super) fn compile<T: Send + 'static>(
        &self,
        waits: &Waits,
        work: impl FnOnce(&wgpu::Device) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let guard = self.clone();
        let (done, result) = mpsc::sync_channel(1);
        let compile = move || {
            // The receiver may have given up.
            let _ = done.send(guard.run(work));
        };
        let thread = thread::Builder::new().name("compile".to_owned()).stack_size(COMPILER_STACK_BYTES);
        thread.spawn(compile).map_err(|error| Fault::new(FaultKind::OutOfMemory, error))?;
        let start = Instant::now();
        loop {
            match result.recv_timeout(ASK_EVERY.min(waits.patience)) {
                Ok(result) => return result,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(self.panicked()),
                Err(mpsc::RecvTimeoutError::Timeout) => waits.stop.check()?,
            }
            if start.elapsed() >= waits.patience {
                return Err(waits.over());
            }
        }
    }

    /// Runs calls that return their errors: only a panic is turned into a fault.
    pub(super) fn catch<T>(&self, work: impl FnOnce() -> T) -> Result<T, Fault> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|_panic| self.panicked())
    }

    /// The fault for a failed operation: that the device is lost, or else `message`.
    pub(super) fn failed(&self, message: &str) -> Fault {
        self.check().err().unwrap_or_else(|| Fault::new(FaultKind::DriverFailed, message))
    }

    /// Waits for one submission, or for the latest.
    pub(super) fn wait_for(&self, index: Option<wgpu::SubmissionIndex>, waits: &Waits) -> Result<(), Fault> {
        let start = Instant::now();
        loop {
            waits.stop.check()?;
            // The timeout is also needed because software drivers have deadlocked on endless waits.
            let polled = self.poll(wgpu::PollType::Wait {
                submission_index: index.clone(),
                timeout: Some(ASK_EVERY.min(waits.patience)),
            })?;
            match polled {
                Ok(_) => return Ok(()),
                Err(wgpu::PollError::Timeout) if start.elapsed() < waits.patience => {}
                Err(wgpu::PollError::Timeout) => return Err(waits.over()),
                Err(error) => return Err(self.failed(&error.to_string())),
            }
        }
    }

    fn panicked(&self) -> Fault {
        self.health.lose("the driver's library panicked".to_owned());
        self.failed("the driver's library panicked")
    }

    fn scoped<T>(&self, work: impl FnOnce(&wgpu::Device) -> T) -> Result<T, Fault> {
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let value = work(&self.device);
        let internal = block_on(internal.pop());
        let memory = block_on(memory.pop());
        let validation = block_on(validation.pop());
        match memory.or(internal).or(validation) {
            None => Ok(value),
            Some(error) => Err(translate(error)),
        }
    }
}

fn translate(error: wgpu::Error) -> Fault {
    match error {
        wgpu::Error::OutOfMemory { .. } => Fault::new(FaultKind::OutOfMemory, "the driver has none for the device"),
        // Our own checks passed this, so it is unknown whether it is invalid on every device.
        wgpu::Error::Internal { description, .. } | wgpu::Error::Validation { description, .. } => {
            Fault::new(FaultKind::DriverFailed, flat(&description))
        }
    }
}

/// wgpu's indented list of causes as one line.
fn flat(description: &str) -> String {
    let causes = description.strip_prefix("Validation Error\n\nCaused by:\n").unwrap_or(description);
    let lines: Vec<&str> = causes.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(": ")
}
