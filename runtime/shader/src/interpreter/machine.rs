//! Runs a program for the invocations of a few workgroups.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::code::{AtomicOp, Base, Inst, Length, Mask, NOWHERE, Place, Reg};
use super::compile::Input;
use super::lanes::{File, LANE_GROUP, LaneSet, Masks, Words};
use super::{Program, Stopped};

/// An invocation's access to a word of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// A write, with the new value of the word.
    Write(u32),
}

/// The kind of an atomic operation: which others on the same word it commutes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Atomic {
    /// Sums and differences commute with one another.
    Sum,
    Min,
    Max,
    And,
    Or,
    Xor,
    /// Loads, stores and exchanges do not commute.
    Ordered,
}

/// A word of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Word {
    Workgroup(u32),
    /// The buffer's index in `Program::buffers`, and the word.
    Buffer(u32, u32),
}

/// Observes what invocations do with memory that they share.
pub(super) trait Watch {
    /// False: no accesses are reported.
    const WATCHES: bool;

    /// An access by the instruction at `place`.
    fn access(&mut self, place: usize, lane: usize, word: Word, access: Access, atomic: Option<Atomic>);

    /// A barrier that orders what is done to buffers, to the workgroup's memory, or to both.
    fn barrier(&mut self, storage: bool, workgroup: bool);
}

/// Observes nothing.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    const WATCHES: bool = false;

    fn access(&mut self, _place: usize, _lane: usize, _word: Word, _access: Access, _atomic: Option<Atomic>) {}

    fn barrier(&mut self, _storage: bool, _workgroup: bool) {}
}

/// Registers, masks and memory of the lanes that advance together.
pub(super) struct Machine<'p> {
    program: &'p Program,
    buffers: Vec<&'p [AtomicU32]>,
    file: File,
    masks: Masks,
    workgroup: Vec<u32>,
    /// By lane: where its workgroup's memory begins. Empty if there is one workgroup.
    slots: Vec<u32>,
    returns: Vec<usize>,
}

impl<'p> Machine<'p> {
    /// A machine for up to `slots` workgroups at once.
    pub(super) fn new(program: &'p Program, buffers: Vec<&'p [AtomicU32]>, slots: usize) -> Self {
        let size = program.invocations;
        let lanes = (size * slots).next_multiple_of(LANE_GROUP);
        let words = program.workgroup_words;
        let slot = |lane: usize| u32::try_from(lane / size).unwrap_or(0).saturating_mul(words);
        let some_slots = if slots > 1 { (0..lanes).map(slot).collect() } else { Vec::new() };
        Self {
            program,
            buffers,
            file: File::new(lanes, program.registers.each, &program.registers.all),
            masks: Masks::new(lanes, program.masks),
            workgroup: vec![0; words as usize * slots],
            slots: some_slots,
            returns: Vec::new(),
        }
    }

    /// Runs workgroups that follow one another, x first.
    pub(super) fn run<W: Watch>(
        &mut self,
        groups: &[[u32; 3]],
        count: [u32; 3],
        stop: &AtomicBool,
        watch: &mut W,
    ) -> Result<(), Stopped> {
        self.masks.live = (self.program.invocations * groups.len()).min(self.file.lanes);
        self.workgroup.fill(0);
        self.inputs(groups, count);
        self.returns.clear();
        self.masks.set_all(self.program.entry.entry);
        self.execute(self.program.entry.start.0 as usize, stop, watch)
    }

