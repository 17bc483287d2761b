//! Prints values as WGSL: literals, and constructors of literals, which leave nothing to compute.

use super::lexer::Place;
use super::names::{Found, Item, Names};
use super::value::{Kind, Scalar, Ty, Value};
use crate::Refusal;

/// The most numbers in one printed constant.
const MAX_NUMBERS: usize = 4096;

impl<'a> Names<'_, 'a> {
    /// The text of a value that stands at `place`.
    pub(crate) fn print(&mut self, value: &Value, place: Place) -> Result<String, Refusal> {
        let mut printer = Printer { text: String::new(), numbers: 0, place };
        printer.value(self, value)?;
        Ok(printer.text)
    }
}

struct Printer {
    text: String,
    numbers: usize,
    place: Place,
}

impl Printer {
    fn value(&mut self, names: &mut Names<'_, '_>, value: &Value) -> Result<(), Refusal> {
        match value {
            Value::Scalar(scalar) => {
                self.count()?;
                self.text.push_str(&literal(*scalar));
            }
            Value::Vector(parts) => {
                self.ty(names, &value.ty())?;
                self.list(parts, |printer, part| {
                    printer.count()?;
                    printer.text.push_str(&literal(*part));
                    Ok(())
                })?;
            }
            Value::Matrix(columns) => {
                self.ty(names, &value.ty())?;
                self.list(columns, |printer, column| printer.value(names, &Value::Vector(column.clone())))?;
            }
            Value::Array(element, items) => {
                let ty = Ty::Array(element.clone(), u32::try_from(items.len()).ok());
                self.ty(names, &ty)?;
                self.list(items, |printer, item| printer.value(names, item))?;
            }
            Value::Struct(number, items) => {
                self.ty(names, &Ty::Struct(*number))?;
                self.list(items, |printer, item| printer.value(names, item))?;
            }
            Value::Zero(ty) => {
                self.ty(names, ty)?;
                self.text.push_str("()");
            }
            Value::Parts(_) => {
                let message = "what `frexp` and `modf` give of constants has no name as a whole";
                return Err(Refusal::at_with_help(self.place, message, "use its members"));
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.numbers += 1;
        if self.numbers > MAX_NUMBERS {
            let message = format!("this constant has more than {MAX_NUMBERS} numbers");
            return Err(Refusal::at_with_help(self.place, message, "keep large tables in buffers"));
        }
        Ok(())
    }

    fn list<T>(
        &mut self,
        items: &[T],
        mut one: impl FnMut(&mut Self, &T) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        for (index, item) in items.iter().enumerate() {
            self.text.push_str(if index == 0 { "(" } else { ", " });
            one(self, item)?;
        }
        self.text.push(')');
        Ok(())
    }

    /// Prints the name of a type. Abstract number types are left out.
    fn ty(&mut self, names: &mut Names<'_, '_>, ty: &Ty) -> Result<(), Refusal> {
        match ty {
            Ty::Scalar(kind) => self.predeclared(names, kind.name())?,
            Ty::Vector(size, kind) => {
                self.predeclared(names, &format!("vec{size}"))?;
                self.kind(names, *kind)?;
            }
            Ty::Matrix(columns, rows, kind) => {
                self.predeclared(names, &format!("mat{columns}x{rows}"))?;
                self.kind(names, *kind)?;
            }
            Ty::Array(element, length) => {
                self.predeclared(names, "array")?;
                if let Some(length) = length.filter(|_| !super::value::kind_of(element).is_some_and(Kind::is_abstract))
                {
                    self.text.push('<');
                    self.ty(names, element)?;
                    self.text.push_str(&format!(", {length}>"));
                }
            }
            Ty::Struct(number) => {
                let name = names.structs.get(*number).map_or("", |found| found.name.text);
                if !matches!(names.find(name), Found::Global(Item::Struct(_))) {
                    return Err(self.hidden(name));
                }
                self.text.push_str(name);
            }
            Ty::Atomic | Ty::Other => return Err(Refusal::at(self.place, "constants have no such type")),
        }
        Ok(())
    }

    fn kind(&mut self, names: &Names<'_, '_>, kind: Kind) -> Result<(), Refusal> {
        if kind.is_abstract() {
            return Ok(());
        }
        self.text.push('<');
        self.predeclared(names, kind.name())?;
        self.text.push('>');
        Ok(())
    }

    fn predeclared(&mut self, names: &Names<'_, '_>, name: &str) -> Result<(), Refusal> {
        if !matches!(names.find(name), Found::Predeclared) {
            return Err(self.hidden(name));
        }
        self.text.push_str(name);
        Ok(())
    }

    fn hidden(&self, name: &str) -> Refusal {
        let message = format!("the type of this constant is hidden by another declaration of `{name}`");
        Refusal::at_with_help(self.place, message, "give that another name")
    }
}

/// A literal, with a blank before a sign: `- -1` is not `--1`.
fn literal(scalar: Scalar) -> String {
    match scalar {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Scalar::Int(value) => signed(value.to_string()),
        Scalar::Float(value) => signed(format!("{value:?}")),
        Scalar::I32(i32::MIN) => "i32(-2147483648)".to_owned(),
        Scalar::I32(value) => signed(format!("{value}i")),
        Scalar::U32(value) => format!("{value}u"),
        Scalar::F32(value) => signed(format!("{value:?}f")),
    }
}

fn signed(text: String) -> String {
    if text.starts_with('-') { format!(" {text}") } else { text }
}
