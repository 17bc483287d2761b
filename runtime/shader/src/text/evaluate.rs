//! Finds the expressions that are constants, and computes their values.

use super::arithmetic::{binary, unary};
use super::bounds::{MAX_PARTS, too_many_parts};
use super::builtin::{self, is_builtin};
use super::construct;
use super::elementary;
use super::integer::bitcast;
use super::lexer::Place;
use super::names::{Found, Item, Names, scalar_kind, shaped};
use super::number;
use super::tree::{BinaryOp, Declaration, DeclarationKind, Expr, ExprKind, Ident, Name, UnaryOp};
use super::value::{Kind, Scalar, Ty, Value};
use crate::Refusal;

/// The most operations on constants in one kernel.
const MAX_STEPS: u32 = 1 << 18;

/// The steps that an elementary function of up to four components counts as, since the interpreter computes it.
const ELEMENTARY_STEPS: u32 = 256;

impl<'t, 'a> Names<'t, 'a> {
    /// Whether an expression is a constant: made of literals and constants by operators, constructors and builtins.
    pub(crate) fn is_constant(&mut self, expression: &'t Expr<'a>) -> bool {
        if let Some(known) = expression.is_constant.get() {
            return known;
        }
        let found = match &expression.kind {
            ExprKind::Literal(_) => true,
            ExprKind::Paren(inner) | ExprKind::Member(inner, _) => self.is_constant(inner),
            ExprKind::Unary(op, operand) => *op != UnaryOp::Indirection && self.is_constant(operand),
            ExprKind::Index(left, right) | ExprKind::Binary(_, left, right) => {
                self.is_constant(left) & self.is_constant(right)
            }
            ExprKind::Name(name) => match self.find(name.ident.text) {
                Found::Local(local) => local.value.is_some(),
                Found::Global(Item::Value(declaration)) => self.is_constant_declaration(declaration),
                _ => false,
            },
            ExprKind::Call(name, arguments) => {
                self.makes_constants(name) && arguments.iter().all(|argument| self.is_constant(argument))
            }
        };
        expression.is_constant.set(Some(found));
        found
    }

    /// Whether a call of `name` is a constant if its arguments are.
    fn makes_constants(&mut self, name: &'t Name<'a>) -> bool {
        let text = name.ident.text;
        match self.find(text) {
            Found::Global(Item::Struct(_)) => true,
            Found::Global(Item::Alias(_)) => !matches!(self.ty(name), Ok(Ty::Other)),
            Found::Global(_) | Found::Local(_) => false,
            Found::Predeclared => {
                is_builtin(text) || text == "array" || scalar_kind(text).is_some() || shaped(text).is_some()
            }
        }
    }

