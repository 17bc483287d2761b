//! Two tenants, one after the other on one device: the first leaves a mark wherever it can, the second looks for it. The corpus has two guests written by hand that do the
//! same with guest memory.

use std::io::Write as _;

use isobit::{Buffer, Gpu, Output, Result};

/// The mark.
const MARK: u32 = 0x5EC2_E7AB;

/// Buffers of 1 MiB.
const BUFFERS: usize = 16;
const WORDS: usize = 1 << 18;

/// Invocations that leave a mark in, or look at, the memory of kernels.
const INVOCATIONS: usize = 64 * 64;

/// Leaves the mark in a buffer.
const LEAVE_WORDS: &str = "
@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@compute @workgroup_size(64) fn leave(@builtin(global_invocation_id) id: vec3u) { words[id.x] = 0x5EC2E7ABu; }";

/// Leaves the mark in workgroup memory, in private and in function variables.
const LEAVE_VARIABLES: &str = "
@group(0) @binding(0) var<storage, read_write> words: array<u32>;
var<workgroup> shared_words: array<u32, 4096>;
var<private> own: array<u32, 256>;
@compute @workgroup_size(64)
fn leave(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) i: u32) {
    var local: array<u32, 256>;
    for (var at = 0u; at < 64u; at++) { shared_words[64u * at + i] = 0x5EC2E7ABu; }
    for (var at = 0u; at < 256u; at++) { own[at] = 0x5EC2E7ABu; local[at] = 0x5EC2E7ABu; }
    workgroupBarrier();
    words[id.x] = shared_words[(i * 61u) % 4096u] & own[i] & local[255u - i];
}";

/// Counts words that are not zero although nothing was written to them.
const LOOK_AT_WORDS: &str = "
@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read_write> found: array<atomic<u32>, 4>;
@compute @workgroup_size(64) fn look(@builtin(global_invocation_id) id: vec3u) { if words[id.x] != 0u { atomicAdd(&found[0], 1u); } }";

/// The same in workgroup memory, in private and in function variables.
const LOOK_AT_VARIABLES: &str = "
@group(0) @binding(0) var<storage, read_write> found: array<atomic<u32>, 4>;
var<workgroup> shared_words: array<u32, 4096>;
var<private> own: array<u32, 256>;
@compute @workgroup_size(64)
fn look(@builtin(local_invocation_index) i: u32) {
    var local: array<u32, 256>;
    for (var at = 0u; at < 64u; at++) { if shared_words[64u * at + i] != 0u { atomicAdd(&found[1], 1u); } }
    for (var at = 0u; at < 256u; at++) {
        if own[at] != 0u { atomicAdd(&found[2], 1u); }
        if local[at] != 0u { atomicAdd(&found[3], 1u); }
    }
}";

pub fn tenant(wish: &str) -> Option<Result<()>> {
    match wish {
        "leave-marks" => Some(leave()),
        "look-for-marks" => Some(look()),
        _ => None,
    }
}

fn leave() -> Result<()> {
    let gpu = Gpu::new();
    let kernel = gpu.kernel(LEAVE_WORDS)?;
    let mut hoard: Vec<Buffer<u32>> = Vec::new();
    for _ in 0..BUFFERS {
        let words = gpu.buffer(WORDS)?;
        kernel.dispatch().bind(0, &words).threads(WORDS).run()?;
        hoard.push(words);
    }
    let words: Buffer<u32> = gpu.buffer(INVOCATIONS)?;
    gpu.kernel(LEAVE_VARIABLES)?.dispatch().bind(0, &words).threads(INVOCATIONS).run()?;
    hoard.push(words);
    for words in hoard {
        if words.read()?.iter().any(|word| *word != MARK) {
            return Err("the mark was not left".into());
        }
    }
    Ok(())
}

/// Output `out` is how many words were found in buffers, in workgroup memory, in private and in function variables.
fn look() -> Result<()> {
    let gpu = Gpu::new();
    let found: Buffer<u32> = gpu.buffer(4)?;
    let kernel = gpu.kernel(LOOK_AT_WORDS)?;
    for _ in 0..BUFFERS {
        let words: Buffer<u32> = gpu.buffer(WORDS)?;
        kernel.dispatch().bind(0, &words).bind(1, &found).threads(WORDS).run()?;
    }
    gpu.kernel(LOOK_AT_VARIABLES)?.dispatch().bind(0, &found).threads(INVOCATIONS).run()?;
    let [buffers, shared, private, local] = found.read()?[..] else { return Err("four counts were asked for".into()) };
    Ok(write!(Output::create("out")?, "buffers {buffers}, workgroup {shared}, private {private}, function {local}")?)
}
