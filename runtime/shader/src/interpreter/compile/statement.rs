//! Statements: control flow as masks of lanes, stores, atomics and calls.

use std::collections::HashSet;

use naga::{
    AtomicFunction, Block, Expression, Function, Handle, ScalarKind, Statement, SwitchCase, SwitchValue, TypeInner,
};

use super::{Compiler, Value, unknown};
use crate::Refusal;
use crate::interpreter::code::{AtomicOp, Base, BinaryOp, Inst, Label, Mask, Place, Reg};

/// The control flow around a statement.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    /// The lanes that run the statement.
    pub(super) mask: Mask,
    /// Where to jump to when no lane is left.
    pub(super) end: Label,
    /// Collects the lanes that continue the loop.
    pub(super) continued: Option<Mask>,
}

/// How lanes may leave a block other than by its end.
#[derive(Clone, Copy, Default)]
pub(super) struct Exits {
    breaks: bool,
    continues: bool,
    returns: bool,
}

impl Exits {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            breaks: self.breaks || other.breaks,
            continues: self.continues || other.continues,
            returns: self.returns || other.returns,
        }
    }

    pub(super) fn any(self) -> bool {
        self.breaks || self.continues || self.returns
    }
}
impl<'m> Compiler<'m> {
    pub(super) fn block(&mut self, block: &'m Block, flow: Flow) -> Result<Exits, Refusal> {
        let mut exits = Exits::default();
        for (statement, &span) in block.span_iter() {
            self.span = span;
            let (more, ended) = self.statement(statement, flow)?;
            exits = exits.or(more);
            if ended {
                break;
            }
        }
        Ok(exits)
    }

