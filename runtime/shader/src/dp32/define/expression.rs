//! Rewrites expressions.

use naga::{
    ArraySize, BinaryOperator, Expression, Handle, Literal, Scalar, ScalarKind, TypeInner, UnaryOperator, VectorSize,
};

use super::body::{Body, Shape, Value};
use super::content::Content;
use super::function::FunctionDefiner;
use crate::Refusal;

/// The type of an expression, as far as the profile distinguishes types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Of(Shape, ScalarKind),
    Matrix { columns: VectorSize, rows: VectorSize },
    Other,
}

impl Number {
    pub(super) fn of(inner: &TypeInner) -> Self {
        match *inner {
            TypeInner::Scalar(scalar) => Self::Of(Shape::Scalar, scalar.kind),
            TypeInner::Vector { size, scalar } => Self::Of(Shape::Vector(size), scalar.kind),
            TypeInner::Matrix { columns, rows, .. } => Self::Matrix { columns, rows },
            _ => Self::Other,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Of(_, ScalarKind::Float) | Self::Matrix { .. })
    }

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Of(shape, _) => shape,
            _ => Shape::Scalar,
        }
    }
}

impl FunctionDefiner<'_, '_, '_> {
    pub(super) fn number(&self, expression: Handle<Expression>) -> Number {
        Number::of(self.origin.inner(expression))
    }

    pub(super) fn expression(&mut self, old: Handle<Expression>) -> Result<Value, Refusal> {
        let source = self.origin.expression(old);
        let value = match *source {
            Expression::Literal(literal) => self.body.exact(literal),
            Expression::Constant(constant) => match self.origin.guest {
                Some(_) if self.content.of(old) != Content::Moved => self.body.declare(Expression::Constant(constant)),
                _ => {
                    let init = self.origin.module.constants[constant].init;
                    self.spelled_constant(init)?
                }
            },
            Expression::ZeroValue(ty) => {
                let ty = self.ty(ty)?;
                self.body.declare(Expression::ZeroValue(ty))
            }
            Expression::FunctionArgument(index) => self.body.declare(Expression::FunctionArgument(index)),
            Expression::GlobalVariable(variable) if self.origin.guest.is_some() => self.body.global(variable),
            Expression::LocalVariable(variable) => {
                let variable = self.local(variable)?;
                self.body.local(variable)
            }
            Expression::Compose { ty, ref components } => {
                let ty = self.ty(ty)?;
                let is_moved = self.content.of(old) == Content::Moved;
                let components = components
                    .iter()
                    .map(|part| if is_moved { self.seen(*part) } else { self.value(*part) })
                    .collect::<Result<_, _>>()?;
                self.body.compose(ty, components)
            }
            Expression::Access { base, index } => {
                let whole = self.value(base)?;
                self.access(base, whole, index)?
            }
            Expression::AccessIndex { base, index } => {
                let base = self.value(base)?;
                self.body.index(base, index)
            }
            Expression::Splat { size, value } => {
                let value = self.value(value)?;
                self.body.splat(value, Shape::Vector(size))
            }
            Expression::Swizzle { size, vector, pattern } => {
                let vector = self.value(vector)?;
                self.body.emit(Expression::Swizzle { size, vector, pattern }, 1)
            }
            Expression::Load { pointer } => {
                let from = self.value(pointer)?;
                let components = self.number(old).shape().components();
                self.body.emit(Expression::Load { pointer: from }, components)
            }
            Expression::Unary { op, expr } => {
                let shape = self.number(expr).shape();
                let expr = self.operand(expr)?;
                self.body.unary(op, expr, shape)
            }
            Expression::Binary { op, left, right } => self.binary_expression(op, left, right)?,
            Expression::Select { condition, accept, reject } => {
                let shape = self.number(old).shape();
                let condition = self.value(condition)?;
                let (accept, reject) = match self.content.of(old) {
                    Content::Moved => (self.seen(accept)?, self.seen(reject)?),
                    _ => (self.value(accept)?, self.value(reject)?),
                };
                self.body.select(condition, accept, reject, shape)
            }
            Expression::Relational { fun, argument } => {
                let argument = self.value(argument)?;
                self.body.emit(Expression::Relational { fun, argument }, 1)
            }
            Expression::Math { fun, arg, arg1, arg2, arg3 } => self.builtin(old, fun, arg, [arg1, arg2, arg3])?,
            Expression::As { expr, kind, convert } => self.conversion(expr, kind, convert)?,
            Expression::ArrayLength(array) => {
                let array = self.value(array)?;
                self.body.emit(Expression::ArrayLength(array), 1)
            }
            _ => return self.refuse("this expression is not available in profile dp32"),
        };
        Ok(value)
    }

    /// A constant of the origin's module, written out.
    fn spelled_constant(&mut self, init: Handle<Expression>) -> Result<Value, Refusal> {
        let origin = self.origin;
        let definer = &mut *self.definer;
        let mut ty = |ty| match origin.guest {
            Some(_) => Ok(ty),
            None => definer.helper_type(origin.module, ty),
        };
        self.body.constant(origin.module, init, &mut ty)
    }

    /// An element by index. Out of bounds, loads give zero and stores do nothing: see the primitives. `new_base` is the
    /// new value of `base`.
    pub(super) fn access(
        &mut self,
        base: Handle<Expression>,
        new_base: Value,
        index: Handle<Expression>,
    ) -> Result<Value, Refusal> {
        let (container, scalar) = (self.container(base), self.number(index));
        let new_index = self.value(index)?;
        if let (Some(length), Some(constant)) = (container, self.constant_index(index))
            && constant < length
        {
            return Ok(self.body.index(new_base, constant));
        }
        // naga does not accept a constant index out of bounds, which may come from an override: the cast hides it.
        let is_literal = matches!(self.origin.expression(index), Expression::Literal(_));
        let unsigned = match scalar {
            Number::Of(_, ScalarKind::Sint) => self.body.bitcast(new_index, ScalarKind::Uint),
            _ if is_literal => {
                let signed = self.body.bitcast(new_index, ScalarKind::Sint);
                self.body.bitcast(signed, ScalarKind::Uint)
            }
            _ => new_index,
        };
        // For the comparison with the length.
        self.body.charge(1);
        Ok(self.body.emit(Expression::Access { base: new_base, index: unsigned }, 1))
    }

    fn constant_index(&self, index: Handle<Expression>) -> Option<u32> {
        match *self.origin.expression(index) {
            Expression::Literal(Literal::U32(value)) => Some(value),
            Expression::Literal(Literal::I32(value)) => u32::try_from(value).ok(),
            _ => None,
        }
    }

    /// How many elements there are to index; None for a run-time sized array.
    fn container(&self, base: Handle<Expression>) -> Option<u32> {
        let types = &self.origin.module.types;
        let inner = match self.origin.inner(base) {
            TypeInner::Pointer { base, .. } => &types[*base].inner,
            TypeInner::ValuePointer { size: Some(size), .. } => return Some(*size as u32),
            inner => inner,
        };
        match inner {
            TypeInner::Vector { size, .. } => Some(*size as u32),
            TypeInner::Matrix { columns, .. } => Some(*columns as u32),
            TypeInner::Array { size: ArraySize::Constant(size), .. } => Some(size.get()),
            _ => None,
        }
    }

    fn binary_expression(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Result<Value, Refusal> {
        let (of_left, of_right) = (self.number(left), self.number(right));
        let (new_left, new_right) = (self.operand(left)?, self.operand(right)?);
        match (of_left, of_right) {
            (Number::Matrix { .. }, _) | (_, Number::Matrix { .. }) => {
                return self.matrix_operation(op, (new_left, of_left), (new_right, of_right));
            }
            _ => {}
        }
        let (left_shape, right_shape) = (of_left.shape(), of_right.shape());
        if op == BinaryOperator::ShiftLeft || op == BinaryOperator::ShiftRight {
            let amount = match self.constant_index(right) {
                Some(amount) if amount < 32 => new_right,
                _ => {
                    let mask = self.body.uint(31);
                    let mask = self.body.splat(mask, right_shape);
                    self.body.binary(BinaryOperator::And, new_right, mask, right_shape)
                }
            };
            return Ok(self.body.binary(op, new_left, amount, left_shape));
        }
        let divisor = right;
        let (shape, left, right) = match (left_shape, right_shape) {
            (Shape::Vector(_), Shape::Scalar) => {
                let right = self.body.splat(new_right, left_shape);
                (left_shape, new_left, right)
            }
            (Shape::Scalar, Shape::Vector(_)) => {
                let left = self.body.splat(new_left, right_shape);
                (right_shape, left, new_right)
            }
            _ => (left_shape, new_left, new_right),
        };
        if let Number::Of(_, kind @ (ScalarKind::Sint | ScalarKind::Uint)) = of_left
            && matches!(op, BinaryOperator::Divide | BinaryOperator::Modulo)
        {
            let is_known = self.constant_index(divisor).is_some_and(|divisor| divisor != 0);
            let right = if is_known { right } else { self.safe_divisor(left, right, kind, shape) };
            let body = &mut self.body;
            if op == BinaryOperator::Divide || kind == ScalarKind::Uint {
                return Ok(body.binary(op, left, right, shape));
            }
            // GLSL does not define the remainder of a negative number.
            let quotient = body.binary(BinaryOperator::Divide, left, right, shape);
            let product = body.binary(BinaryOperator::Multiply, quotient, right, shape);
            return Ok(body.binary(BinaryOperator::Subtract, left, product, shape));
        }
        if !of_left.is_float() {
            return Ok(self.body.binary(op, left, right, shape));
        }
        match op {
            BinaryOperator::NotEqual => {
                let equal = self.body.binary(BinaryOperator::Equal, left, right, shape);
                Ok(self.body.unary(UnaryOperator::LogicalNot, equal, shape))
            }
            BinaryOperator::Modulo => self.each("dp_remainder", shape, &[left, right]),
            _ => Ok(self.body.binary(op, left, right, shape)),
        }
    }

    /// The divisor, or 1 where there is no quotient: for a division by zero, and of the smallest number by −1. This gives
    /// the results that WGSL demands, which not every back end of naga ensures.
    fn safe_divisor(&mut self, left: Value, right: Value, kind: ScalarKind, shape: Shape) -> Value {
        let body = &mut self.body;
        let number = |body: &mut Body, unsigned: u32, signed: i32| {
            let literal = if kind == ScalarKind::Sint { Literal::I32(signed) } else { Literal::U32(unsigned) };
            let literal = body.literal(literal);
            body.splat(literal, shape)
        };
        let zero = number(body, 0, 0);
        let mut hopeless = body.binary(BinaryOperator::Equal, right, zero, shape);
        if kind == ScalarKind::Sint {
            let (smallest, minus_one) = (number(body, 0, i32::MIN), number(body, 0, -1));
            let of_smallest = body.binary(BinaryOperator::Equal, left, smallest, shape);
            let by_minus_one = body.binary(BinaryOperator::Equal, right, minus_one, shape);
            let overflows = body.binary(BinaryOperator::And, of_smallest, by_minus_one, shape);
            hopeless = body.binary(BinaryOperator::InclusiveOr, hopeless, overflows, shape);
        }
        let one = number(body, 1, 1);
        body.select(hopeless, one, right, shape)
    }

    /// Sums of products go from the first column to the last.
    fn matrix_operation(
        &mut self,
        op: BinaryOperator,
        (left, of_left): (Value, Number),
        (right, of_right): (Value, Number),
    ) -> Result<Value, Refusal> {
        match (op, of_left, of_right) {
            (
                BinaryOperator::Add | BinaryOperator::Subtract,
                Number::Matrix { columns, rows },
                Number::Matrix { .. },
            ) => self.columns(columns, rows, |this, column| {
                let (a, b) = (this.body.index(left, column), this.body.index(right, column));
                Ok(this.body.binary(op, a, b, Shape::Vector(rows)))
            }),
            (BinaryOperator::Multiply, Number::Matrix { columns, rows }, Number::Of(Shape::Scalar, _)) => {
                self.columns(columns, rows, |this, column| Ok(this.scaled(left, column, right, rows)))
            }
            (BinaryOperator::Multiply, Number::Of(Shape::Scalar, _), Number::Matrix { columns, rows }) => {
                self.columns(columns, rows, |this, column| Ok(this.scaled(right, column, left, rows)))
            }
            (BinaryOperator::Multiply, Number::Matrix { columns, rows }, Number::Of(Shape::Vector(_), _)) => {
                Ok(self.combine(left, columns, rows, right))
            }
            (BinaryOperator::Multiply, Number::Of(Shape::Vector(rows), _), Number::Matrix { columns, .. }) => {
                let mut components = Vec::new();
                for column in 0..columns as u32 {
                    let column = self.body.index(right, column);
                    components.push(self.dot(left, column, rows)?);
                }
                let ty = self.definer.shaped(Shape::Vector(columns), Scalar::F32);
                Ok(self.body.compose(ty, components))
            }
            (BinaryOperator::Multiply, Number::Matrix { columns: inner, rows }, Number::Matrix { columns, .. }) => self
                .columns(columns, rows, |this, column| {
                    let vector = this.body.index(right, column);
                    Ok(this.combine(left, inner, rows, vector))
                }),
            _ => self.refuse("this matrix operation is not available in profile dp32"),
        }
    }

    pub(super) fn columns(
        &mut self,
        columns: VectorSize,
        rows: VectorSize,
        mut column: impl FnMut(&mut Self, u32) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let components = (0..columns as u32).map(|index| column(self, index)).collect::<Result<_, _>>()?;
        let ty = self.definer.ty(TypeInner::Matrix { columns, rows, scalar: Scalar::F32 });
        Ok(self.body.compose(ty, components))
    }

    fn scaled(&mut self, matrix: Value, column: u32, factor: Value, rows: VectorSize) -> Value {
        let shape = Shape::Vector(rows);
        let column = self.body.index(matrix, column);
        let factor = self.body.splat(factor, shape);
        self.body.binary(BinaryOperator::Multiply, column, factor, shape)
    }

    /// The sum of a matrix's columns, each times a component of `vector`.
    fn combine(&mut self, matrix: Value, columns: VectorSize, rows: VectorSize, vector: Value) -> Value {
        let factor = self.body.index(vector, 0);
        let mut sum = self.scaled(matrix, 0, factor, rows);
        for column in 1..columns as u32 {
            let factor = self.body.index(vector, column);
            let product = self.scaled(matrix, column, factor, rows);
            sum = self.body.binary(BinaryOperator::Add, sum, product, Shape::Vector(rows));
        }
        sum
    }

    fn conversion(
        &mut self,
        expr: Handle<Expression>,
        kind: ScalarKind,
        convert: Option<naga::Bytes>,
    ) -> Result<Value, Refusal> {
        let from = self.number(expr);
        let Number::Of(shape, from_kind) = from else {
            // A matrix of f32 becomes one of f32.
            return self.value(expr);
        };
        if from_kind == ScalarKind::Float && kind == ScalarKind::Float {
            return self.value(expr);
        }
        let Some(width) = convert else {
            let bits = self.seen(expr)?;
            return Ok(self.body.bitcast(bits, kind));
        };
        let value = self.operand(expr)?;
        let to = Scalar { kind, width };
        Ok(match (from_kind, kind) {
            (ScalarKind::Float, ScalarKind::Bool) => {
                let zero = self.body.float(0.0);
                let zero = self.body.splat(zero, shape);
                let equal = self.body.binary(BinaryOperator::Equal, value, zero, shape);
                self.body.unary(UnaryOperator::LogicalNot, equal, shape)
            }
            (ScalarKind::Bool, ScalarKind::Float) => {
                let (one, zero) = (self.body.float(1.0), self.body.float(0.0));
                let (one, zero) = (self.body.splat(one, shape), self.body.splat(zero, shape));
                self.body.select(value, one, zero, shape)
            }
            _ => self.body.convert(value, to, shape),
        })
    }
}
