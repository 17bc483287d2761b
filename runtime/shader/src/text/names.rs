//! Resolves names and types.

use std::collections::HashMap;
use std::rc::Rc;

use super::lexer::Place;
use super::tree::{Declaration, DeclarationKind, Expr, ExprKind, Global, Module, Name, Struct};
use super::value::{Kind, Ty, Value};
use crate::Refusal;

/// The longest chain of aliases of aliases, constants of constants, and the like. A text within the bounds of `nesting` has no
/// longer one.
const MAX_STEPS_BETWEEN_NAMES: u32 = 1 << 14;

/// A declaration outside of functions.
#[derive(Clone, Copy)]
pub(crate) enum Item<'t, 'a> {
    Struct(usize),
    Alias(&'t Name<'a>),
    Value(&'t Declaration<'a>),
    Function,
}

/// A declaration in a function.
#[derive(Clone)]
pub(crate) struct Local {
    /// Its value, if it is a constant.
    pub(crate) value: Option<Value>,
    /// Its name in the text that naga gets, if that is another.
    pub(crate) renamed: Option<Rc<str>>,
}

/// The meaning of a name.
pub(crate) enum Found<'t, 'a> {
    Local(Local),
    Global(Item<'t, 'a>),
    /// Predeclared by WGSL, or unknown.
    Predeclared,
}

/// Members of a struct, by name.
pub(crate) type Members<'a> = Rc<[(&'a str, Ty)]>;

pub(crate) struct Names<'t, 'a> {
    globals: HashMap<&'a str, Item<'t, 'a>>,
    pub(crate) structs: Vec<&'t Struct<'a>>,
    members: HashMap<usize, Members<'a>>,
    locals: HashMap<&'a str, Vec<Local>>,
    scopes: Vec<Vec<&'a str>>,
    /// Values of constants outside of functions; None while one is being computed.
    pub(super) values: HashMap<&'a str, Option<Value>>,
    /// Values given to overrides. An override with a value is a constant.
    pub(super) overrides: Option<HashMap<String, f64>>,
    pub(super) steps: u32,
    depth: u32,
}

impl<'t, 'a> Names<'t, 'a> {
    pub(crate) fn new(module: &'t Module<'a>, overrides: Option<HashMap<String, f64>>) -> Self {
        let mut names = Self {
            globals: HashMap::new(),
            structs: Vec::new(),
            members: HashMap::new(),
            locals: HashMap::new(),
            scopes: Vec::new(),
            values: HashMap::new(),
            overrides,
            steps: 0,
            depth: 0,
        };
        for declaration in &module.declarations {
            let (name, item) = match declaration {
                Global::Struct(found) => {
                    names.structs.push(found);
                    (found.name.text, Item::Struct(names.structs.len() - 1))
                }
                Global::Alias(name, target, _) => (name.text, Item::Alias(target)),
                Global::Value(found) => (found.name.text, Item::Value(found)),
                Global::Function(found) => (found.name.text, Item::Function),
                Global::Assert(_) => continue,
            };
            names.globals.insert(name, item);
        }
        names
    }

    pub(crate) fn find(&self, name: &str) -> Found<'t, 'a> {
        if let Some(local) = self.locals.get(name).and_then(|locals| locals.last()) {
            return Found::Local(local.clone());
        }
        self.globals.get(name).map_or(Found::Predeclared, |item| Found::Global(*item))
    }

    pub(crate) fn open_scope(&mut self) {
        self.scopes.push(Vec::new());
    }

    pub(crate) fn close_scope(&mut self) {
        for name in self.scopes.pop().unwrap_or_default() {
            if let Some(locals) = self.locals.get_mut(name) {
                locals.pop();
            }
        }
    }

