//! The rules for commands: passes, dispatches with all that is bound, copies.

use isobit_shader::BufferBindingType;

use super::shapes::{alignment, type_name};
use super::{Bound, GroupShape, PipelineShape, Shapes, at_most, multiple_of, words};
use crate::{BindGroupId, Command, DeviceError, LIMITS};

/// Bind groups that a guest has: 3.
const GROUPS: usize = 3;
const _: () = assert!(GROUPS == LIMITS.max_bind_groups as usize);

/// Checks all commands in order; the first mistake is reported with its number.
pub(crate) fn check_commands(shapes: &dyn Shapes, commands: &[Command]) -> Result<(), DeviceError> {
    let mut pass: Option<Pass<'_>> = None;
    for (number, command) in commands.iter().enumerate() {
        check_command(shapes, &mut pass, command).map_err(|error| match error {
            DeviceError::Validation(diagnostic) => {
                DeviceError::invalid(format!("command {number}: {}", diagnostic.message))
            }
            other => other,
        })?;
    }
    if pass.is_some() {
        return Err(DeviceError::invalid("the compute pass was not ended"));
    }
    Ok(())
}

/// What a compute pass has been told so far.
#[derive(Default)]
struct Pass<'a> {
    pipeline: Option<&'a PipelineShape>,
    groups: [Option<(&'a GroupShape, Vec<u32>)>; GROUPS],
}

fn check_command<'a>(
    shapes: &'a dyn Shapes,
    pass: &mut Option<Pass<'a>>,
    command: &Command,
) -> Result<(), DeviceError> {
    match command {
        Command::BeginPass => {
            outside(pass)?;
            *pass = Some(Pass::default());
        }
        Command::EndPass => {
            inside(pass)?;
            *pass = None;
        }
        Command::SetPipeline(pipeline) => {
            inside(pass)?.pipeline = Some(shapes.pipeline(*pipeline)?);
        }
        Command::SetBindGroup { index, group, dynamic_offsets } => {
            set_bind_group(shapes, inside(pass)?, *index, *group, dynamic_offsets)?
        }
        Command::Dispatch { x, y, z } => dispatch(inside(pass)?, [*x, *y, *z])?,
        Command::CopyBuffer { source, source_offset, destination, destination_offset, size } => {
            outside(pass)?;
            let (from, to) = (shapes.buffer(*source)?, shapes.buffer(*destination)?);
            if from.serial == to.serial {
                let message = "source and destination of a copy are the same buffer";
                return Err(DeviceError::invalid(message));
            }
            words("the copy's source", from.size, *source_offset, *size)?;
            words("the copy's destination", to.size, *destination_offset, *size)?;
        }
        Command::ClearBuffer { buffer, offset, size } => {
            outside(pass)?;
            words("the clear", shapes.buffer(*buffer)?.size, *offset, *size)?;
        }
    }
    Ok(())
}

fn inside<'p, 'a>(pass: &'p mut Option<Pass<'a>>) -> Result<&'p mut Pass<'a>, DeviceError> {
    pass.as_mut().ok_or_else(|| DeviceError::invalid("this belongs in a compute pass, and none is open"))
}

fn outside(pass: &Option<Pass<'_>>) -> Result<(), DeviceError> {
    if pass.is_some() {
        return Err(DeviceError::invalid("a compute pass is still open"));
    }
    Ok(())
}

fn set_bind_group<'a>(
    shapes: &'a dyn Shapes,
    pass: &mut Pass<'a>,
    index: u32,
    group: BindGroupId,
    offsets: &[u32],
) -> Result<(), DeviceError> {
    let group = shapes.bind_group(group)?;
    let slot = usize::try_from(index).ok().and_then(|index| pass.groups.get_mut(index));
    let Some(slot) = slot else {
        at_most("max-bind-groups", LIMITS.max_bind_groups, u64::from(index) + 1)?;
        return Ok(());
    };
    let dynamic = || group.bound.iter().filter(|bound| bound.entry.has_dynamic_offset);
    if dynamic().count() != offsets.len() {
        return Err(DeviceError::invalid(format!(
            "{} dynamic offsets given for a group with {}",
            offsets.len(),
            dynamic().count()
        )));
    }
    for (bound, &offset) in dynamic().zip(offsets) {
        let offset = u64::from(offset);
        let what = format!("the dynamic offset of binding {}", bound.entry.binding);
        multiple_of(&what, offset, alignment(bound.entry.ty))?;
        if offset > bound.buffer.size - bound.offset - bound.size {
            return Err(DeviceError::invalid(format!(
                "{what} is {offset}, which moves {} bytes at {} beyond the buffer's {}",
                bound.size, bound.offset, bound.buffer.size
            )));
        }
    }
    *slot = Some((group, offsets.to_vec()));
    Ok(())
}

fn dispatch(pass: &Pass<'_>, workgroups: [u32; 3]) -> Result<(), DeviceError> {
    let Some(pipeline) = pass.pipeline else {
        return Err(DeviceError::invalid("no pipeline is set for the dispatch"));
    };
    for count in workgroups {
        let maximum = LIMITS.max_compute_workgroups_per_dimension;
        at_most("max-compute-workgroups-per-dimension", maximum, count)?;
    }
    let mut used: Vec<(Bound, u64)> = Vec::new();
    for ((index, layout), slot) in pipeline.layouts.iter().enumerate().zip(&pass.groups) {
        if layout.entries.is_empty() {
            continue;
        }
        let Some((group, offsets)) = slot else {
            return Err(DeviceError::invalid(format!("the pipeline needs bind group {index}, and none is set")));
        };
        if group.layout != *layout {
            return Err(DeviceError::invalid(format!("bind group {index} has another layout than the pipeline")));
        }
        let mut offsets = offsets.iter();
        for bound in &group.bound {
            let moved = if bound.entry.has_dynamic_offset { offsets.next().copied().unwrap_or_default() } else { 0 };
            used.push((*bound, bound.offset + u64::from(moved)));
            large_enough(pipeline, index, bound)?;
        }
    }
    no_aliases(&used)
}

/// What the layout left open: the shader's own demand on the size.
fn large_enough(pipeline: &PipelineShape, group: usize, bound: &Bound) -> Result<(), DeviceError> {
    let needed = pipeline
        .bindings
        .iter()
        .find(|needed| usize::try_from(needed.group) == Ok(group) && needed.binding == bound.entry.binding);
    match needed {
        Some(needed) if bound.size < needed.min_size => Err(DeviceError::invalid(format!(
            "@group({group}) @binding({}) has {} bytes bound, but the shader needs {}",
            needed.binding, bound.size, needed.min_size
        ))),
        _ => Ok(()),
    }
}

/// A buffer that a dispatch may write through one binding is bound as nothing else, and not there again.
fn no_aliases(used: &[(Bound, u64)]) -> Result<(), DeviceError> {
    for (at, (first, start)) in used.iter().enumerate() {
        for (second, other_start) in used.iter().skip(at + 1) {
            let (a, b) = (first.entry.ty, second.entry.ty);
            let writes = a == BufferBindingType::Storage || b == BufferBindingType::Storage;
            if first.buffer.serial != second.buffer.serial || !writes {
                continue;
            }
            if a != b {
                return Err(DeviceError::invalid(format!(
                    "a buffer is bound as {} and as {} in one dispatch",
                    type_name(a),
                    type_name(b)
                )));
            }
            if start + first.size > *other_start && other_start + second.size > *start {
                return Err(DeviceError::invalid(
                    "overlapping ranges of a buffer are bound as storage in one dispatch",
                ));
            }
        }
    }
    Ok(())
}
