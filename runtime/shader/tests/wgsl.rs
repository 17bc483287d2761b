//! What WGSL allows and naga does not take as it stands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{Profile, prepare};

/// What a kernel writes into eight words, the first of which is 5.
fn run(declarations: &str, statements: &str) -> Vec<u32> {
    let wgsl = format!(
        "{declarations}
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(1) fn main() {{ var five = out[0]; {statements} }}"
    );
    let kernel = prepare(&wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}"));
    let lowered = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap_or_else(|error| panic!("{error}"));
    let program = Program::compile(lowered.module(), lowered.info()).unwrap();
    let words: Vec<AtomicU32> = [5, 0, 0, 0, 0, 0, 0, 0].map(AtomicU32::new).into();
    let system = SystemBuffers::new(SystemParams::whole([1; 3]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &words).bind_system(&system);
    program.run(&buffers, [1; 3], &AtomicBool::new(false)).unwrap();
    words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

#[test]
fn two_minus_signs_need_no_blank_between() {
    let words = run(
        "",
        "out[1] = u32(3--1); let i = i32(five); out[2] = u32(i--2*3); out[3] = u32(--i); out[4] = u32(i---1 + 3); \
         var j = 3; j--; out[5] = u32(j); for (var k = 4; k > 2; k--) { out[6]++; } out[7] = u32(i - --i);",
    );
    assert_eq!(words[1..], [4, 11, 5, 7, 2, 2, 0]);
}

#[test]
fn a_variable_of_continuing_may_hide_one_of_the_loop() {
    let words = run(
        "",
        "loop { var step = 10u; let other = step; out[1] += step; \
            continuing { let step = other - 7u; out[2] += step; { var step = 1u; out[3] += step; } \
                var other = array(step, 2u); other[0] += step; out[4] = other[0]; break if out[2] >= step * 3u; } }",
    );
    assert_eq!(words[1..5], [30, 9, 3, 6]);
    // A name that looks like one made up for it.
    let words = run(
        "",
        "loop { var a = 1u; var a_1 = 2u; continuing { var a = 3u; out[1] = a; out[2] = a_1; break if true; } }",
    );
    assert_eq!(words[1..3], [3, 2]);
}

#[test]
fn an_extension_that_nothing_uses_is_no_reason() {
    assert_eq!(run("enable f16;", "out[1] = 1u;")[1], 1);
    assert_eq!(
        run("enable f16 ,; enable /* x */ f16;\n", "out[1] = quantize(2u);\n} fn quantize(f: u32) -> u32 { return f;")
            [1],
        2
    );
    // A name of the guest's own is no f16.
    assert_eq!(
        run("enable f16; alias vec2h = vec2<u32>; struct f16 { a: u32 }", "out[1] = f16(3u).a + vec2h(1u).y;")[1],
        4
    );
}

#[test]
fn what_uses_f16_is_refused_where_it_is_used() {
    for (use_of_it, marked) in [
        ("var<private> h: f16;", "f16"),
        ("var<private> h: vec3h;", "vec3h"),
        ("fn f(x: ptr<function, vec2<f16>>) { }", "f16"),
        ("fn f() -> f32 { return f32(vec2<f16>().x); }", "f16"),
        ("fn f() -> f32 { return f32(mat2x2h()[0].x); }", "mat2x2h"),
        ("const c = array<f16, 4>();", "f16"),
        ("struct S { a: array<vec4<f16>, 2> }", "f16"),
        ("alias H = f16;", "f16"),
        ("const c = 1.5h;", "1.5h"),
        ("const c = 2h + 1h;", "2h"),
    ] {
        for enable in ["enable f16; ", ""] {
            let wgsl = format!("{enable}{use_of_it} @compute @workgroup_size(1) fn main() {{ }}");
            let error = prepare(&wgsl, Profile::Dp32).map(drop).unwrap_err().diagnostic();
            let location = error.location.unwrap();
            assert!(error.message.contains("f16") && error.message.contains("not available"), "{error}");
            let start = location.offset as usize;
            assert_eq!(&wgsl[start..start + location.length as usize], marked, "{error}");
        }
    }
}

/// Places in messages are those in the guest's text, whatever was changed in front of them.
#[test]
fn messages_point_into_the_text_as_it_was_written() {
    for (wgsl, call, marked) in [
        ("const a = vec4(vec2u(), vec2u(7, 8)).y; fn f() { let b = 3; let x: u32 = b; }", "1", "x"),
        ("enable f16;\nconst a = 1 + 1;\nfn f() -> u32 { return a * unknown; }", "1", "unknown"),
        ("fn f() -> i32 { let a = 1 + 2 * 3; let b = a + 1u; return 1; }", "f()", "a + 1u"),
        ("struct P { @align(32) a: u32 } struct O { x: u32, p: P } fn f(o: O) -> u32 { return o.q; }", "1", "q"),
        ("fn f() -> i32 { let x = 3--1; return x + true; }", "f()", "x + true"),
        (
            "@group(1 + 2) @binding(0) var<storage> a: array<u32>;",
            "a[0]",
            "@group(1 + 2) @binding(0) var<storage> a: array<u32>;",
        ),
    ] {
        let wgsl = format!("{wgsl} @compute @workgroup_size(1) fn main() {{ let called = {call}; }}");
        let error = prepare(&wgsl, Profile::Dp32).map(drop).unwrap_err().diagnostic();
        let location = error.location.unwrap();
        let start = location.offset as usize;
        let found = &wgsl[start..start + location.length as usize];
        assert!(marked.contains(found) || found.contains(marked), "{found} instead of {marked}:\n{error}");
    }
}

#[test]
fn syntax_errors_say_what_was_expected_and_what_is_there() {
    for (wgsl, message) in [
        ("fn f() { let x = ; }", "expected an expression, found `;`"),
        ("fn f() { let x; }", "expected `=`, found `;`"),
        ("fn f() {", "expected a statement, found the end of the source"),
        ("const a = (1;", "expected `)`, found `;`"),
        ("fn f() { /* }", "expected a statement, found a comment without end"),
        ("struct S { a: u32 b: u32 }", "expected `,`, found `b`"),
        ("const a = 1 # 2;", "expected `;`, found `#`"),
        ("let a = 1;", "expected a declaration, found `let`"),
    ] {
        let error = prepare(wgsl, Profile::Dp32).map(drop).unwrap_err().diagnostic();
        assert!(error.message.contains(message) && error.message.contains('^'), "{error}");
    }
}