    pub(crate) fn declare(&mut self, name: &'a str, local: Local) {
        self.locals.entry(name).or_default().push(local);
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(name);
        }
    }

    /// Whether the scope around the innermost one declares a name.
    pub(crate) fn is_in_outer_scope(&self, name: &str) -> bool {
        self.scopes.iter().rev().nth(1).is_some_and(|scope| scope.contains(&name))
    }

    /// Runs `f` with the local names of the current function hidden.
    pub(super) fn outside<T>(
        &mut self,
        place: Place,
        f: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.depth >= MAX_STEPS_BETWEEN_NAMES {
            let message = format!("this leads through more than {MAX_STEPS_BETWEEN_NAMES} names, or is cyclic");
            return Err(Refusal::at(place, message));
        }
        self.depth += 1;
        let locals = std::mem::take(&mut self.locals);
        let result = f(self);
        self.locals = locals;
        self.depth -= 1;
        result
    }

    /// The type that a name stands for; [`Ty::Other`] if it is not one that constants may have.
    pub(crate) fn ty(&mut self, name: &'t Name<'a>) -> Result<Ty, Refusal> {
        match self.find(name.ident.text) {
            Found::Global(Item::Struct(index)) => Ok(Ty::Struct(index)),
            Found::Global(Item::Alias(target)) => self.outside(name.place, |names| names.ty(target)),
            Found::Predeclared => self.predeclared_ty(name),
            _ => Ok(Ty::Other),
        }
    }

    fn predeclared_ty(&mut self, name: &'t Name<'a>) -> Result<Ty, Refusal> {
        let text = name.ident.text;
        if let Some(kind) = scalar_kind(text) {
            return Ok(Ty::Scalar(kind));
        }
        if let Some((shape, kind)) = shaped(text) {
            let kind = match (kind, name.template.as_slice()) {
                (Some(kind), _) => Some(kind),
                (None, [argument]) => match self.argument_ty(argument)? {
                    Ty::Scalar(kind) => Some(kind),
                    _ => None,
                },
                _ => None,
            };
            return Ok(kind.map_or(Ty::Other, |kind| shape.of(kind)));
        }
        match (text, name.template.as_slice()) {
            ("atomic", _) => Ok(Ty::Atomic),
            ("array", [element]) => Ok(Ty::Array(Rc::new(self.argument_ty(element)?), None)),
            ("array", [element, length]) => {
                let element = self.argument_ty(element)?;
                let length = if self.is_constant(length) { Some(self.array_length(length)?) } else { None };
                Ok(Ty::Array(Rc::new(element), length))
            }
            _ => Ok(Ty::Other),
        }
    }

    fn argument_ty(&mut self, argument: &'t Expr<'a>) -> Result<Ty, Refusal> {
        match &argument.kind {
            ExprKind::Name(name) => self.ty(name),
            _ => Ok(Ty::Other),
        }
    }

    fn array_length(&mut self, length: &'t Expr<'a>) -> Result<u32, Refusal> {
        let value = match self.value(length)? {
            Value::Scalar(scalar) => scalar.as_integer(),
            _ => None,
        };
        let length_of = value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
        length_of.ok_or_else(|| Refusal::at(length.place, "the length of an array has to be an integer from 1 on"))
    }

    /// The members of a struct.
    pub(crate) fn members(&mut self, index: usize) -> Result<Members<'a>, Refusal> {
        if let Some(members) = self.members.get(&index) {
            return Ok(Rc::clone(members));
        }
        let Some(found) = self.structs.get(index).copied() else { return Ok(Rc::from([])) };
        let members: Result<Members<'a>, Refusal> = self.outside(found.name.place, |names| {
            found.members.iter().map(|member| Ok((member.name.text, names.ty(&member.ty)?))).collect()
        });
        let members = members?;
        self.members.insert(index, Rc::clone(&members));
        Ok(members)
    }

    /// Whether an override has a value, which makes it a constant.
    pub(super) fn is_known(&mut self, declaration: &'t Declaration<'a>) -> bool {
        let Some(given) = self.overrides.as_ref().map(|overrides| overrides.contains_key(declaration.name.text)) else {
            return false;
        };
        given
            || declaration.init.as_ref().is_some_and(|init| {
                self.outside(declaration.place, |names| Ok(names.is_constant(init))).unwrap_or(false)
            })
    }

    /// Whether a declaration is a constant.
    pub(super) fn is_constant_declaration(&mut self, declaration: &'t Declaration<'a>) -> bool {
        match declaration.kind {
            DeclarationKind::Const => true,
            DeclarationKind::Override => self.is_known(declaration),
            DeclarationKind::Let | DeclarationKind::Var => false,
        }
    }
}

pub(crate) fn scalar_kind(name: &str) -> Option<Kind> {
    Some(match name {
        "bool" => Kind::Bool,
        "i32" => Kind::I32,
        "u32" => Kind::U32,
        "f32" => Kind::F32,
        _ => return None,
    })
}

/// Sizes of a vector or a matrix.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Vector(usize),
    Matrix(usize, usize),
}

impl Shape {
    pub(crate) fn of(self, kind: Kind) -> Ty {
        match self {
            Self::Vector(size) => Ty::Vector(size, kind),
            Self::Matrix(columns, rows) => Ty::Matrix(columns, rows, kind),
        }
    }
}

/// The shape that `vec3`, `vec3f`, `mat4x3` and the like name, and the number type if the name includes it.
pub(crate) fn shaped(name: &str) -> Option<(Shape, Option<Kind>)> {
    let size = |byte: &u8| matches!(byte, b'2'..=b'4').then(|| usize::from(byte - b'0'));
    let (shape, suffix) = match name.as_bytes() {
        [b'v', b'e', b'c', n, suffix @ ..] => (Shape::Vector(size(n)?), suffix),
        [b'm', b'a', b't', columns, b'x', rows, suffix @ ..] => (Shape::Matrix(size(columns)?, size(rows)?), suffix),
        _ => return None,
    };
    let kind = match suffix {
        [] => None,
        [b'f'] => Some(Kind::F32),
        [b'i'] if matches!(shape, Shape::Vector(_)) => Some(Kind::I32),
        [b'u'] if matches!(shape, Shape::Vector(_)) => Some(Kind::U32),
        _ => return None,
    };
    Some((shape, kind))
}
