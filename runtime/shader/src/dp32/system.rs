//! The system's bind group: the parameters and the report of a lowered kernel, how they lie in memory, and how modules declare
//! them.

use std::num::NonZeroU32;

use naga::{
    AddressSpace, ArraySize, GlobalVariable, Handle, MemoryDecorations, Module, ResourceBinding, Scalar, Span,
    StorageAccess, StructMember, Type, TypeInner, VectorSize,
};

use crate::GUEST_BIND_GROUPS;

/// The number of the system's bind group, after the guest's.
pub const SYSTEM_GROUP: u32 = GUEST_BIND_GROUPS;

/// The most fuel that one invocation may spend in a dispatch: 2²⁸ operations, less than a second on a fast device. A
/// workgroup cannot be split, so this bounds how long one holds the device.
pub const INVOCATION_FUEL: u32 = 1 << 28;

/// Bytes of [`SystemParams`] in a buffer.
pub const SYSTEM_PARAMS_BYTES: usize = 32;

/// How many counters the workgroups of a dispatch are spread over, to avoid contention for one.
pub(crate) const SLOTS: NonZeroU32 = NonZeroU32::new(64).unwrap();

/// Bytes of the buffer that a dispatch reports in.
pub const STATUS_BYTES: usize = 16 + SLOTS.get() as usize * 16;

/// The bits of `trap`, see [`Status`].
pub(crate) const SPENT: u32 = 1;
pub(crate) const LEFT_LOOP: u32 = 2;

/// Numbers of the members of [`SystemParams`].
pub(crate) mod params {
    pub(crate) const WORKGROUP_OFFSET: u32 = 0;
    /// A zero that drivers do not know when they compile.
    pub(crate) const ZERO: u32 = 1;
    pub(crate) const NUM_WORKGROUPS: u32 = 2;
    pub(crate) const BUDGET: u32 = 3;
}

/// Numbers of the members of [`Status`], and of its slots.
pub(crate) mod status {
    pub(crate) const TRAP: u32 = 0;
    pub(crate) const FINISHED: u32 = 1;
    pub(crate) const SLOTS: u32 = 4;
    pub(crate) const UNIFORM: u32 = 0;
    pub(crate) const VARYING: u32 = 2;
}

/// The variable with the parameters; declares it if the module lacks it.
pub(crate) fn params(module: &mut Module) -> Handle<GlobalVariable> {
    let binding = ResourceBinding { group: SYSTEM_GROUP, binding: 0 };
    let declared = module.global_variables.iter().find(|(_, variable)| variable.binding == Some(binding));
    if let Some((handle, _)) = declared {
        return handle;
    }
    let uint = ty(module, None, TypeInner::Scalar(Scalar::U32));
    let uint3 = ty(module, None, TypeInner::Vector { size: VectorSize::Tri, scalar: Scalar::U32 });
    let members = vec![
        member("workgroup_offset", uint3, 0),
        member("zero", uint, 12),
        member("num_workgroups", uint3, 16),
        member("budget", uint, 28),
    ];
    let params = ty(module, Some("SystemParams"), TypeInner::Struct { members, span: 32 });
    declare(module, "system_params", StorageAccess::LOAD, binding, params)
}

/// Declares the variable with the status.
pub(crate) fn status(module: &mut Module) -> Handle<GlobalVariable> {
    let uint = ty(module, None, TypeInner::Scalar(Scalar::U32));
    let counter = ty(module, None, TypeInner::Atomic(Scalar::U32));
    let members = ["uniform_low", "uniform_high", "varying_low", "varying_high"].into_iter().zip([0, 4, 8, 12]);
    let members = members.map(|(name, offset)| member(name, counter, offset)).collect();
    let slot = ty(module, Some("SystemSlot"), TypeInner::Struct { members, span: 16 });
    let size = ArraySize::Constant(SLOTS);
    let slots = ty(module, None, TypeInner::Array { base: slot, size, stride: 16 });
    let members = vec![
        member("trap", counter, 0),
        member("finished", counter, 4),
        member("reserved_0", uint, 8),
        member("reserved_1", uint, 12),
        member("slots", slots, 16),
    ];
    let status = ty(module, Some("SystemStatus"), TypeInner::Struct { members, span: 16 + 16 * SLOTS.get() });
    let binding = ResourceBinding { group: SYSTEM_GROUP, binding: 1 };
    declare(module, "system_status", StorageAccess::LOAD | StorageAccess::STORE, binding, status)
}

