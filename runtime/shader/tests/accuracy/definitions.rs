//! Builtins that are short sequences of primitives: they are what docs/builtins.md says, bit for bit.

use crate::kernel::Kernel;
use crate::random::Random;
use crate::{LEAST, loaded, stored};

// The primitives, by the host.

fn sum(a: f32, b: f32) -> f32 {
    let result = a + b;
    if result.abs() < LEAST { 0.0 } else { result }
}

fn difference(a: f32, b: f32) -> f32 {
    sum(a, -b)
}

fn product(a: f32, b: f32) -> f32 {
    let result = a * b;
    if result.abs() <= LEAST { 0.0 } else { result }
}

fn quotient(a: f32, b: f32) -> f32 {
    let result = if b == 0.0 { a / 0.0 } else { a / b };
    if result.abs() <= LEAST { 0.0 } else { result }
}

fn least(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

fn greatest(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

fn clamped(x: f32, low: f32, high: f32) -> f32 {
    least(greatest(x, low), high)
}

type Definition = fn(f32, f32, f32) -> f32;

const DEFINITIONS: [(&str, Definition); 27] = [
    ("x + y", |x, y, _| sum(x, y)),
    ("x - y", |x, y, _| difference(x, y)),
    ("x * y", |x, y, _| product(x, y)),
    ("x / y", |x, y, _| quotient(x, y)),
    ("x % y", |x, y, _| difference(x, product(y, quotient(x, y).trunc()))),
    ("-x", |x, _, _| -x),
    ("abs(x)", |x, _, _| x.abs()),
    ("sign(x)", |x, _, _| if x == 0.0 { x } else { x.signum() }),
    ("floor(x)", |x, _, _| x.floor()),
    ("ceil(x)", |x, _, _| x.ceil()),
    ("trunc(x)", |x, _, _| x.trunc()),
    ("round(x)", |x, _, _| x.round_ties_even()),
    ("fract(x)", |x, _, _| difference(x, x.floor())),
    ("modf(x).whole", |x, _, _| x.trunc()),
    ("modf(x).fract", |x, _, _| difference(x, x.trunc())),
    ("min(x, y)", |x, y, _| least(x, y)),
    ("max(x, y)", |x, y, _| greatest(x, y)),
    ("clamp(x, y, z)", clamped),
    ("saturate(x)", |x, _, _| clamped(x, 0.0, 1.0)),
    ("step(x, y)", |x, y, _| if x <= y { 1.0 } else { 0.0 }),
    ("fma(x, y, z)", |x, y, z| sum(product(x, y), z)),
    ("mix(x, y, z)", |x, y, z| sum(product(x, difference(1.0, z)), product(y, z))),
    ("smoothstep(x, y, z)", |x, y, z| {
        let t = clamped(quotient(difference(z, x), difference(y, x)), 0.0, 1.0);
        product(product(t, t), difference(3.0, product(2.0, t)))
    }),
    ("degrees(x)", |x, _, _| product(x, 57.295_78)),
    ("radians(x)", |x, _, _| product(x, 0.017_453_292)),
    ("sqrt(x)", |x, _, _| x.sqrt()),
    ("inverseSqrt(x)", |x, _, _| quotient(1.0, x.sqrt())),
];

fn operands(random: &mut Random, count: usize) -> Vec<u32> {
    let special = [0.0, 1.0, 0.5, 2.5, LEAST, f32::MAX, f32::INFINITY, f32::NAN, f32::from_bits(0x007f_ffff)];
    let special: Vec<f32> = special.iter().flat_map(|&value| [value, -value]).collect();
    let mut words = Vec::new();
    for x in &special {
        for y in &special {
            words.extend(special.iter().flat_map(|z| [x.to_bits(), y.to_bits(), z.to_bits()]));
        }
    }
    for index in 0..count {
        let mut next = || match index % 3 {
            0 => random.any(),
            1 => random.scaled(-4, 8),
            _ => random.scaled(-80, -40),
        };
        words.extend([next(), next(), next()].map(f32::to_bits));
    }
    words
}

fn check(call: &str, definition: Definition, words: &[u32]) {
    let kernel = Kernel::new(&format!("let x = f[i]; let y = f[i + 1u]; let z = f[i + 2u]; f_out[o] = {call};"), 3, 1);
    for (operands, got) in words.as_chunks::<3>().0.iter().zip(kernel.run(words)) {
        let [x, y, z] = operands.map(loaded);
        let want = definition(x, y, z);
        assert_eq!(got, stored(want), "{call} at {x:e}, {y:e}, {z:e}: {:e}, not {want:e}", f32::from_bits(got));
    }
}

#[test]
fn short_builtins_are_what_the_table_says() {
    for (call, definition) in DEFINITIONS {
        check(call, definition, &operands(&mut Random::new(call), 100_000));
    }
}

#[test]
#[ignore = "minutes: 10^7 operands for each function"]
fn short_builtins_are_what_the_table_says_at_many_operands() {
    for (call, definition) in DEFINITIONS {
        let mut random = Random::new(call);
        for _ in 0..40 {
            check(call, definition, &operands(&mut random, 250_000));
        }
    }
}

/// x 2^n, if it is a number; numbers below the smallest are zero.
fn scaled(x: f32, n: i32) -> f32 {
    let exact = f64::from(x) * 2_f64.powi(n.clamp(-600, 600));
    if exact.abs() < f64::from(LEAST) { 0.0 } else { exact as f32 }
}

fn check_scaling(random: &mut Random) {
    let mut words = Vec::new();
    for index in 0..200_000 {
        let n = match index % 4 {
            0 => random.bits() as i32,
            1 => [i32::MIN, i32::MAX, -1, 0, 1][index / 4 % 5],
            _ => random.below(600) as i32 - 300,
        };
        words.extend([random.bits(), n as u32]);
    }
    words.extend([LEAST.to_bits(), 253, f32::MAX.to_bits(), -253_i32 as u32, 1.0_f32.to_bits(), -126_i32 as u32]);
    let kernel = Kernel::new("f_out[o] = ldexp(f[i], bitcast<i32>(u[i + 1u]));", 2, 1);
    for ([x, n], got) in words.as_chunks::<2>().0.iter().zip(kernel.run(&words)) {
        let (x, n) = (loaded(*x), *n as i32);
        assert_eq!(got, stored(scaled(x, n)), "ldexp({x:e}, {n})");
    }
}

#[test]
fn scaling_by_powers_of_two_is_exact() {
    check_scaling(&mut Random::new("ldexp"));
}

#[test]
#[ignore = "minutes: 10^7 operands"]
fn scaling_by_powers_of_two_is_exact_at_many_operands() {
    let mut random = Random::new("ldexp");
    (0..50).for_each(|_| check_scaling(&mut random));
}

fn check_parts(words: &[u32]) {
    let body = "let parts = frexp(f[i]); f_out[o] = parts.fract; u_out[o + 1u] = bitcast<u32>(parts.exp);";
    let results = Kernel::new(body, 1, 2).run(words);
    for (x, [fraction, exponent]) in words.iter().zip(results.as_chunks::<2>().0) {
        let (x, fraction, exponent) = (loaded(*x), f32::from_bits(*fraction), *exponent as i32);
        if x == 0.0 || !x.is_finite() {
            assert_eq!((fraction.to_bits(), exponent), (stored(x), 0), "frexp({x:e})");
        } else {
            assert!((0.5..1.0).contains(&fraction.abs()), "frexp({x:e}) has fraction {fraction}");
            assert_eq!(f64::from(fraction) * 2_f64.powi(exponent), f64::from(x), "frexp({x:e})");
        }
    }
}

#[test]
fn numbers_come_apart_into_fraction_and_exponent() {
    check_parts(&operands(&mut Random::new("frexp"), 100_000));
}

#[test]
#[ignore = "minutes: 10^7 operands"]
fn numbers_come_apart_into_fraction_and_exponent_at_many_operands() {
    let mut random = Random::new("frexp");
    // Three of each.
    (0..34).for_each(|_| check_parts(&operands(&mut random, 100_000)));
}
