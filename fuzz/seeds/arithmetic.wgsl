@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    let x = data[id.x];
    let y = fma(x, 2.5, -1.0) / (x - 3.0) % 0.75;
    data[id.x] = sqrt(abs(y)) + inverseSqrt(x) * f32(i32(y)) - f32(u32(x));
}
