//! Bounds on what declarations stand for, since naga spells it out: a struct of two structs of two structs … has as
//! many parts as 2 to the power of its depth, and so has an array of two arrays of two arrays ….
//!
//! This reads the text, before naga does, and takes every word in a declaration that is the name of another for a
//! use of it. What it finds is too much rather than too little.

use std::collections::HashMap;

use crate::Diagnostic;
use crate::declarations::{Declaration, Declarations, Kind};

/// Parts of one type or constant. Values of so many do not fit into an invocation.
const MAX_PARTS: u64 = 1 << 16;

/// Types within types.
const MAX_DEPTH: u32 = 64;

/// Refuses text with a type or a constant of too many parts, or a type that nests too deeply.
pub(crate) fn check(declarations: &Declarations<'_>, wgsl: &str) -> Result<(), Diagnostic> {
    let global = declarations.order().into_iter().filter_map(|index| declarations.global.get(index));
    let mut sizes: HashMap<&str, Size> = HashMap::new();
    // Constants in functions see those before them; which one a name means after a block is of no matter here.
    for declaration in global.chain(&declarations.local).filter(|declaration| declaration.kind != Kind::Let) {
        let size = total(declaration, declaration.words().filter_map(|word| sizes.get(word)));
        let what = if size.parts > MAX_PARTS {
            format!("this has more than {MAX_PARTS} parts; keep large data in a storage buffer")
        } else if declaration.kind == Kind::Struct && size.depth > MAX_DEPTH {
            format!("a type nests more than {MAX_DEPTH} types; flatten it")
        } else {
            sizes.insert(declaration.name, size);
            continue;
        };
        return Err(Diagnostic::at(what, declaration.span, wgsl));
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Size {
    parts: u64,
    depth: u32,
}

/// The size of a declaration that uses others of these sizes.
fn total<'s>(declaration: &Declaration<'_>, uses: impl Iterator<Item = &'s Size>) -> Size {
    let is_composed = declaration.kind == Kind::Struct || declaration.words().any(|word| word == "array");
    let mut size = Size { parts: 1, depth: 0 };
    for used in uses {
        size.parts = if is_composed { size.parts.saturating_add(used.parts) } else { size.parts.max(used.parts) };
        size.depth = size.depth.max(used.depth);
    }
    size.depth = size.depth.saturating_add(u32::from(declaration.kind == Kind::Struct));
    size
}
