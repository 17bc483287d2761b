//! Hostile guests written by hand: what needs no more than a few instructions, or what no compiler makes.

mod advisories;
mod bombs;
mod host;
mod run;

use super::corpus::{Ends, Entry, Guest};

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
    let parts = [
        run::loops(),
        run::memory(),
        run::traps(),
        run::tenants(),
        bombs::bombs(),
        bombs::foreign(),
        host::abi(),
        host::handles(),
        advisories::advisories(),
    ];
    parts.into_iter().flatten().collect()
}
