//! Control flow in a form that does not nest deeply in drivers.
//!
//! Drivers without real branches put the code after a conditional `return` or `continue` under a mask. Many such exits one
//! after the other, or a long chain of `else if`, then nest as deep as their number, and some drivers keep no more than 80
//! masks. Many `break`s one after the other do not nest. So where an entry point would nest too deep, the body of a function
//! with many returns becomes a loop of one iteration, which the returns leave by `break`; so does the body of a loop with many
//! `continue`s; and long chains become branches one after the other.

use std::collections::HashMap;

use naga::{
    Arena, BinaryOperator, Block, Expression, Handle, LocalVariable, Scalar, Statement, TypeInner, UnaryOperator,
};

use super::body::Value;
use super::function::FunctionDefiner;
use crate::Refusal;
use crate::dp32::system;
use crate::visit::{blocks, for_each_operand, for_each_operand_mut, for_each_statement};

/// Up to so many exits or branches one after the other stay as they are.
const FEW: usize = 8;

/// A scope that `break` leaves.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    /// The loop of one iteration that is the function's body.
    Body,
    /// A loop; `exited`, if any, is the variable that is set when the kernel itself leaves the loop.
    Loop {
        exited: Option<Handle<LocalVariable>>,
    },
    /// The loop of one iteration that is a loop's body: a `break` from it continues the outer loop.
    Turn,
    Switch,
}

/// The kind of an exit that leaves more than one scope.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exit {
    Break = 1,
    Continue = 2,
    Return = 3,
}

/// The scopes around a statement.
#[derive(Default)]
pub(super) struct Flow {
    /// Each scope, and whether an exit from within it goes on to an outer scope.
    scopes: Vec<(Scope, bool)>,
    /// Holds the [`Exit`] under way, or 0.
    pending: Option<Handle<LocalVariable>>,
    result: Option<Handle<LocalVariable>>,
    /// Returns become a `break` from the function's body.
    wrapped: bool,
}

impl Flow {
    pub(super) fn enter(&mut self, scope: Scope) {
        self.scopes.push((scope, false));
    }

    fn innermost(&self) -> Option<Scope> {
        self.scopes.last().map(|(scope, _)| *scope)
    }

    /// Whether the body of the innermost loop is in a loop of one iteration.
    fn is_in_turn(&self) -> bool {
        let inner = self.scopes.iter().rev().map(|(scope, _)| scope);
        inner.take_while(|scope| !matches!(scope, Scope::Loop { .. })).any(|scope| matches!(scope, Scope::Turn))
    }
}

