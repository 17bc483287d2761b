//! Hostile kernels. Buffers are at `@group(0)`, in order: `rw:8` are eight words that are read and written, zeros at first; `in:8` the same, counting from 1; `ro:8` and `un:8` can
//! only be read, as storage and as uniform. Around each lie guard words, which the guest looks at afterwards.

use std::time::Duration;

use isobit_job::FaultKind;

use super::corpus::{Ends, Entry, Guest, KERNEL_FUEL, Kernel, words};

/// One buffer of words to write, and an entry point of one workgroup of eight.
const OUT: &str = "@group(0) @binding(0) var<storage, read_write> out: array<u32>;";
const MAIN: &str = "@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32, @builtin(global_invocation_id) id: vec3u)";

fn entry(name: &'static str, buffers: &'static str, dispatch: &'static str, wgsl: fn() -> String, ends: Ends) -> Entry {
    // The guest's own work: copies of the text, and the buffers' words.
    Entry::new(name, Guest::Kernel(Kernel { wgsl, buffers, dispatch, constants: "" }), ends)
        .fuel(10_000_000_000)
        .guest_memory(256)
}

/// A kernel on `out`, with these declarations and this body.
macro_rules! kernel {
    ($name:literal, $buffers:literal, $declarations:expr, $body:expr, $ends:expr) => {
        entry($name, $buffers, "1 1 1", || format!("{OUT}\n{}\n{MAIN} {{\n{}\n}}", $declarations, $body), $ends)
    };
}

fn refused(message: &'static str) -> Ends {
    Ends::Says(message)
}

fn with_constants(mut entry: Entry, constants: &'static str) -> Entry {
    if let Guest::Kernel(kernel) = &mut entry.guest {
        kernel.constants = constants;
    }
    entry
}

pub fn kernels() -> Vec<Entry> {
    let mut all = vec![];
    all.extend(bounds());
    all.extend(numbers());
    all.extend(loops());
    all.extend(dispatches());
    all.extend(barriers());
    all.extend(unwritten());
    all.extend(bombs());
    all.extend(texts());
    all
}

/// Out of bounds at every kind of memory: a load gives zero, a store does nothing.
fn bounds() -> Vec<Entry> {
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
            "fn set(p: ptr<function, u32>) { *p = 7u; }",
            "var a: array<u32, 4>; set(&a[4u + i]); out[i] = a[0] + a[3];",
            words(&[0; 8])
        ),
        kernel!(
            "a pointer into a buffer to what is not there",
            "rw:8",
            "fn set(p: ptr<storage, array<u32>, read_write>, at: u32) { (*p)[at] = 7u; }",
            "set(&out, 8u + i); set(&out, 0xffffffffu - i);",
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
fn numbers() -> Vec<Entry> {
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
            words(&[])
        ),
    ]
}