fn ty(module: &mut Module, name: Option<&str>, inner: TypeInner) -> Handle<Type> {
    module.types.insert(Type { name: name.map(str::to_owned), inner }, Span::UNDEFINED)
}

fn member(name: &str, ty: Handle<Type>, offset: u32) -> StructMember {
    StructMember { name: Some(name.to_owned()), ty, binding: None, offset }
}

fn declare(
    module: &mut Module,
    name: &str,
    access: StorageAccess,
    binding: ResourceBinding,
    ty: Handle<Type>,
) -> Handle<GlobalVariable> {
    let variable = GlobalVariable {
        name: Some(name.to_owned()),
        space: AddressSpace::Storage { access },
        binding: Some(binding),
        ty,
        init: None,
        memory_decorations: MemoryDecorations::empty(),
    };
    module.global_variables.append(variable, Span::UNDEFINED)
}

/// The parameters of a slice of a dispatch, as `struct { workgroup_offset: vec3u, zero: u32, num_workgroups: vec3u, budget: u32 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemParams {
    /// Added to the workgroup ids of the slice.
    pub workgroup_offset: [u32; 3],
    /// The size of the whole dispatch, in workgroups.
    pub num_workgroups: [u32; 3],
    /// The most fuel that loops of one invocation may spend: [`INVOCATION_FUEL`], or the job's limit if that is less.
    pub budget: u32,
}

impl SystemParams {
    /// The parameters of a dispatch in one slice, with the largest budget.
    pub fn whole(num_workgroups: [u32; 3]) -> Self {
        Self { workgroup_offset: [0; 3], num_workgroups, budget: INVOCATION_FUEL }
    }

    /// The bytes as they lie in the buffer.
    pub fn to_bytes(self) -> [u8; SYSTEM_PARAMS_BYTES] {
        let [ox, oy, oz] = self.workgroup_offset;
        let [nx, ny, nz] = self.num_workgroups;
        let mut bytes = [0; SYSTEM_PARAMS_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip([ox, oy, oz, 0, nx, ny, nz, self.budget]) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }
}

/// The report of all dispatches of one workgroup size since the buffer was zeroed, as `struct { trap, finished, 0, 0: u32,
/// slots: array<struct { uniform: u64, varying: u64 }, 64> }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// An invocation has spent its budget.
    pub spent: bool,
    /// The device left a loop that had not ended (some drivers do so silently after many iterations): the results
    /// are worthless and the device is at fault.
    pub left_loop: bool,
    /// Workgroups of kernels with loops that have reached their end. A sum modulo 2³².
    pub finished: u32,
    /// Fuel spent in loops, over all invocations.
    pub loop_fuel: u64,
}

impl Status {
    /// Reads the report of workgroups of `invocations` invocations each. Missing bytes count as zeros.
    pub fn from_bytes(bytes: &[u8], invocations: u64) -> Self {
        let word = |index: usize| -> u32 {
            let at = bytes.get(index * 4..).and_then(<[u8]>::first_chunk::<4>);
            at.map_or(0, |word| u32::from_le_bytes(*word))
        };
        let wide = |index: usize| u64::from(word(index)) | u64::from(word(index + 1)) << 32;
        let mut loop_fuel = 0_u64;
        for slot in 0..SLOTS.get() as usize {
            let uniform = wide(4 + slot * 4).saturating_mul(invocations);
            loop_fuel = loop_fuel.saturating_add(uniform).saturating_add(wide(6 + slot * 4));
        }
        Self { spent: word(0) & SPENT != 0, left_loop: word(0) & LEFT_LOOP != 0, finished: word(1), loop_fuel }
    }
}
