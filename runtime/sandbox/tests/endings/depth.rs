//! Recursions end at a depth that follows from the job, long before the native stack does.

use super::{SANDBOX, prepare};
use isobit_job::{LimitName, Limits, Outcome, Trap};
use isobit_sandbox::Workload;
use std::fmt::Write as _;

const TOO_DEEP: Outcome = Outcome::Trapped(Trap::Limit { limit: LimitName::CallDepth });

/// A component of one module with these items, whose `run` has this body.
fn workload(items: &str, body: &str) -> Workload {
    let text = format!(
        r#"(component
            (core module $m {items}
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                (func (export "run") (result i32) {body}))
            (core instance $i (instantiate $m))
            (func (export "run") (result (result (error string)))
                (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    );
    Workload::parse(wat::parse_str(text).unwrap()).unwrap()
}

fn outcome(items: &str, body: &str) -> Outcome {
    prepare(&workload(items, body), Limits::default(), None).run().unwrap().outcome
}

/// Runs a guest that checks its own results: it returns 0 or traps.
fn assert_completes(items: &str, body: &str) {
    assert_eq!(outcome(items, body), Outcome::Completed, "{items} {body}");
}

/// `count` times what `each` says of an index.
fn repeat(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        write!(text, "{} ", each(at)).unwrap();
        text
    })
}

/// Functions `$f` that call themselves without end and take as much native stack as their code can be made to take.
fn greedy() -> Vec<(&'static str, String)> {
    let wide = "v128 ".repeat(900);
    let numbers = "i64 ".repeat(900);
    let zeros = "(v128.const i64x2 0 0)".repeat(900);
    vec![
        ("nothing", "(func $f call $f)".to_owned()),
        (
            "parameters",
            format!("(func $f (param {wide}) {} call $f)", repeat(900, |at| format!("(i8x16.neg (local.get {at}))"))),
        ),
        ("the parameters of others", format!("(func $g (param {wide})) (func $f {zeros} call $g call $f)")),
        (
            "results",
            format!("(func $f (result {wide}) call $f call $f drop {zeros} unreachable)")
                .replace("drop", &"drop ".repeat(1800)),
        ),
        (
            "results that are handed over",
            format!("(func $g (param {numbers})) (func $f (result {numbers}) call $f call $f call $g)"),
        ),
        (
            "results that wait",
            format!(
                "(func $g (param {numbers})) (func $r (result {numbers}) {}) (func $f {} call $f {})",
                "(i64.load (i32.const 0))".repeat(900),
                "call $r ".repeat(30),
                "call $g ".repeat(30)
            ),
        ),
        (
            "local variables",
            format!(
                "(func $f (param $p v128) (local {wide}) {} (call $f (local.get 1)) {} (drop (i32x4.add {})))",
                repeat(900, |at| format!(
                    "(local.set {} (i32x4.add (local.get $p) (i32x4.splat (i32.const {at}))))",
                    at + 1
                )),
                repeat(898, |at| format!(
                    "(local.set {} (i32x4.mul (local.get {}) (local.get {})))",
                    at + 1,
                    at + 2,
                    at + 3
                )),
                "(local.get 1) (local.get 2)"
            ),
        ),
        (
            "operands",
            format!(
                "(func $f (param $p i32) {} (call $f (local.get $p)) {} (i32.store (i32.const 0)))",
                repeat(5000, |at| format!("(i32.mul (local.get $p) (i32.const {}))", at + 3)),
                "i32.add ".repeat(4999)
            )
            .replace("(i32.store (i32.const 0))", "drop"),
        ),
        (
            "vectors as operands",
            format!(
                "(func $f (param $p v128) {} (call $f (local.get $p)) {} (v128.store (i32.const 0) (local.get $p)) (global.set $v))",
                repeat(5000, |_| "(i8x16.abs (local.get $p)) (local.tee $p)".to_owned()),
                "v128.xor ".repeat(4999)
            ) + " (global $v (mut v128) (v128.const i64x2 0 0))",
        ),
        ("what is computed twice", {
            let sums = repeat(6000, |at| {
                format!("(local.set $s (i64.xor (local.get $s) (i64.mul (local.get $p) (i64.const {}))))", at + 3)
            });
            format!(
                "(global $v (mut i64) (i64.const 0)) (func $f (param $p i64) (local $s i64) {sums} (call $f (local.get $p)) {sums} (global.set $v (local.get $s)))"
            )
        }),
        (
            "variables of loops",
            format!(
                "(func $f (param $p i64) (local {numbers}) {} (loop {} (call $f (local.get 5)) (br_if 0 (i64.eqz (local.get $p)))) {})",
                repeat(900, |at| format!("(local.set {} (i64.load (i32.const {})))", at + 1, at * 8)),
                repeat(900, |at| format!(
                    "(local.set {} (i64.add (local.get {}) (i64.const 1)))",
                    at + 1,
                    (at + 7) % 900 + 1
                )),
                repeat(900, |at| format!("(i64.store (i32.const {}) (local.get {}))", at * 8, at + 1)),
            ),
        ),
    ]
}

#[test]
fn however_much_native_stack_a_function_takes_its_recursion_ends_first() {
    for (what, functions) in greedy() {
        let text = functions.clone();
        let parameters = if text.contains("$f (param $p v128)") {
            "(v128.const i64x2 0 0)".to_owned()
        } else if text.contains("$f (param $p i64)") {
            "(i64.const 0)".to_owned()
        } else if text.contains("$f (param $p i32)") {
            "(i32.const 0)".to_owned()
        } else if text.contains("$f (param v128") {
            "(v128.const i64x2 0 0)".repeat(900)
        } else {
            String::new()
        };
        let drops = if text.contains("$f (result") { "drop ".repeat(900) } else { String::new() };
        assert_eq!(outcome(&functions, &format!("{parameters} call $f {drops} i32.const 0")), TOO_DEEP, "{what}");
    }
}

