//! Steps cut into batches, each to be one submission: long dispatches become slices of workgroups.

use std::time::Duration;

use super::encoder::{Clear, Copy, Dispatch, Step};
use super::workgroup_time::Load;

/// A batch with so many slices takes no further dispatch. Each slice needs a place in the buffer of parameters.
const MAX_SLICES: usize = 512;

/// The most slices in a batch: the last dispatch can add up to five.
pub(crate) const MOST_SLICES: usize = MAX_SLICES + 8;

/// The actions of one submission.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) actions: Vec<Action<'a>>,
    pub(super) load: Load,
}

/// An action that a backend carries out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action<'a> {
    Run(Slice<'a>),
    Copy(&'a Copy),
    Clear(&'a Clear),
}

impl<'a> Action<'a> {
    /// The workgroups that it runs, if it runs any.
    pub(crate) fn slice(&self) -> Option<&Slice<'a>> {
        match self {
            Self::Run(slice) => Some(slice),
            Self::Copy(_) | Self::Clear(_) => None,
        }
    }
}

/// A box of workgroups of a dispatch: part of a row, whole rows, or whole planes. Their numbers, counted along x, then y,
/// then z, are consecutive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a> {
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) offset: [u32; 3],
    pub(crate) size: [u32; 3],
}

impl Slice<'_> {
    pub(crate) fn workgroups(&self) -> u64 {
        self.size.iter().map(|side| u64::from(*side)).product()
    }

    /// The number of its first workgroup.
    pub(crate) fn first(&self) -> u64 {
        self.dispatch.number_of(self.offset)
    }
}

