//! The second stage: writes primitives in a form that every driver computes alike.
//!
//! # Tier A
//!
//! Every result of native arithmetic is flushed, as an integer, and then ORed with a zero that only the running device
//! knows (the barrier). Whatever a driver may still do to the operation itself must not matter:
//!
//! - *Contraction, reassociation, approximate forms* need two operations in a row; the barrier is between them.
//! - *Underflow* is gradual on some devices, abrupt on others, before or after rounding: see the thresholds
//!   in `expression`.
//! - *Identities that ignore infinities and NaNs*: 0·x = 0 needs a zero that the driver knows of, so every constant
//!   zero is replaced by the opaque one, or made opaque where it is taken out of a large value. Results of helper functions
//!   go through the barrier, and so do bits that are cast to a number: a driver could see constants in both. x−x = 0 needs
//!   two operands that the driver knows to be one value, so one of them is made distinct with the same zero; for x+(−x),
//!   every negation is.
//! - *Comparisons that ignore NaNs*, such as ¬(a<b) = (a≥b): a result counts only if an integer test finds no NaN.
//! - Division and square root are decided by integers, see `prelude/tier_a.wgsl`.
//!
//! # Tier B
//!
//! Every primitive is a call of an integer-only function in `prelude/tier_b.wgsl`.

mod bounds;
mod expression;
mod opaque;
mod statement;
mod write;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    Arena, Block, Constant, Expression, Function, GlobalVariable, Handle, Literal, Module, Scalar, Span, Type,
    TypeInner, VectorSize,
};

use self::bounds::Bounds;
use self::opaque::Zero;
use super::Tier;
use super::link::Linker;
use crate::dp32::system;
use crate::prelude::Library;
use crate::refusal::{Refusal, defect};

/// A scalar, or a vector of that many components.
type Width = Option<VectorSize>;

/// The most expressions in a realized module.
const MAX_EXPRESSIONS: usize = 4 << 20;

/// The helper functions of a tier, by width: scalars, then vectors of two to four.
type Libraries = [LazyLock<Result<Library, String>>; 4];

static TIER_A: Libraries = [
    LazyLock::new(|| library(Tier::A, None)),
    LazyLock::new(|| library(Tier::A, Some(VectorSize::Bi))),
    LazyLock::new(|| library(Tier::A, Some(VectorSize::Tri))),
    LazyLock::new(|| library(Tier::A, Some(VectorSize::Quad))),
];
static TIER_B: Libraries = [
    LazyLock::new(|| library(Tier::B, None)),
    LazyLock::new(|| library(Tier::B, Some(VectorSize::Bi))),
    LazyLock::new(|| library(Tier::B, Some(VectorSize::Tri))),
    LazyLock::new(|| library(Tier::B, Some(VectorSize::Quad))),
];

fn library(tier: Tier, width: Width) -> Result<Library, String> {
    let mut text = String::new();
    for (alias, scalar) in [("F", "f32"), ("I", "i32"), ("U", "u32"), ("B", "bool")] {
        text += &match width {
            None => format!("alias {alias} = {scalar};\n"),
            Some(size) => format!("alias {alias} = vec{}<{scalar}>;\n", u8::from(size)),
        };
    }
    text += include_str!("../../prelude/tier_common.wgsl");
    text += match tier {
        Tier::A => include_str!("../../prelude/tier_a.wgsl"),
        Tier::B => include_str!("../../prelude/tier_b.wgsl"),
    };
    Library::parse(&text)
}

/// Makes the module for a device out of a module of primitives.
pub(super) fn realize(module: &Module, info: &ModuleInfo, tier: Tier) -> Result<Module, Refusal> {
    let mut realizer = Realizer::new(module, tier)?;
    for (handle, function) in module.functions.iter() {
        let taken = realizer.function(function, &info[handle], false)?;
        let copy = realizer.out.functions.append(taken.function, module.functions.get_span(handle));
        realizer.functions.insert(handle, Callee { copy, takes_zero: taken.takes_zero });
    }
    for (index, entry) in module.entry_points.iter().enumerate() {
        let mut copy = entry.clone();
        copy.function = realizer.function(&entry.function, info.get_entry_point(index), true)?.function;
        realizer.out.entry_points.push(copy);
    }
    crate::validate::validate(&realizer.out)?;
    Ok(realizer.out)
}

/// A function of the source module in the new one.
#[derive(Clone, Copy)]
struct Callee {
    copy: Handle<Function>,
    takes_zero: bool,
}

