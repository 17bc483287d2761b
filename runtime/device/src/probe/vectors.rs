//! Operands where arithmetic often goes wrong, and many others.

/// Bits of f32 at the edges: both ends of the range, neighbours of powers of two, ties, limits of the integers.
const EDGES: [u32; 46] = [
    0x0000_0000,
    0x0080_0000,
    0x0080_0001,
    0x00ff_ffff,
    0x0100_0000,
    0x0100_0001,
    0x1f80_0000,
    0x2000_0000,
    0x2b80_0000,
    0x3380_0000,
    0x33ff_ffff,
    0x3400_0000,
    0x3eff_ffff,
    0x3f00_0000,
    0x3f00_0001,
    0x3f7f_ffff,
    0x3f80_0000,
    0x3f80_0001,
    0x3fbf_ffff,
    0x3fc0_0000,
    0x3fc0_0001,
    0x3fff_ffff,
    0x4000_0000,
    0x4020_0000,
    0x4060_0000,
    0x4aff_ffff,
    0x4b00_0000,
    0x4b00_0001,
    0x4b7f_ffff,
    0x4b80_0000,
    0x4eff_ffff,
    0x4f00_0000,
    0x4f00_0001,
    0x4f7f_ffff,
    0x4f80_0000,
    0x4f80_0001,
    0x5f80_0000,
    0x6000_0000,
    0x7eff_ffff,
    0x7f00_0000,
    0x7f7f_fffe,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7f80_0001,
    0x7fc0_0000,
    0x0000_0001,
];

/// A source of operands. Equal seeds give equal operands.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    state: u64,
}

impl Vectors {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// Random bits.
    pub(crate) fn bits(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let [_, _, _, _, a, b, c, d] = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.bits() % bound.max(1)
    }

    /// A random one of these.
    fn among(&mut self, choices: &[u32]) -> u32 {
        let index = usize::try_from(self.bits()).unwrap_or(0) % choices.len().max(1);
        choices.get(index).copied().unwrap_or(0)
    }

    /// A random f32: often an edge, a number with few bits set, or one near 1.
    fn operand(&mut self) -> u32 {
        let sign = self.bits() & 0x8000_0000;
        match self.below(8) {
            0 => sign | self.among(&EDGES),
            1 => self.bits() & 0xff80_0000 | self.among(&[0, 1, 0x7f_ffff, 0x7f_fffe, 0x40_0000, 0x3f_ffff, 0x40_0001]),
            2 => sign | (self.below(40) + 107) << 23 | self.bits() & 0x7f_ffff,
            3 => sign | (self.below(30) + 122) << 23 | self.bits() & self.bits() & self.bits() & 0x7f_ffff,
            _ => self.bits(),
        }
    }

    /// The bits of `value`, changed by up to three units in the last place.
    fn near(&mut self, value: f32) -> u32 {
        value.to_bits().wrapping_add(self.below(7)).wrapping_sub(3)
    }

    /// A second operand which together with the first comes close to a tie, a limit of the range, or cancellation.
    fn partner(&mut self, first: u32) -> u32 {
        let value = f32::from_bits(first);
        match self.below(8) {
            0 => self.near(if first & 1 == 0 { value } else { -value }),
            // Products at the limit of underflow, and of overflow.
            1 => self.near(f32::MIN_POSITIVE / value),
            2 => self.near(f32::MAX / value),
            // Sums whose parts hardly overlap.
            3 => {
                let exponent = (first >> 23).wrapping_add(self.below(60)).wrapping_sub(30) & 0xff;
                self.bits() & 0x807f_ffff | exponent << 23
            }
            // Quotients near a random number, and at the limit of underflow.
            4 => {
                let quotient = f32::from_bits(self.operand());
                self.near(value / quotient)
            }
            5 => self.near(value / f32::MIN_POSITIVE),
            _ => self.operand(),
        }
    }

    /// `count` triples of operands, component by component: first all pairs of edges, of either sign.
    pub(crate) fn triples(&mut self, count: usize) -> [Vec<u32>; 3] {
        let mut first = Vec::with_capacity(count);
        let mut second = Vec::with_capacity(count);
        for a in EDGES {
            for b in EDGES {
                for signs in 0..4 {
                    first.push(a | (signs & 1) << 31);
                    second.push(b | (signs & 2) << 30);
                }
            }
        }
        first.truncate(count);
        second.truncate(count);
        while first.len() < count {
            let a = self.operand();
            first.push(a);
            second.push(self.partner(a));
        }
        let third = second.iter().map(|b| self.partner(*b)).collect();
        [first, second, third]
    }
}
