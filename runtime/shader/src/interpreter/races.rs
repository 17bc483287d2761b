//! Finds races: two invocations that touch one word with no barrier in between, one of them writing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use naga::Span;
use serde::{Deserialize, Serialize};

use super::Program;
use super::compile::WorkgroupVariable;
use super::machine::{Access, Atomic, Watch, Word};
use crate::SourceLocation;
use crate::dp32::SYSTEM_GROUP;

/// The most words that are followed in a dispatch. Races on further words are not found.
const MAX_WORDS: usize = 1 << 23;

/// The memory of a race.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RaceMemory {
    /// A buffer; the word counts from where it is bound.
    Buffer {
        /// The number in `@group(n)`.
        group: u32,
        /// The number in `@binding(n)`.
        binding: u32,
    },
    /// A variable of the workgroup's memory, by name.
    Workgroup(String),
}

/// One of the two accesses of a race.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceAccess {
    /// The invocation's `global_invocation_id`.
    pub invocation: [u32; 3],
    /// Its `workgroup_id`.
    pub workgroup: [u32; 3],
    /// Its `local_invocation_id`.
    pub local: [u32; 3],
    /// Whether it wrote.
    pub writes: bool,
    /// Whether it was an atomic operation.
    pub atomic: bool,
    /// Where it is in the source.
    pub location: Option<SourceLocation>,
}

/// Two invocations of a dispatch touched one word, one of them wrote, and no barrier came between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Race {
    /// The entry point.
    pub entry_point: String,
    /// The memory that the word is in.
    pub memory: RaceMemory,
    /// The word's index: in the bound range of a buffer, or among the scalars of a variable.
    pub word: u32,
    /// The two accesses, the earlier first.
    pub accesses: [RaceAccess; 2],
}

/// What is known about the races of one or more dispatches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceReport {
    /// The races that were found, up to a given number.
    pub races: Vec<Race>,
    /// There were more than that number.
    pub more: bool,
    /// So many words were touched that not all could be followed: there may be races that were not seen.
    pub unfollowed: bool,
}

impl RaceReport {
    /// Adds the report of another dispatch, up to `most` races. Races between the same places in the source, in the same
    /// memory, are listed once.
    pub fn add(&mut self, other: Self, most: usize) {
        for race in other.races {
            if self.races.iter().any(|listed| listed.is_like(&race)) {
                continue;
            }
            if self.races.len() < most {
                self.races.push(race);
            } else {
                self.more = true;
            }
        }
        self.more |= other.more;
        self.unfollowed |= other.unfollowed;
    }
}

impl Race {
    /// Whether both are between the same places in the source, and in the same memory.
    fn is_like(&self, other: &Self) -> bool {
        let places = |race: &Self| race.accesses.each_ref().map(|access| access.location);
        self.entry_point == other.entry_point && self.memory == other.memory && places(self) == places(other)
    }
}

impl fmt::Display for RaceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.invocation;
        let verb = if self.writes { "writes" } else { "reads" };
        let how = if self.atomic { " atomically" } else { "" };
        write!(f, "invocation ({x}, {y}, {z}) {verb}{how}")?;
        match self.location {
            Some(SourceLocation { line, column, .. }) => write!(f, " at {line}:{column}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = &self.accesses;
        let word = self.word;
        write!(f, "`{}`: ", self.entry_point)?;
        match &self.memory {
            RaceMemory::Buffer { group, binding } => write!(f, "word {word} of @group({group}) @binding({binding})")?,
            RaceMemory::Workgroup(name) => write!(f, "word {word} of var<workgroup> `{name}`")?,
        }
        write!(f, ": {first}, {second}, and no barrier is between")
    }
}

/// Follows one dispatch, workgroup by workgroup.
///
/// Each pair of places in the source is reported once for each memory, up to a given number of races in all.
#[derive(Debug)]
pub struct Races {
    source: Arc<str>,
    most: usize,
    most_words: usize,
    report: RaceReport,
    reported: HashSet<(u32, u32, u32)>,
    words: HashMap<Word, Seen>,
    now: Now,
}

