//! Which control flow all invocations of a workgroup share.
//!
//! The rules are those of WGSL's uniformity analysis, with two differences: a variable counts as a new one only from where a
//! whole value is stored in it outside of branches and loops (WGSL follows it from statement to statement), and private
//! variables can be uniform too.
//!
//! Each function becomes a graph once. Its nodes are values, variables and *flows*: a flow stands for the question
//! whether all invocations that entered the function together reach a point together. Edges say what depends on what. What a
//! node depends on in the end, of all that the function is given, is its [`Taint`]; this summarizes a
//! function for its callers. A second pass goes from the entry point to what it calls and finds
//! what is uniform in every call. Both are linear in the size of the module.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use naga::{
    AddressSpace, Binding, Block, BuiltIn, Expression, Function, GlobalVariable, Handle, Module, ShaderStage, Span,
    Statement, StorageAccess, TypeInner,
};

use crate::Diagnostic;
use crate::diagnostic::{Label, Problem};

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
pub(crate) fn analyze(module: &Module, entry_point: usize, source: &str) -> Result<Uniformity, Diagnostic> {
    analyze_entry_points(module, &[entry_point], source)
}

/// Refuses barriers in control flow that may not be uniform, in all compute entry points at once. A private
/// variable that one of them sets per invocation counts as such for all.
pub(crate) fn check(module: &Module, source: &str) -> Result<(), Diagnostic> {
    let entry_points = module.entry_points.iter().enumerate();
    let compute: Vec<usize> =
        entry_points.filter(|(_, entry)| entry.stage == ShaderStage::Compute).map(|(index, _)| index).collect();
    analyze_entry_points(module, &compute, source).map(drop)
}

/// How often the analysis starts again because another private variable turned out not to be uniform, before
/// it takes none for uniform.
const MAX_ROUNDS: usize = 8;

fn analyze_entry_points(module: &Module, entry_points: &[usize], source: &str) -> Result<Uniformity, Diagnostic> {
    let mut varying = BTreeSet::new();
    let mut round = 1;
    loop {
        let analysis = Analysis::new(module, entry_points, &varying);
        let found = analysis.varying_private_variables();
        if found.is_subset(&varying) {
            return analysis.conclude(source);
        }
        if round < MAX_ROUNDS {
            varying.extend(found);
        } else {
            varying.extend(module.global_variables.iter().map(|(handle, _)| handle));
        }
        round += 1;
    }
}

/// Dependencies in a module; beyond it everything counts as varying. Only calls with hundreds of pointers get there.
const MAX_EDGES: usize = 1 << 22;

/// What a node depends on: bits of [`VARYING`], [`FLOW`] and [`argument_bit`].
type Taint = u64;

/// Something that differs between invocations.
const VARYING: Taint = 1 << 63;

/// Whether all invocations of the workgroup entered the function together.
const FLOW: Taint = 1 << 62;

/// Arguments from here on share a bit.
const LAST_ARGUMENT: usize = 61;

/// The value of an argument, or what it points to.
fn argument_bit(index: usize) -> Taint {
    1 << index.min(LAST_ARGUMENT)
}

/// A place in the graph of one function: its expressions, then its local variables, then what its arguments point
/// to, then flows and others.
type Node = usize;

/// What a pointer points into.
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

/// A call in a function.
struct Call {
    function: Handle<Function>,
    flow: Node,
    /// The values given, for a pointer with what it points to.
    arguments: Vec<Node>,
    span: Span,
}

/// A barrier in a function.
struct BarrierSite {
    flow: Node,
    /// The pointer of a `workgroupUniformLoad`.
    pointer: Option<Node>,
    span: Span,
}