/// A function as rewritten.
struct Rewritten {
    function: Function,
    takes_zero: bool,
}

/// The module being made, and what its functions share.
struct Realizer<'a> {
    source: &'a Module,
    tier: Tier,
    out: Module,
    functions: HashMap<Handle<Function>, Callee>,
    linkers: [Linker<'static>; 4],
    constants: HashMap<(i32, VectorSize), Handle<Constant>>,
    /// The system's parameters, one of which is the zero.
    params: Handle<GlobalVariable>,
    u32_type: Handle<Type>,
    expressions: usize,
}

impl<'a> Realizer<'a> {
    fn new(source: &'a Module, tier: Tier) -> Result<Self, Refusal> {
        let libraries: &'static Libraries = match tier {
            Tier::A => &TIER_A,
            Tier::B => &TIER_B,
        };
        let [x, y, z, w] = libraries.each_ref().map(|library| library.as_ref().map_err(defect).map(Linker::new));
        let mut out = source.clone();
        out.functions = Arena::new();
        out.entry_points.clear();
        let u32_type = out.types.insert(Type { name: None, inner: TypeInner::Scalar(Scalar::U32) }, Span::UNDEFINED);
        Ok(Self {
            source,
            tier,
            functions: HashMap::new(),
            linkers: [x?, y?, z?, w?],
            constants: HashMap::new(),
            params: system::params(&mut out),
            u32_type,
            out,
            expressions: 0,
        })
    }

    fn vector_constant(&mut self, value: i32, size: VectorSize) -> Handle<Constant> {
        let out = &mut self.out;
        *self.constants.entry((value, size)).or_insert_with(|| {
            let inner = TypeInner::Vector { size, scalar: Scalar::I32 };
            let ty = out.types.insert(Type { name: None, inner }, Span::UNDEFINED);
            let literal = out.global_expressions.append(Expression::Literal(Literal::I32(value)), Span::UNDEFINED);
            let init = out.global_expressions.append(Expression::Splat { size, value: literal }, Span::UNDEFINED);
            out.constants.append(Constant { name: None, ty, init }, Span::UNDEFINED)
        })
    }

    fn function(
        &mut self,
        function: &'a Function,
        info: &'a FunctionInfo,
        entry_point: bool,
    ) -> Result<Rewritten, Refusal> {
        let mut rewriter = Rewriter {
            realizer: self,
            source: function,
            info,
            out: Function {
                name: function.name.clone(),
                arguments: function.arguments.clone(),
                result: function.result.clone(),
                ..Function::default()
            },
            map: vec![None; function.expressions.len()],
            ints: HashMap::new(),
            bounds: Bounds::default(),
            inverted: HashSet::new(),
            zeros: [Zero::default(); 4],
            zero_word: None,
            block: Block::new(),
            emitting: None,
        };
        let takes_zero = rewriter.prologue(entry_point)?;
        let body = rewriter.block(&function.body)?;
        let mut out = rewriter.out;
        for (handle, name) in &function.named_expressions {
            if let Some(Some(copy)) = rewriter.map.get(handle.index()) {
                out.named_expressions.insert(*copy, name.clone());
            }
        }
        out.body = rewriter.block;
        out.body.extend_block(body);
        self.expressions += out.expressions.len();
        Ok(Rewritten { function: out, takes_zero })
    }
}

fn slot(width: Width) -> usize {
    match width {
        None => 0,
        Some(VectorSize::Bi) => 1,
        Some(VectorSize::Tri) => 2,
        Some(VectorSize::Quad) => 3,
    }
}

/// One function being rewritten.
struct Rewriter<'r, 'a> {
    realizer: &'r mut Realizer<'a>,
    source: &'a Function,
    info: &'a FunctionInfo,
    out: Function,
    /// The new expression for each expression of the source.
    map: Vec<Option<Handle<Expression>>>,
    /// The result of [`Rewriter::inverted_roots`].
    inverted: HashSet<Handle<Expression>>,
    /// Integer constants, placed on first use.
    ints: HashMap<(i32, Width), Handle<Expression>>,
    bounds: Bounds,
    zeros: [Zero; 4],
    /// The run-time zero as u32, as it is passed to callees.
    zero_word: Option<Handle<Expression>>,
    /// Statements of the block that is being written.
    block: Block,
    /// The first expression, if any, that no `Emit` covers yet.
    emitting: Option<usize>,
}
