//! Makes a buffer of so many MiB, binds it whole, writes its ends in a kernel, and outputs them and the limits that it sees.

use std::io::Write as _;

use isobit::{Gpu, Output};

isobit::takes! {
    param "mib": "the size of the buffer in MiB",
    output "out": "the first and the last words of the buffer",
    output "limits": "the largest buffer and the largest storage binding, in bytes",
}

/// Words that are written at each end.
const WORDS: usize = 64;

/// Each word that is written is its index and one. What is written beyond the end is lost.
const ENDS: &str = "
@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@compute @workgroup_size(64)
fn ends(@builtin(local_invocation_index) i: u32) {
    let length = arrayLength(&words);
    words[i] = i + 1u;
    words[length - 1u - i] = length - i;
    words[length + i] = 7u;
}";

#[isobit::main]
fn main() -> isobit::Result<()> {
    let gpu = Gpu::new();
    let limits = gpu.limits();
    writeln!(Output::create("limits")?, "{} {}", limits.max_buffer_size, limits.max_storage_buffer_binding_size)?;
    let mib: usize = isobit::param("mib")?.unwrap_or(1);
    let words = gpu.buffer::<u32>(mib << 18)?;
    gpu.kernel(ENDS)?.dispatch().bind(0, &words).run()?;
    let mut out = Output::create("out")?;
    out.append_from(words.slice(..WORDS))?;
    out.append_from(words.slice(words.len() - WORDS..))
}
