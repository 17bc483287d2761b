//! Commands cut into batches, each to be one submission: long dispatches become slices of workgroups.

use std::sync::Arc;
use std::time::Duration;

use super::pace::{Load, Pace};
use crate::{Command, ComputePipelineId};

/// The most slices in a batch, but for a few of the last dispatch: each is told its place in a buffer.
const MAX_SLICES: usize = 512;

/// Places for slices that a batch can need: cutting a dispatch takes at most five.
pub(super) const MOST_SLICES: usize = MAX_SLICES + 8;

/// What one submission does.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) load: Load,
}

impl Batch<'_> {
    pub(super) fn slices(&self) -> impl Iterator<Item = Slice> + Clone {
        self.steps.iter().filter_map(|step| match step {
            Step::Slice(slice) => Some(*slice),
            Step::Command(_) => None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Anything but a sliced dispatch.
    Command(&'a Command),
    /// Part of a dispatch of a pipeline that is told where the part lies.
    Slice(Slice),
}

/// A box of workgroups in a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) pipeline: ComputePipelineId,
    pub(super) offset: [u32; 3],
    pub(super) size: [u32; 3],
    /// The size of the dispatch.
    pub(super) of: [u32; 3],
}

impl Slice {
    pub(super) fn workgroups(&self) -> u64 {
        self.size.iter().map(|side| u64::from(*side)).product()
    }
}

/// Walks through checked commands.
pub(super) struct Cursor<'a> {
    commands: &'a [Command],
    /// How long a batch may take.
    slice: Duration,
    at: usize,
    /// How many workgroups of the dispatch at hand have been handed out.
    done: u64,
    /// The numbers, in order, of dispatches that share no batch with others.
    watched: Vec<usize>,
    pass: Option<Pass<'a>>,
}

/// What was set in the open pass, to be set again after a cut.
#[derive(Default)]
struct Pass<'a> {
    pipeline: Option<ComputePipelineId>,
    set_pipeline: Option<&'a Command>,
    set_groups: [Option<&'a Command>; 3],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(commands: &'a [Command], slice: Duration) -> Self {
        Self { commands, slice, at: 0, done: 0, watched: Vec::new(), pass: None }
    }

    /// Names commands, in order, each of which is to be a batch of its own, or several.
    pub(super) fn watch(&mut self, commands: Vec<usize>) {
        self.watched = commands;
    }

    /// The number and bind groups of the command that comes next, where that is watched.
    pub(super) fn at_watched(&self) -> Option<(usize, impl Iterator<Item = &'a Command> + use<'a>)> {
        let pass = self.pass.as_ref().filter(|_| self.is_watched() && self.done == 0)?;
        Some((self.at, pass.set_groups.into_iter().flatten()))
    }

    /// Takes the command that comes next from those that are watched.
    pub(super) fn unwatch(&mut self) {
        self.watched.retain(|command| *command != self.at);
    }

    fn is_watched(&self) -> bool {
        self.watched.binary_search(&self.at).is_ok()
    }

    /// Whether a command has been handed out in whole.
    pub(super) fn is_past(&self, command: usize) -> bool {
        command < self.at
    }

    pub(super) fn is_through(&self) -> bool {
        self.at >= self.commands.len()
    }

    /// The command that comes next.
    pub(super) fn command(&self) -> Option<&'a Command> {
        self.commands.get(self.at)
    }

    /// The pipeline of the dispatch that comes next.
    pub(super) fn pipeline(&self) -> Option<ComputePipelineId> {
        let next = self.commands.get(self.at)?;
        self.pass.as_ref()?.pipeline.filter(|_| matches!(next, Command::Dispatch { .. }))
    }

    /// The next batch. `pace` is that of a pipeline whose dispatches can be cut. A pace that is being probed
    /// holds the cursor up.
    pub(super) fn next(&mut self, pace: impl Fn(ComputePipelineId) -> Option<Arc<Pace>>) -> Batch<'a> {
        let mut batch = Batch { steps: Vec::new(), load: Load::within(self.slice) };
        let (mut slices, start) = (0, self.at);
        if let Some(pass) = &self.pass {
            batch.steps.push(Step::Command(&Command::BeginPass));
            let set = pass.set_pipeline.iter().chain(pass.set_groups.iter().flatten());
            batch.steps.extend(set.map(|command| Step::Command(command)));
        }
        while let Some(command) = self.commands.get(self.at) {
            let watched = self.is_watched();
            if watched && start < self.at {
                break;
            }
            self.note(command);
            let sliced = self.pipeline().and_then(|pipeline| Some((pipeline, pace(pipeline)?)));
            if let (Command::Dispatch { x, y, z }, Some((pipeline, pace))) = (command, sliced) {
                let of = [*x, *y, *z];
                let all: u64 = of.iter().map(|side| u64::from(*side)).product();
                let left = all - self.done;
                let mut room = if slices < MAX_SLICES { batch.load.room(&pace, left) } else { 0 };
                if room == 0 && left > 0 {
                    break;
                }
                if room > 0 {
                    batch.load.add(&pace, room);
                }
                while room > 0 {
                    let slice = self.slice(pipeline, of, room);
                    batch.steps.push(Step::Slice(slice));
                    slices += 1;
                    self.done += slice.workgroups();
                    room = room.saturating_sub(slice.workgroups());
                }
                if self.done < all {
                    break;
                }
                self.done = 0;
            } else {
                batch.steps.push(Step::Command(command));
            }
            self.at += 1;
            if watched {
                break;
            }
        }
        if self.pass.is_some() {
            batch.steps.push(Step::Command(&Command::EndPass));
        }
        batch
    }

    fn note(&mut self, command: &'a Command) {
        match (command, &mut self.pass) {
            (Command::BeginPass, pass) => *pass = Some(Pass::default()),
            (Command::EndPass, pass) => *pass = None,
            (Command::SetPipeline(pipeline), Some(pass)) => {
                pass.pipeline = Some(*pipeline);
                pass.set_pipeline = Some(command);
            }
            (Command::SetBindGroup { index, .. }, Some(pass)) => {
                let slot = usize::try_from(*index).ok().and_then(|index| pass.set_groups.get_mut(index));
                slot.into_iter().for_each(|slot| *slot = Some(command));
            }
            _ => {}
        }
    }

    /// The largest box of at most `most` workgroups that comes next: part of a row, rows, or planes.
    fn slice(&self, pipeline: ComputePipelineId, of: [u32; 3], most: u64) -> Slice {
        let [x, y, z] = of.map(|side| u64::from(side).max(1));
        let (row, plane) = (self.done / x, self.done / (x * y));
        let at = [self.done % x, row % y, plane % z];
        let size = if at[0] != 0 || most < x {
            [most.min(x - at[0]), 1, 1]
        } else if at[1] != 0 || most < x * y {
            [x, (most / x).min(y - at[1]), 1]
        } else {
            [x, y, (most / (x * y)).min(z - at[2])]
        };
        let sides = |sides: [u64; 3]| sides.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        Slice { pipeline, offset: sides(at), size: sides(size), of }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::pace::SLICE;
    use super::*;
    use crate::BindGroupId;
    use crate::ids::Slots;

    fn ids() -> (ComputePipelineId, BindGroupId) {
        let pipeline = Slots::<ComputePipelineId, ()>::default().insert(()).unwrap();
        (pipeline, Slots::<BindGroupId, ()>::default().insert(()).unwrap())
    }

    /// A pace of 1 ms per workgroup: 30 are a slice.
    fn known() -> Arc<Pace> {
        let pace = Arc::new(Pace::new(1));
        let mut load = Load::default();
        load.add(&pace, 1);
        load.took(Duration::from_millis(1), true);
        pace
    }

    fn batches<'a>(commands: &'a [Command], pace: Option<&Arc<Pace>>) -> Vec<Batch<'a>> {
        let mut cursor = Cursor::new(commands, SLICE);
        let mut batches = Vec::new();
        while !cursor.is_through() {
            batches.push(cursor.next(|_| pace.cloned()));
        }
        batches
    }

    fn slices(batch: &Batch<'_>) -> Vec<Slice> {
        batch.slices().collect()
    }

    #[test]
    fn slices_are_each_workgroup_of_the_dispatch_once() {
        let (pipeline, _) = ids();
        for of in [[7, 5, 3], [1, 1, 200], [100, 1, 2], [29, 2, 2], [30, 4, 1], [3, 0, 9]] {
            let dispatch = Command::Dispatch { x: of[0], y: of[1], z: of[2] };
            let commands = [Command::BeginPass, Command::SetPipeline(pipeline), dispatch, Command::EndPass];
            let mut seen = BTreeSet::new();
            for batch in batches(&commands, Some(&known())) {
                let slices = slices(&batch);
                assert!(slices.len() <= 5, "{slices:?}");
                assert!(slices.iter().map(Slice::workgroups).sum::<u64>() <= 30);
                for slice in slices {
                    assert_eq!(slice.of, of);
                    let [x, y, z] = [0, 1, 2].map(|axis| slice.offset[axis]..slice.offset[axis] + slice.size[axis]);
                    for x in x {
                        for y in y.clone() {
                            z.clone().for_each(|z| assert!(seen.insert([x, y, z]), "{of:?} at {x} {y} {z}"));
                        }
                    }
                }
            }
            assert_eq!(seen.len(), of.iter().product::<u32>() as usize);
            assert!(seen.iter().all(|at| at.iter().zip(of).all(|(at, of)| *at < of)));
        }
    }

    #[test]
    fn a_pass_goes_on_after_a_cut() {
        let (pipeline, group) = ids();
        let set = |index| Command::SetBindGroup { index, group, dynamic_offsets: vec![256 * index] };
        let commands = [
            Command::BeginPass,
            Command::SetPipeline(pipeline),
            set(0),
            set(2),
            Command::Dispatch { x: 31, y: 1, z: 1 },
            set(1),
            Command::Dispatch { x: 40, y: 1, z: 1 },
            Command::EndPass,
        ];
        let batches = batches(&commands, Some(&known()));
        assert_eq!(batches.len(), 3);
        let resumed = [Command::BeginPass, Command::SetPipeline(pipeline), set(0), set(2)];
        assert_eq!(batches[1].steps[..4], resumed.iter().map(Step::Command).collect::<Vec<_>>());
        let resumed = [Command::BeginPass, Command::SetPipeline(pipeline), set(0), set(1), set(2)];
        assert_eq!(batches[2].steps[..5], resumed.iter().map(Step::Command).collect::<Vec<_>>());
        assert!(batches.iter().all(|batch| batch.steps.last() == Some(&Step::Command(&Command::EndPass))));
        let workgroups: Vec<u64> =
            batches.iter().map(|batch| slices(batch).iter().map(Slice::workgroups).sum()).collect();
        assert_eq!(workgroups, [30, 30, 11]);
    }

    #[test]
    fn short_dispatches_stay_together_and_native_ones_whole() {
        let (pipeline, _) = ids();
        let mut commands = vec![Command::BeginPass, Command::SetPipeline(pipeline)];
        commands.extend(vec![Command::Dispatch { x: 1, y: 1, z: 1 }; 30]);
        commands.push(Command::EndPass);
        assert_eq!(batches(&commands, Some(&known())).len(), 1);
        commands[2] = Command::Dispatch { x: 65_535, y: 65_535, z: 1 };
        let native = batches(&commands, None);
        assert_eq!(native.len(), 1);
        assert_eq!(native[0].steps, commands.iter().map(Step::Command).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_has_places_for_all_its_slices() {
        let (pipeline, _) = ids();
        let pace = Arc::new(Pace::new(1));
        let mut probe = Load::default();
        probe.add(&pace, 1 << 30);
        probe.took(Duration::from_millis(1), true);
        let mut commands = vec![Command::BeginPass, Command::SetPipeline(pipeline)];
        commands.extend(vec![Command::Dispatch { x: 3, y: 3, z: 3 }; 2000]);
        commands.push(Command::EndPass);
        let batches = batches(&commands, Some(&pace));
        assert_eq!(batches.len(), 4);
        assert!(batches.iter().all(|batch| slices(batch).len() <= MOST_SLICES));
    }

    #[test]
    fn a_watched_dispatch_is_alone() {
        let (pipeline, group) = ids();
        let one = Command::Dispatch { x: 1, y: 1, z: 1 };
        let set = Command::SetBindGroup { index: 1, group, dynamic_offsets: vec![] };
        let watched = Command::Dispatch { x: 31, y: 1, z: 1 };
        let pass = [Command::BeginPass, Command::SetPipeline(pipeline), one.clone(), set.clone(), watched, one];
        let commands = [&pass[..], &[Command::EndPass]].concat();
        let mut cursor = Cursor::new(&commands, SLICE);
        cursor.watch(vec![2, 4]);
        let mut workgroups = Vec::new();
        let pace = known();
        while !cursor.is_through() {
            // Before the second is a batch that only binds a group.
            let numbers = [None, Some(2), None, Some(4), None, None];
            let watched = cursor.at_watched().map(|(number, groups)| (number, groups.collect::<Vec<_>>()));
            if let Some((4, groups)) = &watched {
                assert_eq!(*groups, [&set]);
            }
            assert_eq!(watched.map(|(number, _)| number), numbers[workgroups.len()]);
            let past = cursor.is_past(4);
            let batch = cursor.next(|_| Some(Arc::clone(&pace)));
            workgroups.push((past, batch.slices().map(|slice| slice.workgroups()).sum::<u64>()));
        }
        assert_eq!(workgroups, [(false, 0), (false, 1), (false, 0), (false, 30), (false, 1), (true, 1)]);
        let mut cursor = Cursor::new(&commands, SLICE);
        cursor.watch(vec![2]);
        cursor.next(|_| Some(Arc::clone(&pace)));
        cursor.unwatch();
        assert!(cursor.at_watched().is_none());
        let batch = cursor.next(|_| Some(Arc::clone(&pace)));
        assert!(batch.slices().map(|slice| slice.workgroups()).sum::<u64>() > 1, "an unwatched dispatch is alone");
    }

    #[test]
    fn a_probe_holds_the_cursor_up_until_its_time_is_known() {
        let (pipeline, _) = ids();
        let dispatch = Command::Dispatch { x: 1000, y: 1, z: 1 };
        let commands = [Command::BeginPass, Command::SetPipeline(pipeline), dispatch, Command::EndPass];
        let pace = Arc::new(Pace::new(1));
        let mut cursor = Cursor::new(&commands, SLICE);
        let probe = cursor.next(|_| Some(Arc::clone(&pace)));
        assert_eq!(slices(&probe).len(), 1);
        assert_eq!(cursor.pipeline(), Some(pipeline));
        assert!(pace.is_probing());
        assert!(slices(&cursor.next(|_| Some(Arc::clone(&pace)))).is_empty());
        probe.load.took(Duration::from_micros(10), true);
        cursor.next(|_| Some(Arc::clone(&pace)));
        assert!(cursor.is_through());
    }
}
