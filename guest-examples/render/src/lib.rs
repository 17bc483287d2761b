//! Renders a tile of a frame by path tracing: spheres, a floor and a mesh, of diffuse, metal, glass and shining materials, under a sky with a sun.
//!
//! Inputs: `scene`, lines of text (see `scene.rs`; a scene with the mesh if it is not given); `mesh`, Wavefront OBJ, needed where the scene has a mesh.
//! Output: `out`, a PNG of the tile.
//!
//! Parameters: `width` and `height` of the whole picture (default 640, 400); `x`, `y`, `w`, `h`, the tile (default all); `frame`, which turns the
//! camera (default 0); `samples` for each pixel (default 64); `bounces` of a ray (default 8).

mod bvh;
mod geometry;
mod obj;
mod scene;
mod vector;

use std::error::Error;
use std::io::{BufWriter, Read as _};

use geometry::{Ball, Geometry, Surface, Triangle};
use isobit::{Buffer, Gpu, Input, Output, Pod, Zeroable};
use obj::Mesh;
use scene::Scene;
use vector::{Vector, add, cross, length, normalize, scale, sub, turn};

isobit::takes! {
    param "width": "of the whole picture, in pixels; 640 if it is not set",
    param "height": "of the whole picture, in pixels; 400 if it is not set",
    param "x": "where the tile begins, from the left; 0 if it is not set",
    param "y": "where the tile begins, from the top; 0 if it is not set",
    param "w": "width of the tile; to the right edge if it is not set",
    param "h": "height of the tile; to the lower edge if it is not set",
    param "frame": "number of the frame; 0 if it is not set",
    param "samples": "for each pixel; 64 if it is not set",
    param "bounces": "of a ray at most; 8 if it is not set",
    input "scene": "lines of text; one with the mesh if it is not given",
    input "mesh": "Wavefront OBJ",
    output "out": "the tile, a PNG",
}

/// The largest picture, along either side.
const LARGEST: u32 = 16_384;

/// 128 MiB, the largest binding, hold so many pixels of 16 bytes.
const PIXELS: u32 = 8 * 1024 * 1024;

/// Samples in a dispatch. Lavapipe ends all loops of an invocation, without a word, after 65 535 turns together, and a sample may take some thousands.
const TOGETHER: u32 = 2;

/// Workgroups are 8 x 8.
const GROUP: u32 = 8;

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Params {
    width: u32,
    height: u32,
    left: u32,
    top: u32,
    columns: u32,
    rows: u32,
    first_sample: u32,
    samples: u32,
    frame: u32,
    bounces: u32,
    triangles: u32,
    spheres: u32,
    eye: Vector,
    lens: f32,
    ahead: Vector,
    floor: u32,
    across: Vector,
    floor_height: f32,
    upward: Vector,
    floor_side: f32,
    horizon: Vector,
    floor_first: u32,
    zenith: Vector,
    floor_second: u32,
    sun: Vector,
    sun_edge: f32,
    sun_color: Vector,
    pad1: f32,
    sun_disc: Vector,
    pad2: f32,
}

#[isobit::main]
fn main() -> Result<(), Box<dyn Error>> {
    let mut params = tile()?;
    let samples: u32 = isobit::param("samples")?.unwrap_or(64);
    if !(1..=65_536).contains(&samples) || params.bounces > 256 {
        return Err(
            format!("{samples} samples and {} bounces: from 1 to 65536, and at most 256", params.bounces).into()
        );
    }
    let text = if is_given("scene") { text("scene")? } else { include_str!("default.scene").to_owned() };
    let scene = Scene::parse(&text).map_err(|error| format!("scene: {error}"))?;
    let mesh = if scene.meshes.is_empty() {
        Mesh::default()
    } else {
        Mesh::parse(&text_of_mesh()?).map_err(|error| format!("mesh: {error}"))?
    };
    let geometry = Geometry::new(&scene, &mesh)?;
    isobit::info!("{} triangles, {} spheres", geometry.triangles.len(), scene.spheres.len());
    isobit::progress(0.05, "built");
    describe(&scene, &geometry, &mut params);

    let pixels = render(params, samples, &scene, &geometry)?;
    encode(Output::create("out")?, params.columns, params.rows, &pixels)
}

/// The picture, and the part of it that is to be rendered.
fn tile() -> Result<Params, Box<dyn Error>> {
    let width: u32 = isobit::param("width")?.unwrap_or(640);
    let height: u32 = isobit::param("height")?.unwrap_or(400);
    if !(1..=LARGEST).contains(&width) || !(1..=LARGEST).contains(&height) {
        return Err(format!("{width} x {height} pixels: each has to be from 1 to {LARGEST}").into());
    }
    let left: u32 = isobit::param("x")?.unwrap_or(0);
    let top: u32 = isobit::param("y")?.unwrap_or(0);
    let columns: u32 = isobit::param("w")?.unwrap_or(width.saturating_sub(left));
    let rows: u32 = isobit::param("h")?.unwrap_or(height.saturating_sub(top));
    let is_inside =
        |first: u32, count: u32, all: u32| count > 0 && first.checked_add(count).is_some_and(|end| end <= all);
    if !is_inside(left, columns, width) || !is_inside(top, rows, height) {
        return Err(format!(
            "the tile of {columns} x {rows} pixels at {left}, {top} is not within the picture of {width} x {height}"
        )
        .into());
    }
    if columns * rows > PIXELS {
        return Err(format!("a tile of {columns} x {rows} pixels: at most {PIXELS}").into());
    }
    let frame = isobit::param("frame")?.unwrap_or(0);
    let bounces = isobit::param("bounces")?.unwrap_or(8);
    Ok(Params { width, height, left, top, columns, rows, frame, bounces, ..Params::default() })
}

