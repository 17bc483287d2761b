//! Finds the values that are the same in all lanes.

use super::allocate::owner;
use super::code::{Base, Inst, Mask, Place, Reg, Use};
use super::compile::{Compiler, Input, Kind, Lifetime, Virtual};

/// After so many passes everything counts as different between lanes. Real kernels need three or four.
const MAX_PASSES: usize = 64;
/// Whether the lanes of a mask may be fewer than those that entered the function.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Split {
    /// Fewer than those that entered and have not returned.
    here: bool,
    /// Fewer than all that entered.
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
    /// By function: whether some lanes may not have entered it.
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

    /// Whether an assignment under the mask may miss a lane that reads the variable later.
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

/// For each range of virtual registers: whether its lanes may differ.
pub(super) fn find_varying(compiler: &mut Compiler<'_>, several: bool) -> Vec<bool> {
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
