//! Hostile text: every one gets an answer, and what is refused is refused with a message that a terminal can show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use isobit_shader::{Kernel, KernelError, MAX_WGSL_BYTES, Profile, Tier, prepare};

fn refusal(wgsl: &str) -> String {
    let error = match prepare(wgsl, Profile::Dp32).and_then(|kernel| lower_all(&kernel)) {
        Ok(()) => panic!("accepted: {}", wgsl.chars().take(200).collect::<String>()),
        Err(KernelError::Refused(error)) => error,
        Err(fault) => panic!("{fault}"),
    };
    assert!(error.message.len() < 64 << 10, "{} bytes", error.message.len());
    let commands = error.message.chars().filter(|&character| character.is_control() && !"\n\t".contains(character));
    assert_eq!(commands.count(), 0, "{:?}", error.message);
    error.message
}

fn lower_all(kernel: &Kernel) -> Result<(), KernelError> {
    for name in kernel.entry_point_names() {
        let lowered = kernel.resolve(Some(name), &[])?.lower()?;
        for tier in [None, Some(Tier::A), Some(Tier::B)] {
            lowered.emit(tier)?;
        }
    }
    Ok(())
}

fn assert_accepted(wgsl: &str) {
    let kernel = prepare(wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}"));
    lower_all(&kernel).unwrap_or_else(|error| panic!("{error}"));
}

const HEAD: &str = "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
";
const MAIN: &str = "@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { ";

/// An entry point, filled up to `bytes`.
fn filled(before: &str, unit: &str, after: &str, bytes: usize) -> String {
    let head = format!("{HEAD}{MAIN}{before}");
    let count = (bytes - head.len() - after.len()) / unit.len();
    format!("{head}{}{after}", unit.repeat(count))
}

#[test]
fn text_of_ten_megabytes_is_too_long() {
    assert!(refusal(&"a".repeat(10_000_000)).contains("1048576"));
}

#[test]
fn nesting_without_end_is_refused() {
    let closed = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for source in [
        format!("fn f() {{ let x = {}; }}", closed("(", ")")),
        format!("fn f() {{ let x = {}; }}", closed("a[", "]")),
        format!("fn f() {{ let x = {}; }}", closed("a<", ">")),
        format!("fn f() {{ {} }}", closed("{", "}")),
        format!("var<private> a: {};", closed("array<", ",1>")),
        format!("@{}", closed("size(", ")")),
        "(".repeat(MAX_WGSL_BYTES),
        format!("fn f() {{ let x = 1.0{}; }}", ".x".repeat(100_000)),
        // A line comment ends at each of these.
        format!("// \r fn f() {{ let x = {}1; }}", "-(".repeat(100_000)),
        format!("// \u{2028} fn f() {{ let x = {}1; }}", "-(".repeat(100_000)),
    ] {
        refusal(&source);
    }
}

#[test]
fn functions_without_end_are_refused() {
    let many = |one: &dyn Fn(usize) -> String| (0..30_000).map(one).collect::<String>();
    for source in [
        filled("if i == 1 { } ", "else if i == 3 { }", "}", MAX_WGSL_BYTES),
        filled("var x = 0u; ", "x += i;", "}", MAX_WGSL_BYTES),
        filled("", "loop { break; }", "}", MAX_WGSL_BYTES),
        format!("{HEAD}{MAIN} switch i {{ {} default: {{ }} }} }}", many(&|k| format!("case {k}: {{ out[i] = 1; }}"))),
        format!("{HEAD}{MAIN} {} }}", many(&|k| format!("let a{k} = i;"))),
        format!("{HEAD}{} {MAIN} f9(); }}", many(&|k| format!("fn f{k}() {{ }}"))),
        format!("{HEAD}{}", many(&|k| format!("@compute @workgroup_size(1) fn f{k}() {{ }}"))),
    ] {
        refusal(&source);
    }
}

#[test]
fn long_kernels_are_accepted() {
    assert_accepted(&filled("var x = 0u; ", "x += i;", "}", 30_000));
    assert_accepted(&filled("var x = 0.5; ", "x = sin(x);", "out[0] = u32(x); }", 10_000));
    let cases: String = (0..1000).map(|k| format!("case {k}: {{ out[i] = {k}; }}")).collect();
    assert_accepted(&format!("{HEAD}{MAIN} switch i {{ {cases} default: {{ }} }} }}"));
    let table: String = (0..16_000).map(|k| format!("{k}.5,")).collect();
    assert_accepted(&format!("{HEAD} const table = array<f32, 16000>({table}); {MAIN} out[0] = u32(table[i]); }}"));
}

