//! The numeric builtins: most of those on integers stay; those on `f32` become primitives or calls of the prelude.

use naga::{BinaryOperator, Expression, Handle, Literal, MathFunction, Scalar, ScalarKind, TypeInner, VectorSize};

use super::body::{Shape, Value};
use super::expression::Number;
use super::function::FunctionDefiner;
use crate::Refusal;

impl FunctionDefiner<'_, '_, '_> {
    /// Calls a helper and returns its result.
    fn helper(&mut self, name: &str, arguments: Vec<Value>) -> Result<Value, Refusal> {
        let callee = self.definer.helper(name)?;
        match self.call(callee, arguments) {
            Some(value) => Ok(value),
            None => self.refuse("a function of the prelude returns nothing"),
        }
    }

    /// Calls a helper on scalars for each component; the components of the result are `f32`.
    pub(super) fn each(&mut self, name: &str, shape: Shape, arguments: &[Value]) -> Result<Value, Refusal> {
        self.each_of(name, shape, arguments, Scalar::F32)
    }

    fn each_of(&mut self, name: &str, shape: Shape, arguments: &[Value], result: Scalar) -> Result<Value, Refusal> {
        let Shape::Vector(_) = shape else {
            return self.helper(name, arguments.to_vec());
        };
        let mut components = Vec::new();
        for index in 0..shape.count() {
            let parts = arguments.iter().map(|argument| self.body.index(*argument, index)).collect();
            components.push(self.helper(name, parts)?);
        }
        let ty = self.definer.shaped(shape, result);
        Ok(self.body.compose(ty, components))
    }

    /// The sum of products, from the first component to the last.
    pub(super) fn dot(&mut self, a: Value, b: Value, size: VectorSize) -> Result<Value, Refusal> {
        self.helper(&sized("dp_dot", size), vec![a, b])
    }

    fn minimum(&mut self, a: Value, b: Value, shape: Shape) -> Value {
        let less = self.body.binary(BinaryOperator::Less, b, a, shape);
        self.body.select(less, b, a, shape)
    }

    fn maximum(&mut self, a: Value, b: Value, shape: Shape) -> Value {
        let less = self.body.binary(BinaryOperator::Less, a, b, shape);
        self.body.select(less, b, a, shape)
    }

    /// An argument in the shape of the result: some builtins take a scalar together with vectors.
    fn argument(&mut self, argument: Handle<Expression>, shape: Shape) -> Result<Value, Refusal> {
        let given = self.number(argument).shape();
        let value = self.operand(argument)?;
        Ok(if given == shape { value } else { self.body.splat(value, shape) })
    }

    pub(super) fn builtin(
        &mut self,
        old: Handle<Expression>,
        fun: MathFunction,
        arg: Handle<Expression>,
        more: [Option<Handle<Expression>>; 3],
    ) -> Result<Value, Refusal> {
        use MathFunction as F;
        let of = self.number(arg);
        if let F::Unpack4x8snorm | F::Unpack4x8unorm | F::Unpack2x16snorm | F::Unpack2x16unorm | F::Unpack2x16float =
            fun
        {
            let value = self.value(arg)?;
            return self.helper(pack_name(fun), vec![value]);
        }
        if !of.is_float() {
            let arg = self.value(arg)?;
            let [arg1, arg2, arg3] = more;
            let (arg1, arg2, arg3) = (self.optional(arg1)?, self.optional(arg2)?, self.optional(arg3)?);
            match (fun, arg1, arg2) {
                // Not every back end has these for all numbers.
                (F::Abs, ..) if matches!(of, Number::Of(_, ScalarKind::Uint)) => return Ok(arg),
                (F::Abs, ..) => return Ok(self.absolute_integer(arg, of.shape())),
                (F::Sign, ..) => {
                    let (least, most) = (self.body.literal(Literal::I32(-1)), self.body.literal(Literal::I32(1)));
                    let (least, most) = (self.body.splat(least, of.shape()), self.body.splat(most, of.shape()));
                    let raised = self.body.math2(F::Max, arg, least, of.shape());
                    return Ok(self.body.math2(F::Min, raised, most, of.shape()));
                }
                (F::Pack4xI8 | F::Pack4xU8 | F::Pack4xI8Clamp | F::Pack4xU8Clamp, ..) => {
                    return Ok(self.packed_bytes(fun, arg, of.shape()));
                }
                (F::Clamp, Some(low), Some(high)) => {
                    let raised = self.body.math2(F::Max, arg, low, of.shape());
                    return Ok(self.body.math2(F::Min, raised, high, of.shape()));
                }
                _ => {}
            }
            let components = of.shape().components();
            return Ok(self.body.emit(Expression::Math { fun, arg, arg1, arg2, arg3 }, components));
        }
        if let Number::Matrix { columns, .. } = of {
            return self.matrix_builtin(fun, arg, columns);
        }
        let shape = of.shape();
        let x = self.operand(arg)?;
        let [second, third, _] = more;
        let second = second.unwrap_or(arg);
        let third = third.unwrap_or(arg);
        match fun {
            F::Abs | F::Floor | F::Ceil | F::Trunc | F::Round | F::Sqrt => Ok(self.body.math(fun, x, shape)),
            F::Min => {
                let y = self.argument(second, shape)?;
                Ok(self.minimum(x, y, shape))
            }
            F::Max => {
                let y = self.argument(second, shape)?;
                Ok(self.maximum(x, y, shape))
            }
            F::Clamp => {
                let (low, high) = (self.argument(second, shape)?, self.argument(third, shape)?);
                let raised = self.maximum(x, low, shape);
                Ok(self.minimum(raised, high, shape))
            }
            F::Saturate => {
                let (zero, one) = (self.body.float(0.0), self.body.float(1.0));
                let (zero, one) = (self.body.splat(zero, shape), self.body.splat(one, shape));
                let raised = self.maximum(x, zero, shape);
                Ok(self.minimum(raised, one, shape))
            }
            F::Fma => {
                let (y, z) = (self.argument(second, shape)?, self.argument(third, shape)?);
                let product = self.body.binary(BinaryOperator::Multiply, x, y, shape);
                Ok(self.body.binary(BinaryOperator::Add, product, z, shape))
            }
            F::InverseSqrt => {
                let root = self.body.math(F::Sqrt, x, shape);
                let one = self.body.float(1.0);
                let one = self.body.splat(one, shape);
                Ok(self.body.binary(BinaryOperator::Divide, one, root, shape))
            }
            F::Modf => self.pair(old, "dp_modf_fract", ("dp_modf_whole", Scalar::F32), x, shape),
            F::Frexp => self.pair(old, "dp_frexp_fract", ("dp_frexp_exp", Scalar::I32), x, shape),
            F::Dot => match shape {
                Shape::Vector(size) => {
                    let y = self.operand(second)?;
                    self.dot(x, y, size)
                }
                Shape::Scalar => self.refuse("a dot product needs vectors"),
            },
            F::Length | F::Distance if shape == Shape::Scalar => {
                let value = if fun == F::Distance {
                    let y = self.operand(second)?;
                    self.body.binary(BinaryOperator::Subtract, x, y, shape)
                } else {
                    x
                };
                Ok(self.body.math(F::Abs, value, shape))
            }
            F::Cross => {
                let y = self.operand(second)?;
                self.helper("dp_cross", vec![x, y])
            }
            F::Length | F::Distance | F::Normalize | F::FaceForward | F::Reflect | F::Refract => {
                let Shape::Vector(size) = shape else {
                    return self.refuse("this function needs vectors");
                };
                let name = sized(geometry_name(fun), size);
                let mut arguments = vec![x];
                for argument in more.into_iter().flatten() {
                    arguments.push(self.operand(argument)?);
                }
                self.helper(&name, arguments)
            }
            F::Pack4x8snorm | F::Pack4x8unorm | F::Pack2x16snorm | F::Pack2x16unorm | F::Pack2x16float => {
                self.helper(pack_name(fun), vec![x])
            }
            F::Ldexp => {
                let exponent = self.argument(second, shape)?;
                self.each("dp_ldexp", shape, &[x, exponent])
            }
            _ => match componentwise_name(fun) {
                Some(name) => {
                    let mut arguments = vec![x];
                    for argument in more.into_iter().flatten() {
                        arguments.push(self.argument(argument, shape)?);
                    }
                    self.each(name, shape, &arguments)
                }
                None => self.refuse("this builtin is not available in profile dp32"),
            },
        }
    }

    /// The absolute value of an `i32`, computed on its bits. The smallest number is its own absolute value, and a driver must
    /// not assume that the result is positive.
    fn absolute_integer(&mut self, x: Value, shape: Shape) -> Value {
        let body = &mut self.body;
        let (zero, unsigned_zero) = (body.literal(Literal::I32(0)), body.uint(0));
        let (zero, unsigned_zero) = (body.splat(zero, shape), body.splat(unsigned_zero, shape));
        let is_negative = body.binary(BinaryOperator::Less, x, zero, shape);
        let bits = body.bitcast(x, ScalarKind::Uint);
        let negated = body.binary(BinaryOperator::Subtract, unsigned_zero, bits, shape);
        let bits = body.select(is_negative, negated, bits, shape);
        body.bitcast(bits, ScalarKind::Sint)
    }

    /// Four bytes in a word, the first lowest. naga's back ends for GLSL, HLSL and old MSL write these builtins without
    /// parentheses, and an operator next to them would apply to a part only.
    fn packed_bytes(&mut self, fun: MathFunction, mut x: Value, shape: Shape) -> Value {
        let body = &mut self.body;
        let bounds = match fun {
            MathFunction::Pack4xI8Clamp => (Some(Literal::I32(-128)), Some(Literal::I32(127))),
            MathFunction::Pack4xU8Clamp => (None, Some(Literal::U32(255))),
            _ => (None, None),
        };
        for (fun, bound) in [(MathFunction::Max, bounds.0), (MathFunction::Min, bounds.1)] {
            if let Some(bound) = bound {
                let bound = body.literal(bound);
                let bound = body.splat(bound, shape);
                x = body.math2(fun, x, bound, shape);
            }
        }
        let (bits, mask) = (body.bitcast(x, ScalarKind::Uint), body.uint(0xff));
        let mask = body.splat(mask, shape);
        let bytes = body.binary(BinaryOperator::And, bits, mask, shape);
        let mut word = body.index(bytes, 0);
        for index in 1..shape.count() {
            let (byte, places) = (body.index(bytes, index), body.uint(8 * index));
            let byte = body.binary(BinaryOperator::ShiftLeft, byte, places, Shape::Scalar);
            word = body.binary(BinaryOperator::InclusiveOr, word, byte, Shape::Scalar);
        }
        word
    }

    /// The two halves of `modf` and `frexp`, in the struct that WGSL has for them.
    fn pair(
        &mut self,
        old: Handle<Expression>,
        first: &str,
        (second, scalar): (&str, Scalar),
        x: Value,
        shape: Shape,
    ) -> Result<Value, Refusal> {
        let a = self.each(first, shape, &[x])?;
        let b = self.each_of(second, shape, &[x], scalar)?;
        let ty = match self.origin.info[old].ty.handle() {
            Some(ty) => self.ty(ty)?,
            None => return self.refuse("the result has no type of its own"),
        };
        Ok(self.body.compose(ty, vec![a, b]))
    }

    fn matrix_builtin(
        &mut self,
        fun: MathFunction,
        arg: Handle<Expression>,
        columns: VectorSize,
    ) -> Result<Value, Refusal> {
        match fun {
            MathFunction::Determinant => {
                let matrix = self.operand(arg)?;
                self.helper(&sized("dp_determinant", columns), vec![matrix])
            }
            MathFunction::Transpose => {
                let matrix = self.value(arg)?;
                self.transposed(matrix, arg)
            }
            _ => self.refuse("this builtin is not available for matrices in profile dp32"),
        }
    }

    /// The transpose of a matrix of the type of `old`.
    pub(super) fn transposed(&mut self, matrix: Value, old: Handle<Expression>) -> Result<Value, Refusal> {
        let Number::Matrix { columns, rows } = self.number(old) else {
            return self.refuse("only matrices are transposed");
        };
        let old_columns: Vec<_> = (0..columns as u32).map(|column| self.body.index(matrix, column)).collect();
        self.columns(rows, columns, |this, row| {
            let components = old_columns.iter().map(|column| this.body.index(*column, row)).collect();
            let ty = this.definer.ty(TypeInner::Vector { size: columns, scalar: Scalar::F32 });
            Ok(this.body.compose(ty, components))
        })
    }
}

