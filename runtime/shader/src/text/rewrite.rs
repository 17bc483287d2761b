//! The changes to a kernel's text: constants are computed, `let`s of constants become variables, and constructs that naga
//! treats differently from WGSL are replaced.

use std::collections::HashSet;
use std::rc::Rc;

use super::bounds::Zeros;
use super::edit::Edits;
use super::lexer::Place;
use super::names::{Found, Item, Local, Names, scalar_kind, shaped};
use super::number;
use super::tree::{
    Attribute, Declaration, DeclarationKind, Expr, ExprKind, Function, Global, Module, Name, Statement, UnaryOp,
};
use super::uses::named;
use super::value::{Scalar, Ty, Value};
use crate::Refusal;

/// The most bytes of all computed constants of a kernel together: as many as the kernel's own text may have.
const MAX_BYTES: usize = crate::MAX_WGSL_BYTES;

pub(crate) struct Rewriter<'n, 't, 'a> {
    pub(crate) names: &'n mut Names<'t, 'a>,
    pub(crate) edits: &'n mut Edits,
    source: &'a str,
    zeros: Zeros,
    /// How many names have been invented so far.
    invented: u32,
    /// The first place where the type f16 is named. It is refused.
    pub(crate) half: Option<Place>,
}

impl<'n, 't, 'a> Rewriter<'n, 't, 'a> {
    pub(crate) fn new(names: &'n mut Names<'t, 'a>, edits: &'n mut Edits, source: &'a str) -> Self {
        Self { names, edits, source, zeros: Zeros::default(), invented: 0, half: None }
    }

    /// Rewrites all declarations; with `reached`, only those with these names, and removes the others.
    pub(crate) fn module(&mut self, module: &'t Module<'a>, reached: Option<&HashSet<&'a str>>) -> Result<(), Refusal> {
        for declaration in &module.declarations {
            if let Some((name, place)) = named(declaration)
                && reached.is_some_and(|reached| !reached.contains(name))
            {
                self.edits.replace(place, "");
                continue;
            }
            match declaration {
                Global::Struct(found) => {
                    for member in &found.members {
                        self.attributes(&member.attributes)?;
                        self.name(&member.ty)?;
                    }
                }
                Global::Alias(_, target, _) => self.name(target)?,
                Global::Value(found) => self.global(found)?,
                Global::Function(found) => self.function(found)?,
                Global::Assert(condition) => self.assert(condition)?,
            }
        }
        Ok(())
    }

    fn global(&mut self, declaration: &'t Declaration<'a>) -> Result<(), Refusal> {
        self.attributes(&declaration.attributes)?;
        if declaration.kind == DeclarationKind::Override && self.names.is_known(declaration) {
            let value = self.names.global_value(declaration, declaration.name.place)?;
            let text = self.names.print(&value, declaration.name.place)?;
            let name = declaration.name.text;
            self.edits.replace(declaration.whole(), format!("const {name} = {text}"));
            return Ok(());
        }
        if let Some(ty) = &declaration.ty {
            self.name(ty)?;
        }
        if declaration.kind == DeclarationKind::Const {
            let has_parts = |value: &Value| matches!(value, Value::Parts(_));
            if has_parts(&self.names.global_value(declaration, declaration.name.place)?) {
                self.edits.replace(declaration.place, "");
                return Ok(());
            }
        }
        self.init(declaration)
    }

    fn init(&mut self, declaration: &'t Declaration<'a>) -> Result<(), Refusal> {
        declaration.init.as_ref().map_or(Ok(()), |init| self.expression(init))
    }

