//! Pointers to the variables of a module as arguments.
//!
//! WGSL allows them; naga does not accept pointers to storage and workgroup variables, and not every driver can pass any. So
//! each function that takes such a pointer is copied for the variable, and the path into it, that the pointer stands for. The
//! indices on the path become arguments of the copy. This happens before validation.

use std::collections::HashMap;

use naga::front::Typifier;
use naga::proc::ResolveContext;
use naga::{
    AddressSpace, Arena, AtomicFunction, Block, Expression, Function, FunctionArgument, GlobalVariable, Handle,
    Literal, Module, Range, Scalar, Span, Statement, Type, TypeInner,
};

use crate::Refusal;
use crate::dp32;
use crate::refusal::defect;
use crate::visit::{blocks_mut, for_each_operand_mut, for_each_statement, functions};

/// The most expressions in all functions together, including the copies.
const MAX_EXPRESSIONS: usize = 200_000;

/// One step from a variable into it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Part(u32),
    /// An element whose index is an argument of the copy.
    Index,
}

/// The variable that a pointer points into, and the way to the part of it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Path {
    variable: Handle<GlobalVariable>,
    steps: Vec<Step>,
}

/// A function, and for each argument the path that replaces it; None: the argument stays.
type Key = (Handle<Function>, Vec<Option<Path>>);

/// Replaces pointers to module variables as arguments, in a module with one entry point.
///
/// # Errors
/// The copies have too many expressions, or the module has something that no compute kernel may have.
pub(crate) fn specialize(module: &mut Module) -> Result<(), Refusal> {
    if !functions(module).any(|function| gives_pointers(module, function)) {
        return Ok(());
    }
    // The code that copies functions only knows what compute kernels may have.
    dp32::check_available(module)?;
    // The types of indices.
    for scalar in [Scalar::U32, Scalar::I32] {
        module.types.insert(Type { name: None, inner: TypeInner::Scalar(scalar) }, Span::UNDEFINED);
    }
    let guest = module.clone();
    let mut specializer = Specializer {
        guest: &guest,
        types: &mut module.types,
        out: Arena::new(),
        known: HashMap::new(),
        expressions: 0,
    };
    for entry in &mut module.entry_points {
        entry.function = specializer.calls(entry.function.clone())?;
    }
    module.functions = specializer.out;
    Ok(())
}

fn gives_pointers(module: &Module, function: &Function) -> bool {
    let mut any = false;
    for_each_statement(&function.body, &mut |statement, _| {
        if let Statement::Call { function: callee, arguments, .. } = statement {
            any |= (0..arguments.len()).any(|index| needs_copy(module, *callee, index));
        }
    });
    any
}

/// Whether an argument of a call is a pointer to a module's variable.
fn needs_copy(module: &Module, callee: Handle<Function>, index: usize) -> bool {
    let parameter = module.functions[callee].arguments.get(index);
    let space = parameter.and_then(|parameter| module.types[parameter.ty].inner.pointer_space());
    space.is_some_and(|space| space != AddressSpace::Function)
}

struct Specializer<'m> {
    guest: &'m Module,
    types: &'m mut naga::UniqueArena<Type>,
    out: Arena<Function>,
    known: HashMap<Key, Handle<Function>>,
    expressions: usize,
}

