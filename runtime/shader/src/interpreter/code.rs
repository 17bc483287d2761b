//! The instructions that a module is compiled to.
//!
//! A register holds one 32-bit word per lane (a lane is an invocation); values of composite types lie in consecutive
//! registers, without padding. A `bool` is a word of all ones or all zeros, like the masks. Values are
//! computed for every lane, whether or not it takes part. Only effects that can be seen later (assignments to
//! variables, stores, atomics) are masked.

use std::sync::Arc;

/// A register, by number; while compiling, a virtual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Reg(pub(super) u32);

impl Reg {
    /// Marks a register that has one word for all lanes.
    const UNIFORM: u32 = 1 << 31;

    pub(super) fn uniform(index: u32) -> Self {
        Self(index | Self::UNIFORM)
    }

    pub(super) fn is_uniform(self) -> bool {
        self.0 & Self::UNIFORM != 0
    }

    pub(super) fn index(self) -> usize {
        (self.0 & !Self::UNIFORM) as usize
    }

    /// The register with the number higher by `offset`.
    pub(super) fn at(self, offset: u32) -> Self {
        Self(self.0.saturating_add(offset))
    }
}

/// A set of lanes, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask(pub(super) u32);

/// The number of a label while its place in the code is not known; later, the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(pub(super) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnaryOp {
    Not,
    INegate,
    IAbs,
    ISign,
    CountOnes,
    LeadingZeros,
    TrailingZeros,
    ReverseBits,
    FirstLeadingSigned,
    FirstLeadingUnsigned,
    FirstTrailing,
    /// A word whose exponent bits are zero becomes 0.
    FFlush,
    FNegate,
    FAbs,
    FSqrt,
    FFloor,
    FCeil,
    FTrunc,
    FRound,
    FToI,
    FToU,
    IToF,
    UToF,
    /// All ones unless zero.
    IToBool,
    FToBool,
    BoolToI,
    BoolToF,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BinaryOp {
    And,
    Or,
    Xor,
    IAdd,
    ISub,
    IMul,
    IDiv,
    UDiv,
    IRem,
    URem,
    IMin,
    IMax,
    UMin,
    UMax,
    Shl,
    IShr,
    UShr,
    IEq,
    INe,
    ILt,
    ILe,
    ULt,
    ULe,
    FAdd,
    FSub,
    FMul,
    FDiv,
    FEq,
    FLt,
    FLe,
    DotI8,
    DotU8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitsOp {
    /// value, offset, count
    ExtractSigned,
    /// value, offset, count
    ExtractUnsigned,
    /// value, new bits, offset, count
    Insert,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtomicOp {
    Add,
    Sub,
    And,
    Or,
    Xor,
    IMin,
    IMax,
    UMin,
    UMax,
    Exchange,
    /// With the register of the value to compare with.
    CompareExchange(Reg),
}

/// The base of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// A variable or value in registers: the first, and how many.
    Registers(Reg, u32),
    /// Registers; the dynamic part is absolute, see [`Inst::Address`].
    Pointer,
    /// The workgroup's memory.
    Workgroup,
    /// A buffer, by its place in `Program::buffers`.
    Buffer(u32),
}

/// The dynamic part of an address that is out of bounds. Every address of at least this is out of bounds: a load from it gives
/// zero, a store does nothing. No memory has so many words, even with a member's offset added.
pub(super) const NOWHERE: u32 = 1 << 31;

/// An address: words from a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) base: Base,
    pub(super) offset: u32,
    pub(super) dynamic: Option<Reg>,
}

/// The number of elements that an index selects from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Fixed(u32),
    /// The run-time sized array that begins at this word of this buffer.
    Runtime {
        buffer: u32,
        offset: u32,
    },
}

/// Where the scalars of a composite lie in memory, in words; None: one after the other.
pub(super) type Scatter = Option<Arc<[u32]>>;

