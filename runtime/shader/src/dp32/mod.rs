//! Profile dp32: a kernel rewritten so that every device computes the same bits.
//!
//! Two stages, each a pure function from module to module:
//!
//! 1. [`define`](self) turns what WGSL leaves open into *primitives* with one meaning: builtins become calls of
//!    helper functions (`prelude/`), indices become unsigned, loops are metered, subnormals are flushed where moved
//!    bits enter arithmetic, and zeros and NaNs are made canonical where the bits of its results can be seen. The result is a
//!    [`Lowered`]; the interpreter runs it as it is.
//! 2. [`Lowered::realize`] replaces each floating-point primitive by a form that every driver computes alike:
//!    native arithmetic behind a barrier ([`Tier::A`]) or integers only ([`Tier::B`]).
//!
//! # Primitives
//!
//! On `f32` scalars and vectors, component by component. Operands and results of arithmetic are normal numbers, zeros (whose
//! sign may vary), ±∞ or NaNs (whose payload may vary), never subnormal. Values that are only moved may have any bits.
//!
//! | in naga's IR | meaning |
//! |---|---|
//! | `Binary` Add, Subtract | rounded to nearest even; a result with abs(r) < 2⁻¹²⁶ is +0 |
//! | `Binary` Multiply | rounded to nearest even; a result with abs(r) ≤ 2⁻¹²⁶ is +0 |
//! | `Binary` Divide | correctly rounded; abs(r) ≤ 2⁻¹²⁶ (after rounding without bound on the exponent) is zero; x/0 is ∞ with the sign of x, 0/0 and ∞/∞ are NaN |
//! | `Math::Sqrt` | correctly rounded; of zero zero, of a negative number NaN |
//! | `Unary` Negate, `Math::Abs` | the sign bit flipped, cleared |
//! | `Math::Floor`, `Ceil`, `Trunc`, `Round` | exact, ties to even; ∞ and NaN pass through |
//! | `Binary` Equal, Less, LessEqual, Greater, GreaterEqual | IEEE: false with a NaN, −0 = +0. NotEqual does not occur: it becomes `!(a == b)` |
//! | `As` f32 → i32, u32 | truncates, stops at the nearest number that both types have, NaN gives 0 |
//! | `As` i32, u32 → f32 | rounds to nearest even |
//! | `As` bitcasts, `Load`, `Store`, `Select`, data movement | the bits, untouched |
//! | `Access` with an index (u32) out of bounds | a load gives zero; a store or an atomic does nothing |
//!
//! After the first stage there are no other operations on `f32`.

mod check;
mod define;
mod link;
pub(crate) mod pointers;
mod realize;
mod sharing;
mod system;
pub(crate) mod unavailable;
pub(crate) mod uniformity;

use naga::valid::ModuleInfo;
use naga::{Module, ShaderStage, Span};

pub use check::{MAX_CALL_DEPTH, MAX_VALUE_BYTES, MAX_VARIABLE_BYTES};
pub(crate) use check::{check, check_bounds};
pub use sharing::{Order, Unproved};
pub use system::{INVOCATION_FUEL, STATUS_BYTES, SYSTEM_GROUP, SYSTEM_PARAMS_BYTES, Status, SystemParams};
pub(crate) use unavailable::check as check_available;

use self::define::Defined;
pub use self::define::MAX_CONTROL_DEPTH;
pub(crate) use self::define::Meter;
use self::uniformity::Uniformity;
use crate::refusal::defect;
use crate::validate::validate;
use crate::{EntryPoint, KernelError, Refusal, SourceLocation};

/// The version of the pass. It changes whenever a kernel could give other bits or have another cost. Claims made under
/// different versions cannot be compared.
pub const PASS_VERSION: u32 = 2;

/// How the primitives are carried out on a device. Both tiers give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Native arithmetic, with each result flushed and behind a barrier. For devices that pass the probe.
    A,
    /// Integers only. For devices that fail the probe.
    B,
}

/// One entry point in its dp32 form: a module of primitives with the system's `@group(3)`.
///
/// `@group(3) @binding(0)` is a read-only storage buffer of [`SystemParams`], `@binding(1)` a storage buffer that starts as
/// zeros and is read as [`Status`].
#[derive(Clone, Debug)]
pub struct Lowered {
    module: Module,
    info: ModuleInfo,
    entry_point: EntryPoint,
    invocation_cost: u32,
    reports: bool,
    loops: Vec<LoopCost>,
    unproved: Vec<Unproved>,
}

/// The cost of a metered loop: one whose number of iterations is not known before the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopCost {
    /// Where the loop is in the source.
    pub location: Option<SourceLocation>,
    /// Kernel fuel of one iteration, without the metered loops in it.
    pub iteration: u32,
}

impl Lowered {
    /// The module, with one entry point of the guest's name.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The result of validating the module.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// The entry point as the guest sees it: without the system's group.
    pub fn entry_point(&self) -> &EntryPoint {
        &self.entry_point
    }

    /// Whether its workgroups report their end, see [`Status`]. Those of a kernel without loops do not: nothing can cut them
    /// short, and in many of them the report would take longer than the rest.
    pub fn reports(&self) -> bool {
        self.reports
    }

    /// Kernel fuel of one invocation, without metered loops. The cost of those is counted on the device, see [`Status`].
    pub fn invocation_cost(&self) -> u32 {
        self.invocation_cost
    }

    /// The metered loops, in the order of the source.
    pub fn loops(&self) -> &[LoopCost] {
        &self.loops
    }

    /// The variables for which the text does not prove that the order of invocations does not matter.
    pub fn unproved(&self) -> &[Unproved] {
        &self.unproved
    }

    /// The module as a device of this tier gets it, validated.
    ///
    /// # Errors
    /// The rewritten module is too large, or, because of a defect, does not validate.
    pub fn realize(&self, tier: Tier) -> Result<Module, KernelError> {
        crate::on_deep_stack("", || realize::realize(&self.module, &self.info, tier))
    }

    pub(crate) fn with_loops(self, loops: Vec<LoopCost>) -> Self {
        Self { loops, ..self }
    }
}

/// The first stage. `module` has no overrides left and has passed [`check`]. Also returns the metered loops, in the order of
/// the source, with the cost of one iteration of each.
pub(crate) fn lower(
    module: &Module,
    info: &ModuleInfo,
    entry_point: &EntryPoint,
    uniformity: &Uniformity,
    meter: Meter,
) -> Result<(Lowered, Vec<(Span, u32)>), Refusal> {
    let index = module
        .entry_points
        .iter()
        .position(|entry| entry.stage == ShaderStage::Compute && entry.name == entry_point.name)
        .ok_or_else(|| defect("the entry point is not in its module"))?;
    let unproved = sharing::unproved(module);
    let Defined { module, invocation_cost, reports, loops } = define::define(module, info, index, uniformity, meter)?;
    if invocation_cost > INVOCATION_FUEL {
        return Err(Refusal::new(format!(
            "an invocation of `{}` costs more than the {INVOCATION_FUEL} that it may spend, loops of unknown length aside",
            entry_point.name
        )));
    }
    let info = validate(&module)?;
    let entry_point = entry_point.clone();
    Ok((Lowered { module, info, entry_point, invocation_cost, reports, loops: Vec::new(), unproved }, loops))
}
