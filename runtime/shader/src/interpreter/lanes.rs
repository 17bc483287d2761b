//! Registers, masks, and arithmetic over all lanes.
//!
//! The loops run over plain slices, which the compiler can vectorize. Floating point is the host's own, with the flush that
//! profile dp32 prescribes; nothing here comes from the prelude.

use super::code::{BinaryOp, BitsOp, Mask, NOWHERE, Reg, UnaryOp};

/// The number of lanes is rounded up to a multiple of this.
pub(super) const LANE_GROUP: usize = 16;

/// A word per lane, or one for all.
#[derive(Clone, Copy)]
pub(super) enum Words<'a> {
    Each(&'a [u32]),
    All(u32),
}

impl Words<'_> {
    pub(super) fn get(self, lane: usize) -> u32 {
        match self {
            Self::Each(words) => words.get(lane).copied().unwrap_or(0),
            Self::All(word) => word,
        }
    }
}

/// The registers.
pub(super) struct File {
    pub(super) lanes: usize,
    each: Vec<u32>,
    all: Vec<u32>,
}

/// All registers except one that is being written.
pub(super) struct Others<'a> {
    lanes: usize,
    below: &'a [u32],
    above: &'a [u32],
    all: &'a [u32],
}

impl<'a> Others<'a> {
    pub(super) fn get(&self, reg: Reg) -> Words<'a> {
        if reg.is_uniform() {
            return Words::All(self.all.get(reg.index()).copied().unwrap_or(0));
        }
        let start = reg.index() * self.lanes;
        let words = match start.checked_sub(self.below.len() + self.lanes) {
            Some(start) => self.above.get(start..start + self.lanes),
            None => self.below.get(start..start + self.lanes),
        };
        Words::Each(words.unwrap_or_default())
    }

    /// One lane's word of a register whose number was computed; 0 if there is no such register.
    pub(super) fn word(&self, reg: Reg, lane: usize) -> u32 {
        if reg.is_uniform() {
            return self.all.get(reg.index()).copied().unwrap_or(0);
        }
        let at = reg.index() * self.lanes + lane;
        let word = match at.checked_sub(self.below.len() + self.lanes) {
            Some(at) => self.above.get(at),
            None => self.below.get(at),
        };
        word.copied().unwrap_or(0)
    }
}

impl File {
    pub(super) fn new(lanes: usize, each: u32, all: &[u32]) -> Self {
        Self { lanes, each: vec![0; each as usize * lanes], all: all.to_vec() }
    }

