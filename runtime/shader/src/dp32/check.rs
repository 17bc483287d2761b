//! Checks a module for what dp32 refuses, with the reason and what to write instead.

use std::collections::HashSet;

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, AtomicFunction, Expression, Function, Handle, Module, ShaderStage, Span, Statement, Type, TypeInner,
};

use super::pointers::{self, Pointers};
use super::unavailable;
use super::uniformity::{self, Uniformity};
use crate::Refusal;
use crate::refusal::{Label, Problem};
use crate::visit::{for_each_statement, functions};

/// The deepest nesting of types.
const MAX_TYPE_DEPTH: u32 = 64;

/// The most expressions of all functions and constants together.
const MAX_EXPRESSIONS: usize = 200_000;

/// The most parameters of a function: WGSL's limit.
const MAX_ARGUMENTS: usize = 255;

/// The deepest nesting of calls.
pub const MAX_CALL_DEPTH: u32 = 128;

/// The most expressions and statements of an entry point with all calls inlined, as drivers do.
const MAX_INLINED_SIZE: u64 = 1 << 20;

/// The most bytes of `var<private>` and of the `var`s of all functions that are active at one time, per invocation.
pub const MAX_VARIABLE_BYTES: u64 = 64 << 10;

/// The most bytes of one array or struct that is handled as a value.
pub const MAX_VALUE_BYTES: u64 = 64 << 10;

/// The most bytes of all arrays and structs of more than [`SMALL_VALUE_BYTES`] that a kernel's functions handle as values.
/// Some devices hold them all at once.
const MAX_VALUES_BYTES: u64 = 1 << 20;
const SMALL_VALUE_BYTES: u64 = 256;

/// Refuses what cannot be made reproducible, and what is too large for every device. Overrides may be unresolved:
/// they then count as uniform values, and arrays sized by them as empty.
pub(crate) fn check(module: &Module, info: &ModuleInfo) -> Result<Uniformity, Refusal> {
    check_bounds(module, info)?;
    for (function, info) in reached(module, info) {
        check_function(function, info)?;
    }
    Pointers::new(module).check(module)?;
    uniformity::analyze(module)
}

/// Refuses what is too large for every device, whatever the profile.
pub(crate) fn check_bounds(module: &Module, info: &ModuleInfo) -> Result<(), Refusal> {
    check_types(module)?;
    check_expressions(module)?;
    let mut values_bytes = 0;
    for (function, info) in reached(module, info) {
        check_values(module, function, info, &mut values_bytes)?;
    }
    check_sizes(module, info)
}

/// The functions that compute entry points call, and these.
fn reached<'m>(module: &'m Module, info: &'m ModuleInfo) -> impl Iterator<Item = (&'m Function, &'m FunctionInfo)> {
    let functions = called(module).into_iter().map(|handle| (&module.functions[handle], &info[handle]));
    let entry_points = module.entry_points.iter().enumerate();
    let compute = entry_points.filter(|(_, entry)| entry.stage == ShaderStage::Compute);
    functions.chain(compute.map(|(index, entry)| (&entry.function, info.get_entry_point(index))))
}

fn check_types(module: &Module) -> Result<(), Refusal> {
    let mut depths: Vec<u32> = Vec::with_capacity(module.types.len());
    for (handle, ty) in module.types.iter() {
        let depth_of = |inner: Handle<Type>| depths.get(inner.index()).copied().unwrap_or(0);
        let depth = match ty.inner {
            TypeInner::Array { base, .. } | TypeInner::Pointer { base, .. } | TypeInner::BindingArray { base, .. } => {
                depth_of(base) + 1
            }
            TypeInner::Struct { ref members, .. } => {
                members.iter().map(|member| depth_of(member.ty)).max().unwrap_or(0) + 1
            }
            _ => 1,
        };
        if depth > MAX_TYPE_DEPTH {
            let reason = format!("a type nests more than {MAX_TYPE_DEPTH} types; flatten it");
            return Err(Refusal::at(module.types.get_span(handle), reason));
        }
        depths.push(depth);
    }
    Ok(())
}

fn check_expressions(module: &Module) -> Result<(), Refusal> {
    let count =
        module.global_expressions.len() + functions(module).map(|function| function.expressions.len()).sum::<usize>();
    if count > MAX_EXPRESSIONS {
        return Err(Refusal::new(format!(
            "the shader has {count} expressions, more than the {MAX_EXPRESSIONS} that a kernel may have; \
             use loops, and storage buffers for tables"
        )));
    }
    Ok(())
}

