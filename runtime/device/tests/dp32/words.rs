//! Kernels on integers and memory that drivers, or naga's back ends for them, have got wrong: each gives
//! everywhere what the host computes.

use isobit_shader::Tier;

use crate::runner::{Form, Gpu, Program, interpret, prepare};

/// What an invocation makes of a word.
struct Kernel {
    /// Outside of the entry point.
    declarations: &'static str,
    /// Computes `r` from `x`.
    body: &'static str,
    host: fn(u32) -> u32,
}

const KERNELS: &[Kernel] = &[
    Kernel {
        declarations: "",
        body: "let v = vec4(x, x >> 7u, x >> 3u, ~x); r = 0xff00f0f0u & pack4xU8(v);",
        host: |x| 0xff00_f0f0 & u32::from_le_bytes([x, x >> 7, x >> 3, !x].map(|byte| byte as u8)),
    },
    Kernel {
        declarations: "",
        body: "let v = vec4(x >> 24u, x >> 20u, x >> 9u, 3u); r = 3u * pack4xU8Clamp(v) + 1u;",
        host: |x| {
            let bytes = [x >> 24, x >> 20, x >> 9, 3].map(|byte| byte.min(255) as u8);
            3_u32.wrapping_mul(u32::from_le_bytes(bytes)).wrapping_add(1)
        },
    },
    Kernel {
        declarations: "",
        body: "let i = bitcast<i32>(x); let v = vec4(i, i >> 24u, i >> 22u, -i);
            r = (x & pack4xI8(v)) ^ ~pack4xI8Clamp(v);",
        host: |x| {
            let i = x.cast_signed();
            let v = [i, i >> 24, i >> 22, i.wrapping_neg()];
            let low = u32::from_le_bytes(v.map(|byte| byte.cast_unsigned() as u8));
            let clamped = u32::from_le_bytes(v.map(|byte| (byte.clamp(-128, 127) as i8).cast_unsigned()));
            (x & low) ^ !clamped
        },
    },
    Kernel {
        declarations: "",
        body: "let a = abs(bitcast<i32>(x)); if a >= 0 { r = 1u; } r += u32(max(a, -1) + 2) * 4u;",
        host: |x| {
            let a = x.cast_signed().wrapping_abs();
            u32::from(a >= 0).wrapping_add((a.max(-1).wrapping_add(2).cast_unsigned()).wrapping_mul(4))
        },
    },
    Kernel {
        declarations: "",
        body: "let s = sign(vec3(bitcast<i32>(x), i32(x & 1u), -2)); r = u32(s.x + 4 * s.y + 16 * s.z + 100);",
        host: |x| (x.cast_signed().signum() + 4 * (x & 1).cast_signed() - 16 + 100).cast_unsigned(),
    },
    // Pointers to parts of variables, which naga's back end for SPIR-V does not pass.
    Kernel {
        declarations: "fn add(p: ptr<function, u32>, y: u32) -> u32 { let old = *p; *p += y; return old; }
            fn look(p: ptr<function, u32>) -> u32 { return *p * 3u; }",
        body: "var t = array<u32, 4>(x, 1u, 2u, 3u); var i = x;
            let p = &t[i & 3u]; i = 0u;
            r = add(p, 7u) + add(&t[1], x) * 5u + add(&t[x], 1u) + look(&t[2]);
            for (var k = 0u; k < 4u; k++) { r = r * 31u + t[k]; }",
        host: |x| {
            let mut t = [x, 1, 2, 3];
            // Out of bounds there is a zero, and nothing is written.
            let mut add = |at: u32, y: u32| {
                let element = t.get_mut(at as usize);
                element.map_or(0, |element| std::mem::replace(element, element.wrapping_add(y)))
            };
            let added = [add(x & 3, 7), add(1, x).wrapping_mul(5), add(x, 1)];
            let r = added.into_iter().fold(t[2].wrapping_mul(3), u32::wrapping_add);
            t.into_iter().fold(r, |r, element| r.wrapping_mul(31).wrapping_add(element))
        },
    },
    Kernel {
        declarations: "struct Inner { a: array<vec2u, 3>, m: mat2x2f }
            struct Outer { first: u32, inner: Inner }
            fn turn(p: ptr<function, vec2u>) { *p = (*p).yx + 1u; }
            fn column(p: ptr<function, vec2f>) { (*p).x += 2.0; }
            fn middle(p: ptr<function, Inner>, at: u32) { turn(&(*p).a[at]); column(&(*p).m[at & 1u]); (*p).a[0].x ^= 9u; }
            fn first(p: ptr<function, Outer>) { let q = &(*p).first; add(q); }
            fn add(p: ptr<function, u32>) { if *p > 5u { return; } *p += 100u; }",
        body: "var o: Outer; o.first = x & 15u; o.inner.a[1] = vec2u(x, 4u);
            first(&o); middle(&o.inner, x % 3u); add(&o.first);
            let a = o.inner.a; r = o.first + 3u * a[0].x + 5u * a[0].y + 7u * a[1].x + 11u * a[1].y + 13u * a[2].x
                + 1000u * u32(o.inner.m[0].x + 2.0 * o.inner.m[1].x);",
        host: |x| {
            let add = |x: u32| if x > 5 { x } else { x + 100 };
            let mut a = [[0, 0], [x, 4], [0, 0]];
            let mut m = [0, 0];
            let at = (x % 3) as usize;
            a[at] = [a[at][1].wrapping_add(1), a[at][0].wrapping_add(1)];
            m[at & 1] += 2;
            a[0][0] ^= 9;
            let parts = [(3, a[0][0]), (5, a[0][1]), (7, a[1][0]), (11, a[1][1]), (13, a[2][0]), (1000, m[0] + 2 * m[1])];
            parts.into_iter().fold(add(add(x & 15)), |r, (factor, part)| r.wrapping_add(part.wrapping_mul(factor)))
        },
    },
    // Pointers to storage and workgroup variables, and to parts of private ones.
    Kernel {
        declarations: "var<workgroup> w: array<array<u32, 4>, 64>;
            var<private> v: array<vec2u, 4>;
            fn put(q: ptr<workgroup, array<u32, 4>>, at: u32, x: u32) { (*q)[at] = x; }
            fn triple(q: ptr<workgroup, u32>) { *q *= 3u; }
            fn sum(q: ptr<workgroup, array<u32, 4>>) -> u32 { triple(&(*q)[1]); return (*q)[0] + (*q)[1] * 5u; }
            fn look(s: ptr<storage, array<u32>, read>, at: u32) -> u32 { return (*s)[at] + arrayLength(s); }
            fn bump(q: ptr<private, vec2u>) { (*q).y += (*q).x + 1u; }
            fn deep(q: ptr<private, array<vec2u, 4>>, i: u32) { bump(&(*q)[i]); bump(&(*q)[2]); }",
        body: "let mine = &w[id.x & 63u]; put(mine, 0u, x); put(mine, 1u, 7u); put(mine, x | 4u, 99u);
            v[x & 3u] = vec2u(x, 5u); deep(&v, x & 3u); bump(&v[x | 8u]);
            r = sum(mine) + 11u * look(&operands, 1000u) + 13u * v[x & 3u].y + 17u * v[2].y;",
        host: |x| {
            let mut v = [[0_u32; 2]; 4];
            v[(x & 3) as usize] = [x, 5];
            for at in [(x & 3) as usize, 2] {
                v[at][1] = v[at][1].wrapping_add(v[at][0]).wrapping_add(1);
            }
            let parts = [x, 21 * 5, 11 * 256, v[(x & 3) as usize][1].wrapping_mul(13), v[2][1].wrapping_mul(17)];
            parts.into_iter().fold(0, u32::wrapping_add)
        },
    },
    // Functions that end in a loop that is only left by returning.
    Kernel {
        declarations: "fn count(x: u32) -> u32 { var i = x; loop { i += 3u; if (i & 31u) == 5u { return i; } } }
            fn choose(x: u32) -> vec2u {
                if x > 99u { for (var i = x; ; i /= 2u) { switch i { case 40u, 41u: { break; } default: { if i < 99u { return vec2u(i, x); } } }
                    if i == 0u { return vec2u(7u); } } }
                else { { loop { return vec2u(x, 1u); } } }
            }",
        body: "let c = choose(x); r = count(x) + 3u * c.x + 5u * c.y;",
        host: |x| {
            let mut i = x.wrapping_add(3);
            while i & 31 != 5 {
                i = i.wrapping_add(3);
            }
            let halved = || std::iter::successors(Some(x), |i| Some(i / 2)).find(|i| *i < 99 && *i != 40 && *i != 41);
            let [a, b] = if x > 99 { [halved().unwrap(), x] } else { [x, 1] };
            i.wrapping_add(a.wrapping_mul(3)).wrapping_add(b.wrapping_mul(5))
        },
    },
];

