//! Bounds on the size of types and constants, since naga writes them out in full: a struct of two structs of two structs …
//! has 2 to the power of its depth parts. Also a bound on zero values, whose few characters can stand for many elements.

use std::collections::HashMap;

use super::lexer::Place;
use super::names::Names;
use super::value::Ty;
use crate::Refusal;

/// The most parts of one type or constant. Values with so many do not fit into an invocation.
pub(crate) const MAX_PARTS: u64 = 1 << 16;

/// The deepest nesting of types.
const MAX_DEPTH: u32 = 64;

/// The most elements of all zero values of a kernel together. A function's variables hold no more than 16 384 numbers.
const MAX_ZEROS: u64 = 1 << 22;

pub(crate) fn too_many_parts(place: Place) -> Refusal {
    let message = format!("this has more than {MAX_PARTS} parts");
    Refusal::at_with_help(place, message, "keep large data in a storage buffer")
}

/// Refuses structs that have too many parts or nest too deeply.
pub(crate) fn check_structs(names: &mut Names<'_, '_>) -> Result<(), Refusal> {
    let mut sizes = HashMap::new();
    (0..names.structs.len()).try_for_each(|index| structure(index, names, &mut sizes).map(drop))
}

#[derive(Clone, Copy)]
struct Size {
    parts: u64,
    depth: u32,
}

fn structure(index: usize, names: &mut Names<'_, '_>, sizes: &mut HashMap<usize, Size>) -> Result<Size, Refusal> {
    if let Some(size) = sizes.get(&index) {
        return Ok(*size);
    }
    // naga refuses a struct within itself.
    sizes.insert(index, Size { parts: 1, depth: 0 });
    let members = names.members(index)?;
    let mut size = Size { parts: 0, depth: 0 };
    for (_, ty) in members.iter() {
        let member = of_type(ty, names, sizes)?;
        size.parts = size.parts.saturating_add(member.parts);
        size.depth = size.depth.max(member.depth);
    }
    size.depth = size.depth.saturating_add(1);
    let place = names.structs.get(index).map_or(Place::default(), |found| found.name.place);
    if size.parts > MAX_PARTS {
        return Err(too_many_parts(place));
    }
    if size.depth > MAX_DEPTH {
        return Err(Refusal::at_with_help(place, format!("a type nests more than {MAX_DEPTH} types"), "flatten it"));
    }
    sizes.insert(index, size);
    Ok(size)
}

fn of_type(ty: &Ty, names: &mut Names<'_, '_>, sizes: &mut HashMap<usize, Size>) -> Result<Size, Refusal> {
    match ty {
        Ty::Array(element, _) => of_type(element, names, sizes),
        Ty::Struct(index) => structure(*index, names, sizes),
        _ => Ok(Size { parts: 1, depth: 0 }),
    }
}

/// Counts zero values of arrays and structs.
#[derive(Default)]
pub(crate) struct Zeros {
    total: u64,
}

impl Zeros {
    /// Counts one more, of type `ty`.
    pub(crate) fn add(&mut self, ty: &Ty, place: Place, names: &mut Names<'_, '_>) -> Result<(), Refusal> {
        self.total = self.total.saturating_add(elements(ty, names, 0)?);
        if self.total > MAX_ZEROS {
            let message = format!("the zero values up to here have more than {MAX_ZEROS} elements");
            return Err(Refusal::at_with_help(place, message, "keep large data in a storage buffer"));
        }
        Ok(())
    }
}

/// How many elements and other parts a type has. Every part counts, so the total also bounds the work of counting.
fn elements(ty: &Ty, names: &mut Names<'_, '_>, depth: u32) -> Result<u64, Refusal> {
    match ty {
        Ty::Array(element, length) => {
            let each = elements(element, names, depth)?;
            Ok(each.saturating_mul(length.unwrap_or(1).into()))
        }
        Ty::Struct(index) if depth <= MAX_DEPTH => {
            let mut sum = 0_u64;
            for (_, ty) in names.members(*index)?.iter() {
                sum = sum.saturating_add(elements(ty, names, depth + 1)?);
            }
            Ok(sum)
        }
        _ => Ok(1),
    }
}
