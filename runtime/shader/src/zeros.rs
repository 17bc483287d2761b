//! A bound on zero values: naga spells out that of an array, element by element, as soon as an operator or a builtin is
//! applied to it, and only then finds that this is not allowed.
//!
//! This reads the text, before naga does: of each `T()`, and of each name that may stand for one, how many elements
//! it has at most.

use std::collections::HashMap;

use naga::Span;

use crate::Diagnostic;
use crate::declarations::{Declaration, Declarations, Kind};
use crate::nesting::{is_word, tokens};

/// Elements of all zero values of a kernel together, wherever they are named. A function's variables hold no more than
/// 16 384 numbers.
const MAX_ELEMENTS: u64 = 1 << 22;

/// Vectors, matrices and short arrays. They do not count.
const SHORT: u64 = 16;

/// At most so many; None: the text does not tell.
type Bound = Option<u64>;

/// Refuses text with zero values of too many elements.
pub(crate) fn check(declarations: &Declarations<'_>, wgsl: &str) -> Result<(), Diagnostic> {
    let mut names = Names::default();
    let global = declarations.order().into_iter().filter_map(|index| declarations.global.get(index));
    global.chain(&declarations.local).for_each(|declaration| names.declare(declaration));
    let (places, text): (Vec<usize>, Vec<&str>) = tokens(wgsl).unzip();
    let mut total = 0_u64;
    for (index, (place, token)) in places.into_iter().zip(&text).enumerate() {
        let found = names.zero_value(&text, index).or(names.value(token));
        let Some(elements) = found else { continue };
        total = total.saturating_add(elements.unwrap_or(0));
        let message = match elements {
            None => "how many elements this has cannot be told from the text; write the array's length as a number"
                .to_owned(),
            Some(_) if total > MAX_ELEMENTS => format!(
                "the zero values up to here have more than {MAX_ELEMENTS} elements; keep large data in a storage buffer"
            ),
            Some(_) => continue,
        };
        return Err(Diagnostic::at(message, Span::from(place..place + token.len()), wgsl));
    }
    Ok(())
}

/// What names stand for. Of several declarations of a name the largest counts.
#[derive(Default)]
struct Names<'a> {
    /// Elements of structs and aliases.
    types: HashMap<&'a str, Bound>,
    /// Elements of the zero values in constants and `let`s that have any.
    values: HashMap<&'a str, Bound>,
    /// Constants as lengths of arrays.
    lengths: HashMap<&'a str, Bound>,
}

impl<'a> Names<'a> {
    fn declare(&mut self, declaration: &Declaration<'a>) {
        let tokens = &declaration.tokens;
        match declaration.kind {
            Kind::Struct | Kind::Alias => {
                let elements = self.elements(tokens);
                keep_larger(&mut self.types, declaration.name, elements);
            }
            Kind::Constant | Kind::Let => {
                let elements = self.elements_of_value(tokens);
                if elements != Some(0) {
                    keep_larger(&mut self.values, declaration.name, elements);
                }
                if declaration.kind == Kind::Constant {
                    let length = self.length(tokens);
                    keep_larger(&mut self.lengths, declaration.name, length);
                }
            }
        }
    }