impl Specializer<'_> {
    /// Redirects the calls of a function to functions in `out`.
    fn calls(&mut self, mut function: Function) -> Result<Function, Refusal> {
        self.expressions = self.expressions.saturating_add(function.expressions.len());
        if self.expressions > MAX_EXPRESSIONS {
            return Err(Refusal::with_help(
                format!("the functions that are given pointers become more than {MAX_EXPRESSIONS} expressions"),
                "pass an index, and use the variable itself in the function",
            ));
        }
        // Types are resolved before calls are redirected to `out`: the results of functions there are unknown here.
        let mut types = Typifier::new();
        if let Some((last, _)) = function.expressions.iter().next_back() {
            let context = ResolveContext::with_locals(self.guest, &function.local_variables, &function.arguments);
            types.grow(last, &function.expressions, &context).map_err(defect)?;
        }
        let mut body = std::mem::take(&mut function.body);
        self.calls_of_block(&mut body, &mut function, &types)?;
        function.body = body;
        Ok(function)
    }

    fn calls_of_block(&mut self, block: &mut Block, caller: &mut Function, types: &Typifier) -> Result<(), Refusal> {
        for statement in block.iter_mut() {
            if let Statement::Call { function, arguments, result } = statement {
                let (callee, given) = self.callee(*function, std::mem::take(arguments), caller, types)?;
                if let Some(result) = result {
                    *caller.expressions.get_mut(*result) = Expression::CallResult(callee);
                }
                (*function, *arguments) = (callee, given);
            } else {
                for inner in blocks_mut(statement) {
                    self.calls_of_block(inner, caller, types)?;
                }
            }
        }
        Ok(())
    }

    /// The function in `out` to call, and its arguments.
    fn callee(
        &mut self,
        callee: Handle<Function>,
        arguments: Vec<Handle<Expression>>,
        caller: &Function,
        types: &Typifier,
    ) -> Result<(Handle<Function>, Vec<Handle<Expression>>), Refusal> {
        let mut paths = Vec::with_capacity(arguments.len());
        let (mut given, mut indices) = (Vec::new(), Vec::new());
        for (index, argument) in arguments.into_iter().enumerate() {
            let path = match needs_copy(self.guest, callee, index) {
                true => path(caller, argument, &mut indices),
                false => None,
            };
            if path.is_none() {
                given.push(argument);
            }
            paths.push(path);
        }
        let index_types = indices.iter().map(|index| types.register_type(*index, self.types)).collect();
        given.extend(&indices);
        let key = (callee, paths);
        if let Some(known) = self.known.get(&key) {
            return Ok((*known, given));
        }
        let function = &self.guest.functions[callee];
        let function = match key.1.iter().any(Option::is_some) {
            true => copy(function, &key.1, index_types)?,
            false => function.clone(),
        };
        let function = self.calls(function)?;
        let new = self.out.append(function, self.guest.functions.get_span(callee));
        self.known.insert(key, new);
        Ok((new, given))
    }
}

/// The path of a pointer; the indices on it are added to `indices`. None if it does not point into a module variable.
fn path(function: &Function, pointer: Handle<Expression>, indices: &mut Vec<Handle<Expression>>) -> Option<Path> {
    let mut steps = Vec::new();
    let mut found = Vec::new();
    let mut at = pointer;
    let variable = loop {
        at = match function.expressions[at] {
            Expression::GlobalVariable(variable) => break variable,
            Expression::AccessIndex { base, index } => {
                steps.push(Step::Part(index));
                base
            }
            Expression::Access { base, index } => {
                steps.push(Step::Index);
                found.push(index);
                base
            }
            _ => return None,
        };
    };
    steps.reverse();
    indices.extend(found.into_iter().rev());
    Some(Path { variable, steps })
}