impl FunctionDefiner<'_, '_, '_> {
    /// Writes the function's body: if it has many returns, in a loop that they leave by `break`.
    pub(super) fn whole_body(&mut self) -> Result<(), Refusal> {
        let function = self.origin.function;
        if !self.definer.flat || count(&function.body, |it| matches!(it, Statement::Return { .. })) <= FEW {
            return self.block(&function.body);
        }
        self.flow.wrapped = true;
        if let Some(result) = &function.result {
            let ty = self.ty(result.ty)?;
            let variable = LocalVariable { name: Some("result".to_owned()), ty, init: None };
            self.flow.result = Some(self.body.new_local(variable));
        }
        self.one_turn(Scope::Body, &function.body)?;
        self.flow.scopes.pop();
        let value = self.flow.result.map(|variable| {
            let pointer = self.body.local(variable);
            self.body.emit(Expression::Load { pointer }, 0)
        });
        self.body.push(Statement::Return { value });
        Ok(())
    }

    /// Writes the body of a loop: if it has many `continue`s, in a loop of one iteration.
    pub(super) fn loop_body(&mut self, block: &Block) -> Result<(), Refusal> {
        if !self.definer.flat || continues(block) <= FEW {
            return self.block(block);
        }
        let Some((Scope::Loop { exited }, _)) = self.flow.scopes.last().copied() else { return self.block(block) };
        self.one_turn(Scope::Turn, block)?;
        let goes_on = self.flow.scopes.pop().is_some_and(|(_, goes_on)| goes_on);
        if !goes_on {
            return Ok(());
        }
        // The inner loop was left to continue the outer one, or to leave that too.
        let pending = self.pending();
        let code = self.load_word(pending);
        let (none, go_on, back) = (self.word(0), self.exit_word(Exit::Continue), self.exit_word(Exit::Return));
        let continues = self.compare(BinaryOperator::Equal, code, go_on);
        let returns = self.compare(BinaryOperator::Equal, code, back);
        let is_under_way = self.compare(BinaryOperator::NotEqual, code, none);
        let stays = self.body.emit(Expression::Select { condition: returns, accept: code, reject: none }, 0);
        self.store_word(pending, stays);
        let ends = self.not(continues);
        let leaves = self.both(is_under_way, ends);
        if self.flow.wrapped {
            self.mark_outer();
        }
        self.body.open();
        self.break_loop(exited);
        let accept = self.body.close();
        self.body.push(Statement::If { condition: leaves, accept, reject: Block::new() });
        Ok(())
    }

    /// Writes `block` in a loop that ends after one iteration. The scope stays open.
    fn one_turn(&mut self, scope: Scope, block: &Block) -> Result<(), Refusal> {
        self.flow.enter(scope);
        let mut body = self.nested(block)?;
        // A driver that sees that there is one iteration would remove the loop, and the breaks in it would nest. So
        // the loop does not end with a `break`, but on a condition on the zero that only the running device knows.
        drop_last_break(&mut body);
        self.body.open();
        let params = self.body.global(self.definer.system.params);
        let zero = self.body.emit(Expression::AccessIndex { base: params, index: system::params::ZERO }, 0);
        let zero = self.body.emit(Expression::Load { pointer: zero }, 0);
        let none = self.word(0);
        let ends = self.compare(BinaryOperator::Equal, zero, none);
        let continuing = self.body.close();
        self.body.push(Statement::Loop { body, continuing, break_if: Some(ends) });
        Ok(())
    }

    pub(super) fn break_out(&mut self) {
        match self.flow.innermost() {
            Some(Scope::Loop { exited }) => self.break_loop(exited),
            Some(Scope::Turn) => self.set_out(Exit::Break),
            _ => self.body.push(Statement::Break),
        }
    }

    pub(super) fn continue_on(&mut self) {
        if !self.flow.is_in_turn() {
            self.body.push(Statement::Continue);
        } else if let Some(Scope::Turn) = self.flow.innermost() {
            self.body.push(Statement::Break);
        } else {
            self.set_out(Exit::Continue);
        }
    }

    pub(super) fn return_value(&mut self, value: Option<Value>) {
        if !self.flow.wrapped {
            return self.body.push(Statement::Return { value });
        }
        if let Some((variable, value)) = self.flow.result.zip(value) {
            let pointer = self.body.local(variable);
            self.body.push(Statement::Store { pointer, value });
        }
        match self.flow.innermost() {
            Some(Scope::Body) => self.body.push(Statement::Break),
            _ => self.set_out(Exit::Return),
        }
    }

    /// Closes the scope of a written loop or switch. If exits from it go further out, writes the `break` that passes them on.
    pub(super) fn leave(&mut self) {
        let Some((_, true)) = self.flow.scopes.pop() else { return };
        let pending = self.pending();
        let (code, none) = (self.load_word(pending), self.word(0));
        let condition = self.compare(BinaryOperator::NotEqual, code, none);
        self.body.open();
        self.break_innermost();
        let accept = self.body.close();
        self.body.push(Statement::If { condition, accept, reject: Block::new() });
    }

    /// Begins an exit that leaves more than one scope.
    fn set_out(&mut self, exit: Exit) {
        let (pending, code) = (self.pending(), self.exit_word(exit));
        self.store_word(pending, code);
        self.break_innermost();
    }

    fn break_innermost(&mut self) {
        if !matches!(self.flow.innermost(), Some(Scope::Body)) {
            self.mark_outer();
        }
        match self.flow.innermost() {
            Some(Scope::Loop { exited }) => self.break_loop(exited),
            _ => self.body.push(Statement::Break),
        }
    }

    fn mark_outer(&mut self) {
        if let Some((_, goes_on)) = self.flow.scopes.last_mut() {
            *goes_on = true;
        }
    }

    /// Leaves a loop by `break`, and records in `exited` that the kernel did so.
    fn break_loop(&mut self, exited: Option<Handle<LocalVariable>>) {
        if let Some(exited) = exited {
            let (pointer, yes) = (self.body.local(exited), self.body.bool(true));
            self.body.push(Statement::Store { pointer, value: yes });
        }
        self.body.push(Statement::Break);
    }

    fn pending(&mut self) -> Handle<LocalVariable> {
        if let Some(pending) = self.flow.pending {
            return pending;
        }
        let ty = self.definer.ty(TypeInner::Scalar(Scalar::U32));
        let pending = self.body.new_local(LocalVariable { name: Some("pending".to_owned()), ty, init: None });
        self.flow.pending = Some(pending);
        pending
    }

    fn word(&mut self, word: u32) -> Value {
        self.body.uint(word)
    }

    fn exit_word(&mut self, exit: Exit) -> Value {
        self.body.uint(exit as u32)
    }

    fn load_word(&mut self, variable: Handle<LocalVariable>) -> Value {
        let pointer = self.body.local(variable);
        self.body.emit(Expression::Load { pointer }, 0)
    }

    fn store_word(&mut self, variable: Handle<LocalVariable>, value: Value) {
        let pointer = self.body.local(variable);
        self.body.push(Statement::Store { pointer, value });
    }

    fn compare(&mut self, op: BinaryOperator, left: Value, right: Value) -> Value {
        self.body.emit(Expression::Binary { op, left, right }, 0)
    }

    fn not(&mut self, expr: Value) -> Value {
        self.body.emit(Expression::Unary { op: UnaryOperator::LogicalNot, expr }, 0)
    }

    fn both(&mut self, left: Value, right: Value) -> Value {
        self.body.emit(Expression::Binary { op: BinaryOperator::LogicalAnd, left, right }, 0)
    }

    /// Whether a branch begins a chain of many `else if`s that can be written as branches one after the other.
    pub(super) fn is_long_chain(&self, statement: &Statement) -> bool {
        self.definer.flat && links(statement).count() > FEW && self.keeps_to_itself(statement)
    }

    /// Whether the expressions that each link of a chain computes are used in that link alone. Expressions that are valid
    /// everywhere do not count.
    fn keeps_to_itself(&self, statement: &Statement) -> bool {
        let mut levels =
            Levels { expressions: &self.origin.function.expressions, computed: HashMap::new(), level: 0, mixed: false };
        for (level, link) in links(statement).enumerate() {
            levels.level = level;
            link.before.iter().for_each(|statement| levels.visit_all(statement));
            link.condition.into_iter().for_each(|condition| levels.see(condition));
            for_each_statement(link.accept, &mut |statement, _| levels.visit(statement));
        }
        !levels.mixed
    }

    /// Writes a chain of `else if`s as branches one after the other. Each tests whether an earlier one was taken. A condition
    /// that is only computed, without other statements, is computed in any case: in some drivers a `break` in a branch
    /// within a branch would nest again.
    pub(super) fn chain(&mut self, statement: &Statement) -> Result<(), Refusal> {
        let ty = self.definer.ty(TypeInner::Scalar(Scalar::BOOL));
        let taken = self.body.new_local(LocalVariable { name: Some("taken".to_owned()), ty, init: None });
        let (pointer, no) = (self.body.local(taken), self.body.bool(false));
        self.body.push(Statement::Store { pointer, value: no });
        // Whether an invocation that has taken an earlier branch can get here.
        let mut may_be_taken = false;
        for link in links(statement) {
            let only_computes = link.before.iter().all(|statement| matches!(statement, Statement::Emit(_)));
            if !may_be_taken || only_computes {
                for statement in link.before {
                    self.statement(statement)?;
                }
                let guard = may_be_taken.then_some(taken);
                may_be_taken |= self.link(&link, guard, taken)?;
                continue;
            }
            let before = self.load_word(taken);
            let condition = self.not(before);
            self.body.open();
            for statement in link.before {
                self.statement(statement)?;
            }
            may_be_taken |= self.link(&link, None, taken)?;
            let accept = self.body.close();
            self.body.push(Statement::If { condition, accept, reject: Block::new() });
        }
        Ok(())
    }

    /// Writes one branch, which is not entered where `guard` is true. Returns whether control can flow past its end.
    fn link(
        &mut self,
        link: &Link<'_>,
        guard: Option<Handle<LocalVariable>>,
        taken: Handle<LocalVariable>,
    ) -> Result<bool, Refusal> {
        let mut condition = link.condition.map(|condition| self.value(condition)).transpose()?;
        if link.condition.is_some() {
            self.body.charge(1);
        }
        if let Some(guard) = guard {
            let before = self.load_word(guard);
            let free = self.not(before);
            condition = Some(condition.map_or(free, |condition| self.both(condition, free)));
        }
        let Some(condition) = condition else {
            self.block(link.accept)?;
            return Ok(true);
        };
        self.body.open();
        self.block(link.accept)?;
        let goes_on = !self.body.has_ended();
        if goes_on {
            let (pointer, yes) = (self.body.local(taken), self.body.bool(true));
            self.body.push(Statement::Store { pointer, value: yes });
        }
        let accept = self.body.close();
        self.body.push(Statement::If { condition, accept, reject: Block::new() });
        Ok(goes_on)
    }
}

