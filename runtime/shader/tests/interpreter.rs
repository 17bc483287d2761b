//! The interpreter on ordinary WGSL that keeps to the primitives, against what Rust computes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a test's helpers panic like the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, Race, RaceMemory, RaceReport, Races, Stopped, SystemBuffers};
use isobit_shader::{KernelError, Profile};

fn compile(wgsl: &str) -> Result<Program, KernelError> {
    let kernel = isobit_shader::prepare(wgsl, Profile::Native).unwrap();
    let (module, info) = kernel.module(&kernel.entry_point(None).unwrap().name).unwrap();
    Program::compile(module, info)
}

fn words(values: &[u32]) -> Vec<AtomicU32> {
    values.iter().copied().map(AtomicU32::new).collect()
}

fn values(words: &[AtomicU32]) -> Vec<u32> {
    words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

/// Runs a kernel with an input at binding 0 and an output of `length` words at binding 1.
fn run(wgsl: &str, input: &[u32], length: usize, workgroups: [u32; 3]) -> Vec<u32> {
    let program = compile(wgsl).unwrap_or_else(|error| panic!("{error}"));
    let (input, output) = (words(input), words(&vec![0xdead_beef; length]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &input).bind(0, 1, &output);
    program.run(&buffers, workgroups, &AtomicBool::new(false)).unwrap();
    values(&output)
}

const HEAD: &str = "
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_: array<u32>;
";

/// For each invocation, `body` computes `r` from `x`, the input; `model` says what it should be.
fn map(size: u32, body: &str, input: &[u32], model: impl Fn(u32) -> u32) {
    let wgsl = format!(
        "{HEAD}
        fn compute(x: u32, id: vec3u) -> u32 {{ var r = 0u; {body} return r; }}
        @compute @workgroup_size({size}) fn main(@builtin(global_invocation_id) id: vec3u) {{
            if id.x >= arrayLength(&source) {{ return; }}
            target_[id.x] = compute(source[id.x], id);
        }}"
    );
    let groups = (input.len() as u32).div_ceil(size);
    let results = run(&wgsl, input, input.len(), [groups, 1, 1]);
    for (at, (&x, result)) in input.iter().zip(results).enumerate() {
        assert_eq!(result, model(x), "{at}: {body} of {x:#x}");
    }
}

/// The same in workgroups of several sizes: alone, sharing lanes, with lanes to spare.
fn map_all(body: &str, input: &[u32], model: impl Fn(u32) -> u32) {
    for size in [1, 7, 64, 256] {
        map(size, body, input, &model);
    }
}

fn some_words() -> Vec<u32> {
    let mut state = 1_u32;
    let mut words: Vec<u32> = vec![0, 1, 2, 31, 32, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    words.extend((0..300).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }));
    words
}

fn small_words() -> Vec<u32> {
    (0..300).map(|x| x * 7 % 23).collect()
}

#[test]
fn integers_are_as_wgsl_says() {
    let i = |x: u32| x as i32;
    let words = &some_words();
    type Case = (&'static str, fn(u32) -> u32);
    let cases: &[Case] = &[
        ("r = x * 3u + 5u - (x ^ 7u);", |x| x.wrapping_mul(3).wrapping_add(5).wrapping_sub(x ^ 7)),
        ("r = x / (x % 3u);", |x| x.checked_div(x % 3).unwrap_or(x)),
        ("r = (x | 1u) % (x & 3u);", |x| (x | 1).checked_rem(x & 3).unwrap_or(0)),
        ("r = u32(i32(x) / (i32(x & 3u) - 1));", |x| {
            (x as i32).checked_div((x & 3) as i32 - 1).unwrap_or(x as i32) as u32
        }),
        ("r = u32(i32(x) % (i32(x & 3u) - 1));", |x| (x as i32).checked_rem((x & 3) as i32 - 1).unwrap_or(0) as u32),
        ("r = x << (x & 63u);", |x| x.wrapping_shl(x & 63)),
        ("r = u32(i32(x) >> (x >> 3u));", |x| (x as i32).wrapping_shr(x >> 3) as u32),
        ("r = ~x & 0xffu | u32(-i32(x)) ;", |x| (!x & 0xff) | x.wrapping_neg()),
        ("r = u32(abs(i32(x))) + u32(sign(i32(x)));", |x| {
            (x as i32).unsigned_abs().wrapping_add((x as i32).signum() as u32)
        }),
        ("r = min(x, 77u) + max(x, 99u) + clamp(x, 5u, 9u);", |x| {
            x.min(77).wrapping_add(x.max(99)).wrapping_add(x.clamp(5, 9))
        }),
        ("r = u32(min(i32(x), -7) + max(i32(x), -9) + clamp(i32(x), -5, 9));", |x| {
            let x = x as i32;
            x.min(-7).wrapping_add(x.max(-9)).wrapping_add(x.clamp(-5, 9)) as u32
        }),
        ("r = countOneBits(x) + 100u * countLeadingZeros(x) + 10000u * countTrailingZeros(x);", |x| {
            x.count_ones() + 100 * x.leading_zeros() + 10000 * x.trailing_zeros()
        }),
        ("r = reverseBits(x);", u32::reverse_bits),
        ("r = firstLeadingBit(x) + 100u * firstTrailingBit(x);", |x| {
            if x == 0 { u32::MAX.wrapping_mul(101) } else { 31 - x.leading_zeros() + 100 * x.trailing_zeros() }
        }),
        ("r = u32(firstLeadingBit(i32(x)));", |x| {
            let y = if (x as i32) < 0 { !x } else { x };
            if y == 0 { u32::MAX } else { 31 - y.leading_zeros() }
        }),
        ("r = dot(vec3u(x, 2u, 3u), vec3u(5u, x, 7u));", |x| x.wrapping_mul(7).wrapping_add(21)),
        ("r = select(1u, 2u, i32(x) < 5) + select(10u, 20u, x >= 5u);", |x| {
            (if (x as i32) < 5 { 2 } else { 1 }) + (if x >= 5 { 20 } else { 10 })
        }),
        ("r = u32(x != 3u) + u32(x == 3u) * 2u + u32(i32(x) >= -1) * 4u + u32(i32(x) > 0) * 8u;", |x| {
            let y = x as i32;
            u32::from(x != 3) + u32::from(x == 3) * 2 + u32::from(y >= -1) * 4 + u32::from(y > 0) * 8
        }),
        ("r = u32(bool(x)) + u32(i32(!bool(x))) * 2u;", |x| if x == 0 { 2 } else { 1 }),
    ];
    for (body, model) in cases {
        map_all(body, words, model);
    }
    for (offset, count) in [(0, 32), (3, 7), (31, 5), (32, 1), (40, 40), (4, 0)] {
        let (o, c) = (offset.min(32), 0);
        let c = c + u32::min(count, 32 - o);
        let mask = if c == 0 { 0 } else { u32::MAX >> (32 - c) };
        map_all(
            &format!("r = extractBits(x, {offset}u, {count}u);"),
            words,
            |x| {
                if c == 0 { 0 } else { x >> o & mask }
            },
        );
        map_all(&format!("r = u32(extractBits(i32(x), {offset}u, {count}u));"), words, |x| {
            if c == 0 { 0 } else { (i(x << (32 - o - c)) >> (32 - c)) as u32 }
        });
        map_all(&format!("r = insertBits(x, 0x5a5a5a5au, {offset}u, {count}u);"), words, |x| {
            if c == 0 { x } else { x & !(mask << o) | (0x5a5a_5a5a & mask) << o }
        });
    }
}

#[test]
fn bytes_in_words() {
    let i8s = |x: u32| x.to_le_bytes().map(|b| i32::from(b as i8));
    let words = &some_words();
    map_all("r = u32(dot4I8Packed(x, 0x80ff7f01u));", words, |x| {
        i8s(x).iter().zip(i8s(0x80ff_7f01)).map(|(a, b)| a * b).sum::<i32>() as u32
    });
    map_all("r = dot4U8Packed(x, 0x80ff7f01u);", words, |x| {
        let products = x.to_le_bytes().into_iter().zip(0x80ff_7f01_u32.to_le_bytes());
        products.map(|(a, b)| u32::from(a) * u32::from(b)).sum()
    });
    map_all("r = pack4xI8(unpack4xI8(x)) ^ pack4xU8(unpack4xU8(x));", words, |_| 0);
    map_all("let v = unpack4xI8(x); r = u32(v.x + v.y * 3 + v.z * 5 + v.w * 7);", words, |x| {
        let [a, b, c, d] = i8s(x);
        (a + b * 3 + c * 5 + d * 7) as u32
    });
    map_all("r = pack4xI8Clamp(vec4i(i32(x), 1, -1000, 1000));", words, |x| {
        u32::from((x as i32).clamp(-128, 127) as u8) | 0x7f80_0100
    });
    map_all("r = pack4xU8Clamp(vec4u(x, 1u, 0u, 1000u));", words, |x| x.min(255) | 0xff00_0100);
}

#[test]
fn floats_are_the_hosts_with_a_flush() {
    let flush = |value: f32, limit: f32| if value.abs() < limit { 0.0 } else { value };
    let tiny = f32::MIN_POSITIVE;
    // Normal numbers, zeros, infinities and NaNs, as the first stage loads them.
    let mut inputs: Vec<u32> = some_words();
    for exponent in [1, 2, 30, 63, 64, 65, 126, 127, 150, 253, 254, 255] {
        for fraction in [0, 1, 0x40_0000, 0x7f_fffe, 0x7f_ffff] {
            inputs.extend([exponent << 23 | fraction, 1 << 31 | exponent << 23 | fraction]);
        }
    }
    let inputs: Vec<u32> = inputs.into_iter().filter(|x| !f32::from_bits(*x).is_subnormal()).collect();
    let canonical = |value: f32| {
        if value == 0.0 {
            0
        } else if value.is_nan() {
            0x7fc0_0000
        } else {
            value.to_bits()
        }
    };
    // What the kernel says about the sign of a zero and the bits of a NaN is nobody's business.
    let check = |expression: &str, model: &dyn Fn(f32, f32) -> f32| {
        for other in [0x3f80_0001_u32, 0x0080_0000, 0x8080_0001, 0x1fff_ffff, 0x7f7f_ffff, 0, 0x7f80_0000, 0xc000_0000]
        {
            let y = f32::from_bits(other);
            let body = format!(
                "let a = bitcast<f32>(x); let b = bitcast<f32>(source[0] * 0u + {other}u); let v = {expression};
                 let n = bitcast<u32>(v); let m = n & 0x7fffffffu; r = select(select(n, 0u, m == 0u), 0x7fc00000u, m > 0x7f800000u);"
            );
            map(64, &body, &inputs, |x| canonical(model(f32::from_bits(x), y)));
        }
    };
    check("a + b", &|a, b| flush(a + b, tiny));
    check("a - b", &|a, b| flush(a - b, tiny));
    check("a * b", &|a, b| flush(a * b, tiny.next_up()));
    check("a / b", &|a, b| if b == 0.0 { a / 0.0 } else { flush(a / b, tiny.next_up()) });
    check("sqrt(a)", &|a, _| a.sqrt());
    check("-a", &|a, _| -a);
    check("abs(a)", &|a, _| a.abs());
    check("floor(a)", &|a, _| a.floor());
    check("ceil(a)", &|a, _| a.ceil());
    check("trunc(a)", &|a, _| a.trunc());
    check("round(a)", &|a, _| a.round_ties_even());
    check("f32(i32(a))", &|a, _| to_i32(a) as f32);
    check("f32(u32(a))", &|a, _| to_u32(a) as f32);
    check("f32(a < b) + 2.0 * f32(a <= b) + 4.0 * f32(a > b) + 8.0 * f32(a >= b) + 16.0 * f32(a == b)", &|a, b| {
        let bits = [a < b, a <= b, a > b, a >= b, a == b];
        bits.iter().enumerate().map(|(at, &bit)| f32::from(u8::from(bit)) * (1 << at) as f32).sum()
    });
    map_all("r = bitcast<u32>(f32(x));", &some_words(), |x| (x as f32).to_bits());
    map_all("r = bitcast<u32>(f32(i32(x)));", &some_words(), |x| (x as i32 as f32).to_bits());
    map_all("r = u32(bitcast<f32>(x)) ^ u32(i32(bitcast<f32>(x)));", &some_words(), |x| {
        to_u32(f32::from_bits(x)) ^ to_i32(f32::from_bits(x)) as u32
    });
}

/// The nearest number that both types have.
fn to_i32(value: f32) -> i32 {
    (value as i32).min(2_147_483_520)
}

fn to_u32(value: f32) -> u32 {
    (value as u32).min(4_294_967_040)
}

#[test]
fn vectors_and_matrices_are_data() {
    let words = &small_words();
    map_all(
        "let v = vec4u(x, x + 1u, x + 2u, x + 3u); let w = v.wzyx * v.xxyy; r = w.x + 10u * w.y + 100u * w.z + w[x % 4u];",
        words,
        |x| {
            let v = [x, x + 1, x + 2, x + 3];
            let w = [v[3] * v[0], v[2] * v[0], v[1] * v[1], v[0] * v[1]];
            w[0] + 10 * w[1] + 100 * w[2] + w[x as usize % 4]
        },
    );
    map_all("var v = vec3u(1u, 2u, 3u); v[x % 3u] = x; v.y += 5u; r = v.x * 10000u + v.y * 100u + v.z;", words, |x| {
        let mut v = [1, 2, 3];
        v[x as usize % 3] = x;
        v[1] += 5;
        v[0] * 10000 + v[1] * 100 + v[2]
    });
    map_all(
        "var m = mat3x2f(1, 2, 3, 4, 5, 6); m[x % 3u] = vec2f(f32(x), 9.0); m[1u][x % 2u] = 8.0;
         let n = m; let c = n[(x + 1u) % 3u]; r = u32(c.x + 100.0 * c.y + 10000.0 * m[2].y);",
        words,
        |x| {
            let mut m = [[1, 2], [3, 4], [5, 6]];
            m[x as usize % 3] = [x, 9];
            m[1][x as usize % 2] = 8;
            let c = m[(x as usize + 1) % 3];
            c[0] + 100 * c[1] + 10000 * m[2][1]
        },
    );
    map_all("r = u32(all(vec3u(x) > vec3u(3u, 5u, 4u))) + 2u * u32(any(vec3u(x) == vec3u(3u, 5u, 4u)));", words, |x| {
        u32::from(x > 5) + 2 * u32::from((3..=5).contains(&x))
    });
    map_all("let v = select(vec2u(1u, 2u), vec2u(x), vec2u(x) > vec2u(4u, 9u)); r = v.x * 100u + v.y;", words, |x| {
        (if x > 4 { x } else { 1 }) * 100 + if x > 9 { x } else { 2 }
    });
}

#[test]
fn loops_break_continue_and_nest() {
    let words = &small_words();
    map_all("for (var i = 0u; i < x; i++) { r += i; }", words, |x| (0..x).sum());
    map_all(
        "for (var i = 0u; i < 20u; i++) { if i == x { break; } if i % 3u == x % 3u { continue; } r += i + 1u; }",
        words,
        |x| {
            let mut r = 0;
            for i in 0..20 {
                if i == x {
                    break;
                }
                if i % 3 == x % 3 {
                    continue;
                }
                r += i + 1;
            }
            r
        },
    );
    map_all(
        "var i = 0u;
         loop {
             if i > 2u { if i % 2u == 0u { i += 1u; continue; } }
             r += i * 10u;
             continuing { let step = 1u + x % 2u; i += step; break if i > x; }
         }",
        words,
        |x| {
            let (mut r, mut i) = (0, 0);
            loop {
                if i > 2 && i % 2 == 0 {
                    i += 1;
                } else {
                    r += i * 10;
                }
                i += 1 + x % 2;
                if i > x {
                    return r;
                }
            }
        },
    );
    map_all(
        "for (var i = 0u; i < x; i++) {
             for (var j = 0u; ; j++) {
                 if j > i { break; }
                 if (i + j) % 4u == 3u { continue; }
                 var k = j;
                 while k > 0u { k /= 2u; r += 1u; if r > 500u { return r; } }
                 r += j;
             }
             if r % 7u == 6u { break; }
         }
         r += 1000u;",
        words,
        |x| {
            let mut r = 0;
            for i in 0..x {
                for j in 0..=i {
                    if (i + j) % 4 == 3 {
                        continue;
                    }
                    let mut k = j;
                    while k > 0 {
                        k /= 2;
                        r += 1;
                        if r > 500 {
                            return r;
                        }
                    }
                    r += j;
                }
                if r % 7 == 6 {
                    break;
                }
            }
            r + 1000
        },
    );
}

#[test]
fn switches_choose_default_and_leave() {
    let words = &small_words();
    map_all(
        "switch x { case 1u, 2u: { r = 10u; } case 3u, default: { r = 20u; if x > 10u { break; } r += 1u; } case 4u: { r = 30u; return r * 2u; } }
         r += 100u;",
        words,
        |x| match x {
            1 | 2 => 110,
            4 => 60,
            x if x > 10 => 120,
            _ => 121,
        },
    );
    map_all(
        "for (var i = 0; i < 9; i++) {
             switch i32(x % 9u) - i { case -1: { continue; } case 0: { break; } case 2: { if x > 11u { break; } r += 3u; } default: { r += 100u; } }
             r += 1u;
         }",
        words,
        |x| {
            let mut r = 0;
            for i in 0..9 {
                match (x % 9) as i32 - i {
                    -1 => continue,
                    0 => {}
                    2 => {
                        if x <= 11 {
                            r += 3;
                        }
                    }
                    _ => r += 100,
                }
                r += 1;
            }
            r
        },
    );
}

