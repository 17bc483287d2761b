//! Kernels of many parts, since drivers also have silent limits outside of arithmetic.
//!
//! lavapipe keeps 80 masks of nested control flow and silently drops those beyond; later versions crash there. The pass refuses
//! kernels that nest deeper than [`DEEPEST`], so each shape of control flow is tried as deep as the pass accepts. Other things
//! that a compiler could keep in a table of fixed size are tried up to a number that is stated here. For kernels with more, only spot
//! checks can find errors.

use std::fmt::Write as _;

use isobit_shader::dp32::MAX_CONTROL_DEPTH;
use isobit_shader::{Profile, prepare};

use super::checks::Check;
use super::kernels::{WORKGROUP, kernel_with};

/// The levels of control flow that the pass accepts.
const DEEPEST: usize = MAX_CONTROL_DEPTH as usize;

/// Early exits, cases or branches one after the other. In some drivers they would nest, so the pass writes them in another form.
const ROW: usize = 100;

/// Nested loops. SwiftShader takes a second for eight, and ten times as long for twice as many.
const LOOPS: usize = 8;

/// How many operands each gets: more than there are paths through a kernel.
const OPERANDS: usize = 12 * WORKGROUP * 2;

/// The name, the most parts, and a function that writes the kernel with a number of parts.
type Structure = (&'static str, usize, fn(usize) -> String);

const STRUCTURES: &[Structure] = &[
    ("nested branches", DEEPEST, nested_branches),
    ("nested branches that go on", DEEPEST, nested_branches_with_else),
    ("a chain of else-ifs", ROW, |n| {
        body(n, &(row(n, |k| format!("if k == {k}u {{ r += {}u; }} else ", 7 * k + 1)) + "{ r = 5u; }"))
    }),
    ("a chain of else-ifs that return", ROW, |n| {
        body(n, &(row(n, |k| format!("if k == {k}u {{ return {}u; }} else ", 7 * k + 1)) + "{ r = 5u; }"))
    }),
    ("early returns", ROW, |n| {
        body(n, &row(n, |k| format!("if k == {k}u {{ return r + {}u; }} r += {k}u; ", 7 * k + 1)))
    }),
    ("early returns in branches", DEEPEST, |n| {
        body(
            n,
            &row(n, |k| {
                format!("if k >= {k}u {{ r += 1u; if k == {k}u {{ return r + {}u; }} }} r += {k}u; ", 7 * k + 1)
            }),
        )
    }),
    ("early returns from the entry point", ROW, |n| {
        whole(n, "", &row(n, |k| format!("if k == {k}u {{ result[at] = r + {}u; return; }} r += {k}u; ", 7 * k + 1)))
    }),
    ("early turns of a loop", ROW, |n| {
        looped(n, &row(n, |k| format!("if k == {k}u + j {{ continue; }} r += {}u; ", k + 1)))
    }),
    ("early ends of a loop", ROW, |n| {
        looped(n, &row(n, |k| format!("if k == {k}u + j {{ break; }} r += {}u; ", k + 1)))
    }),
    ("all exits from a loop", ROW, |n| looped(n, &row(n, exit))),
    ("a switch that returns", ROW, |n| body(n, &switch(n, |k| format!("return {}u;", 7 * k + 1)))),
    ("a switch in a loop that goes on", ROW, |n| looped(n, &(switch(n, |_| "continue;".to_owned()) + " r += j + 1u;"))),
    ("a switch with breaks", ROW, |n| {
        body(n, &switch(n, |k| format!("if (u >> 20u) > 9u {{ r = 1u; break; }} r = {k}u;")))
    }),
    ("nested switches", DEEPEST / 2, |n| {
        let open =
            row(n, |k| format!("switch min(k, {}u) {{ case {k}u: {{ r += {}u; }} default: {{ ", k + 1, 7 * k + 1));
        body(n, &(open + &"}}".repeat(n)))
    }),
    ("nested calls with early returns", DEEPEST, |n| {
        calls(n, |k| format!("if k == {k}u {{ return {}u; }} return call{}(k) + 1u;", 7 * k, k + 1))
    }),
    ("nested calls in branches", DEEPEST, |n| {
        calls(n, |k| format!("var r = 1u; if k >= {k}u {{ r = call{}(k) + 1u; }} return r;", k + 1))
    }),
    ("nested calls in loops", LOOPS, |n| {
        calls(n, |k| {
            format!("var r = 1u; for (var j = 0u; j < min(k, 1u); j++) {{ r = call{}(k) + 1u; }} return r;", k + 1)
        })
    }),
    ("nested loops", LOOPS, |n| {
        nest(n, |k| format!("for (var j{k} = 0u; j{k} < min(k, 1u); j{k}++) {{ r += {}u; ", k + 1))
    }),
    ("nested loops with all exits", LOOPS / 2, |n| {
        let inside =
            |k| format!("for (var j{k} = 0u; j{k} < 1u; j{k}++) {{ let j = j{k}; {} ", row(3, |of| exit(3 * k + of)));
        nest(n, inside)
    }),
    ("loops in nested branches", DEEPEST, |n| {
        nest(n, |k| match k % (DEEPEST / LOOPS) {
            0 => format!("for (var j{k} = 0u; j{k} < min(k, 1u); j{k}++) {{ r += {}u; ", k + 1),
            _ => format!("if k > {k}u {{ r ^= {}u; ", 3 * k + 1),
        })
    }),
    ("nested flow of all kinds", 4 * LOOPS, mixed),
    ("a switch of many cases", 256, |n| body(n, &switch(n, |k| format!("r = {}u;", 7 * k + 1)))),
    ("a switch of scattered cases", 256, |n| {
        let cases = row(n, |k| format!("case {}u: {{ r = {k}u; }} ", scattered(k)));
        body(n, &format!("switch k * {}u {{ {cases} default: {{ r = 9u; }} }}", scattered(1)))
    }),
    ("many branches", 256, |n| {
        body(n, &row(n, |k| format!("if k > {k}u {{ r = r * 3u + 1u; }} else {{ r ^= {k}u; }} ")))
    }),
    ("many loops", 10, |n| {
        body(n, &row(n, |k| format!("for (var j = 0u; j < (u >> 20u) % 4u; j++) {{ r = r * 3u + {k}u; }} ")))
    }),
    ("many statements", 512, |n| body(n, &row(n, |k| format!("r = r * 5u + (k ^ {k}u); ")))),
    ("many functions", 128, |n| {
        let functions = row(n, |k| {
            format!("fn call{k}(x: u32) -> u32 {{ if x == {k}u {{ return 7u; }} return x * 3u + {k}u; }}\n")
        });
        with(n, &functions, &row(n, |k| format!("r = call{k}(r ^ k); ")))
    }),
    ("many parameters", 64, |n| {
        let list = |part: fn(usize) -> String| (0..n).map(part).collect::<Vec<_>>().join(", ");
        let all = row(n, |k| format!("r = r * 3u + a{k}; "));
        let function = format!("fn many({}) -> u32 {{ var r = 0u; {all} return r; }}", list(|k| format!("a{k}: u32")));
        with(n, &function, &format!("r = many({});", list(|k| format!("k + {k}u"))))
    }),
    ("many variables", 128, |n| {
        let declared =
            row(n, |k| format!("var a{k} = k ^ {k}u; ")) + &row(n, |k| format!("if r > {k}u {{ a{k} += r; }} "));
        body(n, &(declared + &row(n, |k| format!("r = r * 3u + a{}; ", k * 7 % n))))
    }),
    ("many variables of a loop", 64, |n| {
        let declared = row(n, |k| format!("var a{k} = k ^ {k}u; "));
        let turn = row(n, |k| format!("if (k + j) % 3u == {}u {{ a{k} += a{} + j; }} ", k % 3, (k + 1) % n));
        let used = row(n, |k| format!("r = r * 3u + a{k}; "));
        body(n, &format!("{declared} for (var j = 0u; j < 3u + (k & 1u); j++) {{ {turn} }} {used}"))
    }),
    ("many private variables", 128, |n| {
        let used = row(n, |k| format!("p{k} += r ^ k; r = r * 3u + p{}; ", k * 7 % n));
        with(n, &row(n, |k| format!("var<private> p{k}: u32 = {k}u;\n")), &used)
    }),
    ("a long array", 64, |n| array(n, "", &format!("var a: array<u32, {n}>;"))),
    ("a long private array", 64, |n| array(n, &format!("var<private> a: array<u32, {n}>;"), "")),
    ("a long table", 64, |n| {
        let table = (0..n).map(|k| format!("{}u", scattered(k))).collect::<Vec<_>>().join(", ");
        with(n, &format!("const T = array<u32, {n}>({table});"), &format!("r = T[k % {n}u] ^ T[(k * 7u) % {n}u];"))
    }),
    ("a large structure", 64, |n| {
        let members = row(n, |k| format!("m{k}: u32, "));
        let filled = row(n, |k| format!("s.m{k} = k ^ {k}u; "));
        let declared = format!("struct S {{ {members} }}\nfn made(k: u32) -> S {{ var s: S; {filled} return s; }}");
        with(n, &declared, &format!("let s = made(k); {}", row(n, |k| format!("r = r * 3u + s.m{k}; "))))
    }),
    ("a large workgroup", 1024, |n| {
        let last = n - 1;
        let body = format!(
            "w[l * 2u] = k; w[{last}u - l] = u; workgroupBarrier();
            r ^= w[(l * 61u) % {n}u] ^ w[{last}u - (l + 1u) % {WORKGROUP}u];"
        );
        uniform(n, &format!("var<workgroup> w: array<u32, {n}>;"), &body)
    }),
    ("many barriers", 32, |n| {
        let step = |k| {
            format!("w[l] = r + k; workgroupBarrier(); r = r * 3u + w[(l + {k}u) % {WORKGROUP}u]; workgroupBarrier(); ")
        };
        uniform(n, &format!("var<workgroup> w: array<u32, {WORKGROUP}>;"), &row(n, step))
    }),
];

/// Structures made of arithmetic. With integers only, drivers take minutes to compile them.
const ARITHMETIC: &[Structure] = &[
    ("many sums and products", 256, |n| {
        let sums = row(n, |k| format!("f = f * 0.9 + {k}.5; "));
        body(n, &format!("var f = f32(k); {sums} r = bitcast<u32>(f);"))
    }),
    ("many values at once", 128, |n| {
        let made = row(n, |k| format!("let a{k} = vec4f(f32(k), x, {k}.5, 1.5) * {k}.25; "));
        let used = row(n, |k| format!("f = f * 0.5 + a{}; ", n - 1 - k));
        body(n, &format!("{made} var f = vec4f(); {used} r = bitcast<u32>(f.x + f.y + f.z + f.w);"))
    }),
];

/// The checks of all structures, each with as many parts as the pass accepts. Those made of arithmetic are only included if
/// `native`.
pub(super) fn checks(native: bool) -> Vec<Check> {
    let check = |(name, most, kernel): &Structure| {
        let parts = accepted(*most, *kernel);
        Check { name: format!("{name} ({parts})"), wgsl: kernel(parts), width: 1, count: OPERANDS }
    };
    let arithmetic = if native { ARITHMETIC } else { &[] };
    STRUCTURES.iter().chain(arithmetic).map(check).collect()
}

/// The largest number of parts, up to `most`, with which the pass accepts a kernel.
fn accepted(most: usize, kernel: fn(usize) -> String) -> usize {
    let accepts = |parts: usize| {
        let lowered = prepare(&kernel(parts), Profile::Dp32).and_then(|kernel| kernel.resolve(None, &[])?.lower());
        lowered.is_ok()
    };
    if accepts(most) {
        return most;
    }
    let (mut least, mut refused) = (1, most);
    while refused - least > 1 {
        let middle = usize::midpoint(least, refused);
        if accepts(middle) { least = middle } else { refused = middle }
    }
    least
}

/// A number that is far from those of neighbouring parts.
fn scattered(part: usize) -> u32 {
    u32::try_from(part).unwrap_or(0).wrapping_mul(1_000_003)
}

fn row(parts: usize, part: impl FnMut(usize) -> String) -> String {
    (0..parts).map(part).collect()
}

/// A kernel that chooses one of its parts, or none of them, by `k` and makes `r` of it.
fn body(parts: usize, body: &str) -> String {
    with(parts, "", body)
}

fn with(parts: usize, declarations: &str, body: &str) -> String {
    kernel_with(1, declarations, &format!("let k = u % {}u; var r = 0u;\n    {body}\n    return r ^ k;", parts + 3))
}

/// The same in three iterations of a loop.
fn looped(parts: usize, turn: &str) -> String {
    body(parts, &format!("for (var j = 0u; j < 3u; j++) {{ {turn} }}"))
}

/// A way out of a loop with a counter `j`, or of the function.
fn exit(part: usize) -> String {
    let way = ["break;", "continue;", "return r;"].get(part % 3).copied().unwrap_or_default();
    format!("if k == {part}u + j {{ {way} }} r += {}u; ", part + 1)
}

fn switch(parts: usize, case: impl Fn(usize) -> String) -> String {
    let cases = row(parts, |k| format!("case {k}u: {{ {} }} ", case(k)));
    format!("switch k {{ {cases} default: {{ r += 9u; }} }}")
}

fn nest(parts: usize, open: impl FnMut(usize) -> String) -> String {
    body(parts, &(row(parts, open) + &"}".repeat(parts)))
}

fn nested_branches(parts: usize) -> String {
    // Stores keep drivers from turning the branches into selects.
    let open = row(parts, |k| format!("if k > {k}u {{ r += {}u; result[at] = r; ", 7 * k + 1));
    whole(parts, "", &(open + &"}".repeat(parts)))
}

fn nested_branches_with_else(parts: usize) -> String {
    let open = row(parts, |k| format!("if k > {k}u {{ r += {}u; ", 7 * k + 1));
    let close = row(parts, |k| format!("result[at] = r; }} else {{ r ^= {}u; }} ", 3 * k + 1));
    whole(parts, "", &(open + &close))
}

/// A chain of functions, each of which calls the next.
fn calls(parts: usize, function: impl Fn(usize) -> String) -> String {
    let mut functions = format!("fn call{parts}(k: u32) -> u32 {{ return k + 1u; }}\n");
    for k in (0..parts).rev() {
        let _ = writeln!(functions, "fn call{k}(k: u32) -> u32 {{ {} }}", function(k));
    }
    with(parts, &functions, "r = call0(k);")
}

fn mixed(parts: usize) -> String {
    let mut ends = String::new();
    let open = row(parts, |k| {
        let (open, end) = match k % 4 {
            0 => (format!("if k > {k}u {{ r += 1u; "), "}"),
            1 => (format!("for (var j{k} = 0u; j{k} < 1u; j{k}++) {{ if k == {k}u {{ break; }} r += 3u; "), "}"),
            2 => (format!("switch k {{ case {k}u: {{ r = 2u; }} default: {{ "), "}}"),
            _ => (format!("if k == {k}u {{ return r; }} else {{ r += 5u; "), "}"),
        };
        ends.insert_str(0, end);
        open
    });
    body(parts, &(open + &ends))
}

fn array(parts: usize, declarations: &str, local: &str) -> String {
    let fill = format!("for (var j = 0u; j < 9u; j++) {{ a[(k * 37u + j * 7u) % {parts}u] = k + j; }}");
    let read = format!("for (var j = 0u; j < 9u; j++) {{ r = r * 31u + a[(k * 37u + j * 5u) % {parts}u]; }}");
    with(parts, declarations, &format!("{local} {fill} {read}"))
}

/// A kernel whose code is all in the entry point. `at` is its index in `result`, where it stores `r` at the end.
fn whole(parts: usize, declarations: &str, body: &str) -> String {
    let body = format!("if at >= arrayLength(&result) {{ return; }}\n    {body}");
    uniform(parts, declarations, &body)
}

/// As [`whole`], for kernels with barriers: all invocations of a workgroup have operands.
fn uniform(parts: usize, declarations: &str, body: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read> first: array<u32>;
@group(0) @binding(1) var<storage, read> second: array<u32>;
@group(0) @binding(2) var<storage, read> third: array<u32>;
@group(0) @binding(3) var<storage, read_write> result: array<u32>;
{declarations}
@compute @workgroup_size({WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) l: u32) {{
    let at = id.x; let u = first[at]; let k = u % {}u; var r = (second[at] ^ third[at]) & 1u;
    {body}
    result[at] = r ^ k;
}}
",
        parts + 3
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_structure_is_tried_with_all_its_parts() {
        for (name, most, kernel) in STRUCTURES.iter().chain(ARITHMETIC) {
            let parts = accepted(*most, *kernel);
            assert!(2 * parts > *most, "{name}: the pass accepts {parts} parts of {most}");
        }
    }

    #[test]
    fn as_many_parts_are_tried_as_the_pass_accepts() {
        // WGSL allows 255 parameters.
        let (_, _, parameters) =
            STRUCTURES.iter().find(|(name, ..)| *name == "many parameters").unwrap_or(&STRUCTURES[0]);
        for most in [255, 256, 300, 510, 511, 512, 2000] {
            assert_eq!(accepted(most, *parameters), 255, "of {most}");
        }
        assert_eq!(accepted(1, *parameters), 1);
    }
}
