//! The true values: `astro-float` at 128 bits, rounded to `f64`.

use astro_float_num::{BigFloat, Consts, RoundingMode, Sign};

const BITS: usize = 128;
const NEAREST: RoundingMode = RoundingMode::ToEven;

/// Computes true values.
pub struct Reference {
    constants: Consts,
}

/// A function of one or two arguments.
pub type Truth = fn(&mut Reference, f64, f64) -> BigFloat;

impl Reference {
    pub fn new() -> Self {
        Self { constants: Consts::new().unwrap() }
    }

    /// The true value for finite operands.
    pub fn value(&mut self, truth: Truth, x: f64, y: f64) -> f64 {
        rounded(&truth(self, x, y))
    }

    pub fn number(&self, x: f64) -> BigFloat {
        BigFloat::from_f64(x, BITS)
    }

    /// A function of `astro-float` that takes precision, rounding and constants.
    pub fn apply(&mut self, function: fn(&BigFloat, usize, RoundingMode, &mut Consts) -> BigFloat, x: f64) -> BigFloat {
        function(&self.number(x), BITS, NEAREST, &mut self.constants)
    }

    pub fn power(&mut self, x: f64, y: f64) -> BigFloat {
        self.number(x).pow(&self.number(y), BITS, NEAREST, &mut self.constants)
    }

    pub fn root(&self, x: f64) -> BigFloat {
        self.number(x).sqrt(BITS, NEAREST)
    }

    pub fn inverse_root(&self, x: f64) -> BigFloat {
        self.root(x).reciprocal(BITS, NEAREST)
    }

    /// The angle of the point (x, y). Zeros have no sign.
    pub fn angle(&mut self, y: f64, x: f64) -> BigFloat {
        if x == 0.0 && y == 0.0 {
            return self.number(0.0);
        }
        let pi = self.constants.pi(BITS, NEAREST);
        let half_turn = |sign: f64| pi.mul(&BigFloat::from_f64(sign, BITS), BITS, NEAREST);
        if x == 0.0 {
            return half_turn(if y < 0.0 { -0.5 } else { 0.5 });
        }
        let ratio = self.number(y).div(&self.number(x), BITS, NEAREST);
        let angle = ratio.atan(BITS, NEAREST, &mut self.constants);
        if x > 0.0 { angle } else { angle.add(&half_turn(if y < 0.0 { -1.0 } else { 1.0 }), BITS, NEAREST) }
    }
}

fn rounded(value: &BigFloat) -> f64 {
    let Some((words, _, sign, exponent, _)) = value.as_raw_parts() else {
        return match (value.is_nan(), value.is_inf_neg()) {
            (true, _) => f64::NAN,
            (false, true) => f64::NEG_INFINITY,
            (false, false) => f64::INFINITY,
        };
    };
    if value.is_zero() {
        return 0.0;
    }
    // The significand is a fraction in [0.5, 1), its most significant word the last.
    let fraction = *words.last().unwrap() as f64 / 2_f64.powi(64);
    let magnitude = if exponent < -1000 { 0.0 } else { fraction * 2_f64.powi(exponent.min(1024)) };
    if sign == Sign::Neg { -magnitude } else { magnitude }
}