/// The interpreter knows "zero if there is no exponent" when it sees it, and a vector from its first component.
#[test]
fn a_choice_by_one_exponent_is_none_for_each_component() {
    type Case = (&'static str, fn(u32, u32) -> u32);
    fn has_exponent(x: u32) -> bool {
        x & 0x7f80_0000 != 0
    }
    fn flushed(x: u32) -> u32 {
        if has_exponent(x) { x } else { 0 }
    }
    let cases: &[Case] = &[
        ("r = select(v, vec2u(0u), (v.x & 0x7f800000u) == 0u).y;", |x, y| if has_exponent(x) { y } else { 0 }),
        ("let q = (v & vec2u(0x7f800000u)) == vec2u(0u); r = select(v, vec2u(0u), q.x).y;", |x, y| {
            if has_exponent(x) { y } else { 0 }
        }),
        ("let q = (v & vec2u(0x7f800000u)) == vec2u(0u); r = select(v.x, 0u, q.x) ^ select(v.y, 0u, q.y);", |x, y| {
            flushed(x) ^ flushed(y)
        }),
        ("r = select(v, vec2u(0u), (v & vec2u(0x7f800000u)) == vec2u(0u)).y;", |_, y| flushed(y)),
    ];
    let words = [0, 5, 0x8000_0000, 0x64c3_71cf, 0x7fff_ffff, 0x0080_0000, 0x807f_ffff, u32::MAX];
    for (body, model) in cases {
        for y in words {
            map(1, &format!("let v = vec2u(x, {y}u); {body}"), &words, |x| model(x, y));
        }
    }
}

#[test]
fn functions_return_early_in_some_lanes() {
    let wgsl = format!(
        "{HEAD}
        var<private> count: u32;
        var<private> seed: vec2u = vec2u(3u, 4u);
        fn collatz(start: u32) -> u32 {{
            var n = start; var steps = 0u;
            loop {{ if n <= 1u {{ break; }} if steps > 1000u {{ return 0u; }} if n % 2u == 0u {{ n /= 2u; }} else {{ n = 3u * n + 1u; }} steps++; count++; }}
            if start > 90u {{ return steps; }}
            return steps + 0u;
        }}
        fn add(into: ptr<function, u32>, what: u32) {{ if what == 9u {{ return; }} *into += what; }}
        fn twice(into: ptr<function, u32>, what: u32) {{ add(into, what); add(into, what + 1u); }}
        fn bump(p: ptr<private, vec2u>) {{ (*p).y += 10u; }}
        @compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3u) {{
            let x = source[id.x];
            var r = 5u;
            if x % 3u == 1u {{ r = collatz(x); }} else if x % 3u == 2u {{ twice(&r, x); bump(&seed); }}
            else {{ for (var i = 0u; i < x; i++) {{ add(&r, i); if r > 40u {{ r += collatz(i); break; }} }} }}
            var pair = vec2u(r, 1u);
            let p = &pair;
            (*p)[x % 2u] += count * 1000u;
            target_[id.x] = (*p).x + 7u * (*p).y + seed.y;
        }}"
    );
    let input: Vec<u32> = (0..128).collect();
    let results = run(&wgsl, &input, 128, [4, 1, 1]);
    let collatz = |mut n: u32| {
        let mut steps = 0;
        while n > 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        steps
    };
    let add = |r: &mut u32, what| {
        if what != 9 {
            *r += what;
        }
    };
    for (&x, result) in input.iter().zip(results) {
        let (mut r, mut count, mut seed) = (5, 0, 4);
        match x % 3 {
            1 => {
                r = collatz(x);
                count += r;
            }
            2 => {
                add(&mut r, x);
                add(&mut r, x + 1);
                seed += 10;
            }
            _ => {
                for i in 0..x {
                    add(&mut r, i);
                    if r > 40 {
                        let steps = collatz(i);
                        r += steps;
                        count += steps;
                        break;
                    }
                }
            }
        }
        let mut pair = [r, 1];
        pair[x as usize % 2] += count * 1000;
        assert_eq!(result, pair[0] + 7 * pair[1] + seed, "{x}");
    }
}

