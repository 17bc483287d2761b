//! Assigns real registers to virtual ones. Values that are the same in all lanes are kept once, and registers are reused.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::code::{Inst, Label, Reg};
use super::compile::{Compiler, Kind, Virtual};
use super::optimize::{drop_copies, drop_unused, remove_nops};
use super::varying::find_varying;

/// The most free ranges that are tried for a value.
const MAX_TRIES: usize = 64;

/// How many registers there are.
pub(super) struct Registers {
    /// How many registers have a word per lane.
    pub(super) each: u32,
    /// The initial words of the registers that have one word for all lanes.
    pub(super) all: Vec<u32>,
}

/// Assigns registers. `several`: lanes of several workgroups advance together.
pub(super) fn allocate(compiler: &mut Compiler<'_>, several: bool) -> Registers {
    resolve_labels(compiler);
    drop_copies(compiler);
    drop_unused(compiler);
    remove_nops(compiler);
    let varying = find_varying(compiler, several);
    assign(compiler, &varying)
}

/// Which range of virtual registers a register lies in.
pub(super) fn owner(virtuals: &[Virtual], reg: Reg) -> usize {
    virtuals.partition_point(|range| range.start <= reg.0).saturating_sub(1)
}

fn resolve_labels(compiler: &mut Compiler<'_>) {
    let labels = std::mem::take(&mut compiler.labels);
    let resolve = |label: &mut Label| {
        label.0 = labels.get(label.0 as usize).copied().unwrap_or(u32::MAX);
    };
    for inst in &mut compiler.code {
        inst.target_mut().into_iter().for_each(resolve);
    }
    for function in &mut compiler.functions {
        resolve(&mut function.start);
    }
}

/// From the first write to the last use of a range, as indices of instructions.
#[derive(Clone, Copy)]
pub(super) struct Life {
    pub(super) first: usize,
    pub(super) last: usize,
}

/// The life of every range. One that is used in a loop, but was first written before it, lives until the loop's end.
pub(super) fn lives(compiler: &mut Compiler<'_>) -> Vec<Option<Life>> {
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, inst) in compiler.code.iter().enumerate() {
        if let Inst::Repeat { target, .. } = inst {
            ends.insert(target.0 as usize, at);
        }
    }
    let mut lives: Vec<Option<Life>> = vec![None; compiler.virtuals.len()];
    let mut open: Vec<(usize, usize)> = Vec::new();
    let virtuals = &compiler.virtuals;
    for (at, inst) in compiler.code.iter_mut().enumerate() {
        while open.last().is_some_and(|&(_, end)| end < at) {
            open.pop();
        }
        if let Some(&end) = ends.get(&at) {
            open.push((at, end));
        }
        inst.visit(&mut |_, reg, _| {
            let Some(life) = lives.get_mut(owner(virtuals, *reg)) else { return };
            let life = life.get_or_insert(Life { first: at, last: at });
            let outside = open.partition_point(|&(head, _)| head <= life.first);
            life.last = life.last.max(open.get(outside).map_or(at, |&(_, end)| end));
        });
    }
    lives
}
/// Free registers below `top`.
#[derive(Default)]
struct Pool {
    free: BTreeMap<u32, u32>,
    top: u32,
}

impl Pool {
    fn take(&mut self, count: u32) -> u32 {
        let mut near = self.free.iter().take(MAX_TRIES);
        let found = near.find(|&(_, &length)| length >= count).map(|(&start, &length)| (start, length));
        let Some((start, length)) = found else {
            let start = self.top;
            self.top = start.saturating_add(count);
            return start;
        };
        self.free.remove(&start);
        if length > count {
            self.free.insert(start + count, length - count);
        }
        start
    }

    fn give(&mut self, mut start: u32, mut count: u32) {
        if let Some(after) = self.free.remove(&(start + count)) {
            count += after;
        }
        if let Some((&before, &length)) = self.free.range(..start).next_back()
            && before + length == start
        {
            self.free.remove(&before);
            start = before;
            count += length;
        }
        self.free.insert(start, count);
    }
}

fn assign(compiler: &mut Compiler<'_>, varying: &[bool]) -> Registers {
    let lives = lives(compiler);
    let mut all = 0_u32;
    let mut pool = Pool::default();
    let mut places: Vec<Reg> = Vec::with_capacity(compiler.virtuals.len());
    let mut values: Vec<(usize, usize)> = Vec::new();
    for (index, range) in compiler.virtuals.iter().enumerate() {
        let place = if varying.get(index) != Some(&true) {
            all = all.saturating_add(range.count);
            Reg::uniform(all - range.count)
        } else {
            match (range.kind, lives.get(index)) {
                (Kind::Value, Some(Some(life))) => {
                    values.push((life.first, index));
                    Reg(0)
                }
                (Kind::Value, _) => Reg(0),
                _ => Reg(pool.take(range.count)),
            }
        };
        places.push(place);
    }
    // Values of two functions can live at once: each function's registers lie above those of the functions before.
    let mut starts: Vec<usize> = compiler.functions.iter().map(|code| code.start.0 as usize).collect();
    starts.sort_unstable();
    let mut starts = starts.into_iter().peekable();
    values.sort_unstable();
    let mut ending: BinaryHeap<Reverse<(usize, u32, u32)>> = BinaryHeap::new();
    for (first, index) in values {
        while starts.next_if(|&start| start <= first).is_some() {
            ending.clear();
            pool.free.clear();
        }
        while let Some(&Reverse((last, start, count))) = ending.peek()
            && last < first
        {
            ending.pop();
            pool.give(start, count);
        }
        let (Some(range), Some(Some(life))) = (compiler.virtuals.get(index), lives.get(index)) else { continue };
        let start = pool.take(range.count);
        ending.push(Reverse((life.last, start, range.count)));
        if let Some(place) = places.get_mut(index) {
            *place = Reg(start);
        }
    }
    let virtuals = &compiler.virtuals;
    let real = |reg: &mut Reg| {
        let owner = owner(virtuals, *reg);
        if let (Some(range), Some(place)) = (virtuals.get(owner), places.get(owner)) {
            *reg = place.at(reg.0 - range.start);
        }
    };
    for inst in &mut compiler.code {
        inst.visit(&mut |_, reg, _| real(reg));
    }
    for (_, reg) in &mut compiler.inputs {
        real(reg);
    }
    let mut words = vec![0; all as usize];
    for (reg, constant) in &mut compiler.constants {
        real(reg);
        for (slot, word) in words.iter_mut().skip(reg.index()).zip(constant) {
            *slot = *word;
        }
    }
    Registers { each: pool.top, all: words }
}
