//! What functions do through pointers. WGSL forbids a function to access one variable under two names if it writes through
//! one of them ("aliasing"). naga does not check this, and its back ends differ: some copy in and out where others point.

use std::collections::HashMap;

use naga::{
    AddressSpace, Expression, Function, GlobalVariable, Handle, LocalVariable, Module, Span, Statement, Type, TypeInner,
};

use crate::Refusal;
use crate::refusal::{Label, Problem};
use crate::visit::{for_each_statement, functions};

const TWICE: Problem = Problem {
    message: "two pointers to one variable are given to a function that writes through one of them",
    help: "pass the variable once, or a copy of it",
};

const BESIDE: Problem = Problem {
    message: "a pointer to a variable is given to a function that uses the variable itself, too, and one of them writes",
    help: "use the variable itself everywhere in the function, or pass a copy of it",
};

const NATIVE_PART: Problem = Problem {
    message: "a pointer to a part of a variable cannot be given to a function under profile native: not every driver can pass it",
    help: "copy the part into a `var`, pass a pointer to that, and store it back; or run the kernel under profile dp32",
};

/// How a variable is accessed: bits of [`READS`] and [`WRITES`].
type Access = u8;

const READS: Access = 1;
const WRITES: Access = 2;

/// The variable or parameter that a pointer points into.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Root {
    Local(Handle<LocalVariable>),
    Argument(usize),
    Global(Handle<GlobalVariable>),
}

/// The accesses of one function, including its callees.
#[derive(Clone)]
struct Effects {
    /// Accesses through its parameters.
    parameters: Vec<Access>,
    /// Accesses to the variables in [`Pointers::globals`].
    globals: Vec<Access>,
}

/// What the functions of a module do through pointers.
pub(super) struct Pointers {
    /// The private variables to which calls get pointers, numbered.
    globals: HashMap<Handle<GlobalVariable>, usize>,
    functions: Vec<Effects>,
}

impl Pointers {
    pub(super) fn new(module: &Module) -> Self {
        let mut globals = HashMap::new();
        for function in functions(module) {
            for_each_call(function, &mut |_, arguments, _| {
                for argument in arguments {
                    if let Some(Root::Global(variable)) = root(function, *argument) {
                        let number = globals.len();
                        globals.entry(variable).or_insert(number);
                    }
                }
            });
        }
        let mut pointers = Self { globals, functions: Vec::with_capacity(module.functions.len()) };
        // A function only calls earlier ones.
        for (_, function) in module.functions.iter() {
            let effects = pointers.effects(function);
            pointers.functions.push(effects);
        }
        pointers
    }

    /// Whether a function writes through the pointer that is its parameter `index`.
    pub(super) fn writes(&self, function: Handle<Function>, index: usize) -> bool {
        self.parameter(function, index) & WRITES != 0
    }

    fn parameter(&self, function: Handle<Function>, index: usize) -> Access {
        let effects = self.functions.get(function.index());
        effects.and_then(|effects| effects.parameters.get(index)).copied().unwrap_or(0)
    }

    fn effects(&self, function: &Function) -> Effects {
        let mut effects =
            Effects { parameters: vec![0; function.arguments.len()], globals: vec![0; self.globals.len()] };
        let note = |effects: &mut Effects, pointer: Handle<Expression>, access: Access| {
            let known = match root(function, pointer) {
                Some(Root::Argument(index)) => effects.parameters.get_mut(index),
                Some(Root::Global(variable)) => {
                    self.globals.get(&variable).and_then(|number| effects.globals.get_mut(*number))
                }
                _ => None,
            };
            if let Some(known) = known {
                *known |= access;
            }
        };
        for (_, expression) in function.expressions.iter() {
            if let Expression::Load { pointer } = expression {
                note(&mut effects, *pointer, READS);
            }
        }
        for_each_statement(&function.body, &mut |statement, _| match statement {
            Statement::Store { pointer, .. } => note(&mut effects, *pointer, WRITES),
            Statement::Call { function: callee, arguments, .. } => {
                for (index, argument) in arguments.iter().enumerate() {
                    note(&mut effects, *argument, self.parameter(*callee, index));
                }
                if let Some(callee) = self.functions.get(callee.index()) {
                    for (known, more) in effects.globals.iter_mut().zip(&callee.globals) {
                        *known |= more;
                    }
                }
            }
            _ => {}
        });
        effects
    }

