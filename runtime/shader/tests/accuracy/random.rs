//! Random operands, the same in every run.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(name: &str) -> Self {
        Self(
            name.bytes()
                .fold(0x1b0b_17d3_2f00_d5e5, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)),
        )
    }

    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    pub fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(limit)) >> 32) as u32
    }

    /// Any bits at all.
    pub fn any(&mut self) -> f32 {
        f32::from_bits(self.bits())
    }

    /// Evenly between two values.
    pub fn between(&mut self, low: f64, high: f64) -> f32 {
        (low + (high - low) * (f64::from(self.bits()) / 4_294_967_296.0)) as f32
    }

    /// Of either sign, and of any magnitude between two powers of two.
    pub fn scaled(&mut self, low: i32, high: i32) -> f32 {
        let exponent = low + self.below((high - low) as u32) as i32;
        let magnitude = self.between(1.0, 2.0).min(1.999_999_9) * 2_f32.powi(exponent);
        if self.bits() & 1 == 0 { magnitude } else { -magnitude }
    }
}