fn is_given(name: &str) -> bool {
    Input::names().iter().any(|input| input == name)
}

fn text(name: &str) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    Input::open(name)?.read_to_string(&mut text).map_err(|error| format!("{name}: {error}"))?;
    Ok(text)
}

fn text_of_mesh() -> Result<String, Box<dyn Error>> {
    if !is_given("mesh") {
        return Err("the scene has a mesh, but the job has no input `mesh`".into());
    }
    text("mesh")
}

/// Camera, floor, sky and sun for the kernels.
fn describe(scene: &Scene, geometry: &Geometry, params: &mut Params) {
    let camera = &scene.camera;
    params.eye = add(camera.to, turn(sub(camera.from, camera.to), camera.turn * params.frame as f32 % 360.0));
    params.ahead = sub(camera.to, params.eye);
    let side = normalize(cross(params.ahead, [0.0, 1.0, 0.0]));
    let upward = normalize(cross(side, params.ahead));
    let half = (0.5 * camera.angle).to_radians().tan() * length(params.ahead);
    params.upward = scale(upward, half);
    params.across = scale(side, half * params.width as f32 / params.height as f32);
    params.lens = camera.lens;

    params.horizon = scene.sky.horizon;
    params.zenith = scene.sky.zenith;
    // No direction is within a sun that is not there.
    params.sun_edge = 2.0;
    if let Some(sun) = &scene.sun {
        params.sun = normalize(sun.toward);
        params.sun_edge = (0.5 * sun.size).to_radians().cos();
        params.sun_color = sun.color;
        // As bright as gives that light to a surface, for a disc that is small.
        params.sun_disc = scale(sun.color, 0.5 / (1.0 - params.sun_edge));
    }
    if let Some(floor) = &scene.floor {
        params.floor = 1;
        params.floor_height = floor.height;
        params.floor_side = floor.side;
        [params.floor_first, params.floor_second] = floor.materials;
    }
    params.triangles = u32::try_from(geometry.triangles.len()).unwrap_or(u32::MAX);
    params.spheres = u32::try_from(scene.spheres.len()).unwrap_or(u32::MAX);
}

/// The pixels of the tile, four bytes each.
fn render(mut params: Params, samples: u32, scene: &Scene, geometry: &Geometry) -> Result<Vec<u8>, Box<dyn Error>> {
    let gpu = Gpu::new();
    let module = gpu.module(include_str!("render.wgsl"))?;
    let (trace, develop) = (module.kernel("trace")?, module.kernel("develop")?);
    let nodes = filled(gpu, &geometry.nodes)?;
    let triangles: Buffer<Triangle> = filled(gpu, &geometry.triangles)?;
    let normals = filled(gpu, &geometry.normals)?;
    let spheres = filled(gpu, &scene.spheres.iter().map(Ball::from).collect::<Vec<_>>())?;
    let materials = filled(gpu, &scene.materials.iter().map(Surface::from).collect::<Vec<_>>())?;
    let pixels = params.columns as usize * params.rows as usize;
    let light = gpu.buffer::<[f32; 4]>(pixels)?;
    let developed = gpu.buffer::<u8>(4 * pixels)?;
    let (columns, rows) = (params.columns.div_ceil(GROUP), params.rows.div_ceil(GROUP));

    while params.first_sample < samples {
        params.samples = TOGETHER.min(samples - params.first_sample);
        trace
            .dispatch()
            .uniform(0, &params)
            .bind(1, &nodes)
            .bind(2, &triangles)
            .bind(3, &normals)
            .bind(4, &spheres)
            .bind(5, &materials)
            .bind(6, &light)
            .workgroups(columns, rows, 1)
            .run()?;
        // So that progress tells what was done, and not only submitted.
        gpu.wait()?;
        params.first_sample += params.samples;
        isobit::progress(0.05 + 0.9 * params.first_sample as f32 / samples as f32, "rendered");
    }
    params.samples = 0;
    let develop = develop.dispatch().uniform(0, &params).bind(6, &light).bind(7, &developed);
    develop.workgroups(columns, rows, 1).run()?;
    Ok(developed.read()?)
}

/// A buffer with at least one element, as a kernel cannot be given none.
fn filled<T: Pod>(gpu: Gpu, data: &[T]) -> isobit::Result<Buffer<T>> {
    if data.is_empty() { gpu.buffer(1) } else { gpu.buffer_from(data) }
}

fn encode(output: Output, width: u32, height: u32, rgba: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut encoder = png::Encoder::new(BufWriter::with_capacity(1 << 20, output), width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgba)?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_valid_wgsl() {
        let module = naga::front::wgsl::parse_str(include_str!("render.wgsl")).unwrap();
        naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
    }

    #[test]
    fn the_scene_for_those_who_have_none_is_right() {
        let scene = Scene::parse(include_str!("default.scene")).unwrap();
        assert!(!scene.meshes.is_empty() && !scene.spheres.is_empty());
    }
}
