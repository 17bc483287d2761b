//! Finds the declarations that an entry point uses.

use std::collections::{HashMap, HashSet};

use super::lexer::Place;
use super::tree::{Attribute, Expr, ExprKind, Function, Global, Module, Name, Statement};

/// The name of a declaration, and the whole of it.
pub(crate) fn named<'a>(declaration: &Global<'a>) -> Option<(&'a str, Place)> {
    match declaration {
        Global::Struct(found) => Some((found.name.text, found.place)),
        Global::Alias(name, _, place) => Some((name.text, *place)),
        Global::Value(found) => Some((found.name.text, found.whole())),
        Global::Function(found) => Some((found.name.text, found.place)),
        Global::Assert(_) => None,
    }
}

/// The names of all declarations that `entry_point` or an assertion may use. It may find too many, since local declarations
/// are not told apart from global ones.
pub(crate) fn reached<'a>(module: &Module<'a>, entry_point: &str) -> HashSet<&'a str> {
    let by_name: HashMap<&'a str, &Global<'a>> =
        module.declarations.iter().filter_map(|found| Some((named(found)?.0, found))).collect();
    let mut uses = Uses::default();
    uses.found.extend(by_name.keys().find(|name| **name == entry_point));
    for declaration in &module.declarations {
        if let Global::Assert(condition) = declaration {
            uses.expression(condition);
        }
    }
    let mut reached = HashSet::new();
    while let Some(name) = uses.found.pop() {
        if let Some(declaration) = by_name.get(name).filter(|_| reached.insert(name)) {
            uses.global(declaration);
        }
    }
    reached
}

/// The names found so far.
#[derive(Default)]
struct Uses<'a> {
    found: Vec<&'a str>,
}

impl<'a> Uses<'a> {
    fn global(&mut self, declaration: &Global<'a>) {
        match declaration {
            Global::Struct(found) => found.members.iter().for_each(|member| {
                self.attributes(&member.attributes);
                self.name(&member.ty);
            }),
            Global::Alias(_, target, _) => self.name(target),
            Global::Value(found) => {
                self.attributes(&found.attributes);
                found.ty.iter().for_each(|ty| self.name(ty));
                found.init.iter().for_each(|init| self.expression(init));
            }
            Global::Function(found) => self.function(found),
            Global::Assert(condition) => self.expression(condition),
        }
    }

    fn function(&mut self, function: &Function<'a>) {
        self.attributes(&function.attributes);
        for (_, ty, attributes) in &function.parameters {
            self.attributes(attributes);
            self.name(ty);
        }
        if let Some((ty, attributes)) = &function.result {
            self.attributes(attributes);
            self.name(ty);
        }
        self.statements(&function.body);
    }

    fn statements(&mut self, statements: &[Statement<'a>]) {
        for statement in statements {
            match statement {
                Statement::Scope(inner) | Statement::Continuing(inner) => self.statements(inner),
                Statement::Declare(declaration) => {
                    declaration.ty.iter().for_each(|ty| self.name(ty));
                    declaration.init.iter().for_each(|init| self.expression(init));
                }
                Statement::Expressions(expressions) | Statement::Simple(_, expressions) => {
                    expressions.iter().for_each(|found| self.expression(found))
                }
                Statement::Assert(condition) => self.expression(condition),
            }
        }
    }

    fn attributes(&mut self, attributes: &[Attribute<'a>]) {
        attributes.iter().flat_map(|attribute| &attribute.arguments).for_each(|argument| self.expression(argument));
    }

    fn name(&mut self, name: &Name<'a>) {
        self.found.push(name.ident.text);
        name.template.iter().for_each(|argument| self.expression(argument));
    }

    fn expression(&mut self, expression: &Expr<'a>) {
        match &expression.kind {
            ExprKind::Literal(_) => {}
            ExprKind::Name(name) => self.name(name),
            ExprKind::Call(name, arguments) => {
                self.name(name);
                arguments.iter().for_each(|argument| self.expression(argument));
            }
            ExprKind::Index(left, right) | ExprKind::Binary(_, left, right) => {
                self.expression(left);
                self.expression(right);
            }
            ExprKind::Member(inner, _) | ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => self.expression(inner),
        }
    }
}
