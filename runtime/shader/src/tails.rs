//! Function ends. naga appends a `return` without a value to a function that ends with a loop, even if the loop is only
//! left by returning, and then reports that the value is missing.

use crate::visit::{blocks, blocks_mut};
use naga::{Block, Expression, Handle, Module, Span, Statement, Type};

/// Makes those returns return zero. They are never reached.
pub(crate) fn complete(module: &mut Module) {
    for (_, function) in module.functions.iter_mut() {
        let Some(result) = &function.result else { continue };
        let mut tails = Vec::new();
        find(&mut function.body, &mut tails);
        if tails.is_empty() {
            continue;
        }
        let ty: Handle<Type> = result.ty;
        let zero = function.expressions.append(Expression::ZeroValue(ty), Span::UNDEFINED);
        for tail in tails {
            *tail = Some(zero);
        }
    }
}

/// Collects the missing values of the returns that `naga::proc::ensure_block_returns` appends after endless loops.
fn find<'b>(block: &'b mut Block, tails: &mut Vec<&'b mut Option<Handle<Expression>>>) {
    let ends_with_loop = match &**block {
        [.., Statement::Loop { body, continuing, break_if: None }, Statement::Return { value: None }] => {
            !breaks(body) && !breaks(continuing)
        }
        _ => false,
    };
    let Some((last, span)) = block.span_iter_mut().last() else { return };
    match last {
        Statement::Return { value } => {
            if ends_with_loop && span.is_none_or(|span| !span.is_defined()) {
                tails.push(value);
            }
        }
        Statement::Loop { .. } => {}
        other => blocks_mut(other).for_each(|inner| find(inner, tails)),
    }
}

/// Whether a block has a `break` that leaves the loop around it.
fn breaks(block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Break => true,
        Statement::Loop { .. } | Statement::Switch { .. } => false,
        _ => blocks(statement).any(breaks),
    })
}
