//! Writes expressions and statements into a function.

use naga::{BinaryOperator, Expression, Handle, Literal, Scalar, ScalarKind, Span, Statement, TypeInner};

use super::{Realizer, Rewriter, Width, slot};
use crate::Refusal;
use crate::refusal::defect;
use crate::visit::for_each_operand_mut;

impl Rewriter<'_, '_> {
    /// Appends an expression that is computed at this point.
    pub(super) fn emit(&mut self, expression: Expression) -> Handle<Expression> {
        self.emitting.get_or_insert(self.out.expressions.len());
        self.out.expressions.append(expression, Span::UNDEFINED)
    }

    /// Appends an expression that needs no computation, or whose value is the result of a statement.
    pub(super) fn place(&mut self, expression: Expression) -> Handle<Expression> {
        self.finish_emit();
        self.out.expressions.append(expression, Span::UNDEFINED)
    }

    pub(super) fn finish_emit(&mut self) {
        if let Some(start) = self.emitting.take() {
            let range = self.out.expressions.range_from(start);
            self.block.push(Statement::Emit(range), Span::UNDEFINED);
        }
    }

    pub(super) fn new_of(&self, old: Handle<Expression>) -> Result<Handle<Expression>, Refusal> {
        let new = self.map.get(old.index()).copied().flatten();
        new.ok_or_else(|| defect("an expression is used before it is computed"))
    }

    pub(super) fn set(&mut self, old: Handle<Expression>, new: Handle<Expression>) {
        if let Some(entry) = self.map.get_mut(old.index()) {
            *entry = Some(new);
        }
    }

    /// The type of one of the source's expressions.
    pub(super) fn inner(&self, old: Handle<Expression>) -> &TypeInner {
        self.info[old].ty.inner_with(&self.realizer.source.types)
    }

    /// The width, if it is a scalar or vector of this kind.
    pub(super) fn width(&self, old: Handle<Expression>, scalar: Scalar) -> Option<Width> {
        match *self.inner(old) {
            TypeInner::Scalar(it) if it == scalar => Some(None),
            TypeInner::Vector { size, scalar: it } if it == scalar => Some(Some(size)),
            _ => None,
        }
    }

    pub(super) fn has_floats(&self, old: Handle<Expression>) -> bool {
        match self.inner(old) {
            TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } | TypeInner::Matrix { scalar, .. } => {
                scalar.kind == ScalarKind::Float
            }
            _ => false,
        }
    }

    pub(super) fn float_width(&self, old: Handle<Expression>) -> Result<Width, Refusal> {
        self.width(old, Scalar::F32).ok_or_else(|| defect("an operation on other than f32 is left"))
    }

    /// An integer constant in every component.
    pub(super) fn int(&mut self, value: i32, width: Width) -> Handle<Expression> {
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

    pub(super) fn binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Handle<Expression> {
        self.emit(Expression::Binary { op, left, right })
    }

    pub(super) fn as_int(&mut self, float: Handle<Expression>) -> Handle<Expression> {
        self.emit(Expression::As { expr: float, kind: ScalarKind::Sint, convert: None })
    }

    pub(super) fn as_float(&mut self, bits: Handle<Expression>) -> Handle<Expression> {
        self.emit(Expression::As { expr: bits, kind: ScalarKind::Float, convert: None })
    }

    pub(super) fn widen(&mut self, value: Handle<Expression>, from: Width, to: Width) -> Handle<Expression> {
        match (from, to) {
            (None, Some(size)) => self.emit(Expression::Splat { size, value }),
            _ => value,
        }
    }

    /// Calls a helper function of this tier.
    pub(super) fn call(
        &mut self,
        name: &str,
        width: Width,
        arguments: Vec<Handle<Expression>>,
    ) -> Result<Handle<Expression>, Refusal> {
        let Realizer { linkers, out, .. } = &mut *self.realizer;
        let linker = linkers.get_mut(slot(width)).ok_or_else(|| defect("no such width"))?;
        let function = linker.import(out, name)?;
        let result = self.place(Expression::CallResult(function));
        self.block.push(Statement::Call { function, arguments, result: Some(result) }, Span::UNDEFINED);
        Ok(result)
    }

    /// One of the source's expressions with its operands replaced, computed here.
    pub(super) fn copy(&mut self, old: Handle<Expression>) -> Result<Handle<Expression>, Refusal> {
        let mut expression = self.source.expressions[old].clone();
        for_each_operand_mut(&mut expression, |operand| {
            *operand = self.new_of(*operand)?;
            Ok(())
        })?;
        Ok(self.emit(expression))
    }
}