    fn attributes(&mut self, attributes: &'t [Attribute<'a>]) -> Result<(), Refusal> {
        for attribute in attributes {
            for argument in &attribute.arguments {
                self.expression(argument)?;
                // With overrides the value is known only now; naga checks literals itself.
                if attribute.name == "workgroup_size"
                    && self.names.overrides.is_some()
                    && self.names.is_constant(argument)
                    && let Value::Scalar(side) = self.names.value(argument)?
                    && side.as_integer().is_some_and(|side| side <= 0)
                {
                    return Err(super::not_positive(Some(argument.place.into())));
                }
            }
        }
        Ok(())
    }

    fn function(&mut self, function: &'t Function<'a>) -> Result<(), Refusal> {
        self.attributes(&function.attributes)?;
        for (_, ty, attributes) in &function.parameters {
            self.attributes(attributes)?;
            self.name(ty)?;
        }
        if let Some((ty, attributes)) = &function.result {
            self.attributes(attributes)?;
            self.name(ty)?;
        }
        self.names.open_scope();
        for (name, ..) in &function.parameters {
            self.names.declare(name.text, Local { value: None, renamed: None });
        }
        self.statements(&function.body, false)?;
        self.names.close_scope();
        Ok(())
    }

    /// Rewrites statements of the open scope. `continues`: it is the scope of a `continuing` block.
    fn statements(&mut self, statements: &'t [Statement<'a>], continues: bool) -> Result<(), Refusal> {
        for statement in statements {
            match statement {
                Statement::Scope(inner) | Statement::Continuing(inner) => {
                    self.names.open_scope();
                    self.statements(inner, matches!(statement, Statement::Continuing(_)))?;
                    self.names.close_scope();
                }
                Statement::Declare(declaration) => self.local(declaration, continues)?,
                Statement::Expressions(expressions) | Statement::Simple(_, expressions) => {
                    expressions.iter().try_for_each(|expression| self.expression(expression))?;
                }
                Statement::Assert(condition) => self.assert(condition)?,
            }
        }
        Ok(())
    }

    fn local(&mut self, declaration: &'t Declaration<'a>, continues: bool) -> Result<(), Refusal> {
        if let Some(ty) = &declaration.ty {
            self.name(ty)?;
        }
        let mut value = None;
        match (declaration.kind, &declaration.init) {
            (DeclarationKind::Const, _) => {
                let found = self.names.declared_value(declaration)?;
                if matches!(found, Value::Parts(_)) {
                    self.edits.replace(declaration.place, "");
                } else {
                    self.init(declaration)?;
                }
                value = Some(found);
            }
            (DeclarationKind::Let, Some(init)) if self.names.is_constant(init) => {
                self.let_of_constant(declaration, init)?
            }
            _ => self.init(declaration)?,
        }
        let name = declaration.name;
        let mut renamed = None;
        // naga has one scope for a loop's body and its `continuing` block. In WGSL the block may declare a name again.
        if continues && self.names.is_in_outer_scope(name.text) {
            let invented = self.invent(name.text);
            self.edits.replace(name.place, invented.as_str());
            renamed = Some(Rc::from(invented));
        }
        self.names.declare(name.text, Local { value, renamed });
        Ok(())
    }

    /// Makes a `let` of a constant a variable. In WGSL it is not a constant, but naga would treat it as one.
    fn let_of_constant(&mut self, declaration: &'t Declaration<'a>, init: &'t Expr<'a>) -> Result<(), Refusal> {
        if !self.is_plain(init)? && matches!(self.names.value(init)?, Value::Parts(_)) {
            // naga cannot compute this, and the type has no name: the argument becomes a variable.
            let ExprKind::Call(_, arguments) = &init.bare().kind else {
                return Err(Refusal::at_with_help(
                    init.place,
                    "this constant has no name as a whole",
                    "use its members",
                ));
            };
            let Some(argument) = arguments.first() else { return Ok(()) };
            let value = self.names.value(argument)?;
            let text = self.names.print(&value, argument.place)?;
            let invented = self.invent(declaration.name.text);
            self.edits.insert(declaration.keyword, format!("var {invented} = {text}; "));
            self.edits.replace(argument.place, invented);
            return Ok(());
        }
        self.edits.replace(declaration.keyword, "var");
        self.expression(init)
    }

    /// A name that does not occur in the source.
    fn invent(&mut self, like: &str) -> String {
        loop {
            self.invented += 1;
            let name = format!("{like}_{}", self.invented);
            if !self.source.contains(&name) {
                return name;
            }
        }
    }

    fn assert(&mut self, condition: &'t Expr<'a>) -> Result<(), Refusal> {
        match self.names.value(condition)? {
            Value::Scalar(Scalar::Bool(true)) => {
                self.edits.replace(condition.place, " true");
                Ok(())
            }
            Value::Scalar(Scalar::Bool(false)) => Err(Refusal::at(condition.place, "this assertion does not hold")),
            _ => Err(Refusal::at(condition.place, "an assertion has to be a bool")),
        }
    }

    /// Rewrites a name that may be a type: the lengths of arrays in it.
    fn name(&mut self, name: &'t Name<'a>) -> Result<(), Refusal> {
        let text = name.ident.text;
        let is_half = text == "f16" || text.strip_suffix('h').is_some_and(|stem| shaped(stem).is_some());
        if is_half && matches!(self.names.find(text), Found::Predeclared) {
            self.half.get_or_insert(name.ident.place);
        }
        for argument in &name.template {
            match &argument.kind {
                ExprKind::Name(inner) => self.name(inner)?,
                _ => self.expression(argument)?,
            }
        }
        Ok(())
    }

    fn expression(&mut self, expression: &'t Expr<'a>) -> Result<(), Refusal> {
        if self.names.is_constant(expression) {
            return self.constant(expression);
        }
        match &expression.kind {
            ExprKind::Literal(_) => Ok(()),
            ExprKind::Name(name) => {
                if let Found::Local(Local { renamed: Some(renamed), .. }) = self.names.find(name.ident.text) {
                    self.edits.replace(name.ident.place, &*renamed);
                }
                self.name(name)
            }
            ExprKind::Call(name, arguments) => {
                self.name(name)?;
                arguments.iter().try_for_each(|argument| self.expression(argument))
            }
            ExprKind::Index(left, right) | ExprKind::Binary(_, left, right) => {
                self.expression(left)?;
                self.expression(right)
            }
            ExprKind::Member(inner, _) | ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => self.expression(inner),
        }
    }

    /// Rewrites a constant that is not part of a larger one.
    fn constant(&mut self, expression: &'t Expr<'a>) -> Result<(), Refusal> {
        if self.is_plain(expression)? {
            return self.types_in(expression);
        }
        if let ExprKind::Call(name, arguments) = &expression.bare().kind
            && !arguments.is_empty()
            && self.is_made_of_parts(name)?
        {
            // The parts are computed one by one. naga combines them, and checks that they fit.
            self.name(name)?;
            return arguments.iter().try_for_each(|argument| self.constant(argument));
        }
        self.halves_in(expression);
        let value = self.names.value(expression)?;
        let text = self.names.print(&value, expression.place)?;
        self.edits.replace(expression.place, text);
        if self.edits.bytes() > MAX_BYTES {
            let message =
                format!("the constants up to here have more than {MAX_BYTES} bytes when they are written out");
            return Err(Refusal::at_with_help(expression.place, message, "keep large tables in buffers"));
        }
        Ok(())
    }

    /// Rewrites the lengths of arrays, and counts the zero values, in an expression that stays as it is.
    fn types_in(&mut self, expression: &'t Expr<'a>) -> Result<(), Refusal> {
        match &expression.bare().kind {
            ExprKind::Name(name) => match self.names.value(expression)? {
                Value::Zero(ty) => self.zeros.add(&ty, name.place, self.names),
                _ => Ok(()),
            },
            ExprKind::Call(name, arguments) => {
                self.name(name)?;
                if arguments.is_empty() {
                    let ty = self.names.ty(name)?;
                    self.zeros.add(&ty, name.place, self.names)?;
                }
                arguments.iter().try_for_each(|argument| self.types_in(argument))
            }
            _ => Ok(()),
        }
    }

    /// Finds f16 in an expression that will be replaced.
    fn halves_in(&mut self, expression: &'t Expr<'a>) {
        match &expression.kind {
            ExprKind::Call(name, arguments) => {
                // An error about a length is reported again where the length is computed.
                drop(self.name(name));
                arguments.iter().for_each(|argument| self.halves_in(argument));
            }
            ExprKind::Index(left, right) | ExprKind::Binary(_, left, right) => {
                self.halves_in(left);
                self.halves_in(right);
            }
            ExprKind::Member(inner, _) | ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => self.halves_in(inner),
            ExprKind::Literal(_) | ExprKind::Name(_) => {}
        }
    }

    /// Whether a name constructs arrays or structs.
    fn is_made_of_parts(&mut self, name: &'t Name<'a>) -> Result<bool, Refusal> {
        let text = name.ident.text;
        Ok(match self.names.find(text) {
            Found::Predeclared if text == "array" => true,
            Found::Predeclared => false,
            _ => matches!(self.names.ty(name)?, Ty::Array(..) | Ty::Struct(_)),
        })
    }

    /// Whether a constant leaves naga nothing to compute: literals, and constructors whose arguments are exactly their
    /// components.
    fn is_plain(&mut self, expression: &'t Expr<'a>) -> Result<bool, Refusal> {
        match &expression.kind {
            ExprKind::Literal(text) => number::literal(text, expression.place).map(|_| true),
            ExprKind::Paren(inner) => self.is_plain(inner),
            ExprKind::Unary(UnaryOp::Negate, operand) => match operand.kind {
                // A negated zero has to be computed: its sign is dropped.
                ExprKind::Literal(text) => Ok(number::literal(text, operand.place)?.as_f64() != 0.0),
                _ => Ok(false),
            },
            ExprKind::Name(name) => match self.names.find(name.ident.text) {
                Found::Local(local) => Ok(!matches!(local.value, None | Some(Value::Parts(_)))),
                Found::Global(Item::Value(declaration)) => {
                    Ok(!matches!(self.names.global_value(declaration, name.place)?, Value::Parts(_)))
                }
                _ => Ok(false),
            },
            ExprKind::Call(name, arguments) => self.is_plain_call(name, arguments),
            _ => Ok(false),
        }
    }

    fn is_plain_call(&mut self, name: &'t Name<'a>, arguments: &'t [Expr<'a>]) -> Result<bool, Refusal> {
        let text = name.ident.text;
        let is_predeclared = matches!(self.names.find(text), Found::Predeclared);
        if self.is_made_of_parts(name)? {
            return self.all_plain(arguments);
        }
        let shape = shaped(text).filter(|_| is_predeclared);
        let is_typed = shape.is_none_or(|(_, kind)| kind.is_some() || !name.template.is_empty());
        match self.ty(name, shape.map(|(shape, _)| shape.of(super::value::Kind::Int)))? {
            Ty::Scalar(_) if is_predeclared && scalar_kind(text).is_none() => Ok(false),
            Ty::Scalar(_) => Ok(arguments.is_empty()),
            Ty::Vector(size, _) if arguments.len() == size || arguments.len() == 1 => self.all_scalar(arguments),
            Ty::Matrix(columns, rows, _) if arguments.len() == columns * rows => self.all_scalar(arguments),
            Ty::Matrix(columns, rows, _) if arguments.len() == columns => {
                for argument in arguments {
                    let ExprKind::Call(inner, parts) = &argument.bare().kind else { return Ok(false) };
                    if parts.len() != rows || !self.is_plain_call(inner, parts)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Ty::Vector(..) | Ty::Matrix(..) => Ok(arguments.is_empty() && is_typed),
            _ => Ok(false),
        }
    }

    /// The type that is constructed; `shaped` if the name only gives a shape.
    fn ty(&mut self, name: &'t Name<'a>, shaped: Option<Ty>) -> Result<Ty, Refusal> {
        match shaped {
            Some(shaped) => Ok(shaped),
            None => self.names.ty(name),
        }
    }

    fn all_plain(&mut self, arguments: &'t [Expr<'a>]) -> Result<bool, Refusal> {
        for argument in arguments {
            if !self.is_plain(argument)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether all arguments are plain literals or names of scalars.
    fn all_scalar(&mut self, arguments: &'t [Expr<'a>]) -> Result<bool, Refusal> {
        for argument in arguments {
            let is_scalar = match argument.bare().kind {
                ExprKind::Literal(_) | ExprKind::Unary(..) => true,
                ExprKind::Name(_) => matches!(self.names.value(argument)?, Value::Scalar(_)),
                _ => false,
            };
            if !is_scalar || !self.is_plain(argument)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
