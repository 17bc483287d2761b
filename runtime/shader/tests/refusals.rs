//! What profile dp32 refuses beyond WGSL's own rules and naga's, and that each refusal shows where, and says what to do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use isobit_shader::{Diagnostic, Kernel, KernelError, Profile, Tier};

fn prepare(declarations: &str, body: &str) -> Result<Kernel, Diagnostic> {
    let kernel = format!(
        "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        {declarations}
        @compute @workgroup_size(8) fn main(@builtin(local_invocation_index) lane: u32) {{
            {body}
        }}"
    );
    isobit_shader::prepare(&kernel, Profile::Dp32).map_err(KernelError::diagnostic)
}

/// Refused with a message that has all of these, a place in the text and a help.
fn assert_refused(declarations: &str, body: &str, parts: &[&str]) {
    let Err(error) = prepare(declarations, body) else { panic!("accepted: {declarations} {body}") };
    for part in parts.iter().chain(&["^", "help: "]) {
        assert!(error.message.contains(part), "no {part} for {declarations} {body}:\n{error}");
    }
}

fn assert_accepted(declarations: &str, body: &str) {
    let kernel = prepare(declarations, body).unwrap_or_else(|error| panic!("{declarations} {body}:\n{error}"));
    let lowered = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap();
    for tier in [Tier::A, Tier::B] {
        lowered.realize(tier).unwrap();
    }
}

const TWO: &str = "
    fn both(p: ptr<function, u32>, q: ptr<function, u32>) { *p = 1u; *q = *q + 5u; *p = *p + 10u; }
    fn read(p: ptr<function, u32>, q: ptr<function, u32>) -> u32 { return *p + *q; }
    fn hand_on(p: ptr<function, u32>, q: ptr<function, u32>) { both(p, q); }
    fn last(p: ptr<function, u32>, q: ptr<function, u32>) -> u32 { *q = 3u; return *p; }
    fn unused(p: ptr<function, u32>, q: ptr<function, u32>) { *q = 3u; }";

#[test]
fn two_pointers_to_one_variable_are_refused_where_one_of_them_writes() {
    let variables = "var r = 1u; var s = 2u; var t = array<u32, 4>();";
    for call in [
        "both(&r, &r);",
        "hand_on(&r, &r);",
        "let x = last(&r, &r);",
        "unused(&r, &r);",
        "let p = &r; let q = p; both(p, q);",
        "both(&t[0], &t[1]);",
        "both(&t[lane], &t[3]);",
        "for (var i = 0u; i < 3u; i++) { if lane == i { both(&s, &s); } }",
    ] {
        assert_refused(TWO, &format!("{variables} {call}"), &["two pointers to one variable", "a copy"]);
    }
    let forwarded = format!("{TWO} fn forward(p: ptr<function, u32>) {{ both(p, p); }}");
    assert_refused(&forwarded, "var r = 1u; forward(&r);", &["two pointers to one variable"]);
    for call in ["both(&r, &s);", "out[0] = read(&r, &r);", "both(&r, &t[1]);", "let x = last(&s, &t[lane]);"] {
        assert_accepted(TWO, &format!("{variables} {call} out[1] = r + s + t[2];"));
    }
}

const PRIVATE: &str = "
    var<private> t: u32; var<private> u: u32; var<private> v: array<u32, 4>;
    fn deep() { t += 5u; }
    fn direct(p: ptr<private, u32>) { *p = 1u; t += 5u; *p += 10u; }
    fn through(p: ptr<private, u32>) { *p = 1u; deep(); *p += 10u; }
    fn reads(p: ptr<private, u32>) { *p = t; }
    fn written(p: ptr<private, u32>) -> u32 { t = 3u; return *p; }
    fn beside(p: ptr<private, u32>) { t = 3u; }
    fn only_reads(p: ptr<private, u32>) -> u32 { return *p + t; }
    fn hands_on(p: ptr<private, u32>) { direct(p); }";