fn operands() -> Vec<u32> {
    let mut state = 1_u32;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    });
    let edges = [0, 1, 2, 5, 127, 128, 255, 256, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ff80, u32::MAX];
    edges.into_iter().chain(random).take(256).collect()
}

#[test]
fn words_are_the_hosts_words() {
    let operands = operands();
    for kernel in KERNELS {
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read> operands: array<u32>;
            @group(0) @binding(1) var<storage, read_write> results: array<u32>;
            {}
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {{
                let x = operands[id.x]; var r = 0u; {} results[id.x] = r;
            }}",
            kernel.declarations, kernel.body
        );
        let expected: Vec<u8> = operands.iter().flat_map(|x| (kernel.host)(*x).to_le_bytes()).collect();
        let program = Program {
            wgsl,
            buffers: vec![operands.iter().flat_map(|x| x.to_le_bytes()).collect(), vec![0; expected.len()]],
            workgroups: [4, 1, 1],
            ..Program::default()
        };
        let prepared = prepare(&program).unwrap();
        let run = |gpu: &Gpu, tier| gpu.run(&prepared, &program, Form::Dp32(tier)).unwrap();
        let places = Gpu::all().iter().flat_map(|gpu| [Tier::A, Tier::B].map(|tier| (gpu, tier)));
        let outcomes = places.map(|(gpu, tier)| (format!("{} in tier {tier:?}", gpu.name), run(gpu, tier)));
        let interpreted = ("the interpreter".to_owned(), interpret(&prepared, &program).unwrap());
        for (place, outcome) in std::iter::once(interpreted).chain(outcomes) {
            let differing = outcome.buffers[1].iter().zip(&expected).position(|(found, expected)| found != expected);
            assert_eq!(differing, None, "the byte where {place} differs from the host:\n{}", program.wgsl);
        }
    }
}
