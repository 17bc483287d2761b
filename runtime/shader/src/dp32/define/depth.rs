//! How deep control flow nests once a driver has inlined all calls.

use std::collections::HashMap;

use naga::{Block, Function, Handle, Module, Span, Statement};

use crate::visit::for_each_statement;

/// The depth of one function, including its callees.
#[derive(Clone, Copy)]
pub(super) struct Depth {
    /// The most masks at one time.
    pub(super) depth: u32,
    /// Where that many are needed, if known.
    pub(super) span: Span,
}

impl Depth {
    const NONE: Self = Self { depth: 0, span: Span::UNDEFINED };

    fn deeper(self, by: u32, span: Span) -> Self {
        let at = if self.span.is_defined() { self.span } else { span };
        Self { depth: self.depth.saturating_add(by), span: at }
    }

    fn max(self, other: Self) -> Self {
        if other.depth > self.depth { other } else { self }
    }
}

/// The depth of the only entry point of a lowered module.
pub(super) fn of_module(module: &Module) -> Depth {
    let mut functions = HashMap::new();
    for (handle, function) in module.functions.iter() {
        let depth = of_function(function, &functions);
        functions.insert(handle, depth);
    }
    let entries = module.entry_points.iter().map(|entry| of_function(&entry.function, &functions));
    entries.fold(Depth::NONE, Depth::max)
}

fn of_function(function: &Function, callees: &HashMap<Handle<Function>, Depth>) -> Depth {
    of_block(&function.body, callees).0
}

/// Also returns how many exits other than `break` follow one another: the code after each is under one more mask.
fn of_block(block: &Block, callees: &HashMap<Handle<Function>, Depth>) -> (Depth, u32) {
    let mut deepest = Depth::NONE;
    let mut exits = 0_u32;
    for (statement, span) in block.span_iter() {
        let (depth, more) = match statement {
            Statement::Block(block) => of_block(block, callees),
            Statement::If { accept, reject, .. } => {
                let (accept, reject) = (of_block(accept, callees), of_block(reject, callees));
                (accept.0.max(reject.0).deeper(1, *span), u32::from(accept.1.max(reject.1) > 0))
            }
            Statement::Loop { body, continuing, .. } => {
                let within = of_block(body, callees).0.max(of_block(continuing, callees).0);
                (within.deeper(1, *span), u32::from(returns(body)))
            }
            Statement::Switch { cases, .. } => {
                // Drivers compile a switch as branches one after the other.
                let (mut depth, mut exits) = (Depth::NONE, 0);
                for case in cases {
                    let (of_case, more) = of_block(&case.body, callees);
                    depth = depth.max(of_case.deeper(exits, *span));
                    exits += u32::from(more > 0);
                }
                (depth.deeper(1, *span), u32::from(exits > 0))
            }
            Statement::Call { function, .. } => (callees.get(function).copied().unwrap_or(Depth::NONE), 0),
            Statement::Return { .. } | Statement::Continue => (Depth::NONE, 1),
            _ => (Depth::NONE, 0),
        };
        deepest = deepest.max(depth.deeper(exits, *span));
        exits = exits.saturating_add(more);
    }
    (deepest, exits)
}

fn returns(block: &Block) -> bool {
    let mut any = false;
    for_each_statement(block, &mut |statement, _| any |= matches!(statement, Statement::Return { .. }));
    any
}
