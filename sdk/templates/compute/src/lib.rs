//! Doubles the numbers below `count` on the device and writes them to output `out`, one to a line.

use std::io::{BufWriter, Write};

use isobit::{Gpu, Output};

// What `isobit inspect` shows. Other names are refused before anything runs.
isobit::takes! {
    param "count": "how many numbers; 10 if it is not set",
    output "out": "the doubled numbers, one to a line",
}

#[isobit::main]
fn main() -> isobit::Result<()> {
    let count: u32 = isobit::param("count")?.unwrap_or(10);
    let numbers: Vec<u32> = (0..count).collect();

    let gpu = Gpu::new();
    let double = gpu.kernel(include_str!("kernel.wgsl"))?;
    let buffer = gpu.buffer_from(&numbers)?;
    double
        .dispatch()
        .bind(0, &buffer)
        .threads(numbers.len())
        .run()?;

    let mut out = BufWriter::new(Output::create("out")?);
    for number in buffer.read()? {
        writeln!(out, "{number}")?;
    }
    out.flush()?;
    isobit::info!("doubled {count} numbers");
    Ok(())
}