#[derive(Clone, Debug)]
pub(super) enum Inst {
    Nop,
    Copy {
        dst: Reg,
        src: Reg,
        count: u32,
    },
    /// Copies one register into several.
    Splat {
        dst: Reg,
        src: Reg,
        count: u32,
    },
    /// Assigns to a variable, in the lanes of the mask only.
    Assign {
        dst: Reg,
        src: Reg,
        count: u32,
        mask: Mask,
    },
    Unary {
        op: UnaryOp,
        dst: Reg,
        a: Reg,
        count: u32,
    },
    Binary {
        op: BinaryOp,
        dst: Reg,
        a: Reg,
        b: Reg,
        count: u32,
    },
    Bits {
        op: BitsOp,
        dst: Reg,
        value: Reg,
        bits: Reg,
        offset: Reg,
        length: Reg,
        count: u32,
    },
    /// `wide`: a condition per component.
    Select {
        dst: Reg,
        condition: Reg,
        accept: Reg,
        reject: Reg,
        count: u32,
        wide: bool,
    },
    /// dst = previous + index * stride; [`NOWHERE`] if the index is out of bounds or `previous` is nowhere.
    Index {
        dst: Reg,
        previous: Option<Reg>,
        index: Reg,
        length: Length,
        stride: u32,
    },
    ArrayLength {
        dst: Reg,
        buffer: u32,
        offset: u32,
        stride: u32,
    },
    /// The absolute register of a place in a variable.
    Address {
        dst: Reg,
        variable: Reg,
        length: u32,
        offset: u32,
        dynamic: Option<Reg>,
    },
    /// `atomic` loads and stores do not race with each other. A load's mask is only used by a `Watch`.
    Load {
        dst: Reg,
        place: Place,
        count: u32,
        scatter: Scatter,
        mask: Mask,
        atomic: bool,
    },
    Store {
        place: Place,
        src: Reg,
        count: u32,
        scatter: Scatter,
        mask: Mask,
        atomic: bool,
    },
    Atomic {
        op: AtomicOp,
        place: Place,
        value: Reg,
        dst: Option<Reg>,
        mask: Mask,
    },
    /// A barrier for accesses to buffers, to the workgroup's memory, or to both.
    Barrier {
        storage: bool,
        workgroup: bool,
    },

    /// accept = parent & condition; reject = parent & !condition
    MaskIf {
        parent: Mask,
        condition: Reg,
        accept: Mask,
        reject: Option<Mask>,
    },
    /// dst = the lanes of `parent` whose selector is one of the values (`none_of`: none of them). `accumulate`: adds them to
    /// `dst`.
    MaskCase {
        dst: Mask,
        parent: Mask,
        selector: Reg,
        values: Arc<[u32]>,
        none_of: bool,
        accumulate: bool,
    },
    MaskSet {
        dst: Mask,
        src: Mask,
    },
    MaskClear {
        dst: Mask,
    },
    MaskOr {
        dst: Mask,
        src: Mask,
    },
    /// dst = a | b: joins the two parts of a mask again. `returned`: the missing lanes have returned.
    MaskJoin {
        dst: Mask,
        a: Mask,
        b: Option<Mask>,
        returned: bool,
    },
    /// dst = body | continued: the lanes that take the next iteration of a loop that `outer` entered. `breaks`: the body may
    /// leave the loop.
    MaskTurn {
        dst: Mask,
        body: Mask,
        continued: Mask,
        outer: Mask,
        breaks: bool,
    },
    /// dst &= !src. `returned`: `src` has the lanes that have returned.
    MaskRemove {
        dst: Mask,
        src: Mask,
        returned: bool,
    },
    /// dst &= !condition
    MaskUnless {
        dst: Mask,
        condition: Reg,
    },
    Jump {
        target: Label,
    },
    JumpIfNone {
        mask: Mask,
        target: Label,
    },
    /// Back to the head of a loop.
    Repeat {
        mask: Mask,
        target: Label,
    },
    /// Enters a function; its lanes are those of `mask`.
    Call {
        function: u32,
        entry: Mask,
        mask: Mask,
    },
    Return,
}

/// How an instruction uses a range of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
    /// Written only in lanes of the mask.
    Assign(Mask),
    /// Written at any place in the range, or its address is taken.
    Expose,
}

