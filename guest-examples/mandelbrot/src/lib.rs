//! Draws the Mandelbrot set as a PNG to output `out`, in integer arithmetic from end to end: the kernel,
//! the palette and the reading of the parameters. So the bits are the same on every device.
//!
//! The picture is made and written in bands of rows: it may be larger than any memory.
//!
//! Parameters: `width`, `height` (default 640, 480); `iterations` (default 256, at most 8192); `x`, `y`, the
//! point in the middle, as decimals (default -0.5, 0); `zoom`, how much narrower than 4 the picture is (default 1).

mod fixed;
mod palette;

use std::error::Error;
use std::io::{BufWriter, Write};

use fixed::Fixed;
use isobit::{Gpu, Output, Pod, Zeroable};

isobit::takes! {
    param "width": "in pixels; 640 if it is not set",
    param "height": "in pixels; 480 if it is not set",
    param "iterations": "256 if it is not set, at most 8192",
    param "x": "of the point in the middle, a decimal; -0.5 if it is not set",
    param "y": "of the point in the middle, a decimal; 0 if it is not set",
    param "zoom": "how much narrower than 4 the picture is; 1 if it is not set",
    output "out": "the picture, a PNG",
}

/// Workgroups are 16 x 16.
const TILE: u32 = 16;

/// Rows computed in one dispatch.
const BAND: u32 = 64;

/// The largest picture: a width of this many pixels makes bands of 4 MiB.
const LARGEST: u32 = 16_384;

/// The most iterations. An invocation has four samples, and lavapipe ends all loops of an invocation, without a word,
/// after 65 535 turns together.
const MOST_ITERATIONS: u32 = 8192;

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Params {
    left: i32,
    top: i32,
    step: i32,
    width: u32,
    first_row: u32,
    rows: u32,
    iterations: u32,
}

#[isobit::main]
fn main() -> Result<(), Box<dyn Error>> {
    let width: u32 = isobit::param("width")?.unwrap_or(640);
    let height: u32 = isobit::param("height")?.unwrap_or(480);
    if !(1..=LARGEST).contains(&width) || !(1..=LARGEST).contains(&height) {
        return Err(format!("{width} x {height} pixels: each has to be from 1 to {LARGEST}").into());
    }
    let mut params = view(width, height)?;

    let gpu = Gpu::new();
    let kernel = gpu.kernel(include_str!("mandelbrot.wgsl"))?;
    let palette = gpu.buffer_from(&palette::colours())?;
    let band = gpu.buffer::<u8>(bytes(width, BAND))?;

    let mut encoder = png::Encoder::new(BufWriter::with_capacity(1 << 20, Output::create("out")?), width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    let mut rows = writer.stream_writer()?;
    while params.first_row < height {
        params.rows = BAND.min(height - params.first_row);
        kernel
            .dispatch()
            .uniform(0, &params)
            .bind(1, &palette)
            .bind(2, &band)
            .workgroups(width.div_ceil(TILE), params.rows.div_ceil(TILE), 1)
            .run()?;
        rows.write_all(&band.slice(..bytes(width, params.rows)).read()?)?;
        params.first_row += params.rows;
        isobit::progress(params.first_row as f32 / height as f32, "drawn");
    }
    rows.finish()?;
    Ok(writer.finish()?)
}

/// The size of so many rows of pixels.
fn bytes(width: u32, rows: u32) -> usize {
    width as usize * rows as usize * 4
}

/// The part of the plane that the parameters ask for.
fn view(width: u32, height: u32) -> Result<Params, Box<dyn Error>> {
    let Fixed(x) = isobit::param("x")?.unwrap_or(Fixed::MINUS_HALF);
    let Fixed(y) = isobit::param("y")?.unwrap_or(Fixed::ZERO);
    let zoom: u32 = isobit::param("zoom")?.unwrap_or(1);
    let iterations: u32 = isobit::param("iterations")?.unwrap_or(256);
    if iterations > MOST_ITERATIONS {
        return Err(format!("{iterations} iterations: at most {MOST_ITERATIONS}").into());
    }

    // Two samples to a pixel, in both directions.
    let (columns, rows) = (2 * i64::from(width), 2 * i64::from(height));
    let step = Fixed::FOUR / columns / i64::from(zoom.max(1));
    if step == 0 {
        return Err(format!("zoom {zoom} is too deep for {width} pixels of width").into());
    }
    let left = i64::from(x) - step * columns / 2;
    let top = i64::from(y) - step * rows / 2;
    i32::try_from(left + step * columns)
        .and(i32::try_from(top + step * rows))
        .map_err(|_| "the picture would reach beyond 8: give it more width or zoom")?;
    Ok(Params {
        left: i32::try_from(left)?,
        top: i32::try_from(top)?,
        step: i32::try_from(step)?,
        width,
        first_row: 0,
        rows: 0,
        iterations,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_is_valid_wgsl() {
        let module = naga::front::wgsl::parse_str(include_str!("mandelbrot.wgsl")).unwrap();
        naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
    }
}
