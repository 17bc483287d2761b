@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    let v = unpack4x8snorm(input[0]) + unpack4x8unorm(input[1]);
    let w = unpack2x16snorm(input[2]) + unpack2x16unorm(input[3]) + unpack2x16float(input[4]);
    let p = pack4x8snorm(v) + pack4x8unorm(v) + pack2x16snorm(w) + pack2x16unorm(w) + pack2x16float(w)
        + pack4xI8(unpack4xI8(input[5])) + pack4xU8(unpack4xU8(input[6])) + pack4xI8Clamp(vec4i(v)) + pack4xU8Clamp(vec4u(v));
    data[id.x] = f32(p);
}
