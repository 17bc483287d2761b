//! What optimizers and devices are known to break: arithmetic that looks as if it could be shortened, fused, moved out of
//! loops or computed beforehand. Each trap is computed on the host too, in the same steps.

#![allow(clippy::eq_op, clippy::neg_cmp_op_on_partial_ord, reason = "NaNs make a difference")]

use std::ops::{Add, Div, Mul, Neg, Sub};

use isobit_shader::Tier;

use crate::runner::{Form, Gpu, Outcome, Program, interpret, prepare};

/// A number and the arithmetic of profile dp32, as its definition says it.
#[derive(Clone, Copy, Debug)]
struct Dp(f32);

impl Dp {
    fn sqrt(self) -> Dp {
        Dp(self.0.sqrt())
    }

    /// As it is seen in a buffer.
    fn bits(self) -> u32 {
        match self.0 {
            nan if nan.is_nan() => 0x7fc0_0000,
            0.0 => 0,
            number => number.to_bits(),
        }
    }
}

/// A sum that is not zero, but below the normal numbers, is zero.
impl Add for Dp {
    type Output = Dp;

    fn add(self, other: Dp) -> Dp {
        let sum = self.0 + other.0;
        Dp(if sum.abs() < f32::MIN_POSITIVE { 0.0 } else { sum })
    }
}

impl Sub for Dp {
    type Output = Dp;

    fn sub(self, other: Dp) -> Dp {
        self + -other
    }
}

/// A product or quotient that is not above the smallest normal number is zero.
fn above_smallest(result: f32) -> Dp {
    Dp(if result.abs() <= f32::MIN_POSITIVE { 0.0 } else { result })
}

impl Mul for Dp {
    type Output = Dp;

    fn mul(self, other: Dp) -> Dp {
        above_smallest(self.0 * other.0)
    }
}

impl Div for Dp {
    type Output = Dp;

    fn div(self, other: Dp) -> Dp {
        // The sign of a zero is no part of the value.
        if other.0 == 0.0 {
            return Dp(if self.0 == 0.0 || self.0.is_nan() { f32::NAN } else { f32::INFINITY.copysign(self.0) });
        }
        above_smallest(self.0 / other.0)
    }
}

impl Neg for Dp {
    type Output = Dp;

    fn neg(self) -> Dp {
        Dp(-self.0)
    }
}

struct Trap {
    /// The body of a function of `a`, `b` and `c`; `x` is an array of eight numbers.
    wgsl: &'static str,
    host: fn(Dp, Dp, Dp, [Dp; 8]) -> Dp,
}

/// What the traps call.
const FUNCTIONS: &str = "
fn product(a: f32, b: f32) -> f32 { return a * b; }
fn sum(a: f32, b: f32) -> f32 { return a + b; }
fn lend(p: ptr<function, f32>, by: f32) { *p = *p * by; }
const THIRD = 1.0f / 3.0f;
const TINY = 1e-30f * 1e-8f;
fn zero() -> f32 { return 0.0; }
const NINE = array<f32, 9>(1, 0, 1, 0, 1, 0, 1, 0, 1);
const TABLE = array<array<f32, 9>, 9>(NINE, NINE, NINE, NINE, NINE, NINE, NINE, NINE, NINE);
var<private> zeros: array<f32, 81>;
struct Large { many: array<f32, 60>, four: vec4f, two: vec2f, turn: mat2x2f }
fn taken(large: Large) -> f32 { return large.two.x; }
fn made() -> Large { return Large(); }
";

