//! The interpreter on ordinary WGSL that keeps to the primitives, against what Rust computes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a test's helpers panic like the test"
)]

mod control;
mod data;
mod memory;
mod numbers;
mod races;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::interpreter::{Buffers, Program};
use isobit_shader::{KernelError, Profile};

pub(crate) fn compile(wgsl: &str) -> Result<Program, KernelError> {
    let kernel = isobit_shader::prepare(wgsl, Profile::Native)?;
    let kernel = kernel.resolve(None, &[])?;
    let (module, info) = (kernel.module(), kernel.info());
    Program::compile(module, info)
}

pub(crate) fn words(values: &[u32]) -> Vec<AtomicU32> {
    values.iter().copied().map(AtomicU32::new).collect()
}

pub(crate) fn values(words: &[AtomicU32]) -> Vec<u32> {
    words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

/// Runs a kernel with an input at binding 0 and an output of `length` words at binding 1.
pub(crate) fn run(wgsl: &str, input: &[u32], length: usize, workgroups: [u32; 3]) -> Vec<u32> {
    let program = compile(wgsl).unwrap_or_else(|error| panic!("{error}"));
    let (input, output) = (words(input), words(&vec![0xdead_beef; length]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &input).bind(0, 1, &output);
    program.run(&buffers, workgroups, &AtomicBool::new(false)).unwrap();
    values(&output)
}

pub(crate) const HEAD: &str = "
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_: array<u32>;
";

/// For each invocation, `body` computes `r` from `x`, the input; `model` says what it should be.
pub(crate) fn map(size: u32, body: &str, input: &[u32], model: impl Fn(u32) -> u32) {
    let wgsl = format!(
        "{HEAD}
        fn compute(x: u32, id: vec3u) -> u32 {{ var r = 0u; {body} return r; }}
        @compute @workgroup_size({size}) fn main(@builtin(global_invocation_id) id: vec3u) {{
            if id.x >= arrayLength(&source) {{ return; }}
            target_[id.x] = compute(source[id.x], id);
        }}"
    );
    let groups = (input.len() as u32).div_ceil(size);
    let results = run(&wgsl, input, input.len(), [groups, 1, 1]);
    for (at, (&x, result)) in input.iter().zip(results).enumerate() {
        assert_eq!(result, model(x), "{at}: {body} of {x:#x}");
    }
}

/// The same in workgroups of several sizes: alone, sharing lanes, with lanes to spare.
pub(crate) fn map_all(body: &str, input: &[u32], model: impl Fn(u32) -> u32) {
    for size in [1, 7, 64, 256] {
        map(size, body, input, &model);
    }
}

pub(crate) fn some_words() -> Vec<u32> {
    let mut state = 1_u32;
    let mut words: Vec<u32> = vec![0, 1, 2, 31, 32, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    words.extend((0..300).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }));
    words
}

pub(crate) fn small_words() -> Vec<u32> {
    (0..300).map(|x| x * 7 % 23).collect()
}
