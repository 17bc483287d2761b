//! Hostile guests written by hand: what needs no more than a few instructions, or what no compiler makes.

use std::time::Duration;

use isobit_job::TrapCode::*;
use isobit_job::{FaultKind, LimitName};

use super::corpus::{ABI, Ends, Entry, FUEL, Guest, TOO_DEEP, code, limit};

/// A component of one module with these items, whose `run` has this body. All zeros at address 0 is success.
fn core(items: &str, body: &str) -> String {
    module(&format!(
        r#"(memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        {items} (func $run (export "run") (result i32) {body})"#
    ))
}

/// A component of one module, which exports `memory`, `realloc` and `run`.
fn module(items: &str) -> String {
    format!(
        r#"(component
            (core module $m {items})
            (core instance $i (instantiate $m))
            (func (export "run") (result (result (error string)))
                (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    )
}

/// A component that does nothing, with these parts before its module.
fn with(parts: &str) -> String {
    core("", "i32.const 0").replacen("(component", &format!("(component {parts}"), 1)
}

/// What of the host is imported by hand.
const HOST: &str = r#"
    (import "isobit:compute/report@0.1.0" (instance $report
        (type $level' (enum "error" "warn" "info" "debug"))
        (export "level" (type $level (eq $level')))
        (export "log" (func (param "level" $level) (param "message" string)))))
    (import "isobit:compute/gpu@0.1.0" (instance $gpu
        (type $location' (record (field "line" u32) (field "column" u32) (field "offset" u32) (field "length" u32)))
        (export "source-location" (type $location (eq $location')))
        (type $validation' (record (field "message" string) (field "location" (option $location))))
        (export "validation-error" (type $validation (eq $validation')))
        (type $memory' (record (field "requested" u64) (field "in-use" u64) (field "maximum" u64)))
        (export "out-of-memory" (type $memory (eq $memory')))
        (type $limit' (record (field "limit" string) (field "maximum" u64) (field "requested" u64)))
        (export "limit-exceeded" (type $limit (eq $limit')))
        (type $error' (variant (case "validation" $validation) (case "out-of-memory" $memory) (case "limit-exceeded" $limit)))
        (export "error" (type $error (eq $error')))
        (type $usage' (flags "storage" "uniform"))
        (export "buffer-usage" (type $usage (eq $usage')))
        (export "buffer" (type $buffer (sub resource)))
        (export "command-encoder" (type $encoder (sub resource)))
        (export "command-buffer" (type $commands (sub resource)))
        (export "[static]buffer.create" (func (param "size" u64) (param "usage" $usage)
            (result (result (own $buffer) (error $error)))))
        (export "[method]buffer.size" (func (param "self" (borrow $buffer)) (result u64)))
        (export "[method]buffer.write" (func (param "self" (borrow $buffer)) (param "offset" u64) (param "data" (list u8))
            (result (result (error $error)))))
        (export "[method]buffer.read" (func (param "self" (borrow $buffer)) (param "offset" u64) (param "length" u64)
            (result (result (list u8) (error $error)))))
        (export "[constructor]command-encoder" (func (result (own $encoder))))
        (export "[method]command-encoder.clear-buffer" (func (param "self" (borrow $encoder)) (param "buffer" (borrow $buffer))
            (param "offset" u64) (param "size" u64)))
        (export "[static]command-encoder.finish" (func (param "encoder" (own $encoder))
            (result (result (own $commands) (error $error)))))
        (export "submit" (func (param "commands" (list (own $commands))) (result (result (error $error)))))))
    (alias export $gpu "buffer" (type $buffer))
    (alias export $gpu "command-encoder" (type $encoder))"#;

/// The functions of the host, with their types in the module.
const CALLS: [(&str, &str, &str); 10] = [
    ("log", r#"canon lower (func $report "log")"#, "(param i32 i32 i32)"),
    ("create", r#"canon lower (func $gpu "[static]buffer.create")"#, "(param i64 i32 i32)"),
    ("size", r#"canon lower (func $gpu "[method]buffer.size")"#, "(param i32) (result i64)"),
    ("write", r#"canon lower (func $gpu "[method]buffer.write")"#, "(param i32 i64 i32 i32 i32)"),
    ("read", r#"canon lower (func $gpu "[method]buffer.read")"#, "(param i32 i64 i64 i32)"),
    ("encoder", r#"canon lower (func $gpu "[constructor]command-encoder")"#, "(result i32)"),
    ("clear", r#"canon lower (func $gpu "[method]command-encoder.clear-buffer")"#, "(param i32 i32 i64 i64)"),
    ("finish", r#"canon lower (func $gpu "[static]command-encoder.finish")"#, "(param i32 i32)"),
    ("submit", r#"canon lower (func $gpu "submit")"#, "(param i32 i32 i32)"),
    ("drop", "canon resource.drop $buffer", "(param i32)"),
];

/// `realloc` as it should be, more or less.
const REALLOC: &str = "i32.const 4096";

/// A component with so many pages of memory that imports [`HOST`] and calls it as the body says. The host's results go to address 64: the kind, and from address 72 a handle.
fn host(pages: u32, realloc: &str, body: &str) -> String {
    let memory = r#"(memory (core memory $l "memory")) (realloc (core func $l "realloc"))"#;
    let each = |make: &dyn Fn(&(&str, &str, &str)) -> String| CALLS.iter().map(make).collect::<String>();
    let lowered = each(&|(name, how, _)| {
        let options = if how.contains("lower") { memory } else { "" };
        format!("(core func ${name} ({how} {options}))")
    });
    let imported = each(&|(name, _, ty)| format!(r#"(import "host" "{name}" (func ${name} {ty}))"#));
    let given = each(&|(name, ..)| format!(r#"(export "{name}" (func ${name}))"#));
    format!(
        r#"(component {HOST}
            (core module $libc (memory (export "memory") {pages})
                (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
            (core instance $l (instantiate $libc))
            {lowered}
            (core module $m
                (import "libc" "memory" (memory {pages}))
                {imported}
                (func $buffer (result i32)
                    (call $create (i64.const 4096) (i32.const 1) (i32.const 64))
                    (if (i32.load8_u (i32.const 64)) (then unreachable))
                    (i32.load (i32.const 72)))
                (func $zero (result i32) (memory.fill (i32.const 0) (i32.const 0) (i32.const 64)) i32.const 0)
                (func (export "run") (result i32) {body}))
            (core instance $i (instantiate $m (with "libc" (instance $l)) (with "host" (instance {given}))))
            (func (export "run") (result (result (error string))) (canon lift (core func $i "run") {memory})))"#
    )
}

/// Two components: one takes a string in one encoding, the other gives it in another.
fn strings(from: &str, to: &str, call: &str) -> String {
    let libc =
        r#"(memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)"#;
    let memory = |of: &str| format!(r#"(memory (core memory ${of} "memory")) (realloc (core func ${of} "realloc"))"#);
    let (callee, caller) = (memory("i"), memory("l"));
    format!(
        r#"(component
            (component $taker
                (core module $m {libc} (func (export "f") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "f") (param "s" string) (canon lift (core func $i "f") string-encoding={to} {callee})))
            (instance $taker (instantiate $taker))
            (component $giver
                (import "f" (func $f (param "s" string)))
                (core module $libc {libc})
                (core instance $l (instantiate $libc))
                (core func $g (canon lower (func $f) string-encoding={from} {caller}))
                (core module $m (import "" "f" (func $f (param i32 i32)))
                    (func (export "run") (result i32) {call} i32.const 0))
                (core instance $i (instantiate $m (with "" (instance (export "f" (func $g))))))
                (func (export "run") (result (result (error string))) (canon lift (core func $i "run") {caller})))
            (instance $giver (instantiate $giver (with "f" (func $taker "f"))))
            (export "run" (func $giver "run")))"#
    )
}

const RANDOM: &str = r#"(import "wasi:random/random@0.2.0" (instance $w (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))"#;
const EXIT: &str = r#"(import "wasi:cli/exit@0.2.0" (instance $w (export "exit" (func (param "status" (result))))))"#;
const CLOCK: &str = r#"(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $pollable (sub resource)))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $w (export "pollable" (type $p (eq $pollable)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))"#;

/// A component that calls one function of WASI, `$f`.
fn wasi(import: &str, name: &str, ty: &str, body: &str) -> String {
    let memory = r#"(memory (core memory $l "memory")) (realloc (core func $l "realloc"))"#;
    format!(
        r#"(component {import}
            (core module $libc (memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
            (core instance $l (instantiate $libc))
            (core func $g (canon lower (func $w "{name}") {memory}))
            (core module $m (import "libc" "memory" (memory 1)) (import "w" "f" (func $f {ty}))
                (func (export "run") (result i32) {body} i32.const 0))
            (core instance $i (instantiate $m (with "libc" (instance $l)) (with "w" (instance (export "f" (func $g))))))
            (func (export "run") (result (result (error string))) (canon lift (core func $i "run") {memory})))"#
    )
}

const ENDLESS: &str = "(loop (br 0)) unreachable";

/// Grows memory by 1 MiB until that fails, and then does this.
fn grow(then: &str) -> String {
    format!("(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) {then}")
}

/// A component, in text.
fn text(name: &'static str, text: impl Fn() -> String + Send + Sync + 'static, ends: Ends) -> Entry {
    Entry::new(
        name,
        Guest::Component(Box::new(move || wat::parse_str(text()).unwrap_or_else(|error| panic!("{name}: {error}")))),
        ends,
    )
}

/// A component of one module, by items and body.
fn small(name: &'static str, items: &'static str, body: &'static str, ends: Ends) -> Entry {
    text(name, move || core(items, body), ends)
}

/// A component that calls the host.
fn calls(name: &'static str, body: &'static str, ends: Ends) -> Entry {
    text(name, move || host(1, REALLOC, body), ends)
}

fn bytes(name: &'static str, bytes: fn() -> Vec<u8>, ends: Ends) -> Entry {
    Entry::new(name, Guest::Component(Box::new(bytes)), ends)
}

fn not(message: &'static str) -> Ends {
    Ends::NotTaken(message)
}

pub fn guests() -> Vec<Entry> {
    let mut all = vec![];
    all.extend(loops());
    all.extend(memory());
    all.extend(traps());
    all.extend(bombs());
    all.extend(abi());
    all.extend(handles());
    all.extend(foreign());
    all.extend(advisories());
    all
}

fn loops() -> Vec<Entry> {
    vec![
        small("loop", "", ENDLESS, FUEL),
        small("loop until the deadline", "", ENDLESS, Ends::Faults(FaultKind::Deadline))
            .fuel(u64::MAX)
            .within(Duration::from_millis(500)),
        small("loops within loops", "", "(loop (loop (loop (br 0)) (br 1)) (br 0)) unreachable", FUEL),
        small("loop in calls", "(func $f) ", "(loop (call $f) (br 0)) unreachable", FUEL),
        small(
            "loop of bulk writes",
            "",
            "(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) (br 0)) unreachable",
            FUEL,
        ),
        small(
            "loop of moves within memory",
            "",
            "(loop (memory.copy (i32.const 1) (i32.const 0) (i32.const 65535)) (br 0)) unreachable",
            FUEL,
        ),
        small(
            "loop of table writes",
            "(table 100000 funcref)",
            "(loop (table.fill (i32.const 0) (ref.null func) (i32.const 100000)) (br 0)) unreachable",
            FUEL,
        ),
        small("a start function that never ends", "(func $start (loop (br 0))) (start $start)", "i32.const 0", FUEL),
        small(
            "a start function that traps",
            "(func $start unreachable) (start $start)",
            "i32.const 0",
            code(Unreachable),
        ),
        small("a start function without a bottom", "(func $start call $start) (start $start)", "i32.const 0", TOO_DEEP),
        small("recursion", "", "call $run", TOO_DEEP),
        small("recursion of two", "(func $f call $g) (func $g call $f)", "call $f i32.const 0", TOO_DEEP),
        small(
            "recursion through a table",
            "(table funcref (elem $f)) (type $t (func)) (func $f (call_indirect (type $t) (i32.const 0)))",
            "call $f i32.const 0",
            TOO_DEEP,
        ),
        text(
            "recursion of functions with many variables",
            || {
                core(
                    &format!("(func $f (param i64) (local {}) (call $f (local.get 5)))", "i64 ".repeat(900)),
                    "(call $f (i64.const 1)) i32.const 0",
                )
            },
            TOO_DEEP,
        ),
        small("tail calls without end", "(func $f return_call $f)", "call $f i32.const 0", FUEL),
        small(
            "recursion with tail calls between",
            "(func $f call $g) (func $g return_call $f)",
            "call $f i32.const 0",
            TOO_DEEP,
        ),
    ]
}

fn memory() -> Vec<Entry> {
    vec![
        text("memory.grow until it fails", || core("", &grow("unreachable")), limit(LimitName::GuestMemory)),
        text("memory.grow until it fails, and on", || core("", &grow("i32.const 0")), Ends::Completes),
        small(
            "memory.grow by all there is",
            "",
            "(if (i32.ne (memory.grow (i32.const -1)) (i32.const -1)) (then unreachable)) i32.const 0",
            Ends::Completes,
        ),
        small(
            "memory.grow in a loop that never grows",
            "",
            "(loop (drop (memory.grow (i32.const 65535))) (br 0)) unreachable",
            FUEL,
        ),
        text(
            "4 GiB of memory at once",
            || {
                module(
                    r#"(memory (export "memory") 65536) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0) (func (export "run") (result i32) i32.const 0)"#,
                )
            },
            limit(LimitName::GuestMemory),
        ),
        text(
            "a memory that its own limit forbids to grow",
            || {
                module(
                    r#"(memory (export "memory") 1 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0) (func (export "run") (result i32) (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) i32.const 0)"#,
                )
            },
            Ends::Completes,
        ),
        small(
            "table.grow until it fails",
            "(table 1 funcref)",
            "(loop (br_if 0 (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1)))) (if (i32.gt_u (table.size) (i32.const 100000)) (then unreachable)) i32.const 0",
            Ends::Completes,
        ),
        text("many tables", || core(&"(table 1000 funcref)".repeat(32), "i32.const 0"), Ends::Completes),
        text("more tables than there is room for", || core(&"(table 1 funcref)".repeat(33), "i32.const 0"), not("32")),
        small(
            "a data segment beyond memory",
            r#"(data (i32.const 65535) "ab")"#,
            "i32.const 0",
            code(MemoryOutOfBounds),
        ),
        small("a data segment at -1", r#"(data (i32.const -1) "a")"#, "i32.const 0", code(MemoryOutOfBounds)),
        small(
            "a passive segment after it was dropped",
            r#"(data $d "abcdef")"#,
            "(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 6)) i32.const 0",
            code(MemoryOutOfBounds),
        ),
        small("a load at the last byte", "", "(i32.load (i32.const 65535))", code(MemoryOutOfBounds)),
        small(
            "a load with the largest offset",
            "",
            "(i32.load offset=0xffffffff (i32.const -1))",
            code(MemoryOutOfBounds),
        ),
        small(
            "a store beyond, at an address that wraps",
            "",
            "(i64.store offset=0xfffffff9 (i32.const 8) (i64.const 7)) i32.const 0",
            code(MemoryOutOfBounds),
        ),
        small(
            "a vector store across the end",
            "",
            "(v128.store (i32.const 65528) (v128.const i64x2 1 2)) i32.const 0",
            code(MemoryOutOfBounds),
        ),
        small(
            "memory.fill across the end writes nothing",
            "",
            "(memory.fill (i32.const 65530) (i32.const 7) (i32.const 7)) i32.const 0",
            code(MemoryOutOfBounds),
        ),
        small(
            "memory.copy of 4 GiB",
            "",
            "(memory.copy (i32.const 0) (i32.const 1) (i32.const -1)) i32.const 0",
            code(MemoryOutOfBounds),
        ),
        small(
            "table.get beyond",
            "(table 10 funcref)",
            "(drop (table.get (i32.const 10))) i32.const 0",
            code(TableOutOfBounds),
        ),
        small(
            "table.set at -1",
            "(table 10 funcref)",
            "(table.set (i32.const -1) (ref.null func)) i32.const 0",
            code(TableOutOfBounds),
        ),
        small(
            "an element segment beyond the table",
            "(table 1 funcref) (func $f) (elem (i32.const 1) $f)",
            "i32.const 0",
            code(TableOutOfBounds),
        ),
        small(
            "table.init of a dropped segment",
            "(table 10 funcref) (func $f) (elem $e func $f)",
            "(elem.drop $e) (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)) i32.const 0",
            code(TableOutOfBounds),
        ),
    ]
}

fn traps() -> Vec<Entry> {
    let table = "(type $v (func)) (type $i (func (result i32))) (func $f) (table 4 funcref) (elem (i32.const 0) $f)";
    vec![
        small("unreachable", "", "unreachable", code(Unreachable)),
        small(
            "a call through nothing",
            table,
            "(call_indirect (type $v) (i32.const 1)) i32.const 0",
            code(IndirectCallToNull),
        ),
        small("a call by another type", table, "(call_indirect (type $i) (i32.const 0))", code(BadSignature)),
        small(
            "a call beyond the table",
            table,
            "(call_indirect (type $v) (i32.const -1)) i32.const 0",
            code(TableOutOfBounds),
        ),
        small("a division by zero", "", "(i32.div_s (i32.const 1) (i32.const 0))", code(IntegerDivisionByZero)),
        small(
            "a remainder by zero",
            "",
            "(i32.wrap_i64 (i64.rem_u (i64.const 1) (i64.const 0)))",
            code(IntegerDivisionByZero),
        ),
        small(
            "a quotient that does not fit",
            "",
            "(i32.div_s (i32.const 0x80000000) (i32.const -1))",
            code(IntegerOverflow),
        ),
        small("a float that is no integer", "", "(i32.trunc_f32_s (f32.const nan))", code(BadConversionToInteger)),
        small("a float that does not fit", "", "(i32.trunc_f64_u (f64.const 1e300))", code(IntegerOverflow)),
    ]
}

fn bombs() -> Vec<Entry> {
    vec![
        text(
            "a hundred thousand functions",
            || core(&"(func)".repeat(100_000), "i32.const 0"),
            not("100000 functions; at most 65536 are allowed"),
        ),
        text("ten thousand functions", || core(&"(func)".repeat(10_000), "i32.const 0"), Ends::Completes),
        text(
            "a million local variables",
            || core(&format!("(func (local {}))", "i32 ".repeat(1_000_000)), "i32.const 0"),
            not("1000000 local variables in one function; at most 10000 are allowed"),
        ),
        text(
            "ten thousand local variables",
            || core(&format!("(func $f {})", "(local v128)".repeat(10_000)), "call $f i32.const 0"),
            Ends::Completes,
        ),
        text(
            "a br_table of a million",
            || core("", &format!("(block (br_table {} (i32.const 7))) i32.const 0", "0 ".repeat(1_000_000))),
            not("bytes of code in one function; at most 524288 are allowed"),
        ),
        text(
            "a br_table of a hundred thousand",
            || core("", &format!("(block (br_table {} (i32.const -1))) i32.const 0", "0 ".repeat(100_000))),
            Ends::Completes,
        ),
        text(
            "a br_table of a thousand blocks",
            || {
                let cases = (0..1000).map(|case| format!("{case} ")).collect::<String>();
                core(
                    "",
                    &format!(
                        "{} (br_table {cases} (i32.const 500)) {} i32.const 0",
                        "block ".repeat(1000),
                        "end ".repeat(1000)
                    ),
                )
            },
            Ends::Completes,
        ),
        text(
            "a function of a megabyte",
            || core("", &format!("{} i32.const 0", "(drop (i32.const 1))".repeat(400_000))),
            not("bytes of code in one function; at most 524288 are allowed"),
        ),
        text(
            "fifty thousand blocks within blocks",
            || core("", &format!("{} {} i32.const 0", "block ".repeat(50_000), "end ".repeat(50_000))),
            Ends::Completes,
        ),
        text(
            "ten thousand operands on the stack",
            || core("", &format!("{} {}", "(i32.load (i32.const 0)) ".repeat(10_000), "i32.add ".repeat(9_999))),
            Ends::Completes,
        ),
        text(
            "a thousand parameters and results",
            || {
                let numbers = "i64 ".repeat(1000);
                core(&format!("(func $f (param {numbers}) (result {numbers}) unreachable)"), "i32.const 0")
            },
            Ends::Completes,
        ),
        text(
            "1001 parameters",
            || core(&format!("(func $f (param {}))", "i64 ".repeat(1001)), "i32.const 0"),
            not("parameter"),
        ),
        text(
            "seventy thousand globals",
            || core(&"(global i32 (i32.const 1))".repeat(70_000), "i32.const 0"),
            not("70000 globals; at most 65536 are allowed"),
        ),
        text(
            "a table of four billion",
            || core("(table 0xffffffff funcref)", "i32.const 0"),
            not("4294967295 elements in tables; at most 1048576 are allowed"),
        ),
        text(
            "257 modules",
            || format!("(component {})", "(core module)".repeat(257)),
            not("257 modules; at most 256 are allowed"),
        ),
        text(
            "33 instances",
            || format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(33)),
            not("33 instances of modules; at most 32 are allowed"),
        ),
        text(
            "instances that double with each level",
            || {
                let levels = (1..30).map(|level| format!("(component $c{level} (alias outer 1 $c{} (component $x)) (instance (instantiate $x)) (instance (instantiate $x)))", level - 1));
                format!(
                    "(component (component $c0 (core module $m) (core instance (instantiate $m))) {} (instance (instantiate $c29)))",
                    levels.collect::<String>()
                )
            },
            not("instances of modules; at most 32 are allowed"),
        ),
        text(
            "components within components, 500 deep",
            || format!("{}{}", "(component ".repeat(500), ")".repeat(500)),
            not("components; at most 256 are allowed"),
        ),
        text(
            "a type that doubles with each level",
            || {
                let levels =
                    (1..40).map(|level| format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1)).collect::<String>();
                with(&format!(
                    "(type $t0 (tuple u64 u64)) {levels} (import \"wasi:io/x@0.2.0\" (func (param \"a\" $t39)))"
                ))
            },
            not(""),
        ),
        text(
            "sixty thousand exports",
            || core(&(0..60_000).map(|at| format!("(func (export \"f{at}\"))")).collect::<String>(), "i32.const 0"),
            Ends::Completes,
        ),
        text(
            "two hundred data segments of 64 KiB",
            || core(&format!("(data \"{}\")", "a".repeat(65_536)).repeat(200), "i32.const 0"),
            Ends::Completes,
        ),
    ]
}

fn abi() -> Vec<Entry> {
    vec![
        calls("a log line of 4 GiB", "(call $log (i32.const 0) (i32.const 0) (i32.const -1)) i32.const 0", ABI),
        calls("a log line beyond memory", "(call $log (i32.const 0) (i32.const -16) (i32.const 8)) i32.const 0", ABI),
        calls(
            "a log line that wraps around",
            "(call $log (i32.const 0) (i32.const -1) (i32.const -1)) i32.const 0",
            ABI,
        ),
        calls(
            "a log line that is not UTF-8",
            "(i32.store (i32.const 128) (i32.const 0xfffefdfc)) (call $log (i32.const 0) (i32.const 128) (i32.const 4)) i32.const 0",
            ABI,
        ),
        calls(
            "a log level that there is not",
            "(call $log (i32.const 99) (i32.const 0) (i32.const 1)) i32.const 0",
            ABI,
        ),
        text(
            "a log line over what one call may pass",
            || host(4700, REALLOC, "(call $log (i32.const 0) (i32.const 0) (i32.const 0x12000000)) i32.const 0"),
            limit(LimitName::HostCallBytes),
        )
        .guest_memory(512)
        .fuel(10_000_000_000),
        calls(
            "a list of 4 GiB for a buffer",
            "(call $write (call $buffer) (i64.const 0) (i32.const 0) (i32.const -1) (i32.const 64)) i32.const 0",
            ABI,
        ),
        calls(
            "a list of four billion handles",
            "(call $submit (i32.const 0) (i32.const -1) (i32.const 64)) i32.const 0",
            ABI,
        ),
        calls(
            "a list of a billion handles, which overflows",
            "(call $submit (i32.const 0) (i32.const 0x40000000) (i32.const 64)) i32.const 0",
            ABI,
        ),
        calls(
            "a list that is not aligned",
            "(call $submit (i32.const 1) (i32.const 1) (i32.const 64)) i32.const 0",
            ABI,
        ),
        calls(
            "a list of handles that there are not",
            "(call $submit (i32.const 128) (i32.const 1000) (i32.const 64)) i32.const 0",
            ABI,
        ),
        calls("a result beyond memory", "(call $create (i64.const 4) (i32.const 1) (i32.const -8)) i32.const 0", ABI),
        calls(
            "a result at an odd address",
            "(call $create (i64.const 4) (i32.const 1) (i32.const 65)) i32.const 0",
            ABI,
        ),
        text(
            "realloc that gives what is not there",
            || {
                host(
                    1,
                    "i32.const -16",
                    "(call $read (call $buffer) (i64.const 0) (i64.const 4096) (i32.const 64)) (call $zero)",
                )
            },
            ABI,
        ),
        text(
            "realloc that traps",
            || {
                host(
                    1,
                    "unreachable",
                    "(call $read (call $buffer) (i64.const 0) (i64.const 4096) (i32.const 64)) (call $zero)",
                )
            },
            code(Unreachable),
        ),
        text(
            "realloc that never ends",
            || {
                host(
                    1,
                    ENDLESS,
                    "(call $read (call $buffer) (i64.const 0) (i64.const 4096) (i32.const 64)) (call $zero)",
                )
            },
            FUEL,
        ),
        text(
            "realloc without a bottom",
            || {
                host(
                    1,
                    "(call $realloc (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
                    "(call $read (call $buffer) (i64.const 0) (i64.const 4096) (i32.const 64)) (call $zero)",
                )
            },
            TOO_DEEP,
        ),
        small("a result of run beyond memory", "", "i32.const -16", ABI),
        small("a result of run at an odd address", "", "i32.const 2", ABI),
        small("a result of run of no known kind", "", "(i32.store8 (i32.const 0) (i32.const 7)) i32.const 0", ABI),
        small(
            "an error of 4 GiB",
            "",
            "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 8) (i32.const -1)) i32.const 0",
            ABI,
        ),
        small(
            "an error that is not UTF-8",
            "",
            "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 16)) (i32.store (i32.const 8) (i32.const 1)) (i32.store8 (i32.const 16) (i32.const 255)) i32.const 0",
            ABI,
        ),
        text(
            "a clean-up after run that never ends",
            || {
                core("(func (export \"post\") (param i32) (loop (br 0)))", "i32.const 0").replace(
                    r#"(realloc (core func $i "realloc"))"#,
                    r#"(realloc (core func $i "realloc")) (post-return (core func $i "post"))"#,
                )
            },
            FUEL,
        ),
        text(
            "a clean-up after run that traps",
            || {
                core("(func (export \"post\") (param i32) unreachable)", "i32.const 0").replace(
                    r#"(realloc (core func $i "realloc"))"#,
                    r#"(realloc (core func $i "realloc")) (post-return (core func $i "post"))"#,
                )
            },
            code(Unreachable),
        ),
    ]
}

fn handles() -> Vec<Entry> {
    vec![
        calls("a handle of nothing", "(drop (call $size (i32.const 0))) i32.const 0", ABI),
        calls("a handle that was never given", "(drop (call $size (i32.const 77))) i32.const 0", ABI),
        calls("the last handle", "(drop (call $size (i32.const -1))) i32.const 0", ABI),
        calls("a handle after it was dropped", "(local $b i32) (local.set $b (call $buffer)) (call $drop (local.get $b)) (drop (call $size (local.get $b))) i32.const 0", ABI),
        calls("a handle dropped twice", "(local $b i32) (local.set $b (call $buffer)) (call $drop (local.get $b)) (call $drop (local.get $b)) i32.const 0", ABI),
        calls("a handle of another kind", "(drop (call $size (call $encoder))) i32.const 0", ABI),
        calls("an encoder finished twice", "(local $e i32) (local.set $e (call $encoder)) (call $finish (local.get $e) (i32.const 64)) (call $finish (local.get $e) (i32.const 64)) i32.const 0", ABI),
        calls("commands submitted twice in one list", "(call $finish (call $encoder) (i32.const 64)) (i32.store (i32.const 128) (i32.load (i32.const 72))) (i32.store (i32.const 132) (i32.load (i32.const 72))) (call $submit (i32.const 128) (i32.const 2) (i32.const 64)) i32.const 0", ABI),
        calls("commands of a buffer that was dropped", "(local $e i32) (local $b i32)
            (local.set $b (call $buffer)) (local.set $e (call $encoder))
            (call $clear (local.get $e) (local.get $b) (i64.const 0) (i64.const 4096)) (call $drop (local.get $b))
            (call $finish (local.get $e) (i32.const 64)) (if (i32.load8_u (i32.const 64)) (then unreachable))
            (i32.store (i32.const 128) (i32.load (i32.const 72))) (call $submit (i32.const 128) (i32.const 1) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then unreachable)) (call $zero)", Ends::Completes),
        calls("handles without end", "(loop (drop (call $encoder)) (br 0)) unreachable", limit(LimitName::Handles)).fuel(1_000_000_000),
    ]
}

fn foreign() -> Vec<Entry> {
    vec![
        bytes("nothing", Vec::new, not("the file is empty")),
        bytes("a core module", || wat::parse_str("(module)").unwrap(), not("this is a core WebAssembly module")),
        bytes(
            "a component cut short",
            || {
                let mut component = wat::parse_str(core("", "i32.const 0")).unwrap();
                component.truncate(component.len() - 20);
                component
            },
            not("it is damaged or cut short"),
        ),
        bytes(
            "a section longer than the file",
            || [b"\0asm\x0d\0\x01\0".as_slice(), b"\x00\xff\xff\xff\xff\x0f"].concat(),
            not("it is damaged or cut short"),
        ),
        bytes(
            "64 MiB and one byte",
            || {
                let mut bytes = wat::parse_str(core("", "i32.const 0")).unwrap();
                bytes.resize((64 << 20) + 1, 0);
                bytes
            },
            not("at most 67108864 are allowed"),
        ),
        text(
            "an interface that is not offered",
            || with(r#"(import "wasi:http/types@0.2.0" (instance))"#),
            not("wasi:http/types@0.2.0"),
        ),
        text(
            "streams of WASI 0.3",
            || with(r#"(import "wasi:cli/stdout@0.3.0" (instance))"#),
            not("wasi:cli/stdout@0.3.0"),
        ),
        text(
            "a call that the interface has not",
            || with(r#"(import "isobit:compute/io@0.1.0" (instance (export "exec" (func (param "path" string)))))"#),
            not("exec"),
        ),
        text(
            "run of another type",
            || {
                r#"(component (core module $m (func (export "run"))) (core instance $i (instantiate $m)) (func (export "run") (canon lift (core func $i "run"))))"#.to_owned()
            },
            not("run"),
        ),
        text("no run", || "(component)".to_owned(), not("does not export `run`")),
        small("shared memory", "(memory $s 1 1 shared)", "i32.const 0", not("")),
        small("64-bit memory", "(memory $s i64 1)", "i32.const 0", not("")),
        text(
            "4 GiB of randomness",
            || wasi(RANDOM, "get-random-bytes", "(param i64 i32)", "(call $f (i64.const 0xffffffff) (i32.const 64))"),
            not(""),
        ),
        text(
            "randomness for as long as there is fuel",
            || {
                wasi(
                    RANDOM,
                    "get-random-bytes",
                    "(param i64 i32)",
                    "(loop (call $f (i64.const 1000) (i32.const 64)) (br 0))",
                )
            },
            FUEL,
        ),
        text(
            "an exit in the middle",
            || wasi(EXIT, "exit", "(param i32)", "(call $f (i32.const 0)) unreachable"),
            Ends::Completes,
        ),
        text(
            "an exit with an error",
            || wasi(EXIT, "exit", "(param i32)", "(call $f (i32.const 1)) unreachable"),
            Ends::Says("exit status 1"),
        ),
        text(
            "a sleep of 584 years",
            || wasi(CLOCK, "subscribe-duration", "(param i64) (result i32)", "(drop (call $f (i64.const -1)))"),
            Ends::Completes,
        ),
        text(
            "sleeps without end, none of them dropped",
            || {
                wasi(
                    CLOCK,
                    "subscribe-duration",
                    "(param i64) (result i32)",
                    "(loop (drop (call $f (i64.const -1))) (br 0))",
                )
            },
            limit(LimitName::Handles),
        ),
    ]
}

/// Guests that would do harm if wasmtime had the holes that were found in it, where they lie in what is used here: the component model, Cranelift on this processor, the pooling
/// allocator, fuel and epochs. Those in Winch, garbage collection, exceptions, threads, async, the C API, WASI's files and other processors are out of reach: what they need is
/// switched off, or not there.
fn advisories() -> Vec<Entry> {
    vec![
        small("RUSTSEC-2023-0090: a shifted address with an offset", "", "(i32.load offset=0x7fff0000 (i32.shl (i32.load (i32.const 8)) (i32.const 3)))", code(MemoryOutOfBounds)),
        small("RUSTSEC-2023-0090: a shifted address that wraps", "(data (i32.const 8) \"\\ff\\ff\\ff\\3f\")", "(i32.load offset=0x20 (i32.shl (i32.load (i32.const 8)) (i32.const 3)))", code(MemoryOutOfBounds)),
        small("RUSTSEC-2023-0091: i64x2.shr_s by a constant", "", "(local $v v128) (local.set $v (i64x2.shr_s (v128.load (i32.const 16)) (i32.const 63)))
            (if (i64.ne (i64x2.extract_lane 1 (local.get $v)) (i64.const 0)) (then unreachable))
            (i64.store (i32.const 16) (i64.const -5)) (local.set $v (i64x2.shr_s (v128.load (i32.const 16)) (i32.const 1)))
            (if (i64.ne (i64x2.extract_lane 0 (local.get $v)) (i64.const -3)) (then unreachable)) i32.const 0", Ends::Completes),
        small("RUSTSEC-2023-0093: a shuffle of one vector twice", "", "(local $v v128) (local.set $v (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))
            (v128.store (i32.const 16) (local.get $v)) (local.set $v (v128.load (i32.const 16)))
            (local.set $v (i8x16.shuffle 31 0 30 1 29 2 28 3 27 4 26 5 25 6 24 7 (local.get $v) (local.get $v)))
            (if (i64.ne (i64x2.extract_lane 0 (local.get $v)) (i64.const 0x030c020d010e000f)) (then unreachable)) i32.const 0", Ends::Completes),
        small("RUSTSEC-2026-0006: f64.copysign of a load at the end", "", "(local $f f64) (f64.store (i32.const 65528) (f64.const -1))
            (local.set $f (f64.copysign (f64.const 3) (f64.load (i32.const 65528))))
            (if (f64.ne (local.get $f) (f64.const -3)) (then unreachable)) (drop (f64.copysign (f64.const 3) (f64.load (i32.const 65529)))) i32.const 0", code(MemoryOutOfBounds)),
        small("RUSTSEC-2026-0087: f64x2.splat of a load at the end", "", "(local $v v128) (local.set $v (f64x2.splat (f64.load (i32.const 65528))))
            (drop (f64x2.extract_lane 0 (f64x2.splat (f64.load (i32.const 65529))))) i32.const 0", code(MemoryOutOfBounds)),
        text("RUSTSEC-2022-0102: a memory without pages", || module(r#"(memory (export "memory") 0) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0) (func (export "run") (result i32) (i32.load (i32.const 0)))"#), code(MemoryOutOfBounds)),
        small("RUSTSEC-2024-0440: a tail call to what traps", "(func $f return_call $g) (func $g (result) unreachable)", "call $f i32.const 0", code(Unreachable)),
        small("RUSTSEC-2024-0441: a dropped segment of externref", "(table 1 externref) (elem $e externref (ref.null extern))", "(elem.drop $e) (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)) i32.const 0", not("")),
        small("RUSTSEC-2022-0096: a global of externref", "(global (mut externref) (ref.null extern))", "i32.const 0", not("")),
        calls("RUSTSEC-2026-0085: flags that there are not", "(call $create (i64.const 4096) (i32.const -1) (i32.const 64)) (if (i32.load8_u (i32.const 64)) (then unreachable)) (call $zero)", Ends::Completes),
        text("RUSTSEC-2026-0091: UTF-16 to UTF-8, at the end of memory", || strings("utf16", "utf8", "(call $f (i32.const 65534) (i32.const 2))"), ABI),
        text("RUSTSEC-2026-0091: UTF-8 to UTF-16, of 2 GiB", || strings("utf8", "utf16", "(call $f (i32.const 0) (i32.const 0x7fffffff))"), ABI),
        text("RUSTSEC-2026-0092: UTF-16 at an odd address", || strings("utf16", "utf8", "(call $f (i32.const 1) (i32.const 10))"), ABI),
        text("RUSTSEC-2026-0093: UTF-16 to Latin-1", || strings("utf16", "latin1+utf16", "(call $f (i32.const 0) (i32.const 0x80000010))"), ABI),
        text("RUSTSEC-2026-0093: UTF-16 to Latin-1, at the end of memory", || strings("utf16", "latin1+utf16", "(call $f (i32.const 65532) (i32.const 8))"), ABI),
        text("strings from one component to another", || strings("utf16", "latin1+utf16", "(call $f (i32.const 0) (i32.const 100))"), Ends::Completes),
        small("RUSTSEC-2026-0114: a table beyond the address space", "(table i64 0xffffffffffff funcref)", "i32.const 0", not("")),
        small("RUSTSEC-2026-0223: fuel that runs out in the middle of bulk operations", "(table 100000 funcref) (func $f) (elem declare func $f)", "(loop
            (table.fill (i32.const 1) (ref.func $f) (i32.const 99999)) (table.copy (i32.const 0) (i32.const 1) (i32.const 99999))
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (drop (table.grow (ref.func $f) (i32.const 0))) (br 0)) unreachable", FUEL),
        small("RUSTSEC-2026-0315: call_ref", "(type $t (func)) (func $f (type $t)) (elem declare func $f)", "(call_ref $t (ref.func $f)) i32.const 0", not("")),
        small("RUSTSEC-2026-0325: tags of exceptions", "(tag)", "i32.const 0", not("")),
    ]
}
