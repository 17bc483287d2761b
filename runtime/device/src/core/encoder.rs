//! Recording: commands are checked as they are recorded and kept as resolved steps. Later stages do not look up or check
//! anything again.

use std::sync::Arc;

use super::bindings::{alignment, type_name};
use super::host_memory::{COMMAND, HostCharge, HostMemory};
use super::resources::{BindGroup, Buffer, ComputePipeline, Range};
use super::rules::{at_most, multiple_of, words};
use crate::DeviceError;
use crate::limits::COMMON;

/// The most commands in one encoder.
pub const MAX_COMMANDS: u64 = 64 << 10;

/// The most dynamic offsets that one bind group has: every storage and uniform slot of a stage.
const MAX_DYNAMIC_OFFSETS: usize = 8 + 12;

/// Bind groups that a guest has: 3.
const GROUPS: usize = 3;
const _: () = assert!(GROUPS == COMMON.max_bind_groups as usize);

/// A resolved command.
#[derive(Debug)]
pub(crate) enum Step {
    Dispatch(Dispatch),
    Copy(Copy),
    Clear(Clear),
}

/// A dispatch of a pipeline, with everything that it accesses.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) pipeline: ComputePipeline,
    /// The groups that the pipeline uses, by index.
    pub(crate) groups: [Option<SetGroup>; GROUPS],
    pub(crate) workgroups: [u32; 3],
}

/// A bind group with its dynamic offsets, in the order of its dynamic ranges.
#[derive(Clone, Debug)]
pub(crate) struct SetGroup {
    pub(crate) group: BindGroup,
    pub(crate) offsets: Arc<[u32]>,
}

/// A copy between two buffers, in bytes.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) source: Buffer,
    pub(crate) source_offset: u64,
    pub(crate) destination: Buffer,
    pub(crate) destination_offset: u64,
    pub(crate) size: u64,
}

/// A range of a buffer that becomes zero, in bytes.
#[derive(Debug)]
pub(crate) struct Clear {
    pub(crate) buffer: Buffer,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Dispatch {
    /// How many workgroups it has.
    pub(crate) fn count(&self) -> u64 {
        self.workgroups.iter().fold(1, |count, side| count.saturating_mul(u64::from(*side)))
    }

    /// The number of the workgroup at `at`, counted along x, then y, then z.
    pub(crate) fn number_of(&self, at: [u32; 3]) -> u64 {
        let ([width, height, _], [x, y, z]) = (self.workgroups.map(u64::from), at.map(u64::from));
        x + width * (y + height * z)
    }

    /// Its cost in kernel fuel, metered loops aside.
    pub(crate) fn cost(&self) -> u64 {
        self.count().saturating_mul(self.pipeline.workgroup_cost())
    }

    /// The ranges that it accesses, each with the number of its group. Dynamic offsets are added.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u32, Range)> + '_ {
        let groups = (0_u32..).zip(&self.groups).filter_map(|(index, set)| Some((index, set.as_ref()?)));
        groups.flat_map(|(index, set)| set.ranges().map(move |range| (index, range)))
    }
}

impl SetGroup {
    /// A group whose dynamic offsets are all 0.
    pub(super) fn at_zero(group: BindGroup) -> Self {
        let dynamic = group.ranges().iter().filter(|range| range.entry.has_dynamic_offset);
        let offsets = dynamic.map(|_| 0).collect();
        Self { group, offsets }
    }

    fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        let mut offsets = self.offsets.iter();
        self.group.ranges().iter().map(move |range| {
            let moved = if range.entry.has_dynamic_offset { offsets.next().copied().unwrap_or_default() } else { 0 };
            Range { offset: range.offset + u64::from(moved), ..range.clone() }
        })
    }
}

/// Recorded commands, in order. They may be submitted any number of times.
#[derive(Debug)]
pub struct CommandBuffer {
    pub(crate) steps: Vec<Step>,
    kernel_fuel: u64,
    _recorded: HostCharge,
}

impl CommandBuffer {
    /// The kernel fuel of its dispatches, metered loops aside.
    pub fn kernel_fuel(&self) -> u64 {
        self.kernel_fuel
    }

    /// How many dispatches, copies and clears it has.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }
}

/// Records commands. As in WebGPU, [`CommandEncoder::finish`] reports errors: the first one, with the number of its command.
#[derive(Debug)]
pub struct CommandEncoder {
    steps: Vec<Step>,
    kernel_fuel: u64,
    /// How many commands have been recorded.
    number: u64,
    pass: Option<Pass>,
    error: Option<DeviceError>,
    recorded: HostCharge,
}

