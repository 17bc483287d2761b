//! From virtual registers to real ones: copies that nobody needs go, what is the same in all lanes is kept once, and
//! registers are used again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::code::{Base, Inst, Label, Mask, Place, Reg, Use};
use super::compile::{Compiler, Input, Kind, Lifetime, Virtual, writes_by_pointer};

/// After so many passes everything counts as different in each lane. Real kernels need three or four.
const MAX_PASSES: usize = 64;

/// Free places that are looked at for a value.
const MAX_TRIES: usize = 64;

/// How many registers there are.
pub(super) struct Registers {
    /// With a word per lane.
    pub(super) each: u32,
    /// With a word for all lanes, and what they hold at first.
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
fn owner(virtuals: &[Virtual], reg: Reg) -> usize {
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

fn remove_nops(compiler: &mut Compiler<'_>) {
    let mut places = Vec::with_capacity(compiler.code.len() + 1);
    let mut kept = 0_u32;
    for inst in &compiler.code {
        places.push(kept);
        kept += u32::from(!matches!(inst, Inst::Nop));
    }
    places.push(kept);
    let place = |label: &mut Label| label.0 = places.get(label.0 as usize).copied().unwrap_or(kept);
    let code = std::mem::take(&mut compiler.code);
    let spans = std::mem::take(&mut compiler.spans);
    for (mut inst, span) in code.into_iter().zip(spans) {
        if !matches!(inst, Inst::Nop) {
            inst.target_mut().into_iter().for_each(place);
            compiler.code.push(inst);
            compiler.spans.push(span);
        }
    }
    for function in &mut compiler.functions {
        place(&mut function.start);
    }
}

/// From the first writing to the last use of a range, in places of the code.
#[derive(Clone, Copy)]
struct Life {
    first: usize,
    last: usize,
}

/// The life of every value. What is used in a loop that it was not made in lives until the loop's end.
fn lives(compiler: &mut Compiler<'_>) -> Vec<Option<Life>> {
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

/// Lets a copy of what does not change meanwhile stand for what it copies.
fn drop_copies(compiler: &mut Compiler<'_>) {
    let lives = lives(compiler);
    let virtuals = std::mem::take(&mut compiler.virtuals);
    let mut writes: Vec<Vec<usize>> = vec![Vec::new(); virtuals.len()];
    let mut writers = vec![0_u32; virtuals.len()];
    let mut exposed = vec![false; virtuals.len()];
    let mut by_pointer = Vec::new();
    for (at, inst) in compiler.code.iter_mut().enumerate() {
        if writes_by_pointer(inst) {
            by_pointer.push(at);
        }
        inst.visit(&mut |usage, reg, _| {
            let owner = owner(&virtuals, *reg);
            if usage != Use::Read
                && let (Some(writes), Some(writers)) = (writes.get_mut(owner), writers.get_mut(owner))
            {
                writes.push(at);
                *writers += 1;
            }
            if usage == Use::Expose
                && let Some(exposed) = exposed.get_mut(owner)
            {
                *exposed = true;
            }
        });
    }
    let none_between = |places: &[usize], life: Life| {
        let next = places.partition_point(|&place| place <= life.first);
        places.get(next).is_none_or(|&place| place > life.last)
    };
    let mut stands_for: HashMap<u32, Reg> = HashMap::new();
    for inst in &mut compiler.code {
        inst.visit(&mut |usage, reg, _| {
            if usage == Use::Read
                && let Some(range) = virtuals.get(owner(&virtuals, *reg))
                && let Some(other) = stands_for.get(&range.start)
            {
                *reg = other.at(reg.0 - range.start);
            }
        });
        let Inst::Copy { dst, src, count } = *inst else { continue };
        let (target, source) = (owner(&virtuals, dst), owner(&virtuals, src));
        let (Some(to), Some(from), Some(Some(life))) = (virtuals.get(target), virtuals.get(source), lives.get(target))
        else {
            continue;
        };
        if to.kind != Kind::Value || to.count != count || writers.get(target) != Some(&1) {
            continue;
        }
        let still = match from.kind {
            Kind::Constant | Kind::Value => true,
            Kind::Variable(lifetime) => {
                let own = writes.get(source).is_some_and(|writes| none_between(writes, *life));
                let seen = lifetime != Lifetime::Call || exposed.get(source) != Some(&false);
                own && (!seen || none_between(&by_pointer, *life))
            }
        };
        if still {
            stands_for.insert(to.start, src);
            *inst = Inst::Nop;
        }
    }
    compiler.virtuals = virtuals;
}

/// Drops what computes a value that nobody reads. Backwards, so that its operands may follow.
fn drop_unused(compiler: &mut Compiler<'_>) {
    let virtuals = &compiler.virtuals;
    let mut reads = vec![0_u32; virtuals.len()];
    for inst in &mut compiler.code {
        inst.visit(&mut |usage, reg, _| {
            if usage == Use::Read
                && let Some(reads) = reads.get_mut(owner(virtuals, *reg))
            {
                *reads += 1;
            }
        });
    }
    for inst in compiler.code.iter_mut().rev() {
        let mut idle = !matches!(inst, Inst::Atomic { .. } | Inst::Nop);
        let mut writes = false;
        inst.visit(&mut |usage, reg, _| {
            let owner = owner(virtuals, *reg);
            match usage {
                Use::Read => {}
                Use::Write => {
                    writes = true;
                    let value = virtuals.get(owner).is_some_and(|range| range.kind == Kind::Value);
                    idle &= value && reads.get(owner) == Some(&0);
                }
                Use::Assign(_) | Use::Expose => idle = false,
            }
        });
        if idle && writes {
            inst.visit(&mut |usage, reg, _| {
                if usage == Use::Read
                    && let Some(reads) = reads.get_mut(owner(virtuals, *reg))
                {
                    *reads -= 1;
                }
            });
            *inst = Inst::Nop;
        }
    }
}

/// Whether the lanes of a mask may be fewer than those that entered the function.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Split {
    /// Not counting those that have returned.
    here: bool,
    /// Counting them.
    returned: bool,
}

impl Split {
    fn or(self, other: Self) -> Self {
        Self { here: self.here || other.here, returned: self.returned || other.returned }
    }
}

struct Varying<'v> {
    virtuals: &'v [Virtual],
    varying: Vec<bool>,
    splits: Vec<Split>,
    /// By function: whether some lanes may not have come there.
    partial: Vec<bool>,
    entry: usize,
    changed: bool,
}

impl Varying<'_> {
    fn is_varying(&self, reg: Reg) -> bool {
        self.varying.get(owner(self.virtuals, reg)).copied().unwrap_or(true)
    }

