//! One function, statement by statement.

use std::collections::HashMap;

use naga::valid::FunctionInfo;
use naga::{
    BinaryOperator, Block, Expression, Function, FunctionArgument, FunctionResult, Handle, LocalVariable, Module,
    Scalar, Statement, SwitchCase, Type, TypeInner, UnaryOperator,
};

use super::body::{Body, Shape, Value};
use super::content::{Content, FunctionContent};
use super::counted::{Counted, Iterations, counted_loops};
use super::expression::Number;
use super::flow::{Flow, Scope};
use super::{Callee, Definer, MAX_EXPRESSIONS, Meter, too_large};
use crate::Refusal;
use crate::dp32::pointers::{self, Part};
use crate::dp32::system::{LEFT_LOOP, SPENT};
use crate::dp32::uniformity::FunctionId;

/// A function to be rewritten, and where it is from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) module: &'a Module,
    pub(super) info: &'a FunctionInfo,
    pub(super) function: &'a Function,
    /// The function's id in the guest's module; None for a function of the prelude.
    pub(super) guest: Option<FunctionId>,
}

impl<'a> Origin<'a> {
    /// The type of an expression.
    pub(super) fn inner(&self, expression: Handle<Expression>) -> &'a TypeInner {
        self.info[expression].ty.inner_with(&self.module.types)
    }

    pub(super) fn expression(&self, expression: Handle<Expression>) -> &'a Expression {
        &self.function.expressions[expression]
    }
}

/// A part of a variable that is passed to a callee as a copy, which the callee writes to.
struct PassedCopy {
    copy: Value,
    original: Value,
    components: u64,
}

/// A function being rewritten.
pub(super) struct FunctionDefiner<'d, 'a, 'o> {
    pub(super) definer: &'d mut Definer<'a>,
    pub(super) origin: Origin<'o>,
    pub(super) body: Body,
    pub(super) content: FunctionContent,
    /// The new value of each expression of the origin.
    pub(super) values: HashMap<Handle<Expression>, Value>,
    /// The same with subnormal numbers flushed, for moved values that arithmetic uses.
    pub(super) numbers: HashMap<Handle<Expression>, Value>,
    locals: HashMap<Handle<LocalVariable>, Handle<LocalVariable>>,
    /// How many loops have been written so far.
    loops: usize,
    counted: HashMap<usize, Counted>,
    pub(super) flow: Flow,
    copies: HashMap<Part, Handle<LocalVariable>>,
}

/// Rewrites a function. Returns it with the cost of one call, metered loops aside.
pub(super) fn define_function(definer: &mut Definer<'_>, origin: Origin<'_>) -> Result<(Function, u32), Refusal> {
    let counted = match origin.guest {
        Some(_) => counted_loops(origin.module, origin.function, &definer.iterations),
        None => counted_loops(origin.module, origin.function, &Iterations::new()),
    };
    let content = origin.guest.map(|guest| definer.contents.function(guest)).unwrap_or_default();
    let mut this = FunctionDefiner {
        definer,
        origin,
        body: Body::new(),
        content,
        values: HashMap::new(),
        numbers: HashMap::new(),
        locals: HashMap::new(),
        loops: 0,
        counted,
        flow: Flow::default(),
        copies: HashMap::new(),
    };
    let source = origin.function;
    let mut arguments = Vec::with_capacity(source.arguments.len());
    for argument in &source.arguments {
        arguments.push(FunctionArgument { name: argument.name.clone(), ty: this.ty(argument.ty)?, binding: None });
    }
    let result = match &source.result {
        Some(result) => Some(FunctionResult { ty: this.ty(result.ty)?, binding: None }),
        None => None,
    };
    this.declare_locals()?;
    this.flush_arguments()?;
    this.whole_body()?;
    let mut function = Function { name: source.name.clone(), arguments, result, ..Function::default() };
    for (old, name) in &source.named_expressions {
        if let Some(new) = this.values.get(old) {
            function.named_expressions.insert(*new, name.clone());
        }
    }
    let cost = this.body.finish(&mut function);
    Ok((function, cost))
}