#[test]
fn structures_and_arrays_are_copied_whole() {
    let wgsl = "
        struct Inner { a: vec3f, b: u32, c: array<vec2u, 2> }
        struct Outer { first: u32, inner: array<Inner, 2>, m: mat3x3f, tail: vec3u }
        @group(0) @binding(0) var<storage, read> source: array<Outer>;
        @group(0) @binding(1) var<storage, read_write> target_: array<Outer>;
        var<private> kept: array<Outer, 2>;
        fn change(given: Outer) -> Outer { var o = given; o.inner[1].c[0].y = 77u; o.tail.z += 1u; return o; }
        @compute @workgroup_size(1) fn main() {
            kept[1] = source[1];
            var local = kept;
            local[0] = source[0];
            let copy = local;
            target_[0] = change(copy[1]);
            target_[1] = local[0];
            target_[1].inner[0] = copy[1].inner[1];
            target_[1].m[2] = local[1].m[0];
        }";
    // Outer: first 0, inner 16 (32 + 16 = 48 bytes each... vec3f 0, b 12, c 16, size 32), m 80, tail 128; 144 bytes.
    let size = 36;
    let input: Vec<u32> = (0..2 * size).map(|x| x * 3 + 1).collect();
    let result = run(wgsl, &input, 2 * size as usize, [1, 1, 1]);
    let outer_words: Vec<usize> =
        [0].into_iter().chain(4..20).chain([20, 21, 22, 24, 25, 26, 28, 29, 30]).chain(32..35).collect();
    let mut expected = vec![0xdead_beef; 72];
    for &word in &outer_words {
        expected[word] = input[36 + word];
        expected[36 + word] = input[word];
    }
    expected[12 + 4 + 1] = 77;
    expected[34] += 1;
    for word in 0..8 {
        expected[36 + 4 + word] = input[36 + 12 + word];
    }
    for row in 0..3 {
        expected[36 + 28 + row] = input[36 + 20 + row];
    }
    assert_eq!(result, expected);
}

