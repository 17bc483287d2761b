//! Control flow with many exits in a row is rewritten so that it does not nest: it must still go the same way. The interpreter runs each
//! kernel as it was written, without any rewriting, and in its lowered form.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::dp32::{MAX_CONTROL_DEPTH, SystemParams};
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{KernelError, Lowered, Profile, prepare};

const INVOCATIONS: u32 = 512;

fn kernel(declarations: &str, body: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_: array<u32>;
{declarations}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {{
    let x = source[id.x];
    var r = 1u;
    {body}
    target_[id.x] = r;
}}"
    )
}

fn lower(wgsl: &str) -> Result<Lowered, KernelError> {
    let kernel = prepare(wgsl, Profile::Dp32)?;
    kernel.resolve(None, &[])?.lower()
}

fn run(program: &Program) -> Vec<u32> {
    let source: Vec<AtomicU32> =
        (0..INVOCATIONS).map(|at| AtomicU32::new(at.wrapping_mul(2_654_435_761) >> (at % 29))).collect();
    let target: Vec<AtomicU32> = (0..INVOCATIONS).map(|_| AtomicU32::new(0)).collect();
    let size = [INVOCATIONS / 64, 1, 1];
    let system = SystemBuffers::new(SystemParams::whole(size));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &source).bind(0, 1, &target).bind_system(&system);
    program.run(&buffers, size, &AtomicBool::new(false)).unwrap();
    let status = system.status(64);
    assert!(!status.left_loop && !status.spent, "{status:?}");
    target.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

/// Holds the lowered form against the kernel as it is; returns the lowered form's text.
#[track_caller]
fn assert_goes_the_same_way(wgsl: &str) -> String {
    let native = prepare(wgsl, Profile::Native).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    let native = native.resolve(Some("main"), &[]).unwrap();
    let (module, info) = (native.module(), native.info());
    let expected = run(&Program::compile(module, info).unwrap());
    let lowered = lower(wgsl).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    let found = run(&Program::compile(lowered.module(), lowered.info()).unwrap());
    let differing = expected.iter().zip(&found).position(|(expected, found)| expected != found);
    assert_eq!(differing, None, "the invocation that goes another way:\n{wgsl}");
    lowered.emit(None).unwrap()
}

fn row(parts: u32, part: impl Fn(u32) -> String) -> String {
    (0..parts).map(part).collect()
}

#[test]
fn exits_and_chains_of_any_length_do_not_nest() {
    for n in [80, 250] {
        let returns = row(n, |k| format!("if x % {n}u == {k}u {{ return r + {k}u; }} r = r * 3u + {k}u; "));
        let text = assert_goes_the_same_way(&kernel(
            &format!("fn f(x: u32) -> u32 {{ var r = 2u; {returns} return r; }}"),
            "r = f(x);",
        ));
        assert!(text.contains("result"), "{text}");
        let stored = row(n, |k| format!("if x % {n}u == {k}u {{ target_[id.x] = r + {k}u; return; }} r = r * 3u; "));
        assert_goes_the_same_way(&kernel("", &stored));
        let chain = row(n, |k| format!("if x % {n}u == {k}u {{ r = {k}u; }} else "));
        let text = assert_goes_the_same_way(&kernel("", &format!("{chain} {{ r = 7u; }} r += 1u;")));
        assert!(text.contains("taken"), "{text}");
        let continues = row(n, |k| format!("if (x + j) % {n}u == {k}u {{ continue; }} r = r * 3u + {k}u; "));
        let text = assert_goes_the_same_way(&kernel("", &format!("for (var j = 0u; j < 5u; j++) {{ {continues} }}")));
        assert!(!text.contains("continue;"), "{text}");
        let cases = row(n, |k| format!("case {k}u: {{ return {k}u * 3u; }} "));
        let switch = format!("fn f(x: u32) -> u32 {{ switch x % {n}u {{ {cases} default: {{ return 9u; }} }} }}");
        assert_goes_the_same_way(&kernel(&switch, "r = f(x);"));
        let cases = row(n, |k| format!("case {k}u: {{ r += {k}u; continue; }} "));
        let switch = format!("switch (x + j) % {}u {{ {cases} default: {{ r *= 3u; }} }} r += 1u;", n + 3);
        assert_goes_the_same_way(&kernel("", &format!("for (var j = 0u; j < 5u; j++) {{ {switch} }}")));
    }
}

