//! What is computed before a kernel runs is the same on every machine, or refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use isobit_shader::{Diagnostic, Kernel, Profile, prepare};
use naga::{Expression, Literal};

/// The builtins that naga computes with the host's functions, or with another number of roundings, where it can, each
/// with arguments.
const INEXACT: [(&str, &[&str]); 19] = [
    ("acos", &["0.3"]),
    ("acosh", &["1.3"]),
    ("asin", &["0.3"]),
    ("asinh", &["0.3"]),
    ("atan", &["0.3"]),
    ("atan2", &["0.3", "0.7"]),
    ("atanh", &["0.3"]),
    ("cos", &["0.3"]),
    ("cosh", &["0.3"]),
    ("exp", &["0.3"]),
    ("exp2", &["0.3"]),
    ("fma", &["0.1", "0.2", "0.3"]),
    ("log", &["0.3"]),
    ("log2", &["0.3"]),
    ("pow", &["0.3", "0.7"]),
    ("sin", &["0.3"]),
    ("sinh", &["0.3"]),
    ("tan", &["0.3"]),
    ("tanh", &["0.3"]),
];

fn kernel(declarations: &str, statements: &str) -> Result<Kernel, Diagnostic> {
    let source = format!(
        "{declarations}
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) {{
            {statements}
        }}"
    );
    prepare(&source, Profile::Dp32)
}

#[track_caller]
fn assert_refused(result: Result<impl Sized, Diagnostic>, name: &str) {
    let Err(Diagnostic { message, location, .. }) = result else { panic!("`{name}` of constants is taken") };
    let why = if name == "fma" { "rounded once, before" } else { "computed before" };
    assert!(message.contains(&format!("`{name}` of constants is {why}")), "{message}");
    assert_eq!(usize::try_from(location.unwrap().length).unwrap(), name.len(), "{message}");
}

#[test]
fn what_the_host_would_compute_is_refused() {
    for (name, args) in INEXACT {
        let call = format!("{name}({})", args.join(", "));
        let of_vectors = format!("{name}({})", args.map_each(|arg| format!("vec3f({arg}, {arg}, {arg})")));
        assert_refused(kernel(&format!("const c = {call};"), "out[0] = c;"), name);
        assert_refused(kernel(&format!("const c: f32 = {call};"), ""), name);
        assert_refused(kernel(&format!("override c: f32 = {call};"), "out[0] = c;"), name);
        assert_refused(kernel(&format!("const_assert {call} < 100.0;"), ""), name);
        assert_refused(kernel("", &format!("out[0] = {call};")), name);
        assert_refused(kernel("", &format!("const c = {call}; out[0] = c;")), name);
        assert_refused(kernel("", &format!("let c = {of_vectors}; out[0] = c.y;")), name);
        assert_refused(kernel("", &format!("out[0] = out[1] * ({call} + 2.0);")), name);
        assert_refused(kernel("", &format!("out[0] = floor({call});")), name);
        assert_refused(kernel(&format!("fn f() -> f32 {{ return {call}; }}"), "out[0] = f();"), name);
        let of_names = args.iter().enumerate().map(|(i, _)| format!("c{i}")).collect::<Vec<_>>().join(", ");
        let names: String = args.iter().enumerate().map(|(i, arg)| format!("const c{i} = {arg};")).collect();
        assert_refused(kernel("", &format!("{names} out[0] = {name}({of_names});")), name);
    }
}

#[test]
fn what_the_kernel_computes_is_taken() {
    for (name, args) in INEXACT {
        let variables: String = args.iter().enumerate().map(|(i, arg)| format!("var v{i} = {arg};")).collect();
        let of_variables = args.iter().enumerate().map(|(i, _)| format!("v{i}")).collect::<Vec<_>>().join(", ");
        kernel("", &format!("{variables} out[0] = {name}({of_variables});")).unwrap();
        let of_memory = args.map_each(|_| "out[id.x]".to_owned());
        kernel("", &format!("out[0] = {name}({of_memory});")).unwrap();
        kernel("", &format!("let {name} = {name}({of_memory}); out[0] = {name} * ({name});")).unwrap();
        kernel("", &format!("if id.x == 0 {{ out[0] += 2.0 * {name} ( {of_memory} ) + 1.0; }}")).unwrap();
        let parameters = args.iter().enumerate().map(|(i, _)| format!("v{i}: f32")).collect::<Vec<_>>().join(", ");
        let function = format!("fn f({parameters}) -> f32 {{ return {name}({of_variables}); }}");
        kernel(&function, &format!("out[0] = f({});", args.join(", "))).unwrap();
    }
    kernel("", "out[0] = pow(2.0, out[1]) + pow(out[1], 2.0);").unwrap();
}

