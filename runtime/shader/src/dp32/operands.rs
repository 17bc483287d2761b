//! The operands of an expression, whatever it is.

use naga::{AtomicFunction, Expression, Handle, Statement};

use super::link::defect;
use crate::Diagnostic;

/// Lets `change` replace each expression that this one is computed from.
///
/// # Errors
/// Those of `change`, and expressions that no compute kernel has.
pub(crate) fn of_expression(
    expression: &mut Expression,
    mut change: impl FnMut(&mut Handle<Expression>) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
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

/// Shows each expression that a statement uses by itself: not those in its blocks, and not what it results in.
pub(crate) fn of_statement(statement: &Statement, see: &mut impl FnMut(Handle<Expression>)) {
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