const TRAPS: &[Trap] = &[
    // What algebra would shorten.
    Trap { wgsl: "return a + b - a;", host: |a, b, _, _| a + b - a },
    Trap { wgsl: "return (a - b) + b;", host: |a, b, _, _| (a - b) + b },
    Trap { wgsl: "return a * b / b;", host: |a, b, _, _| a * b / b },
    Trap { wgsl: "return a / b * b;", host: |a, b, _, _| a / b * b },
    Trap { wgsl: "return a * b + a * c;", host: |a, b, c, _| a * b + a * c },
    Trap { wgsl: "return a / c + b / c;", host: |a, b, c, _| a / c + b / c },
    Trap { wgsl: "return -(a - b) + (b - a);", host: |a, b, _, _| -(a - b) + (b - a) },
    Trap { wgsl: "return sqrt(a) * sqrt(a);", host: |a, _, _, _| a.sqrt() * a.sqrt() },
    Trap { wgsl: "return sqrt(a * a);", host: |a, _, _, _| (a * a).sqrt() },
    Trap { wgsl: "return a - a;", host: |a, _, _, _| a - a },
    Trap { wgsl: "return a * 0.0;", host: |a, _, _, _| a * Dp(0.0) },
    Trap { wgsl: "return a / a;", host: |a, _, _, _| a / a },
    Trap { wgsl: "return (a + 1e8) - 1e8;", host: |a, _, _, _| (a + Dp(1e8)) - Dp(1e8) },
    Trap { wgsl: "return a * 3.0 * THIRD;", host: |a, _, _, _| a * Dp(3.0) * Dp(1.0 / 3.0) },
    Trap { wgsl: "return a / 3.0;", host: |a, _, _, _| a / Dp(3.0) },
    Trap { wgsl: "return a / 1024.0;", host: |a, _, _, _| a / Dp(1024.0) },
    Trap { wgsl: "return a * 1e-30 * 1e30;", host: |a, _, _, _| a * Dp(1e-30) * Dp(1e30) },
    // Zeros in values that are too large to be kept in registers, as one might think.
    Trap {
        wgsl: "var sum = 0.0; for (var k = 0; k < 3; k++) { sum += TABLE[k][k] * a; } return sum;",
        host: |a, _, _, _| Dp(1.0) * a + Dp(0.0) * a + Dp(1.0) * a,
    },
    Trap { wgsl: "var many: array<f32, 81>; return many[3] * a + b;", host: |a, b, _, _| Dp(0.0) * a + b },
    Trap { wgsl: "return zeros[5] * a + b;", host: |a, b, _, _| Dp(0.0) * a + b },
    Trap {
        wgsl: "var large: Large; large.many[7] = c; return large.four.y * a + taken(large) * b;",
        host: |a, b, _, _| Dp(0.0) * a + Dp(0.0) * b,
    },
    Trap { wgsl: "let turn = made().turn; return turn[1].x * a + b;", host: |a, b, _, _| Dp(0.0) * a + b },
    // One value twice, as it comes out of whatever hides it.
    Trap { wgsl: "return 1.0 / a - 1.0 / a;", host: |a, _, _, _| Dp(1.0) / a - Dp(1.0) / a },
    Trap { wgsl: "return b / a - b / a;", host: |a, b, _, _| b / a - b / a },
    Trap { wgsl: "return sqrt(a) - sqrt(a);", host: |a, _, _, _| a.sqrt() - a.sqrt() },
    Trap { wgsl: "return floor(a) - floor(a);", host: |a, _, _, _| Dp(a.0.floor()) - Dp(a.0.floor()) },
    Trap { wgsl: "return product(a, b) - product(a, b);", host: |a, b, _, _| a * b - a * b },
    Trap { wgsl: "return bitcast<f32>(bitcast<u32>(a)) - a;", host: |a, _, _, _| a - a },
    Trap { wgsl: "return -(a * b) + a * b;", host: |a, b, _, _| -(a * b) + a * b },
    Trap { wgsl: "var p = a * b; let q = p; p = -q; return -p - q;", host: |a, b, _, _| a * b - a * b },
    // What a driver could know of helper functions and of bits.
    Trap { wgsl: "return b / zero() * a;", host: |a, b, _, _| b / Dp(0.0) * a },
    Trap { wgsl: "var bits = 0x7f800000u; return bitcast<f32>(bits) * a;", host: |a, _, _, _| Dp(f32::INFINITY) * a },
    Trap { wgsl: "return sqrt(zero()) * a + b;", host: |a, b, _, _| Dp(0.0) * a + b },
    // Constants are computed by the same rules.
    Trap { wgsl: "return TINY * 1e38 + a;", host: |a, _, _, _| Dp(1e-30) * Dp(1e-8) * Dp(1e38) + a },
    Trap { wgsl: "return TINY * b + a;", host: |a, b, _, _| Dp(0.0) * b + a },
    Trap { wgsl: "return select(1.0, 2.0, a == a);", host: |a, _, _, _| Dp(if a.0.is_nan() { 1.0 } else { 2.0 }) },
    Trap {
        wgsl: "return select(1.0, 2.0, !(a < b)) + select(4.0, 8.0, a >= b) + select(16.0, 32.0, a != b);",
        host: |a, b, _, _| {
            let either = |truth, no, yes| Dp(if truth { yes } else { no });
            let is_less = a.0 < b.0;
            either(!is_less, 1.0, 2.0) + either(a.0 >= b.0, 4.0, 8.0) + either(a.0 != b.0, 16.0, 32.0)
        },
    },
    // What is fused where it may be.
    Trap { wgsl: "return a * b + c;", host: |a, b, c, _| a * b + c },
    Trap { wgsl: "return c - a * b;", host: |a, b, c, _| c - a * b },
    Trap { wgsl: "let p = a * b; return a * b - p;", host: |a, b, _, _| a * b - a * b },
    Trap { wgsl: "return a * a - b * b;", host: |a, b, _, _| a * a - b * b },
    Trap { wgsl: "return sum(product(a, b), c);", host: |a, b, c, _| a * b + c },
    Trap { wgsl: "return sum(product(a, b), -product(b, c));", host: |a, b, c, _| a * b + -(b * c) },
    Trap {
        wgsl: "var p = a; lend(&p, b); let q = p; lend(&p, c); return q + p;",
        host: |a, b, c, _| a * b + a * b * c,
    },
    Trap { wgsl: "return fma(a, b, c) - (a * b + c);", host: |a, b, c, _| (a * b + c) - (a * b + c) },
    Trap { wgsl: "return dot(vec3(a, b, c), vec3(c, a, b));", host: |a, b, c, _| a * c + b * a + c * b },
    Trap { wgsl: "return (mat2x2(a, b, c, a) * vec2(b, c)).x;", host: |a, b, c, _| a * b + c * c },
    // What error-free transformations rely on.
    Trap {
        wgsl: "let s = a + b; let bb = s - a; return (a - (s - bb)) + (b - bb);",
        host: |a, b, _, _| {
            let s = a + b;
            let bb = s - a;
            (a - (s - bb)) + (b - bb)
        },
    },
    Trap {
        wgsl: "let s = a + b; return b - (s - a);",
        host: |a, b, _, _| {
            let s = a + b;
            b - (s - a)
        },
    },
    Trap {
        wgsl: "let p = a * b;
            let ta = 4097.0 * a; let ah = ta - (ta - a); let al = a - ah;
            let tb = 4097.0 * b; let bh = tb - (tb - b); let bl = b - bh;
            return ((ah * bh - p) + ah * bl + al * bh) + al * bl;",
        host: |a, b, _, _| {
            let p = a * b;
            let split = |x: Dp| {
                let t = Dp(4097.0) * x;
                let high = t - (t - x);
                (high, x - high)
            };
            let ((ah, al), (bh, bl)) = (split(a), split(b));
            ((ah * bh - p) + ah * bl + al * bh) + al * bl
        },
    },
    // What loops are unrolled and vectorized for.
    Trap {
        wgsl: "var s = a; for (var i = 0u; i < 8u; i++) { s += x[i]; } return s;",
        host: |a, _, _, x| x.into_iter().fold(a, |s, x| s + x),
    },
    Trap {
        wgsl: "var s = 0.0; for (var i = 0u; i < 8u; i++) { s += a * x[i]; } return s;",
        host: |a, _, _, x| x.into_iter().fold(Dp(0.0), |s, x| s + a * x),
    },
    Trap {
        wgsl: "var s = 0.0; var e = 0.0;
            for (var i = 0u; i < 8u; i++) { let y = x[i] - e; let t = s + y; e = (t - s) - y; s = t; }
            return s;",
        host: |_, _, _, x| {
            let (mut s, mut e) = (Dp(0.0), Dp(0.0));
            for x in x {
                let y = x - e;
                let t = s + y;
                e = (t - s) - y;
                s = t;
            }
            s
        },
    },
    Trap {
        wgsl: "var s = 0.0; for (var i = 0u; i < 8u; i++) { s += x[i] / b; } return s;",
        host: |_, b, _, x| x.into_iter().fold(Dp(0.0), |s, x| s + x / b),
    },
    Trap {
        wgsl: "var s = 0.0; var i = 0u; loop { if x[i] > c { break; } s = s * a + x[i]; i++; if i == 8u { break; } } return s;",
        host: |a, _, c, x| x.into_iter().take_while(|x| !(x.0 > c.0)).fold(Dp(0.0), |s, x| s * a + x),
    },
    Trap {
        wgsl: "var p = 1.0; for (var i = 0u; i < 8u; i++) { p *= a; } return p;",
        host: |a, _, _, _| (0..8).fold(Dp(1.0), |p, _| p * a),
    },
];