/// One branch of a chain: the statements before it, its condition (None: the last `else`), and its block.
struct Link<'b> {
    before: &'b [Statement],
    condition: Option<Handle<Expression>>,
    accept: &'b Block,
}

/// The branches of an `if` with its `else if`s. The statements before a later condition must not end the block.
fn links(statement: &Statement) -> impl Iterator<Item = Link<'_>> {
    let mut next = match statement {
        Statement::If { condition, accept, reject } => {
            Some((Link { before: &[], condition: Some(*condition), accept }, Some(reject)))
        }
        _ => None,
    };
    std::iter::from_fn(move || {
        let (link, reject) = next.take()?;
        next = reject.filter(|reject| !reject.is_empty()).map(|reject| match &**reject {
            [before @ .., Statement::If { condition, accept, reject }] => {
                (Link { before, condition: Some(*condition), accept }, Some(reject))
            }
            _ => (Link { before: &[], condition: None, accept: reject }, None),
        });
        Some(link)
    })
}

/// Where in a chain each expression is computed.
struct Levels<'f> {
    expressions: &'f Arena<Expression>,
    computed: HashMap<Handle<Expression>, usize>,
    level: usize,
    /// An expression was used in another link than its own.
    mixed: bool,
}

impl Levels<'_> {
    fn see(&mut self, handle: Handle<Expression>) {
        self.mixed |= self.computed.get(&handle).is_some_and(|level| *level != self.level);
    }

    fn visit(&mut self, statement: &Statement) {
        if let Statement::Emit(range) = statement {
            for handle in range.clone() {
                self.computed.insert(handle, self.level);
                let seen = for_each_operand_mut(&mut self.expressions[handle].clone(), |operand| {
                    self.see(*operand);
                    Ok(())
                });
                self.mixed |= seen.is_err();
            }
        }
        for_each_operand(statement, &mut |operand| self.see(operand));
        if let Statement::Call { result: Some(result), .. }
        | Statement::Atomic { result: Some(result), .. }
        | Statement::WorkGroupUniformLoad { result, .. } = statement
        {
            self.computed.insert(*result, self.level);
        }
    }

    /// Visits a statement and the blocks in it.
    fn visit_all(&mut self, statement: &Statement) {
        self.visit(statement);
        blocks(statement).for_each(|block| for_each_statement(block, &mut |statement, _| self.visit(statement)));
    }
}

fn drop_last_break(block: &mut Block) {
    match block.span_iter_mut().last() {
        Some((Statement::Block(inner), _)) => return drop_last_break(inner),
        Some((Statement::Break, _)) => {}
        _ => return,
    }
    block.cull(block.len() - 1..);
}

fn count(block: &Block, is: impl Fn(&Statement) -> bool) -> usize {
    let mut count = 0;
    for_each_statement(block, &mut |statement, _| count += usize::from(is(statement)));
    count
}

/// How many `continue`s a loop with this body has, not counting those of inner loops.
fn continues(block: &Block) -> usize {
    let of = |statement: &Statement| match statement {
        Statement::Continue => 1,
        Statement::Loop { .. } => 0,
        _ => blocks(statement).map(continues).sum(),
    };
    block.iter().map(of).sum()
}
