//! Regressions for what was found in wasmtime.

use isobit_job::TrapCode::*;

use super::{calls, module, not, small, text};
use crate::corpus::{Ends, Entry, FUEL, code};

/// Guests that would do harm if wasmtime had the holes that were found in it, where they lie in what is used here: the component model, Cranelift on this processor, the pooling
/// allocator, fuel and epochs. Those in Winch, garbage collection, exceptions, threads, async, the C API, WASI's files and other processors are out of reach: what they need is
/// switched off, or not there.
pub fn advisories() -> Vec<Entry> {
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
        small("RUSTSEC-2024-0441: a dropped segment of externref", "(table 1 externref) (elem $e externref (ref.null extern))", "(elem.drop $e) (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)) i32.const 0", not("gc types are disallowed")),
        small("RUSTSEC-2022-0096: a global of externref", "(global (mut externref) (ref.null extern))", "i32.const 0", not("gc types are disallowed")),
        calls("RUSTSEC-2026-0085: flags that there are not", "(call $create (i64.const 4096) (i32.const -1) (i32.const 64)) (if (i32.load8_u (i32.const 64)) (then unreachable)) (call $zero)", Ends::Completes),
        small("RUSTSEC-2026-0114: a table beyond the address space", "(table i64 0xffffffffffff funcref)", "i32.const 0", not("elements in tables; at most 1048576 are allowed")),
        small("RUSTSEC-2026-0223: fuel that runs out in the middle of bulk operations", "(table 100000 funcref) (func $f) (elem declare func $f)", "(loop
            (table.fill (i32.const 1) (ref.func $f) (i32.const 99999)) (table.copy (i32.const 0) (i32.const 1) (i32.const 99999))
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (drop (table.grow (ref.func $f) (i32.const 0))) (br 0)) unreachable", FUEL),
        small("RUSTSEC-2026-0315: call_ref", "(type $t (func)) (func $f (type $t)) (elem declare func $f)", "(call_ref $t (ref.func $f)) i32.const 0", not("function references support is not enabled")),
        small("RUSTSEC-2026-0325: tags of exceptions", "(tag)", "i32.const 0", not("exceptions proposal not enabled")),
    ]
}
