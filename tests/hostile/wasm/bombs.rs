//! Components that are expensive to read or to compile, and what is no workload at all.

use isobit_job::LimitName;

use super::{CLOCK, EXIT, RANDOM, bytes, core, module, not, text, wasi, with};
use crate::corpus::{Ends, Entry, FUEL, limit};

pub fn bombs() -> Vec<Entry> {
    vec![
        text(
            "a hundred thousand functions",
            || core(&"(func)".repeat(100_000), "i32.const 0"),
            not("100002 functions; at most 65536 are allowed"),
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
            not("`br_table` has 99999 targets, which exceeds the implementation limit of 65520"),
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
        )
        .long(),
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
            not("function params size is out of bounds"),
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
            "components within components, 90 deep",
            || format!("{}{}", "(component ".repeat(90), ")".repeat(90)),
            not("does not export `run`"),
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
            not("effective type size exceeds the limit of 1000000"),
        ),
        text(
            "sixty thousand exports",
            || core(&(0..60_000).map(|at| format!("(func (export \"f{at}\"))")).collect::<String>(), "i32.const 0"),
            not("module instance size does not fit"),
        )
        .long(),
        text(
            "two hundred data segments of 64 KiB",
            || core(&format!("(data \"{}\")", "a".repeat(65_536)).repeat(200), "i32.const 0"),
            Ends::Completes,
        ),
    ]
}

pub fn foreign() -> Vec<Entry> {
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
            not("67108864"),
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
        text("shared memory", || module("(memory 1 1 shared)"), not("shared")),
        text("64-bit memory", || module("(memory i64 1)"), not("memory64")),
        text(
            "4 GiB of randomness",
            || wasi(RANDOM, "get-random-bytes", "(param i64 i32)", "(call $f (i64.const 0xffffffff) (i32.const 64))"),
            limit(LimitName::HostCallBytes),
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
        )
        .fuel(200_000),
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
        )
        .fuel(1_000_000_000),
    ]
}
