//! Whether the bits of an `f32` are moved or made by arithmetic.
//!
//! Moved values keep their bits, including subnormal numbers and the payloads of NaNs. Results of arithmetic are never
//! subnormal, but their zeros may have either sign and their NaNs any payload. So a moved number is flushed before arithmetic,
//! and a made one is made canonical before its bits can be seen. This analysis classifies every value of an entry point, and
//! every variable by everything that is ever stored in it. Where both kinds meet, the result counts as moved, and made values
//! are made canonical on the way there.

use std::collections::HashMap;

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    Arena, ArraySize, Expression, Function, GlobalVariable, Handle, Literal, MathFunction, Module, ScalarKind,
    Statement, TypeInner,
};

use crate::dp32::pointers::{Root, root};
use crate::dp32::uniformity::FunctionId;
use crate::visit::for_each_statement;

/// Composites with more numbers than this are never made canonical as a whole. If their bits can be seen, their parts are
/// made canonical before they are stored in them.
pub(super) const MAX_PARTS: u32 = 16;

/// Where the bits of a value come from. Where two kinds meet, the greater prevails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    /// Needs no conversion: not subnormal, and the same bits on every device. Also every value without an `f32`.
    #[default]
    Plain,
    /// Made by arithmetic.
    Made,
    /// Moved.
    Moved,
}

/// The contents of one function.
#[derive(Clone, Default)]
pub(super) struct FunctionContent {
    expressions: Vec<Content>,
    /// By expression: whether arithmetic uses its value.
    numbers: Vec<bool>,
    locals: Vec<Content>,
    /// The contents of arguments; for a pointer, of the variable that it points to.
    arguments: Vec<Content>,
    result: Content,
}

impl FunctionContent {
    pub(super) fn of(&self, expression: Handle<Expression>) -> Content {
        self.expressions.get(expression.index()).copied().unwrap_or_default()
    }

    /// Whether this is a moved value, which may be subnormal, that arithmetic uses.
    pub(super) fn is_number(&self, expression: Handle<Expression>) -> bool {
        self.of(expression) == Content::Moved && self.numbers.get(expression.index()) == Some(&true)
    }

    pub(super) fn argument(&self, index: usize) -> Content {
        self.arguments.get(index).copied().unwrap_or_default()
    }

    pub(super) fn result(&self) -> Content {
        self.result
    }
}

/// The contents of an entry point and everything it calls.
pub(super) struct Contents {
    functions: HashMap<FunctionId, FunctionContent>,
    globals: Vec<Content>,
    constants: Vec<Content>,
}

impl Contents {
    pub(super) fn function(&self, function: FunctionId) -> FunctionContent {
        self.functions.get(&function).cloned().unwrap_or_default()
    }

    pub(super) fn argument(&self, function: Handle<Function>, index: usize) -> Content {
        self.functions.get(&Some(function)).map(|function| function.argument(index)).unwrap_or_default()
    }

    /// The content of a constant expression of the module.
    pub(super) fn constant(&self, expression: Handle<Expression>) -> Content {
        self.constants.get(expression.index()).copied().unwrap_or_default()
    }

    /// The content of the variable that a pointer of a function points into.
    pub(super) fn behind(
        &self,
        module: &Module,
        caller: FunctionId,
        function: &Function,
        pointer: Handle<Expression>,
    ) -> Content {
        match root(function, pointer) {
            Some(Root::Global(variable)) => match module.global_variables[variable].binding {
                Some(_) => Content::Moved,
                None => self.globals.get(variable.index()).copied().unwrap_or_default(),
            },
            Some(Root::Local(variable)) => self.of_function(caller, |it| it.locals.get(variable.index())),
            Some(Root::Argument(index)) => self.of_function(caller, |it| it.arguments.get(index)),
            None => Content::Moved,
        }
    }

    fn of_function(&self, id: FunctionId, take: impl Fn(&FunctionContent) -> Option<&Content>) -> Content {
        self.functions.get(&id).and_then(take).copied().unwrap_or_default()
    }
}