/// The functions that compute entry points call.
fn called(module: &Module) -> Vec<Handle<Function>> {
    let mut is_called = vec![false; module.functions.len()];
    let mark = |function: &Function, is_called: &mut Vec<bool>| {
        for_each_statement(&function.body, &mut |statement, _| {
            if let Statement::Call { function, .. } = statement
                && let Some(called) = is_called.get_mut(function.index())
            {
                *called = true;
            }
        });
    };
    for entry in module.entry_points.iter().filter(|entry| entry.stage == ShaderStage::Compute) {
        mark(&entry.function, &mut is_called);
    }
    // A function only calls earlier ones.
    for (handle, function) in module.functions.iter().rev() {
        if is_called.get(handle.index()) == Some(&true) {
            mark(function, &mut is_called);
        }
    }
    let handles = module.functions.iter().map(|(handle, _)| handle);
    handles.filter(|handle| is_called.get(handle.index()) == Some(&true)).collect()
}

/// Bounds the bytes of arrays and structs that a function handles as values; `total` adds up all functions.
fn check_values(module: &Module, function: &Function, info: &FunctionInfo, total: &mut u64) -> Result<(), Refusal> {
    for (handle, expression) in function.expressions.iter() {
        let ty = info[handle].ty.inner_with(&module.types);
        if !matches!(ty, TypeInner::Array { .. } | TypeInner::Struct { .. }) {
            continue;
        }
        let bytes = ty.try_size(module.to_ctx()).map_or(u64::MAX, u64::from);
        // All uses of a constant share it.
        let is_shared = matches!(expression, Expression::Constant(_) | Expression::ZeroValue(_));
        if bytes > SMALL_VALUE_BYTES && !is_shared {
            *total = total.saturating_add(bytes);
        }
        let problem = if bytes > MAX_VALUE_BYTES { LARGE_VALUE } else { LARGE_VALUES };
        if bytes > MAX_VALUE_BYTES || *total > MAX_VALUES_BYTES {
            let label = Label::new(function.expressions.get_span(handle), "this value");
            return Err(Refusal::of(&problem, &[label]));
        }
    }
    Ok(())
}

fn check_function(function: &Function, info: &FunctionInfo) -> Result<(), Refusal> {
    if function.arguments.len() > MAX_ARGUMENTS {
        return Err(Refusal::new(format!(
            "function `{}` has {} parameters, more than the {MAX_ARGUMENTS} that WGSL allows",
            function.name.as_deref().unwrap_or_default(),
            function.arguments.len()
        )));
    }
    unavailable::check_operations(function)?;
    let mut refused = None;
    for_each_statement(&function.body, &mut |statement, span| {
        let problem = match statement {
            Statement::Atomic { fun: AtomicFunction::Exchange { compare: None }, .. } => EXCHANGE,
            Statement::Atomic { fun: AtomicFunction::Exchange { compare: Some(_) }, .. } => COMPARE_EXCHANGE,
            Statement::Atomic { result: Some(result), .. } if info[*result].ref_count > 0 => ATOMIC_RESULT,
            _ => return,
        };
        refused.get_or_insert_with(|| Refusal::of(&problem, &[Label::new(span, "here")]));
    });
    refused.map_or(Ok(()), Err)
}

const EXCHANGE: Problem = Problem {
    message: "which invocation an exchange comes after differs between devices, and from run to run",
    help: "use `atomicMax`, `atomicMin` or `atomicOr` without their result, or give each invocation a place of its own",
};

const COMPARE_EXCHANGE: Problem = Problem {
    message: "which invocation wins a compare-exchange differs between devices, and from run to run",
    help: "use `atomicAdd`, `atomicMax` or another atomic without its result, or give each invocation a place of its own",
};

const ATOMIC_RESULT: Problem = Problem {
    message: "the value before an atomic differs between devices, and from run to run, as the order of invocations does",
    help: "use the atomic without its result; for positions in an output, count first, then compute a prefix sum",
};

const LARGE_VALUE: Problem = Problem {
    message: "an array or struct of more than 64 KiB cannot be handled as a value",
    help: "keep it in a storage buffer and load one element at a time",
};

