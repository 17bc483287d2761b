//! Indices out of bounds: a load gives zero, a store or an atomic does nothing.
//!
//! The first stage does not clamp indices. Here each is clamped, so no driver ever computes an address out of bounds, and a
//! `bool` says whether it was within bounds. A branch around a load would cost more than the load, so the loaded value is
//! replaced instead.

use std::collections::HashMap;

use naga::{
    ArraySize, BinaryOperator, Block, Expression, Handle, Literal, LocalVariable, MathFunction, Scalar, Span,
    Statement, Type, TypeInner,
};

use super::Rewriter;
use crate::Refusal;
use crate::refusal::defect;

/// What is known about indices in one function.
#[derive(Default)]
pub(super) struct Bounds {
    /// For each pointer of the source with an index in it: a `bool` that says whether all its indices are within bounds.
    inside: HashMap<Handle<Expression>, Handle<Expression>>,
    /// The variables in which composites that may be replaced by zeros are assembled, by type.
    scratch: HashMap<Handle<Type>, Handle<LocalVariable>>,
    words: HashMap<u32, Handle<Expression>>,
}

impl Rewriter<'_, '_> {
    fn word(&mut self, word: u32) -> Handle<Expression> {
        if let Some(placed) = self.bounds.words.get(&word) {
            return *placed;
        }
        let placed = self.place(Expression::Literal(Literal::U32(word)));
        self.bounds.words.insert(word, placed);
        placed
    }

    /// An element by an index that is not known before the kernel runs.
    pub(super) fn access(
        &mut self,
        old: Handle<Expression>,
        base: Handle<Expression>,
        index: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
        let (new_base, new_index) = (self.new_of(base)?, self.new_of(index)?);
        // Always within bounds. The system's own counters are indexed like this: the old values of their atomics are used, so
        // these must not be under a condition.
        if let Some(length) = self.length(base)?
            && self.is_masked_below(index, length)
        {
            self.part_of(old, base);
            return Ok(self.emit(Expression::Access { base: new_base, index: new_index }));
        }
        self.element(old, base, new_index)
    }

    /// An element of a run-time sized array by a constant index. None if it is the element of anything else, which naga has found to be within bounds.
    pub(super) fn constant_access(
        &mut self,
        old: Handle<Expression>,
        base: Handle<Expression>,
        index: u32,
    ) -> Result<Option<Handle<Expression>>, Refusal> {
        let TypeInner::Pointer { base: pointee, .. } = self.inner(base) else { return Ok(None) };
        let ty = &self.realizer.source.types[*pointee].inner;
        if !matches!(ty, TypeInner::Array { size: ArraySize::Dynamic, .. }) {
            return Ok(None);
        }
        let new_index = self.word(index);
        self.element(old, base, new_index).map(Some)
    }

    fn element(
        &mut self,
        old: Handle<Expression>,
        base: Handle<Expression>,
        new_index: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
        let new_base = self.new_of(base)?;
        let (length, last) = match self.length(base)? {
            Some(length) => (self.word(length), self.word(length.saturating_sub(1))),
            None => {
                let one = self.word(1);
                let length = self.emit(Expression::ArrayLength(new_base));
                (length, self.binary(BinaryOperator::Subtract, length, one))
            }
        };
        let fun = MathFunction::Min;
        let clamped = self.emit(Expression::Math { fun, arg: new_index, arg1: Some(last), arg2: None, arg3: None });
        let mut inside = self.binary(BinaryOperator::Less, new_index, length);
        if let Some(outer) = self.bounds.inside.get(&base).copied() {
            inside = self.binary(BinaryOperator::LogicalAnd, outer, inside);
        }
        let element = self.emit(Expression::Access { base: new_base, index: clamped });
        if self.inner(old).pointer_space().is_some() {
            self.bounds.inside.insert(old, inside);
            return Ok(element);
        }
        self.or_zero(old, element, inside)
    }

    /// Whether an index is `x & m` for a constant m that is within bounds.
    fn is_masked_below(&self, index: Handle<Expression>, length: u32) -> bool {
        let Expression::Binary { op: BinaryOperator::And, left, right } = self.source.expressions[index] else {
            return false;
        };
        [left, right].iter().any(|operand| {
            matches!(self.source.expressions[*operand], Expression::Literal(Literal::U32(mask)) if mask < length)
        })
    }

    /// Notes that `old`, a part of `base`, is within bounds where `base` is.
    pub(super) fn part_of(&mut self, old: Handle<Expression>, base: Handle<Expression>) {
        if let Some(inside) = self.bounds.inside.get(&base).copied() {
            self.bounds.inside.insert(old, inside);
        }
    }

    /// The value loaded through a pointer, or zero if the pointer is out of bounds.
    pub(super) fn loaded(
        &mut self,
        old: Handle<Expression>,
        pointer: Handle<Expression>,
        loaded: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
        match self.bounds.inside.get(&pointer).copied() {
            Some(inside) => self.or_zero(old, loaded, inside),
            None => Ok(loaded),
        }
    }

