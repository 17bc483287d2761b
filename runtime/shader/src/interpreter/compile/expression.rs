//! From naga's expressions to instructions.

use naga::{
    BinaryOperator, Expression, Handle, MathFunction, RelationalFunction, Scalar, ScalarKind, SwizzleComponent,
    TypeInner, UnaryOperator,
};

use super::constants::literal_word;
use super::{Compiler, Origin, Value, unknown};
use crate::Refusal;
use crate::interpreter::code::{Base, BinaryOp, BitsOp, Inst, Length, Mask, Place, Reg, UnaryOp};
use crate::interpreter::lanes::EXPONENT;

impl Compiler<'_> {
    pub(super) fn inner(&self, handle: Handle<Expression>) -> &TypeInner {
        self.body.info[handle].ty.inner_with(&self.module.types)
    }

    /// The number of scalars in an expression; for a pointer, in what it points to.
    pub(super) fn words(&self, handle: Handle<Expression>) -> Result<u32, Refusal> {
        self.layout.words(self.inner(handle))
    }

    pub(super) fn set(&mut self, handle: Handle<Expression>, value: Value) {
        if let Some(slot) = self.body.values.get_mut(handle.index()) {
            *slot = Some(value);
        }
    }

    pub(super) fn emit(&mut self, handle: Handle<Expression>, mask: Mask) -> Result<(), Refusal> {
        let function = self.body.function;
        self.span = function.expressions.get_span(handle);
        let value = self.evaluate(handle, mask)?;
        self.set(handle, value);
        Ok(())
    }

    /// The value of an expression. Expressions that are never emitted, such as constants and variables, are looked up.
    pub(super) fn get(&mut self, handle: Handle<Expression>) -> Result<Value, Refusal> {
        if let Some(Some(value)) = self.body.values.get(handle.index()) {
            return Ok(*value);
        }
        let function = self.body.function;
        let value = match &function.expressions[handle] {
            Expression::Literal(literal) => Value::Registers(self.scalar_constant(literal_word(*literal)?)?),
            Expression::Constant(constant) => {
                let init = self.module.constants[*constant].init;
                Value::Registers(self.module_constant(init)?)
            }
            Expression::ZeroValue(ty) => {
                let module = self.module;
                Value::Registers(self.zero(&module.types[*ty].inner)?)
            }
            Expression::FunctionArgument(index) => self.argument(*index)?,
            Expression::GlobalVariable(variable) => Value::Place(self.global(*variable)?),
            Expression::LocalVariable(variable) => Value::Place(self.local(*variable)?),
            other => return Err(unknown(other)),
        };
        self.set(handle, value);
        Ok(value)
    }

    pub(super) fn registers(&mut self, handle: Handle<Expression>) -> Result<Reg, Refusal> {
        match self.get(handle)? {
            Value::Registers(reg) => Ok(reg),
            Value::Place(place) => Err(unknown(place.base)),
        }
    }

    pub(super) fn place(&mut self, handle: Handle<Expression>) -> Result<Place, Refusal> {
        match self.get(handle)? {
            Value::Place(place) => Ok(place),
            Value::Registers(_) => Err(Refusal::new("a value is used as a pointer")),
        }
    }

    fn evaluate(&mut self, handle: Handle<Expression>, mask: Mask) -> Result<Value, Refusal> {
        let function = self.body.function;
        let reg = match &function.expressions[handle] {
            Expression::Compose { components, .. } => {
                let dst = self.value(self.words(handle)?)?;
                let mut at = 0;
                for &component in components {
                    let count = self.words(component)?;
                    let src = self.registers(component)?;
                    self.push(Inst::Copy { dst: dst.at(at), src, count });
                    at += count;
                }
                dst
            }
            Expression::Access { base, index } => return self.access(*base, *index, mask),
            Expression::AccessIndex { base, index } => return self.access_part(*base, *index),
            Expression::Splat { value, .. } => {
                let count = self.words(handle)?;
                let src = self.registers(*value)?;
                self.splat(src, count)?
            }
            Expression::Swizzle { size, vector, pattern } => {
                let vector = self.registers(*vector)?;
                self.swizzle(vector, pattern.iter().take(u32::from(*size) as usize))?
            }
            Expression::Load { pointer } => self.load(*pointer, mask)?,
            Expression::Unary { op, expr } => {
                let kind = self.kind(*expr)?;
                let op = match (op, kind) {
                    (UnaryOperator::Negate, ScalarKind::Float) => UnaryOp::FNegate,
                    (UnaryOperator::Negate, ScalarKind::Sint) => UnaryOp::INegate,
                    (UnaryOperator::LogicalNot, ScalarKind::Bool)
                    | (UnaryOperator::BitwiseNot, ScalarKind::Sint | ScalarKind::Uint) => UnaryOp::Not,
                    other => return Err(unknown(other)),
                };
                self.unary(op, *expr)?
            }
            Expression::Binary { op, left, right } => self.arithmetic(*op, *left, *right)?,
            Expression::Select { condition, accept, reject } => {
                let count = self.words(handle)?;
                let wide = self.words(*condition)? == count;
                let (condition, accept, reject) =
                    (self.registers(*condition)?, self.registers(*accept)?, self.registers(*reject)?);
                let dst = self.value(count)?;
                let componentwise = wide || count == 1;
                self.push(match componentwise && self.is_flush(condition, accept, reject, count) {
                    true => Inst::Unary { op: UnaryOp::FFlush, dst, a: reject, count },
                    false => Inst::Select { dst, condition, accept, reject, count, wide },
                });
                dst
            }
            Expression::Relational { fun, argument } => {
                let op = match fun {
                    RelationalFunction::All => BinaryOp::And,
                    RelationalFunction::Any => BinaryOp::Or,
                    other => return Err(unknown(other)),
                };
                let count = self.words(*argument)?;
                let argument = self.registers(*argument)?;
                self.fold(op, argument, count)?
            }
            Expression::Math { fun, arg, arg1, arg2, arg3 } => {
                self.math(*fun, [Some(*arg), *arg1, *arg2, *arg3], self.words(handle)?)?
            }
            Expression::As { expr, kind, convert } => self.convert(*expr, *kind, *convert)?,
            Expression::ArrayLength(array) => {
                let place = self.place(*array)?;
                let elements = self.layout.elements(self.inner(*array), false);
                let (Base::Buffer(buffer), Some(elements)) = (place.base, elements) else {
                    return Err(unknown(place.base));
                };
                let dst = self.value(1)?;
                self.push(Inst::ArrayLength { dst, buffer, offset: place.offset, stride: elements.stride });
                dst
            }
            _ => return self.get(handle),
        };
        Ok(Value::Registers(reg))
    }

    fn splat(&mut self, src: Reg, count: u32) -> Result<Reg, Refusal> {
        let dst = self.value(count)?;
        self.push(Inst::Splat { dst, src, count });
        if let Some(&word) = self.facts.words.get(&src) {
            self.facts.words.insert(dst, word);
        }
        Ok(dst)
    }

    fn swizzle<'p>(
        &mut self,
        vector: Reg,
        pattern: impl ExactSizeIterator<Item = &'p SwizzleComponent>,
    ) -> Result<Reg, Refusal> {
        let dst = self.value(u32::try_from(pattern.len()).unwrap_or(u32::MAX))?;
        for (at, component) in (0..).zip(pattern) {
            let component = match component {
                SwizzleComponent::X => 0,
                SwizzleComponent::Y => 1,
                SwizzleComponent::Z => 2,
                SwizzleComponent::W => 3,
            };
            self.push(Inst::Copy { dst: dst.at(at), src: vector.at(component), count: 1 });
        }
        Ok(dst)
    }

    /// Whether a `Select` gives zero if the exponent bits are zero, in each of `count` components. A vector and its first
    /// component have the same register, so the widths have to agree.
    fn is_flush(&self, condition: Reg, accept: Reg, reject: Reg, count: u32) -> bool {
        let is = |reg: Reg, word: u32| self.facts.words.get(&reg) == Some(&word);
        let result = |reg: Reg| self.facts.results.get(&reg).filter(|result| result.count == count);
        let Some(&Origin { op: BinaryOp::IEq, a: exponent, b: zero, .. }) = result(condition) else {
            return false;
        };
        let Some(&Origin { op: BinaryOp::And, a: bits, b: mask, .. }) = result(exponent) else { return false };
        bits == reject && is(mask, EXPONENT) && is(zero, 0) && is(accept, 0)
    }

    // --- parts of composites

    fn access_part(&mut self, base: Handle<Expression>, index: u32) -> Result<Value, Refusal> {
        let value = self.get(base)?;
        let packed = match value {
            Value::Place(Place { base: Base::Buffer(_), .. }) => false,
            Value::Place(_) | Value::Registers(_) => true,
        };
        let part = self.layout.part(self.inner(base), index, packed);
        let part = part.ok_or_else(|| Refusal::new("a part of a composite does not exist"))?;
        Ok(match value {
            Value::Registers(reg) => Value::Registers(reg.at(part)),
            Value::Place(place) => Value::Place(Place { offset: place.offset.saturating_add(part), ..place }),
        })
    }

    fn access(&mut self, base: Handle<Expression>, index: Handle<Expression>, mask: Mask) -> Result<Value, Refusal> {
        let index = self.registers(index)?;
        let value = self.get(base)?;
        let place = match value {
            Value::Place(place) => place,
            Value::Registers(reg) => {
                let base = Base::Registers(reg, self.words(base)?);
                Place { base, offset: 0, dynamic: None }
            }
        };
        let packed = !matches!(place.base, Base::Buffer(_));
        let elements = self.layout.elements(self.inner(base), packed);
        let elements = elements.ok_or_else(|| Refusal::new("what is indexed has no elements"))?;
        let length = match (elements.length, place.base) {
            (Some(length), _) => Length::Fixed(length),
            (None, Base::Buffer(buffer)) => Length::Runtime { buffer, offset: place.offset },
            (None, base) => return Err(unknown(base)),
        };
        let dst = self.value(1)?;
        self.push(Inst::Index { dst, previous: place.dynamic, index, length, stride: elements.stride });
        let place = Place { dynamic: Some(dst), ..place };
        if matches!(value, Value::Place(_)) {
            return Ok(Value::Place(place));
        }
        let count = elements.stride;
        let dst = self.value(count)?;
        self.push(Inst::Load { dst, place, count, scatter: None, mask, atomic: false });
        Ok(Value::Registers(dst))
    }

    // --- arithmetic

    fn scalar(&self, handle: Handle<Expression>) -> Result<Scalar, Refusal> {
        let inner = self.inner(handle);
        let (TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. }) = inner else {
            return Err(unknown(inner));
        };
        let width = if scalar.kind == ScalarKind::Bool { 1 } else { 4 };
        if scalar.width == width { Ok(*scalar) } else { Err(unknown(scalar)) }
    }

    fn kind(&self, handle: Handle<Expression>) -> Result<ScalarKind, Refusal> {
        Ok(self.scalar(handle)?.kind)
    }

    fn unary(&mut self, op: UnaryOp, argument: Handle<Expression>) -> Result<Reg, Refusal> {
        let count = self.words(argument)?;
        let a = self.registers(argument)?;
        let dst = self.value(count)?;
        self.push(Inst::Unary { op, dst, a, count });
        Ok(dst)
    }

    fn binary(&mut self, op: BinaryOp, a: Reg, b: Reg, count: u32) -> Result<Reg, Refusal> {
        let dst = self.value(count)?;
        self.push(Inst::Binary { op, dst, a, b, count });
        self.facts.results.insert(dst, Origin { op, a, b, count });
        Ok(dst)
    }

    fn binary_with(&mut self, op: BinaryOp, a: Reg, b: u32, count: u32) -> Result<Reg, Refusal> {
        let mut b = self.scalar_constant(b)?;
        if count > 1 {
            b = self.splat(b, count)?;
        }
        self.binary(op, a, b, count)
    }

    /// Combines `count` consecutive registers, from the first to the last.
    fn fold(&mut self, op: BinaryOp, first: Reg, count: u32) -> Result<Reg, Refusal> {
        let mut sum = first;
        for at in 1..count {
            sum = self.binary(op, sum, first.at(at), 1)?;
        }
        Ok(sum)
    }

    fn arithmetic(
        &mut self,
        operator: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Result<Reg, Refusal> {
        use BinaryOperator as Op;
        let kind = self.kind(left)?;
        self.scalar(right)?;
        let mut swapped = false;
        let op = match kind {
            ScalarKind::Float => match operator {
                Op::Add => BinaryOp::FAdd,
                Op::Subtract => BinaryOp::FSub,
                Op::Multiply => BinaryOp::FMul,
                Op::Divide => BinaryOp::FDiv,
                Op::Equal => BinaryOp::FEq,
                Op::Less => BinaryOp::FLt,
                Op::LessEqual => BinaryOp::FLe,
                Op::Greater => {
                    swapped = true;
                    BinaryOp::FLt
                }
                Op::GreaterEqual => {
                    swapped = true;
                    BinaryOp::FLe
                }
                other => return Err(unknown((other, kind))),
            },
            ScalarKind::Sint | ScalarKind::Uint => {
                let signed = kind == ScalarKind::Sint;
                swapped = matches!(operator, Op::Greater | Op::GreaterEqual);
                match operator {
                    Op::Add => BinaryOp::IAdd,
                    Op::Subtract => BinaryOp::ISub,
                    Op::Multiply => BinaryOp::IMul,
                    Op::Divide => choose(signed, BinaryOp::IDiv, BinaryOp::UDiv),
                    Op::Modulo => choose(signed, BinaryOp::IRem, BinaryOp::URem),
                    Op::Equal => BinaryOp::IEq,
                    Op::NotEqual => BinaryOp::INe,
                    Op::Less | Op::Greater => choose(signed, BinaryOp::ILt, BinaryOp::ULt),
                    Op::LessEqual | Op::GreaterEqual => choose(signed, BinaryOp::ILe, BinaryOp::ULe),
                    Op::And => BinaryOp::And,
                    Op::ExclusiveOr => BinaryOp::Xor,
                    Op::InclusiveOr => BinaryOp::Or,
                    Op::ShiftLeft => BinaryOp::Shl,
                    Op::ShiftRight => choose(signed, BinaryOp::IShr, BinaryOp::UShr),
                    other => return Err(unknown((other, kind))),
                }
            }
            ScalarKind::Bool => match operator {
                Op::Equal => BinaryOp::IEq,
                Op::NotEqual => BinaryOp::INe,
                Op::And | Op::LogicalAnd => BinaryOp::And,
                Op::InclusiveOr | Op::LogicalOr => BinaryOp::Or,
                Op::ExclusiveOr => BinaryOp::Xor,
                other => return Err(unknown((other, kind))),
            },
            other => return Err(unknown(other)),
        };
        let (left_count, right_count) = (self.words(left)?, self.words(right)?);
        let count = left_count.max(right_count);
        let mut a = self.registers(left)?;
        let mut b = self.registers(right)?;
        if left_count < count {
            a = self.splat(a, count)?;
        }
        if right_count < count {
            b = self.splat(b, count)?;
        }
        if swapped {
            std::mem::swap(&mut a, &mut b);
        }
        self.binary(op, a, b, count)
    }

    fn convert(&mut self, argument: Handle<Expression>, kind: ScalarKind, convert: Option<u8>) -> Result<Reg, Refusal> {
        let from = match self.inner(argument) {
            TypeInner::Matrix { scalar, .. } if scalar.kind == kind => kind,
            _ => self.kind(argument)?,
        };
        let width = if kind == ScalarKind::Bool { 1 } else { 4 };
        if convert.is_some_and(|convert| convert != width) {
            return Err(unknown((kind, convert)));
        }
        use ScalarKind::{Bool, Float, Sint, Uint};
        let op = match (from, kind) {
            (Float | Sint | Uint, Float | Sint | Uint) if convert.is_none() => return self.registers(argument),
            _ if from == kind => return self.registers(argument),
            (Sint, Uint) | (Uint, Sint) => return self.registers(argument),
            (Float, Sint) => UnaryOp::FToI,
            (Float, Uint) => UnaryOp::FToU,
            (Sint, Float) => UnaryOp::IToF,
            (Uint, Float) => UnaryOp::UToF,
            (Bool, Sint | Uint) => UnaryOp::BoolToI,
            (Bool, Float) => UnaryOp::BoolToF,
            (Sint | Uint, Bool) => UnaryOp::IToBool,
            (Float, Bool) => UnaryOp::FToBool,
            other => return Err(unknown(other)),
        };
        self.unary(op, argument)
    }

    fn math(
        &mut self,
        fun: MathFunction,
        arguments: [Option<Handle<Expression>>; 4],
        result_words: u32,
    ) -> Result<Reg, Refusal> {
        use MathFunction as F;
        use ScalarKind::{Float, Sint, Uint};
        let [Some(first), second, third, fourth] = arguments else {
            return Err(unknown(fun));
        };
        let kind = self.kind(first)?;
        let integer = matches!(kind, Sint | Uint);
        let signed = kind == Sint;
        let count = self.words(first)?;
        let op = match fun {
            F::Abs if kind == Float => UnaryOp::FAbs,
            F::Sqrt if kind == Float => UnaryOp::FSqrt,
            F::Floor if kind == Float => UnaryOp::FFloor,
            F::Ceil if kind == Float => UnaryOp::FCeil,
            F::Trunc if kind == Float => UnaryOp::FTrunc,
            F::Round if kind == Float => UnaryOp::FRound,
            F::Abs if signed => UnaryOp::IAbs,
            F::Abs if integer => return self.registers(first),
            F::Sign if signed => UnaryOp::ISign,
            F::CountOneBits if integer => UnaryOp::CountOnes,
            F::CountLeadingZeros if integer => UnaryOp::LeadingZeros,
            F::CountTrailingZeros if integer => UnaryOp::TrailingZeros,
            F::ReverseBits if integer => UnaryOp::ReverseBits,
            F::FirstTrailingBit if integer => UnaryOp::FirstTrailing,
            F::FirstLeadingBit if integer => choose(signed, UnaryOp::FirstLeadingSigned, UnaryOp::FirstLeadingUnsigned),
            F::Min | F::Max | F::Clamp | F::Dot if integer => {
                let second = second.ok_or_else(|| unknown(fun))?;
                let (a, b) = (self.registers(first)?, self.registers(second)?);
                let min = choose(signed, BinaryOp::IMin, BinaryOp::UMin);
                let max = choose(signed, BinaryOp::IMax, BinaryOp::UMax);
                return match (fun, third) {
                    (F::Min, _) => self.binary(min, a, b, count),
                    (F::Max, _) => self.binary(max, a, b, count),
                    (F::Clamp, Some(third)) => {
                        let high = self.registers(third)?;
                        let low = self.binary(max, a, b, count)?;
                        self.binary(min, low, high, count)
                    }
                    (F::Dot, _) => {
                        let products = self.binary(BinaryOp::IMul, a, b, count)?;
                        self.fold(BinaryOp::IAdd, products, count)
                    }
                    _ => Err(unknown(fun)),
                };
            }
            F::Dot4I8Packed | F::Dot4U8Packed => {
                let second = second.ok_or_else(|| unknown(fun))?;
                let op = if fun == F::Dot4I8Packed { BinaryOp::DotI8 } else { BinaryOp::DotU8 };
                let (a, b) = (self.registers(first)?, self.registers(second)?);
                return self.binary(op, a, b, 1);
            }
            F::ExtractBits if integer => {
                let (Some(offset), Some(length)) = (second, third) else { return Err(unknown(fun)) };
                let op = choose(signed, BitsOp::ExtractSigned, BitsOp::ExtractUnsigned);
                return self.bits(op, first, first, offset, length, count);
            }
            F::InsertBits if integer => {
                let (Some(bits), Some(offset), Some(length)) = (second, third, fourth) else {
                    return Err(unknown(fun));
                };
                return self.bits(BitsOp::Insert, first, bits, offset, length, count);
            }
            F::Pack4xI8 | F::Pack4xU8 | F::Pack4xI8Clamp | F::Pack4xU8Clamp if integer => {
                let mut lanes = self.registers(first)?;
                let clamp = match fun {
                    F::Pack4xI8Clamp => Some((BinaryOp::IMax, (-128_i32).cast_unsigned(), BinaryOp::IMin, 127)),
                    F::Pack4xU8Clamp => Some((BinaryOp::UMax, 0, BinaryOp::UMin, 255)),
                    _ => None,
                };
                if let Some((max, low, min, high)) = clamp {
                    lanes = self.binary_with(max, lanes, low, 4)?;
                    lanes = self.binary_with(min, lanes, high, 4)?;
                }
                lanes = self.binary_with(BinaryOp::And, lanes, 0xff, 4)?;
                let mut packed = lanes;
                for (at, shift) in [(1, 8), (2, 16), (3, 24)] {
                    let byte = self.binary_with(BinaryOp::Shl, lanes.at(at), shift, 1)?;
                    packed = self.binary(BinaryOp::Or, packed, byte, 1)?;
                }
                return Ok(packed);
            }
            F::Unpack4xI8 | F::Unpack4xU8 => {
                let packed = self.registers(first)?;
                let dst = self.value(result_words)?;
                let shift_right = if fun == F::Unpack4xI8 { BinaryOp::IShr } else { BinaryOp::UShr };
                for (at, shift) in [(0, 24), (1, 16), (2, 8), (3, 0)] {
                    let high = self.binary_with(BinaryOp::Shl, packed, shift, 1)?;
                    let src = self.binary_with(shift_right, high, 24, 1)?;
                    self.push(Inst::Copy { dst: dst.at(at), src, count: 1 });
                }
                return Ok(dst);
            }
            _ => return Err(unknown((fun, kind))),
        };
        self.unary(op, first)
    }

    fn bits(
        &mut self,
        op: BitsOp,
        value: Handle<Expression>,
        bits: Handle<Expression>,
        offset: Handle<Expression>,
        length: Handle<Expression>,
        count: u32,
    ) -> Result<Reg, Refusal> {
        let (value, bits) = (self.registers(value)?, self.registers(bits)?);
        let (offset, length) = (self.registers(offset)?, self.registers(length)?);
        let dst = self.value(count)?;
        self.push(Inst::Bits { op, dst, value, bits, offset, length, count });
        Ok(dst)
    }
}

fn choose<T>(signed: bool, if_signed: T, otherwise: T) -> T {
    if signed { if_signed } else { otherwise }
}
