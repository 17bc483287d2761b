//! Hostile kernels. Buffers are at `@group(0)`, in order: `rw:8` are eight words that are read and written, zeros at first; `in:8` the same, counting from 1; `ro:8` and `un:8` can
//! only be read, as storage and as uniform. Around each lie guard words, which the guest looks at afterwards.

mod bounds;
mod course;
mod texts;

use super::corpus::{Ends, Entry, Guest, Kernel};

/// One buffer of words to write, and an entry point of one workgroup of eight.
const OUT: &str = "@group(0) @binding(0) var<storage, read_write> out: array<u32>;";
const MAIN: &str = "@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32, @builtin(global_invocation_id) id: vec3u)";

fn entry(name: &'static str, buffers: &'static str, dispatch: &'static str, wgsl: fn() -> String, ends: Ends) -> Entry {
    // The guest's own work: copies of the text, and the buffers' words.
    Entry::new(name, Guest::Kernel(Kernel { wgsl, buffers, dispatch, constants: "" }), ends)
        .fuel(10_000_000_000)
        .guest_memory(256)
}

/// A kernel on `out`, with these declarations and this body.
macro_rules! kernel {
    ($name:literal, $buffers:literal, $declarations:expr, $body:expr, $ends:expr) => {
        entry($name, $buffers, "1 1 1", || format!("{OUT}\n{}\n{MAIN} {{\n{}\n}}", $declarations, $body), $ends)
    };
}
use kernel;

fn refused(message: &'static str) -> Ends {
    Ends::Says(message)
}

fn with_constants(mut entry: Entry, constants: &'static str) -> Entry {
    if let Guest::Kernel(kernel) = &mut entry.guest {
        kernel.constants = constants;
    }
    entry
}

pub fn kernels() -> Vec<Entry> {
    let parts = [
        bounds::bounds(),
        bounds::numbers(),
        bounds::unwritten(),
        course::loops(),
        course::dispatches(),
        course::barriers(),
        texts::bombs(),
        texts::texts(),
    ];
    parts.into_iter().flatten().collect()
}
