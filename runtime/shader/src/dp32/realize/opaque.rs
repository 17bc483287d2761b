//! The zero that only the running device knows, and the values that are hidden behind it.

use naga::proc::TypeResolution;
use naga::{
    AddressSpace, Arena, ArraySize, BinaryOperator, Expression, Function, FunctionArgument, Handle, Literal,
    LocalVariable, Module, Scalar, Span, Statement, Type, TypeInner, VectorSize,
};

use super::{Realizer, Rewriter, Width, slot};
use crate::Refusal;
use crate::dp32::{Tier, system};
use crate::refusal::defect;
use crate::visit::{for_each_operand_mut, for_each_statement};

/// The zeros of a value with up to so many scalars are made opaque one by one. A larger value keeps its zeros, and the values
/// that are taken out of it are made opaque.
const MAX_OPAQUE_LEAVES: usize = 64;

pub(super) const MAGNITUDE: i32 = i32::MAX;

/// The bits of the canonical NaN.
pub(super) const NAN: u32 = 0x7fc0_0000;

/// The run-time zero in one width, if the function has it.
#[derive(Clone, Copy, Default)]
pub(super) struct Zero {
    /// As i32.
    pub(super) bits: Option<Handle<Expression>>,
    /// As f32.
    float: Option<Handle<Expression>>,
    /// With the sign bit set, as i32.
    pub(super) sign: Option<Handle<Expression>>,
}

/// A component of a composite.
#[derive(Clone, Copy)]
enum Part {
    Of(Handle<Type>),
    /// A column of a matrix, with so many rows.
    Column(VectorSize),
}

impl Realizer<'_> {
    /// Whether a value of this type has f32 in it, and so few scalars that each can be made opaque.
    pub(super) fn opaque_leaves(&self, ty: Handle<Type>) -> bool {
        let mut leaves = MAX_OPAQUE_LEAVES;
        let mut floats = false;
        self.count_leaves(ty, 1, &mut leaves, &mut floats).is_some() && floats
    }

    /// Whether a constant expression of few scalars has an f32 zero in it.
    pub(super) fn has_zero(&self, arena: &Arena<Expression>, constant: Handle<Expression>) -> bool {
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
}

/// The barrier.
impl Rewriter<'_, '_> {
    pub(super) fn zero(&self, width: Width) -> Zero {
        self.zeros.get(slot(width)).copied().unwrap_or_default()
    }

    /// The bits of a number behind the barrier: no driver knows anything about them.
    pub(super) fn opaque_bits(
        &mut self,
        float: Handle<Expression>,
        width: Width,
    ) -> Result<Handle<Expression>, Refusal> {
        let zero = self.zero(width).bits.ok_or_else(no_zero)?;
        let bits = self.as_int(float);
        Ok(self.binary(BinaryOperator::InclusiveOr, bits, zero))
    }

    pub(super) fn opaque(&mut self, float: Handle<Expression>, width: Width) -> Result<Handle<Expression>, Refusal> {
        let bits = self.opaque_bits(float, width)?;
        Ok(self.as_float(bits))
    }

    /// The same number, but no driver knows that it is the same. This uses XOR, not the OR of the barrier: a second OR with
    /// the same zero changes nothing, and a driver could see that.
    pub(super) fn distinct(&mut self, float: Handle<Expression>, width: Width) -> Result<Handle<Expression>, Refusal> {
        let zero = self.zero(width).bits.ok_or_else(no_zero)?;
        let bits = self.as_int(float);
        let bits = self.binary(BinaryOperator::ExclusiveOr, bits, zero);
        Ok(self.as_float(bits))
    }

    /// A result behind the barrier, or zero if the bits of its magnitude are at most `threshold`.
    pub(super) fn flushed(
        &mut self,
        result: Handle<Expression>,
        width: Width,
        threshold: i32,
    ) -> Result<Handle<Expression>, Refusal> {
        let [mask, threshold, nothing] = [MAGNITUDE, threshold, 0].map(|value| self.int(value, width));
        let zero = self.zero(width).bits.ok_or_else(no_zero)?;
        let bits = self.as_int(result);
        let magnitude = self.binary(BinaryOperator::And, bits, mask);
        let condition = self.binary(BinaryOperator::Greater, magnitude, threshold);
        let kept = self.emit(Expression::Select { condition, accept: bits, reject: nothing });
        // After the flush, to make its zero opaque too.
        let kept = self.binary(BinaryOperator::InclusiveOr, kept, zero);
        Ok(self.as_float(kept))
    }

    /// Whether an expression takes something out of a value that is too large for its zeros to be opaque.
    pub(super) fn is_from_large(&self, old: Handle<Expression>) -> bool {
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
    pub(super) fn opaque_value(
        &mut self,
        old: Handle<Expression>,
        value: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
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

    fn opaque_parts(&mut self, value: Handle<Expression>, ty: Handle<Type>) -> Result<Handle<Expression>, Refusal> {
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
}

/// Values that are known before the function runs.
impl<'a> Rewriter<'_, 'a> {
    /// Writes the code before the body. Returns whether the function now takes the zero as its last argument.
    pub(super) fn prologue(&mut self, entry_point: bool) -> Result<bool, Refusal> {
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
        let mut needs = self.source.expressions.iter().any(|(handle, _)| self.has_floats(handle));
        for_each_statement(&self.source.body, &mut |statement, _| {
            if let Statement::Call { function, .. } = statement {
                needs |= self.realizer.functions.get(function).is_some_and(|callee| callee.takes_zero);
            }
        });
        needs
    }

    /// Takes the zero from the buffer or the caller, in each width in which the function has floats.
    fn place_zeros(&mut self, entry_point: bool) -> Result<(), Refusal> {
        let word = if entry_point {
            let (params, index) = (self.realizer.params, system::params::ZERO);
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
        // Values that are taken apart may have vectors of widths that occur nowhere else.
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
    fn float_zero(&mut self, width: Width) -> Result<Handle<Expression>, Refusal> {
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
    pub(super) fn opaque_zero(&mut self, ty: Handle<Type>) -> Result<Handle<Expression>, Refusal> {
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
    ) -> Result<Handle<Expression>, Refusal> {
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

    /// Copies a constant unchanged, to initialize a variable with.
    fn copy_constant(
        &mut self,
        arena: &'a Arena<Expression>,
        constant: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
        let mut expression = arena[constant].clone();
        for_each_operand_mut(&mut expression, |operand| {
            *operand = self.copy_constant(arena, *operand)?;
            Ok(())
        })?;
        Ok(self.place(expression))
    }
}

pub(super) fn no_zero() -> Refusal {
    defect("a function lacks the zero")
}