impl Inst {
    /// Calls `see` with every range of registers that the instruction uses.
    pub(super) fn visit(&mut self, see: &mut dyn FnMut(Use, &mut Reg, u32)) {
        match self {
            Self::Nop
            | Self::Barrier { .. }
            | Self::MaskSet { .. }
            | Self::MaskClear { .. }
            | Self::MaskOr { .. }
            | Self::MaskJoin { .. }
            | Self::MaskTurn { .. }
            | Self::MaskRemove { .. }
            | Self::Jump { .. }
            | Self::JumpIfNone { .. }
            | Self::Repeat { .. }
            | Self::Call { .. }
            | Self::Return => {}
            Self::Copy { dst, src, count } => {
                see(Use::Read, src, *count);
                see(Use::Write, dst, *count);
            }
            Self::Splat { dst, src, count } => {
                see(Use::Read, src, 1);
                see(Use::Write, dst, *count);
            }
            Self::Assign { dst, src, count, mask } => {
                see(Use::Read, src, *count);
                see(Use::Assign(*mask), dst, *count);
            }
            Self::Unary { dst, a, count, .. } => {
                see(Use::Read, a, *count);
                see(Use::Write, dst, *count);
            }
            Self::Binary { dst, a, b, count, .. } => {
                see(Use::Read, a, *count);
                see(Use::Read, b, *count);
                see(Use::Write, dst, *count);
            }
            Self::Bits { dst, value, bits, offset, length, count, .. } => {
                see(Use::Read, value, *count);
                see(Use::Read, bits, *count);
                see(Use::Read, offset, 1);
                see(Use::Read, length, 1);
                see(Use::Write, dst, *count);
            }
            Self::Select { dst, condition, accept, reject, count, wide } => {
                see(Use::Read, condition, if *wide { *count } else { 1 });
                see(Use::Read, accept, *count);
                see(Use::Read, reject, *count);
                see(Use::Write, dst, *count);
            }
            Self::Index { dst, previous, index, .. } => {
                previous.iter_mut().for_each(|previous| see(Use::Read, previous, 1));
                see(Use::Read, index, 1);
                see(Use::Write, dst, 1);
            }
            Self::ArrayLength { dst, .. } => see(Use::Write, dst, 1),
            Self::Address { dst, variable, length, dynamic, .. } => {
                dynamic.iter_mut().for_each(|dynamic| see(Use::Read, dynamic, 1));
                see(Use::Expose, variable, *length);
                see(Use::Write, dst, 1);
            }
            Self::Load { dst, place, count, .. } => {
                place.dynamic.iter_mut().for_each(|dynamic| see(Use::Read, dynamic, 1));
                if let Base::Registers(reg, length) = &mut place.base {
                    see(Use::Read, reg, *length);
                }
                see(Use::Write, dst, *count);
            }
            Self::Store { place, src, count, .. } => {
                place.dynamic.iter_mut().for_each(|dynamic| see(Use::Read, dynamic, 1));
                if let Base::Registers(reg, length) = &mut place.base {
                    see(Use::Expose, reg, *length);
                }
                see(Use::Read, src, *count);
            }
            Self::Atomic { op, place, value, dst, .. } => {
                place.dynamic.iter_mut().for_each(|dynamic| see(Use::Read, dynamic, 1));
                see(Use::Read, value, 1);
                let mut results = 1;
                if let AtomicOp::CompareExchange(compare) = op {
                    see(Use::Read, compare, 1);
                    results = 2;
                }
                dst.iter_mut().for_each(|dst| see(Use::Write, dst, results));
            }
            Self::MaskIf { condition, .. } | Self::MaskUnless { condition, .. } => see(Use::Read, condition, 1),
            Self::MaskCase { selector, .. } => see(Use::Read, selector, 1),
        }
    }

    /// The label that it may jump to.
    pub(super) fn target_mut(&mut self) -> Option<&mut Label> {
        match self {
            Self::Jump { target } | Self::JumpIfNone { target, .. } | Self::Repeat { target, .. } => Some(target),
            _ => None,
        }
    }
}
