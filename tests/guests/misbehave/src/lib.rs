//! Does one wrong thing, chosen by the parameter `do`: what hosts, providers and renters are tried with.
//!
//! `do=behave` is the one that does none: it doubles numbers on the device and writes them to output `out`.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a guest that fails is the point")]

use std::hint::black_box;
use std::io::Write;

use isobit::bindings::isobit::compute::gpu::CommandEncoder;
use isobit::{Gpu, Input, Output};

const DOUBLE: &str = "
@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;
@compute @workgroup_size(64)
fn double(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&numbers) { numbers[id.x] *= 2u; }
}";

/// Never ends: the loop's end depends on a value that only the host could change. Not so on lavapipe, which leaves
/// any loop after 65 535 turns.
const ENDLESS: &str = "
@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;
@compute @workgroup_size(64)
fn endless(@builtin(global_invocation_id) id: vec3<u32>) {
    while numbers[id.x] != 7u { numbers[id.x] = numbers[id.x] * 2u; }
}";

/// Turns each loop as often as a number that only the host knows says: a driver may leave it before.
const LONG: &str = "
@group(0) @binding(0) var<storage, read> turns: array<u32>;
@group(0) @binding(1) var<storage, read_write> numbers: array<u32>;
@compute @workgroup_size(64)
fn long(@builtin(global_invocation_id) id: vec3<u32>) {
    var number = id.x;
    for (var turn = 0u; turn < turns[0]; turn++) { number = number * 1664525u + 1013904223u; }
    numbers[id.x] = number;
}";

/// Two invocations write to each number.
const RACE: &str = "
@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;
@compute @workgroup_size(64)
fn race(@builtin(global_invocation_id) id: vec3<u32>) {
    numbers[id.x / 2u] = id.x;
}";

/// An error in line 4, at the unknown name `nubmers`.
const BROKEN: &str = "@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;
@compute @workgroup_size(64)
fn double(@builtin(global_invocation_id) id: vec3<u32>) {
    nubmers[id.x] *= 2u;
}";

/// What one write gives to an output: 64 KiB.
const PIECE: usize = 64 * 1024;

#[isobit::main]
fn main() -> isobit::Result<()> {
    let wish: String = isobit::param("do")?.unwrap_or_default();
    match wish.as_str() {
        "behave" => behave(DOUBLE),
        "bind-once" => bind_once(),
        "bind-too-little" => bind_too_little(),
        "race" => behave(RACE),
        "return-an-error" => Err("the planet is not there".into()),
        "trap" => std::process::abort(),
        "panic" => panic!("not my day"),
        "recurse" => Err(format!("went {} deep", recurse(black_box(1_000_000_000))).into()),
        "spin" => spin(),
        "spin-in-a-kernel" => spin_in_a_kernel(),
        "half-an-output" => {
            let mut out = Output::create("out")?;
            out.write_all(&vec![7; 1 << 20])?;
            isobit::info!("half of it is written");
            spin()
        }
        "two-outputs" => {
            Output::create("out")?.write_all(b"the one")?;
            Ok(Output::create("log")?.write_all(b"the other")?)
        }
        "long-loop" => long_loop(),
        "compile-for-long" => compile_for_long(),
        "dispatch-too-much" => dispatch(65_535),
        "hoard-guest-memory" => hoard_guest_memory(),
        "hoard-device-memory" => hoard_device_memory(),
        "hoard-handles" => hoard_handles(),
        "hoard-commands" => hoard_commands(),
        "hoard-kernels" => hoard_kernels(),
        "write-too-much" | "pour" => pour(),
        "many-outputs" => many_outputs(),
        "output-twice" => {
            Output::create("out")?.write_all(b"first")?;
            Output::create("out").map(drop)
        }
        "bad-name" => Output::create("../out").map(drop),
        "missing-input" => Input::open("no-such-input").map(drop),
        "broken-wgsl" => Gpu::new().kernel(BROKEN).map(drop),
        "chatter" => chatter(),
        other => Err(format!("nothing is known of do={other}").into()),
    }
}

fn behave(kernel: &str) -> isobit::Result<()> {
    let gpu = Gpu::new();
    let numbers: Vec<u32> = (0..1000).collect();
    let buffer = gpu.buffer_from(&numbers)?;
    gpu.kernel(kernel)?.dispatch().bind(0, &buffer).threads(numbers.len()).run()?;
    Output::create("out")?.append_from(&buffer)
}

/// Doubles twice with one bind group.
fn bind_once() -> isobit::Result<()> {
    let gpu = Gpu::new();
    let numbers: Vec<u32> = (0..1000).collect();
    let buffer = gpu.buffer_from(&numbers)?;
    let kernel = gpu.kernel(DOUBLE)?;
    let group = kernel.bind_group(0).bind(0, &buffer).create()?;
    let mut batch = gpu.batch();
    for _ in 0..2 {
        kernel.dispatch().group(&group).threads(numbers.len()).record(&mut batch)?;
    }
    batch.submit()?;
    // The group goes before the buffer that it keeps.
    drop(group);
    Output::create("out")?.append_from(&buffer)
}