#[test]
fn an_override_is_a_constant_once_it_has_its_value() {
    for (name, args) in INEXACT {
        let declarations: String =
            args.iter().enumerate().map(|(i, arg)| format!("override c{i}: f32 = {arg};")).collect();
        let of_names = args.iter().enumerate().map(|(i, _)| format!("c{i}")).collect::<Vec<_>>().join(", ");
        let kernel = kernel(&declarations, &format!("out[0] = {name}({of_names}) * out[1];")).unwrap();
        let entry_point = kernel.entry_point(None).unwrap();
        assert_refused(kernel.lower(entry_point, &[]), name);
        assert_refused(kernel.lower(entry_point, &[("c0".to_owned(), args[0].parse().unwrap())]), name);
    }
    // What the entry point does not use does not keep it from running.
    let unused = "override c = 0.5; fn unused() -> f32 { return sin(c); }";
    let kernel = kernel(unused, "out[0] = out[1] * c;").unwrap();
    kernel.lower(kernel.entry_point(None).unwrap(), &[]).unwrap();
}

#[test]
fn names_that_are_not_calls_of_the_builtin_do_not_matter() {
    kernel("// sin(0.5)\r/* /* */ sin(0.5) */ /*/ cos(1.0) */", "out[0] = 1.0; // exp(1.0)").unwrap();
    kernel("struct S { sin: f32 } fn mysin(x: f32) -> f32 { return x; }", "out[0] = S(0.5).sin + mysin(0.5);").unwrap();
    kernel("fn sin(x: f32) -> f32 { return x + 1.0; }", "out[0] = sin(0.5);").unwrap();
    kernel("const sine = 0.5;", "let exp = 2; let cos = (exp); out[0] = sine * f32(cos);").unwrap();
}

#[test]
fn no_comment_or_space_hides_a_call() {
    for hidden in [
        "/**/sin(0.5)",
        "/*/**/*/sin/* (0.5) */(0.5)",
        "// \u{2028} sin\u{200e}(\u{85}0.5)",
        "//\u{b}sin\n//\n(0.5)",
        "/*/ sin(out[0]) /*/ */ */ sin(0.5)",
        "sin(sin(out[0])) + sin(0.5)",
        "1.0+sin(0.5)*sin(out[0])",
        "sin(-(0.5))",
        "(sin)(0.5)",
        "(sin<f32>(0.5))",
    ] {
        let result = kernel("", &format!("out[0] = {hidden};"));
        match hidden.starts_with('(') {
            // No WGSL at all.
            true => assert!(result.is_err(), "{hidden:?}"),
            false => assert_refused(result, "sin"),
        }
    }
}

/// The other builtins on floats that naga computes of constants: those of which every host gives the same bits.
#[test]
fn what_is_computed_before_a_kernel_runs_is_exact() {
    let folded = [
        ("abs(-1.5)", 1.5),
        ("min(0.1, 0.2)", 0.1),
        ("max(0.1, 0.2)", 0.2),
        ("clamp(0.3, 0.1, 0.2)", 0.2),
        ("saturate(1.5)", 1.0),
        ("ceil(0.1)", 1.0),
        ("floor(-0.1)", -1.0),
        ("round(2.5)", 2.0),
        ("round(-3.5)", -4.0),
        ("trunc(-2.7)", -2.0),
        ("fract(1.25)", 0.25),
        ("sign(-3.0)", -1.0),
        ("step(0.5, 0.5)", 1.0),
        ("sqrt(2.0)", std::f32::consts::SQRT_2),
        ("inverseSqrt(2.0)", std::f32::consts::FRAC_1_SQRT_2),
        ("radians(180.0)", std::f32::consts::PI),
        ("degrees(1.0)", f32::from_bits(0x4265_2ee1)),
        ("dot(vec2(0.1, 0.2), vec2(0.3, 0.4))", f32::from_bits(0x3de1_47ae)),
        ("cross(vec3(0.1, 0.2, 0.3), vec3(0.4, 0.5, 0.7)).x", f32::from_bits(0xbc23_d70a)),
        ("length(vec3(0.1, 0.2, 0.3))", f32::from_bits(0x3ebf_92a7)),
        ("distance(vec2(0.1, 0.2), vec2(0.4, 0.7))", f32::from_bits(0x3f15_45ba)),
        ("normalize(vec2(3.0, 4.0)).y", 0.8),
    ];
    assert_folded(&folded);
}