/// Goes through steps and cuts them into batches.
pub(super) struct Cursor<'a> {
    steps: &'a [Step],
    /// How long a batch may take.
    slice: Duration,
    at: usize,
    /// How many workgroups of the current dispatch have been handed out.
    done: u64,
    /// The sorted numbers of the steps that share no batch with others.
    watched: Vec<usize>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(steps: &'a [Step], slice: Duration) -> Self {
        Self { steps, slice, at: 0, done: 0, watched: Vec::new() }
    }

    /// Sets the steps, sorted, that share no batch with others: each becomes one batch or several.
    pub(super) fn watch(&mut self, steps: Vec<usize>) {
        self.watched = steps;
    }

    /// The next step, its number and its dispatch, if it is watched and none of it has been handed out.
    pub(super) fn at_watched(&self) -> Option<(usize, &'a Dispatch)> {
        let dispatch = self.dispatch().filter(|_| self.is_watched() && self.done == 0)?;
        Some((self.at, dispatch))
    }

    /// Removes the next step from the watched ones.
    pub(super) fn unwatch(&mut self) {
        self.watched.retain(|step| *step != self.at);
    }

    fn is_watched(&self) -> bool {
        self.watched.binary_search(&self.at).is_ok()
    }

    /// Whether all of a step has been handed out.
    pub(super) fn is_past(&self, step: usize) -> bool {
        step < self.at
    }

    pub(super) fn is_through(&self) -> bool {
        self.at >= self.steps.len()
    }

    /// The next step, if it is a dispatch.
    pub(super) fn dispatch(&self) -> Option<&'a Dispatch> {
        match self.steps.get(self.at)? {
            Step::Dispatch(dispatch) => Some(dispatch),
            _ => None,
        }
    }

    /// The next batch. It is empty while the first workgroups of the next pipeline are under way, from which it is learned how
    /// long one takes.
    pub(super) fn next(&mut self) -> Batch<'a> {
        let mut batch = Batch { actions: Vec::new(), load: Load::within(self.slice) };
        let (mut slices, start) = (0, self.at);
        while let Some(step) = self.steps.get(self.at) {
            let watched = self.is_watched();
            if watched && start < self.at {
                break;
            }
            match step {
                Step::Copy(copy) => batch.actions.push(Action::Copy(copy)),
                Step::Clear(clear) => batch.actions.push(Action::Clear(clear)),
                Step::Dispatch(dispatch) if !dispatch.pipeline.state().compiled.is_sliced => {
                    let (offset, size) = ([0; 3], dispatch.workgroups);
                    batch.actions.push(Action::Run(Slice { dispatch, offset, size }));
                }
                Step::Dispatch(dispatch) => {
                    let workgroup_time = &dispatch.pipeline.state().workgroup_time;
                    let left = dispatch.count() - self.done;
                    let mut room = if slices < MAX_SLICES { batch.load.room(workgroup_time, left) } else { 0 };
                    if room == 0 {
                        break;
                    }
                    batch.load.add(workgroup_time, room);
                    while room > 0 {
                        let slice = self.slice(dispatch, room);
                        batch.actions.push(Action::Run(slice));
                        slices += 1;
                        self.done += slice.workgroups();
                        room = room.saturating_sub(slice.workgroups());
                    }
                    if self.done < dispatch.count() {
                        break;
                    }
                    self.done = 0;
                }
            }
            self.at += 1;
            if watched {
                break;
            }
        }
        batch
    }

    /// The next slice: the largest box of at most `most` workgroups.
    fn slice(&self, dispatch: &'a Dispatch, most: u64) -> Slice<'a> {
        let [x, y, z] = dispatch.workgroups.map(|side| u64::from(side).max(1));
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
        Slice { dispatch, offset: sides(at), size: sides(size) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::super::resources::{ComputePipeline, PipelineState};
    use super::super::workgroup_time::{SLICE, WorkgroupTime};
    use super::*;
    use crate::core::backend::{Compiled, Made};

    fn pipeline(workgroup_time: WorkgroupTime, is_sliced: bool) -> ComputePipeline {
        ComputePipeline::new(PipelineState {
            serial: 0,
            layouts: Vec::new(),
            bindings: Vec::new(),
            workgroup_size: [1; 3],
            workgroup_cost: 1,
            compile_time: 0,
            compiled: Compiled { made: Made::new(()), is_sliced },
            workgroup_time: Arc::new(workgroup_time),
            lowered: None,
            interpreted: Arc::default(),
            source: "".into(),
            name: "".into(),
            _charge: None,
        })
    }

    /// A pipeline whose workgroups are known to take `each`.
    fn known(each: Duration) -> ComputePipeline {
        let pipeline = pipeline(WorkgroupTime::new(1), true);
        let mut load = Load::default();
        load.add(&pipeline.state().workgroup_time, 1);
        load.took(each, true);
        pipeline
    }

    /// A pipeline of which 30 workgroups are a slice.
    fn one_ms() -> ComputePipeline {
        known(Duration::from_millis(1))
    }

    fn dispatch(pipeline: &ComputePipeline, workgroups: [u32; 3]) -> Step {
        Step::Dispatch(Dispatch { pipeline: pipeline.clone(), groups: [const { None }; 3], workgroups })
    }

    fn batches(steps: &[Step]) -> Vec<Batch<'_>> {
        let mut cursor = Cursor::new(steps, SLICE);
        let mut batches = Vec::new();
        while !cursor.is_through() {
            batches.push(cursor.next());
        }
        batches
    }

    fn slices<'a>(batch: &Batch<'a>) -> Vec<Slice<'a>> {
        batch.actions.iter().filter_map(Action::slice).copied().collect()
    }

    fn workgroups(batch: &Batch<'_>) -> u64 {
        slices(batch).iter().map(Slice::workgroups).sum()
    }

    #[test]
    fn slices_are_each_workgroup_of_the_dispatch_once_and_in_order() {
        let pipeline = one_ms();
        for of in [[7, 5, 3], [1, 1, 200], [100, 1, 2], [29, 2, 2], [30, 4, 1], [3, 1, 9]] {
            let steps = [dispatch(&pipeline, of)];
            let (mut seen, mut next) = (BTreeSet::new(), 0);
            for batch in batches(&steps) {
                let slices = slices(&batch);
                assert!(slices.len() <= 5, "{slices:?}");
                assert!(workgroups(&batch) <= 30);
                for slice in slices {
                    assert_eq!(slice.first(), next);
                    next += slice.workgroups();
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
    fn a_dispatch_goes_on_after_a_cut() {
        let pipeline = one_ms();
        let steps = [dispatch(&pipeline, [31, 1, 1]), dispatch(&pipeline, [40, 1, 1])];
        let counts: Vec<_> = batches(&steps).iter().map(workgroups).collect();
        assert_eq!(counts, [30, 30, 11]);
    }

    #[test]
    fn short_dispatches_stay_together_and_those_that_cannot_be_cut_whole() {
        let sliced = one_ms();
        let mut steps: Vec<_> = (0..30).map(|_| dispatch(&sliced, [1; 3])).collect();
        assert_eq!(batches(&steps).len(), 1);
        let native = pipeline(WorkgroupTime::new(1), false);
        steps.push(dispatch(&native, [65_535, 65_535, 1]));
        let batches = batches(&steps);
        assert_eq!(batches.len(), 1);
        assert_eq!(slices(&batches[0]).last().unwrap().size, [65_535, 65_535, 1]);
    }

    #[test]
    fn a_batch_has_places_for_all_its_slices() {
        let pipeline = known(Duration::from_nanos(1));
        let steps: Vec<_> = (0..2000).map(|_| dispatch(&pipeline, [3; 3])).collect();
        let batches = batches(&steps);
        assert_eq!(batches.len(), 4);
        assert!(batches.iter().all(|batch| slices(batch).len() <= MOST_SLICES));
    }

    #[test]
    fn a_watched_dispatch_is_alone() {
        let pipeline = one_ms();
        let steps = [1, 1, 31, 1].map(|x| dispatch(&pipeline, [x, 1, 1]));
        let mut cursor = Cursor::new(&steps, SLICE);
        cursor.watch(vec![1, 2]);
        let mut batches = Vec::new();
        while !cursor.is_through() {
            let watched = cursor.at_watched().map(|(number, _)| number);
            let past = cursor.is_past(2);
            batches.push((watched, past, workgroups(&cursor.next())));
        }
        let expected = [(None, false, 1), (Some(1), false, 1), (Some(2), false, 30), (None, false, 1), (None, true, 1)];
        assert_eq!(batches, expected);
        let mut cursor = Cursor::new(&steps, SLICE);
        cursor.watch(vec![1]);
        cursor.next();
        cursor.unwatch();
        assert!(cursor.at_watched().is_none());
        assert!(workgroups(&cursor.next()) > 1, "an unwatched dispatch is alone");
    }

    #[test]
    fn the_first_workgroups_hold_the_cursor_up_until_their_time_is_known() {
        let pipeline = pipeline(WorkgroupTime::new(1), true);
        let steps = [dispatch(&pipeline, [1000, 1, 1])];
        let mut cursor = Cursor::new(&steps, SLICE);
        let first = cursor.next();
        assert_eq!(slices(&first).len(), 1);
        assert!(cursor.dispatch().is_some());
        assert!(pipeline.state().workgroup_time.is_probing());
        assert!(cursor.next().actions.is_empty());
        first.load.took(Duration::from_micros(10), true);
        cursor.next();
        assert!(cursor.is_through());
    }
}