/// Leaves a binding out of a kernel that has a label.
fn bind_too_little() -> isobit::Result<()> {
    Gpu::new().module(DOUBLE)?.kernel_builder().label("twice").create()?.dispatch().threads(64).run()
}

/// Spends fuel until there is none. Says so first, for whoever waits until it runs.
fn spin() -> isobit::Result<()> {
    isobit::info!("spinning");
    let mut state = 1_u64;
    while black_box(state) != 0 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) | 1;
    }
    Ok(())
}

fn spin_in_a_kernel() -> isobit::Result<()> {
    let gpu = Gpu::new();
    let kernel = gpu.kernel(ENDLESS)?;
    let numbers = gpu.buffer::<u32>(64)?;
    isobit::info!("spinning");
    kernel.dispatch().bind(0, &numbers).workgroups(1, 1, 1).run()?;
    gpu.wait()
}

/// A kernel that drivers need long to compile, if they can do it at all: one long chain of quotients and roots.
fn compile_for_long() -> isobit::Result<()> {
    let chain = "x = x / (y + 1.5); y = sqrt(y * x + 2.0); ".repeat(1500);
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read_write> numbers: array<f32>;
@compute @workgroup_size(64)
fn long(@builtin(global_invocation_id) id: vec3<u32>) {{
    var x = numbers[id.x]; var y = x + 1.0;
    {chain}
    numbers[id.x] = x + y;
}}"
    );
    isobit::info!("compiling");
    Gpu::new().kernel(&wgsl).map(drop)
}

/// Writes half of an output before a loop that some drivers leave early.
fn long_loop() -> isobit::Result<()> {
    let gpu = Gpu::new();
    let kernel = gpu.kernel(LONG)?;
    let turns = gpu.buffer_from(&[200_000_u32])?;
    let numbers = gpu.buffer::<u32>(64)?;
    let mut out = Output::create("out")?;
    out.write_all(b"before the loop")?;
    isobit::info!("turning");
    kernel.dispatch().bind(0, &turns).bind(1, &numbers).workgroups(1, 1, 1).run()?;
    out.append_from(&numbers)
}

fn dispatch(workgroups: u32) -> isobit::Result<()> {
    let gpu = Gpu::new();
    let numbers = gpu.buffer::<u32>(64)?;
    gpu.kernel(DOUBLE)?.dispatch().bind(0, &numbers).workgroups(workgroups, 1, 1).run()
}

fn recurse(depth: u32) -> u32 {
    match depth {
        0 => 0,
        // Not a tail call.
        _ => black_box(recurse(black_box(depth - 1))) + 1,
    }
}

fn hoard_guest_memory() -> isobit::Result<()> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Takes 1 MiB after the other and gives none back, until the host refuses.
fn hoard_device_memory() -> isobit::Result<()> {
    let gpu = Gpu::new();
    let mut hoard = Vec::new();
    loop {
        hoard.push(gpu.buffer::<u8>(1 << 20)?);
    }
}

fn hoard_handles() -> isobit::Result<()> {
    let name = Input::names().pop().ok_or("this takes an input")?;
    let mut hoard = Vec::new();
    loop {
        hoard.push(Input::open(&name)?);
    }
}

/// Encoders full of commands, none of which is ever submitted.
fn hoard_commands() -> isobit::Result<()> {
    let gpu = Gpu::new();
    let buffer = gpu.buffer::<u32>(64)?;
    let kernel = gpu.kernel(DOUBLE)?;
    let group = kernel.bind_group(0).bind(0, &buffer).create()?;
    let mut hoard = Vec::new();
    loop {
        let encoder = CommandEncoder::new();
        let pass = encoder.begin_compute_pass();
        pass.set_pipeline(kernel.raw());
        for _ in 0..65_000 {
            pass.set_bind_group(0, group.raw(), &[]);
        }
        drop(pass);
        hoard.push(CommandEncoder::finish(encoder)?);
    }
}

/// The same kernel, compiled again and again.
fn hoard_kernels() -> isobit::Result<()> {
    let gpu = Gpu::new();
    let mut hoard = Vec::new();
    loop {
        hoard.push(gpu.module(DOUBLE)?);
    }
}

/// Writes `bytes` bytes that follow a pattern: byte number i is the low byte of i / 64 Ki.
fn pour() -> isobit::Result<()> {
    let bytes: usize = isobit::param("bytes")?.unwrap_or(usize::MAX);
    let mut out = Output::create("out")?;
    let mut piece = vec![0; PIECE];
    let mut written = 0;
    while written < bytes {
        piece.fill(u8::try_from(written / PIECE % 256).unwrap());
        let length = PIECE.min(bytes - written);
        out.write_all(&piece[..length])?;
        written += length;
    }
    Ok(())
}

fn many_outputs() -> isobit::Result<()> {
    for number in 0.. {
        Output::create(&format!("out{number}"))?.write_all(b"one of many")?;
    }
    Ok(())
}

/// Log lines without end.
fn chatter() -> isobit::Result<()> {
    let line = "blah ".repeat(1600);
    loop {
        isobit::info!("{line}");
    }
}
