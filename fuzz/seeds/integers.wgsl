@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    let a = i32(input[id.x]);
    let b = input[lane];
    let c = (a / -3) % 7 + (a << (b & 31u)) - (a >> 2u) + countOneBits(a) + firstLeadingBit(a) + firstTrailingBit(a)
        + extractBits(a, 3u, b) + insertBits(a, 5, b, 4u) + reverseBits(a) + countLeadingZeros(a) + countTrailingZeros(a)
        + dot4I8Packed(b, b) + i32(dot4U8Packed(b, b)) + abs(a) + min(a, 4) + max(a, 5) + clamp(a, 1, 9);
    data[id.x] = f32(c) + bitcast<f32>(a ^ ~c);
}
