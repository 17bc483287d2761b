//! The checks of the probe, in the order of cost.

use super::kernels::{BUILTINS, PRIMITIVES, VECTOR_BUILTINS, kernel, kernel_with};
use super::{OPERANDS, WORKGROUP, programs, structure};

/// How many operands a shape of code gets, and how many a random program.
const SHAPE_OPERANDS: usize = 12 * WORKGROUP * 64;
const PROGRAM_OPERANDS: usize = 12 * WORKGROUP * 4;

/// How many random programs there are of each width.
const PROGRAMS: u64 = 12;

/// The seeds of the random programs that are tried with integers: those that drivers still compile within a few seconds.
const SHORT_PROGRAMS: [u64; 6] = [1, 5, 9, 14, 22, 23];

/// A kernel whose results must be right.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) wgsl: String,
    /// How many components an invocation computes.
    pub(super) width: usize,
    /// How many operands are used, a multiple of the width.
    pub(super) count: usize,
}

/// Code that drivers may try to fuse, rearrange or simplify: name, declarations, body.
const SHAPES: &[(&str, &str, &str)] = &[
    ("a product in a sum", "", "return bitcast<U>(x * y + z);"),
    ("a product in a difference", "", "return bitcast<U>(z - x * y) ^ (bitcast<U>(x * y - z) << U(1u));"),
    ("two products in a sum", "", "return bitcast<U>(x * y + y * z);"),
    ("a negated product in a sum", "", "return bitcast<U>(-(x * y) + z) ^ (bitcast<U>(-x * y - z) << U(1u));"),
    ("a product of a function in a sum", "fn product(a: F, b: F) -> F { return a * b; }", "return bitcast<U>(product(x, y) + z);"),
    (
        "a product of a function in a function's sum",
        "fn product(a: F, b: F) -> F { return a * b; }
fn sum(a: F, b: F) -> F { if a.x_or == b.x_or { return a + b; } return a + b; }",
        "return bitcast<U>(sum(product(x, y), z));",
    ),
    ("sums of products in a loop that unrolls", "", "var s = z; for (var k = 0; k < 4; k++) { s += x * y; s = s * y + x; } return bitcast<U>(s);"),
    (
        "sums of products in a loop",
        "",
        "var s: F; for (var k = arrayLength(&first) % 7u + 3u; k > 0u; k--) { s = s * x + y; } return bitcast<U>(s);",
    ),
    ("a polynomial", "", "return bitcast<U>(((x * F(0.3) + F(0.7)) * x - F(1.3)) * x + F(0.1));"),
    ("what a sum loses", "", "let s = x + y; let t = s - x; return bitcast<U>((x - (s - t)) + (y - t));"),
    (
        "what a product loses",
        "fn upper(a: F) -> F { let c = a * F(4097.0); return c - (c - a); }",
        "let p = x * y; let a = upper(x); let b = upper(y); let c = x - a; let d = y - b;
    return bitcast<U>(((a * b - p) + a * d + c * b) + c * d);",
    ),
    (
        "a compensated sum",
        "",
        "var s = x; var c = F(0.0); for (var k = 0; k < 5; k++) { let t = select(y, z, B((k & 1) == 0)) - c; let n = s + t;
        c = (n - s) - t; s = n; } return bitcast<U>(s) ^ bitcast<U>(c);",
    ),
    ("a sum less one part", "", "return bitcast<U>(x + y - x) ^ (bitcast<U>(x + y - y) << U(1u));"),
    ("sums in two orders", "", "return bitcast<U>((x + y) + z) ^ (bitcast<U>(x + (y + z)) << U(1u));"),
    ("products in two orders", "", "return bitcast<U>((x * y) * z) ^ (bitcast<U>(x * (y * z)) << U(1u));"),
    ("a common factor", "", "return bitcast<U>(x * y + x * z) ^ (bitcast<U>(x * (y + z)) << U(1u));"),
    ("a quotient times its divisor", "", "return bitcast<U>((x / y) * y) ^ (bitcast<U>(x * (F(1.0) / y)) << U(1u));"),
    ("quotients by constants", "", "return bitcast<U>(x / F(3.0)) ^ (bitcast<U>(x / F(10.0) / F(7.0)) << U(1u));"),
    ("a square of a root", "", "return bitcast<U>(sqrt(x) * sqrt(x)) ^ (bitcast<U>(sqrt(x * x)) << U(1u));"),
    ("powers", "", "return bitcast<U>(x * x * x * x) ^ (bitcast<U>(x * x * x * x * x) << U(1u));"),
    ("products with magnitudes", "", "return bitcast<U>(abs(x) * abs(y)) ^ (bitcast<U>(-x * -y + -z) << U(1u));"),
    ("a negated difference", "", "return bitcast<U>(-(x - y)) ^ (bitcast<U>(F(0.0) - x) << U(1u));"),
    ("what is behind the point", "", "return bitcast<U>(x - floor(x)) ^ (bitcast<U>(x - trunc(x)) << U(1u));"),
    ("there and back", "", "return bitcast<U>(F(I(x))) ^ (bitcast<U>(F(U(x))) << U(1u)) ^ U(F(u)) ^ bitcast<U>(I(F(i)));"),
    ("products with opened zeros", "", "var s: F; var t = F(0.0); t = t * x; s = s * y; return bitcast<U>(t) ^ (bitcast<U>(s + t) << U(1u));"),
    ("products with chosen constants", "", "return bitcast<U>(x * select(F(0.0), F(1.0), y < z)) ^ (bitcast<U>(x + select(F(0.0), F(-1.0), y < z)) << U(1u));"),
    ("comparisons turned round", "", "return select(U(0u), U(1u), !(x < y)) | select(U(0u), U(2u), !(x <= y)) | select(U(0u), U(4u), !(x == y))
        | select(U(0u), U(8u), !(x > y) & !(y > x)) | select(U(0u), U(16u), x == x) | select(U(0u), U(32u), x - y < F(0.0));"),
    ("choices that look like min and max", "", "return bitcast<U>(select(y, x, x < y)) ^ (bitcast<U>(select(x, y, x < y)) << U(1u))
        ^ (bitcast<U>(select(F(0.0), x, x > F(0.0))) << U(2u)) ^ (bitcast<U>(select(x, F(1.0), F(1.0) < x)) << U(3u));"),
    ("constants", "", "let a = F(0.1) + F(0.2); let b = F(1.0) / F(3.0); let c = F(16777216.0) + F(1.0); let d = F(1e-30) * F(1e-8);
    return bitcast<U>(a * x) ^ bitcast<U>(b * y) ^ bitcast<U>(c - x) ^ bitcast<U>(d + z) ^ bitcast<U>(d);"),
    (
        "products kept in private memory",
        "var<private> kept: F; var<private> other = F(0.0);",
        "other = other * y; kept = x * y; let s = kept + z; kept += other; return bitcast<U>(s) ^ (bitcast<U>(kept) << U(1u));",
    ),
    (
        "products kept in an array",
        "",
        "var a: array<F, 4>; for (var k = 0u; k < 8u; k++) { a[k & 3u] = a[(k + 1u) & 3u] * x + y; } return bitcast<U>(a[0] + a[1] * z + a[2]) ^ bitcast<U>(a[3]);",
    ),
    (
        "what only one branch needs",
        "",
        "let p = x * y; var s = z; if all(x < y) { s = p + z; } else if all(y < z) { s = p - z; } return bitcast<U>(s) ^ bitcast<U>(p);",
    ),
];

/// All checks, the cheap ones first.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |name: String, wgsl: String, width: usize, count: usize| {
        checks.push(Check { name, wgsl, width, count });
    };
    for (index, (name, expression)) in PRIMITIVES.iter().enumerate() {
        add((*name).to_owned(), kernel(1, expression), 1, OPERANDS);
        let width = 2 + index % 3;
        add(format!("{name}, {width} at a time"), kernel(width, expression), width, SHAPE_OPERANDS);
    }
    for (name, declarations, body) in SHAPES {
        for width in [1, 4] {
            // The first component, for vectors.
            let declarations = declarations.replace(".x_or", if width == 1 { "" } else { ".x" });
            let name = if width == 1 { (*name).to_owned() } else { format!("{name}, {width} at a time") };
            add(name, kernel_with(width, &declarations, body), width, SHAPE_OPERANDS);
        }
    }
    checks.extend(structure::checks(true));
    let mut add = |name: String, wgsl: String, width: usize, count: usize| {
        checks.push(Check { name, wgsl, width, count });
    };
    for (name, expression) in VECTOR_BUILTINS {
        add((*name).to_owned(), kernel(3, expression), 3, OPERANDS);
    }
    for (name, expression) in BUILTINS {
        add((*name).to_owned(), kernel(1, expression), 1, OPERANDS);
    }
    checks.extend((0..2 * PROGRAMS).map(random_program));
    checks
}

/// The checks for arithmetic with integers. There are fewer: drivers can get less wrong there, and have more to compile.
pub(super) fn short_checks() -> Vec<Check> {
    let primitives = PRIMITIVES.iter().map(|(name, expression)| Check {
        name: (*name).to_owned(),
        wgsl: kernel(1, expression),
        width: 1,
        count: SHAPE_OPERANDS,
    });
    primitives.chain(structure::checks(false)).chain(SHORT_PROGRAMS.into_iter().map(random_program)).collect()
}

fn random_program(seed: u64) -> Check {
    let width = if seed.is_multiple_of(2) { 1 } else { 3 };
    let (declarations, body) = programs::program(seed);
    let wgsl = kernel_with(width, &declarations, &body);
    Check { name: format!("random program {seed}"), wgsl, width, count: PROGRAM_OPERANDS }
}