/// The graph of one function, solved.
struct Graph<'m> {
    function: &'m Function,
    /// What a node is of itself, before its dependencies.
    own: Vec<Taint>,
    taint: Vec<Taint>,
    /// (what is depended on, what depends on it)
    edges: Vec<(Node, Node)>,
    /// The conditions that split flows.
    conditions: HashMap<Node, Handle<Expression>>,
    loops: Vec<Node>,
    calls: Vec<Call>,
    barriers: Vec<BarrierSite>,
    private_stores: Vec<(Handle<GlobalVariable>, Node)>,
    private_escapes: Vec<Handle<GlobalVariable>>,
    result: Node,
    first_content: Node,
}

impl<'m> Graph<'m> {
    fn is_varying(&self, node: Node, context: Taint) -> bool {
        self.taint.get(node).is_some_and(|taint| taint & context != 0)
    }

    fn taint(&self, node: Node) -> Taint {
        self.taint.get(node).copied().unwrap_or(VARYING)
    }

    /// Spreads what nodes are to what depends on them. A node changes at most once per bit.
    fn solve(&mut self) {
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

/// Finding reasons.
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

    /// Goes from a varying node back to the nearest that varies by itself, and marks the branch that is on the way.
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

/// Builds the graph of a function.
struct Builder<'m, 'a> {
    module: &'m Module,
    /// The functions before this one; a function only calls earlier ones.
    callees: &'a [(Handle<Function>, Graph<'m>)],
    varying: &'a BTreeSet<Handle<GlobalVariable>>,
    edges_before: usize,
    graph: Graph<'m>,
    roots: Vec<Root>,
    /// What each local variable holds at this place of the function.
    locals: Vec<Node>,
    /// Branches and loops around this place.
    branches: usize,
}