    pub(super) fn get(&self, reg: Reg) -> Words<'_> {
        if reg.is_uniform() {
            return Words::All(self.all.get(reg.index()).copied().unwrap_or(0));
        }
        let start = reg.index() * self.lanes;
        Words::Each(self.each.get(start..start + self.lanes).unwrap_or_default())
    }

    pub(super) fn set_all(&mut self, reg: Reg, word: u32) {
        if let Some(slot) = self.all.get_mut(reg.index()) {
            *slot = word;
        }
    }

    /// A register with a word per lane, to write, and the others, to read.
    pub(super) fn split(&mut self, dst: Reg) -> (&mut [u32], Others<'_>) {
        let start = (dst.index() * self.lanes).min(self.each.len());
        let (below, rest) = self.each.split_at_mut(start);
        let (out, above) = rest.split_at_mut(self.lanes.min(rest.len()));
        (out, Others { lanes: self.lanes, below, above, all: &self.all })
    }

    /// One lane's word of a register whose number was computed, if there is such a register.
    pub(super) fn word_mut(&mut self, reg: usize, lane: usize) -> Option<&mut u32> {
        self.each.get_mut(reg.checked_mul(self.lanes)?.checked_add(lane)?)
    }

    pub(super) fn copy(&mut self, dst: Reg, src: Reg, count: u32, src_step: u32) {
        for at in 0..count {
            self.map(dst.at(at), src.at(at * src_step), |word| word);
        }
    }

    pub(super) fn assign(&mut self, dst: Reg, src: Reg, count: u32, lanes: LaneSet<'_>) {
        let words = match lanes {
            LaneSet::None => return,
            LaneSet::All => return self.copy(dst, src, count, 1),
            LaneSet::Some(_) if dst.is_uniform() => return self.copy(dst, src, count, 1),
            LaneSet::Some(words) => words,
        };
        for at in 0..count {
            if dst == src {
                return;
            }
            let (out, others) = self.split(dst.at(at));
            let masked = out.iter_mut().zip(words);
            match others.get(src.at(at)) {
                Words::Each(src) => masked.zip(src).for_each(|((out, mask), src)| *out = *src & mask | *out & !mask),
                Words::All(src) => masked.for_each(|(out, mask)| *out = src & mask | *out & !mask),
            }
        }
    }

    #[inline]
    fn map(&mut self, dst: Reg, a: Reg, op: impl Fn(u32) -> u32) {
        if dst == a {
            return;
        }
        if dst.is_uniform() {
            let a = self.get(a).get(0);
            return self.set_all(dst, op(a));
        }
        let (out, others) = self.split(dst);
        match others.get(a) {
            Words::Each(a) => out.iter_mut().zip(a).for_each(|(out, a)| *out = op(*a)),
            Words::All(a) => out.fill(op(a)),
        }
    }

    #[inline]
    fn map_range(&mut self, dst: Reg, a: Reg, count: u32, op: impl Fn(u32) -> u32 + Copy) {
        for at in 0..count {
            self.map(dst.at(at), a.at(at), op);
        }
    }

    #[inline]
    fn map2(&mut self, dst: Reg, a: Reg, b: Reg, count: u32, op: impl Fn(u32, u32) -> u32 + Copy) {
        for at in 0..count {
            let (dst, a, b) = (dst.at(at), a.at(at), b.at(at));
            if dst.is_uniform() {
                let (a, b) = (self.get(a).get(0), self.get(b).get(0));
                self.set_all(dst, op(a, b));
                continue;
            }
            let (out, others) = self.split(dst);
            match (others.get(a), others.get(b)) {
                (Words::Each(a), Words::Each(b)) => {
                    out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = op(*a, *b));
                }
                (Words::Each(a), Words::All(b)) => out.iter_mut().zip(a).for_each(|(out, a)| *out = op(*a, b)),
                (Words::All(a), Words::Each(b)) => out.iter_mut().zip(b).for_each(|(out, b)| *out = op(a, *b)),
                (Words::All(a), Words::All(b)) => out.fill(op(a, b)),
            }
        }
    }

    /// dst = previous + index * stride, or nowhere if the index is not less than `length` or `previous` is nowhere.
    pub(super) fn index(&mut self, dst: Reg, previous: Option<Reg>, index: Reg, length: u32, stride: u32) {
        let offset = |index: u32| if index < length { index.wrapping_mul(stride) } else { NOWHERE };
        match previous {
            None => self.map(dst, index, offset),
            Some(previous) => self.map2(dst, previous, index, 1, |previous, index| {
                let offset = offset(index);
                if (previous | offset) & NOWHERE == 0 { previous.wrapping_add(offset) } else { NOWHERE }
            }),
        }
    }

    /// dst = dynamic + base
    pub(super) fn offset(&mut self, dst: Reg, dynamic: Reg, base: u32) {
        self.map(dst, dynamic, |dynamic| dynamic.wrapping_add(base));
    }

    /// dst = the word at `at` and each lane's dynamic offset; zero beyond the end.
    #[inline]
    pub(super) fn gather_words<T>(
        &mut self,
        dst: Reg,
        dynamic: Option<Reg>,
        at: u32,
        words: &[T],
        value: impl Fn(&T) -> u32 + Copy,
    ) {
        let read = |dynamic: u32| words.get(at.wrapping_add(dynamic) as usize).map_or(0, value);
        if dst.is_uniform() {
            let dynamic = dynamic.map_or(0, |dynamic| self.get(dynamic).get(0));
            return self.set_all(dst, read(dynamic));
        }
        let (out, others) = self.split(dst);
        let dynamic = match dynamic.map_or(Words::All(0), |dynamic| others.get(dynamic)) {
            Words::Each(dynamic) => dynamic,
            Words::All(dynamic) => return out.fill(read(dynamic)),
        };
        let groups = out.as_chunks_mut::<LANE_GROUP>().0.iter_mut().zip(dynamic.as_chunks::<LANE_GROUP>().0);
        for (out, dynamic) in groups {
            let first = dynamic[0];
            // Neighbouring lanes mostly read neighbouring words, or the same word.
            let apart =
                dynamic.iter().zip(0..).fold(0, |apart, (word, lane)| apart | (word.wrapping_sub(lane) ^ first));
            let start = at.wrapping_add(first) as usize;
            if apart == 0
                && let Some(words) = words.get(start..start + LANE_GROUP)
            {
                out.iter_mut().zip(words).for_each(|(out, word)| *out = value(word));
            } else if dynamic.iter().fold(0, |apart, word| apart | (word ^ first)) == 0 {
                out.fill(read(first));
            } else {
                out.iter_mut().zip(dynamic).for_each(|(out, dynamic)| *out = read(*dynamic));
            }
        }
    }

    /// dst = what `read` finds for each lane and its dynamic offset.
    #[inline]
    pub(super) fn gather(&mut self, dst: Reg, dynamic: Option<Reg>, read: impl Fn(&Others<'_>, usize, u32) -> u32) {
        if dst.is_uniform() {
            let dynamic = dynamic.map_or(0, |dynamic| self.get(dynamic).get(0));
            let nothing = Others { lanes: 0, below: &[], above: &[], all: &self.all };
            let word = read(&nothing, 0, dynamic);
            return self.set_all(dst, word);
        }
        let (out, others) = self.split(dst);
        match dynamic.map_or(Words::All(0), |dynamic| others.get(dynamic)) {
            Words::Each(dynamic) => {
                for (lane, (out, dynamic)) in out.iter_mut().zip(dynamic).enumerate() {
                    *out = read(&others, lane, *dynamic);
                }
            }
            Words::All(dynamic) => {
                for (lane, out) in out.iter_mut().enumerate() {
                    *out = read(&others, lane, dynamic);
                }
            }
        }
    }

    pub(super) fn select(&mut self, dst: Reg, condition: Reg, accept: Reg, reject: Reg) {
        if dst.is_uniform() {
            let source = if self.get(condition).get(0) != 0 { accept } else { reject };
            let word = self.get(source).get(0);
            return self.set_all(dst, word);
        }
        let (out, others) = self.split(dst);
        let condition = match others.get(condition) {
            Words::Each(condition) => condition,
            Words::All(condition) => {
                let source = if condition != 0 { accept } else { reject };
                return self.map(dst, source, |word| word);
            }
        };
        let out = out.iter_mut().zip(condition);
        match (others.get(accept), others.get(reject)) {
            (Words::Each(accept), Words::Each(reject)) => {
                out.zip(accept).zip(reject).for_each(|(((out, c), a), r)| *out = a & c | r & !c);
            }
            (Words::Each(accept), Words::All(r)) => out.zip(accept).for_each(|((out, c), a)| *out = a & c | r & !c),
            (Words::All(a), Words::Each(reject)) => out.zip(reject).for_each(|((out, c), r)| *out = a & c | r & !c),
            (Words::All(a), Words::All(r)) => out.for_each(|(out, c)| *out = a & c | r & !c),
        }
    }

    pub(super) fn bits(&mut self, op: BitsOp, dst: Reg, operands: [Reg; 4]) {
        let [value, bits, offset, length] = operands;
        let compute = |value, bits, offset, length| match op {
            BitsOp::ExtractSigned => extract(value, offset, length, true),
            BitsOp::ExtractUnsigned => extract(value, offset, length, false),
            BitsOp::Insert => insert(value, bits, offset, length),
        };
        if dst.is_uniform() {
            let word = |reg| self.get(reg).get(0);
            let result = compute(word(value), word(bits), word(offset), word(length));
            return self.set_all(dst, result);
        }
        let (out, others) = self.split(dst);
        let (value, bits) = (others.get(value), others.get(bits));
        let (offset, length) = (others.get(offset), others.get(length));
        for (lane, out) in out.iter_mut().enumerate() {
            *out = compute(value.get(lane), bits.get(lane), offset.get(lane), length.get(lane));
        }
    }

    pub(super) fn unary(&mut self, op: UnaryOp, dst: Reg, a: Reg, count: u32) {
        let signed = u32::cast_signed;
        match op {
            UnaryOp::Not => self.map_range(dst, a, count, |a| !a),
            UnaryOp::INegate => self.map_range(dst, a, count, u32::wrapping_neg),
            UnaryOp::IAbs => self.map_range(dst, a, count, |a| signed(a).unsigned_abs()),
            UnaryOp::ISign => self.map_range(dst, a, count, |a| signed(a).signum().cast_unsigned()),
            UnaryOp::CountOnes => self.map_range(dst, a, count, u32::count_ones),
            UnaryOp::LeadingZeros => self.map_range(dst, a, count, u32::leading_zeros),
            UnaryOp::TrailingZeros => self.map_range(dst, a, count, u32::trailing_zeros),
            UnaryOp::ReverseBits => self.map_range(dst, a, count, u32::reverse_bits),
            UnaryOp::FirstLeadingSigned => {
                self.map_range(dst, a, count, |a| first_leading(if signed(a) < 0 { !a } else { a }));
            }
            UnaryOp::FirstLeadingUnsigned => self.map_range(dst, a, count, first_leading),
            UnaryOp::FirstTrailing => {
                self.map_range(dst, a, count, |a| if a == 0 { u32::MAX } else { a.trailing_zeros() });
            }
            UnaryOp::FFlush => self.map_range(dst, a, count, |a| if a & EXPONENT == 0 { 0 } else { a }),
            UnaryOp::FNegate => self.map_range(dst, a, count, |a| a ^ SIGN),
            UnaryOp::FAbs => self.map_range(dst, a, count, |a| a & !SIGN),
            UnaryOp::FSqrt => self.map_range(dst, a, count, |a| float(a).sqrt().to_bits()),
            UnaryOp::FFloor => self.map_range(dst, a, count, |a| float(a).floor().to_bits()),
            UnaryOp::FCeil => self.map_range(dst, a, count, |a| float(a).ceil().to_bits()),
            UnaryOp::FTrunc => self.map_range(dst, a, count, |a| float(a).trunc().to_bits()),
            UnaryOp::FRound => self.map_range(dst, a, count, |a| float(a).round_ties_even().to_bits()),
            UnaryOp::FToI => self.map_range(dst, a, count, |a| float_to_int(float(a)).cast_unsigned()),
            UnaryOp::FToU => self.map_range(dst, a, count, |a| float_to_uint(float(a))),
            UnaryOp::IToF => self.map_range(dst, a, count, |a| (signed(a) as f32).to_bits()),
            UnaryOp::UToF => self.map_range(dst, a, count, |a| (a as f32).to_bits()),
            UnaryOp::IToBool => self.map_range(dst, a, count, |a| boolean(a != 0)),
            UnaryOp::FToBool => self.map_range(dst, a, count, |a| boolean(a & !SIGN != 0)),
            UnaryOp::BoolToI => self.map_range(dst, a, count, |a| a & 1),
            UnaryOp::BoolToF => self.map_range(dst, a, count, |a| a & ONE),
        }
    }

    pub(super) fn binary(&mut self, op: BinaryOp, dst: Reg, a: Reg, b: Reg, count: u32) {
        let signed = u32::cast_signed;
        match op {
            BinaryOp::And => self.map2(dst, a, b, count, |a, b| a & b),
            BinaryOp::Or => self.map2(dst, a, b, count, |a, b| a | b),
            BinaryOp::Xor => self.map2(dst, a, b, count, |a, b| a ^ b),
            BinaryOp::IAdd => self.map2(dst, a, b, count, u32::wrapping_add),
            BinaryOp::ISub => self.map2(dst, a, b, count, u32::wrapping_sub),
            BinaryOp::IMul => self.map2(dst, a, b, count, u32::wrapping_mul),
            BinaryOp::IDiv => self.map2(dst, a, b, count, |a, b| {
                let quotient = signed(a).checked_div(signed(b));
                quotient.map_or(a, i32::cast_unsigned)
            }),
            BinaryOp::UDiv => self.map2(dst, a, b, count, |a, b| a.checked_div(b).unwrap_or(a)),
            BinaryOp::IRem => self.map2(dst, a, b, count, |a, b| {
                let rest = signed(a).checked_rem(signed(b));
                rest.map_or(0, i32::cast_unsigned)
            }),
            BinaryOp::URem => self.map2(dst, a, b, count, |a, b| a.checked_rem(b).unwrap_or(0)),
            BinaryOp::IMin => self.map2(dst, a, b, count, |a, b| if signed(a) < signed(b) { a } else { b }),
            BinaryOp::IMax => self.map2(dst, a, b, count, |a, b| if signed(a) < signed(b) { b } else { a }),
            BinaryOp::UMin => self.map2(dst, a, b, count, |a, b| a.min(b)),
            BinaryOp::UMax => self.map2(dst, a, b, count, |a, b| a.max(b)),
            BinaryOp::Shl => self.map2(dst, a, b, count, u32::wrapping_shl),
            BinaryOp::UShr => self.map2(dst, a, b, count, u32::wrapping_shr),
            BinaryOp::IShr => self.map2(dst, a, b, count, |a, b| signed(a).wrapping_shr(b).cast_unsigned()),
            BinaryOp::IEq => self.map2(dst, a, b, count, |a, b| boolean(a == b)),
            BinaryOp::INe => self.map2(dst, a, b, count, |a, b| boolean(a != b)),
            BinaryOp::ILt => self.map2(dst, a, b, count, |a, b| boolean(signed(a) < signed(b))),
            BinaryOp::ILe => self.map2(dst, a, b, count, |a, b| boolean(signed(a) <= signed(b))),
            BinaryOp::ULt => self.map2(dst, a, b, count, |a, b| boolean(a < b)),
            BinaryOp::ULe => self.map2(dst, a, b, count, |a, b| boolean(a <= b)),
            BinaryOp::FAdd => self.map2(dst, a, b, count, |a, b| flush_sum(float(a) + float(b))),
            BinaryOp::FSub => self.map2(dst, a, b, count, |a, b| flush_sum(float(a) - float(b))),
            BinaryOp::FMul => self.map2(dst, a, b, count, |a, b| flush_product(float(a) * float(b))),
            BinaryOp::FDiv => self.map2(dst, a, b, count, |a, b| {
                // The sign of a zero divisor is ignored: x/0 has the sign of x.
                let b = if b == SIGN { 0 } else { b };
                flush_product(float(a) / float(b))
            }),
            BinaryOp::FEq => self.map2(dst, a, b, count, |a, b| boolean(float(a) == float(b))),
            BinaryOp::FLt => self.map2(dst, a, b, count, |a, b| boolean(float(a) < float(b))),
            BinaryOp::FLe => self.map2(dst, a, b, count, |a, b| boolean(float(a) <= float(b))),
            BinaryOp::DotI8 => self.map2(dst, a, b, count, |a, b| {
                let products = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
                let products = products.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed()));
                products.sum::<i32>().cast_unsigned()
            }),
            BinaryOp::DotU8 => self.map2(dst, a, b, count, |a, b| {
                let products = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
                products.map(|(a, b)| u32::from(a) * u32::from(b)).sum()
            }),
        }
    }
}

