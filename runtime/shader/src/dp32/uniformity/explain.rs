//! Refuses barriers in control flow that is not uniform, and finds the reason.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use naga::{AddressSpace, Expression, Handle};

use super::graph::{FLOW, Graph, Node, Taint, VARYING, argument_bit};
use super::{Analysis, FunctionId, Uniformity};
use crate::Refusal;
use crate::refusal::{Label, Problem};

/// The most calls that a diagnostic goes back through.
const MAX_EXPLAINED_CALLS: usize = 6;

const DIVERGENT_BARRIER: Problem = Problem {
    message: "a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them",
    help: "put only the loads and stores under the condition, not the barrier; let the conditions of loops with barriers \
           depend on constants, uniforms, read-only storage and workgroup_id only",
};

const DIVERGENT_POINTER: Problem = Problem {
    message: "`workgroupUniformLoad` reads one place for the whole workgroup, and here the place may differ between invocations",
    help: "use an index that does not depend on the invocation",
};
impl<'m> Analysis<'m> {
    /// The loops that are uniform.
    ///
    /// # Errors
    /// A barrier is in control flow that is not uniform.
    pub(super) fn conclude(&self) -> Result<Uniformity, Refusal> {
        let mut uniform_loops = HashSet::new();
        for (id, graph, context) in self.entered() {
            for barrier in &graph.barriers {
                let (problem, node) = if graph.is_varying(barrier.flow, context) {
                    (DIVERGENT_BARRIER, barrier.flow)
                } else if let Some(pointer) = barrier.pointer.filter(|&pointer| graph.is_varying(pointer, context)) {
                    (DIVERGENT_POINTER, pointer)
                } else {
                    continue;
                };
                let mut labels = vec![Label::new(barrier.span, "not all invocations may do this together")];
                self.explain(id, graph, context, node, &mut labels);
                return Err(Refusal::of(&problem, &labels));
            }
            let uniform = graph.loops.iter().enumerate().filter(|&(_, &header)| !graph.is_varying(header, context));
            uniform_loops.extend(uniform.map(|(number, _)| (id, number)));
        }
        Ok(Uniformity { uniform_loops })
    }

    /// Adds labels that explain why a node is not uniform, from the node back to where the difference comes from.
    fn explain<'a>(
        &'a self,
        mut id: FunctionId,
        mut graph: &'a Graph<'m>,
        mut context: Taint,
        mut node: Node,
        labels: &mut Vec<Label>,
    ) {
        for _ in 0..MAX_EXPLAINED_CALLS {
            let source = graph.trace(node, context, labels);
            let differs = graph.own.get(source).copied().unwrap_or(0);
            if differs & VARYING != 0 {
                labels.extend(self.describe(graph, source));
                return;
            }
            // The difference comes from a caller.
            let caller = self.entered().find_map(|(caller, caller_graph, caller_context)| {
                let mut calls = caller_graph.calls.iter().filter(|call| Some(call.function) == id);
                calls.find_map(|call| {
                    let mut given = call.arguments.iter().enumerate().map(|(index, &node)| (argument_bit(index), node));
                    let flow = (FLOW, call.flow);
                    let (_, node) = std::iter::once(flow).chain(&mut given).find(|&(bit, node)| {
                        differs & context & bit != 0 && caller_graph.is_varying(node, caller_context)
                    })?;
                    Some((caller, caller_graph, caller_context, node, call.span))
                })
            });
            let Some((caller, caller_graph, caller_context, caller_node, span)) = caller else {
                return;
            };
            labels.push(Label::new(span, "by way of this call"));
            (id, graph, context, node) = (caller, caller_graph, caller_context, caller_node);
        }
    }

    /// Describes an expression that is itself the source of a difference.
    fn describe(&self, graph: &Graph<'m>, node: Node) -> Option<Label> {
        let (handle, expression) = graph.expression(node)?;
        let text = match *expression {
            Expression::FunctionArgument(_) | Expression::AccessIndex { .. } => {
                "this differs between the invocations of a workgroup"
            }
            Expression::Load { pointer } => match graph.root(pointer) {
                Some(Expression::GlobalVariable(variable)) => match self.module.global_variables[*variable].space {
                    AddressSpace::WorkGroup => {
                        "other invocations may write this; `workgroupUniformLoad` would not differ"
                    }
                    AddressSpace::Private => "not all invocations give this variable the same value",
                    _ => "this buffer can be written; read-only storage and uniforms would not differ",
                },
                _ => "this may differ between invocations",
            },
            Expression::AtomicResult { .. } => "the result of an atomic differs between invocations",
            _ => "this may differ between invocations",
        };
        Some(Label::new(graph.function.expressions.get_span(handle), text))
    }
}
impl<'m> Graph<'m> {
    fn expression(&self, node: Node) -> Option<(Handle<Expression>, &'m Expression)> {
        self.function.expressions.iter().nth(node)
    }

    /// The variable or argument that a pointer points into.
    fn root(&self, pointer: Handle<Expression>) -> Option<&'m Expression> {
        let mut expression = &self.function.expressions[pointer];
        while let Expression::Access { base, .. } | Expression::AccessIndex { base, .. } = expression {
            expression = &self.function.expressions[*base];
        }
        Some(expression)
    }

    /// Goes from a varying node back to the nearest one that is itself a source, and labels the branch on the way.
    fn trace(&self, node: Node, context: Taint, labels: &mut Vec<Label>) -> Node {
        let mut dependencies: HashMap<Node, Vec<Node>> = HashMap::new();
        for &(on, dependent) in &self.edges {
            if self.is_varying(on, context) {
                dependencies.entry(dependent).or_default().push(on);
            }
        }
        let mut reached_from = HashMap::from([(node, node)]);
        let mut open = VecDeque::from([node]);
        while let Some(next) = open.pop_front() {
            if self.own.get(next).is_some_and(|own| own & context != 0) {
                let mut branch = None;
                let mut at = next;
                while at != node {
                    let from = reached_from.get(&at).copied().unwrap_or(node);
                    if let Some(condition) = self.conditions.get(&from).filter(|condition| condition.index() == at) {
                        branch = Some(*condition);
                    }
                    at = from;
                }
                if let Some(condition) = branch {
                    let span = self.function.expressions.get_span(condition);
                    labels.push(Label::new(span, "which of them get there depends on this"));
                }
                return next;
            }
            for &on in dependencies.get(&next).into_iter().flatten() {
                if let Entry::Vacant(entry) = reached_from.entry(on) {
                    entry.insert(next);
                    open.push_back(on);
                }
            }
        }
        node
    }
}