const COUNT: usize = 4096;

/// Operands, eleven for each invocation, that bring out what the traps are about.
fn operands() -> Vec<f32> {
    const EDGES: [f32; 10] = [
        0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN_POSITIVE,
        -2.0 * f32::MIN_POSITIVE,
        16_777_216.0,
    ];
    let mut state = 1_u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut last = 1.0_f32;
    let mut operand = || {
        let bits = next();
        last = match next() % 16 {
            0 => EDGES[next() as usize % EDGES.len()],
            // Products of these are near the smallest normal number.
            1 => f32::from_bits((bits & 0x807f_ffff) | (63 + next() % 3) << 23),
            // Near the last one, or its negative: sums cancel.
            2 | 3 => f32::from_bits((last.to_bits() ^ (bits & 0xff)) ^ (bits & 0x8000_0000)),
            4 => f32::from_bits((bits & 0x807f_ffff) | (1 + next() % 254) << 23),
            _ => f32::from_bits((bits & 0x807f_ffff) | (120 + next() % 14) << 23),
        };
        // There are no subnormals.
        if last.is_subnormal() { 0.0 } else { last }
    };
    (0..11 * COUNT).map(|_| operand()).collect()
}

/// Asserts that a program leaves the same everywhere.
fn run_everywhere(program: &Program) -> Outcome {
    let kernel = prepare(program).unwrap();
    let expected = interpret(&kernel, program).unwrap();
    for gpu in Gpu::all() {
        for tier in [Tier::A, Tier::B] {
            let found = gpu.run(&kernel, program, Form::Dp32(tier)).unwrap();
            assert_eq!(expected.difference(&found), None, "{} in tier {tier:?}:\n{}", gpu.name, program.wgsl);
        }
    }
    expected
}