    pub(crate) fn value(&mut self, expression: &'t Expr<'a>) -> Result<Value, Refusal> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            let message = format!("the constants up to here take more than {MAX_STEPS} operations");
            return Err(Refusal::at_with_help(
                expression.place,
                message,
                "compute them in the kernel, or write the numbers",
            ));
        }
        let place = expression.place;
        match &expression.kind {
            ExprKind::Literal(text) => number::literal(text, place).map(Value::Scalar),
            ExprKind::Paren(inner) => self.value(inner),
            ExprKind::Name(name) => self.named_value(name),
            ExprKind::Unary(op, operand) => unary(*op, &self.value(operand)?, place),
            ExprKind::Binary(op, left, right) => self.operation(*op, left, right, place),
            ExprKind::Index(base, index) => {
                let (base, value) = (self.value(base)?, self.value(index)?);
                self.element(&base, &value, index.place)
            }
            ExprKind::Member(base, member) => {
                let base = self.value(base)?;
                self.member(&base, *member)
            }
            ExprKind::Call(name, arguments) => {
                let values = arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
                self.call(name, arguments, values, place)
            }
        }
    }

    fn step(&mut self, steps: u32, place: Place) -> Result<(), Refusal> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            let message = format!("the constants up to here take more than {MAX_STEPS} operations");
            return Err(Refusal::at_with_help(place, message, "compute them in the kernel, or write the numbers"));
        }
        Ok(())
    }

    fn operation(
        &mut self,
        op: BinaryOp,
        left: &'t Expr<'a>,
        right: &'t Expr<'a>,
        place: Place,
    ) -> Result<Value, Refusal> {
        let first = self.value(left)?;
        match (op, &first) {
            (BinaryOp::AndAlso, Value::Scalar(Scalar::Bool(false)))
            | (BinaryOp::OrElse, Value::Scalar(Scalar::Bool(true))) => Ok(first),
            _ => binary(op, &first, &self.value(right)?, place),
        }
    }

    fn named_value(&mut self, name: &'t Name<'a>) -> Result<Value, Refusal> {
        match self.find(name.ident.text) {
            Found::Local(local) => local.value.ok_or_else(|| not_constant(name)),
            Found::Global(Item::Value(declaration)) if self.is_constant_declaration(declaration) => {
                self.global_value(declaration, name.place)
            }
            _ => Err(not_constant(name)),
        }
    }

    /// The value of a constant outside of functions, or of an override that has one.
    pub(crate) fn global_value(&mut self, declaration: &'t Declaration<'a>, place: Place) -> Result<Value, Refusal> {
        let name = declaration.name.text;
        match self.values.get(name) {
            Some(Some(value)) => return Ok(value.clone()),
            Some(None) => return Err(Refusal::at(place, format!("`{name}` is cyclic: it is computed from itself"))),
            None => {}
        }
        self.values.insert(name, None);
        let given = self.overrides.as_ref().and_then(|overrides| overrides.get(name)).copied();
        let value = self.outside(place, |names| match given {
            Some(given) if declaration.kind == DeclarationKind::Override => names.given_value(declaration, given),
            _ => names.declared_value(declaration),
        })?;
        self.values.insert(name, Some(value.clone()));
        Ok(value)
    }

    /// The initial value of a declaration, converted to its type.
    pub(crate) fn declared_value(&mut self, declaration: &'t Declaration<'a>) -> Result<Value, Refusal> {
        let Some(init) = &declaration.init else {
            return Err(Refusal::at(declaration.place, format!("`{}` has no value", declaration.name.text)));
        };
        let value = self.value(init)?;
        let Some(ty) = &declaration.ty else {
            return Ok(match (declaration.kind, value.kind()) {
                (DeclarationKind::Override, Some(kind)) => value.converted(kind.concrete()).unwrap_or(value),
                _ => value,
            });
        };
        let ty = self.ty(ty)?;
        value.converted_to(&ty).ok_or_else(|| {
            let message = format!("this value does not fit the type of `{}`", declaration.name.text);
            Refusal::at(init.place, message)
        })
    }

    /// The value given to an override. It is known to fit the type.
    fn given_value(&mut self, declaration: &'t Declaration<'a>, given: f64) -> Result<Value, Refusal> {
        let ty = match &declaration.ty {
            Some(ty) => self.ty(ty)?,
            None => self.declared_value(declaration)?.ty(),
        };
        let scalar = match ty {
            Ty::Scalar(Kind::Bool) => Some(Scalar::Bool(given != 0.0 && !given.is_nan())),
            Ty::Scalar(kind) => Scalar::Float(given).constructed(kind),
            _ => None,
        };
        scalar.map(Value::Scalar).ok_or_else(|| {
            let message = format!("the value {given} does not fit the type of `{}`", declaration.name.text);
            Refusal::at(declaration.name.place, message)
        })
    }

    fn element(&mut self, base: &Value, index: &Value, place: Place) -> Result<Value, Refusal> {
        let number = match index {
            Value::Scalar(scalar) => scalar.as_integer(),
            _ => None,
        };
        let Some(number) = number else { return Err(Refusal::at(place, "an index has to be an integer")) };
        let found = match base {
            Value::Vector(_) | Value::Matrix(_) | Value::Array(..) | Value::Zero(Ty::Array(..)) => {
                usize::try_from(number).ok().and_then(|index| base.part(index, |_, _| None))
            }
            _ => return Err(Refusal::at(place, "only arrays, vectors and matrices have elements")),
        };
        found.ok_or_else(|| Refusal::at(place, format!("the index {number} is out of bounds")))
    }

    fn member(&mut self, base: &Value, member: Ident<'a>) -> Result<Value, Refusal> {
        let unknown = || Refusal::at(member.place, format!("this value has no member `{}`", member.text));
        match base {
            Value::Vector(parts) => swizzle(parts, member.text).ok_or_else(unknown),
            Value::Parts(parts) => {
                parts.iter().find(|(name, _)| *name == member.text).map(|(_, value)| value.clone()).ok_or_else(unknown)
            }
            Value::Struct(number, _) | Value::Zero(Ty::Struct(number)) => {
                let members = self.members(*number)?;
                let index = members.iter().position(|(name, _)| *name == member.text).ok_or_else(unknown)?;
                let ty = |_, index: usize| members.get(index).map(|(_, ty)| ty.clone());
                base.part(index, ty).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }

    fn call(
        &mut self,
        name: &'t Name<'a>,
        arguments: &'t [Expr<'a>],
        values: Vec<Value>,
        place: Place,
    ) -> Result<Value, Refusal> {
        let text = name.ident.text;
        let is_predeclared = matches!(self.find(text), Found::Predeclared);
        if is_predeclared && is_builtin(text) {
            if elementary::is_elementary(text) {
                self.step(ELEMENTARY_STEPS, place)?;
            }
            let computed = match (text, name.template.as_slice(), values.as_slice()) {
                ("bitcast", [to], [value]) => {
                    let to = match &to.kind {
                        ExprKind::Name(to) => self.ty(to)?,
                        _ => Ty::Other,
                    };
                    bitcast(value, &to)
                }
                _ => builtin::call(text, &values),
            };
            return computed.map_err(|reason| Refusal::at(place, reason));
        }
        let built = if is_predeclared && name.template.is_empty() && text == "array" {
            construct::array_of(values)
        } else if let Some((shape, None)) = shaped(text).filter(|_| is_predeclared && name.template.is_empty()) {
            construct::untyped(shape, values)
        } else {
            let ty = self.ty(name)?;
            let members = match ty {
                Ty::Struct(number) => self.members(number)?.iter().map(|(_, ty)| ty.clone()).collect(),
                _ => Vec::new(),
            };
            construct::typed(&ty, &members, values)
        };
        let built = built.map_err(|problem| match problem.argument.and_then(|index| arguments.get(index)) {
            Some(argument) => Refusal::at(argument.place, problem.reason),
            None => Refusal::at(place, problem.reason),
        })?;
        if built.parts() > MAX_PARTS { Err(too_many_parts(place)) } else { Ok(built) }
    }
}

fn not_constant(name: &Name<'_>) -> Refusal {
    let message = format!("`{}` is no constant", name.ident.text);
    Refusal::at_with_help(name.place, message, "use `let` or `var` for what is computed from it")
}

fn swizzle(parts: &[Scalar], letters: &str) -> Option<Value> {
    let set = if letters.starts_with(['r', 'g', 'b', 'a']) { "rgba" } else { "xyzw" };
    let chosen: Option<Vec<Scalar>> =
        letters.chars().map(|letter| set.find(letter).and_then(|index| parts.get(index)).copied()).collect();
    match chosen?.as_slice() {
        [only] => Some(Value::Scalar(*only)),
        chosen @ ([_, _] | [_, _, _] | [_, _, _, _]) => Some(Value::Vector(chosen.to_vec())),
        _ => None,
    }
}