    /// Refuses calls that WGSL does not allow.
    pub(super) fn check(&self, module: &Module) -> Result<(), Refusal> {
        let mut refused = None;
        for function in functions(module) {
            for_each_call(function, &mut |callee, arguments, span| {
                if let Some(problem) = self.problem(module, function, callee, arguments) {
                    refused.get_or_insert_with(|| Refusal::of(problem, &[Label::new(span, "here")]));
                }
            });
        }
        refused.map_or(Ok(()), Err)
    }

    fn problem(
        &self,
        module: &Module,
        caller: &Function,
        callee: Handle<Function>,
        arguments: &[Handle<Expression>],
    ) -> Option<&'static Problem> {
        let mut given: HashMap<Root, Access> = HashMap::new();
        for (index, argument) in arguments.iter().enumerate() {
            if pointer_space(module, callee, index).is_none() {
                continue;
            }
            let Some(root) = root(caller, *argument) else { continue };
            let access = self.parameter(callee, index);
            if let Some(before) = given.get_mut(&root) {
                *before |= access;
                if *before & WRITES != 0 {
                    return Some(&TWICE);
                }
            } else {
                given.insert(root, access);
            }
            if let Root::Global(variable) = root {
                let beside = self.globals.get(&variable).zip(self.functions.get(callee.index()));
                let beside = beside.and_then(|(number, callee)| callee.globals.get(*number)).copied().unwrap_or(0);
                // WGSL allows this if the pointer is not used. It is refused all the same: a back end that copies in and out would
                // still overwrite the variable.
                if beside != 0 && (beside | access) & WRITES != 0 {
                    return Some(&BESIDE);
                }
            }
        }
        None
    }
}

/// Refuses calls that WGSL does not allow.
pub(crate) fn check(module: &Module) -> Result<(), Refusal> {
    Pointers::new(module).check(module)
}

/// A part of a variable to which a call gets a pointer. naga's back end for SPIR-V cannot pass such a pointer: the first
/// stage passes a pointer to a copy instead, and stores the copy back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) ty: Handle<Type>,
    /// Which of the copies of this type it uses. Calls do not overlap, so they may share copies.
    pub(super) number: usize,
}

/// The parts of variables to which a call gets pointers, by argument.
pub(super) fn parts(
    module: &Module,
    caller: &Function,
    callee: Handle<Function>,
    arguments: &[Handle<Expression>],
) -> Vec<Option<Part>> {
    let parameters = &module.functions[callee].arguments;
    let mut found: Vec<Option<Part>> = Vec::with_capacity(arguments.len());
    for (argument, parameter) in arguments.iter().zip(parameters) {
        found.push(match module.types[parameter.ty].inner {
            TypeInner::Pointer { base: ty, .. } if is_part(caller, *argument) => {
                let number = found.iter().flatten().filter(|part| part.ty == ty).count();
                Some(Part { ty, number })
            }
            _ => None,
        });
    }
    found
}

/// Refuses, under profile native, the pointers for which the first stage would pass a copy.
pub(crate) fn check_native(module: &Module) -> Result<(), Refusal> {
    let mut refused = None;
    for function in functions(module) {
        for_each_call(function, &mut |callee, arguments, span| {
            if parts(module, function, callee, arguments).iter().any(Option::is_some) {
                refused.get_or_insert_with(|| Refusal::of(&NATIVE_PART, &[Label::new(span, "here")]));
            }
        });
    }
    refused.map_or(Ok(()), Err)
}

fn is_part(function: &Function, pointer: Handle<Expression>) -> bool {
    matches!(function.expressions[pointer], Expression::Access { .. } | Expression::AccessIndex { .. })
}

fn pointer_space(module: &Module, function: Handle<Function>, index: usize) -> Option<AddressSpace> {
    let parameter = module.functions[function].arguments.get(index)?;
    module.types[parameter.ty].inner.pointer_space()
}

/// The variable or parameter that a pointer points into. Meaningless for an expression that is not a pointer.
pub(super) fn root(function: &Function, pointer: Handle<Expression>) -> Option<Root> {
    let mut expression = &function.expressions[pointer];
    loop {
        expression = match *expression {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => &function.expressions[base],
            Expression::LocalVariable(variable) => return Some(Root::Local(variable)),
            Expression::GlobalVariable(variable) => return Some(Root::Global(variable)),
            Expression::FunctionArgument(index) => return usize::try_from(index).ok().map(Root::Argument),
            _ => return None,
        };
    }
}

fn for_each_call(function: &Function, visit: &mut impl FnMut(Handle<Function>, &[Handle<Expression>], Span)) {
    for_each_statement(&function.body, &mut |statement, span| {
        if let Statement::Call { function, arguments, .. } = statement {
            visit(*function, arguments, span);
        }
    });
}
