//! The host side of `wit/`: one file per interface, over the state of one job.

mod fuel;
pub(crate) mod gpu;
pub(crate) mod io;
pub(crate) mod limiter;
pub(crate) mod report;
mod wasi;

pub use self::wasi::MAX_ARCHIVED;

use self::fuel::HostFuel;
use self::io::{OutputBytes, OutputHandle};
use self::limiter::MemoryLimiter;
use self::wasi::{Files, VirtualClock};
use crate::ending::Ending;
use crate::job::{Input, Job, OutputSink, Reporter};
use isobit_device::{DeviceError, Gpu, JobLimits, Stop};
use isobit_job::{Bytes, Fault, FaultKind, Fuel, Limits, Name, Profile, Trap, Unread};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Generated from `wit/`; the traits are implemented in the files next to this one.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated code")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "isobit:compute/workload",
        imports: { default: trappable },
        with: {
            "isobit:compute/io.input": crate::host::io::InputHandle,
            "isobit:compute/io.output": crate::host::io::OutputHandle,
            "isobit:compute/gpu.buffer": isobit_device::Buffer,
            "isobit:compute/gpu.shader-module": crate::host::gpu::ShaderModule,
            "isobit:compute/gpu.bind-group-layout": isobit_device::BindGroupLayout,
            "isobit:compute/gpu.bind-group": isobit_device::BindGroup,
            "isobit:compute/gpu.compute-pipeline": isobit_device::ComputePipeline,
            "isobit:compute/gpu.command-encoder": crate::host::gpu::CommandEncoder,
            "isobit:compute/gpu.compute-pass": crate::host::gpu::ComputePass,
            "isobit:compute/gpu.command-buffer": isobit_device::CommandBuffer,
        },
        trappable_error_type: {
            "isobit:compute/gpu.error" => crate::host::gpu::Failure,
            "isobit:compute/io.error" => crate::host::io::Failure,
        },
    });
}

/// The most handles of all kinds that a guest may hold at once: 64 Ki entries * some 100 B.
pub const MAX_HANDLES: usize = 64 << 10;

/// Everything that host calls of one job work on.
pub(crate) struct HostState {
    table: ResourceTable,
    wasi: WasiCtx,
    fuel: HostFuel,
    clock: VirtualClock,
    /// Taken out only while a bulk write borrows guest memory.
    gpu: Option<Gpu>,
    params: BTreeMap<Name, String>,
    unread_params: BTreeSet<Name>,
    limits: Limits,
    profile: Profile,
    inputs: BTreeMap<Name, Arc<Input>>,
    unread_inputs: BTreeSet<Name>,
    sink: Box<dyn OutputSink>,
    created: BTreeSet<Name>,
    output_bytes: OutputBytes,
    /// What a command has for files; none for other guests.
    files: Option<Files>,
    /// The fuel as of the last `settle`, plus the static cost of what was submitted since.
    kernel_fuel: u64,
    reporter: Arc<dyn Reporter>,
    limiter: MemoryLimiter,
}