#[test]
fn constant_arrays_are_indexed() {
    map_all(
        "const TABLE = array<u32, 5>(2u, 3u, 5u, 7u, 11u); var copy = TABLE; copy[x % 5u] = 1u;
         let sum = copy[0] + copy[1] + copy[2] + copy[3] + copy[4]; r = TABLE[x % 5u] * 100u + sum + array(4u, 9u)[x % 2u];",
        &small_words(),
        |x| {
            let prime = [2, 3, 5, 7, 11][x as usize % 5];
            prime * 100 + 28 - prime + 1 + [4, 9][x as usize % 2]
        },
    );
}

#[test]
fn out_of_range_there_are_zeros_and_nothing_is_written() {
    let wgsl = format!(
        "{HEAD}
        var<workgroup> shared_: array<u32, 4>;
        var<workgroup> counts: array<atomic<u32>, 4>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {{
            var mine = array<u32, 4>();
            mine[3] = 1u;
            var nested = array<array<u32, 2>, 2>();
            nested[i + 2u][0] = 7u;
            nested[0][i + 2u] = 7u;
            mine[i + 0xfffffff0u] = 5u;
            mine[source[1000000u] + 7u] += 2u;
            shared_[i * 100u] = i + 1u;
            atomicAdd(&counts[i + 4u], 9u);
            target_[i + 1000u] = 3u;
            target_[bitcast<u32>(-1i - i32(i))] = 4u;
            workgroupBarrier();
            if i == 0u {{
                let all = mine[0] + mine[3] + nested[0][0] + nested[1][0] + nested[1][1] + atomicLoad(&counts[3]);
                target_[0] = all + shared_[source[0] * 999u] * 10u + shared_[0] * 100u + source[i + 77u] * 1000u;
            }}
        }}"
    );
    assert_eq!(run(&wgsl, &[8, 9], 3, [1, 1, 1]), [1 + 100, 0xdead_beef, 0xdead_beef]);
}

