//! Texts that are expensive to read or to compile, that are no kernels, or that want what a guest must not have.

use std::time::Duration;

use isobit_job::FaultKind;

use super::{MAIN, OUT, entry, refused};
use crate::corpus::{Ends, Entry, words};

/// Kernels that are expensive to look at, or to compile.
pub fn bombs() -> Vec<Entry> {
    fn many(open: &str, close: &str) -> String {
        format!("{}1{}", open.repeat(100_000), close.repeat(100_000))
    }
    vec![
        entry(
            "a hundred thousand parentheses",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ out[0] = {}; }}", many("(", ")")),
            refused("error: more than 4096 operators in one expression"),
        ),
        entry(
            "a hundred thousand blocks",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ {} {} }}", "{".repeat(100_000), "}".repeat(100_000)),
            refused("error: more than 127 blocks within one another"),
        ),
        entry(
            "a hundred thousand signs",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ out[0] = u32({}1); }}", "- ".repeat(100_000)),
            refused("error: more than 4096 operators in one expression"),
        ),
        entry(
            "types within types",
            "rw:8",
            "1 1 1",
            || format!("var<private> a: {}; {OUT} {MAIN} {{ out[i] = 1u; }}", many("array<", ",1>")),
            refused("error: more than 4096 operators in one expression"),
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
            refused("error: a type nests more than 64 types"),
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
            refused("error: this has more than 65536 parts"),
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
            refused(
                "entry point `main` has more than 1048576 expressions when its calls are expanded, as drivers do; use loops instead of repeated calls",
            ),
        ),
        entry(
            "calls nested 200 deep",
            "rw:8",
            "1 1 1",
            || {
                let levels: String = (1..200).map(|level| format!("fn f{level}() {{ f{}(); }} ", level - 1)).collect();
                format!("{OUT} fn f0() {{ out[0] = 1u; }} {levels} {MAIN} {{ f199(); }}")
            },
            refused("entry point `main` has calls nested more than 128 deep; use loops"),
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
            refused("error: the functions up to here are too long to compile"),
        ),
        entry(
            "ten thousand cases",
            "rw:8",
            "1 1 1",
            || {
                let cases: String = (0..10_000).map(|at| format!("case {at}u: {{ out[i] = {at}u; }} ")).collect();
                format!("{OUT} {MAIN} {{ switch i + 100u {{ {cases} default: {{ }} }} }}")
            },
            Ends::Says("error: the functions up to here are too long to compile"),
        )
        .long(),
        entry(
            "more expressions than there may be",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ {} }}", "out[i]=out[i]+1u;".repeat(50_000)),
            refused("error: the functions up to here are too long to compile"),
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
            refused("error: the arrays and structs that are handled as values take more than 1 MiB"),
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
            refused("error: this has more than 65536 parts"),
        ),
        entry(
            "a constant array of four billion",
            "rw:8",
            "1 1 1",
            || format!("const C = array<u32, 4294967295>(); {OUT} {MAIN} {{ out[i] = C[i]; }}"),
            refused("error: the zero values up to here have more than 4194304 elements"),
        ),
        entry(
            "constants that overflow",
            "rw:8",
            "1 1 1",
            || format!("const C = 0x7fffffffi + 1i; {OUT} {MAIN} {{ out[i] = u32(C); }}"),
            refused("error: this is more than its type holds"),
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
            refused("the shader has 1000 compute entry points (m0, m1, …"),
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
            refused("error: the declarations up to here are too long to compile"),
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
            refused("error: `99999999999999999999…"),
        ),
        entry(
            "a sum of ten thousand",
            "rw:8",
            "1 1 1",
            || format!("{OUT} {MAIN} {{ out[i] = {}1u; }}", "out[i] + ".repeat(10_000)),
            refused("error: more than 4096 operators in one expression"),
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
            refused(
                "error: control flow nests 101 deep with all calls inlined, more than the 64 that every driver keeps",
            ),
        ),
    ]
}

/// Texts that are no kernels, or want what a guest must not have.
pub fn texts() -> Vec<Entry> {
    vec![
        entry(
            "no text",
            "rw:8",
            "1 1 1",
            String::new,
            refused("the shader has no compute entry point; mark a function with `@compute @workgroup_size(64)`"),
        ),
        entry(
            "a text of zeros",
            "rw:8",
            "1 1 1",
            || "\0".repeat(1000),
            refused("error: expected a declaration, found `�`"),
        ),
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
            refused("error: @group(3) is not available"),
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
            refused("error: Entry point main at Compute is invalid"),
        ),
        entry(
            "a binding without a number",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<storage, read_write> other: array<u32>; {MAIN} {{ out[i] = other[i]; }}"),
            refused("error: Global variable [1] 'other' is invalid"),
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
            refused("error: @group(4294967295) is not available"),
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
            refused("error: Entry point main at Compute is invalid"),
        ),
        entry(
            "half floats",
            "rw:8",
            "1 1 1",
            || format!("enable f16; {OUT} {MAIN} {{ out[i] = u32(f16(1.0)); }}"),
            refused("error: f16 is not available: not every device has it"),
        ),
        entry(
            "subgroups",
            "rw:8",
            "1 1 1",
            || format!("enable subgroups; {OUT} {MAIN} {{ out[i] = subgroupAdd(i); }}"),
            refused("error: the `subgroups` enable-extension is not yet supported"),
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
            refused("error: textures and samplers are not available"),
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
            refused("error: the `wgpu_ray_query` enable extension is not enabled"),
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
            refused("error: the `wgpu_binding_array` enable extension is not enabled"),
        ),
        entry(
            "push constants",
            "rw:8",
            "1 1 1",
            || format!("{OUT} var<push_constant> p: u32; {MAIN} {{ out[i] = p; }}"),
            refused("error: unknown address space: `push_constant`"),
        ),
        entry(
            "a vertex shader",
            "rw:8",
            "1 1 1",
            || "@vertex fn main() -> @builtin(position) vec4f { return vec4f(); }".to_owned(),
            refused("the shader has no compute entry point; mark a function with `@compute @workgroup_size(64)`"),
        ),
        entry(
            "64-bit atomics",
            "rw:8",
            "1 1 1",
            || {
                format!(
                    "{OUT} @group(0) @binding(1) var<storage, read_write> a: atomic<u64>; {MAIN} {{ atomicMax(&a, u64(1)); out[i] = 1u; }}"
                )
            },
            refused("error: 64-bit integers are not on every device"),
        ),
    ]
}
