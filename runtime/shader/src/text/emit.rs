//! Rewrites the output of naga's WGSL writer into text that every WGSL parser accepts: very large and very small numbers get
//! an exponent, and deep expressions are split.

use naga::Module;
use naga::back::wgsl::WriterFlags;

use super::edit::Edits;
use super::lexer::{Place, TokenKind, lex};
use super::number;
use super::parse::parse_own;
use super::tree::{Expr, ExprKind, Global, Statement, UnaryOp};
use super::value::Scalar;
use crate::Refusal;
use crate::refusal::defect;

/// The nesting of an expression at which a part of it becomes a `let`. Parsers accept a few hundred levels.
const MAX_HEIGHT: u32 = 64;

/// A module that the pass has made, as WGSL.
pub(crate) fn write(mut module: Module) -> Result<String, Refusal> {
    // No calls of `frexp` and `modf` are left, so the types of their results have to be declared like any other.
    module.special_types.predeclared_types = Default::default();
    let info = crate::validate::validate(&module)?;
    let written = naga::back::wgsl::write_string(&module, &info, WriterFlags::empty()).map_err(defect)?;
    Ok(tidy(&written))
}

/// The text in the form that all parsers accept. Text that cannot be parsed here stays as it is.
fn tidy(text: &str) -> String {
    let text = with_exponents(text);
    split(&text).unwrap_or(text)
}

fn with_exponents(text: &str) -> String {
    let mut edits = Edits::default();
    for token in lex(text) {
        if token.kind == TokenKind::Number
            && let Ok(Scalar::F32(value)) = number::literal(token.text, token.place)
            && value != 0.0
            && !(1e-5..1e16).contains(&value)
        {
            // Printed as f64: for parsers that read every number as f64, the largest f32 must not become larger.
            edits.replace(token.place, format!("{:e}f", f64::from(value)));
        }
    }
    edits.apply(text).0
}

/// The text with its deep expressions split. None if there are none.
fn split(text: &str) -> Option<String> {
    let module = parse_own(lex(text)).ok()?;
    let mut splitter = Splitter { text, edits: Edits::default(), lets: String::new(), number: 0 };
    for declaration in &module.declarations {
        if let Global::Function(function) = declaration {
            splitter.statements(&function.body);
        }
    }
    (splitter.number > 0).then(|| splitter.edits.apply(text).0)
}

struct Splitter<'s> {
    text: &'s str,
    edits: Edits,
    /// The `let`s to insert before the current statement.
    lets: String,
    number: u32,
}

impl<'s> Splitter<'s> {
    fn statements(&mut self, statements: &[Statement<'s>]) {
        for statement in statements {
            match statement {
                Statement::Scope(inner) | Statement::Continuing(inner) => self.statements(inner),
                Statement::Simple(place, expressions) => self.expressions(*place, expressions),
                Statement::Declare(declaration) => self.expressions(declaration.place, declaration.init.as_slice()),
                Statement::Expressions(_) | Statement::Assert(_) => {}
            }
        }
    }

    fn expressions(&mut self, place: Place, expressions: &[Expr<'s>]) {
        for expression in expressions {
            let before = self.number;
            let (written, _) = self.written(expression);
            if self.number > before {
                self.edits.replace(expression.place, written);
            }
        }
        if !self.lets.is_empty() {
            let lets = std::mem::take(&mut self.lets);
            self.edits.insert(place, lets);
        }
    }

    /// The text of an expression with its deep parts moved to `let`s, and its remaining depth.
    fn written(&mut self, expression: &Expr<'s>) -> (String, u32) {
        let (parts, level): (Vec<&Expr<'s>>, u32) = match &expression.kind {
            ExprKind::Literal(_) | ExprKind::Name(_) => (Vec::new(), 0),
            ExprKind::Call(_, arguments) => (arguments.iter().collect(), 1),
            ExprKind::Index(base, index) => (vec![base, index], 1),
            ExprKind::Binary(_, left, right) => (vec![left, right], 0),
            ExprKind::Member(inner, _) | ExprKind::Unary(_, inner) => (vec![inner], 0),
            ExprKind::Paren(inner) => (vec![inner], 1),
        };
        let mut text = String::new();
        let (mut at, mut height) = (expression.place.start, 0);
        for part in parts {
            let (written, below) = self.written(part);
            text.push_str(self.text.get(at..part.place.start).unwrap_or_default());
            text.push_str(&written);
            at = part.place.end;
            height = height.max(below);
        }
        text.push_str(self.text.get(at..expression.place.end).unwrap_or_default());
        height += level;
        if height < MAX_HEIGHT || !is_value(expression) {
            return (text, height);
        }
        let name = self.invent();
        self.lets.push_str(&format!("let {name} = {text};\n    "));
        (name, 0)
    }

    /// A name that does not occur in the text.
    fn invent(&mut self) -> String {
        loop {
            self.number += 1;
            let name = format!("part_{}", self.number);
            if !self.text.contains(&name) {
                return name;
            }
        }
    }
}

/// Whether a `let` may hold the expression: a call, or an expression in parentheses that is not a reference.
fn is_value(expression: &Expr<'_>) -> bool {
    match &expression.kind {
        ExprKind::Call(..) => true,
        ExprKind::Paren(inner) => {
            matches!(inner.bare().kind, ExprKind::Binary(..) | ExprKind::Call(..))
                || matches!(inner.bare().kind, ExprKind::Unary(op, _) if op != UnaryOp::Indirection)
        }
        _ => false,
    }
}