/// The current position in the dispatch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Now {
    group: [u32; 3],
    /// Counts workgroups.
    workgroup: u64,
    /// Counts barriers for the workgroup's memory.
    local_phase: u32,
    /// Counts barriers for buffers.
    buffer_phase: u32,
}

/// The remembered accesses to a word.
#[derive(Debug, Default)]
struct Seen {
    /// The workgroup and phase that `here` is about.
    workgroup: u64,
    phase: u32,
    /// For each kind of access, those by the first two lanes.
    here: Vec<Touch>,
    /// For each kind of access, those by the first two workgroups. Nothing orders the accesses of different workgroups.
    before: Vec<Touch>,
}

#[derive(Clone, Copy, Debug)]
struct Touch {
    group: [u32; 3],
    workgroup: u64,
    lane: u32,
    place: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    writes: bool,
    atomic: Option<Atomic>,
}

impl Kind {
    fn conflicts(self, other: Self) -> bool {
        let commutes = self.atomic == other.atomic && !matches!(self.atomic, None | Some(Atomic::Ordered));
        (self.writes || other.writes) && !commutes
    }
}

impl Races {
    /// A detector for one dispatch of a program that was made from `source`; reports at most `most` races.
    pub fn new(source: Arc<str>, most: usize) -> Self {
        Self {
            source,
            most,
            most_words: MAX_WORDS,
            report: RaceReport::default(),
            reported: HashSet::new(),
            words: HashMap::new(),
            now: Now::default(),
        }
    }

    /// The races that were found.
    pub fn into_report(self) -> RaceReport {
        self.report
    }

    pub(super) fn enter(&mut self, group: [u32; 3]) {
        self.now = Now { group, workgroup: self.now.workgroup + 1, ..Now::default() };
    }

    /// Remembers an access. Returns the earlier access that it races with, if any.
    fn touch(&mut self, word: Word, touch: Touch) -> Option<Touch> {
        let phase = match word {
            Word::Workgroup(_) => self.now.local_phase,
            Word::Buffer(..) => self.now.buffer_phase,
        };
        if self.words.len() >= self.most_words && !self.words.contains_key(&word) {
            self.report.unfollowed = true;
            return None;
        }
        let seen = self.words.entry(word).or_default();
        if (seen.workgroup, seen.phase) != (touch.workgroup, phase) {
            (seen.workgroup, seen.phase) = (touch.workgroup, phase);
            seen.here.clear();
        }
        let conflicting = |other: &&Touch| touch.kind.conflicts(other.kind);
        let here = seen.here.iter().filter(conflicting).find(|other| other.lane != touch.lane);
        let before = || seen.before.iter().filter(conflicting).find(|other| other.workgroup != touch.workgroup);
        let found = here.or_else(before).copied();
        remember(&mut seen.here, touch, |touch| u64::from(touch.lane));
        if matches!(word, Word::Buffer(..)) {
            remember(&mut seen.before, touch, |touch| touch.workgroup);
        }
        found
    }
}

/// Keeps the first two accesses of a kind that differ in `who`.
fn remember(touches: &mut Vec<Touch>, touch: Touch, who: impl Fn(&Touch) -> u64) {
    let same = touches.iter().filter(|other| other.kind == touch.kind);
    let mut count = 0;
    for other in same {
        if who(other) == who(&touch) {
            return;
        }
        count += 1;
    }
    if count < 2 {
        touches.push(touch);
    }
}

/// [`Races`] with the program it watches.
pub(super) struct Watching<'a> {
    pub(super) program: &'a Program,
    pub(super) races: &'a mut Races,
}