const LARGE_VALUES: Problem = Problem {
    message: "the arrays and structs that are handled as values take more than 1 MiB",
    help: "keep them in a storage buffer and load one element at a time",
};

/// The resources of a function, with everything it calls.
#[derive(Clone, Copy, Default)]
struct Footprint {
    variable_bytes: u64,
    depth: u32,
    inlined_size: u64,
}

fn check_sizes(module: &Module, info: &ModuleInfo) -> Result<(), Refusal> {
    let mut footprints = Vec::with_capacity(module.functions.len());
    for (_, function) in module.functions.iter() {
        footprints.push(footprint(module, function, &footprints));
    }
    for (index, entry) in module.entry_points.iter().enumerate() {
        if entry.stage != ShaderStage::Compute {
            continue;
        }
        let name = &entry.name;
        let footprint = footprint(module, &entry.function, &footprints);
        if footprint.depth > MAX_CALL_DEPTH {
            return Err(Refusal::new(format!(
                "entry point `{name}` has calls nested more than {MAX_CALL_DEPTH} deep; use loops"
            )));
        }
        if footprint.inlined_size > MAX_INLINED_SIZE {
            return Err(Refusal::new(format!(
                "entry point `{name}` has more than {MAX_INLINED_SIZE} expressions when its calls are expanded, as drivers do; use \
                 loops instead of repeated calls"
            )));
        }
        let uses = info.get_entry_point(index);
        let private = module.global_variables.iter();
        let private =
            private.filter(|(handle, variable)| variable.space == AddressSpace::Private && !uses[*handle].is_empty());
        let sizes =
            private.map(|(handle, variable)| (module.global_variables.get_span(handle), size(module, variable.ty)));
        let sizes: Vec<(Span, u64)> = sizes.collect();
        let total = sizes.iter().fold(footprint.variable_bytes, |sum, (_, size)| sum.saturating_add(*size));
        if total > MAX_VARIABLE_BYTES {
            let largest_private = sizes.iter().max_by_key(|(_, size)| *size);
            let largest = largest_variable(module, &entry.function).into_iter().chain(largest_private.copied());
            let message = format!(
                "an invocation of `{name}` has {total} bytes of private and function variables, more than {}; keep them in \
                 workgroup memory or in a storage buffer",
                MAX_VARIABLE_BYTES
            );
            return Err(match largest.max_by_key(|(_, size)| *size) {
                Some((span, _)) => Refusal::at(span, message),
                None => Refusal::new(message),
            });
        }
    }
    Ok(())
}

fn size(module: &Module, ty: Handle<Type>) -> u64 {
    module.types[ty].inner.try_size(module.to_ctx()).map_or(u64::MAX, u64::from)
}

fn largest_variable(module: &Module, function: &Function) -> Option<(Span, u64)> {
    let variables = function.local_variables.iter();
    let sizes =
        variables.map(|(handle, variable)| (function.local_variables.get_span(handle), size(module, variable.ty)));
    sizes.max_by_key(|(_, size)| *size)
}

fn footprint(module: &Module, function: &Function, callees: &[Footprint]) -> Footprint {
    let variables = function.local_variables.iter().map(|(_, variable)| size(module, variable.ty));
    let own_bytes = variables.fold(0_u64, u64::saturating_add);
    let mut whole = Footprint::default();
    let mut inlined_size = u64::try_from(function.expressions.len()).unwrap_or(u64::MAX);
    let mut copies = HashSet::new();
    for_each_statement(&function.body, &mut |statement, _| {
        inlined_size = inlined_size.saturating_add(1);
        if let Statement::Call { function: called, arguments, .. } = statement {
            copies.extend(pointers::parts(module, function, *called, arguments).into_iter().flatten());
            let callee = callees.get(called.index()).copied().unwrap_or_default();
            whole.variable_bytes = whole.variable_bytes.max(callee.variable_bytes);
            whole.depth = whole.depth.max(callee.depth);
            inlined_size = inlined_size.saturating_add(callee.inlined_size);
        }
    });
    let own_bytes = copies.iter().map(|copy| size(module, copy.ty)).fold(own_bytes, u64::saturating_add);
    Footprint { variable_bytes: whole.variable_bytes.saturating_add(own_bytes), depth: whole.depth + 1, inlined_size }
}
