//! Removes instructions that are not needed.

use std::collections::HashMap;

use super::allocate::{Life, lives, owner};
use super::code::{Inst, Label, Reg, Use};
use super::compile::{Compiler, Kind, Lifetime, writes_by_pointer};

/// Replaces copies by their sources, where the source does not change while the copy is used.
pub(super) fn drop_copies(compiler: &mut Compiler<'_>) {
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

/// Drops instructions whose values are never read. Goes backwards, since their operands may then be unused too.
pub(super) fn drop_unused(compiler: &mut Compiler<'_>) {
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
pub(super) fn remove_nops(compiler: &mut Compiler<'_>) {
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
