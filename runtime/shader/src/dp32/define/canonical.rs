//! Where values meet memory that others see: subnormals are flushed on the way in, zeros and NaNs
//! are made canonical on the way out.

use naga::{ArraySize, BinaryOperator, Expression, Handle, Module, ScalarKind, Type, TypeInner};

use super::body::{Shape, Value};
use super::expression::Number;
use super::function::FunctionDefiner;
use crate::Diagnostic;

/// The most numbers in a value that is loaded or stored whole.
const MAX_PARTS: u32 = 256;

const SIGN: u32 = 0x8000_0000;
const EXPONENT: u32 = 0x7f80_0000;
const NAN: u32 = 0x7fc0_0000;

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

impl FunctionDefiner<'_, '_, '_> {
    /// A value that was loaded from shared memory.
    pub(super) fn incoming(&mut self, value: Value, source: Handle<Expression>) -> Result<Value, Diagnostic> {
        self.crossing(value, source, Way::In)
    }

    /// A value that is about to be stored to shared memory.
    pub(super) fn outgoing(&mut self, value: Value, source: Handle<Expression>) -> Result<Value, Diagnostic> {
        self.crossing(value, source, Way::Out)
    }

    fn crossing(&mut self, value: Value, source: Handle<Expression>, way: Way) -> Result<Value, Diagnostic> {
        let inner = self.origin.inner(source);
        match floats(self.origin.module, inner) {
            0 => Ok(value),
            1..=MAX_PARTS => {
                let ty = self.origin.info[source].ty.handle();
                self.part(value, inner, ty, way)
            }
            _ => self.refuse(&format!(
                "more than {MAX_PARTS} numbers are copied from or to a buffer at once; copy the elements in a loop"
            )),
        }
    }

    fn part(
        &mut self,
        value: Value,
        inner: &TypeInner,
        ty: Option<Handle<Type>>,
        way: Way,
    ) -> Result<Value, Diagnostic> {
        if floats(self.origin.module, inner) == 0 {
            return Ok(value);
        }
        match Number::of(inner) {
            Number::Of(shape, _) => return Ok(self.number_crossing(value, shape, way)),
            Number::Matrix { columns, rows } => {
                return self.columns(columns, rows, |this, column| {
                    let column = this.body.index(value, column);
                    Ok(this.number_crossing(column, Shape::Vector(rows), way))
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
                    components.push(self.part(element, &types[*base].inner, Some(*base), way)?);
                }
            }
            TypeInner::Struct { members, .. } => {
                for (index, member) in (0_u32..).zip(members) {
                    let element = self.body.index(value, index);
                    components.push(self.part(element, &types[member.ty].inner, Some(member.ty), way)?);
                }
            }
            _ => return Ok(value),
        }
        match ty {
            Some(ty) => Ok(self.body.compose(ty, components)),
            None => self.refuse("this value has no type of its own"),
        }
    }

    fn number_crossing(&mut self, value: Value, shape: Shape, way: Way) -> Value {
        match way {
            Way::In => self.flushed(value, shape),
            Way::Out => {
                let bits = self.canonical_bits(value, shape);
                self.body.bitcast(bits, ScalarKind::Float)
            }
        }
    }

    fn uints(&mut self, value: u32, shape: Shape) -> Value {
        let value = self.body.uint(value);
        self.body.splat(value, shape)
    }

    /// Subnormal bits become zero.
    pub(super) fn flushed(&mut self, value: Value, shape: Shape) -> Value {
        let bits = self.body.bitcast(value, ScalarKind::Uint);
        let (mask, none) = (self.uints(EXPONENT, shape), self.uints(0, shape));
        let exponent = self.body.binary(BinaryOperator::And, bits, mask, shape);
        let tiny = self.body.binary(BinaryOperator::Equal, exponent, none, shape);
        let zero = self.body.float(0.0);
        let zero = self.body.splat(zero, shape);
        self.body.select(tiny, zero, value, shape)
    }

    /// The bits of a value that has only one form of zero and of NaN.
    pub(super) fn canonical_bits(&mut self, value: Value, shape: Shape) -> Value {
        let bits = self.body.bitcast(value, ScalarKind::Uint);
        let (sign, zero) = (self.uints(SIGN, shape), self.uints(0, shape));
        let minus_zero = self.body.binary(BinaryOperator::Equal, bits, sign, shape);
        let signless = self.uints(!SIGN, shape);
        let magnitude = self.body.binary(BinaryOperator::And, bits, signless, shape);
        let infinity = self.uints(EXPONENT, shape);
        let not_a_number = self.body.binary(BinaryOperator::Greater, magnitude, infinity, shape);
        let number = self.body.select(minus_zero, zero, bits, shape);
        let nan = self.uints(NAN, shape);
        self.body.select(not_a_number, nan, number, shape)
    }
}

/// How many f32 a type has, counting no further than needed.
fn floats(module: &Module, inner: &TypeInner) -> u32 {
    match inner {
        TypeInner::Scalar(scalar) => u32::from(scalar.kind == ScalarKind::Float),
        TypeInner::Vector { size, scalar } if scalar.kind == ScalarKind::Float => *size as u32,
        TypeInner::Matrix { columns, rows, .. } => *columns as u32 * *rows as u32,
        TypeInner::Array { base, size: ArraySize::Constant(size), .. } => {
            floats(module, &module.types[*base].inner).saturating_mul(size.get())
        }
        TypeInner::Struct { members, .. } => {
            members.iter().map(|member| floats(module, &module.types[member.ty].inner)).fold(0, u32::saturating_add)
        }
        _ => 0,
    }
}
