//! Spot checks: some workgroups of a job are run again on the CPU, and what they wrote is compared.
//!
//! A probe cannot show that a driver compiles every kernel right, nor that a device is sound. So some dispatches are watched: the first of
//! each shape that a job has, since drivers go wrong by kernel and by size, and of the others now and then one. The buffers that a watched
//! dispatch is given are copied before and after, and workgroups chosen at random are interpreted on the copy. A word that comes out
//! otherwise ends the job: nobody could reproduce it. Who is to blame for it is looked for in `confirm.rs`.
//!
//! What it costs is bounded: dispatches with more than [`MAX_BYTES`] bound are not watched, and all checks together take
//! no more than a twentieth of the job's time and [`GRACE`]. Shapes that there was no time for are tried again when they come again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers, Write, words_of};
use isobit_shader::{BufferBindingType, Lowered};

use super::{Allocation, Dp32, WgpuDevice};
use crate::{BindGroupId, Command, ComputePipelineId, DeviceError, LayoutEntry};

/// The most bytes that are bound to a dispatch that is watched.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// The most workgroups of one dispatch that are checked.
const MAX_WORKGROUPS: u64 = 16;

/// The most dispatches of one submission that are watched because their shape is new.
const MAX_NEW: usize = 8;

/// Shapes of a job that are remembered. Of a job with more only random dispatches are checked from then on.
const MAX_SHAPES: usize = 4096;

/// One part in so many of a job's time goes into checks, and [`GRACE`].
const PART: u32 = 20;

/// Time for checks of a job that has only begun.
const GRACE: Duration = Duration::from_millis(20);

/// The least time that an interpreted workgroup is given.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// Bytes that are copied from a device in a second, at least.
const BYTES_PER_SECOND: u64 = 1 << 30;

/// What makes a dispatch like another: the kernel, how many workgroups it runs, and what is bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) pipeline: ComputePipelineId,
    pub(super) of: [u32; 3],
    /// Bytes of each bound range.
    pub(super) sizes: Vec<u64>,
}

impl Shape {
    fn workgroups(&self) -> u64 {
        self.of.iter().fold(1, |all, side| all.saturating_mul(u64::from(*side)))
    }
}

/// Decides what is checked.
#[derive(Debug)]
pub(super) struct Sampler {
    /// One workgroup in so many.
    one_in: NonZeroU64,
    began: Instant,
    spent: Duration,
    /// The least time that an interpreted workgroup is given: [`LEAST_TIME`], except in tests.
    pub(super) least_time: Duration,
    /// Time for checks of a job that has only begun: [`GRACE`], except in tests.
    pub(super) grace: Duration,
    seed: RandomState,
    drawn: u64,
    /// Of which a dispatch has been checked.
    shapes: HashSet<Shape>,
}

impl Sampler {
    pub(super) fn new(one_in: NonZeroU64) -> Self {
        Self {
            one_in,
            began: Instant::now(),
            spent: Duration::ZERO,
            least_time: LEAST_TIME,
            grace: GRACE,
            seed: RandomState::new(),
            drawn: 0,
            shapes: HashSet::new(),
        }
    }

    /// A number below `end`. It need not be perfect, but nobody who sends jobs may know it.
    fn draw(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        self.seed.hash_one(self.drawn) % end.max(1)
    }

