//! Rewrites statements.

use naga::{AtomicFunction, Block, Expression, Handle, Span, Statement, SwitchCase};

use super::opaque::no_zero;
use super::{MAX_EXPRESSIONS, Rewriter};
use crate::Refusal;
use crate::refusal::defect;

impl Rewriter<'_, '_> {
    pub(super) fn block(&mut self, block: &Block) -> Result<Block, Refusal> {
        let outer = std::mem::take(&mut self.block);
        for (statement, span) in block.span_iter() {
            self.statement(statement, *span)?;
            if self.realizer.expressions + self.out.expressions.len() > MAX_EXPRESSIONS {
                return Err(Refusal::new(format!(
                    "the kernel is too large: its reproducible form has more than {MAX_EXPRESSIONS} expressions"
                )));
            }
        }
        self.finish_emit();
        Ok(std::mem::replace(&mut self.block, outer))
    }

    fn statement(&mut self, statement: &Statement, span: Span) -> Result<(), Refusal> {
        if let Statement::Emit(range) = statement {
            return range.clone().try_for_each(|old| self.expression(old));
        }
        self.finish_emit();
        let copy = match statement {
            Statement::Break
            | Statement::Continue
            | Statement::ControlBarrier(_)
            | Statement::MemoryBarrier(_)
            | Statement::Return { value: None } => statement.clone(),
            Statement::Return { value: Some(value) } => Statement::Return { value: Some(self.new_of(*value)?) },
            Statement::Block(block) => Statement::Block(self.block(block)?),
            Statement::If { condition, accept, reject } => Statement::If {
                condition: self.new_of(*condition)?,
                accept: self.block(accept)?,
                reject: self.block(reject)?,
            },
            Statement::Switch { selector, cases } => {
                let selector = self.new_of(*selector)?;
                let cases = cases.iter().map(|case| {
                    let body = self.block(&case.body)?;
                    Ok(SwitchCase { value: case.value, body, fall_through: case.fall_through })
                });
                Statement::Switch { selector, cases: cases.collect::<Result<_, Refusal>>()? }
            }
            Statement::Loop { body, continuing, break_if } => {
                let body = self.block(body)?;
                let continuing = self.block(continuing)?;
                let break_if = break_if.map(|condition| self.new_of(condition)).transpose()?;
                Statement::Loop { body, continuing, break_if }
            }
            Statement::Store { pointer, value } => {
                let copy = Statement::Store { pointer: self.new_of(*pointer)?, value: self.new_of(*value)? };
                self.write_through(*pointer, copy, span);
                return Ok(());
            }
            Statement::Atomic { pointer: old, fun, value, result } => {
                let (pointer, value) = (self.new_of(*old)?, self.new_of(*value)?);
                let fun = match *fun {
                    AtomicFunction::Exchange { compare: Some(compare) } => {
                        AtomicFunction::Exchange { compare: Some(self.new_of(compare)?) }
                    }
                    other => other,
                };
                let result = result.map(|result| self.result(result));
                self.write_through(*old, Statement::Atomic { pointer, fun, value, result }, span);
                return Ok(());
            }
            Statement::WorkGroupUniformLoad { pointer: old, result } => {
                let (pointer, loaded) = (self.new_of(*old)?, self.result(*result));
                self.block.push(Statement::WorkGroupUniformLoad { pointer, result: loaded }, span);
                let value = self.loaded(*result, *old, loaded)?;
                self.set(*result, value);
                return Ok(());
            }
            Statement::Call { function, arguments, result } => {
                let callee = self.realizer.functions.get(function).copied();
                let callee = callee.ok_or_else(|| defect("a function is called before it is defined"))?;
                let arguments = arguments.iter().map(|argument| self.new_of(*argument));
                let mut arguments = arguments.collect::<Result<Vec<_>, _>>()?;
                if callee.takes_zero {
                    arguments.push(self.zero_word.ok_or_else(no_zero)?);
                }
                let new = result.map(|_| self.place(Expression::CallResult(callee.copy)));
                self.block.push(Statement::Call { function: callee.copy, arguments, result: new }, span);
                if let Some((old, new)) = result.zip(new) {
                    let opaque = self.opaque_value(old, new)?;
                    self.set(old, opaque);
                }
                return Ok(());
            }
            other => return Err(defect(format!("no compute kernel has {other:?}"))),
        };
        self.block.push(copy, span);
        Ok(())
    }

    /// Places an expression whose value is the result of a statement.
    fn result(&mut self, old: Handle<Expression>) -> Handle<Expression> {
        let new = self.place(self.source.expressions[old].clone());
        self.set(old, new);
        new
    }
}
