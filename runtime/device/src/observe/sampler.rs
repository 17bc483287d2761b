//! Chooses the dispatches and workgroups to check, and bounds the time that checks take.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::core::{Dispatch, is_replayable};

/// Dispatches with more bytes bound are not watched.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// The most workgroups of one dispatch that are checked.
const MAX_WORKGROUPS: u64 = 16;

/// The most dispatches of one submission that are watched because their shape is new.
const MAX_NEW: usize = 8;

/// The most shapes of a job that are remembered. In a job with more, only random dispatches are checked from then on.
const MAX_SHAPES: usize = 4096;

/// No check begins once checks have taken one part in so many of the job's time, plus [`GRACE`].
const PART: u32 = 20;

/// Time for checks in a job that has only just begun.
const GRACE: Duration = Duration::from_millis(20);

/// The least time for interpreting the workgroups of one dispatch.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// How many bytes are copied from a device in a second, at least.
const BYTES_PER_SECOND: u64 = 1 << 30;

/// The kernel of a dispatch, its number of workgroups, and the sizes of its bound ranges. Dispatches of equal shape are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// The number of the pipeline.
    pipeline: u64,
    of: [u32; 3],
    /// Bytes of each bound range.
    sizes: Vec<u64>,
}

impl Shape {
    /// The shape of a dispatch; None if it cannot be replayed.
    pub(super) fn of(dispatch: &Dispatch) -> Option<Self> {
        is_replayable(&dispatch.pipeline).then(|| Self {
            pipeline: dispatch.pipeline.state().serial,
            of: dispatch.workgroups,
            sizes: dispatch.ranges().map(|(_, range)| range.size).collect(),
        })
    }

    fn workgroups(&self) -> u64 {
        self.of.iter().fold(1, |all, side| all.saturating_mul(u64::from(*side)))
    }
}

/// Decides which dispatches and workgroups are checked.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// One workgroup in so many.
    one_in: NonZeroU64,
    began: Instant,
    spent: Duration,
    /// [`LEAST_TIME`], except in tests.
    pub(crate) least_time: Duration,
    /// [`GRACE`], except in tests.
    pub(crate) grace: Duration,
    seed: RandomState,
    drawn: u64,
    /// The shapes of which a dispatch has been checked.
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

    /// A random number below `end`. It need not be perfectly uniform, but senders of jobs must not be able to predict it.
    fn draw(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        self.seed.hash_one(self.drawn) % end.max(1)
    }

    /// Chooses the dispatches to watch, by number: the first of each shape that has not been checked yet, and, if a workgroup is
    /// drawn from all of them, the dispatch that it belongs to.
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
    pub(super) fn checked(&mut self, shape: Shape) {
        if self.shapes.len() < MAX_SHAPES {
            self.shapes.insert(shape);
        }
    }

    /// Chooses the workgroups of a watched dispatch to run again.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(workgroups: &[u32]) -> Vec<Shape> {
        workgroups.iter().map(|x| Shape { pipeline: 7, of: [*x, 1, 1], sizes: vec![4] }).collect()
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
        // The draw practically never chooses one.
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