const SIGN: u32 = 1 << 31;
pub(super) const EXPONENT: u32 = 0x7f80_0000;
const ONE: u32 = 0x3f80_0000;
/// 2⁻¹²⁶, the least normal number.
const MIN_NORMAL: u32 = 0x0080_0000;

fn float(bits: u32) -> f32 {
    f32::from_bits(bits)
}

fn boolean(value: bool) -> u32 {
    if value { u32::MAX } else { 0 }
}

fn flush_sum(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits & !SIGN < MIN_NORMAL { 0 } else { bits }
}

fn flush_product(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits & !SIGN <= MIN_NORMAL { 0 } else { bits }
}

// Both saturate at the greatest number that both types have: 2147483520 and 4294967040.
#[expect(clippy::cast_possible_truncation, reason = "truncates and gives 0 for NaN, as WGSL has it")]
fn float_to_int(value: f32) -> i32 {
    (value as i32).min(0x7fff_ff80)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "truncates, stops at 0, and gives 0 for NaN, as WGSL has it"
)]
fn float_to_uint(value: f32) -> u32 {
    (value as u32).min(0xffff_ff00)
}

fn first_leading(bits: u32) -> u32 {
    if bits == 0 { u32::MAX } else { 31 - bits.leading_zeros() }
}

/// Where a bit field begins, and how long it is within the word.
fn field(offset: u32, length: u32) -> (u32, u32) {
    let offset = offset.min(32);
    (offset, length.min(32 - offset))
}