#[test]
fn neighbours_read_neighbours_or_the_same_or_anything() {
    let input: Vec<u32> = (0..300).map(|x| x * x + 1).collect();
    let at = |index: u32| input.get(index as usize).copied().unwrap_or(0);
    let index: [fn(u32) -> u32; 6] =
        [|i| i + 3, |i| i / 16 * 5, |i| 299 - i, |i| i + 290, |i| i ^ 1, |i| if i % 40 < 20 { i } else { 7 }];
    for (case, index) in index.into_iter().enumerate() {
        let wgsl = format!(
            "{HEAD}
            var<workgroup> copy: array<u32, 300>;
            @compute @workgroup_size(100) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) l: u32) {{
                let i = id.x;
                for (var k = l; k < 300u; k += 100u) {{ copy[k] = source[k]; }}
                workgroupBarrier();
                var at = array(i + 3u, i / 16u * 5u, 299u - i, i + 290u, i ^ 1u, select(7u, i, i % 40u < 20u));
                target_[i] = source[at[{case}]] + 3u * copy[at[{case}]];
            }}"
        );
        let expected: Vec<u32> = (0..300).map(|i| at(index(i)) * 4).collect();
        assert_eq!(run(&wgsl, &input, 300, [3, 1, 1]), expected, "{case}");
    }
}

