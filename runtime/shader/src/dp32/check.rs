//! What dp32 refuses, with the reason and what to write instead.

use std::collections::HashSet;

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, AtomicFunction, Block, Expression, Function, Handle, Literal, Module, Scalar, ScalarKind,
    ShaderStage, Span, Statement, Type, TypeInner,
};

use super::pointers::{self, Pointers};
use super::uniformity;
use crate::Diagnostic;
use crate::diagnostic::{Label, Problem};

/// Types within types.
const MAX_TYPE_DEPTH: u32 = 64;

/// Expressions of all functions and constants together.
const MAX_EXPRESSIONS: usize = 200_000;

/// What WGSL allows.
const MAX_ARGUMENTS: usize = 255;

/// Calls within calls.
const MAX_CALL_DEPTH: u32 = 128;

/// Expressions and statements of an entry point if each call were replaced by what it calls, as drivers do.
const MAX_INLINED_SIZE: u64 = 1 << 20;

/// Bytes of `var<private>` and of the `var`s of functions that are in calls at one time, per invocation.
const MAX_VARIABLE_BYTES: u64 = 64 << 10;

/// Bytes of one array or struct that is handled as a value.
const MAX_VALUE_BYTES: u64 = 64 << 10;

/// Bytes of all arrays and structs of more than [`SMALL_VALUE_BYTES`] that a kernel's functions handle as values. Some
/// devices hold them all at once.
const MAX_VALUES_BYTES: u64 = 1 << 20;
const SMALL_VALUE_BYTES: u64 = 256;

/// Refuses what cannot be made reproducible, and what is too large for every device. Overrides may
/// be unresolved; then they are taken for uniform values, and arrays sized by them for empty.
pub(crate) fn check(module: &Module, info: &ModuleInfo, source: &str) -> Result<(), Diagnostic> {
    check_types(module, source)?;
    check_expressions(module)?;
    let entry_points = module.entry_points.iter().enumerate();
    let compute: Vec<_> = entry_points.filter(|(_, entry)| entry.stage == ShaderStage::Compute).collect();
    let entry_functions = compute.iter().map(|&(index, entry)| (&entry.function, info.get_entry_point(index)));
    let functions = called(module).into_iter().map(|handle| (&module.functions[handle], &info[handle]));
    let mut values_bytes = 0;
    for (function, info) in functions.chain(entry_functions) {
        check_values(module, function, info, source, &mut values_bytes)?;
        check_function(function, info, source)?;
    }
    check_sizes(module, info, source)?;
    Pointers::new(module).check(module, source)?;
    uniformity::check(module, source)
}

fn check_types(module: &Module, source: &str) -> Result<(), Diagnostic> {
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
            return Err(Diagnostic::at(
                format!("a type nests more than {MAX_TYPE_DEPTH} types; flatten it"),
                module.types.get_span(handle),
                source,
            ));
        }
        depths.push(depth);
    }
    Ok(())
}