fn extract(value: u32, offset: u32, length: u32, signed: bool) -> u32 {
    let (offset, length) = field(offset, length);
    if length == 0 {
        return 0;
    }
    let top = value << (32 - offset - length);
    if signed { (top.cast_signed() >> (32 - length)).cast_unsigned() } else { top >> (32 - length) }
}

fn insert(value: u32, bits: u32, offset: u32, length: u32) -> u32 {
    let (offset, length) = field(offset, length);
    if length == 0 {
        return value;
    }
    let mask = (u32::MAX >> (32 - length)) << offset;
    value & !mask | (bits << offset) & mask
}

/// Which lanes take part.
#[derive(Clone, Copy)]
pub(super) enum LaneSet<'a> {
    None,
    /// All live lanes.
    All,
    /// The lanes whose words are all ones.
    Some(&'a [u32]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    None,
    All,
    /// As the words say.
    Some,
}

struct OneMask {
    state: State,
    words: Vec<u32>,
}

/// The masks.
pub(super) struct Masks {
    /// How many lanes have work; the others never take part.
    pub(super) live: usize,
    masks: Vec<OneMask>,
}

impl Masks {
    pub(super) fn new(lanes: usize, count: u32) -> Self {
        let masks = (0..count).map(|_| OneMask { state: State::None, words: vec![0; lanes] }).collect();
        Self { live: lanes, masks }
    }

