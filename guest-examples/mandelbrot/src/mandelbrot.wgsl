// The Mandelbrot set in integers alone, so that every device computes the same bits.
//
// Numbers are fixed point: an i32 that counts 2^-28ths, from -8 up to 8. A product of two of them needs 64
// bits, which WGSL does not have; it is put together from four products of 16 bits.

const FRACTION = 28u;
const FOUR = 4u << FRACTION;

struct Params {
    // Middle of the first sample of the picture's first pixel.
    left: i32,
    top: i32,
    // From one sample to the next. A pixel is 2 x 2 samples.
    step: i32,
    width: u32,
    // The rows of this dispatch.
    first_row: u32,
    rows: u32,
    iterations: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// 256 colours, each 0xAABBGGRR; they are used in a circle.
@group(0) @binding(1) var<storage, read> palette: array<u32, 256>;
@group(0) @binding(2) var<storage, read_write> pixels: array<u32>;

// a * b, rounded down, for numbers up to 2.
fn multiply(a: u32, b: u32) -> u32 {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let low = a_low * b_low;
    // No carry is lost: a_high and b_high are at most 2^13, so the sums stay below 2^30.
    let middle = a_high * b_low + (low >> 16u);
    let middle_low = (middle & 0xffffu) + a_low * b_high;
    let high = a_high * b_high + (middle >> 16u) + (middle_low >> 16u);
    return (high << (32u - FRACTION)) | (((middle_low << 16u) | (low & 0xffffu)) >> FRACTION);
}

// How many iterations the point stays within 2 of zero; params.iterations if it does not leave.
fn escape(c_re: i32, c_im: i32) -> u32 {
    var re = c_re;
    var im = c_im;
    for (var count = 0u; count < params.iterations; count++) {
        let size_re = u32(abs(re));
        let size_im = u32(abs(im));
        // Beyond 2 in one direction is beyond 2; and no square below overflows.
        if size_re > FOUR / 2u || size_im > FOUR / 2u {
            return count;
        }
        let re_squared = multiply(size_re, size_re);
        let im_squared = multiply(size_im, size_im);
        if re_squared + im_squared > FOUR {
            return count;
        }
        let product = i32(2u * multiply(size_re, size_im));
        im = select(product, -product, (re < 0) != (im < 0)) + c_im;
        re = i32(re_squared) - i32(im_squared) + c_re;
    }
    return params.iterations;
}

fn colour(count: u32) -> vec4<u32> {
    if count == params.iterations {
        return vec4<u32>(0u, 0u, 0u, 255u);
    }
    let packed = palette[(count * 8u) & 255u];
    return vec4<u32>(packed, packed >> 8u, packed >> 16u, packed >> 24u) & vec4<u32>(255u);
}

@compute @workgroup_size(16, 16)
fn mandelbrot(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.width || id.y >= params.rows {
        return;
    }
    var sum = vec4<u32>(2u);
    for (var sample = 0u; sample < 4u; sample++) {
        let x = i32(2u * id.x + (sample & 1u));
        let y = i32(2u * (params.first_row + id.y) + (sample >> 1u));
        sum += colour(escape(params.left + x * params.step, params.top + y * params.step));
    }
    let mean = sum / 4u;
    pixels[id.y * params.width + id.x] = mean.r | (mean.g << 8u) | (mean.b << 16u) | (mean.a << 24u);
}