fn loops() -> Vec<Entry> {
    vec![
        kernel!("a loop that never ends", "rw:8", "", "while out[i] != 7u { out[i] = out[i] * 2u; }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("a loop with nothing in it", "rw:8", "", "loop { if out[0] == 7u { break; } }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("loops within loops that never end", "rw:8", "", "loop { loop { if out[i] == 7u { break; } out[i] += 2u; } if out[i] == 9u { break; } }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("a loop that one invocation never leaves", "rw:8", "", "while i == 5u && out[5] != 7u { out[5] += 2u; }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("a loop in a function in a loop", "rw:8", "fn turn(x: u32) -> u32 { var y = x; while y != 0xffffffffu { y = y & 0xfffffffeu; } return y; }", "loop { out[i] = turn(out[i]); if out[i] == 7u { break; } }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("a switch in a loop that never ends", "rw:8", "", "loop { switch out[i] { case 0u: { out[i] = 1u; continue; } case 1u: { out[i] = 0u; } default: { break; } } if out[i] == 7u { break; } }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("a loop whose end is in its continuing", "rw:8", "", "var x = 0u; loop { x += 2u; continuing { out[i] = x; break if x == 7u; } }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("a counter that wraps around and never meets its end", "rw:8", "", "for (var x = 1u; x != 0u; x += 2u) { out[i] = x; }", KERNEL_FUEL).kernel_fuel(200_000),
        kernel!("four loops of a thousand within each other", "rw:8", "", "for (var a = 0u; a < 1000u; a++) { for (var b = 0u; b < 1000u; b++) { for (var c = 0u; c < 1000u; c++) { for (var d = 0u; d < 1000u; d++) { out[i] += d; } } } }", KERNEL_FUEL).kernel_fuel(1_000_000),
        kernel!("a loop of more turns than a driver makes", "rw:8 ro:1", "@group(0) @binding(1) var<storage, read> turns: array<u32>;", "var x = 0u; for (var t = 0u; t < turns[0] * 70000u; t++) { x += 3u; } out[i] = x;", words(&[210_000; 8])),
        entry("a loop that never ends, in many workgroups", "rw:8", "65535 1 1", || format!("{OUT} {MAIN} {{ while out[i] != 7u {{ out[i] += 2u; }} }}"), KERNEL_FUEL).kernel_fuel(10_000_000),
        kernel!("recursion", "rw:8", "fn f(x: u32) -> u32 { return f(x); }", "out[i] = f(i);", refused("")),
        kernel!("recursion of two", "rw:8", "fn f(x: u32) -> u32 { return g(x); } fn g(x: u32) -> u32 { return f(x); }", "out[i] = f(i);", refused("")),
    ]
}

fn dispatches() -> Vec<Entry> {
    fn plain() -> String {
        format!("{OUT} {MAIN} {{ out[i] = 1u; }}")
    }
    fn sized() -> String {
        format!(
            "{OUT} override x: u32 = 1; override y: u32 = 1; override z: u32 = 1; @compute @workgroup_size(x, y, z) fn main() {{ out[0] = 1u; }}"
        )
    }
    vec![
        entry("65535 cubed workgroups", "rw:8", "65535 65535 65535", plain, KERNEL_FUEL).kernel_fuel(1_000_000_000_000),
        entry("65535 squared workgroups", "rw:8", "65535 65535 1", plain, KERNEL_FUEL),
        entry(
            "65536 workgroups",
            "rw:8",
            "1 65536 1",
            plain,
            refused("limit max-compute-workgroups-per-dimension exceeded: 65536 asked for, at most 65535 allowed"),
        ),
        entry(
            "four billion workgroups",
            "rw:8",
            "1 1 4294967295",
            plain,
            refused("limit max-compute-workgroups-per-dimension exceeded: 4294967295 asked for, at most 65535 allowed"),
        ),
        entry("no workgroups", "rw:8", "0 65535 65535", plain, words(&[0; 8])),
        with_constants(
            entry(
                "a workgroup of 257",
                "rw:8",
                "1 1 1",
                sized,
                refused("limit max-compute-workgroup-size-x exceeded: 257 asked for, at most 256 allowed"),
            ),
            "x=257",
        ),
        with_constants(
            entry(
                "a workgroup of 64 deep and one",
                "rw:8",
                "1 1 1",
                sized,
                refused("limit max-compute-workgroup-size-z exceeded: 65 asked for, at most 64 allowed"),
            ),
            "z=65",
        ),
        with_constants(
            entry(
                "a workgroup of 512 in all",
                "rw:8",
                "1 1 1",
                sized,
                refused("limit max-compute-invocations-per-workgroup exceeded: 512 asked for, at most 256 allowed"),
            ),
            "x=32 y=16",
        ),
        with_constants(entry("a workgroup of none", "rw:8", "1 1 1", sized, refused("")), "y=0"),
        with_constants(
            entry("a workgroup whose size overflows", "rw:8", "1 1 1", sized, refused("")),
            "x=65536 y=65536 z=65536",
        ),
        with_constants(entry("a workgroup of four billion", "rw:8", "1 1 1", sized, refused("")), "x=4294967295"),
        with_constants(entry("a workgroup of a size below zero", "rw:8", "1 1 1", sized, refused("")), "x=-1"),
        entry(
            "workgroup memory over 16 KiB",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<workgroup> w: array<u32, 4097>; {MAIN} {{ w[i] = 1u; out[i] = w[i]; }}"),
            refused("limit max-compute-workgroup-storage-size exceeded: 16400 asked for, at most 16384 allowed"),
        ),
        entry(
            "private memory over 64 KiB",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<private> p: array<u32, 16385>; {MAIN} {{ p[i] = 1u; out[i] = p[i]; }}"),
            refused(""),
        ),
        entry(
            "private memory of 4 GiB",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<private> p: array<u32, 1073741823>; {MAIN} {{ p[i] = 1u; out[i] = p[i]; }}"),
            refused(""),
        ),
        entry(
            "workgroup memory of four exbibytes",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} var<workgroup> p: array<array<array<u32, 65536>, 65536>, 65536>; {MAIN} {{ p[i][i][i] = 1u; out[i] = p[0][0][i]; }}"
                )
            },
            refused(""),
        ),
        entry(
            "a hundred functions of much memory, one in another",
            "rw:8",
            "1 1 1",
            || {
                let levels: String = (1..100)
                    .map(|level| {
                        format!(
                            "fn f{level}(x: u32) -> u32 {{ var a: array<u32, 1024>; a[x] = f{}(x); return a[0]; }} ",
                            level - 1
                        )
                    })
                    .collect();
                format!("{OUT} fn f0(x: u32) -> u32 {{ return x; }} {levels} {MAIN} {{ out[i] = f99(i); }}")
            },
            refused(""),
        ),
    ]
}

fn barriers() -> Vec<Entry> {
    vec![
        kernel!("a barrier for some", "rw:8", "", "if i < 4u { workgroupBarrier(); } out[i] = 1u;", refused("")),
        kernel!(
            "a barrier after some have left",
            "rw:8",
            "",
            "if i < 4u { return; } workgroupBarrier(); out[i] = 1u;",
            refused("")
        ),
        kernel!(
            "a barrier in a loop of other lengths",
            "rw:8",
            "",
            "for (var t = 0u; t < i; t++) { workgroupBarrier(); } out[i] = 1u;",
            refused("")
        ),
        kernel!(
            "a barrier behind what a buffer says",
            "rw:8",
            "",
            "if out[0] == 0u { workgroupBarrier(); } out[i] = 1u;",
            refused("")
        ),
        kernel!(
            "a barrier in a function, for some",
            "rw:8",
            "fn meet() { storageBarrier(); }",
            "if i == 0u { meet(); } out[i] = 1u;",
            refused("")
        ),
        kernel!(
            "a barrier in a switch",
            "rw:8",
            "",
            "switch i { case 0u: { workgroupBarrier(); } default: { } } out[i] = 1u;",
            refused("")
        ),
        kernel!(
            "a barrier behind a break of some",
            "rw:8",
            "",
            "loop { if i > 3u { break; } workgroupBarrier(); out[i] += 1u; if out[0] > 7u { break; } }",
            refused("")
        ),
        kernel!(
            "a uniform load for some",
            "rw:8",
            "var<workgroup> w: u32;",
            "if i < 4u { out[i] = workgroupUniformLoad(&w); }",
            refused("")
        ),
        kernel!(
            "a thousand barriers",
            "rw:8",
            "",
            "for (var t = 0u; t < 1000u; t++) { out[i] += 1u; workgroupBarrier(); }",
            words(&[1000; 8])
        ),
        kernel!(
            "the value before an atomic",
            "rw:8 rw:1",
            "@group(0) @binding(1) var<storage, read_write> a: atomic<u32>;",
            "out[i] = atomicAdd(&a, 1u);",
            refused(
                "the value before an atomic differs between devices, and from run to run, as the order of invocations does"
            )
        ),
        kernel!(
            "an exchange",
            "rw:8 rw:1",
            "@group(0) @binding(1) var<storage, read_write> a: atomic<u32>;",
            "out[i] = atomicExchange(&a, i);",
            refused("which invocation an exchange comes after differs between devices, and from run to run")
        ),
        kernel!(
            "a lock that is spun on",
            "rw:8 rw:1",
            "@group(0) @binding(1) var<storage, read_write> a: atomic<u32>;",
            "while !atomicCompareExchangeWeak(&a, 0u, 1u).exchanged { } out[i] = 1u;",
            refused("which invocation wins a compare-exchange differs between devices, and from run to run")
        ),
        kernel!(
            "waiting for another workgroup",
            "rw:8 rw:1",
            "@group(0) @binding(1) var<storage, read_write> a: atomic<u32>;",
            "while atomicLoad(&a) == 0u { } out[i] = 1u;",
            KERNEL_FUEL
        )
        .kernel_fuel(200_000),
    ]
}

/// What was never written is zero.
fn unwritten() -> Vec<Entry> {
    vec![
        entry(
            "workgroup memory that nobody wrote",
            "rw:64",
            "8 1 1",
            || {
                format!(
                    "{OUT} var<workgroup> w: array<u32, 4096>; {MAIN} {{ var any = 0u; for (var t = 0u; t < 512u; t++) {{ any |= w[8u * t + i]; w[8u * t + i] = 0xdeadbeefu; }} out[id.x] = any; }}"
                )
            },
            words(&[0; 64]),
        ),
        kernel!(
            "private memory that nobody wrote",
            "rw:8",
            "var<private> p: array<u32, 4096>;",
            "var any = 0u; for (var t = 0u; t < 4096u; t++) { any |= p[t]; } out[i] = any;",
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
            "fn f() { var a: array<u32, 1024>; for (var t = 0u; t < 1024u; t++) { a[t] = 0xdeadbeefu; } if a[7] == 0u { out[0] = 7u; } } fn g() -> u32 { var a: array<u32, 1024>; var any = 0u; for (var t = 0u; t < 1024u; t++) { any |= a[t]; } return any; }",
            "f(); out[i] = g();",
            words(&[0; 8])
        ),
    ]
}

/// Kernels that are expensive to look at, or to compile.
fn bombs() -> Vec<Entry> {
    fn many(open: &str, close: &str) -> String {
        format!("{}1{}", open.repeat(100_000), close.repeat(100_000))
    }
    vec![
        entry(
            "a hundred thousand parentheses",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ out[0] = {}; }}", many("(", ")")),
            refused(""),
        ),
        entry(
            "a hundred thousand blocks",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ {} {} }}", "{".repeat(100_000), "}".repeat(100_000)),
            refused(""),
        ),
        entry(
            "a hundred thousand signs",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ out[0] = u32({}1); }}", "- ".repeat(100_000)),
            refused(""),
        ),
        entry(
            "types within types",
            "rw:8",
            "1 1 1",
            || format!("var<private> a: {}; {OUT} {MAIN} {{ out[i] = 1u; }}", many("array<", ",1>")),
            refused(""),
        ),
        entry(
            "structs within structs",
            "rw:8",
            "1 1 1",
            || {
                let levels: String =
                    (1..10_000).map(|level| format!("struct S{level} {{ s: S{} }} ", level - 1)).collect();
                format!("struct S0 {{ a: u32 }} {levels} var<private> s: S9999; {OUT} {MAIN} {{ out[i] = 1u; }}")
            },
            refused(""),
        ),
        entry(
            "structs that double with each level",
            "rw:8",
            "1 1 1",
            || {
                let levels: String =
                    (1..60).map(|level| format!("struct S{level} {{ a: S{0}, b: S{0} }} ", level - 1)).collect();
                format!("struct S0 {{ a: u32 }} {levels} var<private> s: S59; {OUT} {MAIN} {{ out[i] = 1u; }}")
            },
            refused(""),
        ),
        entry(
            "functions that double with each level",
            "rw:8",
            "1 1 1",
            || {
                let levels: String =
                    (1..60).map(|level| format!("fn f{level}() {{ f{0}(); f{0}(); }} ", level - 1)).collect();
                format!("{OUT} fn f0() {{ out[0] = 1u; }} {levels} {MAIN} {{ f59(); }}")
            },
            refused(""),
        ),
        entry(
            "calls nested 200 deep",
            "rw:8",
            "1 1 1",
            || {
                let levels: String = (1..200).map(|level| format!("fn f{level}() {{ f{}(); }} ", level - 1)).collect();
                format!("{OUT} fn f0() {{ out[0] = 1u; }} {levels} {MAIN} {{ f199(); }}")
            },
            refused(""),
        ),
        entry(
            "ten thousand alternatives",
            "rw:8",
            "1 1 1",
            || {
                let chain: String =
                    (0..10_000).map(|at| format!("if i == {at}u {{ out[0] = {at}u; }} else ")).collect();
                format!("{OUT} {MAIN} {{ {chain} {{ }} }}")
            },
            refused(""),
        ),
        entry(
            "ten thousand cases",
            "rw:8",
            "1 1 1",
            || {
                let cases: String = (0..10_000).map(|at| format!("case {at}u: {{ out[i] = {at}u; }} ")).collect();
                format!("{OUT} {MAIN} {{ switch i + 100u {{ {cases} default: {{ }} }} }}")
            },
            words(&[]),
        )
        .long(),
        entry(
            "more expressions than there may be",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ {} }}", "out[i]=out[i]+1u;".repeat(50_000)),
            refused(""),
        ),
        entry(
            "values of much memory",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(0) @binding(1) var<storage, read_write> a: array<array<f32, 1024>>; {MAIN} {{ {} }}",
                    "a[i] = a[i + 1u];".repeat(300)
                )
            },
            refused(""),
        ),
        entry(
            "a constant that doubles with each level",
            "rw:8",
            "1 1 1",
            || {
                let levels: String =
                    (1..30).map(|level| format!("const C{level} = array(C{0}, C{0}); ", level - 1)).collect();
                format!("const C0 = array(1u, 2u); {levels} {OUT} {MAIN} {{ out[i] = 1u; }}")
            },
            refused(""),
        ),
        entry(
            "a constant array of four billion",
            "rw:8",
            "1 1 1",
            || format!("const C = array<u32, 4294967295>(); {OUT} {MAIN} {{ out[i] = C[i]; }}"),
            refused(""),
        ),
        entry(
            "constants that overflow",
            "rw:8",
            "1 1 1",
            || format!("const C = 0x7fffffffi + 1i; {OUT} {MAIN} {{ out[i] = u32(C); }}"),
            refused(""),
        ),
        entry(
            "a thousand entry points",
            "rw:8",
            "1 1 1",
            || {
                let entries: String = (0..1000)
                    .map(|at| format!("@compute @workgroup_size(1) fn m{at}() {{ out[0] = {at}u; }} "))
                    .collect();
                format!("{OUT} {entries}")
            },
            refused(""),
        ),
        entry(
            "ten thousand bindings",
            "rw:8",
            "1 1 1",
            || {
                let bindings: String = (0..10_000)
                    .map(|at| format!("@group(0) @binding({at}) var<storage, read_write> b{at}: array<u32>; "))
                    .collect();
                let uses: String = (0..10_000).map(|at| format!("b{at}[0] = 1u; ")).collect();
                format!("{bindings} @compute @workgroup_size(1) fn main() {{ {uses} }}")
            },
            refused(""),
        ),
        entry(
            "a megabyte of comments",
            "rw:8",
            "1 1 1",
            || format!("{} {OUT} {MAIN} {{ out[i] = 1u; }}", "/* */ ".repeat(150_000)),
            words(&[1; 8]),
        ),
        entry(
            "comments within comments",
            "rw:8",
            "1 1 1",
            || format!("{}{} {OUT} {MAIN} {{ out[i] = 1u; }}", "/*".repeat(200_000), "*/".repeat(200_000)),
            words(&[1; 8]),
        ),
        entry(
            "a name of half a megabyte",
            "rw:8",
            "1 1 1",
            || {
                let name = "a".repeat(500_000);
                format!("{OUT} var<private> {name}: u32; {MAIN} {{ out[i] = {name} + 1u; }}")
            },
            words(&[1; 8]),
        ),
        entry(
            "a number of half a megabyte",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ out[i] = {}u; }}", "9".repeat(500_000)),
            refused(""),
        ),
        entry(
            "a sum of ten thousand",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ out[i] = {}1u; }}", "out[i] + ".repeat(10_000)),
            refused(""),
        ),
        entry(
            "a chain of roots that drivers compile for minutes",
            "rw:8",
            "1 1 1",
            || {
                let chain = "x = x / (y + 1.5); y = sqrt(y * x + 2.0); ".repeat(1500);
                format!("{OUT} {MAIN} {{ var x = f32(out[i]); var y = x + 1.0; {chain} out[i] = u32(x + y); }}")
            },
            Ends::FaultsOnDrivers(FaultKind::Deadline),
        )
        .within(Duration::from_secs(3))
        .messy(),
        entry(
            "loops nested a hundred deep",
            "rw:8",
            "1 1 1",
            || {
                let open: String = (0..100)
                    .map(|level| format!("for (var t{level} = 0u; t{level} < out[i]; t{level}++) {{ "))
                    .collect();
                format!("{OUT} {MAIN} {{ {open} out[i] = 0u; {} }}", "}".repeat(100))
            },
            refused(""),
        ),
    ]
}