    pub(super) fn get(&self, mask: Mask) -> LaneSet<'_> {
        match self.masks.get(mask.0 as usize) {
            Some(OneMask { state: State::All, .. }) => LaneSet::All,
            Some(OneMask { state: State::Some, words }) => LaneSet::Some(words),
            _ => LaneSet::None,
        }
    }

    pub(super) fn is_none(&self, mask: Mask) -> bool {
        matches!(self.get(mask), LaneSet::None)
    }

    pub(super) fn set_all(&mut self, mask: Mask) {
        self.set_state(mask, State::All);
    }

    pub(super) fn clear(&mut self, mask: Mask) {
        self.set_state(mask, State::None);
    }

    fn set_state(&mut self, mask: Mask, state: State) {
        if let Some(mask) = self.masks.get_mut(mask.0 as usize) {
            mask.state = state;
        }
    }

    /// Lets `change` modify the words of a mask, and updates the mask's state.
    fn change(&mut self, mask: Mask, change: impl FnOnce(&Self, &mut [u32])) {
        let Some(slot) = self.masks.get_mut(mask.0 as usize) else { return };
        let mut words = std::mem::take(&mut slot.words);
        match slot.state {
            State::None => words.fill(0),
            State::All => words.fill(u32::MAX),
            State::Some => {}
        }
        change(self, &mut words);
        let live = words.get(..self.live).unwrap_or_default();
        let any = live.iter().fold(0, |any, word| any | word);
        let all = live.iter().fold(u32::MAX, |all, word| all & word);
        if let Some(slot) = self.masks.get_mut(mask.0 as usize) {
            slot.words = words;
            slot.state = match (any, all) {
                (0, _) => State::None,
                (_, u32::MAX) => State::All,
                _ => State::Some,
            };
        }
    }

    pub(super) fn set(&mut self, dst: Mask, src: Mask) {
        match self.get(src) {
            LaneSet::None => self.clear(dst),
            LaneSet::All => self.set_all(dst),
            LaneSet::Some(_) if dst == src => {}
            LaneSet::Some(_) => {
                let Some(slot) = self.masks.get_mut(dst.0 as usize) else { return };
                let mut words = std::mem::take(&mut slot.words);
                if let LaneSet::Some(src) = self.get(src) {
                    words.iter_mut().zip(src).for_each(|(word, src)| *word = *src);
                }
                if let Some(slot) = self.masks.get_mut(dst.0 as usize) {
                    *slot = OneMask { state: State::Some, words };
                }
            }
        }
    }

    /// dst |= src
    pub(super) fn or(&mut self, dst: Mask, src: Mask) {
        match (self.get(dst), self.get(src)) {
            (LaneSet::All, _) | (_, LaneSet::None) => {}
            (LaneSet::None, _) => self.set(dst, src),
            (_, LaneSet::All) => self.set_all(dst),
            (LaneSet::Some(_), LaneSet::Some(_)) => self.change(dst, |masks, words| {
                if let LaneSet::Some(src) = masks.get(src) {
                    words.iter_mut().zip(src).for_each(|(word, src)| *word |= src);
                }
            }),
        }
    }

    /// dst &= !src
    pub(super) fn remove(&mut self, dst: Mask, src: Mask) {
        match (self.get(dst), self.get(src)) {
            (LaneSet::None, _) | (_, LaneSet::None) => {}
            (_, LaneSet::All) => self.clear(dst),
            (_, LaneSet::Some(_)) => self.change(dst, |masks, words| {
                if let LaneSet::Some(src) = masks.get(src) {
                    words.iter_mut().zip(src).for_each(|(word, src)| *word &= !src);
                }
            }),
        }
    }

    /// dst &= condition ^ flip
    pub(super) fn restrict(&mut self, dst: Mask, condition: Words<'_>, flip: u32) {
        if self.is_none(dst) {
            return;
        }
        match condition {
            Words::All(word) => {
                if word ^ flip == 0 {
                    self.clear(dst);
                }
            }
            Words::Each(condition) => self.change(dst, |_, words| {
                words.iter_mut().zip(condition).for_each(|(word, condition)| *word &= condition ^ flip);
            }),
        }
    }

    /// Adds to `dst` the lanes of `parent` whose selector is among the values, or is not.
    pub(super) fn case(&mut self, dst: Mask, parent: Mask, selector: Words<'_>, values: &[u32], none_of: bool) {
        let chosen = |word: u32| boolean(values.contains(&word) != none_of);
        if let Words::All(word) = selector {
            if chosen(word) != 0 {
                self.or(dst, parent);
            }
            return;
        }
        self.change(dst, |masks, words| {
            let parent = match masks.get(parent) {
                LaneSet::None => return,
                LaneSet::All => Words::All(u32::MAX),
                LaneSet::Some(words) => Words::Each(words),
            };
            for (lane, word) in words.iter_mut().enumerate() {
                *word |= parent.get(lane) & chosen(selector.get(lane));
            }
        });
    }
}
