//! Copies input `in` through device memory to output `out`, whatever its size, in bounded memory.
//!
//! The bytes never enter the guest: the host moves them from the input to the device and from the device
//! to the output. Of two buffers, one is filled while the other is still to be emptied.
//!
//! Parameters: `chunk`, bytes per buffer (default 8 MiB).

use isobit::{Gpu, Input, Output};

isobit::takes! {
    param "chunk": "bytes per buffer, a multiple of 4; 8388608 if it is not set",
    input "in": "anything",
    output "out": "the same bytes",
}

#[isobit::main]
fn main() -> isobit::Result<()> {
    let chunk: usize = isobit::param("chunk")?.unwrap_or(8 * 1024 * 1024);
    if chunk == 0 || !chunk.is_multiple_of(4) {
        return Err(format!("chunk is {chunk}, but has to be a multiple of 4 bytes").into());
    }

    let gpu = Gpu::new();
    let buffers = [gpu.buffer::<u8>(chunk)?, gpu.buffer::<u8>(chunk)?];
    let mut input = Input::open("in")?;
    let mut output = Output::create("out")?;

    let mut filled = None;
    for buffer in buffers.iter().cycle() {
        let loaded = buffer.load_from(&mut input)?;
        if let Some(slice) = filled.replace(buffer.slice(..loaded)) {
            output.append_from(slice)?;
            isobit::progress(output.size() as f32 / input.size() as f32, "copied");
        }
        if loaded == 0 {
            break;
        }
    }
    isobit::info!("copied {} bytes", output.size());
    Ok(())
}
