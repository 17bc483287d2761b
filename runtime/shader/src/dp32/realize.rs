//! The second stage: primitives in a form that no driver can compute otherwise.
//!
//! # Tier A
//!
//! Every result of native arithmetic is joined, as an integer, with a zero that only the running device knows (the
//! barrier), and then flushed, as an integer. What a driver may still do to the operation itself must not matter:
//!
//! - *Contraction, reassociation, approximate forms* need two operations in a row; the barrier is between them.
//! - *Underflow* is gradual on some devices, abrupt on others, before or after rounding: see the thresholds
//!   [`SUM`] and [`PRODUCT`].
//! - *Identities that ignore infinities and NaNs*: 0·x = 0 needs a zero that the driver knows of, so every constant
//!   zero is replaced by the opaque one, or made opaque where it is taken out of something large. What helper functions
//!   give goes through the barrier, and so do bits taken for a number: in both a driver could see constants. x−x = 0 needs two operands that the driver knows to be one value, so one of them
//!   goes through the barrier; for x+(−x), every negation does.
//! - *Comparisons that ignore NaNs*, such as ¬(a<b) = (a≥b): a result counts only if an integer test finds no NaN.
//! - Division and square root are decided by integers, see `prelude/tier_a.wgsl`.
//!
//! # Tier B
//!
//! Every primitive is a call of an integer-only function in `prelude/tier_b.wgsl`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use naga::proc::TypeResolution;
use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, Arena, ArraySize, AtomicFunction, BinaryOperator, Block, Constant, Expression, Function,
    FunctionArgument, GlobalVariable, Handle, Literal, LocalVariable, MathFunction, MemoryDecorations, Module,
    ResourceBinding, Scalar, ScalarKind, Span, Statement, StorageAccess, StructMember, SwitchCase, Type, TypeInner,
    UnaryOperator, VectorSize,
};

use super::link::{Linker, defect};
use super::system::SYSTEM_GROUP;
use super::{Tier, operands};
use crate::Diagnostic;
use crate::prelude::Library;

/// A scalar, or a vector of that many components.
type Width = Option<VectorSize>;

/// All expressions of a realized module.
const MAX_EXPRESSIONS: usize = 4 << 20;

/// Scalars in a value up to which its zeros are made opaque one by one. What is larger keeps its zeros, and what is
/// taken out of it is made opaque.
const MAX_OPAQUE_LEAVES: usize = 64;

/// A sum whose magnitude has bits up to here is zero. Such sums are exact, so gradual and abrupt underflow differ in
/// nothing else.
const SUM: i32 = 0x007f_ffff;

/// A product whose magnitude has bits up to here (2⁻¹²⁶) is zero. A device may flush before or after it rounds up to 2⁻¹²⁶.
const PRODUCT: i32 = 0x0080_0000;

/// Where the system's parameters are bound, and the place of `zero` among them.
const PARAMS: ResourceBinding = ResourceBinding { group: SYSTEM_GROUP, binding: 0 };
const ZERO_MEMBER: u32 = 1;

const MAGNITUDE: i32 = i32::MAX;
const INFINITY: i32 = 0x7f80_0000;

/// The helper functions of a tier by width, from scalars to vectors of four.
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
    text += include_str!("../prelude/tier_common.wgsl");
    text += match tier {
        Tier::A => include_str!("../prelude/tier_a.wgsl"),
        Tier::B => include_str!("../prelude/tier_b.wgsl"),
    };
    Library::parse(&text)
}

/// Makes the module for a device out of a module of primitives.
pub(super) fn realize(module: &Module, info: &ModuleInfo, tier: Tier) -> Result<Module, Diagnostic> {
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
    crate::kernel::validate(&realizer.out)?;
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
    /// The system's parameters, and which member of them is the zero.
    zero: (Handle<GlobalVariable>, u32),
    u32_type: Handle<Type>,
    expressions: usize,
}

