// C = A * B of 8-bit integers, four in a word along the inner dimension, n x n with sums of 32 bits.
const n = 256u;
const words = 64u;
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read_write> c: array<i32>;

@compute @workgroup_size(16, 16)
fn main(@builtin(global_invocation_id) id: vec3u) {
    var sum = 0;
    for (var k = 0u; k < words; k++) {
        sum += dot4I8Packed(a[id.y * words + k], b[id.x * words + k]);
    }
    c[id.y * n + id.x] = sum;
}
