//! Computes without end, in WebAssembly or in a kernel, after a log line that says so. What a job that runs takes, and how it is stopped.
//!
//! Parameter `where`: `wasm` or `kernel`. Each dispatch of the kernel has as many workgroups as there may be.

use std::hint::black_box;

use isobit::Gpu;

/// The most turns of all loops together that every driver runs.
const TURNS: u32 = 60_000;

/// A kernel with a loop of a hundred steps, of which only a buffer tells how often it turns.
fn kernel() -> String {
    let steps = "        number = (number ^ (number >> 15u)) * 0x85ebca6bu;\n".repeat(100);
    format!(
        "@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;
@group(0) @binding(1) var<storage, read> turns: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {{
    var number = id.x;
    for (var turn = 0u; turn < turns[0]; turn++) {{
{steps}    }}
    numbers[id.x & 63u] = number;
}}"
    )
}

#[isobit::main]
fn main() -> isobit::Result<()> {
    let place: String = isobit::param("where")?.unwrap_or_default();
    match place.as_str() {
        "wasm" => {
            isobit::info!("here");
            let mut number = 1_u32;
            loop {
                number = black_box(number ^ (number >> 15)).wrapping_mul(0x85eb_ca6b);
            }
        }
        "kernel" => {
            let gpu = Gpu::new();
            let (numbers, turns) = (gpu.buffer::<u32>(64)?, gpu.buffer_from(&[TURNS])?);
            let kernel = gpu.kernel(&kernel())?;
            isobit::info!("here");
            loop {
                kernel.dispatch().bind(0, &numbers).bind(1, &turns).workgroups(65_535, 1, 1).run()?;
            }
        }
        other => Err(format!("there is no such place: {other:?}").into()),
    }
}