/// The state of the open pass.
#[derive(Debug, Default)]
struct Pass {
    pipeline: Option<ComputePipeline>,
    groups: [Option<SetGroup>; GROUPS],
}

impl CommandEncoder {
    pub(super) fn new(memory: &HostMemory) -> Self {
        Self { steps: Vec::new(), kernel_fuel: 0, number: 0, pass: None, error: None, recorded: memory.nothing() }
    }

    /// Whether a compute pass is open.
    pub fn is_in_pass(&self) -> bool {
        self.pass.is_some()
    }

    /// Opens a compute pass. No state carries over from an earlier pass.
    pub fn begin_pass(&mut self) {
        self.record(|encoder| {
            encoder.outside()?;
            encoder.pass = Some(Pass::default());
            Ok(())
        });
    }

    /// Ends the pass.
    pub fn end_pass(&mut self) {
        self.record(|encoder| {
            encoder.inside()?;
            encoder.pass = None;
            Ok(())
        });
    }

    /// Chooses the pipeline of the dispatches that follow in this pass.
    pub fn set_pipeline(&mut self, pipeline: &ComputePipeline) {
        self.record(|encoder| {
            encoder.inside()?.pipeline = Some(pipeline.clone());
            Ok(())
        });
    }

    /// Binds a group to `@group(index)` for the dispatches that follow in this pass, with one offset for each dynamic slot, in
    /// the order of bindings: multiples of 256.
    pub fn set_bind_group(&mut self, index: u32, group: &BindGroup, dynamic_offsets: &[u32]) {
        self.record(|encoder| {
            let pass = encoder.inside()?;
            let slot = usize::try_from(index).ok().and_then(|index| pass.groups.get_mut(index));
            let Some(slot) = slot else {
                return at_most("max-bind-groups", COMMON.max_bind_groups, u64::from(index) + 1);
            };
            check_offsets(group, dynamic_offsets)?;
            *slot = Some(SetGroup { group: group.clone(), offsets: dynamic_offsets.into() });
            Ok(())
        });
    }

    /// Runs `x * y * z` workgroups.
    pub fn dispatch(&mut self, workgroups: [u32; 3]) {
        self.record(|encoder| {
            let dispatch = resolve(encoder.inside()?, workgroups)?;
            encoder.kernel_fuel = encoder.kernel_fuel.saturating_add(dispatch.cost());
            if dispatch.count() > 0 {
                encoder.steps.push(Step::Dispatch(dispatch));
            }
            Ok(())
        });
    }

    /// Copies `size` bytes between two different buffers, outside a pass. Offsets and size are multiples of 4.
    pub fn copy_buffer(
        &mut self,
        source: &Buffer,
        source_offset: u64,
        destination: &Buffer,
        destination_offset: u64,
        size: u64,
    ) {
        self.record(|encoder| {
            encoder.outside()?;
            if source.is(destination) {
                return Err(DeviceError::invalid("source and destination of a copy are the same buffer"));
            }
            words("the copy's source", source.size(), source_offset, size)?;
            words("the copy's destination", destination.size(), destination_offset, size)?;
            if size > 0 {
                let (source, destination) = (source.clone(), destination.clone());
                encoder.steps.push(Step::Copy(Copy { source, source_offset, destination, destination_offset, size }));
            }
            Ok(())
        });
    }

    /// Zeros part of a buffer, outside a pass. Offset and size are multiples of 4.
    pub fn clear_buffer(&mut self, buffer: &Buffer, offset: u64, size: u64) {
        self.record(|encoder| {
            encoder.outside()?;
            words("the clear", buffer.size(), offset, size)?;
            if size > 0 {
                encoder.steps.push(Step::Clear(Clear { buffer: buffer.clone(), offset, size }));
            }
            Ok(())
        });
    }

    /// The commands, ready to be submitted.
    ///
    /// # Errors
    /// A command broke a rule, or the compute pass was not ended.
    pub fn finish(self) -> Result<CommandBuffer, DeviceError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.pass.is_some() {
            return Err(DeviceError::invalid("the compute pass was not ended"));
        }
        Ok(CommandBuffer { steps: self.steps, kernel_fuel: self.kernel_fuel, _recorded: self.recorded })
    }

    /// Records one command, unless an earlier one was wrong.
    fn record(&mut self, command: impl FnOnce(&mut Self) -> Result<(), DeviceError>) {
        if self.error.is_some() {
            return;
        }
        let number = self.number;
        self.number += 1;
        let room = at_most("commands", MAX_COMMANDS, self.number).and_then(|()| self.recorded.add(COMMAND));
        self.error = room.and_then(|()| command(self)).err().map(|error| match error {
            DeviceError::Validation(diagnostic) => {
                DeviceError::invalid(format!("command {number}: {}", diagnostic.message))
            }
            other => other,
        });
    }

    fn inside(&mut self) -> Result<&mut Pass, DeviceError> {
        self.pass.as_mut().ok_or_else(|| DeviceError::invalid("this belongs in a compute pass, and none is open"))
    }

    fn outside(&self) -> Result<(), DeviceError> {
        match self.pass {
            Some(_) => Err(DeviceError::invalid("a compute pass is still open; end it first")),
            None => Ok(()),
        }
    }
}