impl<'m, 'a> Builder<'m, 'a> {
    fn build(
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

    /// The node of what a pointer points into, if that is followed.
    fn content(&self, root: Root) -> Option<Node> {
        match root {
            Root::Local(index) => self.locals.get(index).copied(),
            Root::Argument(index) => Some(self.graph.first_content + index),
            Root::Global(_) | Root::None => None,
        }
    }

    /// Whether what a global variable holds may differ between invocations that read it.
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
                    // What it holds depends on where it is loaded, see `Statement::Emit`.
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

    /// The binding of a member, if `base` is a struct that an entry point is given.
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

    /// The flow after a branch: as before it if every way through ends at its end.
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
            // All that is loaded from here on is this, or stored later.
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
                    // Two pointers to one variable: the callee takes them for two variables.
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
                // Late arguments share their bit, so it does not say that theirs is unchanged.
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

    /// Makes a node depend on what a callee's summary says.
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

struct Analysis<'m> {
    module: &'m Module,
    functions: Vec<(Handle<Function>, Graph<'m>)>,
    entry_points: Vec<Graph<'m>>,
    /// What may differ between invocations in a function, over all calls from the entry points: always
    /// [`VARYING`]. Nothing for functions that are never called.
    contexts: Vec<Taint>,
}

impl<'m> Analysis<'m> {
    fn new(module: &'m Module, entry_points: &[usize], varying: &BTreeSet<Handle<GlobalVariable>>) -> Self {
        let mut functions = Vec::with_capacity(module.functions.len());
        for (handle, function) in module.functions.iter() {
            let graph = Builder::build(module, function, false, &functions, varying);
            functions.push((handle, graph));
        }
        let entry_points = entry_points.iter().filter_map(|&index| module.entry_points.get(index));
        let entry_points: Vec<_> =
            entry_points.map(|entry| Builder::build(module, &entry.function, true, &functions, varying)).collect();
        let mut contexts = vec![0; functions.len()];
        for graph in &entry_points {
            enter_callees(graph, VARYING, &mut contexts);
        }
        // Callers come after what they call.
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

    fn conclude(&self, source: &str) -> Result<Uniformity, Diagnostic> {
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
                return Err(Diagnostic::refused(&problem, &labels, source));
            }
            let uniform = graph.loops.iter().enumerate().filter(|&(_, &header)| !graph.is_varying(header, context));
            uniform_loops.extend(uniform.map(|(number, _)| (id, number)));
        }
        Ok(Uniformity { uniform_loops })
    }

    /// Says why a node is not uniform, from the node back to where the difference comes from.
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
            // It came in by a call.
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

    /// What an expression is that differs by itself.
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

/// Tells the functions that a function calls what differs between invocations in them.
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

/// Calls that a diagnostic goes back through.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's helpers panic like the test")]
mod tests {
    use super::*;

    const HEAD: &str = "
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @group(0) @binding(1) var<storage, read> input: array<u32>;
        @group(0) @binding(2) var<uniform> n: u32;
        var<workgroup> tile: array<u32, 64>;
        var<workgroup> count: atomic<u32>;
        var<private> state: u32;
        fn put(to: ptr<function, u32>, value: u32) { *to = value; }
        fn divide(a: u32, b: u32) -> u32 { if (b == 0) { return 0; } return a / b; }
        fn sync() { workgroupBarrier(); }
    ";

    /// Analyzes an entry point `main` with `lane` (varying) and `group` (uniform) and what stands before it.
    fn analyze_body(before: &str, body: &str) -> Result<Vec<String>, Diagnostic> {
        let source = format!(
            "{HEAD}{before}
            @compute @workgroup_size(64)
            fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {{ {body} }}"
        );
        let module = naga::front::wgsl::parse_str(&source).unwrap();
        let uniformity = analyze(&module, 0, &source)?;
        let name = |id: FunctionId| match id {
            Some(handle) => module.functions[handle].name.clone().unwrap(),
            None => "main".to_owned(),
        };
        let mut loops: Vec<String> =
            uniformity.uniform_loops.iter().map(|&(id, number)| format!("{} {number}", name(id))).collect();
        loops.sort();
        Ok(loops)
    }

    fn uniform_loops(before: &str, body: &str) -> Vec<String> {
        analyze_body(before, body).unwrap()
    }

    fn accepts(body: &str) -> bool {
        analyze_body("", body).is_ok()
    }

    #[test]
    fn conditions_are_uniform_or_not() {
        let uniform = ["n > 3", "group.x == n", "input[group.y] > 2", "workgroupUniformLoad(&tile[n]) > 1", "true"];
        let varying =
            ["lane > 3", "input[lane] > 3", "out[0] > 3", "tile[0] > 3", "atomicLoad(&count) > 3", "lane < n"];
        for condition in uniform {
            assert!(accepts(&format!("if ({condition}) {{ workgroupBarrier(); }}")), "{condition}");
            assert!(accepts(&format!("while ({condition}) {{ storageBarrier(); }}")), "{condition}");
            assert!(accepts(&format!("if ({condition} && n < 9) {{ sync(); }}")), "{condition}");
        }
        for condition in varying {
            assert!(!accepts(&format!("if ({condition}) {{ workgroupBarrier(); }}")), "{condition}");
            assert!(!accepts(&format!("while ({condition}) {{ storageBarrier(); }}")), "{condition}");
            assert!(!accepts(&format!("if (n < 9 && {condition}) {{ sync(); }}")), "{condition}");
            assert!(!accepts(&format!("if ({condition}) {{ return; }} sync();")), "{condition}");
            assert!(!accepts(&format!("loop {{ if ({condition}) {{ break; }} sync(); }}")), "{condition}");
            assert!(!accepts(&format!("loop {{ if ({condition}) {{ continue; }} sync(); break; }}")), "{condition}");
            assert!(!accepts(&format!("loop {{ sync(); continuing {{ break if {condition}; }} }}")), "{condition}");
            assert!(accepts(&format!("if ({condition}) {{ out[lane] = 1; }} sync();")), "{condition}");
            assert!(accepts(&format!("while ({condition}) {{ out[lane] = 1; }} sync();")), "{condition}");
        }
    }

    #[test]
    fn variables_are_uniform_or_not() {
        assert!(accepts("for (var i = n; i > 0; i >>= 1) { if (lane < i) { tile[lane] += tile[lane + i]; } sync(); }"));
        assert!(!accepts("for (var i = lane; i < n; i += 64) { sync(); }"));
        assert!(!accepts("var x = 0u; if (lane == 0) { x = 1; } if (x == 1) { sync(); }"));
        assert!(!accepts("var x = 0u; while (x < lane) { x += 1; } if (x == 1) { sync(); }"));
        assert!(accepts("var x = vec4u(); x[n & 3] = 7; if (x.y == 7) { sync(); }"));
        assert!(!accepts("var x = vec4u(); x[lane & 3] = 7; if (x.y == 7) { sync(); }"));
        assert!(accepts("state = n; if (state > 1) { sync(); }"));
        assert!(!accepts("if (state > 1) { sync(); } state = lane;"));
    }

    #[test]
    fn calls_are_followed() {
        // One function, called with both kinds of arguments.
        assert!(accepts("out[lane] = divide(lane, 3); for (var t = 0u; t < divide(n, 16); t++) { sync(); }"));
        assert!(!accepts("if (divide(lane, 3) == 1) { sync(); }"));
        assert!(accepts("var x: u32; var y: u32; put(&x, n); put(&y, lane); if (x > 1) { sync(); }"));
        assert!(!accepts("var x: u32; var y: u32; put(&x, n); put(&y, lane); if (y > 1) { sync(); }"));
        assert!(!accepts("var x: u32; if (lane > 3) { put(&x, n); } if (x > 1) { sync(); }"));
        // A return in a function ends there.
        let early = "fn early(c: bool) { if (c) { return; } out[0] = 1; }";
        assert!(analyze_body(early, "early(lane > 3); sync();").is_ok());
        let late = "fn late(c: bool) { if (c) { return; } sync(); }";
        assert!(analyze_body(late, "late(n > 3);").is_ok());
        assert!(analyze_body(late, "late(lane > 3);").is_err());
        assert!(analyze_body(late, "late(n > 3); if (lane > 3) { late(n > 3); }").is_err());
        // Two pointers to one variable.
        let both = "fn both(a: ptr<function, u32>, b: ptr<function, u32>, v: u32) { *a = v; if (*b > 1) { sync(); } }";
        assert!(analyze_body(both, "var x: u32; both(&x, &x, lane);").is_err());
        let global = "fn global(a: ptr<private, u32>, v: u32) { *a = v; }";
        assert!(analyze_body(global, "global(&state, lane); if (state > 1) { sync(); }").is_err());
    }

    #[test]
    fn switches_end_where_their_cases_end() {
        let cases = "case 0: { if (lane > 3) { break; } } case 1, 2: { out[lane] = 3; } default: { }";
        assert!(accepts(&format!("switch (lane) {{ {cases} }} sync();")));
        assert!(!accepts("switch (lane) { case 0: { return; } default: { } } sync();"));
        assert!(!accepts("loop { switch (lane) { case 0: { continue; } default: { } } sync(); break; }"));
        assert!(accepts("switch (n) { case 0: { return; } default: { sync(); } } sync();"));
        assert!(!accepts("switch (n) { case 0: { if (lane > 1) { break; } sync(); } default: { } }"));
    }

    #[test]
    fn a_variable_is_another_from_a_whole_store_on() {
        let turn = "loop { if (i >= 4) { break; } sync(); i++; }";
        assert!(accepts(&format!("var i = lane; out[lane] = i; i = 0; {turn}")));
        assert!(accepts(&format!("var i = lane; {{ out[lane] = i; i = n; }} let p = &i; *p += 1; {turn} i = lane;")));
        assert!(accepts("var a = array(lane, 2); a = array(n, n); for (var k = 0u; k < a[1]; k++) { sync(); }"));
        assert!(accepts("var i = lane; out[i] = 1; i = n; put(&i, n); if (i > 3) { sync(); }"));
        for body in [
            format!("var i = 0u; if (lane > 3) {{ i = lane; }} {turn}"),
            format!("var i = lane; if (n > 3) {{ i = 0; }} {turn}"),
            format!("var i = lane; loop {{ i = 0; break; }} {turn}"),
            format!("var i = 0u; {turn} i = lane; {turn}"),
            format!("var i = 0u; i = lane; let p = &i; {turn}"),
            format!("var i = lane; let j = i; i = 0; {turn} if (j > 3) {{ sync(); }}"),
            format!("var i = lane; i = 0; put(&i, lane); {turn}"),
            format!("var i = n; i = i + lane; {turn}"),
            format!("if (lane > 3) {{ return; }} var i = lane; i = 0; {turn}"),
            "var a = array(lane, 2); a[0] = n; for (var k = 0u; k < a[0]; k++) { sync(); }".to_owned(),
            "var i = 0u; for (var k = 0u; k < n; k++) { if (i > 3) { sync(); } i = lane; }".to_owned(),
        ] {
            assert!(!accepts(&body), "{body}");
        }
    }

    #[test]
    fn loops_are_numbered_in_the_order_of_the_text() {
        let body = "
            for (var i = 0u; i < n; i++) {
                for (var j = 0u; j < lane; j++) { out[j] = i; }
                for (var j = 0u; j < 4; j++) { out[j] = i; }
            }
            loop { continuing { for (var j = 0u; j < 3; j++) { out[j] = 1; } break if true; } }
        ";
        assert_eq!(uniform_loops("", body), ["main 0", "main 2", "main 3", "main 4"]);
    }

    #[test]
    fn a_loop_is_uniform_only_if_it_is_in_every_call() {
        let turn = "fn turn(k: u32) { for (var j = 0u; j < k; j++) { out[j] = 1; } }";
        assert_eq!(uniform_loops(turn, "turn(n);"), ["turn 0"]);
        assert!(uniform_loops(turn, "turn(n); turn(lane);").is_empty());
        assert!(uniform_loops(turn, "turn(n); if (lane == 0) { turn(n); }").is_empty());
        assert!(uniform_loops(turn, "").is_empty());
        let search = "fn search(k: u32) -> u32 { for (var j = 0u; ; j++) { if (j == k) { return j; } } }";
        assert!(uniform_loops(search, "out[0] = search(lane);").is_empty());
        assert_eq!(uniform_loops(search, "out[0] = search(n);"), ["search 0"]);
    }

    #[test]
    fn inputs_in_a_struct_are_told_apart() {
        let input = "struct Input { @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u }
            @compute @workgroup_size(64)";
        let accepts = |condition: &str| {
            let source = format!("{input} fn main(at: Input) {{ if ({condition}) {{ workgroupBarrier(); }} }}");
            analyze(&naga::front::wgsl::parse_str(&source).unwrap(), 0, &source).is_ok()
        };
        assert!(accepts("at.group.x > 1"));
        assert!(!accepts("at.lane > 1"));
    }

    #[test]
    fn a_refusal_shows_barrier_branch_call_and_source() {
        let late = "fn late(c: bool) { if (c) { return; } sync(); }";
        let message = analyze_body(late, "late(\nlane > 3);").unwrap_err().message;
        for part in ["fn sync()", "by way of this call", "lane: u32", "help: put only the loads and stores"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    /// More private variables in a chain than there are rounds: the rest are taken for varying.
    #[test]
    fn long_chains_of_private_variables_end() {
        let names: Vec<String> = (0..40).map(|number| format!("p{number}")).collect();
        let declared: String = names.iter().map(|name| format!("var<private> {name}: u32;")).collect();
        let chain: String = names.windows(2).map(|pair| pair.join(" = ") + ";").collect();
        let check = |last: &str| analyze_body(&declared, &format!("{chain} p39 = {last}; if (p0 > 1) {{ sync(); }}"));
        assert!(check("n").is_ok());
        assert!(check("lane").is_err());
    }
}