impl FunctionDefiner<'_, '_, '_> {
    /// A type of the origin's module as a type of the new one.
    pub(super) fn ty(&mut self, handle: Handle<Type>) -> Result<Handle<Type>, Refusal> {
        match self.origin.guest {
            Some(_) => Ok(handle),
            None => self.definer.helper_type(self.origin.module, handle),
        }
    }

    pub(super) fn refuse<T>(&self, message: &str) -> Result<T, Refusal> {
        Err(Refusal::at(self.body.span, message))
    }

    fn declare_locals(&mut self) -> Result<(), Refusal> {
        let variables = &self.origin.function.local_variables;
        let mut stores = Vec::new();
        for (old, variable) in variables.iter() {
            let ty = self.ty(variable.ty)?;
            let new = self.body.new_local(LocalVariable { name: variable.name.clone(), ty, init: None });
            self.locals.insert(old, new);
            stores.extend(variable.init.map(|init| (new, init)));
        }
        for (variable, init) in stores {
            let value = self.value(init)?;
            let pointer = self.body.local(variable);
            self.body.store(pointer, value);
        }
        Ok(())
    }

    /// Flushes arguments at the start, where the result is visible in the whole function.
    fn flush_arguments(&mut self) -> Result<(), Refusal> {
        for (old, expression) in self.origin.function.expressions.iter() {
            if let Expression::FunctionArgument(_) = expression {
                let value = self.value(old)?;
                self.computed(old, value)?;
            }
        }
        Ok(())
    }

    pub(super) fn local(&self, old: Handle<LocalVariable>) -> Result<Handle<LocalVariable>, Refusal> {
        self.locals.get(&old).copied().ok_or_else(|| Refusal::new("a variable is used that is not declared"))
    }

    /// The new value of an operand.
    pub(super) fn value(&mut self, old: Handle<Expression>) -> Result<Value, Refusal> {
        if let Some(value) = self.values.get(&old) {
            return Ok(*value);
        }
        let expression = self.origin.expression(old);
        let value = self.expression(old)?;
        let is_odd_constant =
            self.content.of(old) == Content::Moved && !matches!(expression, Expression::FunctionArgument(_));
        if expression.needs_pre_emit() && !is_odd_constant {
            // Valid everywhere in the function, unlike expressions that are computed in one block.
            self.values.insert(old, value);
        }
        Ok(value)
    }

    pub(super) fn optional(&mut self, old: Option<Handle<Expression>>) -> Result<Option<Value>, Refusal> {
        old.map(|old| self.value(old)).transpose()
    }

    pub(super) fn block(&mut self, block: &Block) -> Result<(), Refusal> {
        for (statement, span) in block.span_iter() {
            if self.origin.guest.is_some() {
                self.body.span = *span;
            }
            self.statement(statement)?;
            if self.body.len() > MAX_EXPRESSIONS {
                return Err(too_large());
            }
        }
        Ok(())
    }

    pub(super) fn nested(&mut self, block: &Block) -> Result<Block, Refusal> {
        self.body.open();
        self.block(block)?;
        Ok(self.body.close())
    }

    pub(super) fn statement(&mut self, statement: &Statement) -> Result<(), Refusal> {
        match statement {
            Statement::Emit(range) => {
                for old in range.clone() {
                    if self.origin.guest.is_some() {
                        self.body.span = self.origin.function.expressions.get_span(old);
                    }
                    let new = self.expression(old)?;
                    self.computed(old, new)?;
                }
            }
            Statement::Block(block) => {
                let block = self.nested(block)?;
                self.body.push(Statement::Block(block));
            }
            Statement::If { .. } if self.is_long_chain(statement) => self.chain(statement)?,
            Statement::If { condition, accept, reject } => {
                let condition = self.value(*condition)?;
                self.body.charge(1);
                let accept = self.nested(accept)?;
                let reject = self.nested(reject)?;
                self.body.push(Statement::If { condition, accept, reject });
            }
            Statement::Switch { selector, cases } => {
                let selector = self.value(*selector)?;
                self.body.charge(1);
                self.flow.enter(Scope::Switch);
                let cases = cases
                    .iter()
                    .map(|case| {
                        let body = self.nested(&case.body)?;
                        Ok(SwitchCase { value: case.value, body, fall_through: case.fall_through })
                    })
                    .collect::<Result<_, Refusal>>()?;
                self.body.push(Statement::Switch { selector, cases });
                self.leave();
            }
            Statement::Loop { body, continuing, break_if } => {
                let ordinal = self.loops;
                self.loops += 1;
                match self.counted.get(&ordinal).copied() {
                    Some(counted) => self.counted_loop(counted, body, continuing)?,
                    None => self.metered_loop(ordinal, body, continuing, *break_if)?,
                }
            }
            Statement::Break => self.break_out(),
            Statement::Continue => self.continue_on(),
            Statement::Return { value } => {
                let value = match value {
                    Some(value) if self.content.result() == Content::Moved => Some(self.seen(*value)?),
                    other => self.optional(*other)?,
                };
                self.return_value(value);
            }
            Statement::ControlBarrier(barrier) => {
                self.body.charge(8);
                self.body.push(Statement::ControlBarrier(*barrier));
            }
            Statement::MemoryBarrier(barrier) => self.body.push(Statement::MemoryBarrier(*barrier)),
            Statement::Store { pointer, value } => {
                let to = self.value(*pointer)?;
                let value = match self.behind(*pointer) {
                    Content::Moved => self.seen(*value)?,
                    _ => self.value(*value)?,
                };
                self.body.store(to, value);
            }
            Statement::Atomic { pointer, fun, value, result } => {
                let (pointer, value) = (self.value(*pointer)?, self.value(*value)?);
                if let naga::AtomicFunction::Exchange { .. } = fun {
                    return self.refuse("the result of an exchange depends on the order of the invocations");
                }
                let new = match result {
                    Some(old) => {
                        let Expression::AtomicResult { ty, comparison } = *self.origin.expression(*old) else {
                            return self.refuse("this atomic operation has no result");
                        };
                        let ty = self.ty(ty)?;
                        let new = self.body.declare(Expression::AtomicResult { ty, comparison });
                        self.values.insert(*old, new);
                        Some(new)
                    }
                    None => None,
                };
                self.body.charge(4);
                self.body.push(Statement::Atomic { pointer, fun: *fun, value, result: new });
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                let pointer = self.value(*pointer)?;
                let Expression::WorkGroupUniformLoadResult { ty } = *self.origin.expression(*result) else {
                    return self.refuse("this load has no result");
                };
                let ty = self.ty(ty)?;
                let new = self.body.declare(Expression::WorkGroupUniformLoadResult { ty });
                self.body.charge(8);
                self.body.push(Statement::WorkGroupUniformLoad { pointer, result: new });
                self.computed(*result, new)?;
            }
            Statement::Call { function, arguments, result } => {
                let mut values = Vec::with_capacity(arguments.len());
                for (index, argument) in arguments.iter().enumerate() {
                    values.push(match self.definer.contents.argument(*function, index) {
                        Content::Moved if self.origin.guest.is_some() => self.seen(*argument)?,
                        _ => self.value(*argument)?,
                    });
                }
                let copies = self.copy_in(*function, arguments, &mut values);
                let callee = match self.origin.guest {
                    Some(_) => self.definer.function(*function)?,
                    None => self.definer.helper_function(crate::prelude::Library::get()?, *function)?,
                };
                let returned = self.call(callee, values);
                self.copy_out(&copies);
                if let (Some(old), Some(new)) = (result, returned) {
                    self.computed(*old, new)?;
                }
            }
            _ => return self.refuse("this statement is not available in profile dp32"),
        }
        Ok(())
    }

    pub(super) fn call(&mut self, callee: Callee, arguments: Vec<Value>) -> Option<Value> {
        self.body.charge(u64::from(callee.cost));
        let result = callee.returns.then(|| self.body.declare(Expression::CallResult(callee.handle)));
        self.body.push(Statement::Call { function: callee.handle, arguments, result });
        result
    }

    /// Replaces pointers to parts of variables by pointers to copies. Nothing else accesses those parts during the call, see
    /// `pointers`.
    fn copy_in(
        &mut self,
        callee: Handle<Function>,
        arguments: &[Handle<Expression>],
        values: &mut [Value],
    ) -> Vec<PassedCopy> {
        let mut copies = Vec::new();
        let Origin { module, function, guest: Some(_), .. } = self.origin else { return copies };
        let parts = pointers::parts(module, function, callee, arguments);
        for (index, (part, value)) in parts.into_iter().zip(values).enumerate() {
            let Some(part) = part else { continue };
            let components = Number::of(&module.types[part.ty].inner).shape().components();
            let variable = *self.copies.entry(part).or_insert_with(|| {
                let name = Some("copy".to_owned());
                self.body.new_local(LocalVariable { name, ty: part.ty, init: None })
            });
            let (original, copy) = (*value, self.body.local(variable));
            let now = self.body.emit(Expression::Load { pointer: original }, components);
            self.body.store(copy, now);
            *value = copy;
            if self.definer.pointers.writes(callee, index) {
                copies.push(PassedCopy { copy, original, components });
            }
        }
        copies
    }

    fn copy_out(&mut self, copies: &[PassedCopy]) {
        for PassedCopy { copy, original, components } in copies {
            let now = self.body.emit(Expression::Load { pointer: *copy }, *components);
            self.body.store(*original, now);
        }
    }

    /// Writes a loop whose cost is charged as a whole.
    fn counted_loop(&mut self, counted: Counted, body: &Block, continuing: &Block) -> Result<(), Refusal> {
        let at = self.body.span;
        self.body.open_cost();
        self.flow.enter(Scope::Loop { exited: None });
        self.body.open();
        self.loop_body(body)?;
        let body = self.body.close();
        let continuing = self.nested(continuing)?;
        let cost = u64::from(self.body.close_cost());
        self.body.charge(cost.saturating_mul(u64::from(counted.iterations)));
        self.body.span = at;
        self.body.push(Statement::Loop { body, continuing, break_if: None });
        self.leave();

        // The variable shows whether the device has left the loop early (see `LEFT_LOOP`).
        let trap = self.definer.system.trap;
        self.definer.meters.unmetered = true;
        let variable = self.local(counted.variable)?;
        let (pointer, bound) = (self.body.local(variable), self.body.literal(counted.bound));
        let left = self.body.emit(Expression::Load { pointer }, 0);
        let stuck = self.body.emit(Expression::Binary { op: counted.op, left, right: bound }, 0);
        self.body.when(stuck, |body| raise(body, trap, LEFT_LOOP));
        Ok(())
    }

    /// Writes a loop that pays for each iteration, ends when the fuel is spent, and detects when the device has left it
    /// early.
    fn metered_loop(
        &mut self,
        ordinal: usize,
        body: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
    ) -> Result<(), Refusal> {
        let at = self.body.span;
        let uniform = match self.origin.guest {
            Some(function) => self.definer.uniformity.uniform_loops.contains(&(function, ordinal)),
            None => false,
        };
        let fuel = if uniform { self.definer.system.uniform_fuel } else { self.definer.system.varying_fuel };
        let pays = self.definer.meter == Meter::On;
        self.definer.meters.uniform |= uniform && pays;
        self.definer.meters.varying |= !uniform && pays;
        self.definer.meters.unmetered |= !pays;
        let bool_type = self.definer.ty(TypeInner::Scalar(Scalar::BOOL));
        let exited = self.body.new_local(LocalVariable { name: Some("exited".to_owned()), ty: bool_type, init: None });

        let (pointer, no) = (self.body.local(exited), self.body.bool(false));
        self.body.push(Statement::Store { pointer, value: no });
        self.body.open_cost();
        self.flow.enter(Scope::Loop { exited: Some(exited) });

        self.body.open();
        let price = self.body.deferred();
        if pays {
            self.pay(fuel, price, exited);
        }
        self.loop_body(body)?;
        let new_body = self.body.close();

        self.body.open();
        self.block(continuing)?;
        let new_break_if = self.optional(break_if)?;
        if let Some(condition) = new_break_if {
            let pointer = self.body.local(exited);
            self.body.push(Statement::Store { pointer, value: condition });
        }
        let new_continuing = self.body.close();

        let cost = self.body.close_cost();
        self.body.set_deferred(price, cost);
        self.body.span = at;
        if self.origin.guest.is_some() {
            self.definer.loops.push((at, cost));
        }
        self.body.push(Statement::Loop { body: new_body, continuing: new_continuing, break_if: new_break_if });
        self.leave();

        let trap = self.definer.system.trap;
        let pointer = self.body.local(exited);
        let left = self.body.emit(Expression::Load { pointer }, 0);
        let stuck = self.body.unary(UnaryOperator::LogicalNot, left, Shape::Scalar);
        self.body.when(stuck, |body| raise(body, trap, LEFT_LOOP));
        Ok(())
    }

    fn pay(&mut self, fuel: Handle<naga::GlobalVariable>, price: Value, exited: Handle<LocalVariable>) {
        let trap = self.definer.system.trap;
        let body = &mut self.body;
        let fuel = body.global(fuel);
        let left = body.emit(Expression::Load { pointer: fuel }, 0);
        let short = body.emit(Expression::Binary { op: BinaryOperator::Less, left, right: price }, 0);
        body.when(short, |body| {
            let nothing = body.uint(0);
            body.push(Statement::Store { pointer: fuel, value: nothing });
            raise(body, trap, SPENT);
            let (pointer, yes) = (body.local(exited), body.bool(true));
            body.push(Statement::Store { pointer, value: yes });
            body.push(Statement::Break);
        });
        let rest = body.emit(Expression::Binary { op: BinaryOperator::Subtract, left, right: price }, 0);
        body.push(Statement::Store { pointer: fuel, value: rest });
    }

    /// The content of the variable that a pointer points into.
    fn behind(&self, pointer: Handle<Expression>) -> Content {
        match self.origin.guest {
            Some(guest) => self.definer.contents.behind(self.origin.module, guest, self.origin.function, pointer),
            None => Content::Made,
        }
    }
}

/// Sets a bit of the invocation's trap word.
fn raise(body: &mut Body, trap: Handle<naga::GlobalVariable>, bit: u32) {
    let (pointer, bit) = (body.global(trap), body.uint(bit));
    let before = body.emit(Expression::Load { pointer }, 0);
    let after = body.emit(Expression::Binary { op: BinaryOperator::InclusiveOr, left: before, right: bit }, 0);
    body.push(Statement::Store { pointer, value: after });
}
