//! Makes one host call over and over, between two log lines at which the host takes the time: guests have no clock.
//!
//! Parameters: `call`, see below; `rounds`, how often; `bytes`, how many each time where that means anything; `batch`, how many dispatches are submitted
//! together; `looping`, whether their kernel has a loop that pays fuel.

use std::hint::black_box;

use isobit::{Gpu, Input, Output};

/// A small kernel. `benches/dispatch.rs` runs the same text on plain wgpu.
const KERNEL: &str = include_str!("../../../kernels/small.wgsl");

/// The same with a loop of which only the buffer tells how often it runs.
const LOOPING: &str = include_str!("../../../kernels/small_loop.wgsl");

#[isobit::main]
fn main() -> isobit::Result<()> {
    let call: String = isobit::param("call")?.unwrap_or_default();
    let rounds: u64 = isobit::param("rounds")?.unwrap_or(1);
    let bytes: usize = isobit::param("bytes")?.unwrap_or(4);
    let length = bytes as u64;

    let gpu = Gpu::new();
    let buffer = gpu.buffer::<u8>(bytes)?;
    let raw = buffer.raw();
    match call.as_str() {
        "limits" => timed(rounds, || {
            black_box(gpu.limits());
            Ok(())
        }),
        "size" => timed(rounds, || {
            black_box(raw.size());
            Ok(())
        }),
        "write" => {
            let data = vec![1; bytes];
            timed(rounds, || {
                raw.write(0, &data)?;
                gpu.wait()
            })
        }
        "read" => timed(rounds, || {
            black_box(raw.read(0, length)?);
            Ok(())
        }),
        "load-from" => {
            let input = Input::open("in")?;
            timed(rounds, || {
                raw.load_from(0, input.raw(), 0, length)?;
                gpu.wait()
            })
        }
        "append-to" => {
            let output = Output::create("out")?;
            timed(rounds, || Ok(raw.append_to(0, length, output.raw())?))
        }
        "dispatch" => dispatch(&gpu, rounds),
        unknown => Err(format!("no call is named {unknown:?}").into()),
    }
}

/// Dispatches from one buffer to another and back, `batch` in a submission, `rounds` in all. All of them are done when the time is taken.
fn dispatch(gpu: &Gpu, rounds: u64) -> isobit::Result<()> {
    let batch = isobit::param("batch")?.unwrap_or(1_usize).max(1);
    let looping: bool = isobit::param("looping")?.unwrap_or(false);
    let (a, b) = (gpu.buffer::<u32>(64)?, gpu.buffer::<u32>(64)?);
    let kernel = gpu.kernel(if looping { LOOPING } else { KERNEL })?;
    let groups = [
        kernel.bind_group(0).bind(0, &a).bind(1, &b).create()?,
        kernel.bind_group(0).bind(0, &b).bind(1, &a).create()?,
    ];
    let mut there_and_back = groups.iter().cycle();
    let mut submit = || {
        let mut commands = gpu.batch();
        for group in there_and_back.by_ref().take(batch) {
            kernel.dispatch().group(group).record(&mut commands)?;
        }
        commands.submit()
    };
    submit()?;
    gpu.wait()?;
    timed_until(rounds / batch as u64, submit, || gpu.wait())
}

/// Once to warm up, then `rounds` times between the log lines.
fn timed(rounds: u64, mut call: impl FnMut() -> isobit::Result<()>) -> isobit::Result<()> {
    call()?;
    timed_until(rounds, call, || Ok(()))
}

/// Calls `rounds` times and then waits for the end, between the log lines.
fn timed_until(
    rounds: u64,
    mut call: impl FnMut() -> isobit::Result<()>,
    end: impl FnOnce() -> isobit::Result<()>,
) -> isobit::Result<()> {
    isobit::info!("start");
    for _ in 0..rounds {
        call()?;
    }
    end()?;
    isobit::info!("end");
    Ok(())
}
