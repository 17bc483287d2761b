//! The elementary functions.

use astro_float_num::BigFloat;

use crate::kernel::Kernel;
use crate::random::Random;
use crate::reference::{Reference, Truth};
use crate::{LEAST, error, loaded, stored};

/// A builtin with a stated accuracy.
struct Function {
    /// In terms of `x` and `y`.
    call: &'static str,
    /// Units in the last place.
    bound: f64,
    /// The true value.
    truth: Truth,
    /// The true value to some fifty bits, by the host's mathematics. It stands in for `truth`, which takes a
    /// tenth of a millisecond, where many values are compared, and is itself compared with `truth`.
    quick: fn(f64, f64) -> f64,
    /// Operands where the function is interesting.
    typical: fn(&mut Random) -> [f32; 2],
    /// Operands and results as bits of the canonical kind, as the table of docs/builtins.md says.
    special: &'static [([f32; 2], f32)],
}

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

fn unary(range: f64) -> impl Fn(&mut Random) -> [f32; 2] {
    move |random| [random.between(-range, range), 0.0]
}

fn functions() -> Vec<Function> {
    vec![
        Function {
            call: "exp(x)",
            bound: 1.0,
            truth: |r, x, _| r.apply(BigFloat::exp, x),
            quick: |x, _| x.exp(),
            typical: |random| unary(90.0)(random),
            special: &[
                ([0.0, 0.0], 1.0),
                ([INF, 0.0], INF),
                ([-INF, 0.0], 0.0),
                ([89.0, 0.0], INF),
                ([-88.0, 0.0], 0.0),
            ],
        },
        Function {
            call: "exp2(x)",
            bound: 1.1,
            truth: |r, x, _| r.power(2.0, x),
            quick: |x, _| x.exp2(),
            typical: |random| unary(130.0)(random),
            special: &[
                ([0.0, 0.0], 1.0),
                ([10.0, 0.0], 1024.0),
                ([-126.0, 0.0], LEAST),
                ([128.0, 0.0], INF),
                ([INF, 0.0], INF),
                ([-INF, 0.0], 0.0),
            ],
        },
        Function {
            call: "log(x)",
            bound: 0.9,
            truth: |r, x, _| r.apply(BigFloat::ln, x),
            quick: |x, _| x.ln(),
            typical: |random| [random.between(0.0, 4.0), 0.0],
            special: &[
                ([1.0, 0.0], 0.0),
                ([0.0, 0.0], -INF),
                ([-0.0, 0.0], -INF),
                ([INF, 0.0], INF),
                ([-1.0, 0.0], NAN),
            ],
        },
        Function {
            call: "log2(x)",
            bound: 1.4,
            truth: |r, x, _| r.apply(BigFloat::log2, x),
            quick: |x, _| x.log2(),
            typical: |random| [random.between(0.0, 4.0), 0.0],
            special: &[
                ([8.0, 0.0], 3.0),
                ([LEAST, 0.0], -126.0),
                ([0.0, 0.0], -INF),
                ([INF, 0.0], INF),
                ([-INF, 0.0], NAN),
            ],
        },
        Function {
            call: "pow(x, y)",
            bound: 1.3,
            truth: |r, x, y| r.power(x, y),
            quick: f64::powf,
            typical: |random| {
                let x = match random.below(4) {
                    0 => random.scaled(-126, 127).abs(),
                    1 => random.between(0.999, 1.001),
                    2 => random.between(0.5, 2.0),
                    _ => random.between(0.0, 100.0),
                };
                let y = match random.below(3) {
                    0 => random.between(-10.0, 10.0),
                    // Any result between the smallest and the largest number.
                    1 if x > 0.0 && x != 1.0 => random.between(-130.0, 130.0) / x.log2(),
                    _ => random.scaled(-10, 30),
                };
                [x, y]
            },
            special: &[
                ([0.0, 0.0], 1.0),
                ([-0.0, -0.0], 1.0),
                ([0.0, 2.0], 0.0),
                ([0.0, -2.0], INF),
                ([-0.0, -3.0], INF),
                ([INF, 0.0], 1.0),
                ([INF, 0.5], INF),
                ([INF, -0.5], 0.0),
                ([1.0, INF], 1.0),
                ([2.0, INF], INF),
                ([0.5, INF], 0.0),
                ([0.5, -INF], INF),
                ([0.0, INF], 0.0),
                ([-2.0, 2.0], NAN),
                ([-INF, 2.0], NAN),
                ([NAN, 0.0], NAN),
                ([1.0, NAN], NAN),
                ([3.0, 2.0], 9.0),
            ],
        },
        Function {
            call: "inverseSqrt(x)",
            bound: 1.5,
            truth: |r, x, _| r.inverse_root(x),
            quick: |x, _| 1.0 / x.abs().sqrt() * if x < 0.0 { f64::NAN } else { 1.0 },
            typical: |random| [random.between(0.0, 100.0), 0.0],
            special: &[([0.0, 0.0], INF), ([-0.0, 0.0], INF), ([INF, 0.0], 0.0), ([-1.0, 0.0], NAN)],
        },
        Function {
            call: "sqrt(x)",
            bound: 0.5,
            truth: |r, x, _| r.root(x),
            quick: |x, _| x.sqrt(),
            typical: |random| [random.between(0.0, 100.0), 0.0],
            special: &[([0.0, 0.0], 0.0), ([-0.0, 0.0], 0.0), ([INF, 0.0], INF), ([-1.0, 0.0], NAN)],
        },
        Function {
            call: "sin(x)",
            bound: 1.6,
            truth: |r, x, _| r.apply(BigFloat::sin, x),
            quick: |x, _| x.sin(),
            typical: |random| unary(100.0)(random),
            special: &[([0.0, 0.0], 0.0), ([INF, 0.0], NAN), ([-INF, 0.0], NAN)],
        },
        Function {
            call: "cos(x)",
            bound: 1.6,
            truth: |r, x, _| r.apply(BigFloat::cos, x),
            quick: |x, _| x.cos(),
            typical: |random| unary(100.0)(random),
            special: &[([0.0, 0.0], 1.0), ([-0.0, 0.0], 1.0), ([INF, 0.0], NAN), ([-INF, 0.0], NAN)],
        },
        Function {
            call: "tan(x)",
            bound: 2.6,
            truth: |r, x, _| r.apply(BigFloat::tan, x),
            quick: |x, _| x.tan(),
            typical: |random| unary(100.0)(random),
            special: &[([0.0, 0.0], 0.0), ([INF, 0.0], NAN), ([-INF, 0.0], NAN)],
        },
        Function {
            call: "asin(x)",
            bound: 1.7,
            truth: |r, x, _| r.apply(BigFloat::asin, x),
            quick: |x, _| x.asin(),
            typical: |random| unary(1.0)(random),
            special: &[([0.0, 0.0], 0.0), ([1.5, 0.0], NAN), ([-INF, 0.0], NAN)],
        },
        Function {
            call: "acos(x)",
            bound: 1.2,
            truth: |r, x, _| r.apply(BigFloat::acos, x),
            quick: |x, _| x.acos(),
            typical: |random| unary(1.0)(random),
            special: &[([1.0, 0.0], 0.0), ([-1.5, 0.0], NAN), ([INF, 0.0], NAN)],
        },
        Function {
            call: "atan(x)",
            bound: 1.6,
            truth: |r, x, _| r.apply(BigFloat::atan, x),
            quick: |x, _| x.atan(),
            typical: |random| unary(4.0)(random),
            special: &[([0.0, 0.0], 0.0), ([INF, 0.0], std::f32::consts::FRAC_PI_2)],
        },
        Function {
            call: "atan2(y, x)",
            bound: 1.7,
            truth: |r, x, y| r.angle(y, x),
            quick: |x, y| (y + 0.0).atan2(x + 0.0),
            typical: |random| [random.between(-2.0, 2.0), random.between(-2.0, 2.0)],
            special: &[
                ([0.0, 0.0], 0.0),
                ([-0.0, -0.0], 0.0),
                ([-1.0, 0.0], std::f32::consts::PI),
                ([-1.0, -0.0], std::f32::consts::PI),
                ([0.0, -1.0], -std::f32::consts::FRAC_PI_2),
                ([INF, INF], std::f32::consts::FRAC_PI_4),
                ([INF, 3.0], 0.0),
                ([-INF, 3.0], std::f32::consts::PI),
                ([3.0, -INF], -std::f32::consts::FRAC_PI_2),
                ([NAN, 1.0], NAN),
                ([1.0, NAN], NAN),
            ],
        },
        Function {
            call: "sinh(x)",
            bound: 1.9,
            truth: |r, x, _| r.apply(BigFloat::sinh, x),
            quick: |x, _| x.sinh(),
            typical: |random| unary(10.0)(random),
            special: &[([0.0, 0.0], 0.0), ([INF, 0.0], INF), ([-INF, 0.0], -INF), ([90.0, 0.0], INF)],
        },
        Function {
            call: "cosh(x)",
            bound: 1.9,
            truth: |r, x, _| r.apply(BigFloat::cosh, x),
            quick: |x, _| x.cosh(),
            typical: |random| unary(10.0)(random),
            special: &[([0.0, 0.0], 1.0), ([INF, 0.0], INF), ([-INF, 0.0], INF), ([-90.0, 0.0], INF)],
        },
        Function {
            call: "tanh(x)",
            bound: 1.4,
            truth: |r, x, _| r.apply(BigFloat::tanh, x),
            quick: |x, _| x.tanh(),
            typical: |random| unary(4.0)(random),
            special: &[([0.0, 0.0], 0.0), ([INF, 0.0], 1.0), ([-INF, 0.0], -1.0), ([1e30, 0.0], 1.0)],
        },
        Function {
            call: "asinh(x)",
            bound: 1.9,
            truth: |r, x, _| r.apply(BigFloat::asinh, x),
            quick: |x, _| x.asinh(),
            typical: |random| unary(4.0)(random),
            special: &[([0.0, 0.0], 0.0), ([INF, 0.0], INF), ([-INF, 0.0], -INF)],
        },
        Function {
            call: "acosh(x)",
            bound: 2.5,
            truth: |r, x, _| r.apply(BigFloat::acosh, x),
            quick: |x, _| ((x - 1.0) + ((x - 1.0) * (x + 1.0)).sqrt()).ln_1p() * if x < 1.0 { f64::NAN } else { 1.0 },
            typical: |random| [random.between(1.0, 4.0), 0.0],
            special: &[([1.0, 0.0], 0.0), ([INF, 0.0], INF), ([0.5, 0.0], NAN), ([-2.0, 0.0], NAN), ([-INF, 0.0], NAN)],
        },
        Function {
            call: "atanh(x)",
            bound: 2.2,
            truth: |r, x, _| r.apply(BigFloat::atanh, x),
            quick: |x, _| x.atanh(),
            typical: |random| unary(1.0)(random),
            special: &[
                ([0.0, 0.0], 0.0),
                ([1.0, 0.0], INF),
                ([-1.0, 0.0], -INF),
                ([2.0, 0.0], NAN),
                ([-INF, 0.0], NAN),
            ],
        },
    ]
}

