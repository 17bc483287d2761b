//! Building the graph of a function.

use std::collections::{BTreeSet, HashMap, HashSet};

use naga::{
    AddressSpace, Binding, Block, BuiltIn, Expression, Function, GlobalVariable, Handle, Module, Span, Statement,
    StorageAccess, TypeInner,
};

use super::graph::{BarrierSite, Call, FLOW, Graph, LAST_ARGUMENT, Node, Taint, VARYING, argument_bit};

/// The most dependencies in a module; beyond that everything counts as varying. Only calls with hundreds of pointers reach
/// it.
const MAX_EDGES: usize = 1 << 22;

/// The variable or argument that a pointer points into.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Root {
    None,
    Local(usize),
    Argument(usize),
    Global(Handle<GlobalVariable>),
}

/// Ways in which a block can end other than at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Exits(u8);

impl Exits {
    const NONE: Self = Self(0);
    const BREAK: Self = Self(1);
    const CONTINUE: Self = Self(2);
    const RETURN: Self = Self(4);

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
/// Builds the graph of a function.
pub(super) struct Builder<'m, 'a> {
    module: &'m Module,
    /// The functions before this one; a function only calls earlier ones.
    callees: &'a [(Handle<Function>, Graph<'m>)],
    varying: &'a BTreeSet<Handle<GlobalVariable>>,
    edges_before: usize,
    graph: Graph<'m>,
    roots: Vec<Root>,
    /// The content of each local variable at this point of the function.
    locals: Vec<Node>,
    /// How many branches and loops are around this point.
    branches: usize,
}

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn build(
        module: &'m Module,
        function: &'m Function,
        is_entry_point: bool,
        callees: &'a [(Handle<Function>, Graph<'m>)],
        varying: &'a BTreeSet<Handle<GlobalVariable>>,
    ) -> Graph<'m> {
        let first_content = function.expressions.len() + function.local_variables.len();
        let result = first_content + function.arguments.len();
        let mut builder = Self {
            module,
            callees,
            varying,
            edges_before: callees.iter().map(|(_, graph)| graph.edges.len()).sum(),
            graph: Graph {
                function,
                own: vec![0; result + 1],
                taint: Vec::new(),
                edges: Vec::new(),
                conditions: HashMap::new(),
                loops: Vec::new(),
                calls: Vec::new(),
                barriers: Vec::new(),
                private_stores: Vec::new(),
                private_escapes: Vec::new(),
                result,
                first_content,
            },
            roots: vec![Root::None; function.expressions.len()],
            locals: (function.expressions.len()..first_content).collect(),
            branches: 0,
        };
        for index in 0..function.arguments.len() {
            builder.mark(first_content + index, argument_bit(index));
        }
        for (handle, expression) in function.expressions.iter() {
            builder.expression(handle.index(), expression, is_entry_point);
        }
        let flow = builder.node(if is_entry_point { 0 } else { FLOW });
        builder.block(&function.body, flow);
        builder.graph.solve();
        builder.graph
    }

    fn node(&mut self, own: Taint) -> Node {
        self.graph.own.push(own);
        self.graph.own.len() - 1
    }

    fn mark(&mut self, node: Node, taint: Taint) {
        if let Some(own) = self.graph.own.get_mut(node) {
            *own |= taint;
        }
    }

    fn depend(&mut self, node: Node, on: Node) {
        if self.edges_before + self.graph.edges.len() < MAX_EDGES {
            self.graph.edges.push((on, node));
        } else {
            self.mark(node, VARYING);
        }
    }

    fn branch(&mut self, flow: Node, condition: Handle<Expression>) -> Node {
        let node = self.node(0);
        self.depend(node, flow);
        self.depend(node, condition.index());
        self.graph.conditions.insert(node, condition);
        node
    }

    fn root(&self, pointer: Handle<Expression>) -> Root {
        self.roots.get(pointer.index()).copied().unwrap_or(Root::None)
    }

    /// The node for the content of a variable or argument, if it is followed.
    fn content(&self, root: Root) -> Option<Node> {
        match root {
            Root::Local(index) => self.locals.get(index).copied(),
            Root::Argument(index) => Some(self.graph.first_content + index),
            Root::Global(_) | Root::None => None,
        }
    }

    /// Whether the content of a global variable may differ between invocations that read it.
    fn global_taint(&self, variable: Handle<GlobalVariable>) -> Taint {
        let uniform = match self.module.global_variables[variable].space {
            AddressSpace::Uniform => true,
            AddressSpace::Storage { access } => !access.contains(StorageAccess::STORE),
            AddressSpace::Private => !self.varying.contains(&variable),
            _ => false,
        };
        if uniform { 0 } else { VARYING }
    }

    fn expression(&mut self, node: Node, expression: &'m Expression, is_entry_point: bool) {
        match *expression {
            Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::Override(_)
            | Expression::ZeroValue(_)
            | Expression::WorkGroupUniformLoadResult { .. }
            | Expression::CallResult(_)
            | Expression::ArrayLength(_) => {}
            Expression::LocalVariable(variable) => self.set_root(node, Root::Local(variable.index())),
            Expression::GlobalVariable(variable) => self.set_root(node, Root::Global(variable)),
            Expression::FunctionArgument(index) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                self.set_root(node, Root::Argument(index));
                let taint = if is_entry_point { self.input_taint(index) } else { argument_bit(index) };
                self.mark(node, taint);
            }
            Expression::Access { base, index } => {
                self.set_root(node, self.root(base));
                self.depend(node, base.index());
                self.depend(node, index.index());
            }
            Expression::AccessIndex { base, index } => {
                self.set_root(node, self.root(base));
                match self.input_member(base, index, is_entry_point) {
                    Some(binding) => self.mark(node, builtin_taint(Some(binding))),
                    None => self.depend(node, base.index()),
                }
            }
            Expression::Load { pointer } => {
                self.depend(node, pointer.index());
                let root = self.root(pointer);
                match (self.content(root), root) {
                    // Its content depends on where it is loaded, see `Statement::Emit`.
                    (_, Root::Local(_)) => {}
                    (Some(content), _) => self.depend(node, content),
                    (None, Root::Global(variable)) => self.mark(node, self.global_taint(variable)),
                    (None, _) => self.mark(node, VARYING),
                }
            }
            Expression::Compose { ref components, .. } => {
                for component in components {
                    self.depend(node, component.index());
                }
            }
            Expression::Splat { value, .. } => self.depend(node, value.index()),
            Expression::Swizzle { vector, .. } => self.depend(node, vector.index()),
            Expression::Unary { expr, .. } | Expression::As { expr, .. } => self.depend(node, expr.index()),
            Expression::Binary { left, right, .. } => {
                self.depend(node, left.index());
                self.depend(node, right.index());
            }
            Expression::Select { condition, accept, reject } => {
                for operand in [condition, accept, reject] {
                    self.depend(node, operand.index());
                }
            }
            Expression::Relational { argument, .. } => self.depend(node, argument.index()),
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                for operand in [Some(arg), arg1, arg2, arg3].into_iter().flatten() {
                    self.depend(node, operand.index());
                }
            }
            // Results of atomics, and what profile dp32 refuses anyway.
            _ => self.mark(node, VARYING),
        }
    }

    fn set_root(&mut self, node: Node, root: Root) {
        if let Some(of_node) = self.roots.get_mut(node) {
            *of_node = root;
        }
    }

    fn input_taint(&self, argument: usize) -> Taint {
        builtin_taint(self.graph.function.arguments.get(argument).and_then(|argument| argument.binding.as_ref()))
    }

    /// The binding of a member, if `base` is a struct argument of an entry point.
    fn input_member(&self, base: Handle<Expression>, member: u32, is_entry_point: bool) -> Option<&'m Binding> {
        let Expression::FunctionArgument(argument) = self.graph.function.expressions[base] else {
            return None;
        };
        let argument = self.graph.function.arguments.get(usize::try_from(argument).ok()?)?;
        match self.module.types[argument.ty].inner {
            TypeInner::Struct { ref members, .. } if is_entry_point => {
                members.get(usize::try_from(member).ok()?)?.binding.as_ref()
            }
            _ => None,
        }
    }

    /// Follows a block that is entered in `flow`; returns the flow at its end.
    fn block(&mut self, block: &'m Block, mut flow: Node) -> (Node, Exits) {
        let mut exits = Exits::NONE;
        for (statement, span) in block.span_iter() {
            let (after, more) = self.statement(statement, *span, flow);
            flow = after;
            exits = exits.or(more);
        }
        (flow, exits)
    }

    fn statement(&mut self, statement: &'m Statement, span: Span, flow: Node) -> (Node, Exits) {
        match *statement {
            Statement::Emit(ref range) => {
                for expression in range.clone() {
                    if let Expression::Load { pointer } = self.graph.function.expressions[expression]
                        && let root @ Root::Local(_) = self.root(pointer)
                        && let Some(content) = self.content(root)
                    {
                        self.depend(expression.index(), content);
                    }
                }
            }
            Statement::Block(ref block) => return self.block(block, flow),
            Statement::If { condition, ref accept, ref reject } => {
                let inner = self.branch(flow, condition);
                self.branches += 1;
                let (accepted, accept_exits) = self.block(accept, inner);
                let (rejected, reject_exits) = self.block(reject, inner);
                self.branches -= 1;
                return self.join(flow, inner, &[accepted, rejected], accept_exits.or(reject_exits));
            }
            Statement::Switch { selector, ref cases } => {
                let inner = self.branch(flow, selector);
                let (mut ends, mut exits) = (Vec::with_capacity(cases.len()), Exits::NONE);
                let mut fallen: Option<Node> = None;
                self.branches += 1;
                for case in cases {
                    let start = match fallen {
                        Some(previous) if previous != inner => self.merge(&[inner, previous]),
                        _ => inner,
                    };
                    let (end, more) = self.block(&case.body, start);
                    exits = exits.or(more);
                    ends.push(end);
                    fallen = case.fall_through.then_some(end);
                }
                self.branches -= 1;
                return self.join(flow, inner, &ends, exits.without(Exits::BREAK));
            }
            Statement::Loop { ref body, ref continuing, break_if } => {
                return self.turn(flow, body, continuing, break_if);
            }
            Statement::Break => return (flow, Exits::BREAK),
            Statement::Continue => return (flow, Exits::CONTINUE),
            Statement::Kill => return (flow, Exits::RETURN),
            Statement::Return { value } => {
                let result = self.graph.result;
                self.depend(result, flow);
                if let Some(value) = value {
                    self.depend(result, value.index());
                }
                return (flow, Exits::RETURN);
            }
            Statement::Store { pointer, value } => self.store(pointer, value, flow),
            Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) => {
                self.graph.barriers.push(BarrierSite { flow, pointer: None, span });
            }
            Statement::WorkGroupUniformLoad { pointer, .. } => {
                self.graph.barriers.push(BarrierSite { flow, pointer: Some(pointer.index()), span });
            }
            Statement::Call { function, ref arguments, result } => self.call(function, arguments, result, flow, span),
            _ => {}
        }
        (flow, Exits::NONE)
    }

    /// The flow after a branch: the same as before if every path leads to its end.
    fn join(&mut self, before: Node, inner: Node, ends: &[Node], exits: Exits) -> (Node, Exits) {
        let after = match exits {
            Exits::NONE => before,
            _ if ends.iter().all(|&end| end == inner) => inner,
            _ => self.merge(ends),
        };
        (after, exits)
    }

    fn merge(&mut self, flows: &[Node]) -> Node {
        let node = self.node(0);
        for &flow in flows {
            self.depend(node, flow);
        }
        node
    }

    fn turn(
        &mut self,
        before: Node,
        body: &'m Block,
        continuing: &'m Block,
        break_if: Option<Handle<Expression>>,
    ) -> (Node, Exits) {
        let header = self.merge(&[before]);
        self.graph.loops.push(header);
        self.branches += 1;
        let (end, body_exits) = self.block(body, header);
        let (mut end, continuing_exits) = self.block(continuing, end);
        self.branches -= 1;
        if let Some(condition) = break_if {
            end = self.branch(end, condition);
        }
        self.depend(header, end);
        let exits = body_exits.or(continuing_exits).without(Exits::BREAK.or(Exits::CONTINUE));
        (if exits == Exits::NONE { before } else { header }, exits)
    }

    fn store(&mut self, pointer: Handle<Expression>, value: Handle<Expression>, flow: Node) {
        let root = self.root(pointer);
        if self.branches == 0
            && let Expression::LocalVariable(variable) = self.graph.function.expressions[pointer]
        {
            // From here on, loads see only this value or later ones.
            let content = self.node(0);
            if let Some(local) = self.locals.get_mut(variable.index()) {
                *local = content;
            }
        }
        let content = match root {
            Root::Global(variable) if self.module.global_variables[variable].space == AddressSpace::Private => {
                let content = self.node(0);
                self.graph.private_stores.push((variable, content));
                content
            }
            _ => match self.content(root) {
                Some(content) => content,
                None => return,
            },
        };
        for on in [flow, pointer.index(), value.index()] {
            self.depend(content, on);
        }
    }

    fn call(
        &mut self,
        function: Handle<Function>,
        arguments: &'m [Handle<Expression>],
        result: Option<Handle<Expression>>,
        flow: Node,
        span: Span,
    ) {
        let mut given = Vec::with_capacity(arguments.len());
        let mut pointed = HashSet::new();
        let is_pointer = |index: usize| {
            let argument = self.module.functions[function].arguments.get(index);
            argument.is_some_and(|argument| self.module.types[argument.ty].inner.pointer_space().is_some())
        };
        let pointers: Vec<bool> = (0..arguments.len()).map(is_pointer).collect();
        for (argument, &is_pointer) in arguments.iter().zip(&pointers) {
            let root = self.root(*argument);
            if !is_pointer {
                given.push(argument.index());
                continue;
            }
            let node = self.node(0);
            self.depend(node, argument.index());
            match (self.content(root), root) {
                (Some(content), _) => {
                    self.depend(node, content);
                    // Two pointers to one variable: the callee's summary treats them as two variables.
                    if !pointed.insert(root) {
                        self.mark(content, VARYING);
                    }
                }
                (None, Root::Global(variable)) => {
                    self.mark(node, VARYING);
                    self.graph.private_escapes.push(variable);
                }
                (None, _) => self.mark(node, VARYING),
            }
            given.push(node);
        }
        if let Some(shared) = given.get(LAST_ARGUMENT..).filter(|shared| shared.len() > 1) {
            let shared = shared.to_vec();
            let node = self.merge(&shared);
            given.truncate(LAST_ARGUMENT);
            given.push(node);
        }
        if let Some((_, callee)) = self.callees.get(function.index()) {
            if let Some(result) = result {
                self.apply(result.index(), callee.taint(callee.result), flow, &given);
            }
            for (index, argument) in arguments.iter().enumerate() {
                let taint = callee.taint(callee.first_content + index);
                // Late arguments share a bit, so it does not show that this one is unchanged.
                let is_changed = taint != argument_bit(index) || index >= LAST_ARGUMENT;
                if pointers.get(index) == Some(&true)
                    && is_changed
                    && let Some(content) = self.content(self.root(*argument))
                {
                    self.apply(content, taint, flow, &given);
                    self.depend(content, argument.index());
                }
            }
        }
        self.graph.calls.push(Call { function, flow, arguments: given, span });
    }

    /// Makes a node depend on the flow and the arguments that a callee's summary names.
    fn apply(&mut self, node: Node, taint: Taint, flow: Node, arguments: &[Node]) {
        self.mark(node, taint & VARYING);
        if taint & FLOW != 0 {
            self.depend(node, flow);
        }
        for (index, &argument) in arguments.iter().enumerate() {
            if taint & argument_bit(index) != 0 {
                self.depend(node, argument);
            }
        }
    }
}

/// Whether an entry point's input differs between the invocations of a workgroup.
fn builtin_taint(binding: Option<&Binding>) -> Taint {
    match binding {
        Some(Binding::BuiltIn(BuiltIn::WorkGroupId | BuiltIn::WorkGroupSize | BuiltIn::NumWorkGroups)) => 0,
        _ => VARYING,
    }
}
