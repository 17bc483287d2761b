//! Kernels that never end, are dispatched too large, or wait for what does not come.

use super::{MAIN, OUT, entry, kernel, refused, with_constants};
use crate::corpus::{Entry, KERNEL_FUEL, words};

pub fn loops() -> Vec<Entry> {
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
        entry("a loop that never ends, in many workgroups", "rw:8", "65535 1 1", || format!("{OUT} {MAIN} {{ while out[i] != 7u {{ out[i] += 2u; }} }}"), KERNEL_FUEL).kernel_fuel(500_000),
        kernel!("a function that calls itself", "rw:8", "fn f(x: u32) -> u32 { return f(x); }", "out[i] = f(i);", refused("error: declaration of `f` is recursive")),
        kernel!("functions that call each other", "rw:8", "fn f(x: u32) -> u32 { return g(x); } fn g(x: u32) -> u32 { return f(x); }", "out[i] = f(i);", refused("error: declaration of `f` is cyclic")),
    ]
}

pub fn dispatches() -> Vec<Entry> {
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
        with_constants(
            entry(
                "a workgroup of none",
                "rw:8",
                "1 1 1",
                sized,
                refused("error: a side of the workgroup is not positive"),
            ),
            "y=0",
        ),
        with_constants(
            entry(
                "a workgroup whose size overflows",
                "rw:8",
                "1 1 1",
                sized,
                refused("error: Entry point main at Compute is invalid"),
            ),
            "x=65536 y=65536 z=65536",
        ),
        with_constants(
            entry(
                "a workgroup of four billion",
                "rw:8",
                "1 1 1",
                sized,
                refused("error: Entry point main at Compute is invalid"),
            ),
            "x=4294967295",
        ),
        with_constants(
            entry(
                "a workgroup of a size below zero",
                "rw:8",
                "1 1 1",
                sized,
                refused(
                    "the value -1 of the override `x` does not fit its type, u32; give it a number from 0 to 4294967295",
                ),
            ),
            "x=-1",
        ),
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
            refused(
                "error: an invocation of `main` has 65540 bytes of private and function variables, more than 65536; keep them in workgroup memory or in a storage buffer",
            ),
        ),
        entry(
            "private memory of 4 GiB",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<private> p: array<u32, 1073741823>; {MAIN} {{ p[i] = 1u; out[i] = p[i]; }}"),
            refused("error: a type has more than 2 GiB"),
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
            refused("error: type is too large"),
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
            refused(
                "an invocation of `main` has 405504 bytes of private and function variables, more than 65536; keep them in workgroup memory or in a storage buffer",
            ),
        ),
    ]
}

pub fn barriers() -> Vec<Entry> {
    vec![
        kernel!(
            "a barrier for some",
            "rw:8",
            "",
            "if i < 4u { workgroupBarrier(); } out[i] = 1u;",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
        ),
        kernel!(
            "a barrier after some have left",
            "rw:8",
            "",
            "if i < 4u { return; } workgroupBarrier(); out[i] = 1u;",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
        ),
        kernel!(
            "a barrier in a loop of other lengths",
            "rw:8",
            "",
            "for (var t = 0u; t < i; t++) { workgroupBarrier(); } out[i] = 1u;",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
        ),
        kernel!(
            "a barrier behind what a buffer says",
            "rw:8",
            "",
            "if out[0] == 0u { workgroupBarrier(); } out[i] = 1u;",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
        ),
        kernel!(
            "a barrier in a function, for some",
            "rw:8",
            "fn meet() { storageBarrier(); }",
            "if i == 0u { meet(); } out[i] = 1u;",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
        ),
        kernel!(
            "a barrier in a switch",
            "rw:8",
            "",
            "switch i { case 0u: { workgroupBarrier(); } default: { } } out[i] = 1u;",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
        ),
        kernel!(
            "a barrier behind a break of some",
            "rw:8",
            "",
            "loop { if i > 3u { break; } workgroupBarrier(); out[i] += 1u; if out[0] > 7u { break; } }",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
        ),
        kernel!(
            "a uniform load for some",
            "rw:8",
            "var<workgroup> w: u32;",
            "if i < 4u { out[i] = workgroupUniformLoad(&w); }",
            refused(
                "error: a barrier must be reached by all invocations of a workgroup or by none, and here that may differ between them"
            )
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
                "error: the value before an atomic differs between devices, and from run to run, as the order of invocations does"
            )
        ),
        kernel!(
            "an exchange",
            "rw:8 rw:1",
            "@group(0) @binding(1) var<storage, read_write> a: atomic<u32>;",
            "out[i] = atomicExchange(&a, i);",
            refused("error: which invocation an exchange comes after differs between devices, and from run to run")
        ),
        kernel!(
            "a lock that is spun on",
            "rw:8 rw:1",
            "@group(0) @binding(1) var<storage, read_write> a: atomic<u32>;",
            "while !atomicCompareExchangeWeak(&a, 0u, 1u).exchanged { } out[i] = 1u;",
            refused("error: which invocation wins a compare-exchange differs between devices, and from run to run")
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