    /// Writes a statement so that it runs only if the pointer that it writes through is within bounds.
    pub(super) fn write_through(&mut self, pointer: Handle<Expression>, statement: Statement, span: Span) {
        match self.bounds.inside.get(&pointer).copied() {
            Some(condition) => {
                self.finish_emit();
                let mut accept = Block::new();
                accept.push(statement, span);
                self.block.push(Statement::If { condition, accept, reject: Block::new() }, span);
            }
            None => self.block.push(statement, span),
        }
    }

    /// How many elements there are; None for a run-time sized array.
    fn length(&self, base: Handle<Expression>) -> Result<Option<u32>, Refusal> {
        let inner = match self.inner(base) {
            TypeInner::Pointer { base, .. } => &self.realizer.source.types[*base].inner,
            TypeInner::ValuePointer { size: Some(size), .. } => return Ok(Some(u32::from(u8::from(*size)))),
            inner => inner,
        };
        match inner {
            TypeInner::Vector { size, .. } => Ok(Some(u32::from(u8::from(*size)))),
            TypeInner::Matrix { columns, .. } => Ok(Some(u32::from(u8::from(*columns)))),
            TypeInner::Array { size: ArraySize::Constant(size), .. } => Ok(Some(size.get())),
            TypeInner::Array { size: ArraySize::Dynamic, .. } => Ok(None),
            other => Err(defect(format!("{other:?} has no elements"))),
        }
    }

    /// `value`, the new value of the source's expression `old`, or zero if not `inside`.
    fn or_zero(
        &mut self,
        old: Handle<Expression>,
        value: Handle<Expression>,
        inside: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
        match *self.inner(old) {
            TypeInner::Scalar(scalar) => self.number_or_zero(value, inside, scalar, None),
            TypeInner::Vector { size, scalar } => self.number_or_zero(value, inside, scalar, Some(size)),
            TypeInner::Matrix { columns, rows, scalar } => {
                let mut components = Vec::with_capacity(4);
                for index in 0..u32::from(u8::from(columns)) {
                    let column = self.emit(Expression::AccessIndex { base: value, index });
                    components.push(self.number_or_zero(column, inside, scalar, Some(rows))?);
                }
                let ty = self.ty(TypeInner::Matrix { columns, rows, scalar });
                Ok(self.emit(Expression::Compose { ty, components }))
            }
            _ => {
                let ty = self.info[old].ty.handle().ok_or_else(|| defect("a composite has no type of its own"))?;
                self.composite_or_zero(value, inside, ty)
            }
        }
    }

    fn number_or_zero(
        &mut self,
        value: Handle<Expression>,
        condition: Handle<Expression>,
        scalar: Scalar,
        width: super::Width,
    ) -> Result<Handle<Expression>, Refusal> {
        if scalar == Scalar::F32 {
            let (accept, nothing) = (self.as_int(value), self.int(0, width));
            // A driver would simplify a product with a zero that it knows.
            let reject = self.zero(width).bits.unwrap_or(nothing);
            let bits = self.emit(Expression::Select { condition, accept, reject });
            return Ok(self.as_float(bits));
        }
        let ty = self.ty(match width {
            Some(size) => TypeInner::Vector { size, scalar },
            None => TypeInner::Scalar(scalar),
        });
        let reject = self.place(Expression::ZeroValue(ty));
        Ok(self.emit(Expression::Select { condition, accept: value, reject }))
    }

    fn composite_or_zero(
        &mut self,
        value: Handle<Expression>,
        condition: Handle<Expression>,
        ty: Handle<Type>,
    ) -> Result<Handle<Expression>, Refusal> {
        let variable = match self.bounds.scratch.get(&ty) {
            Some(variable) => *variable,
            None => {
                let variable = LocalVariable { name: Some("element".to_owned()), ty, init: None };
                let variable = self.out.local_variables.append(variable, Span::UNDEFINED);
                self.bounds.scratch.insert(ty, variable);
                variable
            }
        };
        let pointer = self.place(Expression::LocalVariable(variable));
        let nothing = match self.zero_word {
            Some(_) if self.realizer.opaque_leaves(ty) => self.opaque_zero(ty)?,
            _ => self.place(Expression::ZeroValue(ty)),
        };
        self.finish_emit();
        self.block.push(Statement::Store { pointer, value: nothing }, Span::UNDEFINED);
        let mut accept = Block::new();
        accept.push(Statement::Store { pointer, value }, Span::UNDEFINED);
        self.block.push(Statement::If { condition, accept, reject: Block::new() }, Span::UNDEFINED);
        Ok(self.emit(Expression::Load { pointer }))
    }

    fn ty(&mut self, inner: TypeInner) -> Handle<Type> {
        self.realizer.out.types.insert(Type { name: None, inner }, Span::UNDEFINED)
    }
}
