//! Loops whose number of iterations is known before the kernel runs, such as `for (var i = 0u; i < 4u; i++)`.
//!
//! Their cost is charged as a whole. Without a test of the fuel in each iteration a driver can still unroll them, which
//! kernels that keep values in registers rely on.

use std::collections::{HashMap, HashSet};

use naga::{BinaryOperator, Block, Expression, Function, Handle, Literal, LocalVariable, Module, Statement};

use crate::visit::{blocks, for_each_statement};

/// Loops with more iterations than this, including those of inner loops and of called functions, are metered.
const MAX_ITERATIONS: u32 = 4096;

/// A loop that runs `iterations` times, unless the function returns from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) iterations: u32,
    /// Its variable, and the comparison with `bound` that is false once it has ended.
    pub(super) variable: Handle<LocalVariable>,
    pub(super) op: BinaryOperator,
    pub(super) bound: Literal,
}

/// Iterations of counted loops in one call of each function.
pub(super) type Iterations = HashMap<Handle<Function>, u32>;

/// The iterations of a module's functions.
pub(super) fn iterations_of_functions(module: &Module) -> Iterations {
    let mut iterations = Iterations::new();
    for (handle, function) in module.functions.iter() {
        let mut search = Search::new(module, function, &iterations);
        let of_function = search.block(&function.body, 0);
        iterations.insert(handle, of_function);
    }
    iterations
}

/// The counted loops of a function, by their index among all its loops (an outer loop before the loops in it).
pub(super) fn counted_loops(module: &Module, function: &Function, iterations: &Iterations) -> HashMap<usize, Counted> {
    let mut search = Search::new(module, function, iterations);
    search.block(&function.body, 0);
    search.found
}

/// How often each variable is stored to, and which variables calls get a pointer to.
#[derive(Default)]
struct Uses {
    stores: HashMap<Handle<LocalVariable>, u32>,
    lent: HashSet<Handle<LocalVariable>>,
}

impl Uses {
    fn of_function(&mut self, function: &Function) {
        for_each_statement(&function.body, &mut |statement, _| match statement {
            Statement::Store { pointer, .. } => {
                if let Expression::LocalVariable(variable) = function.expressions[*pointer] {
                    *self.stores.entry(variable).or_default() += 1;
                }
            }
            Statement::Call { arguments, .. } => {
                for argument in arguments {
                    if let Expression::LocalVariable(variable) = function.expressions[*argument] {
                        self.lent.insert(variable);
                    }
                }
            }
            _ => {}
        });
    }
}

struct Search<'a> {
    module: &'a Module,
    function: &'a Function,
    iterations: &'a Iterations,
    uses: Uses,
    loops: usize,
    found: HashMap<usize, Counted>,
}

impl<'a> Search<'a> {
    fn new(module: &'a Module, function: &'a Function, iterations: &'a Iterations) -> Self {
        let mut uses = Uses::default();
        uses.of_function(function);
        Self { module, function, iterations, uses, loops: 0, found: HashMap::new() }
    }

    /// Returns the most iterations that the counted loops of a block can have in all.
    fn block(&mut self, block: &Block, depth: u32) -> u32 {
        let mut before = None;
        let mut iterations = 0_u32;
        for statement in block {
            let of_statement = match statement {
                Statement::Loop { body, continuing, break_if } => {
                    let ordinal = self.loops;
                    self.loops += 1;
                    let counted = break_if.is_none().then(|| self.counted(before, body, continuing, depth)).flatten();
                    let inner = self.block(body, depth + 1).saturating_add(self.block(continuing, depth + 1));
                    let all = counted.map(|counted| counted.iterations.saturating_mul(inner.saturating_add(1)));
                    match counted.zip(all) {
                        Some((counted, all)) if all <= MAX_ITERATIONS => {
                            self.found.insert(ordinal, counted);
                            all
                        }
                        _ => inner,
                    }
                }
                Statement::Call { function, .. } => self.iterations.get(function).copied().unwrap_or(0),
                _ => blocks(statement)
                    .fold(0_u32, |iterations, inner| iterations.saturating_add(self.block(inner, depth))),
            };
            iterations = iterations.saturating_add(of_statement);
            if !matches!(statement, Statement::Emit(_)) {
                before = Some(statement);
            }
        }
        iterations
    }

