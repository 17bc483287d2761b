//! Blurs a photo and inks its edges: PNG in (`photo`), PNG out (`out`).
//!
//! The picture makes three trips over the device: Gaussian blur along rows and along columns, then
//! Sobel edges, drawn over the blurred picture.
//!
//! Parameters: `radius` of the blur in pixels (default 3, at most 64); `strength` of the ink
//! (default 1, 0 for none, at most 10).

use std::error::Error;
use std::io::{BufReader, BufWriter};

use isobit::{Gpu, Input, Output, Pod, Zeroable};

isobit::takes! {
    param "radius": "of the blur in pixels; 3 if it is not set, at most 64",
    param "strength": "of the ink; 1 if it is not set, 0 for none, at most 10",
    input "photo": "a PNG",
    output "out": "the picture, a PNG of the same size",
}

/// 128 MiB, the largest binding of device class base, hold this many pixels of 4 bytes.
const PIXELS: u64 = 128 * 1024 * 1024 / 4;

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Params {
    width: u32,
    height: u32,
    radius: u32,
    strength: f32,
}

#[isobit::main]
fn main() -> Result<(), Box<dyn Error>> {
    let radius: u32 = isobit::param("radius")?.unwrap_or(3);
    let strength: f32 = isobit::param("strength")?.unwrap_or(1.0);
    if radius > 64 {
        return Err(format!("radius is {radius}, but has to be at most 64").into());
    }
    if !(0.0..=10.0).contains(&strength) {
        return Err(format!("strength is {strength}, but has to be from 0 to 10").into());
    }

    let (width, height, rgba) = decode(Input::open("photo")?)?;
    isobit::info!("{width} x {height} pixels, radius {radius}, strength {strength}");
    isobit::progress(0.3, "decoded");

    let gpu = Gpu::new();
    let module = gpu.module(include_str!("photo.wgsl"))?;
    let photo = gpu.buffer_from(&rgba)?;
    let other = gpu.buffer::<u8>(rgba.len())?;
    let weights = gpu.buffer_from(&weights(radius))?;
    let params = gpu.uniform(&Params { width, height, radius, strength })?;

    let pixels = rgba.len() / 4;
    let mut batch = gpu.batch();
    module
        .kernel("blur_rows")?
        .dispatch()
        .bind(0, &photo)
        .bind(1, &other)
        .bind(2, &params)
        .bind(3, &weights)
        .threads(pixels)
        .record(&mut batch)?;
    module
        .kernel("blur_columns")?
        .dispatch()
        .bind(0, &other)
        .bind(1, &photo)
        .bind(2, &params)
        .bind(3, &weights)
        .threads(pixels)
        .record(&mut batch)?;
    // A kernel has the bindings that it uses, and the edges need no weights.
    module
        .kernel("ink_edges")?
        .dispatch()
        .bind(0, &photo)
        .bind(1, &other)
        .bind(2, &params)
        .threads(pixels)
        .record(&mut batch)?;
    batch.submit()?;
    let inked = other.read()?;
    isobit::progress(0.7, "inked");

    encode(Output::create("out")?, width, height, &inked)
}

/// The picture's width, height and pixels: four bytes each, whatever the PNG's own format is.
fn decode(input: Input) -> Result<(u32, u32, Vec<u8>), Box<dyn Error>> {
    let mut decoder = png::Decoder::new(BufReader::new(input));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info()?;
    let (width, height) = reader.info().size();
    if u64::from(width) * u64::from(height) > PIXELS {
        return Err(format!("{width} x {height} is too large: at most {PIXELS} pixels").into());
    }
    let size = reader.output_buffer_size().ok_or("the picture does not fit in memory")?;
    let mut pixels = vec![0; size];
    reader.next_frame(&mut pixels)?;
    if reader.output_color_type().0 == png::ColorType::GrayscaleAlpha {
        let pairs = pixels.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
        pixels = pairs.flat_map(|[gray, alpha]| [gray, gray, gray, alpha]).collect();
    }
    Ok((width, height, pixels))
}

fn encode(output: Output, width: u32, height: u32, rgba: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut encoder = png::Encoder::new(BufWriter::with_capacity(1 << 20, output), width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgba)?;
    Ok(writer.finish()?)
}

/// A Gaussian over the distances 0 to `radius` with a standard deviation of half the radius; over both sides
/// the weights add up to 1.
fn weights(radius: u32) -> Vec<f32> {
    let sigma = (radius as f32 / 2.0).max(0.5);
    let bell: Vec<f32> = (0..=radius).map(|distance| (-0.5 * (distance as f32 / sigma).powi(2)).exp()).collect();
    let both_sides = 2.0 * bell.iter().sum::<f32>() - 1.0;
    bell.iter().map(|weight| weight / both_sides).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_valid_wgsl() {
        let module = naga::front::wgsl::parse_str(include_str!("photo.wgsl")).unwrap();
        naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
    }

    #[test]
    fn a_blur_keeps_the_brightness() {
        for radius in [0, 1, 3, 64] {
            let weights = weights(radius);
            let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
            assert!((sum - 1.0).abs() < 1e-6, "radius {radius}: {sum}");
        }
    }
}