    /// Compiles a statement. Also returns whether no lane reaches the code after it.
    pub(super) fn statement(&mut self, statement: &'m Statement, flow: Flow) -> Result<(Exits, bool), Refusal> {
        let mut exits = Exits::default();
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    self.emit(handle, flow.mask)?;
                }
            }
            Statement::Block(inner) => exits = self.block(inner, flow)?,
            Statement::If { condition, accept, reject } => {
                exits = self.branch(*condition, accept, reject, flow)?;
            }
            Statement::Switch { selector, cases } => exits = self.switch(*selector, cases, flow)?,
            Statement::Loop { body, continuing, break_if } => {
                exits = self.repeat(body, continuing, *break_if, flow)?;
            }
            Statement::Break => {
                self.push(Inst::MaskClear { dst: flow.mask });
                self.push(Inst::Jump { target: flow.end });
                return Ok((Exits { breaks: true, ..exits }, true));
            }
            Statement::Continue => {
                let dst = flow.continued.ok_or_else(|| Refusal::new("`continue` outside of a loop"))?;
                self.push(Inst::MaskOr { dst, src: flow.mask });
                self.push(Inst::MaskClear { dst: flow.mask });
                self.push(Inst::Jump { target: flow.end });
                return Ok((Exits { continues: true, ..exits }, true));
            }
            Statement::Return { value } => {
                if let (Some(value), Some(dst)) = (value, self.body.result) {
                    let count = self.words(*value)?;
                    let src = self.registers(*value)?;
                    self.push(Inst::Assign { dst, src, count, mask: flow.mask });
                }
                self.push(Inst::MaskOr { dst: self.body.returned, src: flow.mask });
                self.push(Inst::MaskClear { dst: flow.mask });
                self.push(Inst::Jump { target: flow.end });
                return Ok((Exits { returns: true, ..exits }, true));
            }
            Statement::ControlBarrier(barrier) | Statement::MemoryBarrier(barrier) => {
                let (storage, workgroup) =
                    (barrier.contains(naga::Barrier::STORAGE), barrier.contains(naga::Barrier::WORK_GROUP));
                self.push(Inst::Barrier { storage, workgroup });
            }
            Statement::Store { pointer, value } => {
                let place = self.place(*pointer)?;
                let src = self.registers(*value)?;
                self.store(*pointer, place, src, flow.mask)?;
            }
            Statement::Atomic { pointer, fun, value, result } => {
                self.atomic(*pointer, *fun, *value, *result, flow.mask)?;
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                let barrier = Inst::Barrier { storage: false, workgroup: true };
                self.push(barrier.clone());
                let loaded = self.load(*pointer, flow.mask)?;
                self.set(*result, Value::Registers(loaded));
                self.push(barrier);
            }
            Statement::Call { function, arguments, result } => {
                self.call(*function, arguments, *result, flow.mask)?;
            }
            other => return Err(unknown(other)),
        }
        Ok((exits, false))
    }

    pub(super) fn branch(
        &mut self,
        condition: Handle<Expression>,
        accept: &'m Block,
        reject: &'m Block,
        flow: Flow,
    ) -> Result<Exits, Refusal> {
        let condition = self.registers(condition)?;
        let (yes, no) = (self.new_mask(), self.new_mask());
        let (otherwise, end) = (self.new_label(), self.new_label());
        let at = self.code.len();
        self.push(Inst::MaskIf { parent: flow.mask, condition, accept: yes, reject: Some(no) });
        self.push(Inst::JumpIfNone { mask: yes, target: otherwise });
        let mut exits = self.block(accept, Flow { mask: yes, end: otherwise, ..flow })?;
        self.bind(otherwise);
        if !reject.is_empty() {
            self.push(Inst::JumpIfNone { mask: no, target: end });
            exits = exits.or(self.block(reject, Flow { mask: no, end, ..flow })?);
        }
        self.bind(end);
        if exits.any() {
            let returned = !exits.breaks && !exits.continues;
            self.push(Inst::MaskJoin { dst: flow.mask, a: yes, b: Some(no), returned });
            self.push(Inst::JumpIfNone { mask: flow.mask, target: flow.end });
        } else if reject.is_empty()
            && let Some(Inst::MaskIf { reject, .. }) = self.code.get_mut(at)
        {
            *reject = None;
        }
        Ok(exits)
    }

    pub(super) fn repeat(
        &mut self,
        body: &'m Block,
        continuing: &'m Block,
        break_if: Option<Handle<Expression>>,
        flow: Flow,
    ) -> Result<Exits, Refusal> {
        let (here, continued, turn) = (self.new_mask(), self.new_mask(), self.new_mask());
        let (head, next, latch, done) = (self.new_label(), self.new_label(), self.new_label(), self.new_label());
        self.push(Inst::MaskSet { dst: here, src: flow.mask });
        self.bind(head);
        self.push(Inst::MaskClear { dst: continued });
        let exits = self.block(body, Flow { mask: here, end: next, continued: Some(continued) })?;
        self.bind(next);
        let breaks = exits.breaks;
        self.push(Inst::MaskTurn { dst: turn, body: here, continued, outer: flow.mask, breaks });
        self.push(Inst::JumpIfNone { mask: turn, target: done });
        self.block(continuing, Flow { mask: turn, end: latch, continued: None })?;
        self.bind(latch);
        if let Some(condition) = break_if {
            let condition = self.registers(condition)?;
            self.push(Inst::MaskUnless { dst: turn, condition });
        }
        self.push(Inst::MaskSet { dst: here, src: turn });
        self.push(Inst::Repeat { mask: turn, target: head });
        self.bind(done);
        if exits.returns {
            self.push(Inst::MaskRemove { dst: flow.mask, src: self.body.returned, returned: true });
            self.push(Inst::JumpIfNone { mask: flow.mask, target: flow.end });
        }
        Ok(Exits { returns: exits.returns, ..Exits::default() })
    }

    pub(super) fn switch(
        &mut self,
        selector: Handle<Expression>,
        cases: &'m [SwitchCase],
        flow: Flow,
    ) -> Result<Exits, Refusal> {
        let selector = self.registers(selector)?;
        let here = self.new_mask();
        let all: Vec<u32> = cases.iter().filter_map(|case| switch_word(case.value)).collect();
        let mut exits = Exits::default();
        let (mut group, mut has_default, mut accumulate) = (Vec::new(), false, false);
        for case in cases {
            match switch_word(case.value) {
                Some(word) => group.push(word),
                None => has_default = true,
            }
            if case.fall_through && case.body.is_empty() {
                continue;
            }
            let mut values = std::mem::take(&mut group);
            if has_default {
                let mine: HashSet<u32> = values.into_iter().collect();
                values = all.iter().copied().filter(|word| !mine.contains(word)).collect();
            }
            let (parent, values) = (flow.mask, values.into());
            self.push(Inst::MaskCase { dst: here, parent, selector, values, none_of: has_default, accumulate });
            let end = self.new_label();
            self.push(Inst::JumpIfNone { mask: here, target: end });
            exits = exits.or(self.block(&case.body, Flow { mask: here, end, ..flow })?);
            self.bind(end);
            has_default = false;
            accumulate = case.fall_through;
        }
        if exits.continues
            && let Some(src) = flow.continued
        {
            self.push(Inst::MaskRemove { dst: flow.mask, src, returned: false });
        }
        if exits.returns {
            self.push(Inst::MaskRemove { dst: flow.mask, src: self.body.returned, returned: true });
        }
        if exits.continues || exits.returns {
            self.push(Inst::JumpIfNone { mask: flow.mask, target: flow.end });
        }
        Ok(Exits { breaks: false, ..exits })
    }

    pub(super) fn call(
        &mut self,
        function: Handle<Function>,
        arguments: &[Handle<Expression>],
        result: Option<Handle<Expression>>,
        mask: Mask,
    ) -> Result<(), Refusal> {
        let code = self.function_code(function)?;
        for (&argument, &dst) in arguments.iter().zip(&code.arguments) {
            match self.get(argument)? {
                Value::Registers(src) => {
                    let count = self.words(argument)?;
                    self.push(Inst::Copy { dst, src, count });
                }
                Value::Place(Place { base: Base::Registers(variable, length), offset, dynamic }) => {
                    self.push(Inst::Address { dst, variable, length, offset, dynamic });
                }
                Value::Place(Place { base: Base::Pointer, offset, dynamic: Some(src) }) => {
                    let offset = self.scalar_constant(offset)?;
                    let op = BinaryOp::IAdd;
                    self.push(Inst::Binary { op, dst, a: src, b: offset, count: 1 });
                }
                Value::Place(place) => return Err(unknown(place.base)),
            }
        }
        let number = self.function_numbers.get(&function).copied().unwrap_or(u32::MAX);
        self.push(Inst::Call { function: number, entry: code.entry, mask });
        if let (Some(result), Some(src)) = (result, code.result) {
            let count = self.words(result)?;
            let dst = self.value(count)?;
            self.push(Inst::Copy { dst, src, count });
            self.set(result, Value::Registers(dst));
        }
        Ok(())
    }

    pub(super) fn atomic(
        &mut self,
        pointer: Handle<Expression>,
        fun: AtomicFunction,
        value: Handle<Expression>,
        result: Option<Handle<Expression>>,
        mask: Mask,
    ) -> Result<(), Refusal> {
        let TypeInner::Atomic(scalar) = *self.layout.target(self.inner(pointer)) else {
            return Err(unknown(fun));
        };
        let signed = scalar.kind == ScalarKind::Sint;
        let op = match fun {
            AtomicFunction::Add => AtomicOp::Add,
            AtomicFunction::Subtract => AtomicOp::Sub,
            AtomicFunction::And => AtomicOp::And,
            AtomicFunction::ExclusiveOr => AtomicOp::Xor,
            AtomicFunction::InclusiveOr => AtomicOp::Or,
            AtomicFunction::Min if signed => AtomicOp::IMin,
            AtomicFunction::Min => AtomicOp::UMin,
            AtomicFunction::Max if signed => AtomicOp::IMax,
            AtomicFunction::Max => AtomicOp::UMax,
            AtomicFunction::Exchange { compare: None } => AtomicOp::Exchange,
            AtomicFunction::Exchange { compare: Some(compare) } => AtomicOp::CompareExchange(self.registers(compare)?),
        };
        let place = self.place(pointer)?;
        let value = self.registers(value)?;
        let dst = match result {
            Some(result) => {
                let count = self.words(result)?;
                let dst = self.value(count)?;
                self.set(result, Value::Registers(dst));
                Some(dst)
            }
            None => None,
        };
        self.push(Inst::Atomic { op, place, value, dst, mask });
        Ok(())
    }

    pub(super) fn store(
        &mut self,
        pointer: Handle<Expression>,
        place: Place,
        src: Reg,
        mask: Mask,
    ) -> Result<(), Refusal> {
        let module = self.module;
        let info = self.body.info;
        let inner = info[pointer].ty.inner_with(&module.types);
        let count = self.layout.words(inner)?;
        if let Place { base: Base::Registers(variable, _), offset, dynamic: None } = place {
            self.push(Inst::Assign { dst: variable.at(offset), src, count, mask });
            return Ok(());
        }
        let scatter = match place.base {
            Base::Buffer(_) => self.layout.scatter(inner)?,
            _ => None,
        };
        let atomic = matches!(self.layout.target(inner), TypeInner::Atomic(_));
        self.push(Inst::Store { place, src, count, scatter, mask, atomic });
        Ok(())
    }

    /// Reads what a pointer points to.
    pub(super) fn load(&mut self, pointer: Handle<Expression>, mask: Mask) -> Result<Reg, Refusal> {
        let place = self.place(pointer)?;
        let module = self.module;
        let info = self.body.info;
        let inner = info[pointer].ty.inner_with(&module.types);
        let count = self.layout.words(inner)?;
        let dst = self.value(count)?;
        if let Place { base: Base::Registers(variable, _), offset, dynamic: None } = place {
            self.push(Inst::Copy { dst, src: variable.at(offset), count });
            return Ok(dst);
        }
        let scatter = match place.base {
            Base::Buffer(_) => self.layout.scatter(inner)?,
            _ => None,
        };
        let atomic = matches!(self.layout.target(inner), TypeInner::Atomic(_));
        self.push(Inst::Load { dst, place, count, scatter, mask, atomic });
        Ok(dst)
    }
}
fn switch_word(value: SwitchValue) -> Option<u32> {
    match value {
        SwitchValue::I32(value) => Some(value.cast_unsigned()),
        SwitchValue::U32(value) => Some(value),
        SwitchValue::Default => None,
    }
}