#[test]
fn a_workgroup_reduces_through_its_memory() {
    for size in [2_u32, 8, 64, 256] {
        let wgsl = format!(
            "{HEAD}
            var<workgroup> sums: array<u32, {size}>;
            var<workgroup> flag: bool;
            @compute @workgroup_size({size}) fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u) {{
                let g = group.x + group.y * groups.x;
                sums[i] = source[g * {size}u + i] + sums[i];
                if i == 1u {{ flag = group.x == 1u; }}
                workgroupBarrier();
                for (var half = {size}u / 2u; half > 0u; half /= 2u) {{
                    if i < half {{ sums[i] += sums[i + half]; }}
                    workgroupBarrier();
                }}
                let total = workgroupUniformLoad(&sums[0]);
                if i == 0u {{ target_[g] = total + select(0u, 1u, flag); }}
            }}"
        );
        let input: Vec<u32> = (0..6 * size).map(|x| x * x).collect();
        let expected: Vec<u32> = (0..6_u32)
            .map(|g| input[(g * size) as usize..][..size as usize].iter().sum::<u32>() + u32::from(g % 3 == 1))
            .collect();
        assert_eq!(run(&wgsl, &input, 6, [3, 2, 1]), expected, "{size}");
    }
}

#[test]
fn atomics_of_all_workgroups_meet() {
    let wgsl = "
        struct Counters { sum: atomic<u32>, low: atomic<i32>, high: atomic<u32>, bits: atomic<u32>, rest: atomic<u32>, flip: atomic<u32>, lowest: atomic<u32>, highest: atomic<i32> }
        @group(0) @binding(0) var<storage, read_write> seen: array<atomic<u32>>;
        @group(0) @binding(1) var<storage, read_write> c: Counters;
        var<workgroup> here: atomic<u32>;
        @compute @workgroup_size(10) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) i: u32) {
            let old = atomicAdd(&c.sum, id.x);
            atomicMin(&c.low, -i32(id.x)); atomicMax(&c.high, id.x * 3u); atomicOr(&c.bits, 1u << (id.x % 32u));
            atomicAnd(&c.rest, ~(1u << (id.x % 16u))); atomicXor(&c.flip, id.x); atomicMin(&c.lowest, id.x + 4u); atomicMax(&c.highest, 3 - i32(id.x));
            let ticket = atomicAdd(&here, 1u);
            workgroupBarrier();
            if ticket == 3u { atomicStore(&seen[id.x / 10u], atomicLoad(&here) + 100u); }
            atomicSub(&seen[50u], 1u);
            let swapped = atomicCompareExchangeWeak(&seen[51u], 7u, 8u);
            if swapped.exchanged { atomicAdd(&seen[52u], swapped.old_value); }
            if id.x == 11u { atomicAdd(&seen[53u], atomicExchange(&seen[54u], 5u)); }
        }";
    let program = compile(wgsl).unwrap();
    let mut seen = vec![0; 55];
    seen[51] = 7;
    seen[54] = 40;
    let (seen, counters) = (words(&seen), words(&[0, 0, 0, 0, u32::MAX, 0, u32::MAX, i32::MIN as u32]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &seen).bind(0, 1, &counters);
    program.run(&buffers, [50, 1, 1], &AtomicBool::new(false)).unwrap();
    let flip = (0..500).fold(0, |all, x| all ^ x);
    let sum = 499 * 500 / 2;
    assert_eq!(values(&counters), [sum, -499_i32 as u32, 1497, u32::MAX, 0xffff_0000, flip, 4, 3]);
    let mut expected = vec![110; 50];
    expected.extend([(-500_i32) as u32, 8, 7, 40, 5]);
    assert_eq!(values(&seen), expected);
}

#[test]
fn atomic_subtraction_and_old_values() {
    let wgsl = "@group(0) @binding(0) var<storage, read> source: array<u32>;
        @group(0) @binding(1) var<storage, read_write> target_: array<u32>;
        var<workgroup> w: array<atomic<i32>, 2>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
            let old = atomicSub(&w[i % 2u], i32(source[i]));
            workgroupBarrier();
            target_[i] = u32(old) * 100u + u32(-atomicLoad(&w[i % 2u]));
        }";
    let minus = |x: i32| (x * 100) as u32;
    assert_eq!(run(wgsl, &[1, 2, 3, 4], 4, [1, 1, 1]), [4, 6, minus(-1).wrapping_add(4), minus(-2).wrapping_add(6)]);
}

#[test]
fn invocations_know_where_they_are() {
    let wgsl = "
        struct At { @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32 }
        @group(0) @binding(1) var<storage, read_write> target_: array<u32>;
        @compute @workgroup_size(3, 2, 2) fn main(at: At, @builtin(local_invocation_id) local: vec3u, @builtin(global_invocation_id) global: vec3u, @builtin(num_workgroups) groups: vec3u) {
            let group = at.group.x + groups.x * (at.group.y + groups.y * at.group.z);
            var ok = all(global == at.group * vec3u(3u, 2u, 2u) + local) && at.index == local.x + 3u * (local.y + 2u * local.z);
            target_[group * 12u + at.index] = select(0u, 1000u + global.x + 10u * global.y + 100u * global.z, ok);
        }";
    let results = run(wgsl, &[], 2 * 3 * 4 * 12, [2, 3, 4]);
    for (at, result) in (0..).zip(results) {
        let (group, index) = (at / 12, at % 12);
        let x = group % 2 * 3 + index % 3;
        let y = group / 2 % 3 * 2 + index / 3 % 2;
        let z = group / 6 * 2 + index / 6;
        assert_eq!(result, 1000 + x + 10 * y + 100 * z, "{at}");
    }
}