fn sized(name: &str, size: VectorSize) -> String {
    format!("{name}_{}", size as u32)
}

fn geometry_name(fun: MathFunction) -> &'static str {
    match fun {
        MathFunction::Length => "dp_length",
        MathFunction::Distance => "dp_distance",
        MathFunction::Normalize => "dp_normalize",
        MathFunction::FaceForward => "dp_face_forward",
        MathFunction::Reflect => "dp_reflect",
        _ => "dp_refract",
    }
}

fn pack_name(fun: MathFunction) -> &'static str {
    match fun {
        MathFunction::Pack4x8snorm => "dp_pack4x8snorm",
        MathFunction::Pack4x8unorm => "dp_pack4x8unorm",
        MathFunction::Pack2x16snorm => "dp_pack2x16snorm",
        MathFunction::Pack2x16unorm => "dp_pack2x16unorm",
        MathFunction::Pack2x16float => "dp_pack2x16float",
        MathFunction::Unpack4x8snorm => "dp_unpack4x8snorm",
        MathFunction::Unpack4x8unorm => "dp_unpack4x8unorm",
        MathFunction::Unpack2x16snorm => "dp_unpack2x16snorm",
        MathFunction::Unpack2x16unorm => "dp_unpack2x16unorm",
        _ => "dp_unpack2x16float",
    }
}

fn componentwise_name(fun: MathFunction) -> Option<&'static str> {
    use MathFunction as F;
    Some(match fun {
        F::Cos => "dp_cos",
        F::Cosh => "dp_cosh",
        F::Sin => "dp_sin",
        F::Sinh => "dp_sinh",
        F::Tan => "dp_tan",
        F::Tanh => "dp_tanh",
        F::Acos => "dp_acos",
        F::Asin => "dp_asin",
        F::Atan => "dp_atan",
        F::Atan2 => "dp_atan2",
        F::Asinh => "dp_asinh",
        F::Acosh => "dp_acosh",
        F::Atanh => "dp_atanh",
        F::Radians => "dp_radians",
        F::Degrees => "dp_degrees",
        F::Fract => "dp_fract",
        F::Exp => "dp_exp",
        F::Exp2 => "dp_exp2",
        F::Log => "dp_log",
        F::Log2 => "dp_log2",
        F::Pow => "dp_pow",
        F::Sign => "dp_sign",
        F::Mix => "dp_mix",
        F::Step => "dp_step",
        F::SmoothStep => "dp_smoothstep",
        F::QuantizeToF16 => "dp_quantize_to_f16",
        _ => return None,
    })
}