/// Analyzes an entry point of a module without overrides.
pub(super) fn analyze(module: &Module, info: &ModuleInfo, entry_point: usize) -> Contents {
    let mut constants = Vec::with_capacity(module.global_expressions.len());
    for (_, expression) in module.global_expressions.iter() {
        let content = of_constant(module, expression, &constants);
        constants.push(content);
    }
    let mut globals = vec![Content::Plain; module.global_variables.len()];
    for (handle, variable) in module.global_variables.iter() {
        let init = variable.init.and_then(|init| constants.get(init.index()).copied());
        if let (Some(content), Some(init)) = (globals.get_mut(handle.index()), init) {
            *content = init;
        }
    }
    let mut analysis =
        Analysis { module, contents: Contents { functions: HashMap::new(), globals, constants }, changed: true };
    let mut functions: Vec<(FunctionId, &Function, &FunctionInfo)> =
        module.functions.iter().map(|(handle, function)| (Some(handle), function, &info[handle])).collect();
    if let Some(entry) = module.entry_points.get(entry_point) {
        functions.push((None, &entry.function, info.get_entry_point(entry_point)));
    }
    for (id, function, _) in &functions {
        analysis.begin(*id, function);
    }
    // Contents only grow, so this ends.
    while std::mem::take(&mut analysis.changed) {
        for (id, function, info) in functions.iter().rev() {
            analysis.function(*id, function, info);
        }
    }
    for (id, function, info) in functions {
        let numbers = numbers(module, function, info);
        if let Some(content) = analysis.contents.functions.get_mut(&id) {
            content.numbers = numbers;
        }
    }
    analysis.contents
}

/// Whether a literal has bits that arithmetic does not make: a subnormal number, or −0.
pub(super) fn is_odd(literal: Literal) -> bool {
    matches!(literal, Literal::F32(value) if value.is_subnormal() || value == 0.0 && value.is_sign_negative())
}

fn of_constant(module: &Module, expression: &Expression, before: &[Content]) -> Content {
    let of = |handle: &Handle<Expression>| before.get(handle.index()).copied().unwrap_or_default();
    match expression {
        Expression::Literal(literal) if is_odd(*literal) => Content::Moved,
        Expression::Constant(constant) => of(&module.constants[*constant].init),
        Expression::Compose { components, .. } => components.iter().map(of).max().unwrap_or_default(),
        Expression::Splat { value, .. } => of(value),
        _ => Content::Plain,
    }
}

/// How many f32 a value of this type has. At most `u32::MAX`.
pub(super) fn floats(module: &Module, inner: &TypeInner) -> u32 {
    match inner {
        TypeInner::Scalar(scalar) => u32::from(scalar.kind == ScalarKind::Float),
        TypeInner::Vector { size, scalar } if scalar.kind == ScalarKind::Float => *size as u32,
        TypeInner::Matrix { columns, rows, .. } => *columns as u32 * *rows as u32,
        TypeInner::Array { base, size: ArraySize::Constant(size), .. } => {
            floats(module, &module.types[*base].inner).saturating_mul(size.get())
        }
        TypeInner::Struct { members, .. } => {
            members.iter().map(|member| floats(module, &module.types[member.ty].inner)).fold(0, u32::saturating_add)
        }
        _ => 0,
    }
}

struct Analysis<'m> {
    module: &'m Module,
    contents: Contents,
    changed: bool,
}

