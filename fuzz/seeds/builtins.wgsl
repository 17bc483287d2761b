@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    let x = data[id.x];
    data[id.x] = sin(x) + cos(x) + tan(x) + asin(x) + acos(x) + atan(x) + atan2(x, 2.0) + sinh(x) + cosh(x) + tanh(x) + asinh(x)
        + acosh(x) + atanh(x) + exp(x) + exp2(x) + log(x) + log2(x) + pow(x, 3.0) + floor(x) + ceil(x) + round(x) + trunc(x)
        + fract(x) + sign(x) + saturate(x) + step(0.5, x) + smoothstep(0.0, 1.0, x) + mix(1.0, 2.0, x) + clamp(x, -1.0, 1.0)
        + degrees(x) + radians(x) + ldexp(x, 3) + frexp(x).fract + f32(frexp(x).exp) + modf(x).whole + quantizeToF16(x);
}