#[test]
fn what_nests_by_itself_is_refused_beyond_the_bound() {
    let nested = |n: u32| {
        let open = row(n, |k| format!("for (var j{k} = 0u; j{k} < min(x, 1u); j{k}++) {{ r += x ^ {k}u; "));
        kernel("", &(open + &"}".repeat(n as usize)))
    };
    assert_goes_the_same_way(&nested(30));
    let error = lower(&nested(MAX_CONTROL_DEPTH + 1)).unwrap_err().diagnostic();
    assert!(error.message.contains("control flow nests 66 deep"), "{error}");
    assert!(error.location.is_some(), "{error}");
    let calls = |n: u32| {
        let functions = row(n, |k| match k {
            0 => "fn f0(x: u32) -> u32 { return x; } ".to_owned(),
            _ => format!("fn f{k}(x: u32) -> u32 {{ if x > {k}u {{ return f{}(x) + 1u; }} return {k}u; }} ", k - 1),
        });
        kernel(&functions, &format!("r = f{}(x);", n - 1))
    };
    assert_goes_the_same_way(&calls(50));
    assert!(lower(&calls(100)).unwrap_err().to_string().contains("with all calls inlined"));
}

/// Statements at random, with every kind of exit where it is allowed.
struct Generator {
    state: u32,
    /// Numbers variables.
    names: u32,
}

#[derive(Clone, Copy)]
struct Place {
    depth: u32,
    in_loop: bool,
    in_switch: bool,
}

impl Generator {
    fn next(&mut self, below: u32) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state % below
    }

    fn condition(&mut self) -> String {
        let (factor, modulus) = (self.next(9) + 1, self.next(97) + 3);
        format!("(x * {factor}u + r) % {modulus}u == {}u", self.next(modulus))
    }

    fn exit(&mut self, place: Place) -> String {
        match self.next(4) {
            0 if place.in_loop => "continue;".to_owned(),
            1 if place.in_loop || place.in_switch => "break;".to_owned(),
            _ => format!("return r + {}u;", self.next(100)),
        }
    }

    fn block(&mut self, place: Place, statements: u32) -> String {
        (0..statements).map(|_| self.statement(place)).collect()
    }

    fn statement(&mut self, place: Place) -> String {
        let inner = Place { depth: place.depth + 1, ..place };
        let few = self.next(3) + 1;
        match if place.depth < 2 { self.next(12) } else { self.next(6) } {
            0 | 1 => format!("r = r * 31u + {}u; ", self.next(1000)),
            2..=7 => {
                let condition = self.condition();
                let before = if place.depth < 2 { self.block(inner, few - 1) } else { String::new() };
                format!("if {condition} {{ {before} {} }} ", self.exit(place))
            }
            8 => {
                self.names += 1;
                let name = format!("j{}", self.names);
                let place = Place { in_loop: true, in_switch: false, ..inner };
                let many = if self.next(3) == 0 { 14 } else { few };
                let body = self.block(place, many);
                format!("for (var {name} = 0u; {name} < {}u; {name}++) {{ r += {name}; {body} }} ", self.next(3) + 1)
            }
            9 => {
                let place = Place { in_switch: true, ..inner };
                let cases: String = (0..few)
                    .map(|case| {
                        let body = self.block(place, 2);
                        format!("case {case}u: {{ {body} }} ")
                    })
                    .collect();
                format!("switch (r ^ x) % 5u {{ {cases} default: {{ {} }} }} ", self.block(place, 1))
            }
            10 => {
                let links = if self.next(2) == 0 { 12 } else { 3 };
                let mut chain = String::new();
                for _ in 0..links {
                    let condition = self.condition();
                    let body = self.block(inner, 1);
                    write!(chain, "if {condition} {{ {body} }} else ").unwrap();
                }
                format!("{chain} {{ {} }} ", self.block(inner, 1))
            }
            _ => format!("{{ let y = r; {} r += y; }} ", self.block(inner, few)),
        }
    }
}

fn check_random(seeds: std::ops::Range<u32>) {
    let mut rewritten = 0;
    for seed in seeds {
        let mut generator = Generator { state: seed * 7919 + 1, names: 0 };
        let place = Place { depth: 0, in_loop: false, in_switch: false };
        let body = generator.block(place, 100);
        let wgsl = kernel(&format!("fn f(x: u32) -> u32 {{ var r = x; {body} return r; }}"), "r = f(x);");
        let text = assert_goes_the_same_way(&wgsl);
        rewritten += u32::from(text.contains("pending") && text.contains("result"));
    }
    assert!(rewritten > 0, "none had to be rewritten");
}

#[test]
fn random_flow_goes_the_same_way() {
    check_random(1..25);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test --long` runs it"]
fn random_flow_goes_the_same_way_at_length() {
    check_random(100..3000);
}
