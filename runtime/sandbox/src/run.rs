//! The run of a job, from its preparation to its outcome and cost.

use crate::ending::{Ending, classify};
use crate::engine::{CompiledWorkload, EPOCH_TICK, Entry};
use crate::host::HostState;
use crate::job::Job;
use crate::rewrite::NATIVE_STACK;
use crate::rules::rules;
use isobit_device::Stop;
use isobit_job::{Cost, Fault, FaultKind, Fuel, LimitName, Outcome, Rules, Trap, Unread};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use wasmtime::{Store, UpdateDeadline};

/// The most bytes that a guest may hand over in one host call, and so the most that the host allocates for
/// one: the largest buffer of class base, 256 MiB, in one write, and 1 MiB for all else. Bulk bytes are borrowed in place and
/// allocate nothing, but wasmtime counts them alike.
pub const HOSTCALL_BYTES: usize = (256 << 20) + (1 << 20);

/// Stack for host calls: parsing WGSL, and drivers.
const HOST_STACK: usize = 64 << 20;

/// Bytes of a page of linear memory.
const WASM_PAGE: u64 = 64 << 10;

/// Stops a running job from another thread.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends the job as faulted with [`FaultKind::Cancelled`] within some 10 ms, or when its host call returns.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A job with its inputs, device and sinks, not started.
pub struct PreparedJob {
    workload: CompiledWorkload,
    store: Store<HostState>,
    rules: Rules,
    fuel: u64,
    interrupt: Interrupt,
    /// Why the host stopped the job, once it has.
    stopped: Arc<OnceLock<FaultKind>>,
    /// Whether the guest's `run` has been called.
    entered: bool,
}

/// A job that has run to an outcome.
pub struct FinishedJob {
    /// The rules that the run went by.
    pub rules: Rules,
    /// Completed or trapped.
    pub outcome: Outcome,
    /// What it cost.
    pub cost: Cost,
    /// The parameters and inputs that the guest never read.
    pub unread: Unread,
}

impl CompiledWorkload {
    /// Puts a job together. Nothing of the guest runs yet.
    ///
    /// # Errors
    /// Fails if the workload or the inputs are not those of the spec.
    pub fn prepare(&self, job: Job) -> Result<PreparedJob, Fault> {
        if job.spec.workload.hash != self.workload() || !job.spec.inputs.keys().eq(job.inputs.keys()) {
            return Err(Fault::new(FaultKind::Internal, "the job's spec and its files do not belong together"));
        }
        let interrupt = Interrupt::default();
        let stopped = Arc::new(OnceLock::new());
        let (fuel, compile_fuel) = (job.spec.limits.fuel.get(), job.spec.compile_fuel());
        let rules = rules(job.spec.profile);
        let deadline = job.deadline;
        let is_command = matches!(self.entry, Entry::Command(_));
        let (asked, why) = (interrupt.clone(), Arc::clone(&stopped));
        // Called while the guest runs and while the host waits for the device.
        let stop = move || {
            let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let stop =
                if asked.requested() { Some(FaultKind::Cancelled) } else { is_late().then_some(FaultKind::Deadline) }?;
            why.set(stop).ok();
            Some(stop)
        };
        let mut store = Store::new(&self.engine, HostState::new(job, Stop::when(stop.clone()), is_command));
        store.limiter(|state| state.limiter());
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        // A spec whose fuel does not even pay for compiling is refused where it is read.
        store
            .set_fuel(fuel.saturating_sub(compile_fuel))
            .map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            Ok(if stop().is_some() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        Ok(PreparedJob { workload: self.clone(), store, rules, fuel, interrupt, stopped, entered: false })
    }
}

impl PreparedJob {
    /// A handle that stops the job while [`run`](Self::run) is at work.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Instantiates the workload and calls its `run`, on a thread with the stack that this needs. Blocks until the job has ended.
    ///
    /// # Errors
    /// Fails for the provider's own trouble. An end that follows from the job is an [`Outcome`], not an error.
    pub fn run(self) -> Result<FinishedJob, Fault> {
        let thread = std::thread::Builder::new().name("guest".to_owned()).stack_size(NATIVE_STACK + HOST_STACK);
        std::thread::scope(|scope| match thread.spawn_scoped(scope, || self.run_here()) {
            Ok(guest) => guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => Err(Fault::new(FaultKind::OutOfMemory, error)),
        })
    }