    fn vary(&mut self, reg: Reg) {
        if let Some(varying) = self.varying.get_mut(owner(self.virtuals, reg)) {
            self.changed |= !*varying;
            *varying = true;
        }
    }

    fn split(&self, mask: Mask) -> Split {
        self.splits.get(mask.0 as usize).copied().unwrap_or(Split { here: true, returned: true })
    }

    fn join(&mut self, mask: Mask, split: Split) {
        if let Some(known) = self.splits.get_mut(mask.0 as usize) {
            let joined = known.or(split);
            self.changed |= joined != *known;
            *known = joined;
        }
    }

    /// Whether an assignment under the mask may miss a lane that looks at the variable later.
    fn misses(&self, function: usize, mask: Mask, lifetime: Lifetime) -> bool {
        let split = self.split(mask);
        match lifetime {
            Lifetime::Call => split.here,
            Lifetime::Invocation if function == self.entry => split.here,
            Lifetime::Invocation => split.here || split.returned || self.partial.get(function) != Some(&false),
            Lifetime::Result => split.here || split.returned,
        }
    }

    fn see(&mut self, inst: &mut Inst, function: usize, several: bool) {
        let mut reads_varying = match inst {
            Inst::Load { place: Place { base: Base::Workgroup, .. }, .. } => several,
            Inst::Load { place: Place { base: Base::Pointer, .. }, .. } | Inst::Atomic { .. } => true,
            _ => false,
        };
        inst.visit(&mut |usage, reg, _| reads_varying |= usage == Use::Read && self.is_varying(*reg));
        inst.visit(&mut |usage, reg, _| {
            let lifetime = match self.virtuals.get(owner(self.virtuals, *reg)).map(|range| range.kind) {
                Some(Kind::Variable(lifetime)) => lifetime,
                _ => Lifetime::Call,
            };
            match usage {
                Use::Read => {}
                Use::Write if reads_varying => self.vary(*reg),
                Use::Write => {}
                Use::Assign(mask) if reads_varying || self.misses(function, mask, lifetime) => self.vary(*reg),
                Use::Assign(_) => {}
                Use::Expose => self.vary(*reg),
            }
        });
        let by_condition = Split { here: reads_varying, returned: reads_varying };
        match *inst {
            Inst::MaskIf { parent, accept, reject, .. } => {
                let split = self.split(parent).or(by_condition);
                self.join(accept, split);
                reject.into_iter().for_each(|reject| self.join(reject, split));
            }
            Inst::MaskCase { dst, parent, .. } => self.join(dst, self.split(parent).or(by_condition)),
            Inst::MaskSet { dst, src } | Inst::MaskOr { dst, src } => self.join(dst, self.split(src)),
            Inst::MaskJoin { dst, a, b, returned } => {
                let mut split = self.split(a).or(b.map(|b| self.split(b)).unwrap_or_default());
                split.here &= !returned;
                self.join(dst, split);
            }
            Inst::MaskTurn { dst, body, continued, outer, breaks } => {
                let inside = self.split(body).or(self.split(continued));
                let outside = self.split(outer);
                let here = if breaks { inside.here } else { outside.here };
                self.join(dst, Split { here, returned: inside.returned || outside.returned });
            }
            Inst::MaskRemove { dst, src, returned } => {
                let mut split = self.split(src);
                split.here &= !returned;
                self.join(dst, split);
            }
            Inst::MaskUnless { dst, .. } => self.join(dst, by_condition),
            Inst::Call { function: callee, mask, .. } => {
                let misses = self.misses(function, mask, Lifetime::Invocation);
                if let Some(partial) = self.partial.get_mut(callee as usize).filter(|partial| misses && !**partial) {
                    *partial = true;
                    self.changed = true;
                }
            }
            _ => {}
        }
    }
}

