//! A function's body while it is being written.

use std::collections::HashMap;

use naga::{
    Arena, BinaryOperator, Block, Expression, Function, Handle, Literal, LocalVariable, MathFunction, Module, Scalar,
    ScalarKind, Span, Statement, Type, UnaryOperator, VectorSize,
};

use super::content::is_odd;
use crate::Refusal;
use crate::refusal::defect;

pub(super) type Value = Handle<Expression>;

/// Writes expressions and statements in order, and keeps naga's rule that a computed expression is covered by an `Emit`
/// before it is used. Adds up the cost of each loop body.
#[derive(Default)]
pub(super) struct Body {
    expressions: Arena<Expression>,
    locals: Arena<LocalVariable>,
    blocks: Vec<Block>,
    /// Length of the arena where the pending `Emit` begins.
    start: usize,
    literals: HashMap<(u8, u32), Value>,
    globals: HashMap<Variable, Value>,
    /// Cost of the innermost open loop body, and of those around it.
    costs: Vec<u64>,
    /// The place in the guest's text that is being rewritten.
    pub(super) span: Span,
}

/// A variable. One expression that refers to it serves the whole function.
#[derive(PartialEq, Eq, Hash)]
enum Variable {
    Global(Handle<naga::GlobalVariable>),
    Local(Handle<LocalVariable>),
}

/// The cost of an operation: mostly one for each component that it computes, nothing for moving data.
fn cost(expression: &Expression, components: u64) -> u64 {
    match expression {
        Expression::Binary { op: BinaryOperator::Divide | BinaryOperator::Modulo, .. }
        | Expression::Math { fun: MathFunction::Sqrt, .. } => 8 * components,
        Expression::Binary { .. }
        | Expression::Unary { .. }
        | Expression::Math { .. }
        | Expression::Select { .. }
        | Expression::Load { .. }
        | Expression::As { convert: Some(_), .. } => components,
        _ => 0,
    }
}

impl Body {
    pub(super) fn new() -> Self {
        Self { blocks: vec![Block::new()], costs: vec![1], ..Self::default() }
    }

    /// Moves the finished body into `function`. Returns the cost of one call, metered loops aside.
    pub(super) fn finish(mut self, function: &mut Function) -> u32 {
        self.flush();
        function.body = self.blocks.pop().unwrap_or_default();
        function.expressions = self.expressions;
        function.local_variables = self.locals;
        clamp(self.costs.iter().copied().fold(0, u64::saturating_add))
    }

    pub(super) fn len(&self) -> usize {
        self.expressions.len()
    }

    // Statements.

    /// Covers the expressions computed since the last `Emit` by a new one.
    fn flush(&mut self) {
        if self.expressions.len() > self.start {
            let range = self.expressions.range_from(self.start);
            let span = self.span;
            self.append(Statement::Emit(range), span);
        }
        self.start = self.expressions.len();
    }

    fn append(&mut self, statement: Statement, span: Span) {
        if let Some(block) = self.blocks.last_mut() {
            block.push(statement, span);
        }
    }

    pub(super) fn push(&mut self, statement: Statement) {
        self.flush();
        let span = self.span;
        self.append(statement, span);
    }

    pub(super) fn store(&mut self, pointer: Value, value: Value) {
        self.charge(1);
        self.push(Statement::Store { pointer, value });
    }

    /// Begins a block; [`Self::close`] returns it.
    pub(super) fn open(&mut self) {
        self.flush();
        self.blocks.push(Block::new());
    }

    pub(super) fn close(&mut self) -> Block {
        self.flush();
        self.blocks.pop().unwrap_or_default()
    }

    /// Whether nothing may follow in the block that is being written.
    pub(super) fn has_ended(&self) -> bool {
        let mut block = self.blocks.last();
        loop {
            match block.and_then(|block| block.last()) {
                Some(Statement::Break | Statement::Continue | Statement::Return { .. }) => return true,
                Some(Statement::Block(inner)) => block = Some(inner),
                _ => return false,
            }
        }
    }

    pub(super) fn when(&mut self, condition: Value, accept: impl FnOnce(&mut Self)) {
        self.flush();
        self.open();
        accept(self);
        let accept = self.close();
        self.push(Statement::If { condition, accept, reject: Block::new() });
    }

    // Cost.

    pub(super) fn charge(&mut self, amount: u64) {
        if let Some(cost) = self.costs.last_mut() {
            *cost = cost.saturating_add(amount);
        }
    }

    pub(super) fn open_cost(&mut self) {
        self.costs.push(1);
    }

    pub(super) fn close_cost(&mut self) -> u32 {
        clamp(self.costs.pop().unwrap_or(1))
    }

    // Expressions.

    pub(super) fn emit(&mut self, expression: Expression, components: u64) -> Value {
        self.charge(cost(&expression, components));
        self.expressions.append(expression, self.span)
    }

    /// An expression that must not be covered by an `Emit`.
    pub(super) fn declare(&mut self, expression: Expression) -> Value {
        self.flush();
        let value = self.expressions.append(expression, self.span);
        self.start = self.expressions.len();
        value
    }

    pub(super) fn literal(&mut self, literal: Literal) -> Value {
        let key = match literal {
            Literal::F32(value) => (0, value.to_bits()),
            Literal::U32(value) => (1, value),
            Literal::I32(value) => (2, value.cast_unsigned()),
            Literal::Bool(value) => (3, u32::from(value)),
            _ => return self.declare(Expression::Literal(literal)),
        };
        if let Some(value) = self.literals.get(&key) {
            return *value;
        }
        let value = self.declare(Expression::Literal(literal));
        self.literals.insert(key, value);
        value
    }