    fn inputs(&mut self, groups: &[[u32; 3]], count: [u32; 3]) {
        let program = self.program;
        let [width, height, _] = program.workgroup_size.map(|size| size.max(1));
        let size = program.invocations;
        for &(input, reg) in &program.inputs {
            for (axis, at) in (0_usize..3).zip(0..if input == Input::LocalIndex { 1 } else { 3 }) {
                let reg = reg.at(at);
                let word = |lane: usize| {
                    let index = u32::try_from(lane % size).unwrap_or(0);
                    let local = [index % width, index / width % height, index / width / height];
                    let group = groups.get(lane / size).copied().unwrap_or_default();
                    let of = |id: [u32; 3]| id.get(axis).copied().unwrap_or(0);
                    match input {
                        Input::LocalIndex => index,
                        Input::LocalId => of(local),
                        Input::WorkgroupId => of(group),
                        Input::NumWorkgroups => of(count),
                        Input::GlobalId => of(group).wrapping_mul(of(program.workgroup_size)).wrapping_add(of(local)),
                    }
                };
                if reg.is_uniform() {
                    self.file.set_all(reg, word(0));
                } else {
                    let (out, _) = self.file.split(reg);
                    out.iter_mut().enumerate().for_each(|(lane, out)| *out = word(lane));
                }
            }
        }
    }

    fn execute<W: Watch>(&mut self, start: usize, stop: &AtomicBool, watch: &mut W) -> Result<(), Stopped> {
        let program = self.program;
        let mut at = start;
        while let Some(inst) = program.code.get(at) {
            if stop.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            let here = at;
            at += 1;
            match inst {
                Inst::Nop => {}
                Inst::Copy { dst, src, count } => self.file.copy(*dst, *src, *count, 1),
                Inst::Splat { dst, src, count } => self.file.copy(*dst, *src, *count, 0),
                Inst::Assign { dst, src, count, mask } => {
                    self.file.assign(*dst, *src, *count, self.masks.get(*mask));
                }
                Inst::Unary { op, dst, a, count } => self.file.unary(*op, *dst, *a, *count),
                Inst::Binary { op, dst, a, b, count } => self.file.binary(*op, *dst, *a, *b, *count),
                Inst::Bits { op, dst, value, bits, offset, length, count } => {
                    for i in 0..*count {
                        self.file.bits(*op, dst.at(i), [value.at(i), bits.at(i), *offset, *length]);
                    }
                }
                Inst::Select { dst, condition, accept, reject, count, wide } => {
                    for i in 0..*count {
                        let condition = if *wide { condition.at(i) } else { *condition };
                        self.file.select(dst.at(i), condition, accept.at(i), reject.at(i));
                    }
                }
                Inst::Index { dst, previous, index, length, stride } => {
                    let length = match *length {
                        Length::Fixed(length) => length,
                        Length::Runtime { buffer, offset } => self.elements(buffer, offset, *stride),
                    };
                    self.file.index(*dst, *previous, *index, length, *stride);
                }
                Inst::ArrayLength { dst, buffer, offset, stride } => {
                    let length = self.elements(*buffer, *offset, *stride);
                    if dst.is_uniform() {
                        self.file.set_all(*dst, length);
                    } else {
                        self.file.split(*dst).0.fill(length);
                    }
                }
                Inst::Address { dst, variable, offset, dynamic, .. } => {
                    let base = u32::try_from(variable.index()).unwrap_or(u32::MAX).saturating_add(*offset);
                    match dynamic {
                        Some(dynamic) => self.file.offset(*dst, *dynamic, base),
                        None if dst.is_uniform() => self.file.set_all(*dst, base),
                        None => self.file.split(*dst).0.fill(base),
                    }
                }
                Inst::Load { dst, place, count, scatter, mask, atomic } => {
                    for i in 0..*count {
                        let word = word_of(scatter.as_deref(), i);
                        self.load(dst.at(i), *place, word);
                        if W::WATCHES {
                            self.tell(watch, here, *place, word, *mask, *atomic, |_| Access::Read);
                        }
                    }
                }
                Inst::Store { place, src, count, scatter, mask, atomic } => {
                    for i in 0..*count {
                        let word = word_of(scatter.as_deref(), i);
                        self.store(*place, word, src.at(i), *mask);
                        if W::WATCHES {
                            let file = &self.file;
                            let value = file.get(src.at(i));
                            self.tell(watch, here, *place, word, *mask, *atomic, |lane| Access::Write(value.get(lane)));
                        }
                    }
                }
                Inst::Atomic { op, place, value, dst, mask } => {
                    self.atomic(here, *op, *place, *value, *dst, *mask, watch);
                }
                Inst::Barrier { storage, workgroup } => {
                    if W::WATCHES {
                        watch.barrier(*storage, *workgroup);
                    }
                }
                Inst::MaskIf { parent, condition, accept, reject } => {
                    if let Some(reject) = reject {
                        self.masks.set(*reject, *parent);
                        self.masks.restrict(*reject, self.file.get(*condition), u32::MAX);
                    }
                    self.masks.set(*accept, *parent);
                    self.masks.restrict(*accept, self.file.get(*condition), 0);
                }
                Inst::MaskCase { dst, parent, selector, values, none_of, accumulate } => {
                    if !accumulate {
                        self.masks.clear(*dst);
                    }
                    self.masks.case(*dst, *parent, self.file.get(*selector), values, *none_of);
                }
                Inst::MaskSet { dst, src } => self.masks.set(*dst, *src),
                Inst::MaskClear { dst } => self.masks.clear(*dst),
                Inst::MaskOr { dst, src } => self.masks.or(*dst, *src),
                Inst::MaskJoin { dst, a, b, .. } => {
                    self.masks.set(*dst, *a);
                    if let Some(b) = b {
                        self.masks.or(*dst, *b);
                    }
                }
                Inst::MaskTurn { dst, body, continued, .. } => {
                    self.masks.set(*dst, *body);
                    self.masks.or(*dst, *continued);
                }
                Inst::MaskRemove { dst, src, .. } => self.masks.remove(*dst, *src),
                Inst::MaskUnless { dst, condition } => {
                    self.masks.restrict(*dst, self.file.get(*condition), u32::MAX);
                }
                Inst::Jump { target } => at = target.0 as usize,
                Inst::JumpIfNone { mask, target } => {
                    if self.masks.is_none(*mask) {
                        at = target.0 as usize;
                    }
                }
                Inst::Repeat { mask, target } => {
                    if !self.masks.is_none(*mask) {
                        at = target.0 as usize;
                    }
                }
                Inst::Call { function, entry, mask } => {
                    self.masks.set(*entry, *mask);
                    if let Some(code) = program.functions.get(*function as usize) {
                        self.returns.push(at);
                        at = code.start.0 as usize;
                    }
                }
                Inst::Return => match self.returns.pop() {
                    Some(caller) => at = caller,
                    None => return Ok(()),
                },
            }
        }
        Ok(())
    }