/// Operands at which something could go wrong: powers of two, the ends of ranges, their neighbours, what is no number.
fn edges() -> Vec<f32> {
    let mut edges = vec![0.0, LEAST, f32::MAX, INF, NAN, f32::from_bits(1), f32::from_bits(0x007f_ffff)];
    let mut near = |value: f32| edges.extend([value, value.next_up(), value.next_down()]);
    for exponent in -126..=127 {
        near(2_f32.powi(exponent));
        near(2_f32.powi(exponent) * std::f32::consts::SQRT_2);
    }
    for quarter in 1..=64 {
        near((f64::from(quarter) * std::f64::consts::FRAC_PI_4) as f32);
        near((f64::from(quarter) * std::f64::consts::LN_2 / 2.0) as f32);
        near((f64::from(quarter) + 64.0) as f32);
    }
    // Where exp and sinh overflow and underflow, where log, tanh and asinh change their way, and the two numbers
    // closest to a multiple of π/2.
    for value in [88.722_84, 89.415_985, 87.336_55, 0.6, 9.01, 4096.0, 65_536.0, 7.729_179e28, 21_999_384_576.0] {
        near(value);
    }
    let negative: Vec<f32> = edges.iter().map(|edge| -edge).collect();
    edges.extend(negative);
    edges
}

