//! The graph of one function: the dependencies between nodes, and what they imply for each node.

use std::collections::HashMap;

use naga::{Expression, Function, GlobalVariable, Handle, Span};

/// What a node depends on: bits of [`VARYING`], [`FLOW`] and [`argument_bit`].
pub(super) type Taint = u64;

/// It differs between invocations.
pub(super) const VARYING: Taint = 1 << 63;

/// It depends on whether all invocations of the workgroup entered the function together.
pub(super) const FLOW: Taint = 1 << 62;

/// Arguments from here on share a bit.
pub(super) const LAST_ARGUMENT: usize = 61;

/// It depends on the value of an argument, or on what the argument points to.
pub(super) fn argument_bit(index: usize) -> Taint {
    1 << index.min(LAST_ARGUMENT)
}

/// An index into the graph of one function: first its expressions, then its local variables, then the contents that its
/// arguments point to, then flows and others.
pub(super) type Node = usize;
/// A call in a function.
pub(super) struct Call {
    pub(super) function: Handle<Function>,
    pub(super) flow: Node,
    /// The values given; for a pointer, combined with the content it points to.
    pub(super) arguments: Vec<Node>,
    pub(super) span: Span,
}

/// A barrier in a function.
pub(super) struct BarrierSite {
    pub(super) flow: Node,
    /// The pointer of a `workgroupUniformLoad`.
    pub(super) pointer: Option<Node>,
    pub(super) span: Span,
}

/// The graph of one function, solved.
pub(super) struct Graph<'m> {
    pub(super) function: &'m Function,
    /// The taint of each node itself, without its dependencies.
    pub(super) own: Vec<Taint>,
    pub(super) taint: Vec<Taint>,
    /// Pairs of a node and one that depends on it.
    pub(super) edges: Vec<(Node, Node)>,
    /// The conditions that split flows.
    pub(super) conditions: HashMap<Node, Handle<Expression>>,
    pub(super) loops: Vec<Node>,
    pub(super) calls: Vec<Call>,
    pub(super) barriers: Vec<BarrierSite>,
    pub(super) private_stores: Vec<(Handle<GlobalVariable>, Node)>,
    pub(super) private_escapes: Vec<Handle<GlobalVariable>>,
    pub(super) result: Node,
    pub(super) first_content: Node,
}

impl<'m> Graph<'m> {
    pub(super) fn is_varying(&self, node: Node, context: Taint) -> bool {
        self.taint.get(node).is_some_and(|taint| taint & context != 0)
    }

    pub(super) fn taint(&self, node: Node) -> Taint {
        self.taint.get(node).copied().unwrap_or(VARYING)
    }

    /// Propagates taint to dependent nodes. A node changes at most once per bit.
    pub(super) fn solve(&mut self) {
        let mut starts = vec![0_usize; self.own.len() + 1];
        for &(from, _) in &self.edges {
            if let Some(start) = starts.get_mut(from + 1) {
                *start += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        self.edges.sort_unstable();
        self.taint.clone_from(&self.own);
        let mut changed: Vec<Node> = (0..self.own.len()).filter(|&node| self.taint(node) != 0).collect();
        while let Some(node) = changed.pop() {
            let taint = self.taint(node);
            let range = starts.get(node).copied().unwrap_or(0)..starts.get(node + 1).copied().unwrap_or(0);
            for &(_, to) in self.edges.get(range).unwrap_or_default() {
                if let Some(of_dependent) = self.taint.get_mut(to)
                    && *of_dependent | taint != *of_dependent
                {
                    *of_dependent |= taint;
                    changed.push(to);
                }
            }
        }
    }
}
