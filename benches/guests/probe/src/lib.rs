//! Makes one host call over and over, between two log lines at which the host takes the time: guests have no clock.
//!
//! Parameters: `call`, see below; `rounds`, how often; `bytes`, how many each time where that means anything.

use std::hint::black_box;

use isobit::{Gpu, Input, Output};

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
        unknown => Err(format!("no call is named {unknown:?}").into()),
    }
}

/// Once to warm up, then `rounds` times between the log lines.
fn timed(rounds: u64, mut call: impl FnMut() -> isobit::Result<()>) -> isobit::Result<()> {
    call()?;
    isobit::info!("start");
    for _ in 0..rounds {
        call()?;
    }
    isobit::info!("end");
    Ok(())
}