    /// Which of some dispatches are to be watched, by number: the first of each shape that has not been checked yet, and the one in which a
    /// workgroup drawn from all is, if one is drawn.
    pub(super) fn choose(&mut self, dispatches: &[Shape]) -> Vec<usize> {
        let mut chosen = Vec::new();
        if self.shapes.len() < MAX_SHAPES && self.affords(0) {
            let mut new = HashSet::new();
            let is_new = |shape: &&Shape| !self.shapes.contains(*shape) && shape.workgroups() > 0;
            let fresh = dispatches.iter().enumerate().filter(|(_, shape)| is_new(shape) && new.insert(*shape));
            chosen.extend(fresh.map(|(number, _)| number).take(MAX_NEW));
        }
        chosen.extend(self.draw_one(dispatches));
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    fn draw_one(&mut self, dispatches: &[Shape]) -> Option<usize> {
        let all = dispatches.iter().map(Shape::workgroups).fold(0, u64::saturating_add);
        if all == 0 || self.draw(self.one_in.get()) >= all {
            return None;
        }
        let mut drawn = self.draw(all);
        dispatches.iter().map(Shape::workgroups).position(|workgroups| {
            let here = drawn < workgroups;
            drawn = drawn.saturating_sub(workgroups);
            here
        })
    }

    /// Notes that a dispatch of a shape was checked.
    fn checked(&mut self, shape: Shape) {
        if self.shapes.len() < MAX_SHAPES {
            self.shapes.insert(shape);
        }
    }

    /// The workgroups of a watched dispatch that are run again.
    pub(super) fn workgroups(&mut self, of: [u32; 3]) -> Vec<[u32; 3]> {
        let [x, y, z] = of.map(u64::from);
        let all = x * y * z;
        let count = (all / self.one_in).clamp(1, MAX_WORKGROUPS);
        let drawn = (0..count).map(|_| self.draw(all));
        drawn.map(|at| [at % x, at / x % y, at / x / y].map(|id| u32::try_from(id).unwrap_or(0))).collect()
    }

    /// Whether there is time for a check of so many bytes.
    pub(super) fn affords(&self, bytes: u64) -> bool {
        let copies = Duration::from_nanos(bytes.saturating_mul(2_000_000_000 / BYTES_PER_SECOND));
        bytes <= MAX_BYTES && self.spent + copies <= self.grace + self.began.elapsed() / PART
    }

    /// How long the workgroups of one dispatch may be interpreted.
    pub(super) fn time(&self) -> Duration {
        self.least_time.max(self.began.elapsed() / PART)
    }

    pub(super) fn spend(&mut self, time: Duration) {
        self.spent += time;
    }
}

/// A dispatch that is watched, with its buffers as they were before it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) pipeline: ComputePipelineId,
    pub(super) of: [u32; 3],
    pub(super) workgroups: Vec<[u32; 3]>,
    pub(super) parts: Vec<Part>,
    /// How long the copies before it took.
    spent: Duration,
}

/// A bound range.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) group: u32,
    pub(super) entry: LayoutEntry,
    pub(super) buffer: Arc<Allocation>,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) words: Vec<AtomicU32>,
}

impl Part {
    /// Its group and binding.
    pub(super) fn at(&self) -> (u32, u32) {
        (self.group, self.entry.binding)
    }

    pub(super) fn is_written(&self) -> bool {
        self.entry.ty == BufferBindingType::Storage
    }
}

/// A word that a device and the CPU disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) workgroup: [u32; 3],
    /// Group and binding.
    pub(super) at: (u32, u32),
    pub(super) word: u32,
    pub(super) expected: u32,
    pub(super) found: u32,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([x, y, z], (group, binding)) = (self.workgroup, self.at);
        write!(
            f,
            "workgroup ({x}, {y}, {z}) wrote {:#010x} to word {} of @group({group}) @binding({binding}), and {:#010x} on the CPU",
            self.found, self.word, self.expected
        )
    }
}

impl Watched {
    /// Interprets the workgroups one after the other, each on the buffers as they were, and compares what they wrote with `found`,
    /// which gives the word at an index of a part after the dispatch. What does not end in `time` is left unchecked.
    pub(super) fn compare(
        &self,
        lowered: &Lowered,
        budget: u32,
        time: Duration,
        found: impl Fn(&Part, usize) -> Option<u32>,
    ) -> Option<Mismatch> {
        let program = Program::compile(lowered.module(), lowered.info()).ok()?;
        let system = SystemBuffers::new(SystemParams { budget, ..SystemParams::whole(self.of) });
        let mut buffers = Buffers::new();
        buffers.bind_system(&system);
        for part in &self.parts {
            buffers.bind(part.group, part.entry.binding, &part.words);
        }
        stopped_after(time, |stop| {
            self.workgroups.iter().find_map(|workgroup| {
                let before: Vec<Vec<u32>> = self.parts.iter().map(|part| from_words(&part.words)).collect();
                let writes = program.run_workgroup(&buffers, *workgroup, self.of, stop);
                for (part, before) in self.parts.iter().zip(&before).filter(|(part, _)| part.is_written()) {
                    part.words.iter().zip(before).for_each(|(word, before)| word.store(*before, Relaxed));
                }
                let mut writes = writes.unwrap_or_default().into_iter().filter(|write| !write.atomic);
                writes.find_map(|write| self.mismatch(*workgroup, write, &found))
            })
        })
    }

    fn mismatch(
        &self,
        workgroup: [u32; 3],
        write: Write,
        found: impl Fn(&Part, usize) -> Option<u32>,
    ) -> Option<Mismatch> {
        let Write { group, binding, word, value: expected, .. } = write;
        let at = (group, binding);
        let part = self.parts.iter().find(|part| part.at() == at)?;
        let found = found(part, usize::try_from(word).ok()?)?;
        (found != expected).then_some(Mismatch { workgroup, at, word, expected, found })
    }
}

