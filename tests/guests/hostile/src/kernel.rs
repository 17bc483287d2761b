//! Runs the kernel in input `wgsl` once. Its buffers lie between guard words, and are appended to output `out` afterwards.

use std::io::{Read as _, Write as _};

use isobit::bindings::isobit::compute::gpu::{
    BindGroup, BindGroupEntry, Buffer, BufferUsage, CommandEncoder, ComputePipeline, OverrideValue, ShaderModule,
    submit, wait,
};
use isobit::{Input, Output, Result};

/// What lies around the bound range of each buffer.
const GUARD: u32 = 0xFEE1_DEAD;

/// Bytes before the bound range, and the alignment of what follows it.
const MARGIN: usize = 256;

/// A buffer whose words from `start` on are bound.
struct Bound {
    buffer: Buffer,
    words: usize,
    /// Words in all.
    all: usize,
    is_written: bool,
}

impl Bound {
    /// One of these kinds: `rw` is read-write and zero at first, `in` is read-write and counts from 1, `ro` is read-only, `un` uniform; both count from 1.
    fn create(kind: &str, words: usize) -> Result<Bound> {
        let start = MARGIN / 4;
        let all = start + words.next_multiple_of(start) + start;
        let usage = if kind == "un" { BufferUsage::UNIFORM } else { BufferUsage::STORAGE };
        let buffer = Buffer::create(all as u64 * 4, usage)?;
        let is_counted = kind != "rw";
        let content = (0..all).map(|at| match at.checked_sub(start).filter(|at| *at < words) {
            Some(at) if is_counted => u32::try_from(at).unwrap_or(u32::MAX) + 1,
            Some(_) => 0,
            None => GUARD,
        });
        buffer.write(0, &content.flat_map(u32::to_le_bytes).collect::<Vec<_>>())?;
        Ok(Bound { buffer, words, all, is_written: kind == "rw" || kind == "in" })
    }

    /// The bound words, if nothing was written beside them.
    fn content(&self) -> std::result::Result<Vec<u8>, String> {
        let bytes = self.buffer.read(0, self.all as u64 * 4).map_err(|_| "a buffer cannot be read back")?;
        let bound = MARGIN..MARGIN + self.words * 4;
        let is_guard = |at: usize| bytes[at..at + 4] == GUARD.to_le_bytes();
        match (0..bytes.len()).step_by(4).find(|at| !bound.contains(at) && !is_guard(*at)) {
            Some(at) => Err(format!("the guard word at byte {at} was overwritten")),
            None => Ok(bytes[bound].to_vec()),
        }
    }
}

pub fn run() -> Result<()> {
    let mut wgsl = Vec::new();
    Input::open("wgsl")?.read_to_end(&mut wgsl)?;
    let wgsl = String::from_utf8(wgsl)?;
    let buffers: String = isobit::param("buffers")?.unwrap_or_default();
    let dispatch: String = isobit::param("dispatch")?.unwrap_or_default();
    let constants: String = isobit::param("constants")?.unwrap_or_default();

    let module = ShaderModule::create(&wgsl)?;
    let constants = constants.split_whitespace().filter_map(|constant| constant.split_once('='));
    let constants: std::result::Result<Vec<OverrideValue>, std::num::ParseFloatError> =
        constants.map(|(name, value)| Ok(OverrideValue { name: name.to_owned(), value: value.parse()? })).collect();
    let pipeline = ComputePipeline::create(&module, None, None, &constants?)?;
    let bound = buffers.split_whitespace().filter_map(|buffer| buffer.split_once(':'));
    let bound = bound.map(|(kind, words)| Bound::create(kind, words.parse()?)).collect::<Result<Vec<_>>>()?;
    let group = match bound.is_empty() {
        true => None,
        false => {
            let entries = (0..).zip(&bound).map(|(binding, bound)| BindGroupEntry {
                binding,
                buffer: &bound.buffer,
                offset: MARGIN as u64,
                size: Some(bound.words as u64 * 4),
            });
            Some(BindGroup::create(&pipeline.get_bind_group_layout(0)?, &entries.collect::<Vec<_>>())?)
        }
    };
    let mut sides = dispatch.split_whitespace().map(str::parse);
    let mut side = || sides.next().unwrap_or(Ok(1_u32));
    let [x, y, z] = [side()?, side()?, side()?];
    let encoder = CommandEncoder::new();
    let pass = encoder.begin_compute_pass();
    pass.set_pipeline(&pipeline);
    if let Some(group) = &group {
        pass.set_bind_group(0, group, &[]);
    }
    pass.dispatch_workgroups(x, y, z);
    drop(pass);
    submit(vec![CommandEncoder::finish(encoder)?])?;
    wait()?;
    let mut out = Output::create("out")?;
    for bound in &bound {
        let content = bound.content()?;
        if bound.is_written {
            out.write_all(&content)?;
        }
    }
    Ok(())
}