    /// A literal of the guest's with its exact bits. A driver would not keep those of a subnormal number or of a −0, so they are
    /// cast from an integer.
    pub(super) fn exact(&mut self, literal: Literal) -> Value {
        match literal {
            Literal::F32(value) if is_odd(literal) => {
                let bits = self.uint(value.to_bits());
                self.bitcast(bits, ScalarKind::Float)
            }
            other => self.literal(other),
        }
    }

    /// A module's constant, written out; `ty` maps its types to types of the new module.
    pub(super) fn constant(
        &mut self,
        module: &Module,
        init: Handle<Expression>,
        ty: &mut dyn FnMut(Handle<Type>) -> Result<Handle<Type>, Refusal>,
    ) -> Result<Value, Refusal> {
        let source = module.global_expressions.try_get(init).map_err(defect)?;
        Ok(match source.clone() {
            Expression::Literal(literal) => self.exact(literal),
            Expression::Constant(constant) => self.constant(module, module.constants[constant].init, ty)?,
            Expression::ZeroValue(of) => {
                let of = ty(of)?;
                self.declare(Expression::ZeroValue(of))
            }
            Expression::Splat { size, value } => {
                let value = self.constant(module, value, ty)?;
                self.splat(value, Shape::Vector(size))
            }
            Expression::Compose { ty: of, components } => {
                let of = ty(of)?;
                let components = components.into_iter().map(|part| self.constant(module, part, ty));
                let components = components.collect::<Result<_, _>>()?;
                self.compose(of, components)
            }
            other => return Err(defect(format!("no constant is {other:?}"))),
        })
    }

    pub(super) fn uint(&mut self, value: u32) -> Value {
        self.literal(Literal::U32(value))
    }

    pub(super) fn float(&mut self, value: f32) -> Value {
        self.literal(Literal::F32(value))
    }

    pub(super) fn bool(&mut self, value: bool) -> Value {
        self.literal(Literal::Bool(value))
    }

    /// A literal whose value is only known later; see [`Self::set_deferred`].
    pub(super) fn deferred(&mut self) -> Value {
        self.declare(Expression::Literal(Literal::U32(0)))
    }

    pub(super) fn set_deferred(&mut self, deferred: Value, value: u32) {
        *self.expressions.get_mut(deferred) = Expression::Literal(Literal::U32(value));
    }

    pub(super) fn global(&mut self, variable: Handle<naga::GlobalVariable>) -> Value {
        if let Some(value) = self.globals.get(&Variable::Global(variable)) {
            return *value;
        }
        let value = self.declare(Expression::GlobalVariable(variable));
        self.globals.insert(Variable::Global(variable), value);
        value
    }

    pub(super) fn local(&mut self, variable: Handle<LocalVariable>) -> Value {
        if let Some(value) = self.globals.get(&Variable::Local(variable)) {
            return *value;
        }
        let value = self.declare(Expression::LocalVariable(variable));
        self.globals.insert(Variable::Local(variable), value);
        value
    }

    pub(super) fn new_local(&mut self, variable: LocalVariable) -> Handle<LocalVariable> {
        self.locals.append(variable, self.span)
    }

    pub(super) fn load(&mut self, pointer: Value) -> Value {
        self.emit(Expression::Load { pointer }, 1)
    }

    pub(super) fn binary(&mut self, op: BinaryOperator, left: Value, right: Value, shape: Shape) -> Value {
        self.emit(Expression::Binary { op, left, right }, shape.components())
    }

    pub(super) fn unary(&mut self, op: UnaryOperator, expr: Value, shape: Shape) -> Value {
        self.emit(Expression::Unary { op, expr }, shape.components())
    }

    pub(super) fn math(&mut self, fun: MathFunction, arg: Value, shape: Shape) -> Value {
        self.emit(Expression::Math { fun, arg, arg1: None, arg2: None, arg3: None }, shape.components())
    }

    pub(super) fn math2(&mut self, fun: MathFunction, arg: Value, arg1: Value, shape: Shape) -> Value {
        self.emit(Expression::Math { fun, arg, arg1: Some(arg1), arg2: None, arg3: None }, shape.components())
    }

    pub(super) fn select(&mut self, condition: Value, accept: Value, reject: Value, shape: Shape) -> Value {
        self.emit(Expression::Select { condition, accept, reject }, shape.components())
    }

    pub(super) fn index(&mut self, base: Value, index: u32) -> Value {
        self.emit(Expression::AccessIndex { base, index }, 1)
    }

    pub(super) fn compose(&mut self, ty: Handle<Type>, components: Vec<Value>) -> Value {
        self.emit(Expression::Compose { ty, components }, 1)
    }

    /// The value itself, or a vector of it.
    pub(super) fn splat(&mut self, value: Value, shape: Shape) -> Value {
        match shape {
            Shape::Scalar => value,
            Shape::Vector(size) => self.emit(Expression::Splat { size, value }, 1),
        }
    }

    pub(super) fn convert(&mut self, expr: Value, to: Scalar, shape: Shape) -> Value {
        self.emit(Expression::As { expr, kind: to.kind, convert: Some(to.width) }, shape.components())
    }

    pub(super) fn bitcast(&mut self, expr: Value, kind: ScalarKind) -> Value {
        self.emit(Expression::As { expr, kind, convert: None }, 0)
    }
}

fn clamp(cost: u64) -> u32 {
    u32::try_from(cost).unwrap_or(u32::MAX)
}

/// A scalar, or a vector of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    Scalar,
    Vector(VectorSize),
}

impl Shape {
    pub(super) fn components(self) -> u64 {
        match self {
            Self::Scalar => 1,
            Self::Vector(size) => size as u64,
        }
    }

    pub(super) fn count(self) -> u32 {
        match self {
            Self::Scalar => 1,
            Self::Vector(size) => size as u32,
        }
    }
}
