//! What is computed before a kernel runs: WGSL's constants, by the definitions that the kernel has, the same on every host.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{Diagnostic, Kernel, KernelError, Profile, prepare};

/// The builtins that have a definition of many steps, each with arguments.
const ELEMENTARY: [(&str, &[&str]); 19] = [
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
    ("fma", &["0.1f", "0.2", "0.3"]),
    ("log", &["0.3"]),
    ("log2", &["0.3"]),
    ("pow", &["0.3", "0.7"]),
    ("sin", &["0.3"]),
    ("sinh", &["0.3"]),
    ("tan", &["0.3"]),
    ("tanh", &["0.3"]),
];

fn source(declarations: &str, statements: &str) -> String {
    format!(
        "{declarations}
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;
        @group(0) @binding(1) var<storage, read_write> words: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) {{
            {statements}
        }}"
    )
}

fn kernel(declarations: &str, statements: &str) -> Result<Kernel, Diagnostic> {
    prepare(&source(declarations, statements), Profile::Dp32).map_err(KernelError::diagnostic)
}

/// The bits in `out` and in `words` after a kernel has run; both begin as zeros.
fn run_with(declarations: &str, statements: &str, overrides: &[(&str, f64)]) -> [Vec<u32>; 2] {
    let kernel =
        kernel(declarations, statements).unwrap_or_else(|error| panic!("{declarations} {statements}\n{error}"));
    let overrides: Vec<_> = overrides.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let lowered = kernel.resolve(None, &overrides).and_then(|kernel| kernel.lower()).unwrap();
    let program = Program::compile(lowered.module(), lowered.info()).unwrap();
    let zeros = || -> Vec<AtomicU32> { (0..16).map(|_| AtomicU32::new(0)).collect() };
    let memory = [zeros(), zeros()];
    let system = SystemBuffers::new(SystemParams::whole([1; 3]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &memory[0]).bind(0, 1, &memory[1]).bind_system(&system);
    program.run(&buffers, [1; 3], &AtomicBool::new(false)).unwrap();
    memory.map(|words| words.iter().map(|word| word.load(Ordering::Relaxed)).collect())
}

fn run(declarations: &str, statements: &str) -> [Vec<u32>; 2] {
    run_with(declarations, statements, &[])
}

/// Each expression, and the f32 that it is.
#[track_caller]
fn assert_floats(expected: &[(&str, f32)]) {
    let mut failures = Vec::new();
    for &(expression, value) in expected {
        let found = f32::from_bits(run(&format!("const c: f32 = {expression};"), "out[0] = c;")[0][0]);
        if found.to_bits() != value.to_bits() {
            failures.push(format!("{expression}: {found} {:#x}, not {value}", found.to_bits()));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Each expression of the type u32, and its value.
#[track_caller]
fn assert_words(expected: &[(&str, u32)]) {
    let mut failures = Vec::new();
    for &(expression, value) in expected {
        let found = run("", &format!("const c: u32 = {expression}; words[0] = c;"))[1][0];
        if found != value {
            failures.push(format!("{expression}: {found:#x}, not {value:#x}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Refused at `marked`, with a message that has `part`.
#[track_caller]
fn assert_refused(declarations: &str, statements: &str, marked: &str, part: &str) {
    let Err(error) = kernel(declarations, statements) else { panic!("accepted: {declarations} {statements}") };
    assert!(error.message.contains(part) && error.message.contains('^'), "no {part}:\n{error}");
    let source = source(declarations, statements);
    let location = error.location.unwrap();
    let (start, length) = (location.offset as usize, location.length as usize);
    assert_eq!(&source[start..start + length], marked, "{error}");
}

#[test]
fn elementary_functions_of_constants_are_what_the_kernel_computes() {
    for (name, arguments) in ELEMENTARY {
        let call = format!("{name}({})", arguments.join(", "));
        let variables: String =
            arguments.iter().enumerate().map(|(index, argument)| format!("var v{index} = {argument};")).collect();
        let of_variables = (0..arguments.len()).map(|index| format!("v{index}")).collect::<Vec<_>>().join(", ");
        let [expected, _] = run("", &format!("{variables} out[0] = {name}({of_variables});"));
        assert_ne!(expected[0], 0, "{name}");
        let of_vectors = arguments.iter().map(|argument| format!("vec3f({argument})")).collect::<Vec<_>>().join(", ");
        for (declarations, statements) in [
            (format!("const c = {call};"), "out[0] = c;".to_owned()),
            (format!("const c: f32 = {call};"), "out[0] = c;".to_owned()),
            (format!("override c: f32 = {call};"), "out[0] = c;".to_owned()),
            (format!("var<private> c: f32 = {call};"), "out[0] = c;".to_owned()),
            (String::new(), format!("out[0] = {call};")),
            (String::new(), format!("let c = {call}; out[0] = c;")),
            (String::new(), format!("let c = {name}({of_vectors}); out[0] = c.y;")),
            (format!("fn f() -> f32 {{ return {call}; }}"), "out[0] = f();".to_owned()),
        ] {
            assert_eq!(run(&declarations, &statements)[0][0], expected[0], "{declarations} {statements}");
        }
    }
}

#[test]
fn names_that_are_not_calls_of_the_builtin_do_not_matter() {
    kernel("// sin(0.5)\r/* /* */ sin(0.5) */ /*/ cos(1.0) */", "out[0] = 1.0; // exp(1.0)").unwrap();
    let [out, _] =
        run("struct S { sin: f32 } fn mysin(x: f32) -> f32 { return x; }", "out[0] = S(0.5).sin + mysin(0.5);");
    assert_eq!(f32::from_bits(out[0]), 1.0);
    let [out, _] = run("fn sin(x: f32) -> f32 { return x + 1.0; }", "out[0] = sin(0.5);");
    assert_eq!(f32::from_bits(out[0]), 1.5);
    let [out, _] = run("const sine = 0.5;", "let exp = 2; let cos = (exp); out[0] = sine * f32(cos);");
    assert_eq!(f32::from_bits(out[0]), 1.0);
    let [out, _] = run("const max = 3.0;", "const min = max + 1.0; { const min = 1.0; out[1] = min; } out[0] = min;");
    assert_eq!([out[0], out[1]].map(f32::from_bits), [4.0, 1.0]);
}

#[test]
fn builtins_of_constants_are_exact_where_they_have_one_answer() {
    assert_floats(&[
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
        ("pow(2.0, 16.0)", 65536.0),
        ("mix(1.0, 2.0, 0.25)", 1.25),
        ("mix(vec2(1.0), vec2(2.0, 3.0), 0.5).y", 2.0),
        ("smoothstep(0.0, 1.0, 0.5)", 0.5),
        ("frexp(6.0).fract", 0.75),
        ("f32(frexp(-6.0).exp)", 3.0),
        ("modf(-1.25).fract", -0.25),
        ("modf(vec2(1.25, -3.5)).whole.y", -3.0),
        ("ldexp(0.75, 3)", 6.0),
        ("transpose(mat2x3(1.0, 2.0, 3.0, 4.0, 5.0, 6.0))[2].y", 6.0),
        ("determinant(mat2x2(1, 2, 3, 4.0))", -2.0),
        ("(mat2x2(1, 2, 3, 4) * vec2(1.0, 10.0)).y", 42.0),
        ("bitcast<f32>(0x3f800000)", 1.0),
        ("unpack2x16float(0x3c004000u).y", 1.0),
        ("unpack4x8unorm(0xff000000).w", 1.0),
        ("quantizeToF16(1.0009765625)", 1.000_976_6),
        ("faceForward(vec2(1.0, 2.0), vec2(1.0, 0.0), vec2(1.0, 0.0)).y", -2.0),
        ("reflect(vec2(1.0, -1.0), vec2(0.0, 1.0)).y", 1.0),
    ]);
    assert_words(&[
        ("pack4x8unorm(vec4(0, 1, 0.5, 1))", 0xff80_ff00),
        ("pack2x16float(vec2(1.0, -2.0))", 0xc000_3c00),
        ("pack4xU8(vec4(1, 2, 3, 4u))", 0x0403_0201),
        ("pack4xI8Clamp(vec4(-1000, 1000, 1, -1))", 0xff01_7f80),
        ("unpack4xU8(0x04030201).z", 3),
        ("u32(unpack4xI8(0xffu).x + 2)", 1),
        ("u32(dot4I8Packed(0x01020304, 0x01010101))", 10),
        ("bitcast<u32>(-1.0)", 0xbf80_0000),
        ("bitcast<u32>(0xffffffff)", 0xffff_ffff),
        ("bitcast<vec2<u32>>(vec2(1.0, 2.0)).y", 0x4000_0000),
        ("u32(countOneBits(7) + firstLeadingBit(-1) + 2)", 4),
        ("reverseBits(1u)", 0x8000_0000),
        ("extractBits(0xabcdu, 4, 8)", 0xbc),
        ("insertBits(0u, 0xfu, 8, 4)", 0xf00),
        ("u32(dot(vec3(1, 2, 3), vec3(4, 5, 6)))", 32),
        ("select(1u, 2, true)", 2),
        ("u32(all(vec2(true)) && !any(vec2<bool>()))", 1),
    ]);
}

/// Those that naga's own evaluation gets wrong, does not know, or fails on.
#[test]
fn what_is_composed_of_vectors_and_zero_values_has_all_its_parts() {
    assert_words(&[
        ("vec4(vec2u(), vec2u(7, 8)).y", 0),
        ("vec4(vec2u(), vec2u(7, 8)).z", 7),
        ("vec4(vec2u(), vec2u(7)).wxzy.x", 7),
        ("vec4(vec2u(), vec2u(7)).wxzy.w", 0),
        ("vec4(vec2u(), vec2u(7, 8))[3]", 8),
        ("select(vec3(vec2u(1, 2), 3), vec3(4u, vec2u(5, 6)), vec3(vec2(true, false), true)).y", 2),
        ("select(vec3(vec2u(1, 2), 3), vec3(4u, vec2u(5, 6)), vec3(vec2(true, false), true)).z", 6),
        ("(vec3(vec2u(), 5) + vec3(1, vec2u(2, 3))).z", 8),
        ("vec3<u32>(vec3(vec2(), 1.5)).z", 1),
        ("u32(mat2x2(vec2(), vec2(1, 2))[1][0])", 1),
        ("array(vec2u(), vec2u(1, 2))[1].y", 2),
        ("array<vec2u, 3>()[2].y", 0),
        ("u32(vec2(vec2(1.0, 2.0)).y)", 2),
    ]);
    let [_, words] = run(
        "const C = vec3(vec2u(), 5u); const D = C.y; var<private> p: u32 = vec4(vec3u(), 9u).y; \
         var<private> q = vec4(vec3u(), 9u); struct S { a: vec2u, b: array<u32, 2> } \
         const T = array(S(vec2u(1, 2), array(3u, 4)), S());",
        "var i = 1u; words[0] = D; words[1] = C[i]; words[2] = p; words[3] = q.w; words[4] = q[i]; var c = C; \
         words[5] = c.y; words[6] = c.z; words[7] = T[0].b[1]; words[8] = T[i].a.y; words[9] = T[i - 1].a.y; \
         let d = vec4(vec3u(), 6u); words[10] = d[i + 2u]; const e = T[0]; words[11] = e.b[i]; \
         words[12] = array(vec2u(), vec2u(1, 2))[i].y;",
    );
    assert_eq!(words[..13], [0, 0, 0, 9, 0, 0, 5, 4, 0, 2, 6, 4, 2]);
}

/// The rule that docs/dp32.md states: without a type in f64, otherwise as the kernel does it.
#[test]
fn constants_with_a_type_are_computed_as_the_kernel_does() {
    assert_floats(&[
        // Two roundings in f32, one in f64.
        ("0.1f * 10f - 1f", 0.0),
        ("0.1 * 10 - 1", 0.0),
        ("0.1f * 3f", f32::from_bits(0x3e99_999a)),
        ("16777216f + 1f - 16777216f", 0.0),
        ("16777216 + 1 - 16777216.0", 1.0),
        // What is too small on the way is zero in f32, but not in f64.
        ("1e-30f * 1e-9f * 1e9f", 0.0),
        ("1e-30 * 1e-9 * 1e9", 1e-30),
        ("1e-38f / 4f * 4f", 0.0),
        // `x - y * trunc(x / y)` in the kernel, exact in f64.
        ("1e8f % 0.3f", 0.0),
        ("1e8 % 0.3", f32::from_bits(0x3dcc_cccd)),
        ("-5.5f % 2f", -1.5),
        ("1f / 3f", f32::from_bits(0x3eaa_aaab)),
        ("sqrt(0.1f)", f32::from_bits(0x3ea1_e89b)),
        ("f32(0.1 + 0.2)", 0.3),
        ("dot(vec2f(0.1f, 0.2f), vec2f(0.3f, 0.4f))", 0.1_f32 * 0.3 + 0.2_f32 * 0.4),
        ("fma(0.1f, 10f, -1f)", 0.0),
        // Of numbers without a type, elementary functions are those of the nearest f32.
        ("sin(0.5) - sin(0.5f)", 0.0),
        // A zero has no sign.
        ("-0.0", 0.0),
        ("-(0.0f)", 0.0),
        ("0f * -1f", 0.0),
    ]);
}

#[test]
fn integers_wrap_or_are_refused_as_wgsl_says() {
    assert_words(&[
        ("4294967295u + 1", 0),
        ("0u - 1", u32::MAX),
        ("0x80000000u * 2", 0),
        ("u32(-1i)", u32::MAX),
        ("u32(i32(3000000000u) + 1)", 3_000_000_001),
        ("u32(-(-2147483647 - 1) - 1)", 0x7fff_ffff),
        ("u32(9223372036854775807 % 1000)", 807),
        ("u32(-7 / 2 + 10)", 7),
        ("u32(-7i % 3i + 10)", 9),
        ("u32(1 << 31u)", 0x8000_0000),
        ("u32((-16 >> 2) + 16)", 12),
        ("~1u >> 28", 15),
        ("u32(~1 + 2)", 0),
        // Out of range: the nearest value that both types have.
        ("u32(1e20f)", 4_294_967_040),
        ("u32(i32(1e20f))", 2_147_483_520),
        ("u32(i32(-1e20f))", 0x8000_0000),
        ("u32(-1.5f)", 0),
        ("u32(1e20)", u32::MAX),
        ("u32(2.9)", 2),
    ]);
    for (expression, marked, part) in [
        ("2147483647i + 1i", "2147483647i + 1i", "more than its type holds"),
        ("i32(9223372036854775807 + 1)", "9223372036854775807 + 1", "more than its type holds"),
        ("1i / 0i", "1i / 0i", "divides by zero"),
        ("1 / (2 - 2)", "1 / (2 - 2)", "divides by zero"),
        ("1 % 0", "1 % 0", "divides by zero"),
        ("i32(-2147483648) / -1i", "i32(-2147483648) / -1i", "more than its type holds"),
        ("1i << 32u", "1i << 32u", "shifts by 32"),
        ("1i << 31u", "1i << 31u", "more than its type holds"),
        ("i32(2147483648)", "2147483648", "does not fit"),
        ("vec2i(1, 2)[2]", "2", "out of bounds"),
        ("vec2i(1, 2).z", "z", "no member `z`"),
        ("array<i32, 3>()[-1]", "-1", "out of bounds"),
        ("extractBits(1i, 20, 20)", "extractBits(1i, 20, 20)", "more than a number of 32 bits"),
        ("1i + 1u", "1i + 1u", "types that do not fit together"),
        ("vec2i(1, 2) + vec3i(1, 2, 3)", "vec2i(1, 2) + vec3i(1, 2, 3)", "types that do not fit together"),
        ("!1i", "!1i", "does not take values of the type i32"),
        ("true + false", "true + false", "does not take operands of the type bool"),
        ("vec3i(vec2i(), vec2i())", "vec3i(vec2i(), vec2i())", "gets 4"),
        ("-array<i32, 4000>()", "-array<i32, 4000>()", "does not take such a value"),
    ] {
        assert_refused(&format!("const c = {expression};"), "", marked, part);
        assert_refused("", &format!("let c = {expression};"), marked, part);
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (expression, marked, part) in [
        ("1.0 / 0.0", "1.0 / 0.0", "divides by zero"),
        ("1e38f * 10f", "1e38f * 10f", "more than an f32 holds"),
        ("1e308 * 10", "1e308 * 10", "more than an f64 holds"),
        ("sqrt(-1.0)", "sqrt(-1.0)", "not a number"),
        ("log(0.0)", "log(0.0)", "more than an f64 holds"),
        ("asin(2f)", "asin(2f)", "not a number"),
        ("exp(100f)", "exp(100f)", "more than an f32 holds"),
        ("bitcast<f32>(0x7f800000u)", "bitcast<f32>(0x7f800000u)", "no finite number"),
        ("normalize(vec2f())", "normalize(vec2f())", "not a number"),
        ("f32(1e39)", "1e39", "does not fit"),
        ("3.5e38f", "3.5e38f", "does not fit its type"),
        ("1e999", "1e999", "does not fit its type"),
        ("0x1.0000001p0f", "0x1.0000001p0f", "more digits than its type holds"),
        ("1.5h", "1.5h", "f16"),
        ("007", "007", "0 in front"),
    ] {
        assert_refused(&format!("const c = {expression};"), "", marked, part);
        assert_refused("", &format!("out[0] = out[1] * f32({expression});"), marked, part);
    }
    // What is not reached by `&&` and `||` is not computed.
    kernel("const c = false && 1 / 0 == 1; const d = true || 1 / 0 == 1;", "").unwrap();
}

#[test]
fn numbers_are_read_exactly() {
    assert_floats(&[
        ("0x1.fffffep+127f", f32::MAX),
        ("3.4028235e38", f32::MAX),
        ("3.40282347e38f", f32::MAX),
        ("3.40282346638528859812e+38f", f32::MAX),
        ("-0x1.fffffep+127f", f32::MIN),
        ("0x1p-126f", f32::MIN_POSITIVE),
        ("1.17549435e-38f", f32::MIN_POSITIVE),
        ("0.1f", 0.1),
        ("16777217.0f", 16_777_216.0),
        ("0x.8p1", 1.0),
        ("0X10p-4", 1.0),
        ("0x1.8", 1.5),
        (".5f + 1.f + 1e0f", 2.5),
        ("0x7fffffffffffffff", 9.223_372e18),
    ]);
}

/// Beyond what one kernel may be, with a place in it.
#[test]
fn constants_without_end_are_refused() {
    let doubling: String = (1..40).map(|n| format!("const c{n} = array(c{0}, c{0});", n - 1)).collect();
    let error = kernel(&format!("const c0 = array(1.0, 2.0); {doubling}"), "").unwrap_err();
    assert!(error.message.contains("parts") && error.message.contains('^'), "{error}");
    let table = format!("struct S {{ a: array<u32, 5000> }} const s = S(array<u32, 5000>({}1));", "1, ".repeat(4999));
    assert_refused(&table, "let t = s.a;", "s.a", "more than 4096 numbers");
    let many = "const a = 1.0;".to_owned() + &"const_assert sin(a) < 1.0;".repeat(2000);
    let error = kernel(&many, "").unwrap_err();
    assert!(error.message.contains("more than 262144 operations"), "{error}");
    let sines = "sin(".repeat(100) + "0.5" + &")".repeat(100);
    kernel("", &format!("out[0] = {sines};")).unwrap();
    assert_refused("const a = b + 1; const b = a;", "", "a", "cyclic");
    let large = "const big = array<u32, 1048576>(); ";
    let [_, words] = run(large, "words[0] = big[1048575] + 1u; words[1] = array<u32, 400000>()[7] + 2u;");
    assert_eq!(words[..2], [1, 2]);
}

/// A `let` is no constant, whatever it is given.
#[test]
fn a_let_is_no_constant() {
    let [out, words] = run(
        "",
        "let i = 3u; let a = array(1u, 2u, 3u); words[0] = a[i - 1u]; let big = 2147483647i; words[1] = u32(big + 1i); \
         let zero = 0.0; out[0] = 1.0 / zero; let shift = 33u; words[2] = 1u << shift; \
         for (let step = 2u; words[3] < 7u;) { words[3] += step; } \
         let f = frexp(6.0); out[1] = f.fract; words[4] = u32(f.exp); let m = modf(vec2(1.5, -2.5)); out[2] = m.fract.y;",
    );
    assert_eq!(words[..5], [3, 0x8000_0000, 2, 8, 3]);
    assert_eq!([out[0], out[1], out[2]].map(f32::from_bits), [f32::INFINITY, 0.75, -0.5]);
    let [_, words] = run("", "let i = 3u; var a = array(1u, 2u, 3u); words[0] = a[i] | 16u;");
    assert!(words[0] == 16 || words[0] == 19, "{}", words[0]);
    assert_refused("", "let x = 3u; const y = x + 1u;", "x", "`x` is no constant");
    // Pointers stay `let`s.
    let [_, words] = run("", "var v = vec2u(1, 2); let p = &v; let q = p; (*q).y = 7u; words[0] = v.y;");
    assert_eq!(words[0], 7);
}

#[test]
fn assertions_hold_or_are_refused() {
    kernel("const_assert (1) == 1; const_assert sin(0.5) < 0.5;", "const n = 4; const_assert n == 2 + 2;").unwrap();
    assert_refused("const_assert 1 + 1 == 3;", "", "1 + 1 == 3", "does not hold");
    assert_refused("", "const_assert(false);", "(false)", "does not hold");
    assert_refused("const_assert 1;", "", "1", "has to be a bool");
}

#[test]
fn an_override_is_a_constant_once_it_has_its_value() {
    let declarations = "@id(3) override a = 0.5; override b: f32 = sin(a) + pow(2.0, 3.0); override n: u32 = 2u; \
        override on = true; var<workgroup> w: array<u32, n * 2 + 1>; override unset: f32; \
        fn unused() -> f32 { return unset; }";
    let statements = "out[0] = b; let v = vec4(vec2u(), vec2u(n, 8)); words[0] = v.z; w[n] = 5u; words[1] = w[n]; \
        words[2] = select(1u, 2u, on); let i = n + 1u; words[3] = array(1u, 2u, 3u, 4u)[i];";
    let sine = |value: f32| {
        let [out, _] = run("", &format!("var x = {value:?}f; out[0] = sin(x) + 8.0;"));
        out[0]
    };
    let [out, words] = run_with(declarations, statements, &[]);
    assert_eq!((out[0], &words[..4]), (sine(0.5), &[2, 5, 2, 4][..]));
    let [out, words] = run_with(declarations, statements, &[("3", 1.0), ("n", 1.0), ("on", 0.0)]);
    assert_eq!((out[0], &words[..4]), (sine(1.0), &[1, 5, 1, 3][..]));
    // What a value makes of the kernel is said of the kernel.
    let kernel = kernel("override n = 1; const c = array(1, 2);", "words[0] = u32(100 / n);").unwrap();
    let error = kernel.resolve(None, &[("n".to_owned(), 0.0)]).unwrap_err().diagnostic();
    assert!(error.message.contains("divides by zero") && error.message.contains("100 / n"), "{error}");
}

/// What stands where a constant has to, and lengths and attributes.
#[test]
fn constants_are_computed_wherever_they_stand() {
    let [_, words] = run(
        "const two = 1 + 1; struct S { @align(two * 8) @size(8 + 8) a: u32, b: u32 } alias A = array<u32, two + 1>; \
         var<private> s: S = S(1, two); fn f(x: array<u32, 3>) -> u32 { return x[two]; } \
         @group(two - 2) @binding(two + two) var<storage, read> more: array<S, two * two>;",
        "switch i32(id.x) { case two - 2, two: { words[0] = 7u; } default: { } } var a: A; a[two] = 9u; words[1] = f(a); \
         words[2] = s.b; words[3] = arrayLength(&words) / 4 + more[two].b; _ = two + two;",
    );
    assert_eq!(words[..4], [7, 9, 2, 4]);
}