    /// Elements of a type, from its tokens: the sum over its members.
    fn elements(&self, tokens: &[&str]) -> Bound {
        let mut sum = Some(0);
        let mut rest = tokens;
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            if *token == "<" {
                let (inside, after) = rest.split_at(template_end(rest));
                sum = plus(sum, self.length(inside));
                rest = after;
            } else if let Some(elements) = self.types.get(token) {
                sum = plus(sum, *elements);
            }
        }
        sum
    }

    /// Elements of the zero values in an expression: all that it names if it is composed of them, else the most.
    fn elements_of_value(&self, tokens: &[&str]) -> Bound {
        let is_composed = tokens.iter().any(|token| *token == "array" || self.types.contains_key(token));
        let mut sum = Some(0);
        for (index, token) in tokens.iter().enumerate() {
            if let Some(elements) = self.zero_value(tokens, index) {
                sum = plus(sum, elements);
            }
            if let Some(elements) = self.value(token) {
                sum = if is_composed { plus(sum, elements) } else { larger(sum, elements) };
            }
        }
        sum
    }

    /// What a name stands for, if it is of a constant with zero values.
    fn value(&self, token: &str) -> Option<Bound> {
        self.values.get(token).copied()
    }

    /// Elements of the zero value whose `(` is at `index`, if there is one.
    fn zero_value(&self, tokens: &[&str], index: usize) -> Option<Bound> {
        let (before, after) = tokens.split_at_checked(index)?;
        let (["(", ")", ..], Some(last)) = (after, before.last()) else { return None };
        let elements = match *last {
            ">" => match template_start(before) {
                Some(inside) => self.length(inside),
                None => None,
            },
            name => *self.types.get(name)?,
        };
        (elements.is_none_or(|elements| elements > SHORT)).then_some(elements)
    }

    /// A bound for an expression, or for the length of an array in a template list: the product of all that is in it
    /// bounds sums, products, quotients and remainders. With anything else it may be any number.
    fn length(&self, tokens: &[&str]) -> Bound {
        let mut product = Some(1_u64);
        let mut previous = "";
        for &token in tokens {
            let operand = if token.starts_with(|first: char| first.is_ascii_digit()) {
                Some(number(token))
            } else {
                self.lengths.get(token).or(self.types.get(token)).copied()
            };
            let is_shift = token == "<" && previous == "<";
            let factor = match operand {
                // A sum is not larger than the product of numbers from 2 on.
                Some(operand) => operand.map(|operand| operand.max(2)),
                None => (is_harmless(token) && !is_shift).then_some(1),
            };
            product = product.zip(factor).map(|(product, factor)| product.saturating_mul(factor));
            previous = token;
        }
        product
    }
}

/// Whether a token makes no number larger than the product of its operands.
fn is_harmless(token: &str) -> bool {
    const TOKENS: &[&str] = &[
        "array", "atomic", "f32", "i32", "u32", "bool", "max", "min", "+", "*", "/", "%", "&", "|", "(", ")", ",", "<",
        ">", ":", "=", ";",
    ];
    let is_shaped = token.starts_with("vec") || token.starts_with("mat");
    TOKENS.contains(&token) || is_shaped && token.bytes().any(|byte| matches!(byte, b'2'..=b'4'))
}

fn number(token: &str) -> Bound {
    let digits = token.trim_end_matches(['u', 'i']);
    match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    }
}

/// Where the template list ends that begins before `tokens`, or where they end.
fn template_end(tokens: &[&str]) -> usize {
    let (mut depth, mut parentheses) = (1_u32, 0_u32);
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "(" => parentheses += 1,
            ")" => parentheses = parentheses.saturating_sub(1),
            "<" if parentheses == 0 => depth += 1,
            ">" if parentheses == 0 => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

/// Template lists within one another that are looked into.
const MAX_DEPTH: u32 = 64;

/// What is in the template list that `tokens` end with, if a word stands before it.
fn template_start<'t, 'a>(tokens: &'t [&'a str]) -> Option<&'t [&'a str]> {
    let (mut depth, mut parentheses) = (0_u32, 0_u32);
    for (index, token) in tokens.iter().enumerate().rev() {
        match *token {
            ")" => parentheses += 1,
            "(" => parentheses = parentheses.checked_sub(1)?,
            ">" if parentheses == 0 => depth += 1,
            "<" if parentheses == 0 => depth -= 1,
            ";" | "{" | "}" => return None,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return None;
        }
        if depth == 0 {
            let is_list =
                index.checked_sub(1).and_then(|at| tokens.get(at)).is_some_and(|token| token.starts_with(is_word));
            return if is_list { tokens.get(index + 1..tokens.len() - 1) } else { None };
        }
    }
    None
}

fn plus(a: Bound, b: Bound) -> Bound {
    a.zip(b).map(|(a, b)| a.saturating_add(b))
}

fn larger(a: Bound, b: Bound) -> Bound {
    a.zip(b).map(|(a, b)| a.max(b))
}

fn keep_larger<'a>(known: &mut HashMap<&'a str, Bound>, name: &'a str, bound: Bound) {
    let entry = known.entry(name).or_insert(bound);
    *entry = larger(*entry, bound);
}
