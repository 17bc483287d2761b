//! Walks over naga's modules: the functions of a module, the statements of a block, the operands of statements and
//! expressions. Passes that need another order (the graph of control flow, code generation) have their own walks.

use naga::{AtomicFunction, Block, Expression, Function, Handle, Module, Span, Statement};

use crate::Refusal;
use crate::refusal::defect;

/// All functions and entry points.
pub(crate) fn functions(module: &Module) -> impl Iterator<Item = &Function> {
    let functions = module.functions.iter().map(|(_, function)| function);
    functions.chain(module.entry_points.iter().map(|entry| &entry.function))
}

/// The blocks of a statement, in the order of the text; a loop's body before its `continuing`.
pub(crate) fn blocks(statement: &Statement) -> impl Iterator<Item = &Block> {
    let (blocks, cases) = match statement {
        Statement::Block(block) => ([Some(block), None], &[][..]),
        Statement::If { accept, reject, .. } => ([Some(accept), Some(reject)], &[][..]),
        Statement::Loop { body, continuing, .. } => ([Some(body), Some(continuing)], &[][..]),
        Statement::Switch { cases, .. } => ([None, None], cases.as_slice()),
        _ => ([None, None], &[][..]),
    };
    blocks.into_iter().flatten().chain(cases.iter().map(|case| &case.body))
}

/// Like [`blocks`], but mutable.
pub(crate) fn blocks_mut(statement: &mut Statement) -> impl Iterator<Item = &mut Block> {
    let (blocks, cases) = match statement {
        Statement::Block(block) => ([Some(block), None], &mut [][..]),
        Statement::If { accept, reject, .. } => ([Some(accept), Some(reject)], &mut [][..]),
        Statement::Loop { body, continuing, .. } => ([Some(body), Some(continuing)], &mut [][..]),
        Statement::Switch { cases, .. } => ([None, None], cases.as_mut_slice()),
        _ => ([None, None], &mut [][..]),
    };
    blocks.into_iter().flatten().chain(cases.iter_mut().map(|case| &mut case.body))
}

/// Visits the statements of a block and of the blocks in it, in the order of the text. Blocks do not nest deeply, see
/// `text::nesting`.
pub(crate) fn for_each_statement(block: &Block, visit: &mut impl FnMut(&Statement, Span)) {
    for (statement, span) in block.span_iter() {
        visit(statement, *span);
        blocks(statement).for_each(|inner| for_each_statement(inner, visit));
    }
}

/// Like [`for_each_statement`]; statements and spans can be changed.
pub(crate) fn for_each_statement_mut(block: &mut Block, visit: &mut impl FnMut(&mut Statement, &mut Span)) {
    for (statement, span) in block.span_iter_mut() {
        visit(statement, span.unwrap_or(&mut Span::UNDEFINED.clone()));
        blocks_mut(statement).for_each(|inner| for_each_statement_mut(inner, visit));
    }
}

/// Calls `change` with each operand of an expression.
///
/// # Errors
/// Those of `change`, and expressions that no compute kernel has.
pub(crate) fn for_each_operand_mut(
    expression: &mut Expression,
    mut change: impl FnMut(&mut Handle<Expression>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    match expression {
        Expression::Literal(_)
        | Expression::Constant(_)
        | Expression::ZeroValue(_)
        | Expression::FunctionArgument(_)
        | Expression::GlobalVariable(_)
        | Expression::LocalVariable(_)
        | Expression::CallResult(_)
        | Expression::AtomicResult { .. }
        | Expression::WorkGroupUniformLoadResult { .. } => Ok(()),
        Expression::Compose { components, .. } => components.iter_mut().try_for_each(change),
        Expression::Access { base, index } => {
            change(base)?;
            change(index)
        }
        Expression::AccessIndex { base: operand, .. }
        | Expression::Splat { value: operand, .. }
        | Expression::Swizzle { vector: operand, .. }
        | Expression::Load { pointer: operand }
        | Expression::Unary { expr: operand, .. }
        | Expression::Relational { argument: operand, .. }
        | Expression::As { expr: operand, .. }
        | Expression::ArrayLength(operand) => change(operand),
        Expression::Binary { left, right, .. } => {
            change(left)?;
            change(right)
        }
        Expression::Select { condition, accept, reject } => {
            change(condition)?;
            change(accept)?;
            change(reject)
        }
        Expression::Math { arg, arg1, arg2, arg3, .. } => {
            change(arg)?;
            [arg1, arg2, arg3].into_iter().flatten().try_for_each(change)
        }
        other => Err(defect(format!("no compute kernel has {other:?}"))),
    }
}

/// Calls `see` with each operand of a statement: not with those in its blocks, and not with its result.
pub(crate) fn for_each_operand(statement: &Statement, see: &mut impl FnMut(Handle<Expression>)) {
    match statement {
        Statement::If { condition: operand, .. }
        | Statement::Switch { selector: operand, .. }
        | Statement::Loop { break_if: Some(operand), .. }
        | Statement::Return { value: Some(operand) }
        | Statement::WorkGroupUniformLoad { pointer: operand, .. } => see(*operand),
        Statement::Store { pointer, value } => {
            see(*pointer);
            see(*value);
        }
        Statement::Atomic { pointer, fun, value, .. } => {
            see(*pointer);
            see(*value);
            if let AtomicFunction::Exchange { compare: Some(compare) } = fun {
                see(*compare);
            }
        }
        Statement::Call { arguments, .. } => arguments.iter().for_each(|argument| see(*argument)),
        _ => {}
    }
}