impl<'a> Realizer<'a> {
    fn new(source: &'a Module, tier: Tier) -> Result<Self, Diagnostic> {
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
            zero: find_zero(&mut out),
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

    /// Whether a value of this type has f32 in it, and so few scalars that each can be made opaque.
    fn opaque_leaves(&self, ty: Handle<Type>) -> bool {
        let mut leaves = MAX_OPAQUE_LEAVES;
        let mut floats = false;
        self.count_leaves(ty, 1, &mut leaves, &mut floats).is_some() && floats
    }

    fn count_leaves(&self, ty: Handle<Type>, times: usize, leaves: &mut usize, floats: &mut bool) -> Option<()> {
        let (count, scalar) = match &self.out.types[ty].inner {
            TypeInner::Scalar(scalar) => (1, scalar),
            TypeInner::Vector { size, scalar } => (usize::from(u8::from(*size)), scalar),
            TypeInner::Matrix { columns, rows, scalar } => {
                (usize::from(u8::from(*columns)) * usize::from(u8::from(*rows)), scalar)
            }
            TypeInner::Array { base, size: ArraySize::Constant(size), .. } => {
                let times = times.checked_mul(usize::try_from(size.get()).ok()?)?;
                return self.count_leaves(*base, times, leaves, floats);
            }
            TypeInner::Struct { members, .. } => {
                return members.iter().try_for_each(|member| self.count_leaves(member.ty, times, leaves, floats));
            }
            _ => return None,
        };
        *floats |= *scalar == Scalar::F32;
        *leaves = leaves.checked_sub(times.checked_mul(count)?)?;
        Some(())
    }

    /// Whether a constant expression of few scalars has an f32 zero in it.
    fn has_zero(&self, arena: &Arena<Expression>, constant: Handle<Expression>) -> bool {
        match &arena[constant] {
            Expression::Literal(Literal::F32(value)) => *value == 0.0,
            Expression::ZeroValue(ty) => self.opaque_leaves(*ty),
            Expression::Constant(constant) => {
                let constant = &self.source.constants[*constant];
                self.opaque_leaves(constant.ty) && self.has_zero(&self.source.global_expressions, constant.init)
            }
            Expression::Compose { components, .. } => components.iter().any(|part| self.has_zero(arena, *part)),
            Expression::Splat { value, .. } => self.has_zero(arena, *value),
            _ => false,
        }
    }

    fn function(
        &mut self,
        function: &'a Function,
        info: &'a FunctionInfo,
        entry_point: bool,
    ) -> Result<Rewritten, Diagnostic> {
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

/// Where the module has the word that is zero at run time: as a member of the system's parameters. The first stage leaves
/// those out where it has no use for them.
fn find_zero(module: &mut Module) -> (Handle<GlobalVariable>, u32) {
    let found = module.global_variables.iter().find(|(_, variable)| variable.binding == Some(PARAMS));
    if let Some((handle, _)) = found {
        return (handle, ZERO_MEMBER);
    }
    let mut ty =
        |inner, name: Option<&str>| module.types.insert(Type { name: name.map(str::to_owned), inner }, Span::UNDEFINED);
    let word = ty(TypeInner::Scalar(Scalar::U32), None);
    let words = ty(TypeInner::Vector { size: VectorSize::Tri, scalar: Scalar::U32 }, None);
    let member = |name: &str, ty, offset| StructMember { name: Some(name.to_owned()), ty, binding: None, offset };
    let members = vec![member("workgroup_offset", words, 0), member("zero", word, 12)];
    let params = ty(TypeInner::Struct { members, span: 16 }, Some("SystemParams"));
    let variable = GlobalVariable {
        name: Some("system_params".to_owned()),
        space: AddressSpace::Storage { access: StorageAccess::LOAD },
        binding: Some(PARAMS),
        ty: params,
        init: None,
        memory_decorations: MemoryDecorations::empty(),
    };
    (module.global_variables.append(variable, Span::UNDEFINED), ZERO_MEMBER)
}

/// The run-time zero in one width, where a function has it.
#[derive(Clone, Copy, Default)]
struct Zero {
    /// As i32.
    bits: Option<Handle<Expression>>,
    /// As f32.
    float: Option<Handle<Expression>>,
    /// With the sign bit set, as i32.
    sign: Option<Handle<Expression>>,
}

/// What a composite consists of.
#[derive(Clone, Copy)]
enum Part {
    Of(Handle<Type>),
    /// Of a matrix, with so many rows.
    Column(VectorSize),
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
    /// From the source's expressions to the new ones.
    map: Vec<Option<Handle<Expression>>>,
    /// What [`Rewriter::inverted_roots`] finds.
    inverted: HashSet<Handle<Expression>>,
    /// Integer constants, placed on first use.
    ints: HashMap<(i32, Width), Handle<Expression>>,
    zeros: [Zero; 4],
    /// As u32, as it is passed on.
    zero_word: Option<Handle<Expression>>,
    /// Statements of the block that is being written.
    block: Block,
    /// The first expression, if any, that no `Emit` covers yet.
    emitting: Option<usize>,
}

/// Expressions.
impl Rewriter<'_, '_> {
    /// Appends an expression that is computed at this point.
    fn emit(&mut self, expression: Expression) -> Handle<Expression> {
        self.emitting.get_or_insert(self.out.expressions.len());
        self.out.expressions.append(expression, Span::UNDEFINED)
    }

    /// Appends an expression that is no computation, or whose value a statement gives.
    fn place(&mut self, expression: Expression) -> Handle<Expression> {
        self.finish_emit();
        self.out.expressions.append(expression, Span::UNDEFINED)
    }

    fn finish_emit(&mut self) {
        if let Some(start) = self.emitting.take() {
            let range = self.out.expressions.range_from(start);
            self.block.push(Statement::Emit(range), Span::UNDEFINED);
        }
    }

    fn new_of(&self, old: Handle<Expression>) -> Result<Handle<Expression>, Diagnostic> {
        let new = self.map.get(old.index()).copied().flatten();
        new.ok_or_else(|| defect("an expression is used before it is computed"))
    }

    fn set(&mut self, old: Handle<Expression>, new: Handle<Expression>) {
        if let Some(entry) = self.map.get_mut(old.index()) {
            *entry = Some(new);
        }
    }

    /// The type of one of the source's expressions.
    fn inner(&self, old: Handle<Expression>) -> &TypeInner {
        self.info[old].ty.inner_with(&self.realizer.source.types)
    }

    /// The width, if it is a scalar or vector of this kind.
    fn width(&self, old: Handle<Expression>, scalar: Scalar) -> Option<Width> {
        match *self.inner(old) {
            TypeInner::Scalar(it) if it == scalar => Some(None),
            TypeInner::Vector { size, scalar: it } if it == scalar => Some(Some(size)),
            _ => None,
        }
    }

    fn has_floats(&self, old: Handle<Expression>) -> bool {
        match self.inner(old) {
            TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } | TypeInner::Matrix { scalar, .. } => {
                scalar.kind == ScalarKind::Float
            }
            _ => false,
        }
    }

    /// An integer constant in every component.
    fn int(&mut self, value: i32, width: Width) -> Handle<Expression> {
        if let Some(placed) = self.ints.get(&(value, width)) {
            return *placed;
        }
        let expression = match width {
            None => Expression::Literal(Literal::I32(value)),
            Some(size) => Expression::Constant(self.realizer.vector_constant(value, size)),
        };
        let placed = self.place(expression);
        self.ints.insert((value, width), placed);
        placed
    }

    fn binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Handle<Expression> {
        self.emit(Expression::Binary { op, left, right })
    }

    fn as_int(&mut self, float: Handle<Expression>) -> Handle<Expression> {
        self.emit(Expression::As { expr: float, kind: ScalarKind::Sint, convert: None })
    }

    fn as_float(&mut self, bits: Handle<Expression>) -> Handle<Expression> {
        self.emit(Expression::As { expr: bits, kind: ScalarKind::Float, convert: None })
    }

    fn widen(&mut self, value: Handle<Expression>, from: Width, to: Width) -> Handle<Expression> {
        match (from, to) {
            (None, Some(size)) => self.emit(Expression::Splat { size, value }),
            _ => value,
        }
    }

    fn zero(&self, width: Width) -> Zero {
        self.zeros.get(slot(width)).copied().unwrap_or_default()
    }

    /// The bits of a number, after which no driver knows anything about it.
    fn opaque_bits(&mut self, float: Handle<Expression>, width: Width) -> Result<Handle<Expression>, Diagnostic> {
        let zero = self.zero(width).bits.ok_or_else(no_zero)?;
        let bits = self.as_int(float);
        Ok(self.binary(BinaryOperator::InclusiveOr, bits, zero))
    }

    fn opaque(&mut self, float: Handle<Expression>, width: Width) -> Result<Handle<Expression>, Diagnostic> {
        let bits = self.opaque_bits(float, width)?;
        Ok(self.as_float(bits))
    }

    /// A result behind the barrier; zero if its magnitude has no more than these bits.
    fn flushed(
        &mut self,
        result: Handle<Expression>,
        width: Width,
        threshold: i32,
    ) -> Result<Handle<Expression>, Diagnostic> {
        let [mask, threshold] = [MAGNITUDE, threshold].map(|value| self.int(value, width));
        let nothing = self.zero(width).bits.ok_or_else(no_zero)?;
        let bits = self.opaque_bits(result, width)?;
        let magnitude = self.binary(BinaryOperator::And, bits, mask);
        let condition = self.binary(BinaryOperator::Greater, magnitude, threshold);
        let kept = self.emit(Expression::Select { condition, accept: bits, reject: nothing });
        Ok(self.as_float(kept))
    }

    /// Calls a helper function of this tier.
    fn call(
        &mut self,
        name: &str,
        width: Width,
        arguments: Vec<Handle<Expression>>,
    ) -> Result<Handle<Expression>, Diagnostic> {
        let Realizer { linkers, out, .. } = &mut *self.realizer;
        let linker = linkers.get_mut(slot(width)).ok_or_else(|| defect("no such width"))?;
        let function = linker.import(out, name)?;
        let result = self.place(Expression::CallResult(function));
        self.block.push(Statement::Call { function, arguments, result: Some(result) }, Span::UNDEFINED);
        Ok(result)
    }

    /// One of the source's expressions with its operands replaced, computed here.
    fn copy(&mut self, old: Handle<Expression>) -> Result<Handle<Expression>, Diagnostic> {
        let mut expression = self.source.expressions[old].clone();
        operands::of_expression(&mut expression, |operand| {
            *operand = self.new_of(*operand)?;
            Ok(())
        })?;
        Ok(self.emit(expression))
    }

    /// Rewrites an expression of the source at the point where it is computed.
    fn expression(&mut self, old: Handle<Expression>) -> Result<(), Diagnostic> {
        if self.map.get(old.index()).is_some_and(Option::is_some) {
            return Ok(());
        }
        let new = match self.source.expressions[old] {
            Expression::Math { fun: MathFunction::Sqrt, .. } if self.inverted.contains(&old) => return Ok(()),
            Expression::Binary { op: BinaryOperator::Divide, left, right }
                if self.realizer.tier == Tier::A && self.is_one(left) && self.float_width(right).is_ok() =>
            {
                self.reciprocal(right)?
            }
            Expression::Binary { op, left, right } if self.has_floats(left) || self.has_floats(right) => {
                self.float_binary(op, left, right)?
            }
            Expression::Unary { op: UnaryOperator::Negate, expr } if self.has_floats(expr) => self.negate(expr)?,
            Expression::Math { fun, arg, .. } if self.has_floats(arg) || self.has_floats(old) => {
                self.float_math(fun, arg)?
            }
            Expression::Relational { argument, .. } if self.has_floats(argument) => {
                return Err(defect("a test for NaN or infinity is left"));
            }
            Expression::As { expr, kind, convert: Some(_) } if self.has_floats(expr) || self.has_floats(old) => {
                self.conversion(expr, kind)?
            }
            Expression::As { kind: ScalarKind::Float, convert: None, .. } => {
                let new = self.copy(old)?;
                self.opaque_value(old, new)?
            }
            Expression::Load { .. } | Expression::Access { .. } | Expression::AccessIndex { .. }
                if self.is_from_large(old) =>
            {
                let new = self.copy(old)?;
                self.opaque_value(old, new)?
            }
            _ => self.copy(old)?,
        };
        self.set(old, new);
        Ok(())
    }

    /// Whether an expression takes something out of a value that is too large for its zeros to be opaque.
    fn is_from_large(&self, old: Handle<Expression>) -> bool {
        let source = self.source;
        let of_handle = |ty: Handle<Type>| !self.realizer.opaque_leaves(ty);
        match source.expressions[old] {
            Expression::Load { mut pointer } => loop {
                match source.expressions[pointer] {
                    Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => pointer = base,
                    Expression::LocalVariable(variable) => return of_handle(source.local_variables[variable].ty),
                    Expression::GlobalVariable(variable) => {
                        let variable = &self.realizer.source.global_variables[variable];
                        return variable.space == AddressSpace::Private && of_handle(variable.ty);
                    }
                    _ => {
                        return match *self.inner(pointer) {
                            TypeInner::Pointer { base, .. } => of_handle(base),
                            _ => false,
                        };
                    }
                }
            },
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => match self.info[base].ty {
                TypeResolution::Handle(ty) => {
                    let inner = &self.realizer.source.types[ty].inner;
                    matches!(inner, TypeInner::Array { .. } | TypeInner::Struct { .. }) && of_handle(ty)
                }
                TypeResolution::Value(_) => false,
            },
            _ => false,
        }
    }

    /// The value of one of the source's expressions, with every f32 in it opaque in tier A.
    fn opaque_value(
        &mut self,
        old: Handle<Expression>,
        value: Handle<Expression>,
    ) -> Result<Handle<Expression>, Diagnostic> {
        if self.zero_word.is_none() {
            return Ok(value);
        }
        if let Some(width) = self.width(old, Scalar::F32) {
            return self.opaque(value, width);
        }
        match self.info[old].ty {
            TypeResolution::Handle(ty) if self.realizer.opaque_leaves(ty) => self.opaque_parts(value, ty),
            _ => Ok(value),
        }
    }

    fn opaque_parts(&mut self, value: Handle<Expression>, ty: Handle<Type>) -> Result<Handle<Expression>, Diagnostic> {
        let parts = match self.realizer.out.types[ty].inner.clone() {
            TypeInner::Scalar(Scalar::F32) => return self.opaque(value, None),
            TypeInner::Vector { size, scalar: Scalar::F32 } => return self.opaque(value, Some(size)),
            TypeInner::Matrix { columns, rows, .. } => vec![Part::Column(rows); usize::from(u8::from(columns))],
            TypeInner::Array { base, size: ArraySize::Constant(size), .. } => {
                vec![Part::Of(base); usize::try_from(size.get()).map_err(defect)?]
            }
            TypeInner::Struct { members, .. } => members.iter().map(|member| Part::Of(member.ty)).collect(),
            _ => return Ok(value),
        };
        let mut components = Vec::with_capacity(parts.len());
        for (index, part) in (0..).zip(parts) {
            let taken = self.emit(Expression::AccessIndex { base: value, index });
            components.push(match part {
                Part::Of(ty) => self.opaque_parts(taken, ty)?,
                Part::Column(rows) => self.opaque(taken, Some(rows))?,
            });
        }
        Ok(self.emit(Expression::Compose { ty, components }))
    }

    fn float_binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Result<Handle<Expression>, Diagnostic> {
        let widths = (self.width(left, Scalar::F32), self.width(right, Scalar::F32));
        let (Some(left_width), Some(right_width)) = widths else {
            return Err(defect("an operation on matrices is left"));
        };
        let width = left_width.or(right_width);
        let [mut a, mut b] = [self.new_of(left)?, self.new_of(right)?];
        if op != BinaryOperator::Multiply || self.realizer.tier == Tier::B {
            a = self.widen(a, left_width, width);
            b = self.widen(b, right_width, width);
        }
        if self.realizer.tier == Tier::B || op == BinaryOperator::Divide {
            let (name, a, b) = match op {
                BinaryOperator::Add => ("dp32_add", a, b),
                BinaryOperator::Subtract => ("dp32_subtract", a, b),
                BinaryOperator::Multiply => ("dp32_multiply", a, b),
                BinaryOperator::Divide => ("dp32_divide", a, b),
                BinaryOperator::Equal => ("dp32_equal", a, b),
                BinaryOperator::Less => ("dp32_less", a, b),
                BinaryOperator::LessEqual => ("dp32_less_equal", a, b),
                BinaryOperator::Greater => ("dp32_less", b, a),
                BinaryOperator::GreaterEqual => ("dp32_less_equal", b, a),
                _ => return Err(left_over(op)),
            };
            let result = self.call(name, width, vec![a, b])?;
            return match self.realizer.tier {
                Tier::A => self.opaque(result, width),
                Tier::B => Ok(result),
            };
        }
        match op {
            BinaryOperator::Add => {
                let sum = self.binary(op, a, b);
                self.flushed(sum, width, SUM)
            }
            BinaryOperator::Subtract => {
                // A constant is finite, so its difference with itself is the zero that a driver takes it for.
                let known = self.is_constant(left) || self.is_constant(right);
                let b = if known { b } else { self.opaque(b, width)? };
                let difference = self.binary(op, a, b);
                self.flushed(difference, width, SUM)
            }
            BinaryOperator::Multiply => {
                let product = self.binary(op, a, b);
                self.flushed(product, width, PRODUCT)
            }
            BinaryOperator::Equal
            | BinaryOperator::Less
            | BinaryOperator::LessEqual
            | BinaryOperator::Greater
            | BinaryOperator::GreaterEqual => {
                let native = self.binary(op, a, b);
                let mut unknown: Vec<_> = [(left, a), (right, b)]
                    .into_iter()
                    .filter_map(|(old, new)| (!self.is_constant(old)).then_some(new))
                    .collect();
                unknown.dedup();
                self.if_ordered(native, &unknown, width)
            }
            _ => Err(left_over(op)),
        }
    }

    fn reciprocal(&mut self, old: Handle<Expression>) -> Result<Handle<Expression>, Diagnostic> {
        let width = self.float_width(old)?;
        let result = match self.source.expressions[old] {
            Expression::Math { fun: MathFunction::Sqrt, arg, .. } if self.inverted.contains(&old) => {
                let arg = self.new_of(arg)?;
                self.call("dp32_inverse_sqrt", width, vec![arg])?
            }
            _ => {
                let divisor = self.new_of(old)?;
                self.call("dp32_reciprocal", width, vec![divisor])?
            }
        };
        self.opaque(result, width)
    }

    /// The result of a comparison, and false if one of the numbers is NaN, whatever the device makes of that.
    fn if_ordered(
        &mut self,
        native: Handle<Expression>,
        numbers: &[Handle<Expression>],
        width: Width,
    ) -> Result<Handle<Expression>, Diagnostic> {
        let [mask, infinity] = [MAGNITUDE, INFINITY].map(|value| self.int(value, width));
        let mut most = None;
        for number in numbers {
            let bits = self.as_int(*number);
            let magnitude = self.binary(BinaryOperator::And, bits, mask);
            most = Some(match most {
                None => magnitude,
                Some(arg) => {
                    let fun = MathFunction::Max;
                    self.emit(Expression::Math { fun, arg, arg1: Some(magnitude), arg2: None, arg3: None })
                }
            });
        }
        let Some(most) = most else { return Ok(native) };
        let ordered = self.binary(BinaryOperator::LessEqual, most, infinity);
        Ok(self.binary(BinaryOperator::And, native, ordered))
    }

    fn negate(&mut self, operand: Handle<Expression>) -> Result<Handle<Expression>, Diagnostic> {
        let width = self.float_width(operand)?;
        let new = self.new_of(operand)?;
        if self.realizer.tier == Tier::B {
            return self.call("dp32_negate", width, vec![new]);
        }
        let sign = self.zero(width).sign.ok_or_else(no_zero)?;
        let bits = self.as_int(new);
        let flipped = self.binary(BinaryOperator::ExclusiveOr, bits, sign);
        Ok(self.as_float(flipped))
    }

    fn float_math(&mut self, fun: MathFunction, arg: Handle<Expression>) -> Result<Handle<Expression>, Diagnostic> {
        let width = self.float_width(arg)?;
        let new = self.new_of(arg)?;
        let name = match fun {
            MathFunction::Abs => "dp32_abs",
            MathFunction::Sqrt => "dp32_sqrt",
            MathFunction::Floor => "dp32_floor",
            MathFunction::Ceil => "dp32_ceil",
            MathFunction::Trunc => "dp32_trunc",
            MathFunction::Round => "dp32_round",
            _ => return Err(defect(format!("the function {fun:?} on f32 is left"))),
        };
        if self.realizer.tier == Tier::B {
            return self.call(name, width, vec![new]);
        }
        if fun == MathFunction::Sqrt {
            let root = self.call(name, width, vec![new])?;
            return self.opaque(root, width);
        }
        let native = self.emit(Expression::Math { fun, arg: new, arg1: None, arg2: None, arg3: None });
        // Without the barrier, x - floor(x) could become a `fract` that rounds in a way of its own.
        if fun == MathFunction::Abs { Ok(native) } else { self.opaque(native, width) }
    }

    fn conversion(&mut self, operand: Handle<Expression>, to: ScalarKind) -> Result<Handle<Expression>, Diagnostic> {
        let new = self.new_of(operand)?;
        if let Some(width) = self.width(operand, Scalar::F32) {
            return match to {
                ScalarKind::Sint => self.call("dp32_to_i32", width, vec![new]),
                ScalarKind::Uint => self.call("dp32_to_u32", width, vec![new]),
                ScalarKind::Float => Ok(new),
                _ => Err(defect("a conversion from f32 to bool is left")),
            };
        }
        let (name, width) = if let Some(width) = self.width(operand, Scalar::I32) {
            ("dp32_from_i32", width)
        } else if let Some(width) = self.width(operand, Scalar::U32) {
            ("dp32_from_u32", width)
        } else {
            return Err(defect("a conversion from bool to f32, or of matrices, is left"));
        };
        let sum = self.call(name, width, vec![new])?;
        if self.realizer.tier == Tier::B { Ok(sum) } else { self.opaque(sum, width) }
    }

    fn float_width(&self, old: Handle<Expression>) -> Result<Width, Diagnostic> {
        self.width(old, Scalar::F32).ok_or_else(|| defect("an operation on other than f32 is left"))
    }

    /// Whether one of the source's expressions is 1.
    fn is_one(&self, old: Handle<Expression>) -> bool {
        match self.source.expressions[old] {
            Expression::Literal(Literal::F32(value)) => value == 1.0,
            Expression::Splat { value, .. } => {
                matches!(self.source.expressions[value], Expression::Literal(Literal::F32(1.0)))
            }
            _ => false,
        }
    }

    /// Roots that serve for nothing but their reciprocals.
    fn inverted_roots(&self) -> HashSet<Handle<Expression>> {
        let divisions = self.source.expressions.iter().filter_map(|(_, expression)| match *expression {
            Expression::Binary { op: BinaryOperator::Divide, left, right } if self.is_one(left) => Some(right),
            _ => None,
        });
        let is_root = |old: &Handle<Expression>| {
            let expression = &self.source.expressions[*old];
            matches!(expression, Expression::Math { fun: MathFunction::Sqrt, .. }) && self.info[*old].ref_count == 1
        };
        divisions.filter(is_root).collect()
    }

    /// Whether one of the source's expressions is a constant.
    fn is_constant(&self, mut old: Handle<Expression>) -> bool {
        loop {
            match &self.source.expressions[old] {
                Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => return true,
                Expression::Splat { value, .. } => old = *value,
                Expression::Compose { components, .. } => {
                    return components.iter().all(|part| {
                        matches!(self.source.expressions[*part], Expression::Literal(_) | Expression::Constant(_))
                    });
                }
                _ => return false,
            }
        }
    }
}

fn left_over(op: BinaryOperator) -> Diagnostic {
    defect(format!("the operation {op:?} on f32 is left"))
}

/// Values that are known before the function runs.
impl<'a> Rewriter<'_, 'a> {
    /// What comes before the body. Says whether the function now takes the zero as its last argument.
    fn prologue(&mut self, entry_point: bool) -> Result<bool, Diagnostic> {
        let source: &'a Function = self.source;
        let module: &'a Module = self.realizer.source;
        let opaque = self.realizer.tier == Tier::A && self.needs_zero();
        if opaque {
            self.place_zeros(entry_point)?;
            self.inverted = self.inverted_roots();
        }
        for (old, expression) in source.expressions.iter() {
            let new = match expression {
                Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => {
                    if opaque && self.realizer.has_zero(&source.expressions, old) {
                        self.opaque_constant(&source.expressions, old)?
                    } else {
                        self.place(expression.clone())
                    }
                }
                Expression::FunctionArgument(_) | Expression::GlobalVariable(_) | Expression::LocalVariable(_) => {
                    self.place(expression.clone())
                }
                _ => continue,
            };
            self.set(old, new);
        }
        let mut stores = Vec::new();
        for (handle, local) in source.local_variables.iter() {
            let value = match local.init {
                _ if !opaque => None,
                None if self.realizer.opaque_leaves(local.ty) => Some(self.opaque_zero(local.ty)?),
                Some(init) if self.realizer.has_zero(&source.expressions, init) => {
                    Some(self.opaque_constant(&source.expressions, init)?)
                }
                _ => None,
            };
            let init = match (local.init, value) {
                (Some(init), None) => Some(self.copy_constant(&source.expressions, init)?),
                _ => None,
            };
            let span = source.local_variables.get_span(handle);
            let copy = self.out.local_variables.append(LocalVariable { init, ..local.clone() }, span);
            if let Some(value) = value {
                stores.push((self.place(Expression::LocalVariable(copy)), value));
            }
        }
        for (handle, variable) in module.global_variables.iter() {
            if !opaque || !entry_point || variable.space != AddressSpace::Private || self.info[handle].is_empty() {
                continue;
            }
            let value = match variable.init {
                None if self.realizer.opaque_leaves(variable.ty) => self.opaque_zero(variable.ty)?,
                Some(init) if self.realizer.has_zero(&module.global_expressions, init) => {
                    self.opaque_constant(&module.global_expressions, init)?
                }
                _ => continue,
            };
            stores.push((self.place(Expression::GlobalVariable(handle)), value));
        }
        self.finish_emit();
        for (pointer, value) in stores {
            self.block.push(Statement::Store { pointer, value }, Span::UNDEFINED);
        }
        Ok(opaque && !entry_point)
    }

    /// Whether the function computes with f32, or calls one that does.
    fn needs_zero(&self) -> bool {
        self.source.expressions.iter().any(|(handle, _)| self.has_floats(handle)) || self.calls_taker(&self.source.body)
    }

    fn calls_taker(&self, block: &Block) -> bool {
        block.iter().any(|statement| match statement {
            Statement::Call { function, .. } => {
                self.realizer.functions.get(function).is_some_and(|callee| callee.takes_zero)
            }
            Statement::Block(block) => self.calls_taker(block),
            Statement::If { accept, reject, .. } => self.calls_taker(accept) || self.calls_taker(reject),
            Statement::Loop { body, continuing, .. } => self.calls_taker(body) || self.calls_taker(continuing),
            Statement::Switch { cases, .. } => cases.iter().any(|case| self.calls_taker(&case.body)),
            _ => false,
        })
    }

    /// Takes the zero from the buffer or the caller, in all widths that the function has floats of.
    fn place_zeros(&mut self, entry_point: bool) -> Result<(), Diagnostic> {
        let word = if entry_point {
            let (params, index) = self.realizer.zero;
            let base = self.place(Expression::GlobalVariable(params));
            let pointer = self.emit(Expression::AccessIndex { base, index });
            self.emit(Expression::Load { pointer })
        } else {
            let index = u32::try_from(self.out.arguments.len()).map_err(defect)?;
            let name = Some("dp32_zero".to_owned());
            self.out.arguments.push(FunctionArgument { name, ty: self.realizer.u32_type, binding: None });
            self.place(Expression::FunctionArgument(index))
        };
        self.zero_word = Some(word);
        // Values taken apart may have vectors in them that are nowhere else.
        let takes_apart = |(old, expression): (Handle<Expression>, &Expression)| match expression {
            Expression::CallResult(_) => self.float_width(old).is_err(),
            _ => self.is_from_large(old) && self.float_width(old).is_err(),
        };
        let apart = self.source.expressions.iter().any(takes_apart);
        let mut used = [(apart, false); 4];
        for (handle, expression) in self.source.expressions.iter() {
            if let Some(width) = self.width(handle, Scalar::F32)
                && let Some((any, negated)) = used.get_mut(slot(width))
            {
                *any = true;
                *negated |= matches!(expression, Expression::Unary { .. });
            }
        }
        let widths = [None, Some(VectorSize::Bi), Some(VectorSize::Tri), Some(VectorSize::Quad)];
        for (width, (any, negated)) in widths.into_iter().zip(used) {
            if !any {
                continue;
            }
            let sign = negated.then(|| self.int(i32::MIN, width));
            let word = self.widen(word, None, width);
            let bits = self.as_int(word);
            let float = self.as_float(word);
            let sign = sign.map(|sign| self.binary(BinaryOperator::InclusiveOr, bits, sign));
            if let Some(zero) = self.zeros.get_mut(slot(width)) {
                *zero = Zero { bits: Some(bits), float: Some(float), sign };
            }
        }
        Ok(())
    }

    /// The run-time zero as a float.
    fn float_zero(&mut self, width: Width) -> Result<Handle<Expression>, Diagnostic> {
        if let Some(float) = self.zero(width).float {
            return Ok(float);
        }
        let word = self.zero_word.ok_or_else(no_zero)?;
        let word = self.widen(word, None, width);
        let float = self.as_float(word);
        if let Some(zero) = self.zeros.get_mut(slot(width)) {
            zero.float = Some(float);
        }
        Ok(float)
    }

    /// The zero value of a type, with every f32 in it opaque.
    fn opaque_zero(&mut self, ty: Handle<Type>) -> Result<Handle<Expression>, Diagnostic> {
        let inner = self.realizer.out.types[ty].inner.clone();
        let components = match inner {
            TypeInner::Scalar(Scalar::F32) => return self.float_zero(None),
            TypeInner::Vector { size, scalar: Scalar::F32 } => return self.float_zero(Some(size)),
            TypeInner::Matrix { columns, rows, scalar: Scalar::F32 } => {
                vec![self.float_zero(Some(rows))?; usize::from(u8::from(columns))]
            }
            TypeInner::Array { base, size: ArraySize::Constant(size), .. } => {
                vec![self.opaque_zero(base)?; usize::try_from(size.get()).map_err(defect)?]
            }
            TypeInner::Struct { members, .. } => {
                members.iter().map(|member| self.opaque_zero(member.ty)).collect::<Result<_, _>>()?
            }
            _ => return Ok(self.place(Expression::ZeroValue(ty))),
        };
        Ok(self.emit(Expression::Compose { ty, components }))
    }

    /// A constant of few scalars, with every f32 zero in it opaque.
    fn opaque_constant(
        &mut self,
        arena: &'a Arena<Expression>,
        constant: Handle<Expression>,
    ) -> Result<Handle<Expression>, Diagnostic> {
        match &arena[constant] {
            Expression::Literal(Literal::F32(0.0)) => self.float_zero(None),
            Expression::ZeroValue(ty) => self.opaque_zero(*ty),
            Expression::Constant(constant) => {
                let module: &'a Module = self.realizer.source;
                self.opaque_constant(&module.global_expressions, module.constants[*constant].init)
            }
            Expression::Compose { ty, components } => {
                let components = components.iter().map(|part| self.opaque_constant(arena, *part));
                let components = components.collect::<Result<_, _>>()?;
                Ok(self.emit(Expression::Compose { ty: *ty, components }))
            }
            Expression::Splat { size, value } => {
                let value = self.opaque_constant(arena, *value)?;
                Ok(self.emit(Expression::Splat { size: *size, value }))
            }
            other => Ok(self.place(other.clone())),
        }
    }

    /// A constant as it is, to initialize a variable with.
    fn copy_constant(
        &mut self,
        arena: &'a Arena<Expression>,
        constant: Handle<Expression>,
    ) -> Result<Handle<Expression>, Diagnostic> {
        let mut expression = arena[constant].clone();
        operands::of_expression(&mut expression, |operand| {
            *operand = self.copy_constant(arena, *operand)?;
            Ok(())
        })?;
        Ok(self.place(expression))
    }
}

/// Statements.
impl Rewriter<'_, '_> {
    fn block(&mut self, block: &Block) -> Result<Block, Diagnostic> {
        let outer = std::mem::take(&mut self.block);
        for (statement, span) in block.span_iter() {
            self.statement(statement, *span)?;
            if self.realizer.expressions + self.out.expressions.len() > MAX_EXPRESSIONS {
                return Err(Diagnostic::new(format!(
                    "the kernel is too large: its reproducible form has more than {MAX_EXPRESSIONS} expressions"
                )));
            }
        }
        self.finish_emit();
        Ok(std::mem::replace(&mut self.block, outer))
    }

