//! Memory that invocations share, and what the text of a kernel does not prove about it.
//!
//! Every operation of a checked kernel has one result. The order in which two invocations access one word remains open. It does
//! not matter if both only read, or if both use atomics of one kind, which commute. In all other cases only a run shows whether it
//! matters, see [`crate::interpreter::Races`].

use std::collections::HashMap;

use crate::visit::{for_each_statement, functions};
use naga::{AddressSpace, AtomicFunction, Expression, GlobalVariable, Handle, Module, Statement, StorageAccess};

use super::pointers::{Root, root};

/// A variable for which it is not proved that the order of invocations does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproved {
    /// The variable's name.
    pub name: String,
    /// Group and binding of a buffer; None: workgroup memory.
    pub binding: Option<(u32, u32)>,
    /// The accesses that make the order matter.
    pub why: Order,
}

/// What makes the order of invocations matter, if two of them access one word with no barrier in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is stored to; an `atomicStore` is a store.
    Stores,
    /// There are atomics of several kinds, or both loads and atomics.
    Atomics,
}

/// The accesses to one variable.
#[derive(Default)]
struct Uses {
    loads: bool,
    stores: bool,
    /// The kinds of its atomics, see [`kind`].
    kinds: Vec<u8>,
}

/// The unproved variables of a module with one entry point, in the order of the source.
pub(super) fn unproved(module: &Module) -> Vec<Unproved> {
    let mut all: HashMap<Handle<GlobalVariable>, Uses> = HashMap::new();
    for function in functions(module) {
        let variable = |pointer: Handle<Expression>| match root(function, pointer) {
            Some(Root::Global(variable)) => Some(variable),
            _ => None,
        };
        for (_, expression) in function.expressions.iter() {
            if let Expression::Load { pointer } = expression
                && let Some(variable) = variable(*pointer)
            {
                all.entry(variable).or_default().loads = true;
            }
        }
        for_each_statement(&function.body, &mut |statement, _| match statement {
            Statement::Store { pointer, .. } => {
                if let Some(variable) = variable(*pointer) {
                    all.entry(variable).or_default().stores = true;
                }
            }
            Statement::WorkGroupUniformLoad { pointer, .. } => {
                if let Some(variable) = variable(*pointer) {
                    all.entry(variable).or_default().loads = true;
                }
            }
            Statement::Atomic { pointer, fun, .. } => {
                if let Some(variable) = variable(*pointer) {
                    let uses = all.entry(variable).or_default();
                    match kind(*fun) {
                        Some(kind) if !uses.kinds.contains(&kind) => uses.kinds.push(kind),
                        Some(_) => {}
                        None => uses.stores = true,
                    }
                }
            }
            _ => {}
        });
    }
    let variables = module.global_variables.iter().filter_map(|(handle, variable)| {
        let shared = match variable.space {
            AddressSpace::WorkGroup => true,
            AddressSpace::Storage { access } => access.contains(StorageAccess::STORE),
            _ => false,
        };
        let uses = all.get(&handle).filter(|_| shared)?;
        let why = match uses {
            Uses { stores: true, .. } => Order::Stores,
            Uses { kinds, loads, .. } if kinds.len() > 1 || (*loads && !kinds.is_empty()) => Order::Atomics,
            _ => return None,
        };
        let binding = variable.binding.map(|binding| (binding.group, binding.binding));
        Some(Unproved { name: variable.name.clone().unwrap_or_default(), binding, why })
    });
    variables.collect()
}

/// The kind of an atomic. Atomics of one kind commute; None: exchanges, which do not.
fn kind(fun: AtomicFunction) -> Option<u8> {
    Some(match fun {
        AtomicFunction::Add | AtomicFunction::Subtract => 0,
        AtomicFunction::And => 1,
        AtomicFunction::ExclusiveOr => 2,
        AtomicFunction::InclusiveOr => 3,
        AtomicFunction::Min => 4,
        AtomicFunction::Max => 5,
        AtomicFunction::Exchange { .. } => return None,
    })
}