/// By range of virtual registers: whether its lanes may differ.
fn find_varying(compiler: &mut Compiler<'_>, several: bool) -> Vec<bool> {
    // The entry point's code comes first, then the functions in order; its number is the last.
    let mut starts: Vec<(usize, usize)> =
        compiler.functions.iter().enumerate().map(|(number, code)| (code.start.0 as usize, number)).collect();
    starts.sort_unstable();
    let mut analysis = Varying {
        virtuals: &compiler.virtuals,
        varying: vec![false; compiler.virtuals.len()],
        splits: vec![Split::default(); compiler.masks as usize],
        partial: vec![false; compiler.functions.len()],
        entry: compiler.functions.len().saturating_sub(1),
        changed: false,
    };
    for (input, reg) in &compiler.inputs {
        match input {
            Input::GlobalId | Input::LocalId | Input::LocalIndex => analysis.vary(*reg),
            Input::WorkgroupId if several => analysis.vary(*reg),
            Input::WorkgroupId | Input::NumWorkgroups => {}
        }
    }
    for _ in 0..MAX_PASSES {
        analysis.changed = false;
        let mut next_starts = starts.iter().copied().peekable();
        let mut function = analysis.entry;
        for (at, inst) in compiler.code.iter_mut().enumerate() {
            while let Some((_, number)) = next_starts.next_if(|&(start, _)| start == at) {
                function = number;
            }
            analysis.see(inst, function, several);
        }
        if !analysis.changed {
            return analysis.varying;
        }
    }
    compiler.virtuals.iter().map(|range| range.kind != Kind::Constant).collect()
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