#[test]
fn a_pointer_to_a_private_variable_is_refused_where_the_variable_is_used_too() {
    for call in ["direct(&t);", "through(&t);", "reads(&t);", "let x = written(&t);", "beside(&t);", "hands_on(&t);"] {
        assert_refused(PRIVATE, call, &["uses the variable itself, too", "the variable itself everywhere"]);
    }
    for call in ["direct(&u);", "through(&u);", "reads(&u);", "out[0] = only_reads(&t);"] {
        assert_accepted(PRIVATE, &format!("{call} out[1] = t + u;"));
    }
    assert_accepted(PRIVATE, "reads(&v[1]); direct(&v[lane]);");
}

#[test]
fn pointers_to_shared_memory_are_passed() {
    let workgroup = "var<workgroup> t: array<f32, 4>; fn f(q: ptr<workgroup, array<f32, 4>>) { (*q)[0] = 1.0; }";
    assert_accepted(workgroup, "f(&t);");
    assert_accepted("fn f(q: ptr<storage, array<u32>, read_write>) { }", "f(&out);");
    let elements = "fn g(p: ptr<storage, u32, read_write>) { *p += 1u; }
        fn f(q: ptr<storage, array<u32>, read_write>, i: u32) { g(&(*q)[i + 1u]); g(&(*q)[2]); }";
    assert_accepted(elements, "f(&out, lane); g(&out[lane]);");
}

/// A function that is given pointers in so many ways that its copies become too many.
#[test]
fn copies_for_pointers_are_bounded() {
    let statements = "*p = *p * 3u + 1u; ".repeat(60);
    let mut functions = format!(
        "var<workgroup> w: array<array<array<array<u32, 4>, 8>, 8>, 8>; fn f0(p: ptr<workgroup, u32>) {{ {statements} }} "
    );
    for level in 1..4 {
        let inner = ["u32", "array<u32, 4>", "array<array<u32, 4>, 8>", "array<array<array<u32, 4>, 8>, 8>"];
        let many = if level == 1 { 4 } else { 8 };
        let calls: String = (0..many).map(|part| format!("f{}(&(*p)[{part}]); ", level - 1)).collect();
        functions += &format!("fn f{level}(p: ptr<workgroup, {}>) {{ {calls} }} ", inner[level]);
    }
    let calls: String = (0..8).map(|part| format!("f3(&w[{part}]); ")).collect();
    let error = prepare(&functions, &calls).unwrap_err();
    assert!(error.message.contains("the functions that are given pointers become more than"), "{error}");
}

#[test]
fn a_function_may_end_with_a_loop_that_only_returns_leave() {
    let function = |rest: &str| format!("fn f(x: u32) -> u32 {{ var i = x; {rest} }}");
    let use_it = "out[lane] = f(lane);";
    for rest in [
        "loop { i += 3u; if (i & 31u) == 5u { return i; } }",
        "for (;; i++) { if i > 9u { return i; } }",
        "if x > 3u { { loop { return 3u; } } } else { loop { loop { break; } i++; if i > 9u { return i; } } }",
        "switch x { case 3u: { loop { switch i { default: { break; } } return i; } } default: { return 1u; } }",
    ] {
        assert_accepted(&function(rest), use_it);
    }
    for rest in [
        "loop { i += 3u; if i > 5u { break; } }",
        "loop { i += 3u; if i > 5u { return i; } continuing { break if i > 4u; } }",
        "loop { if i > 5u { return i; } i++; } return;",
        "while true { return 1u; }",
    ] {
        assert!(prepare(&function(rest), use_it).is_err(), "{rest}");
    }
}

/// Profile dp32 passes a copy.
#[test]
fn a_pointer_to_a_part_is_refused_under_profile_native() {
    let native = "fn f(p: ptr<function, u32>) { *p = 1u; }
        @compute @workgroup_size(1) fn main() { var t = vec4u(); var u = array(1u, 2u); f(&u[t.x]); }";
    let error = isobit_shader::prepare(native, Profile::Native).unwrap_err().diagnostic();
    assert!(error.message.contains("under profile native") && error.message.contains('^'), "{error}");
    isobit_shader::prepare(native, Profile::Dp32).unwrap();
}
