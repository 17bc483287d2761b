//! Wants more of something than there may be, or leaves it in the middle.

use std::hint::black_box;
use std::io::Write as _;

use isobit::bindings::isobit::compute::{gpu, report};
use isobit::{Gpu, Kernel, Output, Result};

/// One addition per invocation and turn, for as long as the buffer's first word is not 1.
const BUSY: &str = "
@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@compute @workgroup_size(64) fn busy(@builtin(global_invocation_id) id: vec3u) {
    var sum = id.x;
    for (var turn = 0u; turn < 1000u; turn++) { sum = sum * 1664525u + 1013904223u; }
    words[id.x] = sum;
}";

pub fn hoard(wish: &str) -> Option<Result<()>> {
    Some(match wish {
        "a-million-handles" => a_million_handles(),
        "a-hundred-thousand-buffers" => hoard_buffers(100_000),
        "buffers-dropped-at-once" => drop_buffers(),
        "a-million-encoders-dropped" => drop_encoders(),
        "a-hundred-thousand-groups" => hoard_groups(),
        "pipelines-without-end" => hoard_pipelines(),
        "commands-without-end" => hoard_commands(),
        "device-memory-without-end" => hoard_device_memory(),
        "guest-memory-without-end" => hoard_guest_memory(),
        "more-than-fits-is-read" => read_more_than_fits(),
        "output-without-end" => output_without_end(),
        "outputs-without-end" => outputs_without_end(),
        "an-output-of-nothing-a-million-times" => append_nothing(),
        "log-lines-without-end" => log_lines(),
        "one-log-line-of-64-mib" => Ok(report::log(report::Level::Info, &"x".repeat(64 << 20))),
        "progress-without-end" => progress(),
        "panic-in-flight" => in_flight(|| panic!("with a dispatch in flight")),
        "trap-in-flight" => in_flight(|| std::process::abort()),
        "an-error-in-flight" => in_flight(|| Err("with a dispatch in flight".into())),
        "return-in-flight" => in_flight(|| Ok(())),
        "no-fuel-in-flight" => in_flight(spin),
        "drop-everything-in-flight" => drop_everything(),
        "submit-without-end" => submit_without_end(),
        "an-error-of-4-mib" => Err("ä".repeat(2 << 20).into()),
        "an-error-of-control-characters" => Err("\u{1b}[2J\u{7}\r\u{0}\u{202e}job: finished".into()),
        _ => return None,
    })
}

fn spin() -> Result<()> {
    while black_box(true) {}
    Ok(())
}

/// Handles to layouts of nothing, which cost least.
fn a_million_handles() -> Result<()> {
    let mut hoard = Vec::new();
    for _ in 0..1_000_000 {
        hoard.push(gpu::BindGroupLayout::create(&[])?);
    }
    Ok(())
}

fn hoard_buffers(count: usize) -> Result<()> {
    let mut hoard = Vec::new();
    for _ in 0..count {
        hoard.push(gpu::Buffer::create(4, gpu::BufferUsage::STORAGE)?);
    }
    Ok(())
}

fn drop_buffers() -> Result<()> {
    for _ in 0..5_000 {
        gpu::Buffer::create(64 << 10, gpu::BufferUsage::STORAGE)?;
    }
    Ok(())
}

fn drop_encoders() -> Result<()> {
    for _ in 0..1_000_000 {
        let encoder = gpu::CommandEncoder::new();
        drop(encoder.begin_compute_pass());
    }
    Ok(())
}

fn busy(gpu: &Gpu) -> Result<(Kernel, isobit::Buffer<u32>)> {
    Ok((gpu.kernel(BUSY)?, gpu.buffer(64)?))
}

fn hoard_groups() -> Result<()> {
    let gpu = Gpu::new();
    let (kernel, buffer) = busy(&gpu)?;
    let mut hoard = Vec::new();
    for _ in 0..100_000 {
        hoard.push(kernel.bind_group(0).bind(0, &buffer).create()?);
    }
    Ok(())
}

fn hoard_pipelines() -> Result<()> {
    let gpu = Gpu::new();
    let module = gpu.module(BUSY)?;
    let mut hoard = Vec::new();
    loop {
        hoard.push(module.kernel("busy")?);
    }
}

/// Encoders that are never finished.
fn hoard_commands() -> Result<()> {
    let gpu = Gpu::new();
    let (kernel, buffer) = busy(&gpu)?;
    let group = kernel.bind_group(0).bind(0, &buffer).create()?;
    let mut hoard = Vec::new();
    loop {
        let encoder = gpu::CommandEncoder::new();
        let pass = encoder.begin_compute_pass();
        for _ in 0..65_000 {
            pass.set_bind_group(0, group.raw(), &[]);
        }
        drop(pass);
        hoard.push(gpu::CommandEncoder::finish(encoder)?);
    }
}

fn hoard_device_memory() -> Result<()> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(gpu::Buffer::create(1 << 20, gpu::BufferUsage::STORAGE)?);
    }
}

fn hoard_guest_memory() -> Result<()> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// 64 MiB for a guest that has less.
fn read_more_than_fits() -> Result<()> {
    let buffer = gpu::Buffer::create(64 << 20, gpu::BufferUsage::STORAGE)?;
    buffer.read(0, 64 << 20)?;
    Ok(())
}

fn output_without_end() -> Result<()> {
    let mut out = Output::create("out")?;
    let piece = vec![7; 1 << 20];
    loop {
        out.write_all(&piece)?;
    }
}

fn outputs_without_end() -> Result<()> {
    for number in 0.. {
        Output::create(&format!("out{number}"))?;
    }
    Ok(())
}

fn append_nothing() -> Result<()> {
    let out = Output::create("out")?;
    for _ in 0..1_000_000 {
        out.raw().append(&[])?;
    }
    Ok(())
}

fn log_lines() -> Result<()> {
    let line = "blah ".repeat(1600);
    loop {
        report::log(report::Level::Error, &line);
    }
}

fn progress() -> Result<()> {
    for fraction in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 2.0] {
        report::progress(fraction, &"\u{202e}".repeat(1000));
    }
    loop {
        report::progress(0.5, "half");
    }
}

/// Does this while the device is busy.
fn in_flight(then: impl FnOnce() -> Result<()>) -> Result<()> {
    let gpu = Gpu::new();
    let kernel = gpu.kernel(BUSY)?;
    let words: isobit::Buffer<u32> = gpu.buffer(64 * 1024)?;
    kernel.dispatch().bind(0, &words).workgroups(16, 1, 1).run()?;
    then()
}

/// Drops all handles that the work needs, then looks whether it was done.
fn drop_everything() -> Result<()> {
    let gpu = Gpu::new();
    let sum: isobit::Buffer<u32> = gpu.buffer(64)?;
    {
        let kernel = gpu.kernel(BUSY)?;
        let words: isobit::Buffer<u32> = gpu.buffer(64)?;
        kernel.dispatch().bind(0, &words).workgroups(1, 1, 1).run()?;
        let mut batch = gpu.batch();
        batch.copy(&words, &sum)?;
        batch.submit()?;
    }
    let mut out = Output::create("out")?;
    Ok(out.write_all(&sum.read()?[63].to_le_bytes())?)
}

/// Dispatches of the largest size, never waited for.
fn submit_without_end() -> Result<()> {
    let gpu = Gpu::new();
    let (kernel, buffer) = busy(&gpu)?;
    loop {
        kernel.dispatch().bind(0, &buffer).workgroups(65_535, 65_535, 1).run()?;
    }
}
