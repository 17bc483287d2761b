//! Resources as handles: a handle keeps its resource alive. There are no ids, so no lookup can fail and no handle is stale.

use std::sync::{Arc, OnceLock};

use isobit_shader::interpreter::Program;
use isobit_shader::{Binding, BufferBindingType, KernelError, Lowered};

use super::backend::{Compiled, Made};
use super::host_memory::HostCharge;
use super::ledger::Charge;
use super::workgroup_time::WorkgroupTime;

/// How a buffer may be bound. Besides, every buffer may be read, written, cleared and copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferUsage {
    /// `var<storage>`
    pub storage: bool,
    /// `var<uniform>`
    pub uniform: bool,
}

impl BufferUsage {
    /// As `var<storage>`.
    pub const STORAGE: Self = Self { storage: true, uniform: false };
    /// As `var<uniform>`.
    pub const UNIFORM: Self = Self { storage: false, uniform: true };
    /// As neither: for copies only.
    pub const NONE: Self = Self { storage: false, uniform: false };

    pub(crate) fn allows(self, ty: BufferBindingType) -> bool {
        match ty {
            BufferBindingType::Uniform => self.uniform,
            BufferBindingType::Storage | BufferBindingType::ReadOnlyStorage => self.storage,
        }
    }
}

/// Device memory. It counts against the job's limit until its last handle, and the last bind group and recorded command that
/// hold it, are dropped.
#[derive(Clone, Debug)]
pub struct Buffer(Arc<BufferState>);

#[derive(Debug)]
struct BufferState {
    size: u64,
    usage: BufferUsage,
    memory: Made,
    _charge: Option<(Charge, HostCharge)>,
}

impl Buffer {
    pub(crate) fn new(size: u64, usage: BufferUsage, memory: Made, charge: Option<(Charge, HostCharge)>) -> Self {
        Self(Arc::new(BufferState { size, usage, memory, _charge: charge }))
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    pub(crate) fn usage(&self) -> BufferUsage {
        self.0.usage
    }

    pub(crate) fn memory(&self) -> &Made {
        &self.0.memory
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One slot of a bind group layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayoutEntry {
    /// The number in `@binding(n)`.
    pub binding: u32,
    /// How the shader uses the buffer.
    pub ty: BufferBindingType,
    /// Whether the offset is given with [`CommandEncoder::set_bind_group`](super::CommandEncoder::set_bind_group).
    pub has_dynamic_offset: bool,
    /// The least size of the bound range in bytes; 0 leaves the check to each dispatch.
    pub min_binding_size: u64,
}

/// The slots of a bind group. Two layouts with the same entries are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BindGroupLayout(Arc<[LayoutEntry]>);

impl BindGroupLayout {
    /// A layout of entries that were checked and sorted by binding.
    pub(super) fn new(entries: Vec<LayoutEntry>) -> Self {
        Self(entries.into())
    }

    /// The entries, sorted by binding.
    pub(crate) fn entries(&self) -> &[LayoutEntry] {
        &self.0
    }
}

/// A buffer to be bound to one slot.
#[derive(Clone, Debug)]
pub struct GroupEntry {
    /// The number in `@binding(n)`.
    pub binding: u32,
    /// The buffer.
    pub buffer: Buffer,
    /// Where the bound range starts, in bytes; a multiple of 256.
    pub offset: u64,
    /// Its size in bytes; None: up to the buffer's end.
    pub size: Option<u64>,
}

/// A range of a buffer that is bound to a slot.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) entry: LayoutEntry,
    pub(crate) buffer: Buffer,
    /// In bytes, without a dynamic offset unless [`Dispatch::ranges`](super::Dispatch::ranges) has added it.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) size: u64,
}

impl Range {
    /// Whether a kernel may write to it.
    pub(crate) fn is_written(&self) -> bool {
        self.entry.ty == BufferBindingType::Storage
    }
}

/// Buffers bound together.
#[derive(Clone, Debug)]
pub struct BindGroup(Arc<GroupState>);

#[derive(Debug)]
struct GroupState {
    layout: BindGroupLayout,
    ranges: Vec<Range>,
    made: Made,
    _charge: Option<HostCharge>,
}

impl BindGroup {
    pub(crate) fn new(layout: BindGroupLayout, ranges: Vec<Range>, made: Made, charge: Option<HostCharge>) -> Self {
        Self(Arc::new(GroupState { layout, ranges, made, _charge: charge }))
    }

    pub(crate) fn layout(&self) -> &BindGroupLayout {
        &self.0.layout
    }

    /// One for each entry of the layout.
    pub(crate) fn ranges(&self) -> &[Range] {
        &self.0.ranges
    }

    pub(crate) fn made(&self) -> &Made {
        &self.0.made
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A compiled entry point.
#[derive(Clone, Debug)]
pub struct ComputePipeline(Arc<PipelineState>);

#[derive(Clone, Debug)]
pub(crate) struct PipelineState {
    /// Its number among the job's pipelines.
    pub(crate) serial: u64,
    pub(crate) layouts: Vec<BindGroupLayout>,
    /// The bindings that its entry point uses.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) workgroup_size: [u32; 3],
    pub(crate) workgroup_cost: u64,
    /// An estimate in nanoseconds.
    pub(crate) compile_time: u64,
    pub(crate) compiled: Compiled,
    /// How long its workgroups take.
    pub(crate) workgroup_time: Arc<WorkgroupTime>,
    /// Under profile dp32: the lowered kernel, with which dispatches are replayed.
    pub(crate) lowered: Option<Arc<Lowered>>,
    /// The same, compiled for the interpreter at the first use.
    pub(crate) interpreted: Arc<OnceLock<Result<Arc<Program>, KernelError>>>,
    /// The guest's WGSL text.
    pub(crate) source: Arc<str>,
    /// The name of its entry point, or the beginning of a long one.
    pub(crate) name: Box<str>,
    pub(crate) _charge: Option<Arc<HostCharge>>,
}

impl PipelineState {
    /// The kernel compiled for the interpreter; None under other profiles than dp32.
    pub(crate) fn interpreted(&self) -> Result<Option<Arc<Program>>, KernelError> {
        let Some(lowered) = &self.lowered else { return Ok(None) };
        let compile = || Program::compile(lowered.module(), lowered.info()).map(Arc::new);
        self.interpreted.get_or_init(compile).clone().map(Some)
    }
}

impl ComputePipeline {
    pub(crate) fn new(state: PipelineState) -> Self {
        Self(Arc::new(state))
    }

    /// Invocations per workgroup, with overrides resolved.
    pub fn workgroup_size(&self) -> [u32; 3] {
        self.0.workgroup_size
    }

    /// How long a driver may have taken to compile it, in nanoseconds: an estimate from the kernel alone, the same on every device.
    pub fn compile_time(&self) -> u64 {
        self.0.compile_time
    }

    /// Kernel fuel of one workgroup, metered loops aside. Under profile dp32 this is the cost of one invocation times the number
    /// of invocations; under others, the number of invocations. The same on every device.
    pub fn workgroup_cost(&self) -> u64 {
        self.0.workgroup_cost
    }

    /// Invocations per workgroup in all.
    pub(crate) fn invocations(&self) -> u32 {
        self.0.workgroup_size.iter().product()
    }

    pub(crate) fn state(&self) -> &PipelineState {
        &self.0
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
