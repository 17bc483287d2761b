// A photo, blurred and inked: Gaussian blur along rows, then along columns, then Sobel edges drawn over it.
//
// A pixel is RGBA with 8 bits each, packed in a u32. A kernel runs with one invocation per pixel, and the
// invocations lie in rows of workgroups that have nothing to do with the rows of the picture.

const SIZE = 256u;

struct Params {
    width: u32,
    height: u32,
    // The weights go from -radius to radius.
    radius: u32,
    // How dark the ink is: 0 none, 1 normal.
    strength: f32,
}

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
// weights[d] for the distance d from the middle, 0 to radius.
@group(0) @binding(3) var<storage, read> weights: array<f32>;

// The pixel at (x, y); beyond the border, the nearest one there is.
fn pixel(x: i32, y: i32) -> vec4<f32> {
    let column = u32(clamp(x, 0, i32(params.width) - 1));
    let row = u32(clamp(y, 0, i32(params.height) - 1));
    return unpack4x8unorm(pixels[row * params.width + column]);
}

// The weighted mean of the pixels around (x, y) along a direction.
fn blur(x: i32, y: i32, direction: vec2<i32>) -> vec4<f32> {
    var sum = weights[0] * pixel(x, y);
    for (var d = 1; d <= i32(params.radius); d++) {
        let step = d * direction;
        sum += weights[d] * (pixel(x - step.x, y - step.y) + pixel(x + step.x, y + step.y));
    }
    return sum;
}

fn luminance(x: i32, y: i32) -> f32 {
    return dot(pixel(x, y).rgb, vec3<f32>(0.2126, 0.7152, 0.0722));
}

// The index of the pixel that an invocation is for.
fn index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x * SIZE + id.x;
}

@compute @workgroup_size(SIZE)
fn blur_rows(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i < params.width * params.height {
        let mean = blur(i32(i % params.width), i32(i / params.width), vec2<i32>(1, 0));
        result[i] = pack4x8unorm(mean);
    }
}

@compute @workgroup_size(SIZE)
fn blur_columns(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i < params.width * params.height {
        let mean = blur(i32(i % params.width), i32(i / params.width), vec2<i32>(0, 1));
        result[i] = pack4x8unorm(mean);
    }
}

@compute @workgroup_size(SIZE)
fn ink_edges(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i >= params.width * params.height {
        return;
    }
    let x = i32(i % params.width);
    let y = i32(i / params.width);

    // Sobel's two gradients, out of the eight neighbours' luminance.
    let a = luminance(x - 1, y - 1);
    let b = luminance(x, y - 1);
    let c = luminance(x + 1, y - 1);
    let d = luminance(x - 1, y);
    let f = luminance(x + 1, y);
    let g = luminance(x - 1, y + 1);
    let h = luminance(x, y + 1);
    let k = luminance(x + 1, y + 1);
    let across = (c + 2.0 * f + k) - (a + 2.0 * d + g);
    let down = (g + 2.0 * h + k) - (a + 2.0 * b + c);
    let edge = sqrt(across * across + down * down);

    let ink = clamp(params.strength * smoothstep(0.15, 0.9, edge), 0.0, 1.0);
    let paper = pixel(x, y);
    let dark = vec3<f32>(0.06, 0.05, 0.10);
    result[i] = pack4x8unorm(vec4<f32>(mix(paper.rgb, dark, ink), paper.a));
}