/// A copy of a function with its pointers replaced by their paths. Its arguments are those that stay, then the indices.
fn copy(function: &Function, paths: &[Option<Path>], index_types: Vec<Handle<Type>>) -> Result<Function, Refusal> {
    let mut out = Function { name: function.name.clone(), result: function.result.clone(), ..Function::default() };
    // The new index of each argument.
    let mut places = Vec::with_capacity(function.arguments.len());
    for (argument, path) in function.arguments.iter().zip(paths) {
        places.push(u32::try_from(out.arguments.len()).map_err(defect)?);
        if path.is_none() {
            out.arguments.push(argument.clone());
        }
    }
    let mut next_index = u32::try_from(out.arguments.len()).map_err(defect)?;
    let arguments =
        index_types.into_iter().map(|ty| FunctionArgument { name: Some("index".to_owned()), ty, binding: None });
    out.arguments.extend(arguments);

    // First the expressions that need no `Emit`, then the paths.
    let mut indices = Vec::new();
    let mut variables = Vec::with_capacity(paths.len());
    for path in paths {
        let Some(path) = path else {
            variables.push(None);
            continue;
        };
        variables.push(Some(out.expressions.append(Expression::GlobalVariable(path.variable), Span::UNDEFINED)));
        for _ in path.steps.iter().filter(|step| **step == Step::Index) {
            indices.push(out.expressions.append(Expression::FunctionArgument(next_index), Span::UNDEFINED));
            next_index += 1;
        }
    }
    let start = out.expressions.len();
    let mut indices = indices.into_iter();
    for (pointer, path) in variables.iter_mut().zip(paths) {
        let (Some(pointer), Some(path)) = (pointer, path) else { continue };
        for step in &path.steps {
            let access = match step {
                Step::Part(index) => Expression::AccessIndex { base: *pointer, index: *index },
                Step::Index => {
                    let index = indices.next().ok_or_else(|| defect("a path lacks an index"))?;
                    Expression::Access { base: *pointer, index }
                }
            };
            *pointer = out.expressions.append(access, Span::UNDEFINED);
        }
    }
    if out.expressions.len() > start {
        out.body.push(Statement::Emit(out.expressions.range_from(start)), Span::UNDEFINED);
    }

    let mut new = Vec::with_capacity(function.expressions.len());
    for (handle, expression) in function.expressions.iter() {
        let mut expression = expression.clone();
        let mut replaced = None;
        match &mut expression {
            Expression::FunctionArgument(index) => {
                let at = usize::try_from(*index).map_err(defect)?;
                replaced = variables.get(at).copied().flatten();
                *index = places.get(at).copied().ok_or_else(|| defect("an argument does not exist"))?;
            }
            other => for_each_operand_mut(other, |operand| {
                *operand = new_of(&new, *operand)?;
                Ok(())
            })?,
        }
        // A placeholder is left for a replaced argument: later handles keep their distance.
        if replaced.is_some() {
            expression = Expression::Literal(Literal::U32(0));
        }
        let copied = out.expressions.append(expression, function.expressions.get_span(handle));
        new.push(replaced.unwrap_or(copied));
    }
    for (handle, local) in function.local_variables.iter() {
        let mut local = local.clone();
        local.init = local.init.map(|init| new_of(&new, init)).transpose()?;
        out.local_variables.append(local, function.local_variables.get_span(handle));
    }
    for (old, name) in &function.named_expressions {
        out.named_expressions.insert(new_of(&new, *old)?, name.clone());
    }
    let mut body = function.body.clone();
    renumber(&mut body, &new)?;
    out.body.extend_block(body);
    Ok(out)
}

fn new_of(new: &[Handle<Expression>], old: Handle<Expression>) -> Result<Handle<Expression>, Refusal> {
    new.get(old.index()).copied().ok_or_else(|| defect("an expression is used before it is there"))
}

fn renumber(block: &mut Block, new: &[Handle<Expression>]) -> Result<(), Refusal> {
    let change = |handle: &mut Handle<Expression>| -> Result<(), Refusal> {
        *handle = new_of(new, *handle)?;
        Ok(())
    };
    for statement in block.iter_mut() {
        match statement {
            Statement::Emit(range) => {
                if let Some((first, last)) = range.first_and_last() {
                    *range = Range::new_from_bounds(new_of(new, first)?, new_of(new, last)?);
                }
            }
            Statement::If { condition, .. } => change(condition)?,
            Statement::Switch { selector, .. } => change(selector)?,
            Statement::Loop { break_if: Some(condition), .. } => change(condition)?,
            Statement::Return { value: Some(value) } => change(value)?,
            Statement::Store { pointer, value } => {
                change(pointer)?;
                change(value)?;
            }
            Statement::Atomic { pointer, fun, value, result } => {
                change(pointer)?;
                change(value)?;
                if let AtomicFunction::Exchange { compare: Some(compare) } = fun {
                    change(compare)?;
                }
                result.iter_mut().try_for_each(change)?;
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                change(pointer)?;
                change(result)?;
            }
            Statement::Call { arguments, result, .. } => {
                arguments.iter_mut().chain(result).try_for_each(change)?;
            }
            Statement::Block(_)
            | Statement::Loop { break_if: None, .. }
            | Statement::Return { value: None }
            | Statement::Break
            | Statement::Continue
            | Statement::ControlBarrier(_)
            | Statement::MemoryBarrier(_) => {}
            other => return Err(defect(format!("no compute kernel has {other:?}"))),
        }
        for inner in blocks_mut(statement) {
            renumber(inner, new)?;
        }
    }
    Ok(())
}
