//! Copies functions from a library written in WGSL into a module that is being built.

use std::collections::HashMap;

use naga::{Block, Constant, Expression, Function, Handle, Module, Span, Statement, Type, TypeInner};

use crate::Refusal;
use crate::prelude::Library;
use crate::refusal::defect;
use crate::visit::for_each_statement_mut;

/// Copies parts of one [`Library`] into one module, each at most once.
pub(crate) struct Linker<'a> {
    library: &'a Library,
    types: HashMap<Handle<Type>, Handle<Type>>,
    constants: HashMap<Handle<Constant>, Handle<Constant>>,
    expressions: HashMap<Handle<Expression>, Handle<Expression>>,
    functions: HashMap<Handle<Function>, Handle<Function>>,
}

impl<'a> Linker<'a> {
    /// A linker that has copied nothing yet.
    pub(crate) fn new(library: &'a Library) -> Self {
        Self {
            library,
            types: HashMap::new(),
            constants: HashMap::new(),
            expressions: HashMap::new(),
            functions: HashMap::new(),
        }
    }

    /// The copy in `module` of the function with this name. Everything that it uses is copied first.
    pub(crate) fn import(&mut self, module: &mut Module, name: &str) -> Result<Handle<Function>, Refusal> {
        self.function(module, self.library.function(name)?)
    }

    /// The copy in `module` of one of the library's functions. Everything that it uses is copied first.
    pub(crate) fn function(
        &mut self,
        module: &mut Module,
        from: Handle<Function>,
    ) -> Result<Handle<Function>, Refusal> {
        if let Some(copy) = self.functions.get(&from) {
            return Ok(*copy);
        }
        // Expressions, locals and statements refer to each other within the function: those handles stay as they are.
        let mut function = self.library.module.functions[from].clone();
        for argument in &mut function.arguments {
            argument.ty = self.ty(module, argument.ty)?;
        }
        if let Some(result) = &mut function.result {
            result.ty = self.ty(module, result.ty)?;
        }
        for (_, local) in function.local_variables.iter_mut() {
            local.ty = self.ty(module, local.ty)?;
        }
        for (_, expression) in function.expressions.iter_mut() {
            self.adjust(module, expression)?;
        }
        self.adjust_calls(module, &mut function.body)?;
        function.diagnostic_filter_leaf = None;
        let copy = module.functions.append(function, Span::UNDEFINED);
        self.functions.insert(from, copy);
        Ok(copy)
    }

    /// The copy in `module` of one of the library's types. Structures of equal shape are one type.
    pub(crate) fn ty(&mut self, module: &mut Module, from: Handle<Type>) -> Result<Handle<Type>, Refusal> {
        if let Some(copy) = self.types.get(&from) {
            return Ok(*copy);
        }
        let mut ty = self.library.module.types[from].clone();
        match &mut ty.inner {
            TypeInner::Pointer { base, .. } | TypeInner::Array { base, .. } => *base = self.ty(module, *base)?,
            TypeInner::Struct { members, .. } => {
                for member in members {
                    member.ty = self.ty(module, member.ty)?;
                }
            }
            _ => {}
        }
        // An alias is not a type of its own.
        if !matches!(ty.inner, TypeInner::Struct { .. }) {
            ty.name = None;
        }
        let copy = module.types.insert(ty, Span::UNDEFINED);
        self.types.insert(from, copy);
        Ok(copy)
    }

    /// The copy in `module` of one of the library's constants.
    pub(crate) fn constant(
        &mut self,
        module: &mut Module,
        from: Handle<Constant>,
    ) -> Result<Handle<Constant>, Refusal> {
        if let Some(copy) = self.constants.get(&from) {
            return Ok(*copy);
        }
        let mut constant = self.library.module.constants[from].clone();
        constant.ty = self.ty(module, constant.ty)?;
        constant.init = self.global_expression(module, constant.init)?;
        let copy = module.constants.append(constant, Span::UNDEFINED);
        self.constants.insert(from, copy);
        Ok(copy)
    }

    fn global_expression(
        &mut self,
        module: &mut Module,
        from: Handle<Expression>,
    ) -> Result<Handle<Expression>, Refusal> {
        if let Some(copy) = self.expressions.get(&from) {
            return Ok(*copy);
        }
        let mut expression = self.library.module.global_expressions[from].clone();
        match &mut expression {
            Expression::Compose { components, .. } => {
                for component in components {
                    *component = self.global_expression(module, *component)?;
                }
            }
            Expression::Splat { value, .. } => *value = self.global_expression(module, *value)?,
            _ => {}
        }
        self.adjust(module, &mut expression)?;
        let copy = module.global_expressions.append(expression, Span::UNDEFINED);
        self.expressions.insert(from, copy);
        Ok(copy)
    }

    /// Replaces the handles of an expression that point out of its function.
    pub(crate) fn adjust(&mut self, module: &mut Module, expression: &mut Expression) -> Result<(), Refusal> {
        match expression {
            Expression::ZeroValue(ty) | Expression::Compose { ty, .. } => *ty = self.ty(module, *ty)?,
            Expression::Constant(constant) => *constant = self.constant(module, *constant)?,
            Expression::CallResult(function) => *function = self.function(module, *function)?,
            Expression::GlobalVariable(_) | Expression::Override(_) => {
                return Err(defect("the prelude has a global variable"));
            }
            _ => {}
        }
        Ok(())
    }

    fn adjust_calls(&mut self, module: &mut Module, block: &mut Block) -> Result<(), Refusal> {
        let mut adjusted = Ok(());
        for_each_statement_mut(block, &mut |statement, _| {
            if let Statement::Call { function, .. } = statement
                && adjusted.is_ok()
            {
                adjusted = self.function(module, *function).map(|new| *function = new);
            }
        });
        adjusted
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use naga::Module;

    use super::{Library, Linker};

    #[test]
    fn a_function_comes_with_all_that_it_needs_and_only_once() {
        let library = Library::parse(
            "alias F = vec2<f32>;
            struct Pair { first: F, second: array<u32, 3> }
            const TABLE = array<u32, 3>(3u, 5u, 7u);
            const SCALE = F(2.0, 3.0);
            fn unused() -> f32 { return 1.0; }
            fn inner(x: F, at: u32) -> Pair { return Pair(x * SCALE, array<u32, 3>(TABLE[at], 1u, 2u)); }
            fn middle(x: F) -> F {
                var sum = F();
                for (var i = 0u; i < 3u; i++) { if i == 1u { continue; } sum += inner(x, i).first; }
                return sum;
            }
            fn outer(x: F) -> F { return middle(x) + inner(x, 0u).first; }",
        )
        .unwrap();
        let mut module = Module::default();
        let mut linker = Linker::new(&library);
        let outer = linker.import(&mut module, "outer").unwrap();
        let middle = linker.import(&mut module, "middle").unwrap();
        assert_eq!(linker.import(&mut module, "outer").unwrap(), outer);
        assert!(middle < outer);
        let names: Vec<_> = module.functions.iter().map(|(_, it)| it.name.clone().unwrap()).collect();
        assert_eq!(names, ["inner", "middle", "outer"]);
        assert_eq!(module.types.iter().filter(|(_, ty)| ty.name.is_some()).count(), 1);
        crate::validate::validate(&module).unwrap();
    }

    #[test]
    fn a_missing_function_is_reported() {
        let library = Library::parse("fn there() {}").unwrap();
        let error = Linker::new(&library).import(&mut Module::default(), "elsewhere").unwrap_err();
        assert_eq!(error.reason, "the prelude has no function `elsewhere`");
    }
}
