//! How many words a type has, and where they lie.
//!
//! In registers and in workgroup memory a value's scalars follow one another (*packed*); buffers have the layout
//! that WGSL prescribes.

use std::collections::HashMap;
use std::sync::Arc;

use naga::{ArraySize, Handle, Module, Type, TypeInner};

use super::code::Scatter;
use crate::Refusal;

/// The most words of a value.
pub(super) const MAX_WORDS: u32 = 1 << 26;

/// The most words that a pointer points to: 1 GiB, the largest storage binding of any device class.
const MAX_POINTED_WORDS: u32 = 1 << 28;

/// The most words of all tables of scattered scalars together.
const MAX_TABLES: usize = 1 << 24;

pub(super) struct Layout<'m> {
    pub(super) module: &'m Module,
    /// By type; 0 for a run-time sized array, `u32::MAX` for a type that is too large.
    words: Vec<u32>,
    tables: HashMap<Handle<Type>, Scatter>,
    table_words: usize,
}

/// The elements of a vector, matrix or array.
pub(super) struct Elements {
    pub(super) stride: u32,
    /// None: run-time sized.
    pub(super) length: Option<u32>,
}

impl<'m> Layout<'m> {
    pub(super) fn new(module: &'m Module) -> Self {
        let mut layout = Self { module, words: Vec::new(), tables: HashMap::new(), table_words: 0 };
        // A type's parts come before it.
        for (_, ty) in module.types.iter() {
            let words = layout.words_of(&ty.inner);
            layout.words.push(words);
        }
        layout
    }

    fn words_of(&self, inner: &TypeInner) -> u32 {
        match inner {
            TypeInner::Vector { size, .. } | TypeInner::ValuePointer { size: Some(size), .. } => u32::from(*size),
            TypeInner::Matrix { columns, rows, .. } => u32::from(*columns) * u32::from(*rows),
            TypeInner::Array { base, size: ArraySize::Constant(length), .. } => {
                self.words_by_handle(*base).saturating_mul(length.get())
            }
            TypeInner::Array { .. } => 0,
            TypeInner::Struct { members, .. } => {
                let words = members.iter().map(|member| self.words_by_handle(member.ty));
                words.fold(0, u32::saturating_add)
            }
            _ => 1,
        }
    }

    fn words_by_handle(&self, ty: Handle<Type>) -> u32 {
        self.words.get(ty.index()).copied().unwrap_or(u32::MAX)
    }

    /// The number of scalars in a value of this type; for a pointer, in what it points to.
    pub(super) fn words(&self, inner: &TypeInner) -> Result<u32, Refusal> {
        let (words, most) = match inner {
            TypeInner::Pointer { base, .. } => (self.words_by_handle(*base), MAX_POINTED_WORDS),
            inner => (self.words_of(inner), MAX_WORDS),
        };
        if words > most { Err(Refusal::new("a type of this shader is too large")) } else { Ok(words) }
    }

    /// The type that a pointer points to. A value pointer, like any other type, is returned as it is.
    pub(super) fn target<'a>(&'a self, inner: &'a TypeInner) -> &'a TypeInner {
        match inner {
            TypeInner::Pointer { base, .. } => &self.module.types[*base].inner,
            inner => inner,
        }
    }

    pub(super) fn elements(&self, inner: &TypeInner, packed: bool) -> Option<Elements> {
        match self.target(inner) {
            TypeInner::Vector { size, .. } | TypeInner::ValuePointer { size: Some(size), .. } => {
                Some(Elements { stride: 1, length: Some(u32::from(*size)) })
            }
            TypeInner::Matrix { columns, rows, .. } => {
                let rows = u32::from(*rows);
                let stride = if packed || rows != 3 { rows } else { 4 };
                Some(Elements { stride, length: Some(u32::from(*columns)) })
            }
            TypeInner::Array { base, size, stride } => {
                let stride = if packed { self.words_by_handle(*base) } else { *stride / 4 };
                match size {
                    ArraySize::Constant(length) => Some(Elements { stride, length: Some(length.get()) }),
                    ArraySize::Dynamic => Some(Elements { stride, length: None }),
                    ArraySize::Pending(_) => None,
                }
            }
            _ => None,
        }
    }

    /// How many words come before the part with this index.
    pub(super) fn part(&self, inner: &TypeInner, index: u32, packed: bool) -> Option<u32> {
        if let TypeInner::Struct { members, .. } = self.target(inner) {
            let index = usize::try_from(index).ok()?;
            if packed {
                let before = members.get(..index)?.iter().map(|member| self.words_by_handle(member.ty));
                return Some(before.fold(0, u32::saturating_add));
            }
            return Some(members.get(index)?.offset / 4);
        }
        self.elements(inner, packed)?.stride.checked_mul(index)
    }

    /// Where the scalars of a value lie in a buffer.
    pub(super) fn scatter(&mut self, inner: &TypeInner) -> Result<Scatter, Refusal> {
        match inner {
            TypeInner::Pointer { base, .. } => self.scatter_by_handle(*base),
            inner => self.scatter_of(inner),
        }
    }

    fn scatter_by_handle(&mut self, ty: Handle<Type>) -> Result<Scatter, Refusal> {
        if let Some(known) = self.tables.get(&ty) {
            return Ok(known.clone());
        }
        let module = self.module;
        let scatter = self.scatter_of(&module.types[ty].inner)?;
        self.tables.insert(ty, scatter.clone());
        Ok(scatter)
    }

    fn scatter_of(&mut self, inner: &TypeInner) -> Result<Scatter, Refusal> {
        let words = self.words(inner)?;
        let mut table = Vec::new();
        match inner {
            TypeInner::Matrix { columns, rows, .. } => {
                if u32::from(*rows) != 3 {
                    return Ok(None);
                }
                table.extend((0..u32::from(*columns)).flat_map(|column| (0..3).map(move |row| column * 4 + row)));
            }
            TypeInner::Array { base, size: ArraySize::Constant(length), stride } => {
                let part = self.scatter_by_handle(*base)?;
                let part_words = self.words_by_handle(*base);
                if part.is_none() && part_words == *stride / 4 {
                    return Ok(None);
                }
                self.charge(words)?;
                for index in 0..length.get() {
                    extend(&mut table, index * (*stride / 4), part.as_deref(), part_words);
                }
            }
            TypeInner::Struct { members, .. } => {
                self.charge(words)?;
                for member in members {
                    let part = self.scatter_by_handle(member.ty)?;
                    extend(&mut table, member.offset / 4, part.as_deref(), self.words_by_handle(member.ty));
                }
            }
            _ => return Ok(None),
        }
        let dense = (0..).zip(&table).all(|(place, &word): (u32, _)| place == word);
        Ok((!dense).then(|| Arc::from(table)))
    }

    fn charge(&mut self, words: u32) -> Result<(), Refusal> {
        self.table_words += words as usize;
        if self.table_words > MAX_TABLES {
            return Err(Refusal::new("this shader copies structures that are too large"));
        }
        Ok(())
    }
}

fn extend(table: &mut Vec<u32>, at: u32, part: Option<&[u32]>, words: u32) {
    match part {
        Some(part) => table.extend(part.iter().map(|word| at + word)),
        None => table.extend((0..words).map(|word| at + word)),
    }
}