#[test]
fn tables_without_end_are_refused() {
    let table: String = (0..100_000).map(|k| format!("{k},")).collect();
    refusal(&format!("{HEAD} const table = array({table}); {MAIN} out[0] = u32(table[i]); }}"));
    refusal(&format!("{HEAD} {MAIN} var table = array({table}); out[0] = u32(table[i]); }}"));
}

#[test]
fn recursion_is_refused() {
    assert!(
        refusal("fn f() { g(); } fn g() { f(); } @compute @workgroup_size(1) fn main() { f(); }").contains("cyclic")
    );
    assert!(refusal("struct A { b: B } struct B { a: A }").contains("cyclic"));
    assert!(refusal("const a = b; const b = a;").contains("cyclic"));
}

#[test]
fn calls_that_multiply_are_refused() {
    let functions: String = (0..40).map(|k| format!("fn f{}() {{ f{k}(); f{k}(); }}", k + 1)).collect();
    let source = format!("{HEAD} fn f0() {{ out[0] += 1; }} {functions} {MAIN} f40(); }}");
    assert!(refusal(&source).contains("when its calls are expanded"));
    let chain: String = (0..1000).map(|k| format!("fn f{}() {{ f{k}(); }}", k + 1)).collect();
    let source = format!("{HEAD} fn f0() {{ out[0] += 1; }} {chain} {MAIN} f1000(); }}");
    assert!(refusal(&source).contains("calls nested more than"));
}

#[test]
fn types_and_constants_that_multiply_are_refused() {
    let doubled = |first: &str, one: &dyn Fn(usize) -> String, rest: &str| {
        format!("{first} {} {HEAD} {MAIN} {rest} }}", (1..60).map(one).collect::<String>())
    };
    let structs =
        doubled("struct s0 { a: u32 }", &|k| format!("struct s{k} {{ a: s{0}, b: s{0} }}", k - 1), "var x: s59;");
    assert!(refusal(&structs).contains("parts"));
    let named =
        doubled("alias s0 = u32;", &|k| format!("alias t{k} = s{0}; struct s{k} {{ a: t{k}, b: t{k} }}", k - 1), "");
    assert!(refusal(&named).contains("parts"));
    let marked = doubled(
        "struct s\u{301}0 { a: u32 }",
        &|k| format!("struct s\u{301}{k} {{ a: s\u{301}{0}, b: s\u{301}{0} }}", k - 1),
        "",
    );
    assert!(refusal(&marked).contains("parts"));
    let constants = doubled("const a0 = array(1, 1);", &|k| format!("const a{k} = array(a{0}, a{0});", k - 1), "");
    assert!(refusal(&constants).contains("parts"));
    let local: String = (1..60).map(|k| format!("const a{k} = array(a{0}, a{0});", k - 1)).collect();
    assert!(refusal(&format!("{HEAD} {MAIN} const a0 = array(1, 1); {local} }}")).contains("parts"));
    let shadows: String = "{ const a = array(a, a);".repeat(60) + &"}".repeat(60);
    assert!(refusal(&format!("{HEAD} {MAIN} const a = array(1, 1); {shadows} }}")).contains("parts"));
    let deep: String = (1..200).map(|k| format!("struct s{k} {{ a: s{} }}", k - 1)).collect();
    assert!(refusal(&format!("struct s0 {{ a: u32 }} {deep} var<private> x: s199;")).contains("nests more than"));
    // Numbers do not multiply.
    let powers: String = (1..50).map(|k| format!("const a{k} = a{0} * a{0};", k - 1)).collect();
    assert_accepted(&format!("const a0 = 1.0; {powers} {HEAD} {MAIN} out[i] = u32(a49); }}"));
}

