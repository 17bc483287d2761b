//! Every call of the host costs fuel, by whatever way a guest makes it, and more for what it moves.

use super::{SANDBOX, guest_with, prepare, run};
use isobit_job::{COMPILE_FUEL_PER_BYTE, Fuel, Limits, Outcome, Trap};
use isobit_sandbox::{Workload, limits};

const CLOCK: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
    (core func $now (canon lower (func $clock "now")))"#;
const NOW: &str = r#"(import "clock" "now" (func $now (result i64)))"#;
const WITH_NOW: &str = r#"(with "clock" (instance (export "now" (func $now))))"#;

/// A guest that repeats this `times` times.
fn repeated(times: u32, what: &str) -> String {
    format!(
        "(local $n i32) (local.set $n (i32.const {times}))
        (loop {what} (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) i32.const 0"
    )
}

/// What the guest's run costs, compiling aside.
fn cost(workload: &Workload) -> u64 {
    let finished = prepare(workload, Limits::default(), None).run().unwrap();
    assert_eq!(finished.outcome, Outcome::Completed);
    finished.cost.guest_fuel.get() - workload.blob().size.get() * COMPILE_FUEL_PER_BYTE
}

/// What one more turn of this costs.
fn price(items: &str, what: &str) -> u64 {
    let of = |times| cost(&guest_with(CLOCK, &format!("{NOW} {items}"), WITH_NOW, &repeated(times, what)));
    (of(1100) - of(100)) / 1000
}

fn assert_pays(items: &str, what: &str) {
    let (paid, call) = (price(items, what), u64::from(limits::HOST_CALL_FUEL));
    assert!((call..call + 40).contains(&paid), "{paid} for {what}");
}

#[test]
fn a_call_of_the_host_costs_more_than_an_instruction_however_it_is_made() {
    assert_pays("", "(drop (call $now))");
    // Through a table that the module fills in each of the ways there are.
    let indirect = "(drop (call_indirect (type $t) (i32.const 0)))";
    for items in [
        "(table funcref (elem $now))",
        "(table 1 funcref) (elem (i32.const 0) func $now)",
        "(table 1 funcref) (elem (i32.const 0) funcref (ref.func $now))",
        "(table 1 funcref) (global $g funcref (ref.func $now)) (func $fill (table.set (i32.const 0) (global.get $g))) (start $fill)",
        "(table 1 funcref) (elem declare func $now) (func $fill (table.set (i32.const 0) (ref.func $now))) (start $fill)",
        "(table 1 funcref) (elem $e func $now) (func $fill (table.init $e (i32.const 0) (i32.const 0) (i32.const 1))) (start $fill)",
    ] {
        assert_pays(&format!("(type $t (func (result i64))) {items}"), indirect);
    }
    // As the end of another function, also from within blocks.
    assert_pays("(func $f (result i64) (return_call $now))", "(drop (call $f))");
    assert_pays("(func $f (result i64) (block (loop (return_call $now))) unreachable)", "(drop (call $f))");
    let tail = "(type $t (func (result i64))) (table funcref (elem $now)) (func $f (result i64) (return_call_indirect (type $t) (i32.const 0)))";
    assert_pays(tail, "(drop (call $f))");
}

/// A component with these modules and instances before the guest's own, which imports `f` from the instance `other`.
fn behind(others: &str, times: u32) -> Workload {
    let body = repeated(times, "(drop (call $f))");
    guest_with(
        &format!("{CLOCK} {others}"),
        r#"(import "other" "f" (func $f (result i64)))"#,
        r#"(with "other" (instance $other))"#,
        &body,
    )
}

#[test]
fn modules_call_each_other_for_nothing_more_but_the_host_behind_them_is_paid() {
    let of = |others: &str| (cost(&behind(others, 1100)) - cost(&behind(others, 100))) / 1000;
    let own =
        of(r#"(core module $o (func (export "f") (result i64) i64.const 1)) (core instance $other (instantiate $o))"#);
    assert!(own < 40, "{own}");
    let call = u64::from(limits::HOST_CALL_FUEL);
    for others in [
        // A module that calls the host, and one that only hands its import on.
        format!(r#"(core module $o {NOW} (func (export "f") (result i64) call $now)) (core instance $other (instantiate $o {WITH_NOW}))"#),
        format!(r#"(core module $o {NOW} (export "f" (func $now))) (core instance $other (instantiate $o {WITH_NOW}))"#),
        // Out of an instance, into another, and under another name.
        r#"(core instance $names (export "x" (func $now))) (alias core export $names "x" (core func $again))
            (core module $o (import "y" "z" (func $z (result i64))) (export "f" (func $z)))
            (core instance $other (instantiate $o (with "y" (instance (export "z" (func $again))))))"#
            .to_owned(),
        // A module of no code that puts the function into another's table, as toolchains do it.
        r#"(core module $o (type $t (func (result i64))) (table (export "t") 1 1 funcref) (func (export "f") (result i64) (call_indirect (type $t) (i32.const 0))))
            (core instance $other (instantiate $o))
            (core module $fill (import "" "f" (func $f (result i64))) (import "" "t" (table 1 1 funcref)) (elem (i32.const 0) func $f))
            (core instance (instantiate $fill (with "" (instance (export "f" (func $now)) (export "t" (table $other "t"))))))"#
            .to_owned(),
        // The same module, once with a function of its own kind and once with the host's.
        format!(
            r#"(core module $plain (func (export "now") (result i64) i64.const 1)) (core instance $plain (instantiate $plain))
            (core module $o {NOW} (func (export "f") (result i64) call $now))
            (core instance (instantiate $o (with "clock" (instance $plain))))
            (core instance $other (instantiate $o {WITH_NOW}))"#
        ),
    ] {
        let paid = of(&others);
        assert!((call..call + 100).contains(&paid), "{paid} for {others}");
    }
}

#[test]
fn components_in_a_component_pay_for_the_host_and_for_each_other() {
    let of = |times| {
        let text = format!(
            r#"(component {CLOCK} (alias export $clock "now" (func $n))
                (component $inner (import "now" (func $n (result u64))) (core func $now (canon lower (func $n)))
                    (core module $i (import "" "now" (func $now (result i64))) (func (export "g") (result i64) call $now))
                    (core instance $i (instantiate $i (with "" (instance (export "now" (func $now))))))
                    (func (export "g") (result u64) (canon lift (core func $i "g"))))
                (component $outer (import "g" (func $g (result u64))) (core func $g (canon lower (func $g)))
                    (core module $o (import "" "g" (func $g (result i64)))
                        (memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                        (func (export "run") (result i32) {}))
                    (core instance $o (instantiate $o (with "" (instance (export "g" (func $g))))))
                    (func (export "run") (result (result (error string)))
                        (canon lift (core func $o "run") (memory (core memory $o "memory")) (realloc (core func $o "realloc")))))
                (instance $inner (instantiate $inner (with "now" (func $n))))
                (instance $outer (instantiate $outer (with "g" (func $inner "g"))))
                (export "run" (func $outer "run")))"#,
            repeated(times, "(drop (call $g))")
        );
        cost(&Workload::parse(wat::parse_str(text).unwrap()).unwrap())
    };
    let (paid, call) = ((of(1100) - of(100)) / 1000, u64::from(limits::HOST_CALL_FUEL));
    assert!((2 * call..2 * call + 100).contains(&paid), "{paid}");
}

#[test]
fn a_guest_of_nothing_but_calls_ends_when_its_fuel_does() {
    let workload = guest_with(CLOCK, NOW, WITH_NOW, "(loop (drop (call $now)) (br 0)) unreachable");
    let fuel = workload.blob().size.get() * COMPILE_FUEL_PER_BYTE + 10_000_000;
    let limits = Limits { fuel: Fuel::saturating_from(fuel), ..Limits::default() };
    let finished = prepare(&workload, limits, None).run().unwrap();
    assert_eq!(finished.outcome, Outcome::Trapped(Trap::Fuel));
    assert_eq!(finished.cost.guest_fuel.get(), fuel);
}

#[test]
fn what_a_call_moves_is_paid_by_the_byte() {
    let cost = |count: u64| {
        let imports = r#"(import "wasi:random/random@0.2.0" (instance $random (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
            (core module $libc (memory (export "memory") 20) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
            (core instance $libc (instantiate $libc))
            (core func $bytes (canon lower (func $random "get-random-bytes") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#;
        let workload = guest_with(
            imports,
            r#"(import "" "bytes" (func $bytes (param i64 i32)))"#,
            r#"(with "" (instance (export "bytes" (func $bytes))))"#,
            // The same size of text for any count.
            &format!("(call $bytes (i64.const {count:07}) (i32.const 8)) i32.const 0"),
        );
        let finished = prepare(&workload, Limits::default(), None).run().unwrap();
        assert_eq!(finished.outcome, Outcome::Completed);
        finished.cost.guest_fuel.get() - workload.blob().size.get() * COMPILE_FUEL_PER_BYTE
    };
    assert_eq!(cost(1_000_000) - cost(500_000), 500_000 * limits::ITEM_FUEL);
}

#[test]
fn modules_as_values_are_refused_because_nobody_sees_what_they_import() {
    for text in [
        "(component (core module $m) (component (alias outer 1 $m (core module $n))))",
        r#"(component (core module $m) (export "m" (core module $m)))"#,
        r#"(component (import "m" (core module)))"#,
    ] {
        let error = Workload::parse(wat::parse_str(text).unwrap()).err().unwrap().to_string();
        assert!(error.contains("modules that are handed over as values"), "{error}");
    }
    assert!(run("i32.const 0").is_ok());
    assert!(SANDBOX.compile(&guest_with(CLOCK, NOW, WITH_NOW, "i32.const 0")).is_ok());
}