fn check_expressions(module: &Module) -> Result<(), Diagnostic> {
    let count =
        module.global_expressions.len() + functions(module).map(|function| function.expressions.len()).sum::<usize>();
    if count > MAX_EXPRESSIONS {
        return Err(Diagnostic::new(format!(
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

/// Visits the statements of a block and of the blocks in it. Blocks do not nest deeply, see `nesting`.
pub(crate) fn for_each_statement(block: &Block, visit: &mut impl FnMut(&Statement, Span)) {
    for (statement, span) in block.span_iter() {
        visit(statement, *span);
        match statement {
            Statement::Block(inner) => for_each_statement(inner, visit),
            Statement::If { accept, reject, .. } => {
                for_each_statement(accept, visit);
                for_each_statement(reject, visit);
            }
            Statement::Switch { cases, .. } => {
                for case in cases {
                    for_each_statement(&case.body, visit);
                }
            }
            Statement::Loop { body, continuing, .. } => {
                for_each_statement(body, visit);
                for_each_statement(continuing, visit);
            }
            _ => {}
        }
    }
}

/// Bounds what a function's arrays and structs take as values; `total` is of all functions.
fn check_values(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    source: &str,
    total: &mut u64,
) -> Result<(), Diagnostic> {
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
            return Err(Diagnostic::refused(&problem, &[label], source));
        }
    }
    Ok(())
}

fn check_function(function: &Function, info: &FunctionInfo, source: &str) -> Result<(), Diagnostic> {
    if function.arguments.len() > MAX_ARGUMENTS {
        return Err(Diagnostic::new(format!(
            "function `{}` has {} parameters, more than the {MAX_ARGUMENTS} that WGSL allows",
            function.name.as_deref().unwrap_or_default(),
            function.arguments.len()
        )));
    }
    check_operations(function, source)?;
    let mut refused = None;
    for_each_statement(&function.body, &mut |statement, span| {
        let problem = match statement {
            Statement::Atomic { fun: AtomicFunction::Exchange { compare: None }, .. } => EXCHANGE,
            Statement::Atomic { fun: AtomicFunction::Exchange { compare: Some(_) }, .. } => COMPARE_EXCHANGE,
            Statement::Atomic { result: Some(result), .. } if info[*result].ref_count > 0 => ATOMIC_RESULT,
            _ => return,
        };
        refused.get_or_insert_with(|| Diagnostic::refused(&problem, &[Label::new(span, "here")], source));
    });
    refused.map_or(Ok(()), Err)
}

/// Says what is wrong with a module that does not validate, if it uses what dp32 lacks: naga does not say where,
/// nor what to do.
pub(crate) fn unavailable(module: &Module, source: &str) -> Result<(), Diagnostic> {
    for function in functions(module) {
        check_operations(function, source)?;
    }
    let variables = module.global_variables.iter();
    let mut typed: Vec<(Handle<Type>, Span)> =
        variables.map(|(handle, variable)| (variable.ty, module.global_variables.get_span(handle))).collect();
    for function in functions(module) {
        let variables = function.local_variables.iter();
        typed.extend(variables.map(|(handle, variable)| (variable.ty, function.local_variables.get_span(handle))));
    }
    typed.extend(module.types.iter().map(|(handle, _)| (handle, module.types.get_span(handle))));
    for (ty, span) in typed {
        let inner = &module.types[ty].inner;
        let problem = match inner.scalar() {
            Some(Scalar { kind: ScalarKind::Float, width: 2 }) => F16,
            Some(Scalar { kind: ScalarKind::Float, width: 8 }) => F64,
            Some(Scalar { kind: ScalarKind::Sint | ScalarKind::Uint, width: 8 }) => INT64,
            _ if inner.try_size(module.to_ctx()).is_none() => HUGE,
            _ => continue,
        };
        return Err(Diagnostic::refused(&problem, &[Label::new(span, "here")], source));
    }
    Ok(())
}

/// What could be written instead of what naga does not take, if `message` is about such a thing.
pub(crate) fn advice(message: &str) -> Option<&'static str> {
    let table = [
        ("f16", F16.help),
        ("f64", F64.help),
        ("subgroup", SUBGROUP.help),
        ("ray_query", RAY.help),
        ("push_constant", "pass small values in a buffer: `@group(0) @binding(0) var<uniform>`"),
        (
            "required alignment",
            "give array elements and struct members of `var<uniform>` 16 bytes, or use `var<storage>`",
        ),
        ("`Storage` address space, not", "give the array a length, or declare it as `var<storage>`"),
        ("`return` expression None", "end every path through the function with a `return` of its type"),
        ("conflict with other resource", "give each variable a `@group` and `@binding` of its own"),
        ("Abstract types may only appear", "give the literals a type: `0.0f`, `1u`, or `f32(...)` around the constant"),
        ("can't be passed into functions", "use the variable itself in the function"),
        ("Workgroup size is out of range", "no workgroup has more than 256 invocations; dispatch more workgroups"),
    ];
    table.iter().find(|(name, _)| message.contains(name)).map(|(_, help)| *help)
}

/// All functions and entry points.
pub(crate) fn functions(module: &Module) -> impl Iterator<Item = &Function> {
    let functions = module.functions.iter().map(|(_, function)| function);
    functions.chain(module.entry_points.iter().map(|entry| &entry.function))
}

/// Refuses operations that devices do not agree on.
fn check_operations(function: &Function, source: &str) -> Result<(), Diagnostic> {
    for (handle, expression) in function.expressions.iter() {
        let problem = match expression {
            Expression::ImageSample { .. } | Expression::ImageLoad { .. } | Expression::ImageQuery { .. } => TEXTURE,
            Expression::Derivative { .. } => DERIVATIVE,
            Expression::SubgroupBallotResult | Expression::SubgroupOperationResult { .. } => SUBGROUP,
            Expression::RayQueryProceedResult
            | Expression::RayQueryGetIntersection { .. }
            | Expression::RayQueryVertexPositions { .. } => RAY,
            Expression::CooperativeLoad { .. } | Expression::CooperativeMultiplyAdd { .. } => COOPERATIVE,
            Expression::Literal(Literal::F16(_)) => F16,
            Expression::Literal(Literal::F64(_)) => F64,
            Expression::Literal(Literal::I64(_) | Literal::U64(_)) => INT64,
            _ => continue,
        };
        let label = Label::new(function.expressions.get_span(handle), "here");
        return Err(Diagnostic::refused(&problem, &[label], source));
    }
    let mut refused = None;
    for_each_statement(&function.body, &mut |statement, span| {
        let problem = match statement {
            Statement::ImageStore { .. } | Statement::ImageAtomic { .. } => TEXTURE,
            Statement::SubgroupBallot { .. }
            | Statement::SubgroupGather { .. }
            | Statement::SubgroupCollectiveOperation { .. } => SUBGROUP,
            Statement::RayQuery { .. } | Statement::RayPipelineFunction(_) => RAY,
            Statement::CooperativeStore { .. } => COOPERATIVE,
            Statement::Kill => DISCARD,
            _ => return,
        };
        refused.get_or_insert_with(|| Diagnostic::refused(&problem, &[Label::new(span, "here")], source));
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

const HUGE: Problem = Problem {
    message: "a type has more than 2 GiB",
    help: "keep large data in a storage buffer, as a run-time sized array",
};

const F16: Problem = Problem {
    message: "f16 does not round the same on every device",
    help: "use f32, and `pack2x16float` to store two numbers in a word",
};

const F64: Problem = Problem { message: "f64 is not on every device", help: "use f32, or a sum of two f32" };

const INT64: Problem = Problem { message: "64-bit integers are not on every device", help: "use two u32" };

const TEXTURE: Problem =
    Problem { message: "textures are not read the same on every device", help: "use storage buffers" };

const DERIVATIVE: Problem = Problem {
    message: "derivatives are no part of compute shaders",
    help: "take differences of values in workgroup memory",
};

const SUBGROUP: Problem = Problem {
    message: "a subgroup has another size on each device",
    help: "use workgroup memory and `workgroupBarrier`, for sums a tree of halves",
};

const RAY: Problem = Problem { message: "ray queries are not on every device", help: "intersect in the kernel" };

const COOPERATIVE: Problem = Problem {
    message: "cooperative matrices are not on every device, and do not round the same",
    help: "use tiles in workgroup memory",
};

const DISCARD: Problem = Problem { message: "`discard` is no part of compute shaders", help: "use `return`" };

/// What a function takes with all that it calls.
#[derive(Clone, Copy, Default)]
struct Footprint {
    variable_bytes: u64,
    depth: u32,
    inlined_size: u64,
}

fn check_sizes(module: &Module, info: &ModuleInfo, source: &str) -> Result<(), Diagnostic> {
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
            return Err(Diagnostic::new(format!(
                "entry point `{name}` has calls nested more than {MAX_CALL_DEPTH} deep; use loops"
            )));
        }
        if footprint.inlined_size > MAX_INLINED_SIZE {
            return Err(Diagnostic::new(format!(
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
                Some((span, _)) => Diagnostic::at(message, span, source),
                None => Diagnostic::new(message),
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
