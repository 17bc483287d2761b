//! Constants that naga would compute with functions of the host, or otherwise than the kernel.
//!
//! naga folds builtins of constants while it parses, and while overrides are resolved: `sin(0.5)` becomes a number before
//! any pass sees it. Sums, products, square roots and all that rounds to integers come out the same on every host. The
//! functions below do not: they are those of the machine's C library, whatever `num-traits` is told (naga is built without
//! `std`, but as something below it links `std`, its methods on `f32` and `f64` win). So dp32 refuses them
//! of constants, and `fma` too, which naga rounds once. What a fold leaves behind is a literal like any other; but the call in
//! the text has then no expression that begins where it begins.

use std::collections::BTreeSet;

use naga::{Arena, Expression, Function, Module, Span};

use crate::Diagnostic;

/// The builtins that naga folds and that hosts, or for `fma` naga and dp32, do not agree on.
const FUNCTIONS: [&str; 19] = [
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "exp", "exp2", "fma", "log", "log2",
    "pow", "sin", "sinh", "tan", "tanh",
];

/// Refuses a parsed module in which one of [`FUNCTIONS`] is folded, or will be as soon as the overrides are known.
pub(crate) fn check(module: &Module, source: &str) -> Result<(), Diagnostic> {
    let mut kept = BTreeSet::new();
    for function in functions(module) {
        kept.extend(starts(&function.expressions, is_builtin));
    }
    match calls(source).into_iter().find(|call| !kept.contains(&call.start)) {
        Some(call) => Err(call.refuse(source)),
        None => Ok(()),
    }
}

/// Refuses a module whose overrides have been resolved if that has folded one of [`FUNCTIONS`]. What no entry point needs may
/// be gone.
pub(crate) fn check_resolved(module: &Module, source: &str) -> Result<(), Diagnostic> {
    let mut kept = BTreeSet::new();
    let mut all = BTreeSet::new();
    for function in functions(module) {
        kept.extend(starts(&function.expressions, is_builtin));
        all.extend(starts(&function.expressions, |_| true));
    }
    match calls(source).into_iter().find(|call| all.contains(&call.start) && !kept.contains(&call.start)) {
        Some(call) => Err(call.refuse(source)),
        None => Ok(()),
    }
}

fn functions(module: &Module) -> impl Iterator<Item = &Function> {
    let entry_points = module.entry_points.iter().map(|entry| &entry.function);
    module.functions.iter().map(|(_, function)| function).chain(entry_points)
}

fn is_builtin(expression: &Expression) -> bool {
    matches!(expression, Expression::Math { .. })
}

/// Where expressions of a kind begin in the source.
fn starts(arena: &Arena<Expression>, wanted: impl Fn(&Expression) -> bool) -> impl Iterator<Item = usize> {
    let wanted = arena.iter().filter(move |(_, expression)| wanted(expression));
    wanted.filter_map(|(handle, _)| arena.get_span(handle).to_range()).map(|range| range.start)
}

/// A call in the source.
struct Call {
    name: &'static str,
    start: usize,
}

impl Call {
    fn refuse(&self, source: &str) -> Diagnostic {
        let name = self.name;
        let (why, help) = match name {
            "fma" => (
                "rounded once, before the kernel runs; in the kernel it is rounded twice",
                "write `a * b + c`, or pass an argument through a `var`",
            ),
            _ => (
                "computed before the kernel runs, on each machine in its own way",
                "write the number that it gives, or pass an argument through a `var`",
            ),
        };
        let span = Span::from(self.start..self.start + name.len());
        Diagnostic::at_with_help(format!("`{name}` of constants is {why}"), help, span, source)
    }
}

/// The calls of [`FUNCTIONS`], except of those that the source declares anew. Rather one too many than one too few: a
/// call that is none is not in the module either.
fn calls(source: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut declared = BTreeSet::new();
    let mut tokens = Tokens { source, at: 0 }.peekable();
    let mut last = "";
    while let Some((start, token)) = tokens.next() {
        let name = FUNCTIONS.into_iter().find(|name| *name == token);
        if let Some(name) = name
            && tokens.peek().is_some_and(|(_, next)| *next == "(")
        {
            match last {
                "fn" => drop(declared.insert(name)),
                _ => calls.push(Call { name, start }),
            }
        }
        last = token;
    }
    calls.retain(|call| !declared.contains(call.name));
    calls
}

/// Words of ASCII, and each other character by itself; without comments and white space. What is not ASCII is white space
/// too: it is part of no builtin's name.
struct Tokens<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<(usize, &'a str)> {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        loop {
            let rest = self.source.get(self.at..)?;
            let first = rest.chars().next()?;
            let length = if rest.starts_with("//") {
                rest.find(|c| matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')).unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                block_comment(rest)
            } else if in_word(first) {
                rest.find(|c| !in_word(c)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let start = self.at;
            self.at += length;
            let is_token = first.is_ascii_graphic() && !(rest.starts_with("//") || rest.starts_with("/*"));
            if is_token {
                return rest.get(..length).map(|token| (start, token));
            }
        }
    }
}

/// The length of the comment that `text` begins with. Comments nest, in the way of naga's lexer.
fn block_comment(text: &str) -> usize {
    let mut depth = 1_u32;
    let mut last = None;
    for (at, c) in text.char_indices().skip(2) {
        (last, depth) = match (last, c) {
            (Some('*'), '/') => (None, depth - 1),
            (Some('/'), '*') => (None, depth.saturating_add(1)),
            _ => (Some(c), depth),
        };
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}
