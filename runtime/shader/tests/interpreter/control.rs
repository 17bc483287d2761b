//! Control flow and calls: which lanes are where.

use std::time::Duration;

use isobit_shader::interpreter::Stopped;

use super::*;

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
    let large = "@compute @workgroup_size(64) fn main() { var x: array<u32, 100000000>; x[1] = 2u; }";
    refused(large, "400000000 bytes of private and function variables");
    let large = "var<workgroup> x: array<u32, 500000000>; @compute @workgroup_size(64) fn main() { x[1] = 2u; }";
    refused(large, "too large");
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