fn operands(function: &Function, random: &mut Random, count: usize) -> Vec<f32> {
    let edges = edges();
    let mut operands = Vec::new();
    if function.call.contains('y') {
        let few: Vec<f32> =
            edges.iter().copied().step_by(17).chain(function.special.iter().flat_map(|it| it.0)).collect();
        operands.extend(few.iter().flat_map(|&x| few.iter().flat_map(move |&y| [x, y])));
    } else {
        operands.extend(edges.iter().flat_map(|&x| [x, 0.0]));
    }
    for index in 0..count {
        let [x, y] = (function.typical)(random);
        operands.extend(if index % 2 == 0 { [x, y] } else { [random.any(), random.any()] });
    }
    operands
}

/// Whether a power has an operand for which only the table says what it is.
fn is_special(function: &Function, x: f32, y: f32) -> bool {
    function.call.starts_with("pow")
        && (x <= 0.0 || x.is_nan() || x.is_infinite() || y.is_nan() || y == 0.0 || x == 1.0)
}

/// Compares `random` operands with the host's mathematics, and about `exact` of them with the reference.
fn measure(function: &Function, random_operands: usize, exact: usize) {
    let Function { call, bound, quick, .. } = function;
    let kernel = Kernel::new(&format!("let x = f[i]; let y = f[i + 1u]; f_out[o] = {call};"), 2, 1);
    let mut random = Random::new(call);
    let mut reference = Reference::new();
    let (mut worst, mut at) = (0.0, [0.0; 2]);
    let mut left = random_operands;
    while left > 0 {
        let count = left.min(1 << 18);
        left -= count;
        let operands = operands(function, &mut random, count);
        let results = kernel.values(&operands);
        let every = results.len() * random_operands.div_ceil(1 << 18) / exact;
        let mut check = |index: usize, with_reference: bool| -> f64 {
            let [x, y] = [operands[index * 2], operands[index * 2 + 1]].map(|it| loaded(it.to_bits()));
            if is_special(function, x, y) {
                return 0.0;
            }
            let got = results[index];
            let mut truth = quick(x.into(), y.into());
            if with_reference && x.is_finite() && y.is_finite() && truth.is_finite() {
                let exact = reference.value(function.truth, x.into(), y.into());
                let differs = (exact - truth).abs() > (truth.abs() * 2_f64.powi(-36)).max(2_f64.powi(-900));
                assert!(!differs, "{call} at {x:e}, {y:e}: host {truth:e}, reference {exact:e}");
                truth = exact;
            }
            let error = error(got, truth, *bound);
            let error = error.filter(|error| error <= bound && stored(got) == got.to_bits());
            error.unwrap_or_else(|| panic!("{call} at {x:e}, {y:e} gives {got:e}, not {truth:e}"))
        };
        let (mut worst_here, mut index_here) = (0.0, 0);
        for index in 0..results.len() {
            let error = check(index, index % every.max(1) == 0);
            if error > worst_here {
                (worst_here, index_here) = (error, index);
            }
        }
        let error = check(index_here, true);
        if error > worst {
            (worst, at) = (error, [operands[index_here * 2], operands[index_here * 2 + 1]]);
        }
    }
    println!("{call:<14} {worst:.3} ulp at {at:?}, stated {bound}");
}

#[test]
fn elementary_functions_are_as_accurate_as_stated() {
    for function in functions() {
        measure(&function, 100_000, 1_000);
    }
}

#[test]
#[ignore = "minutes: 10^7 operands for each function"]
fn elementary_functions_are_as_accurate_as_stated_at_many_operands() {
    for function in functions() {
        measure(&function, 10_000_000, 100_000);
    }
}

#[test]
fn elementary_functions_have_the_special_values_of_the_table() {
    for Function { call, special, .. } in functions() {
        let kernel = Kernel::new(&format!("let x = f[i]; let y = f[i + 1u]; f_out[o] = {call};"), 2, 1);
        let operands: Vec<f32> = special.iter().flat_map(|it| it.0).chain([NAN, NAN]).collect();
        let mut wanted: Vec<f32> = special.iter().map(|it| it.1).collect();
        wanted.push(NAN);
        for (index, (got, want)) in kernel.values(&operands).into_iter().zip(wanted).enumerate() {
            let [x, y] = [operands[index * 2], operands[index * 2 + 1]];
            assert_eq!(got.to_bits(), stored(want), "{call} at {x:e}, {y:e}: {got:e}, not {want:e}");
        }
    }
}
