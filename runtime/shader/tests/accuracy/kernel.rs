//! Runs an expression of WGSL on many operands.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::Profile;
use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};

const WORKGROUP: usize = 256;

/// A compiled kernel that computes `outputs` words from `inputs` words, independently for each item.
pub struct Kernel {
    program: Program,
    inputs: usize,
    outputs: usize,
}

impl Kernel {
    /// `body` reads `f[i]`, `f[i + 1]`... as `f32` or `u[i]`... as `u32`, and writes `f_out[o]`... or `u_out[o]`...
    pub fn new(body: &str, inputs: usize, outputs: usize) -> Self {
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read> f: array<f32>;
            @group(0) @binding(1) var<storage, read> u: array<u32>;
            @group(0) @binding(2) var<storage, read_write> f_out: array<f32>;
            @group(0) @binding(3) var<storage, read_write> u_out: array<u32>;
            @compute @workgroup_size({WORKGROUP})
            fn main(@builtin(global_invocation_id) id: vec3u) {{
                let i = id.x * {inputs}u;
                let o = id.x * {outputs}u;
                {body}
            }}"
        );
        let kernel = isobit_shader::prepare(&wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{body}: {error}"));
        let lowered =
            kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap_or_else(|error| panic!("{error}"));
        let program = Program::compile(lowered.module(), lowered.info()).unwrap_or_else(|error| panic!("{error}"));
        Self { program, inputs, outputs }
    }

    pub fn run(&self, words: &[u32]) -> Vec<u32> {
        let items = words.len() / self.inputs;
        let workgroups = items.div_ceil(WORKGROUP);
        let atomics = |words: &[u32], len: usize| -> Vec<AtomicU32> {
            let zeros = std::iter::repeat_n(0, len - words.len());
            words.iter().copied().chain(zeros).map(AtomicU32::new).collect()
        };
        let input = atomics(words, workgroups * WORKGROUP * self.inputs);
        let output = atomics(&[], workgroups * WORKGROUP * self.outputs);
        let size = [workgroups as u32, 1, 1];
        let system = SystemBuffers::new(SystemParams::whole(size));
        let mut buffers = Buffers::new();
        buffers.bind(0, 0, &input).bind(0, 1, &input).bind(0, 2, &output).bind(0, 3, &output);
        buffers.bind_system(&system);
        self.program.run(&buffers, size, &AtomicBool::new(false)).unwrap();
        output.iter().take(items * self.outputs).map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Of `f32` operands, to one `f32` each.
    pub fn values(&self, operands: &[f32]) -> Vec<f32> {
        let words: Vec<u32> = operands.iter().map(|value| value.to_bits()).collect();
        self.run(&words).into_iter().map(f32::from_bits).collect()
    }
}