fn check_offsets(group: &BindGroup, offsets: &[u32]) -> Result<(), DeviceError> {
    let dynamic = || group.ranges().iter().filter(|range| range.entry.has_dynamic_offset);
    at_most("dynamic-offsets", MAX_DYNAMIC_OFFSETS as u64, u64::try_from(offsets.len()).unwrap_or(u64::MAX))?;
    if dynamic().count() != offsets.len() {
        return Err(DeviceError::invalid(format!(
            "{} dynamic offsets given for a group with {}",
            offsets.len(),
            dynamic().count()
        )));
    }
    for (range, &offset) in dynamic().zip(offsets) {
        let offset = u64::from(offset);
        let what = format!("the dynamic offset of binding {}", range.entry.binding);
        multiple_of(&what, offset, alignment(range.entry.ty))?;
        let size = range.buffer.size();
        if offset > size - range.offset - range.size {
            return Err(DeviceError::invalid(format!(
                "{what} is {offset}, which moves {} bytes at {} beyond the buffer's {size}",
                range.size, range.offset
            )));
        }
    }
    Ok(())
}

/// The dispatch of the pipeline and the groups that are set in the pass.
fn resolve(pass: &Pass, workgroups: [u32; 3]) -> Result<Dispatch, DeviceError> {
    let Some(pipeline) = &pass.pipeline else {
        return Err(DeviceError::invalid("no pipeline is set for the dispatch"));
    };
    for count in workgroups {
        let maximum = COMMON.max_compute_workgroups_per_dimension;
        at_most("max-compute-workgroups-per-dimension", maximum, count)?;
    }
    let mut dispatch = Dispatch { pipeline: pipeline.clone(), groups: [const { None }; GROUPS], workgroups };
    let slots = pass.groups.iter().zip(&mut dispatch.groups);
    for ((index, layout), (set, slot)) in pipeline.state().layouts.iter().enumerate().zip(slots) {
        if layout.entries().is_empty() {
            continue;
        }
        let Some(set) = set else {
            return Err(DeviceError::invalid(format!("the pipeline needs bind group {index}, and none is set")));
        };
        if set.group.layout() != layout {
            return Err(DeviceError::invalid(format!("bind group {index} has another layout than the pipeline")));
        }
        set.group.ranges().iter().try_for_each(|range| large_enough(pipeline, index, range))?;
        *slot = Some(set.clone());
    }
    no_aliases(&dispatch.ranges().map(|(_, range)| range).collect::<Vec<_>>())?;
    Ok(dispatch)
}

/// Checks that a bound range is as large as the shader needs, which the layout may leave open.
fn large_enough(pipeline: &ComputePipeline, group: usize, range: &Range) -> Result<(), DeviceError> {
    let mut bindings = pipeline.state().bindings.iter();
    let needed =
        bindings.find(|needed| usize::try_from(needed.group) == Ok(group) && needed.binding == range.entry.binding);
    match needed {
        Some(needed) if range.size < needed.min_size => Err(DeviceError::invalid(format!(
            "@group({group}) @binding({}) has {} bytes bound, but the shader needs {}",
            needed.binding, range.size, needed.min_size
        ))),
        _ => Ok(()),
    }
}

/// Checks that a buffer that a dispatch may write is not also bound as another type, nor in an overlapping range.
fn no_aliases(ranges: &[Range]) -> Result<(), DeviceError> {
    for (at, first) in ranges.iter().enumerate() {
        for second in ranges.iter().skip(at + 1) {
            let (a, b) = (first.entry.ty, second.entry.ty);
            if !(first.is_written() || second.is_written()) || !first.buffer.is(&second.buffer) {
                continue;
            }
            if a != b {
                return Err(DeviceError::invalid(format!(
                    "a buffer is bound as {} and as {} in one dispatch",
                    type_name(a),
                    type_name(b)
                )));
            }
            if first.offset + first.size > second.offset && second.offset + second.size > first.offset {
                return Err(DeviceError::invalid(
                    "overlapping ranges of a buffer are bound as storage in one dispatch",
                ));
            }
        }
    }
    Ok(())
}