    fn statement(&mut self, statement: &Statement, span: Span) -> Result<(), Diagnostic> {
        if let Statement::Emit(range) = statement {
            return range.clone().try_for_each(|old| self.expression(old));
        }
        self.finish_emit();
        let copy = match statement {
            Statement::Break
            | Statement::Continue
            | Statement::ControlBarrier(_)
            | Statement::MemoryBarrier(_)
            | Statement::Return { value: None } => statement.clone(),
            Statement::Return { value: Some(value) } => Statement::Return { value: Some(self.new_of(*value)?) },
            Statement::Block(block) => Statement::Block(self.block(block)?),
            Statement::If { condition, accept, reject } => Statement::If {
                condition: self.new_of(*condition)?,
                accept: self.block(accept)?,
                reject: self.block(reject)?,
            },
            Statement::Switch { selector, cases } => {
                let selector = self.new_of(*selector)?;
                let cases = cases.iter().map(|case| {
                    let body = self.block(&case.body)?;
                    Ok(SwitchCase { value: case.value, body, fall_through: case.fall_through })
                });
                Statement::Switch { selector, cases: cases.collect::<Result<_, Diagnostic>>()? }
            }
            Statement::Loop { body, continuing, break_if } => {
                let body = self.block(body)?;
                let continuing = self.block(continuing)?;
                let break_if = break_if.map(|condition| self.new_of(condition)).transpose()?;
                Statement::Loop { body, continuing, break_if }
            }
            Statement::Store { pointer, value } => {
                Statement::Store { pointer: self.new_of(*pointer)?, value: self.new_of(*value)? }
            }
            Statement::Atomic { pointer, fun, value, result } => {
                let (pointer, value) = (self.new_of(*pointer)?, self.new_of(*value)?);
                let fun = match *fun {
                    AtomicFunction::Exchange { compare: Some(compare) } => {
                        AtomicFunction::Exchange { compare: Some(self.new_of(compare)?) }
                    }
                    other => other,
                };
                let result = result.map(|result| self.result(result));
                Statement::Atomic { pointer, fun, value, result }
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                Statement::WorkGroupUniformLoad { pointer: self.new_of(*pointer)?, result: self.result(*result) }
            }
            Statement::Call { function, arguments, result } => {
                let callee = self.realizer.functions.get(function).copied();
                let callee = callee.ok_or_else(|| defect("a function is called before it is defined"))?;
                let arguments = arguments.iter().map(|argument| self.new_of(*argument));
                let mut arguments = arguments.collect::<Result<Vec<_>, _>>()?;
                if callee.takes_zero {
                    arguments.push(self.zero_word.ok_or_else(no_zero)?);
                }
                let new = result.map(|_| self.place(Expression::CallResult(callee.copy)));
                self.block.push(Statement::Call { function: callee.copy, arguments, result: new }, span);
                if let Some((old, new)) = result.zip(new) {
                    let opaque = self.opaque_value(old, new)?;
                    self.set(old, opaque);
                }
                return Ok(());
            }
            other => return Err(defect(format!("no compute kernel has {other:?}"))),
        };
        self.block.push(copy, span);
        Ok(())
    }

    /// An expression whose value a statement gives.
    fn result(&mut self, old: Handle<Expression>) -> Handle<Expression> {
        let new = self.place(self.source.expressions[old].clone());
        self.set(old, new);
        new
    }
}

fn no_zero() -> Diagnostic {
    defect("a function lacks the zero")
}
