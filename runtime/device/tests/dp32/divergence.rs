//! What drivers compute differently as written, and alike under dp32: the table in the README.

use isobit_shader::Tier;

use crate::runner::{Form, Gpu, Program, interpret, prepare, skip};

/// Random operands for each row.
const COUNT: u32 = 65_536;

struct Row {
    /// As the table shows it.
    operation: &'static str,
    /// In terms of `a`, `b` and `c`, which are `vec4<f32>`.
    wgsl: &'static str,
    operands: fn(f32) -> f32,
    /// Whether lavapipe is known to give other values than SwiftShader, and llvmpipe's OpenGL.
    differs: [bool; 2],
}

/// From -10 to 10.
fn ordinary(x: f32) -> f32 {
    10.0 * x
}

const ROWS: &[Row] = &[
    Row { operation: "`a + b`", wgsl: "a.x + b.x", operands: ordinary, differs: [false, false] },
    Row { operation: "`a * b`", wgsl: "a.x * b.x", operands: ordinary, differs: [false, false] },
    Row { operation: "`a / b`", wgsl: "a.x / b.x", operands: ordinary, differs: [false, false] },
    Row { operation: "`sqrt(a)`", wgsl: "sqrt(abs(a.x))", operands: ordinary, differs: [false, false] },
    Row { operation: "`sin(a)`", wgsl: "sin(a.x)", operands: ordinary, differs: [true, true] },
    Row { operation: "`exp(a)`", wgsl: "exp(a.x)", operands: ordinary, differs: [true, true] },
    Row { operation: "`log(a)`", wgsl: "log(abs(a.x))", operands: ordinary, differs: [true, true] },
    Row { operation: "`pow(a, b)`", wgsl: "pow(abs(a.x), b.x)", operands: ordinary, differs: [true, true] },
    Row { operation: "`tanh(a)`", wgsl: "tanh(a.x)", operands: ordinary, differs: [true, true] },
    Row { operation: "`mix(a, b, c)`", wgsl: "mix(a.x, b.x, c.x)", operands: ordinary, differs: [true, false] },
    Row { operation: "`dot(vec4, vec4)`", wgsl: "dot(a, b)", operands: ordinary, differs: [false, true] },
    Row { operation: "`length(vec3)`", wgsl: "length(a.xyz)", operands: ordinary, differs: [false, true] },
    Row { operation: "`f32(i32(a * 1e9))`", wgsl: "f32(i32(a.x * 1e9))", operands: ordinary, differs: [false, true] },
    Row { operation: "subnormal `a + b`", wgsl: "a.x + b.x", operands: |x| 1e-39 * x, differs: [true, true] },
    Row { operation: "subnormal `a * b`", wgsl: "a.x * b.x", operands: |x| 1e-20 * x, differs: [true, true] },
];

/// One random operation for each invocation.
fn program(row: &Row) -> Program {
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read> operands: array<array<vec4<f32>, 3>>;
        @group(0) @binding(1) var<storage, read_write> results: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            let a = operands[id.x][0];
            let b = operands[id.x][1];
            let c = operands[id.x][2];
            results[id.x] = {};
        }}",
        row.wgsl
    );
    let mut state = 1_u32;
    let operands = (0..COUNT * 12).flat_map(|_| {
        // xorshift
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let between = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
        (row.operands)(between).to_le_bytes()
    });
    Program {
        wgsl,
        buffers: vec![operands.collect(), vec![0; 4 * COUNT as usize]],
        workgroups: [COUNT / 64, 1, 1],
        ..Program::default()
    }
}

/// How many results differ.
fn differing(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len());
    a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0).filter(|(a, b)| a != b).count()
}

/// Prints the table, for `cargo xtask divergence`.
#[test]
fn drivers_differ_as_written_and_agree_under_dp32() {
    let find = |gpus: &'static [Gpu], name: &str| gpus.iter().find(|gpu| gpu.name.contains(name));
    let first = find(Gpu::all(), "SwiftShader");
    let opengl = Gpu::behind_opengl().leak();
    let others = [("lavapipe Vulkan", find(Gpu::all(), "llvmpipe")), ("llvmpipe GL", find(opengl, "llvmpipe"))];
    if first.is_none() {
        skip("no SwiftShader: nothing to compare other drivers with");
    }
    for (name, _) in others.iter().filter(|(_, gpu)| gpu.is_none()) {
        skip(&format!("no {name}: its column stays empty"));
    }
    println!("| operation | lavapipe Vulkan, as written | llvmpipe GL, as written | all, under dp32 |");
    println!("|---|---:|---:|---:|");
    for row in ROWS {
        let program = program(row);
        let kernel = prepare(&program).unwrap();
        let results = |gpu: &Gpu, form| {
            let outcome = gpu.run(&kernel, &program, form).unwrap_or_else(|error| panic!("{}: {error}", gpu.name));
            outcome.buffers[1].clone()
        };
        let reference = first.map(|gpu| results(gpu, Form::Native));
        let native = others.map(|(_, gpu)| {
            let (reference, gpu) = (reference.as_ref()?, gpu?);
            Some(differing(reference, &results(gpu, Form::Native)))
        });

        let expected = &interpret(&kernel, &program).unwrap().buffers[1];
        let mut under_dp32 = 0;
        for gpu in Gpu::all() {
            for tier in [Tier::A, Tier::B] {
                under_dp32 = under_dp32.max(differing(expected, &results(gpu, Form::Dp32(tier))));
            }
        }
        let [lavapipe, gl] = native.map(|count| count.map_or_else(|| "–".to_owned(), |count| count.to_string()));
        println!("| {} | {lavapipe} | {gl} | {under_dp32} |", row.operation);

        for (((name, _), count), differs) in others.iter().zip(native).zip(row.differs) {
            // Else the harness would not see a difference if there were one.
            let seen = !differs || count.is_none_or(|count| count > 0);
            assert!(seen, "{} is the same on {name}", row.operation);
        }
        assert_eq!(under_dp32, 0, "{} under dp32", row.operation);
    }
}
