//! What is handed to a device: the shapes of resources, and commands.

use isobit_shader::BufferBindingType;

use crate::{BindGroupId, BufferId, ComputePipelineId};

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

/// One slot of a bind group layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutEntry {
    /// The number in `@binding(n)`.
    pub binding: u32,
    /// How the shader uses the buffer.
    pub ty: BufferBindingType,
    /// Whether the offset is given with [`Command::SetBindGroup`].
    pub has_dynamic_offset: bool,
    /// The least size of the bound range in bytes; 0 leaves the check to each dispatch.
    pub min_binding_size: u64,
}

/// A buffer bound to one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// The number in `@binding(n)`.
    pub binding: u32,
    /// The buffer.
    pub buffer: BufferId,
    /// Where the bound range starts, in bytes; a multiple of 256.
    pub offset: u64,
    /// How long it is; none means up to the buffer's end.
    pub size: Option<u64>,
}

/// One recorded command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens a compute pass. State does not carry over from an earlier one.
    BeginPass,
    /// Chooses the pipeline of the dispatches that follow in this pass.
    SetPipeline(ComputePipelineId),
    /// Binds a group for the dispatches that follow in this pass.
    SetBindGroup {
        /// The number in `@group(n)`.
        index: u32,
        /// What to bind.
        group: BindGroupId,
        /// One offset for each dynamic slot, in the order of bindings; multiples of 256.
        dynamic_offsets: Vec<u32>,
    },
    /// Runs `x * y * z` workgroups.
    Dispatch {
        /// Workgroups along x.
        x: u32,
        /// Workgroups along y.
        y: u32,
        /// Workgroups along z.
        z: u32,
    },
    /// Ends the pass.
    EndPass,
    /// Copies between two different buffers, outside a pass. Offsets and size are multiples of 4.
    CopyBuffer {
        /// Copied from.
        source: BufferId,
        /// In bytes.
        source_offset: u64,
        /// Copied to.
        destination: BufferId,
        /// In bytes.
        destination_offset: u64,
        /// In bytes.
        size: u64,
    },
    /// Zeros part of a buffer, outside a pass. Offset and size are multiples of 4.
    ClearBuffer {
        /// The buffer.
        buffer: BufferId,
        /// In bytes.
        offset: u64,
        /// In bytes.
        size: u64,
    },
}