    /// How many elements a run-time sized array has.
    fn elements(&self, buffer: u32, offset: u32, stride: u32) -> u32 {
        let words = self.buffers.get(buffer as usize).map_or(0, |words| words.len());
        let words = u32::try_from(words).unwrap_or(u32::MAX);
        words.saturating_sub(offset) / stride.max(1)
    }

    fn load(&mut self, dst: Reg, place: Place, word: u32) {
        let at = place.offset.wrapping_add(word);
        match place.base {
            Base::Buffer(buffer) => {
                let words = self.buffers.get(buffer as usize).copied().unwrap_or_default();
                self.file.gather_words(dst, place.dynamic, at, words, |word| word.load(Ordering::Relaxed));
            }
            Base::Workgroup => {
                let (words, slots) = (&self.workgroup, &self.slots);
                if slots.is_empty() {
                    self.file.gather_words(dst, place.dynamic, at, words, |word| *word);
                } else {
                    self.file.gather(dst, place.dynamic, |_, lane, dynamic| {
                        let slot = slots.get(lane).copied().unwrap_or(0);
                        words.get(slot.wrapping_add(at).wrapping_add(dynamic) as usize).copied().unwrap_or(0)
                    });
                }
            }
            Base::Registers(variable, length) => self.file.gather(dst, place.dynamic, |others, lane, dynamic| {
                let at = at.wrapping_add(dynamic);
                if at < length { others.word(variable.at(at), lane) } else { 0 }
            }),
            Base::Pointer => self.file.gather(dst, place.dynamic, |others, lane, dynamic| {
                let reg = at.wrapping_add(dynamic);
                if reg & NOWHERE == 0 { others.word(Reg(reg), lane) } else { 0 }
            }),
        }
    }

