//! Bounds on what declarations stand for, since naga spells it out: a struct of two structs of two structs … has as
//! many parts as 2 to the power of its depth, and so has an array of two arrays of two arrays ….
//!
//! This reads the text, before naga does, and takes every word in a declaration that is the name of another for a
//! use of it. What it finds is too much rather than too little.

use std::collections::HashMap;

use naga::Span;

use crate::Diagnostic;
use crate::nesting::{is_word, tokens};

/// Parts of one type or constant. Values of so many do not fit into an invocation.
const MAX_PARTS: u64 = 1 << 16;

/// Types within types.
const MAX_DEPTH: u32 = 64;

/// Refuses text with a type or a constant of too many parts, or a type that nests too deeply.
pub(crate) fn check(wgsl: &str) -> Result<(), Diagnostic> {
    let mut declarations = Declarations::read(wgsl);
    declarations.measure();
    let mut by_name: HashMap<&str, Size> = HashMap::new();
    for declaration in &declarations.global {
        by_name.insert(declaration.name, declaration.size);
    }
    // Constants in functions see those before them; which one a name means after a block is of no matter here.
    let mut local = Vec::new();
    for mut declaration in declarations.local {
        let uses: Vec<Size> = declaration.words.iter().filter_map(|word| by_name.get(word)).copied().collect();
        declaration.size = declaration.total(uses);
        by_name.insert(declaration.name, declaration.size);
        local.push(declaration);
    }
    for declaration in declarations.global.iter().chain(&local) {
        let what = if declaration.size.parts > MAX_PARTS {
            format!("this has more than {MAX_PARTS} parts; keep large data in a storage buffer")
        } else if declaration.kind == Kind::Struct && declaration.size.depth > MAX_DEPTH {
            format!("a type nests more than {MAX_DEPTH} types; flatten it")
        } else {
            continue;
        };
        return Err(Diagnostic::at(what, declaration.span, wgsl));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Struct,
    Alias,
    Constant,
}

#[derive(Clone, Copy, Default)]
struct Size {
    parts: u64,
    depth: u32,
}

/// A struct, an alias or a constant.
struct Declaration<'a> {
    kind: Kind,
    name: &'a str,
    span: Span,
    words: Vec<&'a str>,
    size: Size,
}

impl Declaration<'_> {
    /// The size of a declaration that uses others of these sizes.
    fn total(&self, uses: impl IntoIterator<Item = Size>) -> Size {
        let is_composed = self.kind == Kind::Struct || self.words.contains(&"array");
        let mut size = Size { parts: 1, depth: 0 };
        for used in uses {
            size.parts = if is_composed { size.parts.saturating_add(used.parts) } else { size.parts.max(used.parts) };
            size.depth = size.depth.max(used.depth);
        }
        size.depth = size.depth.saturating_add(u32::from(self.kind == Kind::Struct));
        size
    }
}

#[derive(Default)]
struct Declarations<'a> {
    global: Vec<Declaration<'a>>,
    local: Vec<Declaration<'a>>,
}

impl<'a> Declarations<'a> {
    fn read(wgsl: &'a str) -> Self {
        let mut found = Self::default();
        let mut braces = 0_u32;
        let mut open: Option<(Declaration<'a>, bool)> = None;
        let mut kind = None;
        for (at, token) in tokens(wgsl) {
            let word = token.starts_with(is_word).then_some(token);
            match (token, word) {
                ("{", _) => braces += 1,
                ("}", _) => braces = braces.saturating_sub(1),
                (_, Some(word)) => match (kind.take(), &mut open) {
                    (Some(kind), _) => {
                        let span = Span::from(at..at + word.len());
                        let declaration =
                            Declaration { kind, name: word, span, words: Vec::new(), size: Size::default() };
                        open = Some((declaration, braces == 0));
                    }
                    (None, Some((declaration, _))) => declaration.words.push(word),
                    (None, None) => {
                        kind = match word {
                            "struct" => Some(Kind::Struct),
                            "alias" => Some(Kind::Alias),
                            "const" => Some(Kind::Constant),
                            _ => None,
                        };
                    }
                },
                _ => {}
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

    /// Finds the sizes of all global declarations, which may use each other in any order.
    fn measure(&mut self) {
        let by_name: HashMap<&str, usize> =
            self.global.iter().enumerate().map(|(index, declaration)| (declaration.name, index)).collect();
        let uses: Vec<Vec<usize>> = self
            .global
            .iter()
            .map(|declaration| declaration.words.iter().filter_map(|word| by_name.get(word)).copied().collect())
            .collect();
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
                // What is reached again before it is measured is a cycle, which naga refuses.
                let sizes = uses.get(index).into_iter().flatten().filter_map(|&used| self.global.get(used));
                let sizes: Vec<Size> = sizes.map(|declaration| declaration.size).collect();
                if let Some(declaration) = self.global.get_mut(index) {
                    declaration.size = declaration.total(sizes);
                }
            }
        }
    }
}