impl Analysis<'_> {
    fn begin(&mut self, id: FunctionId, function: &Function) {
        let mut content = FunctionContent {
            expressions: vec![Content::Plain; function.expressions.len()],
            numbers: Vec::new(),
            locals: vec![Content::Plain; function.local_variables.len()],
            arguments: vec![Content::Plain; function.arguments.len()],
            result: Content::Plain,
        };
        for (handle, variable) in function.local_variables.iter() {
            let init = variable.init.map(|init| self.of_initial(&function.expressions, init));
            if let (Some(content), Some(init)) = (content.locals.get_mut(handle.index()), init) {
                *content = init;
            }
        }
        self.contents.functions.insert(id, content);
    }

    fn of_initial(&self, arena: &Arena<Expression>, handle: Handle<Expression>) -> Content {
        match &arena[handle] {
            Expression::Literal(literal) if is_odd(*literal) => Content::Moved,
            Expression::Constant(constant) => self.contents.constant(self.module.constants[*constant].init),
            Expression::Compose { components, .. } => {
                components.iter().map(|part| self.of_initial(arena, *part)).max().unwrap_or_default()
            }
            Expression::Splat { value, .. } => self.of_initial(arena, *value),
            _ => Content::Plain,
        }
    }

    fn function(&mut self, id: FunctionId, function: &Function, info: &FunctionInfo) {
        let Some(mut own) = self.contents.functions.remove(&id) else { return };
        // The pointer that each result of this statement is loaded from.
        let mut uniform_loads = HashMap::new();
        for_each_statement(&function.body, &mut |statement, _| {
            if let Statement::WorkGroupUniformLoad { pointer, result } = statement {
                uniform_loads.insert(*result, *pointer);
            }
        });
        for (handle, expression) in function.expressions.iter() {
            let inner = info[handle].ty.inner_with(&self.module.types);
            let content = match expression {
                _ if floats(self.module, inner) == 0 => Content::Plain,
                Expression::WorkGroupUniformLoadResult { .. } => match uniform_loads.get(&handle) {
                    Some(pointer) => self.pointee(&own, function, *pointer),
                    None => Content::Moved,
                },
                _ => self.expression(&own, function, info, expression),
            };
            if let Some(known) = own.expressions.get_mut(handle.index()) {
                *known = content.max(*known);
            }
        }
        for_each_statement(&function.body, &mut |statement, _| match statement {
            Statement::Store { pointer, value } => {
                let content = own.of(*value);
                self.raise_pointee(&mut own, function, *pointer, content);
                let target = self.pointee(&own, function, *pointer);
                self.assign(&mut own, function, info, *value, target);
            }
            Statement::Return { value: Some(value) } => {
                let content = own.result.max(own.of(*value));
                self.changed |= content != own.result;
                own.result = content;
                self.assign(&mut own, function, info, *value, content);
            }
            Statement::Call { function: callee, arguments, .. } => {
                for (index, argument) in arguments.iter().enumerate() {
                    self.pass(&mut own, function, info, *callee, index, *argument);
                }
            }
            _ => {}
        });
        for (handle, expression) in function.expressions.iter() {
            if let Expression::Compose { components, .. } = expression
                && own.of(handle) == Content::Moved
            {
                components.iter().for_each(|part| self.assign(&mut own, function, info, *part, Content::Moved));
            }
        }
        self.contents.functions.insert(id, own);
    }

    fn expression(
        &self,
        own: &FunctionContent,
        function: &Function,
        info: &FunctionInfo,
        expression: &Expression,
    ) -> Content {
        match expression {
            Expression::Literal(literal) if is_odd(*literal) => Content::Moved,
            Expression::Constant(constant) => self.contents.constant(self.module.constants[*constant].init),
            Expression::Compose { components, .. } => {
                components.iter().map(|part| own.of(*part)).max().unwrap_or_default()
            }
            Expression::Splat { value: of, .. }
            | Expression::Swizzle { vector: of, .. }
            | Expression::Access { base: of, .. }
            | Expression::AccessIndex { base: of, .. } => own.of(*of),
            Expression::FunctionArgument(index) => {
                usize::try_from(*index).map_or(Content::Moved, |index| own.argument(index))
            }
            Expression::Load { pointer } => self.pointee(own, function, *pointer),
            Expression::Select { accept, reject, .. } => own.of(*accept).max(own.of(*reject)),
            Expression::CallResult(callee) => {
                self.contents.functions.get(&Some(*callee)).map_or(Content::Plain, FunctionContent::result)
            }
            Expression::Math { fun: MathFunction::Transpose, arg, .. } => own.of(*arg),
            Expression::As { expr, convert, .. } => {
                let from = info[*expr].ty.inner_with(&self.module.types);
                match (from.scalar_kind(), convert) {
                    (Some(ScalarKind::Float), _) => own.of(*expr),
                    (Some(ScalarKind::Bool), _) => Content::Plain,
                    (_, None) => Content::Moved,
                    (_, Some(_)) => Content::Made,
                }
            }
            Expression::Literal(_) | Expression::ZeroValue(_) => Content::Plain,
            _ => Content::Made,
        }
    }

    fn pointee(&self, own: &FunctionContent, function: &Function, pointer: Handle<Expression>) -> Content {
        match root(function, pointer) {
            Some(Root::Local(variable)) => own.locals.get(variable.index()).copied().unwrap_or_default(),
            Some(Root::Argument(index)) => own.argument(index),
            Some(Root::Global(variable)) => self.global(variable),
            None => Content::Moved,
        }
    }

    fn global(&self, variable: Handle<GlobalVariable>) -> Content {
        match self.module.global_variables[variable].binding {
            Some(_) => Content::Moved,
            None => self.contents.globals.get(variable.index()).copied().unwrap_or_default(),
        }
    }

    fn raise_pointee(
        &mut self,
        own: &mut FunctionContent,
        function: &Function,
        pointer: Handle<Expression>,
        content: Content,
    ) {
        let slot = match root(function, pointer) {
            Some(Root::Local(variable)) => own.locals.get_mut(variable.index()),
            Some(Root::Argument(index)) => own.arguments.get_mut(index),
            Some(Root::Global(variable)) => self.contents.globals.get_mut(variable.index()),
            None => None,
        };
        raise(&mut self.changed, slot, content);
    }

    /// Passes an argument of a call: to the callee's parameter, or, for a pointer, to the variables that both point to.
    fn pass(
        &mut self,
        own: &mut FunctionContent,
        function: &Function,
        info: &FunctionInfo,
        callee: Handle<Function>,
        index: usize,
        argument: Handle<Expression>,
    ) {
        let is_pointer = info[argument].ty.inner_with(&self.module.types).pointer_space().is_some();
        let content = if is_pointer { self.pointee(own, function, argument) } else { own.of(argument) };
        let parameter = self.contents.functions.get_mut(&Some(callee));
        let parameter = parameter.and_then(|callee| callee.arguments.get_mut(index));
        let now = parameter.as_deref().copied().unwrap_or_default().max(content);
        raise(&mut self.changed, parameter, content);
        if is_pointer {
            self.raise_pointee(own, function, argument, now);
        } else {
            self.assign(own, function, info, argument, now);
        }
    }

    /// Handles a made value that is stored where moved values are. A large one cannot be made canonical there: its origin
    /// is marked as moved instead, and then its parts are made canonical where they are stored.
    fn assign(
        &mut self,
        own: &mut FunctionContent,
        function: &Function,
        info: &FunctionInfo,
        mut value: Handle<Expression>,
        target: Content,
    ) {
        let inner = info[value].ty.inner_with(&self.module.types);
        if target != Content::Moved || own.of(value) != Content::Made || floats(self.module, inner) <= MAX_PARTS {
            return;
        }
        loop {
            match function.expressions[value] {
                Expression::AccessIndex { base, .. } | Expression::Access { base, .. } => value = base,
                Expression::Load { pointer } => {
                    return self.raise_pointee(own, function, pointer, Content::Moved);
                }
                Expression::FunctionArgument(index) => {
                    let slot = usize::try_from(index).ok().and_then(|index| own.arguments.get_mut(index));
                    return raise(&mut self.changed, slot, Content::Moved);
                }
                Expression::CallResult(callee) => {
                    let slot = self.contents.functions.get_mut(&Some(callee)).map(|callee| &mut callee.result);
                    return raise(&mut self.changed, slot, Content::Moved);
                }
                // Its parts follow when the analysis visits it.
                _ => {
                    let slot = own.expressions.get_mut(value.index());
                    return raise(&mut self.changed, slot, Content::Moved);
                }
            }
        }
    }
}

