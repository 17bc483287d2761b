//! Every builtin on `f32` against a reference, at the accuracy that docs/builtins.md states.
//!
//! The kernels go the way of every kernel: through the pass, in which the prelude defines the builtins, to the
//! interpreter. `cargo test -p isobit-shader --test accuracy -- --nocapture` prints the largest error of each function.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a test's helpers panic like the test"
)]

mod definitions;
mod functions;
mod geometry;
mod kernel;
mod packing;
mod random;
mod reference;

/// The smallest normal number.
const LEAST: f32 = f32::MIN_POSITIVE;

/// As a value comes out of a buffer: a subnormal is zero.
fn loaded(bits: u32) -> f32 {
    let value = f32::from_bits(bits);
    if value.is_subnormal() { 0.0 } else { value }
}

/// As a value goes into a buffer: one zero, one NaN.
fn stored(value: f32) -> u32 {
    if value.is_nan() {
        0x7fc0_0000
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

/// The distance between neighbouring `f32` at `value`.
fn ulp(value: f64) -> f64 {
    let magnitude = value.abs().clamp(f64::from(LEAST), f64::from(f32::MAX));
    let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
    2_f64.powi(exponent - 23)
}

/// How far `got` is from the true value, in units in the last place. Where that is beyond the range of `f32`, infinity
/// and zero are right; `None` says that `got` is wrong in kind.
fn error(got: f32, truth: f64, bound: f64) -> Option<f64> {
    let slack = bound * ulp(truth);
    if truth.is_nan() {
        return got.is_nan().then_some(0.0);
    }
    // Halfway between the largest number and the next that there would be.
    let limit = f64::from(f32::MAX) + ulp(f64::from(f32::MAX)) / 2.0;
    if got.is_infinite() {
        return (truth.abs() + slack >= limit && truth.is_sign_positive() == got.is_sign_positive()).then_some(0.0);
    }
    if truth.is_infinite() || got.is_nan() {
        return None;
    }
    // Products flush up to and with the smallest normal number.
    if got == 0.0 && truth.abs() <= f64::from(LEAST) + slack {
        return Some(0.0);
    }
    Some((f64::from(got) - truth).abs() / ulp(truth))
}