impl WgpuDevice {
    /// The numbers of the commands that are to be watched.
    pub(super) fn choose(&mut self, commands: &[Command]) -> Vec<usize> {
        if self.sampler.is_none() {
            return Vec::new();
        }
        let (numbers, shapes): (Vec<_>, Vec<_>) = self.shapes(commands).into_iter().unzip();
        let chosen = self.sampler.as_mut().map(|sampler| sampler.choose(&shapes)).unwrap_or_default();
        chosen.into_iter().filter_map(|chosen| numbers.get(chosen).copied()).collect()
    }

    /// The dispatches under profile dp32 in some commands, with their numbers.
    fn shapes(&self, commands: &[Command]) -> Vec<(usize, Shape)> {
        let mut pipeline = None;
        let mut groups: [Option<BindGroupId>; 3] = [None; 3];
        let mut shapes = Vec::new();
        for (number, command) in commands.iter().enumerate() {
            match command {
                Command::BeginPass => (pipeline, groups) = (None, [None; 3]),
                Command::SetPipeline(id) => pipeline = Some(*id),
                Command::SetBindGroup { index, group, .. } => {
                    let slot = usize::try_from(*index).ok().and_then(|index| groups.get_mut(index));
                    slot.into_iter().for_each(|slot| *slot = Some(*group));
                }
                Command::Dispatch { x, y, z } => {
                    let of = [*x, *y, *z];
                    shapes.extend(pipeline.and_then(|pipeline| Some((number, self.shape(pipeline, of, &groups)?))));
                }
                _ => {}
            }
        }
        shapes
    }

    fn shape(&self, pipeline: ComputePipelineId, of: [u32; 3], groups: &[Option<BindGroupId>]) -> Option<Shape> {
        let used = self.pipelines.get(pipeline).filter(|pipeline| pipeline.dp32.is_some())?.layouts.len();
        let groups = groups.iter().take(used).filter_map(|group| self.groups.get((*group)?));
        let sizes = groups.flat_map(|group| group.shape.bound.iter().map(|bound| bound.size)).collect();
        Some(Shape { pipeline, of, sizes })
    }

    /// Copies what is bound to a dispatch that is about to be submitted, if there is time to check it.
    pub(super) fn watch<'a>(
        &mut self,
        pipeline: ComputePipelineId,
        of: [u32; 3],
        set_groups: impl Iterator<Item = &'a Command>,
    ) -> Result<Option<Watched>, DeviceError> {
        let mut parts = self.bound_to(pipeline, set_groups);
        let bytes = parts.iter().map(|part| part.size).sum();
        let Some(sampler) = self.sampler.as_mut().filter(|sampler| sampler.affords(bytes)) else { return Ok(None) };
        let workgroups = sampler.workgroups(of);
        sampler.checked(Shape { pipeline, of, sizes: parts.iter().map(|part| part.size).collect() });
        // What the job waits for anyway is not the check's time.
        self.work.drain(&self.guard)?;
        let since = Instant::now();
        for part in &mut parts {
            let (from, offset, size) = (&part.buffer.raw, part.offset, part.size);
            let bytes = self.staging.download(&self.guard, &mut self.work, from, offset, size)?;
            part.words = words_of(&bytes);
        }
        Ok(Some(Watched { pipeline, of, workgroups, parts, spent: since.elapsed() }))
    }

    /// The ranges that a pipeline sees through bind groups.
    fn bound_to<'a>(&self, pipeline: ComputePipelineId, set_groups: impl Iterator<Item = &'a Command>) -> Vec<Part> {
        let mut parts = Vec::new();
        let layouts = self.pipelines.get(pipeline).map_or(0, |pipeline| pipeline.layouts.len());
        for command in set_groups {
            let Command::SetBindGroup { index, group, dynamic_offsets } = command else { continue };
            let within = usize::try_from(*index).is_ok_and(|index| index < layouts);
            let Some(group) = self.groups.get(*group).filter(|_| within) else { continue };
            let mut dynamic = dynamic_offsets.iter();
            for (bound, buffer) in group.shape.bound.iter().zip(&group.buffers) {
                let moved = if bound.entry.has_dynamic_offset { dynamic.next().copied().unwrap_or(0) } else { 0 };
                parts.push(Part {
                    group: *index,
                    entry: bound.entry,
                    buffer: Arc::clone(buffer),
                    offset: bound.offset + u64::from(moved),
                    size: bound.size,
                    words: Vec::new(),
                });
            }
        }
        parts
    }

    /// Runs workgroups of a dispatch that has been submitted again, on the CPU.
    pub(super) fn compare(&mut self, watched: &Watched) -> Result<(), DeviceError> {
        let dp32 = self.pipelines.get(watched.pipeline).and_then(|pipeline| pipeline.dp32.clone());
        let (Some(Dp32 { lowered, .. }), Some(sampler)) = (dp32, &self.sampler) else { return Ok(()) };
        let (budget, time) = (self.budget(), sampler.time());
        self.work.drain(&self.guard)?;
        let since = Instant::now();
        let mut after = Vec::new();
        for part in watched.parts.iter().filter(|part| part.is_written()) {
            let (from, offset, size) = (&part.buffer.raw, part.offset, part.size);
            let bytes = self.staging.download(&self.guard, &mut self.work, from, offset, size)?;
            after.push((part.at(), words_of(&bytes)));
        }
        let found = |part: &Part, word: usize| {
            let (_, words) = after.iter().find(|(at, _)| *at == part.at())?;
            Some(words.get(word)?.load(Relaxed))
        };
        let mismatch = watched.compare(&lowered, budget, time, found);
        if let Some(mismatch) = mismatch {
            return Err(self.confirm(watched, mismatch)?.into());
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.spend(watched.spent + since.elapsed());
        }
        Ok(())
    }
}

