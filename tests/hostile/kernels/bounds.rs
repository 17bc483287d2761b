//! Kernels that reach beyond their memory, or rely on what differs between machines.

use super::{MAIN, OUT, entry, kernel, refused};
use crate::corpus::{Entry, words};

/// Out of bounds at every kind of memory: a load gives zero, a store does nothing.
pub fn bounds() -> Vec<Entry> {
    vec![
        kernel!(
            "store beyond a storage buffer",
            "rw:8",
            "",
            "out[8u + i] = 7u; out[0x7fffffffu + i] = 7u; out[0xffffffffu - i] = 7u; out[i] = i;",
            words(&[0, 1, 2, 3, 4, 5, 6, 7])
        ),
        kernel!(
            "load beyond a storage buffer",
            "in:8",
            "",
            "let far = out[8u + i] + out[0x40000000u + i] + out[0xffffffffu - i]; workgroupBarrier(); out[i] = far;",
            words(&[0; 8])
        ),
        kernel!(
            "constant indices beyond storage buffers",
            "rw:8 rw:16",
            "@group(0) @binding(1) var<storage, read_write> wide: array<vec4u>;",
            "wide[0x20000001u] = vec4u(7u); wide[4] = vec4u(7u); out[i] = wide[0x20000001u].x + wide[4].w;",
            words(&[0; 24])
        ),
        kernel!(
            "store at a negative index",
            "rw:8",
            "",
            "let at = -1 - i32(i); out[at] = 7u; out[at - 2147483640] = 7u;",
            words(&[0; 8])
        ),
        kernel!(
            "an index whose bytes overflow",
            "rw:8",
            "",
            "out[0x40000000u + i] = 7u; out[0x80000000u + i] = 7u; out[0xc0000000u + i] = 7u;",
            words(&[0; 8])
        ),
        kernel!(
            "an index of vectors whose bytes overflow",
            "rw:8 rw:16",
            "@group(0) @binding(1) var<storage, read_write> wide: array<vec4u>;",
            "out[i] = 0u; wide[0x10000000u + i] = vec4u(7u); wide[0x20000001u] = vec4u(7u); wide[4u + i].w = 7u;",
            words(&[0; 24])
        ),
        kernel!(
            "store beyond an array of fixed size",
            "rw:8 rw:8",
            "@group(0) @binding(1) var<storage, read_write> four: array<u32, 4>;",
            "out[i] = i; four[4u + i] = 7u;",
            words(&[0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0])
        ),
        kernel!(
            "store beyond an inner array, into its neighbour",
            "rw:8 rw:16",
            "@group(0) @binding(1) var<storage, read_write> rows: array<array<u32, 4>, 4>;",
            "out[i] = 0u; rows[1][4u + i] = 7u; rows[i + 4u][0] = 7u;",
            words(&[0; 24])
        ),
        kernel!(
            "store beyond a struct's array, into the next member",
            "rw:8 rw:8",
            "struct S { a: array<u32, 3>, b: u32, c: array<u32> } @group(0) @binding(1) var<storage, read_write> s: S;",
            "out[i] = 0u; s.a[3u + i] = 7u; s.c[4u + i] = 7u;",
            words(&[0; 16])
        ),
        kernel!(
            "load beyond a uniform array",
            "rw:8 un:16",
            "@group(0) @binding(1) var<uniform> u: array<vec4u, 4>;",
            "out[i] = u[4u + i].x + u[0xfffffff0u + i].w;",
            words(&[0; 8])
        ),
        kernel!(
            "load beyond a read-only buffer",
            "rw:8 ro:8",
            "@group(0) @binding(1) var<storage, read> r: array<u32>;",
            "out[i] = r[8u + i] + r[0xffffffffu - i];",
            words(&[0; 8])
        ),
        kernel!(
            "store beyond workgroup memory",
            "rw:8",
            "var<workgroup> a: array<u32, 8>; var<workgroup> b: array<u32, 8>;",
            "a[i] = 1u; b[i] = 2u; workgroupBarrier(); a[8u + i] = 7u; b[0xffffffffu - i] = 7u; workgroupBarrier(); out[i] = a[i] + b[i] + a[8u + i] + b[0x10000000u + i];",
            words(&[3; 8])
        ),
        kernel!(
            "store beyond private memory",
            "rw:8",
            "var<private> a: array<u32, 4>; var<private> b: array<u32, 4>;",
            "a[4u + i] = 7u; b[0xffffffffu - i] = 7u; out[i] = a[0] + a[3] + b[0] + b[3] + a[i + 4u];",
            words(&[0; 8])
        ),
        kernel!(
            "store beyond a function's variable",
            "rw:8",
            "",
            "var a = array<u32, 4>(1u, 1u, 1u, 1u); var b = array<u32, 4>(2u, 2u, 2u, 2u); a[4u + i] = 7u; b[0xffffffffu - i] = 7u; out[i] = a[0] + a[3] + b[0] + b[3] + a[4u + i];",
            words(&[6; 8])
        ),
        kernel!(
            "an element beyond a value",
            "rw:8",
            "",
            "let a = array<u32, 4>(1u, 2u, 3u, 4u); out[i] = a[4u + i] + a[0xfffffff0u + i];",
            words(&[0; 8])
        ),
        kernel!(
            "an element beyond a constant",
            "rw:8",
            "const A = array<u32, 4>(1u, 2u, 3u, 4u);",
            "out[i] = A[4u + i];",
            words(&[0; 8])
        ),
        kernel!(
            "a component beyond a vector",
            "rw:8",
            "",
            "var v = vec4u(1u); v[4u + i] = 7u; out[i] = v.x + v.y + v.z + v.w + v[4u + i];",
            words(&[4; 8])
        ),
        kernel!(
            "a column beyond a matrix",
            "rw:8",
            "",
            "var m = mat4x4f(); m[4u + i] = vec4f(7.0); m[i][4u + i] = 7.0; out[i] = u32(m[3].x + m[0].y + m[4u + i].x);",
            words(&[0; 8])
        ),
        kernel!(
            "atomics beyond a storage buffer",
            "rw:8 rw:4",
            "@group(0) @binding(1) var<storage, read_write> a: array<atomic<u32>>;",
            "out[i] = atomicLoad(&a[4u + i]); atomicAdd(&a[4u + i], 7u); atomicStore(&a[0xffffffffu - i], 7u); atomicMax(&a[0x40000000u + i], 7u);",
            words(&[0; 12])
        ),
        kernel!(
            "atomics beyond workgroup memory",
            "rw:8",
            "var<workgroup> a: array<atomic<u32>, 4>;",
            "atomicAdd(&a[4u + i], 7u); atomicOr(&a[0x40000000u + i], 7u); workgroupBarrier(); out[i] = atomicLoad(&a[i % 4u]) + atomicLoad(&a[4u + i]);",
            words(&[0; 8])
        ),
        kernel!(
            "a pointer to what is not there",
            "rw:8",
            "fn put(p: ptr<function, u32>) { *p = 7u; }",
            "var a: array<u32, 4>; put(&a[4u + i]); out[i] = a[0] + a[3];",
            words(&[0; 8])
        ),
        kernel!(
            "a pointer into a buffer to what is not there",
            "rw:8",
            "fn put(p: ptr<storage, array<u32>, read_write>, at: u32) { (*p)[at] = 7u; }",
            "put(&out, 8u + i); put(&out, 0xffffffffu - i);",
            words(&[0; 8])
        ),
        kernel!(
            "the length of an array, below zero",
            "rw:8",
            "",
            "out[arrayLength(&out) - 9u - i] = 7u; out[arrayLength(&out) + i] = 7u;",
            words(&[0; 8])
        ),
        kernel!(
            "an index that another buffer gives",
            "rw:8 in:8",
            "@group(0) @binding(1) var<storage, read_write> at: array<u32>;",
            "out[at[i] * 0x1fffffffu + 7u] = 7u; out[at[at[at[i] + 7u]] + 8u] = 7u;",
            words(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
        ),
        kernel!(
            "a scan of all there is, in steps",
            "rw:8",
            "",
            "for (var at = 8u; at < 0xff000000u; at += 0x00fffff1u) { out[at + i] = 7u; }",
            words(&[0; 8])
        ),
        entry(
            "a store beyond, by each of many workgroups",
            "rw:8",
            "1000 1 1",
            || format!("{OUT} {MAIN} {{ out[8u + id.x] = 7u; out[id.x * 0x10001u + 8u] = 7u; }}"),
            words(&[0; 8]),
        ),
        entry(
            "less is bound than the kernel declares",
            "rw:4",
            "1 1 1",
            || format!("@group(0) @binding(0) var<storage, read_write> out: array<u32, 64>; {MAIN} {{ out[i] = 1u; }}"),
            refused("binding 0 has 16 bytes, but the layout demands 256"),
        ),
    ]
}

/// Numbers that machines disagree about.
pub fn numbers() -> Vec<Entry> {
    vec![
        kernel!(
            "divisions by zero",
            "in:8",
            "",
            "let zero = out[i] - i - 1u; let x = out[i] / zero + out[i] % zero; workgroupBarrier(); out[i] = x;",
            words(&[1, 2, 3, 4, 5, 6, 7, 8])
        ),
        kernel!(
            "the quotient that does not fit",
            "rw:8 in:2",
            "@group(0) @binding(1) var<storage, read_write> n: array<u32>;",
            "let m = i32(0x7fffffffu + n[0]) ; let d = -i32(n[0]); out[i] = u32(m / d) + u32(m % d);",
            words(&[
                0x8000_0000,
                0x8000_0000,
                0x8000_0000,
                0x8000_0000,
                0x8000_0000,
                0x8000_0000,
                0x8000_0000,
                0x8000_0000,
                1,
                2
            ])
        ),
        kernel!(
            "shifts by more bits than there are",
            "rw:8 in:8",
            "@group(0) @binding(1) var<storage, read_write> n: array<u32>;",
            "out[i] = (1u << (n[i] + 31u)) + (0x80000000u >> (n[i] + 31u));",
            words(&[
                0x8000_0001,
                0x4000_0002,
                0x2000_0004,
                0x1000_0008,
                0x0800_0010,
                0x0400_0020,
                0x0200_0040,
                0x0100_0080,
                1,
                2,
                3,
                4,
                5,
                6,
                7,
                8
            ])
        ),
        kernel!(
            "floats that fit no integer",
            "rw:8 in:4",
            "@group(0) @binding(1) var<storage, read_write> n: array<u32>;",
            "let big = bitcast<f32>(0x7f000000u + n[0]); out[0] = u32(big); out[1] = u32(-big); out[2] = u32(i32(big)); out[3] = u32(i32(-big)); let nan = bitcast<f32>(0x7fc00000u + n[1]); out[4] = u32(nan); out[5] = u32(i32(nan));",
            words(&[0xffff_ff00, 0, 0x7fff_ff80, 0x8000_0000, 0, 0, 0, 0, 1, 2, 3, 4])
        ),
    ]
}

/// What was never written is zero.
pub fn unwritten() -> Vec<Entry> {
    vec![
        entry(
            "workgroup memory that nobody wrote",
            "rw:64",
            "8 1 1",
            || {
                format!(
                    "{OUT} var<workgroup> w: array<u32, 1024>; {MAIN} {{ var any = 0u; for (var t = 0u; t < 128u; t++) {{ any |= w[8u * t + i]; w[8u * t + i] = 0xdeadbeefu; }} out[id.x] = any; }}"
                )
            },
            words(&[0; 64]),
        ),
        kernel!(
            "private memory that nobody wrote",
            "rw:8",
            "var<private> p: array<u32, 64>;",
            "var any = 0u; for (var t = 0u; t < 64u; t++) { any |= p[t]; } out[i] = any;",
            words(&[0; 8])
        ),
        kernel!(
            "a variable in a loop that was written a turn ago",
            "rw:8",
            "",
            "for (var t = 0u; t < 8u; t++) { var a: array<u32, 64>; out[i] |= a[t]; a[t + 1u] = 0xdeadbeefu; }",
            words(&[0; 8])
        ),
        kernel!(
            "a function's variable that another function wrote",
            "rw:8",
            "fn f() { var a: array<u32, 64>; for (var t = 0u; t < 64u; t++) { a[t] = 0xdeadbeefu; } if a[7] == 0u { out[0] = 7u; } } fn g() -> u32 { var a: array<u32, 64>; var any = 0u; for (var t = 0u; t < 64u; t++) { any |= a[t]; } return any; }",
            "f(); out[i] = g();",
            words(&[0; 8])
        ),
    ]
}