/// Texts that are no kernels, or want what a guest must not have.
fn texts() -> Vec<Entry> {
    vec![
        entry("no text", "rw:8", "1 1 1", String::new, refused("")),
        entry("a text of zeros", "rw:8", "1 1 1", || "\0".repeat(1000), refused("")),
        entry(
            "a text that reads in both directions",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ /* \u{202e} }} \u{2066} */ out[i] = 1u; }}"),
            words(&[1; 8]),
        ),
        entry(
            "names that look alike",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ let а = 1u; let a = 2u; out[i] = а * a; }}"),
            words(&[2; 8]),
        ),
        entry(
            "the system's bind group",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(3) @binding(0) var<storage, read_write> system: array<u32>; {MAIN} {{ out[i] = system[i]; system[i] = 0u; }}"
                )
            },
            refused(""),
        ),
        entry(
            "two variables at one binding",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(0) @binding(0) var<storage, read_write> other: array<u32>; {MAIN} {{ out[i] = 1u; other[i] = 2u; }}"
                )
            },
            refused(""),
        ),
        entry(
            "a binding without a number",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<storage, read_write> other: array<u32>; {MAIN} {{ out[i] = other[i]; }}"),
            refused(""),
        ),
        entry(
            "a group of four billion",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "@group(4294967295) @binding(4294967295) var<storage, read_write> other: array<u32>; {MAIN} {{ other[i] = 1u; }}"
                )
            },
            refused(""),
        ),
        entry(
            "a store to what can only be read",
            "rw:8 ro:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(0) @binding(1) var<storage, read> r: array<u32>; {MAIN} {{ r[i] = 1u; out[i] = 1u; }}"
                )
            },
            refused(""),
        ),
        entry(
            "half floats",
            "rw:8",
            "1 1 1",
            || format!("enable f16; {OUT} {MAIN} {{ out[i] = u32(f16(1.0)); }}"),
            refused(""),
        ),
        entry(
            "subgroups",
            "rw:8",
            "1 1 1",
            || format!("enable subgroups; {OUT} {MAIN} {{ out[i] = subgroupAdd(i); }}"),
            refused(""),
        ),
        entry(
            "a texture",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(0) @binding(1) var t: texture_storage_2d<rgba8unorm, write>; {MAIN} {{ textureStore(t, vec2u(i), vec4f(1.0)); out[i] = 1u; }}"
                )
            },
            refused(""),
        ),
        entry(
            "a sampler",
            "rw:8",
            "1 1 1",
            || format!("{OUT} @group(0) @binding(1) var s: sampler; {MAIN} {{ out[i] = 1u; }}"),
            words(&[1; 8]),
        ),
        entry(
            "a ray query",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(0) @binding(1) var a: acceleration_structure; {MAIN} {{ var q: ray_query; out[i] = 1u; }}"
                )
            },
            refused(""),
        ),
        entry(
            "an array of bindings",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "struct S {{ a: array<u32, 4> }} @group(0) @binding(0) var<storage, read_write> out: binding_array<S, 4>; {MAIN} {{ out[i].a[i] = 1u; }}"
                )
            },
            refused(""),
        ),
        entry(
            "push constants",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<push_constant> p: u32; {MAIN} {{ out[i] = p; }}"),
            refused(""),
        ),
        entry(
            "a vertex shader",
            "rw:8",
            "1 1 1",
            || "@vertex fn main() -> @builtin(position) vec4f { return vec4f(); }".to_owned(),
            refused(""),
        ),
        entry(
            "64-bit atomics",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(0) @binding(1) var<storage, read_write> a: atomic<u64>; {MAIN} {{ atomicMax(&a, 1lu); out[i] = 1u; }}"
                )
            },
            refused(""),
        ),
    ]
}