#[test]
fn every_kind_of_call_counts() {
    let table = "(type $t (func)) (table funcref (elem $f)) (func $f (call_indirect (type $t) (i32.const 0)))";
    assert_eq!(outcome(table, "call $f i32.const 0"), TOO_DEEP);
    let mutual = "(func $f call $g) (func $g call $h) (func $h (block (br_if 0 (i32.const 0)) call $f))";
    assert_eq!(outcome(mutual, "call $f i32.const 0"), TOO_DEEP);
    let start = "(func $f call $f) (start $f)";
    assert_eq!(outcome(start, "i32.const 0"), TOO_DEEP);
    // From one instance into the other and back.
    let text = r#"(component
        (core module $table (table (export "t") 1 funcref))
        (core module $a (type $f (func)) (import "t" "t" (table 1 funcref))
            (func $f (export "f") (call_indirect (type $f) (i32.const 0))))
        (core module $b (type $f (func)) (import "t" "t" (table 1 funcref)) (import "a" "f" (func $other))
            (func $f (call $other)) (elem (i32.const 0) $f)
            (memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
            (func (export "run") (result i32) (call $f) (i32.const 0)))
        (core instance $t (instantiate $table))
        (core instance $a (instantiate $a (with "t" (instance $t))))
        (core instance $b (instantiate $b (with "t" (instance $t)) (with "a" (instance $a))))
        (func (export "run") (result (result (error string)))
            (canon lift (core func $b "run") (memory (core memory $b "memory")) (realloc (core func $b "realloc")))))"#;
    let both = Workload::parse(wat::parse_str(text).unwrap()).unwrap();
    assert_eq!(prepare(&both, Limits::default(), None).run().unwrap().outcome, TOO_DEEP);
}

#[test]
fn what_returns_gives_its_depth_back() {
    let calls = |times: u32, call: &str| {
        format!(
            "(local $n i32) (local.set $n (i32.const {times}))
            (loop {call} (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) i32.const 0"
        )
    };
    // Each way out of a function, a million times.
    let leave = "(func $leaf) (func $f (param i32) (result i32)
        call $leaf
        (block (block (block (block (br_table 0 1 2 3 (local.get 0))) (return (i32.const 1))) (br 2 (i32.const 2))) (return (i32.const 3)))
        (loop (result i32) (if (result i32) (local.get 0) (then (br 2 (i32.const 4))) (else (i32.const 5)))))";
    assert_completes(leave, &calls(1_000_000, "(drop (call $f (i32.and (local.get $n) (i32.const 3))))"));
    // A call that takes the frame of its caller does not deepen it.
    let tail = "(func $f (param i32) (if (local.get 0) (then (return_call $f (i32.sub (local.get 0) (i32.const 1))))))";
    assert_completes(tail, "(call $f (i32.const 3000000)) i32.const 0");
    let indirect = "(type $t (func (param i32))) (table funcref (elem $f)) (func $f (param i32)
        (if (local.get 0) (then (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))))";
    assert_completes(indirect, "(call $f (i32.const 3000000)) i32.const 0");
}

#[test]
fn counting_changes_no_result() {
    let results = "(func $swap (param i32 i64) (result i64 i32) (call $nothing) (local.get 1) (local.get 0) (return)) (func $nothing)";
    let body = "(call $swap (i32.const 7) (i64.const 9)) (if (i32.ne (i32.const 7)) (then unreachable))
        (if (i64.ne (i64.const 9)) (then unreachable)) i32.const 0";
    assert_completes(results, body);
    let references = "(table 1 funcref) (func $f (result funcref) (call $g) (ref.null func)) (func $g)
        (func $pair (result funcref i32) (call $g) (ref.null func) (i32.const 1) return)";
    assert_completes(
        references,
        "(call $pair) drop drop (if (i32.eqz (ref.is_null (call $f))) (then unreachable)) i32.const 0",
    );
    let fibonacci = "(func $f (param i32) (result i64) (if (i32.lt_u (local.get 0) (i32.const 2)) (then (return (i64.extend_i32_u (local.get 0)))))
        (i64.add (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 2)))))";
    assert_completes(
        fibonacci,
        "(if (i64.ne (call $f (i32.const 20)) (i64.const 6765)) (then unreachable)) i32.const 0",
    );
    // Ten thousand levels of a small function, as a parser may need.
    let deep = "(func $f (param i32) (result i32) (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))";
    assert_completes(
        deep,
        "(if (i32.ne (call $f (i32.const 10000)) (i32.const 10000)) (then unreachable)) i32.const 0",
    );
}

#[test]
fn a_guest_cannot_reach_the_counter() {
    for (items, body) in [
        ("(func $f)", "(global.set 0 (i32.const 0)) call $f i32.const 0"),
        ("(global (mut i32) (i32.const 0))", "(global.set 1 (i32.const 0)) i32.const 0"),
        ("(func $f (br 1))", "call $f i32.const 0"),
        ("(export \"g\" (global 0))", "i32.const 0"),
        ("", "call 3 i32.const 0"),
        ("(elem declare func 3)", "i32.const 0"),
    ] {
        let error = SANDBOX.compile(&workload(items, body)).err();
        assert!(error.is_some_and(|error| error.to_string().contains("unknown")), "{items} {body}");
    }
}