#[test]
fn uniform_buffers_and_lengths() {
    let wgsl = "
        struct Shape { scale: vec3u, offset: u32, table: array<vec4u, 2> }
        struct Out { head: vec2u, rest: array<vec2u> }
        @group(1) @binding(3) var<uniform> shape: Shape;
        @group(0) @binding(1) var<storage, read_write> o: Out;
        @compute @workgroup_size(16) fn main(@builtin(local_invocation_index) i: u32) {
            let n = arrayLength(&o.rest);
            if i < n { o.rest[i] = shape.scale.yz * i + shape.table[i % 2u].xw; }
            o.head = vec2u(n, shape.offset);
        }";
    let program = compile(wgsl).unwrap();
    let (shape, out) = (words(&[1, 2, 3, 4, 10, 11, 12, 13, 20, 21, 22, 23]), words(&[0; 9]));
    let mut buffers = Buffers::new();
    buffers.bind(1, 3, &shape).bind(0, 1, &out);
    program.run(&buffers, [1, 1, 1], &AtomicBool::new(false)).unwrap();
    assert_eq!(values(&out), [3, 4, 10, 13, 22, 26, 14, 19, 0]);
}

#[test]
fn a_workgroup_runs_alone_and_logs_its_writes() {
    let wgsl = format!(
        "{HEAD}
        @group(0) @binding(2) var<storage, read_write> sum: array<atomic<u32>, 2>;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {{
            target_[id.x] = 1u;
            target_[id.x] = target_[id.x] + source[id.x];
            atomicAdd(&sum[0], id.x);
            // A store, which does not depend on what was there.
            if id.x == 9u {{ atomicStore(&sum[1], 7u); }}
        }}"
    );
    let program = compile(&wgsl).unwrap();
    let (source, target, sum) = (words(&[5; 16]), words(&[0; 16]), words(&[100, 0]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &source).bind(0, 1, &target).bind(0, 2, &sum);
    let writes = program.run_workgroup(&buffers, [2, 0, 0], [4, 1, 1], &AtomicBool::new(false)).unwrap();
    let seen: Vec<_> = writes.iter().map(|w| (w.group, w.binding, w.word, w.value, w.atomic)).collect();
    let sum = 100 + 8 + 9 + 10 + 11;
    assert_eq!(
        seen,
        [
            (0, 1, 8, 6, false),
            (0, 1, 9, 6, false),
            (0, 1, 10, 6, false),
            (0, 1, 11, 6, false),
            (0, 2, 0, sum, true),
            (0, 2, 1, 7, false)
        ]
    );
}

#[test]
fn an_endless_loop_ends_when_told() {
    let program = compile("@compute @workgroup_size(64) fn main() { loop {} }").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| program.run(&Buffers::new(), [1000, 1000, 1], &stop));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!run.is_finished());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(run.join().unwrap(), Err(Stopped));
    });
}

#[test]
fn what_is_too_large_or_unknown_is_refused() {
    let refused = |wgsl: &str, part: &str| {
        let error = compile(wgsl).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused("@compute @workgroup_size(64) fn main() { var x: array<u32, 100000000>; x[1] = 2u; }", "too large");
    refused(
        "@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { var x: array<u32, 50000000>; x[id.x] = 2u; }",
        "bytes",
    );
    let use_of = |expression: &str| {
        format!(
            "{HEAD} @compute @workgroup_size(1) fn main() {{ let x = bitcast<f32>(source[0]); target_[0] = u32({expression}); }}"
        )
    };
    for expression in [
        "sin(x)",
        "x % 2.0",
        "max(x, 1.0)",
        "x != 1.0",
        "(mat2x2f(x, x, x, x) * vec2f(x)).x",
        "sign(x)",
        "fma(x, x, x)",
    ] {
        refused(&use_of(expression), "does not know");
    }
}

/// Races of a kernel in its dp32 form, each as its memory, word, and for both accesses who, how and what the source says there.
fn races(wgsl: &str, length: usize, workgroups: u32) -> Vec<Race> {
    let report = report_of_races(wgsl, length, workgroups, 10);
    assert!(!report.more && !report.unfollowed);
    report.races
}

fn report_of_races(wgsl: &str, length: usize, workgroups: u32, most: usize) -> RaceReport {
    let kernel = isobit_shader::prepare(wgsl, Profile::Dp32).unwrap();
    let lowered = kernel.lower(kernel.entry_point(None).unwrap(), &[]).unwrap();
    let program = Program::compile(lowered.module(), lowered.info()).unwrap();
    let (input, output) = (words(&vec![1; length]), words(&vec![0; length]));
    let system = SystemBuffers::new(SystemParams::whole([workgroups, 1, 1]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &input).bind(0, 1, &output).bind_system(&system);
    let mut races = Races::new(Arc::clone(kernel.source()), most);
    let part = 0..u64::from(workgroups);
    program.run_part_watched(&buffers, [workgroups, 1, 1], part, &AtomicBool::new(false), &mut races).unwrap();
    assert_eq!(system.status(1).finished, if lowered.reports() { workgroups } else { 0 }, "it ran to its end");
    races.into_report()
}

const TILE: &str = "
var<workgroup> first: u32;
var<workgroup> tile: array<u32, 8>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32, @builtin(global_invocation_id) id: vec3u) {
    BODY
}";

#[test]
fn kernels_without_races_are_clear() {
    for body in [
        "tile[i] = source[id.x]; workgroupBarrier(); target_[id.x] = tile[7u - i];",
        "for (var k = 0u; k < 3u; k++) { tile[i] += 1u; workgroupBarrier(); target_[id.x] += tile[(i + k) % 8u]; workgroupBarrier(); }",
        "target_[id.x] = 1u; storageBarrier(); target_[(id.x & ~7u) + 7u - i] += source[0];",
        "if i == 0u { tile[3] = 1u; } let x = workgroupUniformLoad(&tile[3]); tile[i] = x;",
        "tile[i] = tile[i] + 1u; target_[id.x] = tile[i] * target_[id.x];",
    ] {
        assert_eq!(races(&format!("{HEAD}{}", TILE.replace("BODY", body)), 32, 4), [], "{body}");
    }
    for (here, sum) in [
        ("atomicMax(&here, id.x);", "atomicAdd(&sum, 1u); atomicSub(&sum, id.x); atomicAdd(&sum, atomicLoad(&here));"),
        ("atomicAnd(&here, id.x);", "atomicXor(&sum, atomicLoad(&here));"),
        ("atomicStore(&here, id.x);", "atomicMin(&sum, atomicLoad(&here));"),
    ] {
        let guard = if here.contains("Store") { "if i == 0u" } else { "" };
        assert_eq!(
            races(&atomics(&format!("{guard} {{ {here} }} workgroupBarrier(); {sum}")), 4, 4),
            [],
            "{here} {sum}"
        );
    }
}

fn atomics(body: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read_write> sum: atomic<u32>;
        var<workgroup> here: atomic<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) i: u32) {{
            {body}
        }}"
    )
}