impl HostState {
    /// The state of a job before its guest runs; `is_command` says which world the guest is of.
    pub(crate) fn new(job: Job, stop: Stop, is_command: bool) -> Self {
        let fuel = HostFuel::new(job.spec.limits.fuel.get().saturating_sub(job.spec.compile_fuel()));
        let output_bytes = OutputBytes::new(job.spec.limits.output_bytes.get());
        let inputs: BTreeMap<_, _> = job.inputs.into_iter().map(|(name, input)| (name, Arc::new(input))).collect();
        let mut created = BTreeSet::new();
        let (mut command, mut files) = (None, None);
        if let Some(stdout) = wasi::stdout().filter(|_| is_command) {
            let output = OutputHandle::new(&output_bytes, &fuel);
            command = Some(wasi::Command::new(&inputs, output.clone()));
            files = Some(Files::new(stdout.clone(), output));
            created.insert(stdout);
        }
        let wasi = wasi::context(&job.spec, &job.reporter, &fuel, command);
        let limits = JobLimits {
            memory: job.spec.limits.device_memory.get(),
            kernel_fuel: job.spec.limits.kernel_fuel.get(),
            class: job.spec.class,
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let mut state = Self {
            table,
            wasi,
            fuel,
            clock: VirtualClock::default(),
            gpu: Some(job.device.start(limits, stop)),
            unread_params: job.spec.params.keys().cloned().collect(),
            unread_inputs: inputs.keys().cloned().collect(),
            params: job.spec.params,
            limiter: MemoryLimiter::new(job.spec.limits.guest_memory.get()),
            limits: job.spec.limits,
            profile: job.spec.profile,
            inputs,
            sink: job.outputs,
            created,
            output_bytes,
            files,
            kernel_fuel: 0,
            reporter: job.reporter,
        };
        if is_command {
            state.arguments_are_read();
        }
        state
    }

    /// Tells that the guest starts, and opens what it has open from the start.
    pub(crate) fn start(&mut self) -> Result<(), Ending> {
        self.reporter.started();
        let outputs = self.files.iter().flat_map(Files::outputs);
        for (name, output) in outputs {
            output.open(&mut *self.sink, name)?;
        }
        Ok(())
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limiter
    }

    /// The most bytes of all linear memories together.
    pub(crate) fn guest_memory(&self) -> u64 {
        self.limits.guest_memory.get()
    }

    /// Whether the guest's last request for memory was refused.
    pub(crate) fn memory_denied(&self) -> bool {
        self.limiter.denied()
    }

    /// Charges the guest for `count` times something of this price.
    fn charge(&self, count: u64, price: u64) -> Result<(), Ending> {
        self.fuel.charge(count, price)
    }

    /// What host calls have cost beside what the guest's own code has spent for them.
    pub(crate) fn host_fuel(&self) -> u64 {
        self.fuel.spent()
    }

    pub(crate) fn kernel_fuel(&self) -> Fuel {
        Fuel::try_from(self.kernel_fuel).unwrap_or(Fuel::MAX)
    }

    /// Bytes of all inputs that the job names.
    pub(crate) fn input_bytes(&self) -> Bytes {
        Bytes::saturating_from(self.inputs.values().fold(0, |sum: u64, input| sum.saturating_add(input.size)))
    }

    /// Bytes that were appended to outputs.
    pub(crate) fn output_bytes(&self) -> Bytes {
        Bytes::saturating_from(self.output_bytes.written())
    }

    /// The parameters and inputs that the guest has not read so far.
    pub(crate) fn unread(&self) -> Unread {
        Unread {
            params: self.unread_params.iter().cloned().collect(),
            inputs: self.unread_inputs.iter().cloned().collect(),
        }
    }

    /// Waits for all submitted work.
    pub(crate) fn wait(&mut self) -> Result<(), Ending> {
        let waited = self.gpu()?.wait();
        waited.map_err(trouble)
    }

    /// Counts what kernels have cost, and checks it against the limit. Called only where the guest waits for the device,
    /// and at the job's end: so a job that runs out of fuel ends at the same place on every device.
    pub(crate) fn settle(&mut self) -> Result<(), Ending> {
        let used = self.gpu()?.settle().map_err(trouble)?;
        if used.spent || used.fuel > self.limits.kernel_fuel.get() {
            return Err(self.out_of_kernel_fuel());
        }
        self.kernel_fuel = used.fuel;
        Ok(())
    }

    /// The end of a job that has spent its kernel fuel. Its cost is then exactly the limit.
    fn out_of_kernel_fuel(&mut self) -> Ending {
        self.kernel_fuel = self.limits.kernel_fuel.get();
        Ending::Trapped(Trap::KernelFuel)
    }

    fn gpu(&mut self) -> Result<&mut Gpu, Ending> {
        let gpu = self.gpu.as_mut();
        gpu.ok_or_else(|| Fault::new(FaultKind::Internal, "the device is in use by another call").into())
    }

    /// Drops everything but the device, which is leaked: closing a device in trouble may never return. The process of
    /// a faulted job ends soon.
    pub(crate) fn abandon(mut self) {
        std::mem::forget(self.gpu.take());
    }

    /// Finishes the outputs that the guest left open, and drops everything.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        if let Some(files) = &self.files {
            files.finish()?;
        }
        for entry in self.table.iter_mut() {
            if let Some(output) = entry.downcast_mut::<OutputHandle>() {
                output.finish()?;
            }
        }
        Ok(())
    }
}

/// The end of a job by an error of the device that the guest did not cause: a fault.
fn trouble(error: DeviceError) -> Ending {
    match error {
        DeviceError::Fault(fault) => fault.into(),
        other => Fault::new(FaultKind::Internal, other).into(),
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Links everything that the world offers, and WASI for guests whose standard library imports it.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    // Bulk calls are linked a second time, by hand: they borrow guest memory in place.
    linker.allow_shadowing(true);
    wasi::add_to_linker(&mut linker)?;
    bindings::Workload::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    io::link_bulk(&mut linker)?;
    gpu::link_bulk(&mut linker)?;
    Ok(linker)
}