#[test]
fn variables_without_end_are_refused() {
    let main = "@compute @workgroup_size(1) fn main()";
    for source in [
        format!("var<private> p: array<u32, 1073741824>; {main} {{ p[3] = 1; }}"),
        format!("var<private> p: array<u32, 1073741823>; {main} {{ p[3] = 1; }}"),
        format!("var<private> p: array<array<u32, 65536>, 65535>; {main} {{ p[3][1] = 1; }}"),
        format!("{main} {{ var p: array<u32, 1073741823>; p[3] = 1; }}"),
        format!("{main} {{ let p = array<u32, 1073741823>(); var i = 3; let x = p[i]; }}"),
        format!("const c = array<u32, 500000000>(); {main} {{ var i = 3; let x = c[i]; }}"),
        format!("override n = 100000; var<workgroup> p: array<u32, n * n>; {main} {{ p[3] = 1; }}"),
        format!("struct S {{ @size(2000000000) a: u32 }} {main} {{ var s: S; s.a = 1; }}"),
    ] {
        refusal(&source);
    }
    let message = refusal(&format!("{main} {{ var p: array<vec4f, 5000>; p[3].x = 1; }}"));
    assert!(message.contains("80000 bytes") && message.contains('^'), "{message}");
    // What is called counts, too.
    let called = format!(
        "fn f() {{ var p: array<f32, 10000>; p[3] = 1; }} {main} {{ var p: array<f32, 10000>; p[3] = 1; f(); }}"
    );
    assert!(refusal(&called).contains("80000 bytes"));
}

/// naga would spell out a zero value before it finds that an operator does not take it.
#[test]
fn zero_values_without_end_are_refused() {
    let main = "@compute @workgroup_size(1) fn main()";
    let members: String = (0..2000).map(|k| format!("m{k}: array<i32, 60000>,")).collect();
    let many = "A(),".repeat(5000);
    let names = "z,".repeat(5000);
    for source in [
        format!("const b = -array<i32, 4000000000>(); {main} {{ }}"),
        format!("const b = array<u32, 20000000>() == array<u32, 20000000>(); {main} {{ }}"),
        format!("const b = -array/**/<i32, 0xee6b2800u /* > */> // \n ( \n ); {main} {{ }}"),
        format!("const N = 4000000000; {main} {{ let b = -array<i32, N>(); }}"),
        format!("{main} {{ const N = 1; {{ const N = 4000000000; let b = -array<i32, N>(); }} }}"),
        format!("const b = !array<bool, (65536 * 65536) - 1>(); {main} {{ }}"),
        format!("const b = !array<bool, 65536 * 65535>(); {main} {{ }}"),
        format!("const M = N * N; const N = 65535u; const b = ~array<u32, M>(); {main} {{ }}"),
        format!("const b = -array<i32, 1u << 31u>(); {main} {{ }}"),
        format!("const b = -array<i32, ~0u>(); {main} {{ }}"),
        format!("const b = -array<i32, u32(2e9)>(); {main} {{ }}"),
        format!("const b = -array<i32, countOneBits(7u) * 1000000000u>(); {main} {{ }}"),
        format!("const b = -array<i32, max(1, 4000000000)>(); {main} {{ }}"),
        format!("const b = abs(array<array<vec4<i32>, 65536>, 32767>()); {main} {{ }}"),
        format!("alias A = array<i32, 4000000000>; alias B = A; {main} {{ let b = -B(); }}"),
        format!("alias vec2f = array<i32, 4000000000>; {main} {{ let b = -vec2f(); }}"),
        format!("struct S {{ n: u32, a: array<i32, 4000000000> }} {main} {{ let b = select(S(), S(), true) + S(); }}"),
        format!("struct S {{ {members} }} const b = -S(); {main} {{ }}"),
        format!("alias A = array<i32, 60000>; const b = -array({many}); {main} {{ }}"),
        format!("const z = array<i32, 60000>(); {main} {{ let b = -array({names}); }}"),
        format!("{main} {{ let z = array<i32, 60000>(); let y = z; let b = -array({}); }}", names.replace('z', "y")),
        "@compute @workgroup_size(array<i32, 4000000000>() + 1) fn main() { }".to_owned(),
        format!("const b = {}1; {main} {{ }}", "-a>()".repeat(1 << 14)),
    ] {
        let began = std::time::Instant::now();
        refusal(&source);
        assert!(began.elapsed().as_secs() < 2, "{}", source.chars().take(100).collect::<String>());
    }
    assert_accepted(&format!("{main} {{ var b = array<i32, (1u << 3u) - countOneBits(7u)>(); b[2] = 1; }}"));
    assert_accepted(&format!("const b = {}1; {main} {{ }}", "array<i32, 4000000000>()[0] + ".repeat(1000)));
    // What variables begin with, and types of what is no value.
    assert_accepted(&format!(
        "const N = 8u; const M = (N + 4u) * N;
        alias Row = array<vec4<f32>, N>; struct Tile {{ rows: array<Row, 4>, @size(16) count: u32 }}
        var<workgroup> tile: array<array<f32, M>, N>; var<private> zeros = array<f32, 100>();
        @group(0) @binding(1) var<storage, read_write> data: array<f32, 1 << 20>;
        {HEAD} {MAIN}
            var t = Tile(); var row = Row(); var v = vec4<f32>(); var m = array<f32, M / 2u>(); let z = array<u32, 64>();
            t.rows[i & 3u] = row; v += t.rows[1][2] + m[i]; tile[i & 7u][i] = v.x;
            let a = z[i] + z[1]; let b = a + a * z[2]; let c = b + b * z[3]; let d = c + c * z[4];
            out[i] = a + b + c + d + u32(v.x); data[i] = zeros[i];
        }}"
    ));
}