/// The rule that docs/dp32.md states: IEEE 754, in f64 if no number has a type and in f32 otherwise, with subnormal numbers.
#[test]
fn constants_are_computed_by_ieee_754_in_their_type() {
    assert_folded(&[
        // Two roundings in f32, one in f64.
        ("0.1f * 10f - 1f", 0.0),
        ("0.1 * 10 - 1", 0.0),
        ("0.1f * 3f", f32::from_bits(0x3e99_999a)),
        ("16777216f + 1f - 16777216f", 0.0),
        ("16777216 + 1 - 16777216.0", 1.0),
        // What lies below 2^-126 on the way is not zero yet.
        ("1e-30f * 1e-9f * 1e9f", f32::from_bits(0x0da2_4262)),
        ("1e-30 * 1e-9 * 1e9", 1e-30),
        ("1e-38f / 4f * 4f", f32::from_bits(0x006c_e3f0)),
        // Exact, where the kernel would compute `x - y * trunc(x / y)`.
        ("1e8f % 0.3f", 1e8 % 0.3),
        ("1e8 % 0.3", f32::from_bits(0x3dcc_cccd)),
        ("-5.5f % 2f", -1.5),
        ("1f / 3f", f32::from_bits(0x3eaa_aaab)),
        ("sqrt(0.1f)", f32::from_bits(0x3ea1_e89b)),
        ("f32(0.1 + 0.2)", 0.3),
        ("dot(vec2f(0.1f, 0.2f), vec2f(0.3f, 0.4f))", 0.1_f32 * 0.3 + 0.2_f32 * 0.4),
    ]);
}

/// A subnormal constant is moved by its bits, and taken for zero by arithmetic.
#[test]
fn a_constant_that_is_subnormal_keeps_its_bits() {
    let constant = "const c = 1e-30f * 1e-9f; out[0] = c; out[1] = c * 1e9f;";
    assert_eq!(lowered_literals(constant), [f32::from_bits(0x0da2_4262)]);
    // A `let` is no constant: the product is the kernel's, and that of zero.
    let variable = "let c = 1e-30f * 1e-9f; out[0] = c; out[1] = c * 1e9f;";
    assert_eq!(lowered_literals(variable), [0.0, 1e9]);
    kernel("", "let c = 0.1f; out[0] = fma(c, 10f, -1f);").unwrap();
}

/// The numbers in a kernel as it is lowered, the smallest first.
fn lowered_literals(statements: &str) -> Vec<f32> {
    let kernel = kernel("", statements).unwrap();
    let lowered = kernel.lower(kernel.entry_point(None).unwrap(), &[]).unwrap();
    let module = lowered.module();
    let functions = module.functions.iter().map(|(_, function)| &function.expressions);
    let expressions = functions.chain([&module.global_expressions]).flat_map(|expressions| expressions.iter());
    let mut literals: Vec<f32> = expressions
        .filter_map(|(_, expression)| match expression {
            Expression::Literal(Literal::F32(value)) => Some(*value),
            _ => None,
        })
        .collect();
    literals.sort_by(f32::total_cmp);
    literals.dedup();
    literals
}

/// Each expression of constants, and what naga makes of it.
#[track_caller]
fn assert_folded(folded: &[(&str, f32)]) {
    let mut failures = Vec::new();
    for &(expression, expected) in folded {
        let kernel = kernel(&format!("const c: f32 = {expression};"), "out[0] = c;").unwrap();
        let (module, _) = kernel.module(&kernel.entry_point(None).unwrap().name).unwrap();
        let (_, constant) = module.constants.iter().next().unwrap();
        let Expression::Literal(Literal::F32(found)) = module.global_expressions[constant.init] else {
            panic!("{expression} is not folded");
        };
        if found.to_bits() != expected.to_bits() {
            failures.push(format!("{expression}: {found} {:#x}, not {expected}", found.to_bits()));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// For arguments.
trait MapEach {
    /// What `f` makes of each, as a list.
    fn map_each(&self, f: impl Fn(&str) -> String) -> String;
}

impl MapEach for &[&str] {
    fn map_each(&self, f: impl Fn(&str) -> String) -> String {
        self.iter().map(|arg| f(arg)).collect::<Vec<_>>().join(", ")
    }
}