#[test]
fn atomics_that_do_not_commute_race() {
    for body in [
        "if i == 0u { atomicAdd(&sum, 1u); } else { atomicMax(&sum, 7u); }",
        "if id.x < 8u { atomicAnd(&sum, 1u); } else { atomicOr(&sum, 7u); }",
        "atomicXor(&here, i); if i == 3u { atomicMin(&here, 2u); }",
        "atomicAdd(&here, i); atomicAdd(&sum, atomicLoad(&here));",
        "atomicStore(&here, i);",
        "if i == 0u { atomicStore(&sum, 0u); } atomicAdd(&sum, 1u);",
    ] {
        let found = races(&atomics(body), 4, 4);
        let race = found.first().unwrap_or_else(|| panic!("no race in {body}"));
        assert!(race.accesses.iter().all(|access| access.atomic), "{body}: {race}");
    }
}

#[test]
fn races_are_found_with_both_places() {
    // Memory, word, then for both accesses: invocation, whether it writes, what stands there.
    type Found = (Option<&'static str>, u32, [(u32, bool, &'static str); 2]);
    let cases: &[(&str, Found)] = &[
        (
            "tile[i] = 5u; target_[id.x] = tile[i ^ 1u];",
            (Some("tile"), 1, [(1, true, "tile[i] = 5u"), (0, false, "tile[i ^ 1u]")]),
        ),
        (
            "target_[id.x / 2u] = 5u;",
            (None, 0, [(0, true, "target_[id.x / 2u] = 5u"), (1, true, "target_[id.x / 2u] = 5u")]),
        ),
        (
            "target_[i + 3u] = id.x;",
            (None, 3, [(0, true, "target_[i + 3u] = id.x"), (8, true, "target_[i + 3u] = id.x")]),
        ),
        ("first = i;", (Some("first"), 0, [(0, true, "first = i"), (1, true, "first = i")])),
        (
            "if i == 5u { tile[2] = 1u; } let x = tile[2]; workgroupBarrier(); target_[id.x] = x;",
            (Some("tile"), 2, [(5, true, "tile[2] = 1u"), (0, false, "tile[2]")]),
        ),
        // This barrier is not for buffers.
        (
            "target_[id.x] = 1u; workgroupBarrier(); if i == 0u { target_[id.x + 1u] = 2u; }",
            (None, 1, [(1, true, "target_[id.x] = 1u"), (0, true, "target_[id.x + 1u] = 2u")]),
        ),
    ];
    for (body, (memory, word, accesses)) in cases {
        let wgsl = format!("{HEAD}{}", TILE.replace("BODY", body));
        let found = races(&wgsl, 32, 4);
        let race = found.first().unwrap_or_else(|| panic!("no race in {body}"));
        let expected = match memory {
            Some(name) => RaceMemory::Workgroup((*name).to_owned()),
            None => RaceMemory::Buffer { group: 0, binding: 1 },
        };
        assert_eq!((&race.memory, race.word), (&expected, *word), "{body}: {race}");
        for (access, (invocation, writes, text)) in race.accesses.iter().zip(accesses) {
            assert_eq!((access.invocation, access.writes), ([*invocation, 0, 0], *writes), "{body}: {race}");
            assert_eq!((access.workgroup[0], access.local[0]), (invocation / 8, invocation % 8), "{body}: {race}");
            let location = access.location.unwrap_or_else(|| panic!("{body}: no location in {race}"));
            let at = &wgsl[location.offset as usize..][..location.length as usize];
            assert!(at.contains(text) || text.contains(at.trim_end_matches(';')), "{body}: {at:?} for {text:?}");
        }
    }
}

#[test]
fn more_races_than_are_listed_are_told_of() {
    let body = "tile[i / 2u] = 1u; first = i; target_[id.x / 2u] = 1u;";
    let wgsl = format!("{HEAD}{}", TILE.replace("BODY", body));
    for (most, listed, more) in [(0, 0, true), (2, 2, true), (3, 3, false)] {
        let report = report_of_races(&wgsl, 32, 4, most);
        assert_eq!((report.races.len(), report.more), (listed, more), "{report:?}");
    }
}

#[test]
fn a_race_is_told_in_words() {
    let wgsl = "
        @group(0) @binding(0) var<storage, read_write> a: array<atomic<u32>>;
        @group(0) @binding(1) var<storage, read_write> c: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3u) {
            atomicAdd(&a[0], 1u);
            c[id.x / 2u] = 1u;
        }";
    let found = races(wgsl, 8, 4);
    let [race] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        race.to_string(),
        "`main`: word 0 of @group(0) @binding(1): invocation (0, 0, 0) writes at 6:13, invocation (1, 0, 0) writes at 6:13, and no barrier is between"
    );
}
