//! The declarations of a kernel as its text has them, before naga reads it: which name stands for which words.

use std::collections::HashMap;

use naga::Span;

use crate::nesting::{is_word, tokens};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Struct,
    Alias,
    Constant,
    Let,
}

/// A struct, an alias, a constant or a `let`.
pub(crate) struct Declaration<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) span: Span,
    /// What follows the name.
    pub(crate) tokens: Vec<&'a str>,
}

impl<'a> Declaration<'a> {
    /// Names and numbers.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'a str> {
        self.tokens.iter().copied().filter(|token| token.starts_with(is_word))
    }
}

#[derive(Default)]
pub(crate) struct Declarations<'a> {
    /// Outside of functions.
    pub(crate) global: Vec<Declaration<'a>>,
    /// In functions, in the order of the text.
    pub(crate) local: Vec<Declaration<'a>>,
}

impl<'a> Declarations<'a> {
    pub(crate) fn read(wgsl: &'a str) -> Self {
        let mut found = Self::default();
        let mut braces = 0_u32;
        let mut open: Option<(Declaration<'a>, bool)> = None;
        let mut kind = None;
        for (at, token) in tokens(wgsl) {
            let is_word = token.starts_with(is_word);
            match token {
                "{" => braces += 1,
                "}" => braces = braces.saturating_sub(1),
                _ => {}
            }
            let named = if is_word { kind.take() } else { None };
            if let Some(kind) = named {
                let span = Span::from(at..at + token.len());
                open = Some((Declaration { kind, name: token, span, tokens: Vec::new() }, braces == 0));
            } else if let Some((declaration, _)) = &mut open {
                declaration.tokens.push(token);
            } else if is_word {
                kind = match token {
                    "struct" => Some(Kind::Struct),
                    "alias" => Some(Kind::Alias),
                    "const" => Some(Kind::Constant),
                    "let" => Some(Kind::Let),
                    _ => None,
                };
            }
            let is_end = match &open {
                Some((declaration, _)) if declaration.kind == Kind::Struct => token == "}",
                Some(_) => token == ";" || token == "}",
                None => false,
            };
            if is_end && let Some((declaration, is_global)) = open.take() {
                if is_global { found.global.push(declaration) } else { found.local.push(declaration) }
            }
        }
        found
    }

    /// The global declarations, which may use each other in any order, as places in [`Self::global`]: each after
    /// those that it uses, unless they use each other, which naga refuses.
    pub(crate) fn order(&self) -> Vec<usize> {
        let by_name: HashMap<&str, usize> =
            self.global.iter().enumerate().map(|(index, declaration)| (declaration.name, index)).collect();
        let uses: Vec<Vec<usize>> = self
            .global
            .iter()
            .map(|declaration| declaration.words().filter_map(|word| by_name.get(word)).copied().collect())
            .collect();
        let mut order = Vec::with_capacity(uses.len());
        let mut is_reached = vec![false; uses.len()];
        // (declaration, how many of what it uses have been looked at)
        let mut open: Vec<(usize, usize)> = Vec::new();
        for start in 0..uses.len() {
            open.push((start, 0));
            while let Some((index, next)) = open.pop() {
                if next == 0 && is_reached.get(index).copied().unwrap_or(true) {
                    continue;
                }
                if let Some(reached) = is_reached.get_mut(index) {
                    *reached = true;
                }
                if let Some(&used) = uses.get(index).and_then(|uses| uses.get(next)) {
                    open.push((index, next + 1));
                    open.push((used, 0));
                    continue;
                }
                order.push(index);
            }
        }
        order
    }
}
