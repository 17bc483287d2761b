//! The interface of backends. A backend carries out actions that the core has checked and resolved. It has no ids, rules or
//! policy of its own, and all its errors are [`Fault`]s: a guest's mistakes are found before.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use isobit_job::{Fault, FaultKind};
use isobit_shader::dp32::Status;
use isobit_shader::{Lowered, Resolved};

use super::batch::Action;
use super::resources::{BindGroupLayout, BufferUsage, Range};
use crate::{DeviceInfo, Readback, Source, Stop};

/// A device as one job uses it, on some API or none.
pub(crate) trait Backend: Send + fmt::Debug {
    /// The device's name, kind and driver.
    fn info(&self) -> &DeviceInfo;

    /// Allocates `size` bytes, filled with zeros.
    fn allocate(&mut self, size: u64, usage: BufferUsage) -> Result<Made, Fault>;

    /// Makes a bind group of these ranges, in the order of the layout's entries.
    fn bind(&mut self, layout: &BindGroupLayout, ranges: &[Range]) -> Result<Made, Fault>;

    /// Compiles a kernel.
    fn compile(&mut self, kernel: &Compile<'_>, waits: &Waits) -> Result<Compiled, Fault>;

    /// Writes all of `source`, after all submitted work.
    fn write(&mut self, to: &Made, offset: u64, source: &mut Source<'_>, waits: &Waits) -> Result<(), Fault>;

    /// Reads `length` bytes, after all submitted work.
    fn read(&mut self, from: &Made, offset: u64, length: u64, waits: &Waits) -> Result<Readback, Fault>;

    /// Begins to carry out actions in order, after all work submitted before, and may return while they run.
    /// `budget` is the most fuel that loops of one invocation may spend under profile dp32.
    fn submit(&mut self, actions: &[Action<'_>], budget: u32, waits: &Waits) -> Result<Ticket, Fault>;

    /// Waits for a submission; without a ticket, for all of them.
    fn wait(&mut self, ticket: Option<Ticket>, waits: &Waits) -> Result<(), Fault>;

    /// Adds up the reports of kernels since the last call, after all submitted work.
    fn collect(&mut self, waits: &Waits) -> Result<Report, Fault>;
}

/// The number of a submission. Later submissions have larger numbers.
pub(crate) type Ticket = u64;

/// A resource that a backend has made: memory, a bind group, a program. Only that backend knows its type.
#[derive(Clone)]
pub(crate) struct Made(Arc<dyn Any + Send + Sync>);

impl Made {
    pub(crate) fn new(what: impl Any + Send + Sync) -> Self {
        Self(Arc::new(what))
    }

    /// The resource itself.
    ///
    /// # Errors
    /// It was made by another backend: a defect in the program that embeds this crate.
    pub(crate) fn get<T: Any>(&self) -> Result<&T, Fault> {
        let found = self.0.downcast_ref();
        found.ok_or_else(|| Fault::new(FaultKind::Internal, "a resource of another device was used"))
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

/// An entry point to be compiled. It has passed every check.
pub(crate) struct Compile<'a> {
    /// As the guest wrote it.
    pub(crate) kernel: &'a Resolved,
    /// The form that the device runs instead; None under profile native.
    pub(crate) lowered: Option<&'a Arc<Lowered>>,
    pub(crate) layouts: &'a [BindGroupLayout],
}

/// A compiled kernel.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) made: Made,
    /// Whether its dispatches may be run in slices without any invocation being able to tell.
    pub(crate) is_sliced: bool,
}

/// The reports of kernels, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// Fuel spent in loops.
    pub(crate) loop_fuel: u64,
    /// An invocation has spent its budget.
    pub(crate) spent: bool,
}

impl Report {
    /// Adds the report of `workgroups` workgroups.
    ///
    /// # Errors
    /// The report shows that the device has left a loop early, or has not run all workgroups.
    pub(crate) fn add(&mut self, status: &Status, workgroups: u32) -> Result<(), Fault> {
        if status.left_loop {
            return Err(FaultKind::LeftLoop.into());
        }
        if status.finished != workgroups {
            let what = format!("of {workgroups} workgroups {} reached their end", status.finished);
            return Err(Fault::new(FaultKind::Miscomputed, what));
        }
        self.loop_fuel = self.loop_fuel.saturating_add(status.loop_fuel);
        self.spent |= status.spent;
        Ok(())
    }
}

/// How long a call may wait.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    /// For the device, and for readbacks to be dropped.
    pub(crate) patience: Duration,
    pub(crate) stop: Stop,
}

impl Waits {
    /// The fault for a wait that has lasted too long.
    pub(crate) fn over(&self) -> Fault {
        Fault::new(FaultKind::DeviceTimeout, format_args!("it was waited for {} s", self.patience.as_secs()))
    }
}