    fn store(&mut self, place: Place, word: u32, src: Reg, mask: Mask) {
        let at = place.offset.wrapping_add(word);
        let live = self.masks.live;
        let lanes = self.masks.get(mask);
        match place.base {
            Base::Buffer(buffer) => {
                let words = self.buffers.get(buffer as usize).copied().unwrap_or_default();
                let dynamic = place.dynamic.map_or(Words::All(0), |dynamic| self.file.get(dynamic));
                let src = self.file.get(src);
                each_lane(lanes, live, |lane| {
                    if let Some(word) = words.get(at.wrapping_add(dynamic.get(lane)) as usize) {
                        word.store(src.get(lane), Ordering::Relaxed);
                    }
                });
            }
            Base::Workgroup => {
                let dynamic = place.dynamic.map_or(Words::All(0), |dynamic| self.file.get(dynamic));
                let src = self.file.get(src);
                let (words, slots) = (&mut self.workgroup, &self.slots);
                each_lane(lanes, live, |lane| {
                    let slot = slots.get(lane).copied().unwrap_or(0);
                    let at = slot.wrapping_add(at).wrapping_add(dynamic.get(lane));
                    if let Some(word) = words.get_mut(at as usize) {
                        *word = src.get(lane);
                    }
                });
            }
            Base::Registers(variable, length) => {
                let file = &mut self.file;
                each_lane(lanes, live, |lane| {
                    let dynamic = place.dynamic.map_or(0, |dynamic| file.get(dynamic).get(lane));
                    let value = file.get(src).get(lane);
                    let at = at.wrapping_add(dynamic);
                    if at < length
                        && let Some(word) = file.word_mut(variable.at(at).index(), lane)
                    {
                        *word = value;
                    }
                });
            }
            Base::Pointer => {
                let file = &mut self.file;
                each_lane(lanes, live, |lane| {
                    let dynamic = place.dynamic.map_or(0, |dynamic| file.get(dynamic).get(lane));
                    let value = file.get(src).get(lane);
                    let reg = at.wrapping_add(dynamic);
                    if reg & NOWHERE == 0
                        && let Some(word) = file.word_mut(reg as usize, lane)
                    {
                        *word = value;
                    }
                });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an instruction's fields")]
    fn atomic<W: Watch>(
        &mut self,
        here: usize,
        op: AtomicOp,
        place: Place,
        value: Reg,
        dst: Option<Reg>,
        mask: Mask,
        watch: &mut W,
    ) {
        let live = self.masks.live;
        let (file, workgroup, slots) = (&mut self.file, &mut self.workgroup, &self.slots);
        let buffer = match place.base {
            Base::Buffer(buffer) => Some((buffer, self.buffers.get(buffer as usize).copied().unwrap_or_default())),
            _ => None,
        };
        each_lane(self.masks.get(mask), live, |lane| {
            let dynamic = place.dynamic.map_or(0, |dynamic| file.get(dynamic).get(lane));
            let at = place.offset.wrapping_add(dynamic);
            if at & NOWHERE != 0 {
                return;
            }
            let value = file.get(value).get(lane);
            let compare = match op {
                AtomicOp::CompareExchange(compare) => file.get(compare).get(lane),
                _ => 0,
            };
            let new = |old: u32| combine(op, old, value, compare);
            let (word, old) = match buffer {
                Some((number, words)) => {
                    let word = words.get(at as usize);
                    let old = word.map_or(0, |word| update(word, new));
                    (Word::Buffer(number, at), old)
                }
                None => {
                    let slot = slots.get(lane).copied().unwrap_or(0);
                    let word = workgroup.get_mut(slot.wrapping_add(at) as usize);
                    let old = word.map_or(0, |word| std::mem::replace(word, new(*word)));
                    (Word::Workgroup(at), old)
                }
            };
            if W::WATCHES {
                watch.access(here, lane, word, Access::Write(new(old)), Some(order(op)));
            }
            if let Some(dst) = dst {
                if let Some(slot) = file.word_mut(dst.index(), lane) {
                    *slot = old;
                }
                if let AtomicOp::CompareExchange(_) = op
                    && let Some(slot) = file.word_mut(dst.at(1).index(), lane)
                {
                    *slot = if old == compare { u32::MAX } else { 0 };
                }
            }
        });
    }

    /// Reports each lane's access to `watch`.
    #[expect(clippy::too_many_arguments, reason = "an instruction's fields")]
    fn tell<W: Watch>(
        &self,
        watch: &mut W,
        here: usize,
        place: Place,
        word: u32,
        mask: Mask,
        atomic: bool,
        access: impl Fn(usize) -> Access,
    ) {
        let dynamic = place.dynamic.map_or(Words::All(0), |dynamic| self.file.get(dynamic));
        let at = place.offset.wrapping_add(word);
        each_lane(self.masks.get(mask), self.masks.live, |lane| {
            let at = at.wrapping_add(dynamic.get(lane));
            let word = match place.base {
                _ if at & NOWHERE != 0 => return,
                Base::Buffer(buffer) => Word::Buffer(buffer, at),
                Base::Workgroup => Word::Workgroup(at),
                Base::Registers(..) | Base::Pointer => return,
            };
            watch.access(here, lane, word, access(lane), atomic.then_some(Atomic::Ordered));
        });
    }
}

fn word_of(scatter: Option<&[u32]>, index: u32) -> u32 {
    scatter.map_or(index, |scatter| scatter.get(index as usize).copied().unwrap_or(0))
}

fn each_lane(lanes: LaneSet<'_>, live: usize, mut work: impl FnMut(usize)) {
    match lanes {
        LaneSet::None => {}
        LaneSet::All => (0..live).for_each(work),
        LaneSet::Some(words) => {
            for (lane, word) in words.iter().take(live).enumerate() {
                if *word != 0 {
                    work(lane);
                }
            }
        }
    }
}

fn order(op: AtomicOp) -> Atomic {
    match op {
        AtomicOp::Add | AtomicOp::Sub => Atomic::Sum,
        AtomicOp::IMin | AtomicOp::UMin => Atomic::Min,
        AtomicOp::IMax | AtomicOp::UMax => Atomic::Max,
        AtomicOp::And => Atomic::And,
        AtomicOp::Or => Atomic::Or,
        AtomicOp::Xor => Atomic::Xor,
        AtomicOp::Exchange | AtomicOp::CompareExchange(_) => Atomic::Ordered,
    }
}

fn combine(op: AtomicOp, old: u32, value: u32, compare: u32) -> u32 {
    let signed = u32::cast_signed;
    match op {
        AtomicOp::Add => old.wrapping_add(value),
        AtomicOp::Sub => old.wrapping_sub(value),
        AtomicOp::And => old & value,
        AtomicOp::Or => old | value,
        AtomicOp::Xor => old ^ value,
        AtomicOp::IMin => signed(old).min(signed(value)).cast_unsigned(),
        AtomicOp::IMax => signed(old).max(signed(value)).cast_unsigned(),
        AtomicOp::UMin => old.min(value),
        AtomicOp::UMax => old.max(value),
        AtomicOp::Exchange => value,
        AtomicOp::CompareExchange(_) => {
            if old == compare {
                value
            } else {
                old
            }
        }
    }
}

/// Replaces a word that others may change at the same time. Returns its old value.
fn update(word: &AtomicU32, new: impl Fn(u32) -> u32) -> u32 {
    let mut old = word.load(Ordering::Relaxed);
    loop {
        match word.compare_exchange_weak(old, new(old), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(old) => return old,
            Err(now) => old = now,
        }
    }
}
