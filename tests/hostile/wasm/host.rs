//! Calls of the host that no compiler makes: wrong pointers, wrong lengths, wrong handles.

use isobit_job::LimitName;
use isobit_job::TrapCode::*;

use super::{ENDLESS, REALLOC, calls, core, host, small, text};
use crate::corpus::{ABI, Ends, Entry, FUEL, TOO_DEEP, code, limit};

pub fn abi() -> Vec<Entry> {
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

pub fn handles() -> Vec<Entry> {
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