pub(super) fn from_words(words: &[AtomicU32]) -> Vec<u32> {
    words.iter().map(|word| word.load(Relaxed)).collect()
}

/// Runs what looks at a flag that is set after some time.
pub(super) fn stopped_after<T>(time: Duration, work: impl FnOnce(&AtomicBool) -> T) -> T {
    let stop = AtomicBool::new(false);
    let (done, waits) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let waits = waits;
            if waits.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
                stop.store(true, Relaxed);
            }
        });
        let result = work(&stop);
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Slots;

    fn shapes(workgroups: &[u32]) -> Vec<Shape> {
        let pipeline = Slots::<ComputePipelineId, ()>::default().insert(()).unwrap();
        workgroups.iter().map(|x| Shape { pipeline, of: [*x, 1, 1], sizes: vec![4] }).collect()
    }

    #[test]
    fn small_dispatches_are_drawn_seldom_and_large_ones_always() {
        let mut sampler = Sampler::new(NonZeroU64::new(1000).unwrap());
        assert_eq!(sampler.draw_one(&shapes(&[0, 0])), None);
        assert_eq!(sampler.draw_one(&shapes(&[0, 1000, 0])), Some(1));
        let few = shapes(&[0, 10]);
        let chosen = (0..100_000).filter(|_| sampler.draw_one(&few).is_some()).count();
        assert!((500..2000).contains(&chosen), "{chosen} instead of 1000");
        let many = shapes(&[3000, 1000]);
        let second = (0..1000).filter(|_| sampler.draw_one(&many) == Some(1)).count();
        assert!((150..350).contains(&second), "{second} instead of 250");
    }

    #[test]
    fn of_each_shape_the_first_is_chosen_until_it_has_been_checked() {
        // Hardly any is drawn.
        let mut sampler = Sampler::new(NonZeroU64::MAX);
        let dispatches = shapes(&[1, 0, 2, 1, 2, 3]);
        assert_eq!(sampler.choose(&dispatches), [0, 2, 5]);
        assert_eq!(sampler.choose(&dispatches), [0, 2, 5]);
        sampler.checked(dispatches[2].clone());
        assert_eq!(sampler.choose(&dispatches), [0, 5]);
        let other = Shape { sizes: vec![8], ..dispatches[2].clone() };
        assert_eq!(sampler.choose(&[dispatches[2].clone(), other]), [1]);
        assert_eq!(sampler.choose(&shapes(&(10..100).collect::<Vec<_>>())).len(), MAX_NEW);
        (0..2 * MAX_SHAPES).for_each(|x| sampler.checked(shapes(&[u32::try_from(x).unwrap()]).remove(0)));
        assert_eq!(sampler.shapes.len(), MAX_SHAPES);
        let mut sampler = Sampler::new(NonZeroU64::MAX);
        sampler.spend(Duration::from_secs(3600));
        assert!(sampler.choose(&dispatches).is_empty());
    }

    #[test]
    fn workgroups_lie_in_the_dispatch() {
        let mut sampler = Sampler::new(NonZeroU64::new(10).unwrap());
        let drawn: Vec<_> = (0..100).flat_map(|_| sampler.workgroups([5, 3, 7])).collect();
        assert_eq!(drawn.len(), 1000);
        assert!(drawn.iter().all(|[x, y, z]| *x < 5 && *y < 3 && *z < 7));
        for axis in 0..3 {
            assert!(drawn.iter().any(|at| at[axis] == 0) && drawn.iter().any(|at| at[axis] == [4, 2, 6][axis]));
        }
    }

    #[test]
    fn checks_take_no_more_than_their_part_of_the_time() {
        let mut sampler = Sampler::new(NonZeroU64::MIN);
        assert!(sampler.affords(1 << 20));
        assert!(!sampler.affords(MAX_BYTES + 4));
        sampler.spend(Duration::from_secs(3600));
        assert!(!sampler.affords(4));
    }
}
