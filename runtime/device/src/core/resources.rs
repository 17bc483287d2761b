//! Resources as handles: whoever holds one keeps what is behind it. There are no ids, so nothing is looked up and nothing is stale.

use std::sync::{Arc, OnceLock};

use isobit_shader::interpreter::Program;
use isobit_shader::{Binding, BufferBindingType, KernelError, Lowered};

use super::backend::{Compiled, Made};
use super::ledger::Charge;
use super::workgroup_time::WorkgroupTime;

/// What a buffer may be bound as. Every buffer may besides be read, written, cleared and copied.
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

/// Device memory. It counts against the job's limit until the last of its handles, of the bind groups and of the recorded
/// commands that hold it is gone.
#[derive(Clone, Debug)]
pub struct Buffer(Arc<BufferState>);

#[derive(Debug)]
struct BufferState {
    size: u64,
    usage: BufferUsage,
    memory: Made,
    _charge: Option<Charge>,
}

impl Buffer {
    pub(crate) fn new(size: u64, usage: BufferUsage, memory: Made, charge: Option<Charge>) -> Self {
        Self(Arc::new(BufferState { size, usage, memory, _charge: charge }))
    }

    /// Its bytes.
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

/// What a bind group is made for. Two layouts with the same entries are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BindGroupLayout(Arc<[LayoutEntry]>);

impl BindGroupLayout {
    /// Of entries that were checked and sorted by binding.
    pub(super) fn new(entries: Vec<LayoutEntry>) -> Self {
        Self(entries.into())
    }

    /// By binding.
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
    /// How long it is; none means up to the buffer's end.
    pub size: Option<u64>,
}

/// A buffer's range in a slot.
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
}

impl BindGroup {
    pub(crate) fn new(layout: BindGroupLayout, ranges: Vec<Range>, made: Made) -> Self {
        Self(Arc::new(GroupState { layout, ranges, made }))
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
    /// Which of the job's pipelines it is.
    pub(crate) serial: u64,
    pub(crate) layouts: Vec<BindGroupLayout>,
    /// What its entry point uses.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) workgroup_size: [u32; 3],
    pub(crate) workgroup_cost: u64,
    pub(crate) compiled: Compiled,
    /// How long its workgroups take.
    pub(crate) workgroup_time: Arc<WorkgroupTime>,
    /// Under profile dp32: what replays it.
    pub(crate) lowered: Option<Arc<Lowered>>,
    /// The same for the interpreter, once it was wanted.
    pub(crate) interpreted: Arc<OnceLock<Result<Arc<Program>, KernelError>>>,
    /// What the guest wrote.
    pub(crate) source: Arc<str>,
}

impl PipelineState {
    /// The kernel as the interpreter runs it; none under another profile than dp32.
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

    /// Invocations per workgroup, overrides resolved.
    pub fn workgroup_size(&self) -> [u32; 3] {
        self.0.workgroup_size
    }

    /// Kernel fuel that one workgroup costs before it runs: its invocations, each (under profile dp32) at what it executes
    /// outside of loops. The same on every device.
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