impl Watching<'_> {
    fn describe(&self, touch: Touch) -> RaceAccess {
        let [width, height, depth] = self.program.workgroup_size.map(|side| side.max(1));
        let local = [touch.lane % width, touch.lane / width % height, touch.lane / width / height];
        let [x, y, z] = touch.group;
        let [local_x, local_y, local_z] = local;
        let id = |group: u32, size: u32, local: u32| group.wrapping_mul(size).wrapping_add(local);
        let span = self.program.spans.get(touch.place as usize).copied().unwrap_or(Span::UNDEFINED);
        let inside = span.to_range().is_some_and(|range| self.races.source.get(range).is_some());
        RaceAccess {
            invocation: [id(x, width, local_x), id(y, height, local_y), id(z, depth, local_z)],
            workgroup: touch.group,
            local,
            writes: touch.kind.writes,
            atomic: touch.kind.atomic.is_some(),
            location: inside.then(|| span.location(&self.races.source).into()),
        }
    }

    /// The memory that a word belongs to: its unique number, its description, and the word's index in it.
    fn locate(&self, word: Word) -> Option<(u32, RaceMemory, u32)> {
        match word {
            Word::Buffer(number, word) => {
                let slot = self.program.buffers.get(number as usize)?;
                let memory = RaceMemory::Buffer { group: slot.group, binding: slot.binding };
                Some((number, memory, word))
            }
            Word::Workgroup(word) => {
                let holds = |variable: &&WorkgroupVariable| {
                    word.checked_sub(variable.offset).is_some_and(|at| at < variable.words)
                };
                let variable = self.program.workgroup.iter().find(holds)?;
                let number = u32::MAX - variable.offset;
                Some((number, RaceMemory::Workgroup(variable.name.clone()), word - variable.offset))
            }
        }
    }
}

impl Watch for Watching<'_> {
    const WATCHES: bool = true;

    fn access(&mut self, place: usize, lane: usize, word: Word, access: Access, atomic: Option<Atomic>) {
        if let Word::Buffer(number, _) = word {
            let slot = self.program.buffers.get(number as usize);
            if slot.is_none_or(|slot| slot.group == SYSTEM_GROUP || !slot.writable) {
                return;
            }
        }
        let touch = Touch {
            group: self.races.now.group,
            workgroup: self.races.now.workgroup,
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
            place: u32::try_from(place).unwrap_or(u32::MAX),
            kind: Kind { writes: matches!(access, Access::Write(_)), atomic },
        };
        let Some(earlier) = self.races.touch(word, touch) else { return };
        let Some((number, memory, word)) = self.locate(word) else { return };
        if !self.races.reported.insert((number, earlier.place, touch.place)) {
            return;
        }
        if self.races.report.races.len() >= self.races.most {
            self.races.report.more = true;
            return;
        }
        let accesses = [self.describe(earlier), self.describe(touch)];
        let entry_point = self.program.name.clone();
        self.races.report.races.push(Race { entry_point, memory, word, accesses });
    }

    fn barrier(&mut self, storage: bool, workgroup: bool) {
        self.races.now.buffer_phase += u32::from(storage);
        self.races.now.local_phase += u32::from(workgroup);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_beyond_those_that_can_be_followed_are_told_of() {
        let write =
            |lane| Touch { group: [0; 3], workgroup: 1, lane, place: 0, kind: Kind { writes: true, atomic: None } };
        let mut races = Races { most_words: 2, ..Races::new("".into(), 8) };
        races.enter([0; 3]);
        for word in [0, 1] {
            assert!(races.touch(Word::Buffer(0, word), write(0)).is_none());
            assert!(races.touch(Word::Buffer(0, word), write(1)).is_some());
        }
        assert!(!races.report.unfollowed);
        assert!(races.touch(Word::Buffer(0, 2), write(0)).is_none());
        assert!(races.touch(Word::Buffer(0, 2), write(1)).is_none());
        assert!(races.into_report().unfollowed);
    }

    #[test]
    fn what_dispatches_have_in_common_is_listed_once() {
        let access = |line| RaceAccess {
            invocation: [0; 3],
            workgroup: [0; 3],
            local: [0; 3],
            writes: true,
            atomic: false,
            location: Some(SourceLocation { line, column: 1, offset: 0, length: 1 }),
        };
        let found = |line, word| RaceReport {
            races: vec![Race {
                entry_point: "main".to_owned(),
                memory: RaceMemory::Workgroup("tile".to_owned()),
                word,
                accesses: [access(line), access(line + 1)],
            }],
            ..RaceReport::default()
        };
        let mut all = RaceReport::default();
        for (line, word) in [(1, 0), (2, 0), (1, 1), (2, 5)] {
            all.add(found(line, word), 2);
        }
        assert_eq!((all.races.len(), all.more), (2, false));
        all.add(found(3, 0), 2);
        assert_eq!((all.races.len(), all.more), (2, true));
    }
}
