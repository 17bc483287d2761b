//! Rewrites expressions.

use std::collections::HashSet;

use naga::{BinaryOperator, Expression, Handle, Literal, MathFunction, Scalar, ScalarKind, UnaryOperator};

use super::opaque::{MAGNITUDE, no_zero};
use super::{Rewriter, Width};
use crate::Refusal;
use crate::dp32::Tier;
use crate::refusal::defect;

/// A sum becomes zero if the bits of its magnitude are at most this. Such sums are exact, so gradual and abrupt underflow
/// differ in nothing else.
const SUM: i32 = 0x007f_ffff;

/// A product becomes zero if the bits of its magnitude are at most this (2⁻¹²⁶). A device may flush before or after it rounds up
/// to 2⁻¹²⁶.
const PRODUCT: i32 = 0x0080_0000;

const INFINITY: i32 = 0x7f80_0000;

impl Rewriter<'_, '_> {
    /// Rewrites an expression of the source at the point where it is computed.
    pub(super) fn expression(&mut self, old: Handle<Expression>) -> Result<(), Refusal> {
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
            Expression::As { expr, kind: ScalarKind::Float, convert: None } if !self.is_canonical(expr) => {
                let new = self.copy(old)?;
                self.opaque_value(old, new)?
            }
            Expression::Access { base, index } => self.access(old, base, index)?,
            Expression::AccessIndex { base, index } => match self.constant_access(old, base, index)? {
                Some(element) => element,
                None => {
                    self.part_of(old, base);
                    self.copy(old)?
                }
            },
            Expression::Load { pointer } => {
                let loaded = self.copy(old)?;
                self.loaded(old, pointer, loaded)?
            }
            Expression::Select { condition, accept, reject } if self.float_width(old).is_ok() => {
                self.choice(condition, accept, reject)?
            }
            _ => self.copy(old)?,
        };
        let new = if self.is_from_large(old) { self.opaque_value(old, new)? } else { new };
        self.set(old, new);
        Ok(())
    }

    /// Whether bits are a result of arithmetic whose NaNs were made canonical: a driver knows no more about them than about
    /// the result itself.
    fn is_canonical(&self, bits: Handle<Expression>) -> bool {
        let Expression::Select { accept, .. } = self.source.expressions[bits] else { return false };
        let nan = match self.source.expressions[accept] {
            Expression::Splat { value, .. } => value,
            _ => accept,
        };
        matches!(self.source.expressions[nan], Expression::Literal(Literal::U32(super::opaque::NAN)))
    }

    /// Selects one of two numbers as integers: a device may flush a value that it selects as a float.
    fn choice(
        &mut self,
        condition: Handle<Expression>,
        accept: Handle<Expression>,
        reject: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
        let condition = self.new_of(condition)?;
        let (accept, reject) = (self.new_of(accept)?, self.new_of(reject)?);
        let (accept, reject) = (self.as_int(accept), self.as_int(reject));
        let bits = self.emit(Expression::Select { condition, accept, reject });
        Ok(self.as_float(bits))
    }

    fn float_binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
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
                let b = if known { b } else { self.distinct(b, width)? };
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

    fn reciprocal(&mut self, old: Handle<Expression>) -> Result<Handle<Expression>, Refusal> {
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

    /// The result of a comparison, but false if one of the numbers is NaN, whatever the device computes then.
    fn if_ordered(
        &mut self,
        native: Handle<Expression>,
        numbers: &[Handle<Expression>],
        width: Width,
    ) -> Result<Handle<Expression>, Refusal> {
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

    fn negate(&mut self, operand: Handle<Expression>) -> Result<Handle<Expression>, Refusal> {
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

    fn float_math(&mut self, fun: MathFunction, arg: Handle<Expression>) -> Result<Handle<Expression>, Refusal> {
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
        // Without the barrier, x - floor(x) could become a `fract` that rounds differently.
        if fun == MathFunction::Abs { Ok(native) } else { self.opaque(native, width) }
    }

    fn conversion(&mut self, operand: Handle<Expression>, to: ScalarKind) -> Result<Handle<Expression>, Refusal> {
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

    /// Roots of which only the reciprocal is used.
    pub(super) fn inverted_roots(&self) -> HashSet<Handle<Expression>> {
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

fn left_over(op: BinaryOperator) -> Refusal {
    defect(format!("the operation {op:?} on f32 is left"))
}
