//! Conversions where moved and made numbers meet, see `content`: subnormals are flushed before arithmetic, and zeros and NaNs
//! are made canonical before their bits can be seen.

use naga::{ArraySize, BinaryOperator, Expression, Handle, MathFunction, ScalarKind, Type, TypeInner};

use super::body::{Shape, Value};
use super::content::{Content, MAX_PARTS, floats};
use super::expression::Number;
use super::function::FunctionDefiner;
use crate::Refusal;

const SIGN: u32 = 0x8000_0000;
const EXPONENT: u32 = 0x7f80_0000;
const NAN: u32 = 0x7fc0_0000;

impl FunctionDefiner<'_, '_, '_> {
    /// Records the new value of an expression, at the place where it is computed.
    pub(super) fn computed(&mut self, old: Handle<Expression>, new: Value) -> Result<(), Refusal> {
        self.values.insert(old, new);
        if self.content.is_number(old) {
            let number = self.without_subnormals(old, new)?;
            self.numbers.insert(old, number);
        }
        Ok(())
    }

    /// A value as arithmetic takes it: not subnormal.
    pub(super) fn operand(&mut self, old: Handle<Expression>) -> Result<Value, Refusal> {
        if let Some(number) = self.numbers.get(&old) {
            return Ok(*number);
        }
        let value = self.value(old)?;
        if self.content.is_number(old) { self.without_subnormals(old, value) } else { Ok(value) }
    }

    /// A value with its canonical bits, for where they can be seen.
    pub(super) fn seen(&mut self, old: Handle<Expression>) -> Result<Value, Refusal> {
        let value = self.value(old)?;
        if self.content.of(old) != Content::Made {
            return Ok(value);
        }
        let inner = self.origin.inner(old);
        if floats(self.origin.module, inner) > MAX_PARTS {
            return self.refuse("a defect of profile dp32: the numbers of a large value are not canonical");
        }
        let signless = self.has_signless_zeros(old);
        self.canonical(value, inner, self.origin.info[old].ty.handle(), signless)
    }

    /// A moved value with its subnormal numbers flushed. For parts and selections, their operands' flushed values are used.
    fn without_subnormals(&mut self, old: Handle<Expression>, value: Value) -> Result<Value, Refusal> {
        let shape = self.number(old).shape();
        Ok(match *self.origin.expression(old) {
            Expression::Splat { size, value } => {
                let value = self.operand(value)?;
                self.body.splat(value, Shape::Vector(size))
            }
            Expression::Swizzle { size, vector, pattern } => {
                let vector = self.operand(vector)?;
                self.body.emit(Expression::Swizzle { size, vector, pattern }, 1)
            }
            Expression::AccessIndex { base, index } if self.content.is_number(base) => {
                let base = self.operand(base)?;
                self.body.index(base, index)
            }
            Expression::Access { base, index } if self.content.is_number(base) => {
                let whole = self.operand(base)?;
                self.access(base, whole, index)?
            }
            Expression::Compose { ty, ref components } => {
                let ty = self.ty(ty)?;
                let components = components.iter().map(|part| self.operand(*part)).collect::<Result<_, _>>()?;
                self.body.compose(ty, components)
            }
            Expression::Select { condition, accept, reject } => {
                let condition = self.value(condition)?;
                let (accept, reject) = (self.operand(accept)?, self.operand(reject)?);
                self.body.select(condition, accept, reject, shape)
            }
            Expression::As { expr, .. } if self.number(expr).is_float() => self.operand(expr)?,
            Expression::Math { fun: MathFunction::Transpose, arg, .. } => {
                let matrix = self.operand(arg)?;
                self.transposed(matrix, arg)?
            }
            _ => match self.number(old) {
                Number::Matrix { columns, rows } => self.columns(columns, rows, |this, column| {
                    let column = this.body.index(value, column);
                    Ok(this.flushed(column, Shape::Vector(rows)))
                })?,
                _ => self.flushed(value, shape),
            },
        })
    }

    /// Whether an expression never gives a negative zero: sums, differences and products do not.
    fn has_signless_zeros(&self, old: Handle<Expression>) -> bool {
        let of_numbers = |operand| !matches!(self.number(operand), Number::Matrix { .. });
        match *self.origin.expression(old) {
            Expression::Binary {
                op: BinaryOperator::Add | BinaryOperator::Subtract | BinaryOperator::Multiply,
                left,
                right,
            } => of_numbers(left) && of_numbers(right),
            Expression::Math { fun: MathFunction::Dot | MathFunction::Fma, .. } => true,
            _ => false,
        }
    }

    fn canonical(
        &mut self,
        value: Value,
        inner: &TypeInner,
        ty: Option<Handle<Type>>,
        signless: bool,
    ) -> Result<Value, Refusal> {
        if floats(self.origin.module, inner) == 0 {
            return Ok(value);
        }
        match Number::of(inner) {
            Number::Of(shape, _) => return Ok(self.canonical_number(value, shape, signless)),
            Number::Matrix { columns, rows } => {
                return self.columns(columns, rows, |this, column| {
                    let column = this.body.index(value, column);
                    Ok(this.canonical_number(column, Shape::Vector(rows), false))
                });
            }
            Number::Other => {}
        }
        let types = &self.origin.module.types;
        let mut components = Vec::new();
        match inner {
            TypeInner::Array { base, size: ArraySize::Constant(size), .. } => {
                for index in 0..size.get() {
                    let element = self.body.index(value, index);
                    components.push(self.canonical(element, &types[*base].inner, Some(*base), false)?);
                }
            }
            TypeInner::Struct { members, .. } => {
                for (index, member) in (0_u32..).zip(members) {
                    let element = self.body.index(value, index);
                    components.push(self.canonical(element, &types[member.ty].inner, Some(member.ty), false)?);
                }
            }
            _ => return Ok(value),
        }
        match ty {
            Some(ty) => Ok(self.body.compose(ty, components)),
            None => self.refuse("this value has no type of its own"),
        }
    }

    fn uints(&mut self, value: u32, shape: Shape) -> Value {
        let value = self.body.uint(value);
        self.body.splat(value, shape)
    }

    /// The value with subnormal numbers replaced by zero.
    fn flushed(&mut self, value: Value, shape: Shape) -> Value {
        let bits = self.body.bitcast(value, ScalarKind::Uint);
        let (mask, none) = (self.uints(EXPONENT, shape), self.uints(0, shape));
        let exponent = self.body.binary(BinaryOperator::And, bits, mask, shape);
        let tiny = self.body.binary(BinaryOperator::Equal, exponent, none, shape);
        let zero = self.body.float(0.0);
        let zero = self.body.splat(zero, shape);
        self.body.select(tiny, zero, value, shape)
    }

    /// The number with one form of zero and one of NaN. `signless`: its zeros have no sign already.
    fn canonical_number(&mut self, value: Value, shape: Shape, signless: bool) -> Value {
        let bits = self.body.bitcast(value, ScalarKind::Uint);
        let mut number = bits;
        if !signless {
            let (sign, zero) = (self.uints(SIGN, shape), self.uints(0, shape));
            let minus_zero = self.body.binary(BinaryOperator::Equal, bits, sign, shape);
            number = self.body.select(minus_zero, zero, bits, shape);
        }
        let mask = self.uints(!SIGN, shape);
        let magnitude = self.body.binary(BinaryOperator::And, bits, mask, shape);
        let infinity = self.uints(EXPONENT, shape);
        let not_a_number = self.body.binary(BinaryOperator::Greater, magnitude, infinity, shape);
        let nan = self.uints(NAN, shape);
        let number = self.body.select(not_a_number, nan, number, shape);
        self.body.bitcast(number, ScalarKind::Float)
    }
}
