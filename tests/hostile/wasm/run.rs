//! Guests that run for too long, grow too large, or trap.

use std::time::Duration;

use isobit_job::TrapCode::*;
use isobit_job::{FaultKind, LimitName};

use super::{ENDLESS, core, grow, module, not, small, text};
use crate::corpus::{Ends, Entry, FUEL, TOO_DEEP, code, limit};

pub fn loops() -> Vec<Entry> {
    vec![
        small("loop", "", ENDLESS, FUEL),
        small("loop until the deadline", "", ENDLESS, Ends::Faults(FaultKind::Deadline))
            .fuel(900_000_000_000)
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

pub fn memory() -> Vec<Entry> {
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
        )
        .fuel(2_000_000),
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
        text("many tables", || core(&"(table 1000 funcref)".repeat(24), "i32.const 0"), Ends::Completes),
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
        small("memory.copy of 4 GiB", "", "(memory.copy (i32.const 0) (i32.const 1) (i32.const -1)) i32.const 0", FUEL),
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

pub fn traps() -> Vec<Entry> {
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

/// Two tenants of one place in the pool, one after the other.
pub fn tenants() -> Vec<Entry> {
    let all = 512 << 16;
    vec![
        text(
            "all of guest memory is left full",
            move || {
                let items = r#"(data (i32.const 256) "a mark") (func $f) (elem declare func $f) (table 100000 funcref)"#;
                core(items, &format!("(drop (memory.grow (i32.const 511))) (memory.fill (i32.const 0) (i32.const 0x5e) (i32.const {all}))
                    (table.fill (i32.const 0) (ref.func $f) (i32.const 100000)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 64)) i32.const 0"))
            },
            Ends::Completes,
        )
        .fuel(1_000_000_000),
        text(
            "RUSTSEC-2022-0098, RUSTSEC-2026-0088: guest memory that another tenant filled",
            move || {
                core("", &format!("(local $at i32) (drop (memory.grow (i32.const 511)))
                    (loop (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
                        (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const {all})))) i32.const 0"))
            },
            Ends::Completes,
        )
        .fuel(1_000_000_000),
        text(
            "RUSTSEC-2022-0076: a table that another tenant filled",
            || {
                core("(table 100000 funcref)", "(local $at i32)
                    (loop (if (i32.eqz (ref.is_null (table.get (local.get $at)))) (then unreachable))
                        (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 100000)))) i32.const 0")
            },
            Ends::Completes,
        ),
    ]
}
