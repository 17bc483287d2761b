//! Which control flow all invocations of a workgroup share.
//!
//! The rules are those of WGSL's uniformity analysis, with two differences: a variable counts as a new one only from where a
//! whole value is stored in it outside of branches and loops (WGSL follows it from statement to statement), and private
//! variables can be uniform too.
//!
//! Each function becomes a graph once. Its nodes are values, variables and *flows*: a flow stands for the question
//! whether all invocations that entered the function together reach a point together. Edges are dependencies. The [`Taint`]
//! of a node says which inputs of the function it depends on, directly or not; this summarizes a function for its callers. A
//! second pass goes from the entry point to its callees and finds what is uniform in every call. Both are linear in the size
//! of the module.

mod build;
mod explain;
mod graph;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's helpers panic like the test")]
mod tests;

use std::collections::{BTreeSet, HashSet};

use naga::{Function, GlobalVariable, Handle, Module, ShaderStage};

use self::build::Builder;
use self::graph::{FLOW, Graph, Taint, VARYING, argument_bit};
use crate::Refusal;

/// A function of the module; None is the entry point.
pub(crate) type FunctionId = Option<Handle<Function>>;

/// A loop, by its function and its index among the function's loops in the order of the text (an outer
/// loop before the loops in it; `body` before `continuing`).
pub(crate) type LoopId = (FunctionId, usize);

/// What all invocations of a workgroup do together in an entry point.
#[derive(Debug, Default)]
pub(crate) struct Uniformity {
    /// Loops that have the same number of iterations in all invocations of a workgroup, in every call.
    pub(crate) uniform_loops: HashSet<LoopId>,
}

/// Finds the loops of an entry point (and of what it calls) that are in uniform control flow and have uniform exits.
///
/// If there are several compute entry points, a private variable that one of them sets per invocation counts as such for
/// all.
///
/// # Errors
/// A barrier (or `workgroupUniformLoad`) is in control flow that may not be uniform. The refusal has its span.
pub(crate) fn analyze(module: &Module) -> Result<Uniformity, Refusal> {
    let mut varying = BTreeSet::new();
    let mut round = 1;
    loop {
        let analysis = Analysis::new(module, &varying);
        let found = analysis.varying_private_variables();
        if found.is_subset(&varying) {
            return analysis.conclude();
        }
        if round < MAX_ROUNDS {
            varying.extend(found);
        } else {
            varying.extend(module.global_variables.iter().map(|(handle, _)| handle));
        }
        round += 1;
    }
}

/// The most rounds of the analysis, one for each time that further private variables turn out not to be uniform. After that
/// none counts as uniform.
const MAX_ROUNDS: usize = 8;
struct Analysis<'m> {
    module: &'m Module,
    functions: Vec<(Handle<Function>, Graph<'m>)>,
    entry_points: Vec<Graph<'m>>,
    /// By function: what may differ between invocations, over all calls from the entry points. Always includes [`VARYING`],
    /// except that functions that are never called have nothing.
    contexts: Vec<Taint>,
}

impl<'m> Analysis<'m> {
    fn new(module: &'m Module, varying: &BTreeSet<Handle<GlobalVariable>>) -> Self {
        let mut functions = Vec::with_capacity(module.functions.len());
        for (handle, function) in module.functions.iter() {
            let graph = Builder::build(module, function, false, &functions, varying);
            functions.push((handle, graph));
        }
        let entry_points = module.entry_points.iter().filter(|entry| entry.stage == ShaderStage::Compute);
        let entry_points: Vec<_> =
            entry_points.map(|entry| Builder::build(module, &entry.function, true, &functions, varying)).collect();
        let mut contexts = vec![0; functions.len()];
        for graph in &entry_points {
            enter_callees(graph, VARYING, &mut contexts);
        }
        // Callers come after their callees.
        for (index, (_, graph)) in functions.iter().enumerate().rev() {
            let context = contexts.get(index).copied().unwrap_or(0);
            if context != 0 {
                enter_callees(graph, context, &mut contexts);
            }
        }
        Self { module, functions, entry_points, contexts }
    }

    /// All functions that are called, and what differs between invocations in them.
    fn entered(&self) -> impl Iterator<Item = (FunctionId, &Graph<'m>, Taint)> {
        let entry_points = self.entry_points.iter().map(|graph| (None, graph, VARYING));
        let functions = self.functions.iter().zip(&self.contexts);
        let functions = functions.map(|((handle, graph), &context)| (Some(*handle), graph, context));
        entry_points.chain(functions.filter(|&(_, _, context)| context != 0))
    }

    fn varying_private_variables(&self) -> BTreeSet<Handle<GlobalVariable>> {
        let mut found = BTreeSet::new();
        for (_, graph, context) in self.entered() {
            found.extend(&graph.private_escapes);
            let stores = graph.private_stores.iter().filter(|&&(_, content)| graph.is_varying(content, context));
            found.extend(stores.map(|&(variable, _)| variable));
        }
        found
    }
}

/// Adds to the contexts of a function's callees what differs between invocations in them.
fn enter_callees(graph: &Graph<'_>, context: Taint, contexts: &mut [Taint]) {
    for call in &graph.calls {
        let mut given = VARYING;
        if graph.is_varying(call.flow, context) {
            given |= FLOW;
        }
        for (index, &argument) in call.arguments.iter().enumerate() {
            if graph.is_varying(argument, context) {
                given |= argument_bit(index);
            }
        }
        if let Some(of_callee) = contexts.get_mut(call.function.index()) {
            *of_callee |= given;
        }
    }
}
