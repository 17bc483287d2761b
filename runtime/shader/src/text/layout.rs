//! How structs lie in memory, by WGSL's rules.
//!
//! naga ignores the `@align` of a struct's members when that struct is part of another type. So where the true alignment of a
//! member is more than naga would compute, it is written out in the text that naga gets.

use std::collections::HashMap;

use naga::{Module, TypeInner};

use super::edit::Edits;
use super::names::Names;
use super::tree::{Expr, Member, Struct};
use crate::Refusal;

use super::value::{Kind, Ty, Value};

/// Where the members of a struct lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StructLayout {
    pub(crate) name: String,
    pub(crate) offsets: Vec<u32>,
    /// In bytes; a run-time sized array counts as one element.
    pub(crate) size: u32,
}

/// A type in memory.
#[derive(Clone, Copy)]
struct Extent {
    align: u64,
    size: u64,
    /// The alignment without any `@align` in the types that it is made of.
    natural: u64,
}

/// The size of the largest type that naga supports, in bytes.
const MAX_SIZE: u64 = u32::MAX as u64;

pub(crate) struct Layouts {
    known: HashMap<usize, Option<Extent>>,
    structs: Vec<StructLayout>,
}

/// Lays out all structs that lie in memory by WGSL's rules, and writes out the alignments that naga would miss.
pub(crate) fn lay_out<'t, 'a>(names: &mut Names<'t, 'a>, edits: &mut Edits) -> Result<Vec<StructLayout>, Refusal> {
    let mut layouts = Layouts { known: HashMap::new(), structs: Vec::new() };
    for index in 0..names.structs.len() {
        layouts.structure(index, names, edits)?;
    }
    Ok(layouts.structs)
}

impl Layouts {
    /// The extent of a type. None if it cannot lie in memory, or if its size depends on overrides.
    fn extent<'t, 'a>(
        &mut self,
        ty: &Ty,
        names: &mut Names<'t, 'a>,
        edits: &mut Edits,
    ) -> Result<Option<Extent>, Refusal> {
        let plain = |align, size| Some(Extent { align, size, natural: align });
        Ok(match ty {
            Ty::Scalar(Kind::Bool) | Ty::Vector(_, Kind::Bool) => None,
            Ty::Scalar(_) | Ty::Atomic => plain(4, 4),
            Ty::Vector(size, _) => plain(vector_align(*size), 4 * width(*size)),
            Ty::Matrix(columns, rows, _) => plain(vector_align(*rows), width(*columns) * vector_align(*rows)),
            Ty::Array(element, length) => self.extent(element, names, edits)?.map(|element| {
                let stride = round_up(element.align, element.size);
                Extent { size: stride.saturating_mul(length.unwrap_or(1).into()), ..element }
            }),
            Ty::Struct(index) => self.structure(*index, names, edits)?,
            Ty::Other => None,
        })
    }

    fn structure<'t, 'a>(
        &mut self,
        index: usize,
        names: &mut Names<'t, 'a>,
        edits: &mut Edits,
    ) -> Result<Option<Extent>, Refusal> {
        if let Some(known) = self.known.get(&index) {
            return Ok(*known);
        }
        // A struct within itself has no extent. naga refuses it.
        self.known.insert(index, None);
        let Some(found) = names.structs.get(index).copied() else { return Ok(None) };
        let types = names.members(index)?;
        let mut whole = Extent { align: 1, size: 0, natural: 1 };
        let mut offsets = Vec::new();
        for (member, (_, ty)) in found.members.iter().zip(types.iter()) {
            let Some(extent) = self.extent(ty, names, edits)? else { return Ok(None) };
            let (align, size) = member_extent(member, extent, names, edits)?;
            let offset = round_up(align, whole.size);
            offsets.push(u32::try_from(offset).unwrap_or(u32::MAX));
            whole.size = offset.saturating_add(size);
            whole.align = whole.align.max(align);
            whole.natural = whole.natural.max(extent.natural);
        }
        let whole = Extent { size: round_up(whole.align, whole.size), ..whole };
        if whole.size > MAX_SIZE {
            return Err(too_large(found));
        }
        self.known.insert(index, Some(whole));
        let size = u32::try_from(whole.size).unwrap_or(u32::MAX);
        self.structs.push(StructLayout { name: found.name.text.to_owned(), offsets, size });
        Ok(Some(whole))
    }
}

/// Refuses a module in which naga's layout of a struct differs from WGSL's.
pub(crate) fn check_layouts(module: &Module, layouts: &[StructLayout]) -> Result<(), Refusal> {
    let expected: HashMap<&str, &StructLayout> = layouts.iter().map(|layout| (layout.name.as_str(), layout)).collect();
    for (handle, ty) in module.types.iter() {
        let TypeInner::Struct { members, span } = &ty.inner else { continue };
        let Some(layout) = ty.name.as_deref().and_then(|name| expected.get(name)) else { continue };
        let is_there = members.iter().map(|member| member.offset).eq(layout.offsets.iter().copied());
        if !is_there || *span != layout.size {
            let message = format!("the members of `{}` cannot be put where WGSL wants them", layout.name);
            let help = "give each member an `@align` of its own";
            return Err(Refusal::at_with_help(module.types.get_span(handle), message, help));
        }
    }
    Ok(())
}

/// The alignment and the size of a member, with its attributes.
fn member_extent<'t, 'a>(
    member: &'t Member<'a>,
    extent: Extent,
    names: &mut Names<'t, 'a>,
    edits: &mut Edits,
) -> Result<(u64, u64), Refusal> {
    let mut size = extent.size;
    let mut align = None;
    for attribute in &member.attributes {
        let Some(argument) = attribute.arguments.first() else { continue };
        match attribute.name {
            "align" => {
                let given = number(argument, names)?;
                if !given.is_power_of_two() || given < extent.align {
                    let message = format!("the alignment has to be a power of two, {} or more", extent.align);
                    return Err(Refusal::at(argument.place, message));
                }
                align = Some(given);
            }
            "size" => {
                size = number(argument, names)?;
                if size < extent.size {
                    return Err(Refusal::at(argument.place, format!("the member needs {} bytes", extent.size)));
                }
            }
            _ => {}
        }
    }
    if align.is_none() && extent.align > extent.natural {
        edits.insert(member.name.place, format!("@align({}) ", extent.align));
    }
    Ok((align.unwrap_or(extent.align), size))
}

fn number<'t, 'a>(argument: &'t Expr<'a>, names: &mut Names<'t, 'a>) -> Result<u64, Refusal> {
    let value = match names.outside(argument.place, |names| names.value(argument))? {
        Value::Scalar(scalar) => scalar.as_integer(),
        _ => None,
    };
    let number = value.and_then(|value| u32::try_from(value).ok()).filter(|value| i32::try_from(*value).is_ok());
    number
        .filter(|number| *number > 0)
        .map(u64::from)
        .ok_or_else(|| Refusal::at(argument.place, "this has to be a positive integer that an i32 holds"))
}

fn too_large(found: &Struct<'_>) -> Refusal {
    Refusal::at(found.name.place, format!("`{}` has more than {MAX_SIZE} bytes", found.name.text))
}

fn width(components: usize) -> u64 {
    u64::try_from(components).unwrap_or_default()
}

fn vector_align(components: usize) -> u64 {
    if components == 2 { 8 } else { 16 }
}

fn round_up(align: u64, size: u64) -> u64 {
    size.div_ceil(align.max(1)).saturating_mul(align.max(1))
}