#[test]
fn traps_catch_nobody() {
    let operands = operands();
    // A kernel for each trap, and one with all of them, where compilers see what they have in common.
    let alone = (0..TRAPS.len()).map(|index| index..index + 1);
    for traps in alone.chain(std::iter::once(0..TRAPS.len())) {
        let traps = &TRAPS[traps];
        let functions: String = (0..)
            .zip(traps)
            .map(|(index, trap)| {
                format!(
                    "fn trap{index}(a: f32, b: f32, c: f32, numbers: array<f32, 8>) -> f32 {{ var x = numbers; {} }}\n",
                    trap.wgsl
                )
            })
            .collect();
        let calls: String = (0..traps.len())
            .map(|index| format!("results[i * {}u + {index}u] = trap{index}(a, b, c, x);\n", traps.len()))
            .collect();
        let wgsl = format!(
            "struct Operands {{ a: f32, b: f32, c: f32, x: array<f32, 8> }}
            @group(0) @binding(0) var<storage, read> operands: array<Operands>;
            @group(0) @binding(1) var<storage, read_write> results: array<f32>;
            {FUNCTIONS}{functions}
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                let i = id.x; let a = operands[i].a; let b = operands[i].b; let c = operands[i].c; let x = operands[i].x;
                {calls}
            }}"
        );
        let program = Program {
            wgsl,
            buffers: vec![
                operands.iter().flat_map(|operand| operand.to_le_bytes()).collect(),
                vec![0; 4 * COUNT * traps.len()],
            ],
            workgroups: [u32::try_from(COUNT / 64).unwrap(), 1, 1],
            ..Program::default()
        };
        let found = run_everywhere(&program);
        let found = found.buffers[1].as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        let expected = operands.as_chunks::<11>().0.iter().flat_map(|[a, b, c, x @ ..]| {
            traps.iter().map(move |trap| (trap, (trap.host)(Dp(*a), Dp(*b), Dp(*c), x.map(Dp)), [*a, *b, *c]))
        });
        for (found, (trap, expected, operands)) in found.zip(expected) {
            assert_eq!(
                found,
                expected.bits(),
                "{} of {operands:?} is {:e} and not {expected:?}",
                trap.wgsl,
                f32::from_bits(found)
            );
        }
    }
}

#[test]
fn a_device_that_leaves_a_loop_early_says_so() {
    let program = Program {
        wgsl: "@group(0) @binding(0) var<storage, read_write> turns: array<u32>;
            @compute @workgroup_size(1) fn main() {
                for (var i = 0u; i < 300u; i++) { for (var j = 0u; j < 300u; j++) { turns[0]++; } }
            }"
        .to_owned(),
        buffers: vec![vec![0; 4]],
        workgroups: [1, 1, 1],
        ..Program::default()
    };
    let kernel = prepare(&program).unwrap();
    let expected = interpret(&kernel, &program).unwrap();
    assert_eq!(expected.buffers[0], 90_000_u32.to_le_bytes());
    for gpu in Gpu::all() {
        let found = gpu.run(&kernel, &program, Form::Dp32(Tier::A)).unwrap();
        assert!(found.status.left_loop || found == expected, "{}: {:?}", gpu.name, found.status);
    }
}