#[test]
fn reserved_names_may_be_used() {
    let names =
        ["dp_sin", "dp_params", "system_params", "system_status", "varying_fuel", "uniform_fuel", "trap", "exited"];
    for name in names {
        assert_accepted(&format!(
            "{HEAD} struct {name} {{ a: f32 }} {MAIN} var x = {name}(1.5); out[i] = u32(sin(x.a) / x.a); }}"
        ));
        assert_accepted(&format!(
            "{HEAD} fn {name}(x: f32) -> f32 {{ return sin(x) / cos(x); }} {MAIN} out[i] = u32({name}(2.0)); }}"
        ));
        assert_accepted(&format!(
            "{HEAD} var<private> {name}: f32; {MAIN} {name} = sin({name}); out[i] = u32({name}); }}"
        ));
        assert_accepted(&format!(
            "{HEAD} @compute @workgroup_size(4) fn {name}() {{ var {name} = sin(1.5 * f32(out[0])); out[1] = u32({name}); }}"
        ));
    }
}

#[test]
fn escape_codes_do_not_reach_the_terminal() {
    for source in [
        "fn f() { let x = \u{1b}[31m; }",
        "fn f() { let x = y; } // \u{1b}]0;title\u{7}",
        "/* \u{1b}[2J */ fn f() { let x = y; }",
        "fn f() { let \u{202e}x = y; }",
        "fn f() { let x = y; } // \u{9b}2J \u{202e}",
        "enable \u{85}nothing;",
        "diagnostic(off, \u{9b}x);",
    ] {
        refusal(source);
    }
    refusal(&"\0".repeat(MAX_WGSL_BYTES));
    refusal(&"\u{9b}".repeat(MAX_WGSL_BYTES / 2));
    refusal(&("\u{85}".repeat(MAX_WGSL_BYTES / 2 - 1) + "!"));
}

#[test]
fn long_lines_are_shown_in_part() {
    let source = format!("fn f() {{ let x = 1; {} let y = z; }}", "/* more */".repeat(50_000));
    let message = refusal(&source);
    assert!(message.len() < 1000, "{message}");
    assert!(message.contains("let y = z;") && message.contains('^'), "{message}");
}

#[test]
fn values_without_end_are_refused() {
    let kernel = |element: &str, uses: usize| {
        let lets: String = (0..uses).map(|use_| format!("let v{use_} = a[i + {use_}u]; ")).collect();
        let sum: String = (0..uses).map(|use_| format!(" + u32(v{use_}[i])")).collect();
        format!("@group(0) @binding(1) var<storage, read> a: array<{element}>; {HEAD}{MAIN}{lets} out[i] = 0u{sum}; }}")
    };
    assert_accepted(&kernel("array<u32, 16384>", 15));
    assert!(refusal(&kernel("array<u32, 16384>", 17)).contains("1 MiB"));
    assert!(refusal(&kernel("array<u32, 16385>", 1)).contains("64 KiB"));
    // What is only moved is not looked at number by number.
    assert_accepted(&kernel("array<f32, 16384>", 8));
}