    fn counted(&self, before: Option<&Statement>, body: &Block, continuing: &Block, depth: u32) -> Option<Counted> {
        let mut statements = body.iter().filter(|statement| !matches!(statement, Statement::Emit(_)));
        let Some(Statement::If { condition, accept, reject }) = statements.next() else { return None };
        if !accept.is_empty() || !matches!(&**reject, [Statement::Break]) || statements.any(leaves) {
            return None;
        }
        let Expression::Binary { op, left, right } = self.function.expressions[*condition] else { return None };
        // Both must be computed in each iteration, before anything else: a value from outside the loop would not change.
        let head = body.iter().take_while(|statement| matches!(statement, Statement::Emit(_)));
        if !computes(head, &[*condition, left]) {
            return None;
        }
        let (variable, bound) = (self.loaded(left)?, self.literal(right)?);

        let mut steps = continuing.iter().filter(|statement| !matches!(statement, Statement::Emit(_)));
        let (Some(Statement::Store { pointer, value }), None) = (steps.next(), steps.next()) else { return None };
        let Expression::LocalVariable(stepped) = self.function.expressions[*pointer] else { return None };
        let Expression::Binary { op: step_op, left, right } = self.function.expressions[*value] else { return None };
        if !computes(continuing.iter(), &[*value, left]) {
            return None;
        }
        let step = self.literal(right)?;
        if stepped != variable || self.loaded(left)? != variable || self.uses.lent.contains(&variable) {
            return None;
        }

        let stores = self.uses.stores.get(&variable).copied().unwrap_or(0);
        let first = match before {
            Some(Statement::Store { pointer, value })
                if stores == 2
                    && matches!(self.function.expressions[*pointer], Expression::LocalVariable(v) if v == variable) =>
            {
                self.literal(*value)?
            }
            // It starts with its declared value, since outside of other loops it is entered only once.
            _ if stores == 1 && depth == 0 => match self.function.local_variables[variable].init {
                Some(init) => self.literal(init)?,
                None => return None,
            },
            _ => return None,
        };
        let iterations = iterations(first, op, bound, step_op, step)?;
        Some(Counted { iterations, variable, op, bound })
    }

    /// The variable that an expression loads.
    fn loaded(&self, expression: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        let Expression::Load { pointer } = self.function.expressions[expression] else { return None };
        match self.function.expressions[pointer] {
            Expression::LocalVariable(variable) => Some(variable),
            _ => None,
        }
    }

    fn literal(&self, expression: Handle<Expression>) -> Option<Literal> {
        match self.function.expressions[expression] {
            Expression::Literal(literal) => Some(literal),
            Expression::Constant(constant) => {
                match self.module.global_expressions[self.module.constants[constant].init] {
                    Expression::Literal(literal) => Some(literal),
                    _ => None,
                }
            }
            // `text` has made a `let` of a constant a variable, which keeps its initial value.
            Expression::Load { .. } => {
                let variable = self.loaded(expression)?;
                let is_kept = !self.uses.stores.contains_key(&variable) && !self.uses.lent.contains(&variable);
                self.literal(self.function.local_variables[variable].init.filter(|_| is_kept)?)
            }
            _ => None,
        }
    }
}

/// Whether statements compute all of these.
fn computes<'a>(statements: impl Iterator<Item = &'a Statement>, wanted: &[Handle<Expression>]) -> bool {
    let computed: HashSet<_> = statements
        .filter_map(|statement| match statement {
            Statement::Emit(range) => Some(range.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    wanted.iter().all(|expression| computed.contains(expression))
}

/// Whether a statement may leave the loop that it is in by a `break`.
fn leaves(statement: &Statement) -> bool {
    match statement {
        Statement::Break => true,
        // A `break` in these leaves only them.
        Statement::Loop { .. } | Statement::Switch { .. } => false,
        _ => blocks(statement).any(|inner| inner.iter().any(leaves)),
    }
}

/// Counts the iterations by stepping through them.
fn iterations(
    first: Literal,
    op: BinaryOperator,
    bound: Literal,
    step_op: BinaryOperator,
    step: Literal,
) -> Option<u32> {
    let step = word(step)?;
    let signed = matches!(bound, Literal::I32(_));
    let (mut value, bound) = (word(first)?, word(bound)?);
    for iterations in 0..=MAX_ITERATIONS {
        let order = match signed {
            true => value.cast_signed().cmp(&bound.cast_signed()),
            false => value.cmp(&bound),
        };
        let goes_on = match op {
            BinaryOperator::Less => order.is_lt(),
            BinaryOperator::LessEqual => order.is_le(),
            BinaryOperator::Greater => order.is_gt(),
            BinaryOperator::GreaterEqual => order.is_ge(),
            BinaryOperator::NotEqual => order.is_ne(),
            _ => return None,
        };
        if !goes_on {
            return Some(iterations);
        }
        value = match (step_op, signed) {
            (BinaryOperator::Add, _) => value.wrapping_add(step),
            (BinaryOperator::Subtract, _) => value.wrapping_sub(step),
            (BinaryOperator::Multiply, _) => value.wrapping_mul(step),
            (BinaryOperator::Divide, false) => value.checked_div(step)?,
            (BinaryOperator::ShiftLeft, _) => value.checked_shl(step)?,
            (BinaryOperator::ShiftRight, false) => value.checked_shr(step)?,
            _ => return None,
        };
    }
    None
}

fn word(literal: Literal) -> Option<u32> {
    match literal {
        Literal::U32(value) => Some(value),
        Literal::I32(value) => Some(value.cast_unsigned()),
        _ => None,
    }
}
