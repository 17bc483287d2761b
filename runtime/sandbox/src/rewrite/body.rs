//! One function: what it costs in depth, and its body with the counting.

use super::Result;
use super::module::Module;
use std::ops::Range;
use wasm_encoder::{BlockType, Encode as _, Instruction};
use wasmparser::{FuncValidator, FunctionBody, Operator, ValidatorResources};

/// A function's cost before its content counts: its return address and saved registers, and the code between two components, which is not counted
/// by itself.
const BASE: u32 = 64;

/// The cost of a value on the operand stack at its highest: a spilled vector of 16 bytes, its copy as an argument, and its copy as a result.
const PER_OPERAND: u32 = 8;

/// The cost of a local variable: a spilled vector.
const PER_LOCAL: u32 = 4;

/// Bytes of code for a cost of one: the compiler keeps intermediate results for later, at most one for each instruction.
const CODE_PER_UNIT: u32 = 4;

/// What a function's body shows of its frame, and the places in it that are rewritten.
#[derive(Default)]
pub(super) struct Profile {
    /// Where the first instruction lies in the module.
    begin: usize,
    /// Where the last `end` lies.
    end: usize,
    /// The most values on the operand stack.
    operands: u32,
    locals: u32,
    calls: bool,
    /// Instructions that change: where each lies, and what it is.
    changes: Vec<(Range<usize>, Change)>,
}

/// An instruction that changes.
#[derive(Clone, Copy)]
enum Change {
    /// A `return` in so many blocks.
    Return(u32),
    /// A call of this function.
    Call(u32),
    /// A call of this function that takes the caller's frame.
    TailCall(u32),
    /// A call through a table that takes the caller's frame.
    TailCallIndirect,
    /// A reference to this function.
    Reference(u32),
}

impl Profile {
    /// Validates a body, and takes its profile.
    pub(super) fn of(body: &FunctionBody<'_>, validator: &mut FuncValidator<ValidatorResources>) -> Result<Self> {
        let mut profile = Self::default();
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let mut operators = body.get_operators_reader()?;
        profile.begin = operators.original_position();
        let mut blocks = 0_u32;
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset()?;
            let change = match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    blocks = blocks.saturating_add(1);
                    None
                }
                Operator::End => {
                    blocks = blocks.saturating_sub(1);
                    profile.end = at;
                    None
                }
                Operator::Return => Some(Change::Return(blocks)),
                Operator::Call { function_index } => Some(Change::Call(function_index)),
                Operator::ReturnCall { function_index } => Some(Change::TailCall(function_index)),
                Operator::ReturnCallIndirect { .. } => Some(Change::TailCallIndirect),
                Operator::RefFunc { function_index } => Some(Change::Reference(function_index)),
                _ => None,
            };
            profile.calls |= matches!(operator, Operator::CallIndirect { .. })
                || matches!(change, Some(Change::Call(_) | Change::TailCall(_) | Change::TailCallIndirect));
            if let Some(change) = change {
                profile.changes.push((at..operators.original_position(), change));
            }
            validator.op(at, &operator)?;
            profile.operands = profile.operands.max(validator.operand_stack_height());
        }
        operators.finish()?;
        profile.locals = validator.len_locals();
        Ok(profile)
    }

    /// What a call of the function costs: at least its native frame in units of `BYTES_PER_UNIT`.
    fn cost(&self) -> u32 {
        let code = u32::try_from(self.end.saturating_sub(self.begin)).unwrap_or(u32::MAX);
        let operands = self.operands.saturating_mul(PER_OPERAND);
        let locals = self.locals.saturating_mul(PER_LOCAL);
        BASE.saturating_add(operands).saturating_add(locals).saturating_add(code / CODE_PER_UNIT)
    }

    /// The body as it is compiled: with the counting around it, and with the functions that stand for others. A function that does not call cannot be part of a recursion, and is not counted.
    pub(super) fn rewrite(
        &self,
        bytes: &[u8],
        body: &FunctionBody<'_>,
        module: &Module,
        block: BlockType,
        limit: u32,
    ) -> Vec<u8> {
        let mut out = part(bytes, body.range().start, self.begin).to_vec();
        if !self.calls {
            self.content(bytes, module, &[], &mut out);
            emit(&mut out, &[Instruction::End]);
            return out;
        }
        let counter = module.counter();
        let cost = self.cost().min(limit);
        let signed = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let enter = [
            Instruction::GlobalGet(counter),
            Instruction::I32Const(signed(limit.saturating_sub(cost))),
            Instruction::I32GtU,
            Instruction::If(BlockType::Empty),
            Instruction::Call(module.overflow()),
            Instruction::End,
            Instruction::GlobalGet(counter),
            Instruction::I32Const(signed(cost)),
            Instruction::I32Add,
            Instruction::GlobalSet(counter),
            Instruction::Block(block),
        ];
        let leave = [
            Instruction::GlobalGet(counter),
            Instruction::I32Const(signed(cost)),
            Instruction::I32Sub,
            Instruction::GlobalSet(counter),
        ];
        emit(&mut out, &enter);
        self.content(bytes, module, &leave, &mut out);
        emit(&mut out, &[Instruction::End]);
        emit(&mut out, &leave);
        emit(&mut out, &[Instruction::End]);
        out
    }

    /// The instructions without the last `end`. `leave` takes the function's cost off the counter; a function that is not counted has none.
    fn content(&self, bytes: &[u8], module: &Module, leave: &[Instruction<'_>], out: &mut Vec<u8>) {
        let mut from = self.begin;
        for (range, change) in &self.changes {
            out.extend_from_slice(part(bytes, from, range.start));
            from = range.end;
            match *change {
                Change::Return(_) if leave.is_empty() => emit(out, &[Instruction::Return]),
                Change::Return(blocks) => emit(out, &[Instruction::Br(blocks)]),
                Change::Call(function) => emit(out, &[Instruction::Call(module.stand_in(function))]),
                Change::Reference(function) => emit(out, &[Instruction::RefFunc(module.stand_in(function))]),
                Change::TailCall(function) => {
                    emit(out, leave);
                    emit(out, &[Instruction::ReturnCall(module.stand_in(function))]);
                }
                Change::TailCallIndirect => {
                    emit(out, leave);
                    out.extend_from_slice(part(bytes, range.start, range.end));
                }
            }
        }
        out.extend_from_slice(part(bytes, from, self.end));
    }
}

fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

fn emit(out: &mut Vec<u8>, instructions: &[Instruction<'_>]) {
    instructions.iter().for_each(|instruction| instruction.encode(out));
}
