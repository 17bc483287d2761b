//! The backend without a driver: interprets lowered kernels on all cores of this machine.
//!
//! Submitted work runs in order on a thread of the backend. Kernels of profile native also run in their dp32 form: native results
//! are never compared with other devices'.

mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use isobit_job::{DeviceClass, Fault, FaultKind};
use isobit_shader::KernelError;
use isobit_shader::interpreter::Program;

use self::worker::{Bound, Kernel, Task, Worker};
use crate::core::backend::{Backend, Compile, Compiled, Made, Report, Ticket, Waits};
use crate::core::{Action, BindGroupLayout, Range};
use crate::info::machine_memory;
use crate::{BufferUsage, DeviceInfo, DeviceKind, OpenError, Readback, Source, source};

type Words = Vec<AtomicU32>;

/// The CPU device, which every machine has.
#[derive(Debug)]
pub(crate) struct CpuBackend {
    info: DeviceInfo,
    worker: Worker,
}

impl CpuBackend {
    /// Starts the device's thread.
    pub(crate) fn open() -> Result<Self, OpenError> {
        let info = describe();
        let worker = Worker::start();
        let worker =
            worker.map_err(|error| OpenError::Refused { name: info.name.clone(), reason: error.to_string() })?;
        Ok(Self { info, worker })
    }
}

pub(crate) fn describe() -> DeviceInfo {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    DeviceInfo {
        name: "isobit CPU device".to_owned(),
        backend: "none".to_owned(),
        driver: "interpreter".to_owned(),
        driver_info: format!("{threads} threads"),
        vendor_id: 0,
        device_id: 0,
        kind: DeviceKind::Interpreter,
        memory: machine_memory(),
        classes: DeviceClass::ALL.to_vec(),
    }
}

fn words(memory: &Made) -> Result<&Arc<Words>, Fault> {
    memory.get()
}

/// Bytes as a number of words.
fn word(bytes: u64) -> usize {
    usize::try_from(bytes / 4).unwrap_or(usize::MAX)
}

/// An action with everything that it needs. It holds nothing that counts against the job's memory.
fn task(action: &Action<'_>) -> Result<Task, Fault> {
    Ok(match action {
        Action::Run(slice) => {
            let mut bound = Vec::new();
            for (group, range) in slice.dispatch.ranges() {
                let (buffer, first) = (Arc::clone(words(range.buffer.memory())?), word(range.offset));
                let words = first..first + word(range.size);
                bound.push(Bound { group, binding: range.entry.binding, buffer, words });
            }
            let kernel: &Arc<Kernel> = slice.dispatch.pipeline.state().compiled.made.get()?;
            let first = slice.first();
            let part = first..first + slice.workgroups();
            Task::Run { kernel: Arc::clone(kernel), bound, workgroups: slice.dispatch.workgroups, part }
        }
        Action::Copy(copy) => Task::Copy {
            from: (Arc::clone(words(copy.source.memory())?), word(copy.source_offset)),
            to: (Arc::clone(words(copy.destination.memory())?), word(copy.destination_offset)),
            words: word(copy.size),
        },
        Action::Clear(clear) => {
            Task::Clear { at: (Arc::clone(words(clear.buffer.memory())?), word(clear.offset)), words: word(clear.size) }
        }
    })
}

impl Backend for CpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn allocate(&mut self, size: u64, _: BufferUsage) -> Result<Made, Fault> {
        let mut words = Vec::new();
        let out_of_memory = |error| Fault::new(FaultKind::OutOfMemory, error);
        words.try_reserve_exact(word(size)).map_err(out_of_memory)?;
        words.resize_with(word(size), AtomicU32::default);
        Ok(Made::new(Arc::new(words)))
    }

    fn bind(&mut self, _: &BindGroupLayout, _: &[Range]) -> Result<Made, Fault> {
        Ok(Made::new(()))
    }

    fn compile(&mut self, kernel: &Compile<'_>, _: &Waits) -> Result<Compiled, Fault> {
        // Limits of this device alone must not be visible to a guest.
        let fault = KernelError::into_fault;
        let (lowered, metered) = match kernel.lowered {
            Some(lowered) => (Arc::clone(lowered), true),
            None => (Arc::new(kernel.kernel.lower().map_err(fault)?), false),
        };
        let program = Program::compile(lowered.module(), lowered.info()).map_err(fault)?;
        let invocations = lowered.entry_point().invocations();
        let kernel = Kernel { program, invocations, metered, reports: lowered.reports() };
        Ok(Compiled { made: Made::new(Arc::new(kernel)), is_sliced: true })
    }

    fn write(&mut self, to: &Made, offset: u64, source: &mut Source<'_>, waits: &Waits) -> Result<(), Fault> {
        let target = words(to)?;
        self.worker.wait(None, waits)?;
        let mut words = target.iter().skip(word(offset));
        let length = usize::try_from(source.length()).map_err(|_| FaultKind::OutOfMemory)?;
        let written = source.take(length, |bytes| {
            for (bytes, word) in bytes.as_chunks::<4>().0.iter().zip(&mut words) {
                word.store(u32::from_le_bytes(*bytes), Relaxed);
            }
        });
        written.map_err(source::unreadable)
    }

    fn read(&mut self, from: &Made, offset: u64, length: u64, waits: &Waits) -> Result<Readback, Fault> {
        let source = words(from)?;
        self.worker.wait(None, waits)?;
        let out_of_memory = || Fault::from(FaultKind::OutOfMemory);
        let length = usize::try_from(length).map_err(|_| out_of_memory())?;
        let mut bytes: Vec<u8> = Vec::new();
        bytes.try_reserve_exact(length.next_multiple_of(4)).map_err(|_| out_of_memory())?;
        let words = source.iter().skip(word(offset)).take(length.div_ceil(4));
        words.for_each(|word| bytes.extend_from_slice(&word.load(Relaxed).to_le_bytes()));
        Ok(Readback::new(bytes, 0..length))
    }

    fn submit(&mut self, actions: &[Action<'_>], budget: u32, waits: &Waits) -> Result<Ticket, Fault> {
        let tasks = actions.iter().map(task).collect::<Result<_, _>>()?;
        self.worker.submit(tasks, budget, waits)
    }

    fn wait(&mut self, ticket: Option<Ticket>, waits: &Waits) -> Result<(), Fault> {
        self.worker.wait(ticket, waits)
    }

    fn collect(&mut self, waits: &Waits) -> Result<Report, Fault> {
        self.worker.collect(waits)
    }
}
