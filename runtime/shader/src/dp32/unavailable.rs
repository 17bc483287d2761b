//! Operations and types that WGSL or naga has and profile dp32 lacks, since devices do not agree on them.

use naga::{Expression, Function, Handle, Literal, Module, Scalar, ScalarKind, Span, Statement, Type};

use crate::Refusal;
use crate::refusal::{Label, Problem};
use crate::visit::{for_each_statement, functions};

/// Refuses a module that uses what dp32 lacks, with the place and what to do instead. naga's validation errors have
/// neither.
pub(crate) fn check(module: &Module) -> Result<(), Refusal> {
    for function in functions(module) {
        check_operations(function)?;
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
        return Err(Refusal::of(&problem, &[Label::new(span, "here")]));
    }
    Ok(())
}

/// Refuses operations that devices do not agree on.
pub(super) fn check_operations(function: &Function) -> Result<(), Refusal> {
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
        return Err(Refusal::of(&problem, &[label]));
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
        refused.get_or_insert_with(|| Refusal::of(&problem, &[Label::new(span, "here")]));
    });
    refused.map_or(Ok(()), Err)
}

const HUGE: Problem = Problem {
    message: "a type has more than 2 GiB",
    help: "keep large data in a storage buffer, as a run-time sized array",
};

pub(crate) const F16: Problem = Problem {
    message: "f16 does not round the same on every device",
    help: "use f32, and `pack2x16float` to store two numbers in a word",
};

pub(crate) const F64: Problem = Problem { message: "f64 is not on every device", help: "use f32, or a sum of two f32" };

pub(crate) const INT64: Problem = Problem { message: "64-bit integers are not on every device", help: "use two u32" };

const TEXTURE: Problem =
    Problem { message: "textures are not read the same on every device", help: "use storage buffers" };

const DERIVATIVE: Problem = Problem {
    message: "derivatives are no part of compute shaders",
    help: "take differences of values in workgroup memory",
};

pub(crate) const SUBGROUP: Problem = Problem {
    message: "a subgroup has another size on each device",
    help: "use workgroup memory and `workgroupBarrier`, for sums a tree of halves",
};

pub(crate) const RAY: Problem =
    Problem { message: "ray queries are not on every device", help: "intersect in the kernel" };

const COOPERATIVE: Problem = Problem {
    message: "cooperative matrices are not on every device, and do not round the same",
    help: "use tiles in workgroup memory",
};

const DISCARD: Problem = Problem { message: "`discard` is no part of compute shaders", help: "use `return`" };