fn raise(changed: &mut bool, slot: Option<&mut Content>, content: Content) {
    if let Some(slot) = slot
        && content > *slot
    {
        *slot = content;
        *changed = true;
    }
}

/// Which values arithmetic uses, directly or as a part of another value or through a selection.
fn numbers(module: &Module, function: &Function, info: &FunctionInfo) -> Vec<bool> {
    let mut numbers = vec![false; function.expressions.len()];
    let inner = |handle: Handle<Expression>| info[handle].ty.inner_with(&module.types);
    let is_number = |handle: Handle<Expression>| {
        matches!(inner(handle).scalar_kind(), Some(ScalarKind::Float)) && inner(handle).pointer_space().is_none()
    };
    let need = |numbers: &mut Vec<bool>, handle: Handle<Expression>| {
        if is_number(handle)
            && let Some(number) = numbers.get_mut(handle.index())
        {
            *number = true;
        }
    };
    // Operands come before the expressions that use them.
    for (handle, expression) in function.expressions.iter().rev() {
        let needed = numbers.get(handle.index()) == Some(&true);
        match expression {
            Expression::Binary { left, right, .. } => {
                need(&mut numbers, *left);
                need(&mut numbers, *right);
            }
            Expression::Unary { expr, .. } => need(&mut numbers, *expr),
            Expression::Math { fun: MathFunction::Transpose, .. } if !needed => {}
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                [Some(*arg), *arg1, *arg2, *arg3].into_iter().flatten().for_each(|arg| need(&mut numbers, arg));
            }
            Expression::As { expr, convert: Some(_), kind } if *kind != ScalarKind::Float => need(&mut numbers, *expr),
            Expression::As { expr, .. }
            | Expression::Splat { value: expr, .. }
            | Expression::Swizzle { vector: expr, .. }
            | Expression::Access { base: expr, .. }
            | Expression::AccessIndex { base: expr, .. }
                if needed =>
            {
                need(&mut numbers, *expr);
            }
            Expression::Compose { components, .. } if needed => {
                components.iter().for_each(|part| need(&mut numbers, *part));
            }
            Expression::Select { accept, reject, .. } if needed => {
                need(&mut numbers, *accept);
                need(&mut numbers, *reject);
            }
            _ => {}
        }
    }
    numbers
}
