//! Constant expressions against the same expressions computed by the kernel: every bit the same.
//!
//! A generator writes each expression twice: once of literals, which is a constant, and once of loads from a buffer that holds the
//! same numbers. What WGSL does not allow as a constant (overflow, division by zero) is left out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test's helpers panic like the test"
)]

mod expression;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use expression::{Expression, Generator};
use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{Profile, prepare};

/// Runs a kernel on `input`; `words` words come out.
fn run(wgsl: &str, input: &[u32], words: usize) -> Vec<u32> {
    let kernel = prepare(wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    let lowered =
        kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    let program = Program::compile(lowered.module(), lowered.info()).unwrap_or_else(|error| panic!("{error}"));
    let atomics = |words: &[u32]| -> Vec<AtomicU32> { words.iter().copied().map(AtomicU32::new).collect() };
    let (input, output) = (atomics(input), atomics(&vec![0xdead_beef; words]));
    let system = SystemBuffers::new(SystemParams::whole([1; 3]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &input).bind(0, 1, &output).bind_system(&system);
    program.run(&buffers, [1; 3], &AtomicBool::new(false)).unwrap();
    output.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

/// A kernel that writes the words of each expression.
fn kernel(expressions: &[&Expression], as_constants: bool) -> String {
    let mut body = String::new();
    let mut at = 0;
    for (index, expression) in expressions.iter().enumerate() {
        let (keyword, text) =
            if as_constants { ("const", &expression.constant) } else { ("let", &expression.computed) };
        body.push_str(&format!("    {keyword} c{index} = {text};\n"));
        for word in expression.ty.words(&format!("c{index}")) {
            body.push_str(&format!("    out[{at}] = {word};\n"));
            at += 1;
        }
    }
    format!(
        "@group(0) @binding(0) var<storage, read> inp: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1) fn main() {{
    let keep = inp[0];
{body}}}
"
    )
}

/// Whether WGSL lets this be a constant.
fn is_allowed(expression: &Expression) -> bool {
    prepare(&format!("const c = {};", expression.constant), Profile::Dp32).is_ok()
}

fn check(seed: u64, kernels: usize) {
    let mut allowed = 0;
    let mut refused = 0;
    for number in 0..kernels {
        let mut generator = Generator::new(seed + number as u64);
        let all: Vec<Expression> = (0..40).map(|_| generator.any()).collect();
        let expressions: Vec<&Expression> = all.iter().filter(|expression| is_allowed(expression)).collect();
        allowed += expressions.len();
        refused += all.len() - expressions.len();
        let words = expressions.iter().map(|expression| expression.ty.size()).sum();
        let constant = run(&kernel(&expressions, true), &generator.input, words);
        let computed = run(&kernel(&expressions, false), &generator.input, words);
        let mut at = 0;
        for expression in expressions {
            let range = at..at + expression.ty.size();
            at = range.end;
            assert_eq!(
                constant[range.clone()].iter().map(|word| format!("{word:#x}")).collect::<Vec<_>>(),
                computed[range].iter().map(|word| format!("{word:#x}")).collect::<Vec<_>>(),
                "seed {seed}, kernel {number}: {} as a constant and when it is computed",
                expression.constant
            );
        }
    }
    assert!(allowed > 2 * refused, "of {} expressions only {allowed} are allowed as constants", allowed + refused);
}

#[test]
fn constants_are_what_the_kernel_would_compute() {
    check(1, 25);
}

#[test]
#[ignore = "long: 40 000 expressions"]
fn very_many_constants_are_what_the_kernel_would_compute() {
    check(1_000_000, 1000);
}
