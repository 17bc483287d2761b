//! Packing, unpacking and rounding to f16, against `f64` arithmetic.

use crate::kernel::Kernel;
use crate::random::Random;
use crate::{LEAST, loaded, stored};

/// The value of the f16 nearest to x, ties to even.
fn half(x: f32) -> f32 {
    let magnitude = f64::from(x.abs());
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(-14);
    let unit = 2_f64.powi(exponent - 10);
    let rounded = (magnitude / unit).round_ties_even() * unit;
    let rounded = if rounded > 65_504.0 { f32::INFINITY } else { rounded as f32 };
    rounded.copysign(x)
}

/// The value of 16 bits as f16.
fn half_value(bits: u32) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 31, f64::from(bits & 0x3ff) / 1024.0);
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2_f64.powi(exponent as i32 - 15),
    };
    (if bits & 0x8000 == 0 { magnitude } else { -magnitude }) as f32
}

fn operands(random: &mut Random, count: usize) -> Vec<u32> {
    let mut words: Vec<u32> = [0.0, -0.0, 1.0, -1.0, 65_504.0, 65_519.996, 65_520.0, 2e-8, 3e-8, f32::MAX, LEAST]
        .into_iter()
        .chain([f32::INFINITY, -f32::INFINITY, f32::NAN, 6.103_515_6e-5, 6.1e-5, 0.5, -0.5])
        .map(f32::to_bits)
        .collect();
    words.resize(words.len().next_multiple_of(4), 0);
    for index in 0..count {
        words.push(match index / 4 % 4 {
            0 => random.bits(),
            1 => random.between(-1.1, 1.1).to_bits(),
            // The middle between two halves, and its neighbours.
            2 => (half_value(random.bits() & 0x7fff).to_bits() | 0x1000).wrapping_add(random.below(3)).wrapping_sub(1),
            _ => random.scaled(-26, 17).to_bits(),
        });
    }
    words
}

fn check_halves(words: &[u32]) {
    let quantized = Kernel::new("f_out[o] = quantizeToF16(f[i]);", 1, 1).run(words);
    let packed = Kernel::new("u_out[o] = pack2x16float(vec2f(f[i], f[i + 1u]));", 2, 1).run(words);
    for (index, word) in words.iter().enumerate() {
        let x = loaded(*word);
        let want = half(x);
        assert_eq!(quantized[index], stored(want), "quantizeToF16({x:e})");
        let bits = packed[index / 2] >> (index % 2 * 16) & 0xffff;
        let canonical = if want.is_nan() { bits == 0x7e00 } else { stored(half_value(bits)) == stored(want) };
        assert!(canonical && bits != 0x8000, "pack2x16float of {x:e} has {bits:04x}");
    }
}

#[test]
fn halves_are_rounded_to_nearest_even() {
    check_halves(&operands(&mut Random::new("pack"), 400_000));
}

#[test]
#[ignore = "minutes: 10^7 operands"]
fn halves_are_rounded_to_nearest_even_at_many_operands() {
    let mut random = Random::new("pack");
    (0..25).for_each(|_| check_halves(&operands(&mut random, 400_000)));
}

#[test]
fn every_half_is_unpacked() {
    let words: Vec<u32> = (0..0x8000).map(|low| low << 16 | (low ^ 0x8000)).collect();
    let body = "let v = unpack2x16float(u[i]); f_out[o] = v.x; f_out[o + 1u] = v.y;";
    for (index, got) in Kernel::new(body, 1, 2).run(&words).into_iter().enumerate() {
        let bits = words[index / 2] >> (index % 2 * 16) & 0xffff;
        assert_eq!(got, stored(half_value(bits)), "the half {bits:04x}");
    }
}

/// floor(0.5 + scale * clamp(x, low, 1)), where product and sum are rounded to `f32`; NaN gives 0.
fn normalized(x: f32, low: f32, scale: f32) -> i32 {
    let clamped = if x < low {
        low
    } else if x > 1.0 {
        1.0
    } else {
        x
    };
    (0.5 + scale * clamped).floor() as i32
}

fn check_normalized(words: &[u32]) {
    let vec4 = "vec4f(f[i], f[i + 1u], f[i + 2u], f[i + 3u])";
    for (name, bits, low, scale) in [
        ("pack4x8snorm", 8, -1.0, 127.0),
        ("pack4x8unorm", 8, 0.0, 255.0),
        ("pack2x16snorm", 16, -1.0, 32_767.0),
        ("pack2x16unorm", 16, 0.0, 65_535.0),
    ] {
        let parts = 32 / bits;
        let vector = if parts == 4 { vec4 } else { "vec2f(f[i], f[i + 1u])" };
        let packed = Kernel::new(&format!("u_out[o] = {name}({vector});"), parts, 1).run(words);
        for (index, word) in words.iter().enumerate() {
            let x = loaded(*word);
            let got = packed[index / parts] >> (index % parts * bits) & ((1 << bits) - 1);
            let want = normalized(x, low, scale) as u32 & ((1 << bits) - 1);
            assert_eq!(got, want, "{name} of {x:e}");
        }
    }
}

#[test]
fn normalized_integers_are_packed_as_wgsl_says() {
    check_normalized(&operands(&mut Random::new("pack"), 400_000));
}

#[test]
#[ignore = "minutes: 10^7 operands for each function"]
fn normalized_integers_are_packed_as_wgsl_says_at_many_operands() {
    let mut random = Random::new("pack");
    (0..25).for_each(|_| check_normalized(&operands(&mut random, 400_000)));
}

#[test]
fn every_normalized_integer_is_unpacked_to_the_nearest_number() {
    for (name, bits, signed) in [
        ("unpack4x8snorm", 8, true),
        ("unpack4x8unorm", 8, false),
        ("unpack2x16snorm", 16, true),
        ("unpack2x16unorm", 16, false),
    ] {
        let parts = 32 / bits;
        let all = 1_usize << bits;
        let words: Vec<u32> = (0..all)
            .map(|n| (0..parts).fold(0, |word, part| word | ((n * 7 + part * 91) % all) << (part * bits)) as u32)
            .collect();
        let writes: String = (0..parts).map(|part| format!("f_out[o + {part}u] = v[{part}];")).collect();
        let results = Kernel::new(&format!("let v = {name}(u[i]); {writes}"), 1, parts).run(&words);
        for (index, got) in results.into_iter().enumerate() {
            let field = words[index / parts] >> (index % parts * bits) & (all as u32 - 1);
            let want = if signed {
                let value = (field << (32 - bits)) as i32 >> (32 - bits);
                (f64::from(value) / (all / 2 - 1) as f64).max(-1.0)
            } else {
                f64::from(field) / (all - 1) as f64
            };
            assert_eq!(got, stored(want as f32), "{name} of {field:x}");
        }
    }
}