    fn run_here(mut self) -> Result<FinishedJob, Fault> {
        let ticker = match Ticker::start(&self.workload) {
            Ok(ticker) => ticker,
            Err(error) => {
                self.store.into_data().abandon();
                return Err(Fault::new(FaultKind::OutOfMemory, error));
            }
        };
        let result = self.enter();
        drop(ticker);
        match self.outcome(result) {
            Ok((outcome, cost)) => {
                let state = self.store.into_data();
                let unread = state.unread();
                state.finish()?;
                Ok(FinishedJob { rules: self.rules, outcome, cost, unread })
            }
            Err(fault) => {
                self.store.into_data().abandon();
                Err(fault)
            }
        }
    }

    /// The outcome and the cost of the run.
    fn outcome(&mut self, result: wasmtime::Result<Result<(), String>>) -> Result<(Outcome, Cost), Fault> {
        let left = self.store.get_fuel().unwrap_or(0);
        let stopped = self.stopped.get().copied();
        let state = self.store.data_mut();
        let mut outcome = match result {
            Ok(Ok(())) => Outcome::Completed,
            Ok(Err(message)) => Outcome::Trapped(Trap::guest_error(&message)),
            Err(error) => classify(&error, state.memory_denied(), self.entered, stopped)?,
        };
        let guest_fuel = self.fuel.saturating_sub(left).saturating_add(state.host_fuel());
        if guest_fuel > self.fuel {
            outcome = Outcome::Trapped(Trap::Fuel);
        }
        // Work still on the device belongs to the job, however the guest has ended.
        if outcome != Outcome::Trapped(Trap::KernelFuel) {
            match state.settle().and_then(|()| state.wait()) {
                Ok(()) => {}
                Err(Ending::Trapped(trap)) => outcome = Outcome::Trapped(trap),
                Err(Ending::Fault(fault)) => return Err(self.stopped.get().copied().map_or(fault, Fault::from)),
            }
        }
        let cost = Cost {
            guest_fuel: Fuel::try_from(guest_fuel.min(self.fuel)).unwrap_or(Fuel::MAX),
            kernel_fuel: state.kernel_fuel(),
            input_bytes: state.input_bytes(),
            output_bytes: state.output_bytes(),
        };
        Ok((outcome, cost))
    }

    fn enter(&mut self) -> wasmtime::Result<Result<(), String>> {
        self.store.data_mut().start().map_err(Ending::raise)?;
        // The pool maps a memory of its initial size before it asks the limiter, and the system may refuse that.
        let required = self.workload.entry.pre().component().resources_required();
        let largest = required.and_then(|required| required.max_initial_memory_size).unwrap_or(0);
        if largest.saturating_mul(WASM_PAGE) > self.store.data().guest_memory() {
            return Err(Ending::limit(LimitName::GuestMemory).raise());
        }
        match self.workload.entry.clone() {
            Entry::Workload(workload) => {
                let instance = workload.instantiate(&mut self.store)?;
                self.entered = true;
                instance.call_run(&mut self.store)
            }
            Entry::Command(command) => {
                let instance = command.instantiate(&mut self.store)?;
                self.entered = true;
                let result = instance.wasi_cli_run().call_run(&mut self.store)?;
                Ok(result.map_err(|()| "the command failed".to_owned()))
            }
        }
    }
}

/// Advances the engine's epoch while a job runs, so that its epoch callback is called every tick.
struct Ticker {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(workload: &CompiledWorkload) -> io::Result<Self> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let engine = workload.engine.clone();
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while stopped.recv_timeout(EPOCH_TICK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.send(()).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
