// C = A * B, n x n: tiles of 32 x 32 in workgroup memory, 4 x 4 sums in the registers of each of 8 x 8 invocations.
const n = 256u;
const tile = 32u;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
var<workgroup> of_a: array<f32, 1024>;
var<workgroup> of_b: array<vec4f, 256>;

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) index: u32,
) {
    let row = group.y * tile;
    let column = group.x * tile;
    var sums: array<vec4f, 4>;
    for (var first = 0u; first < n; first += tile) {
        for (var i = 0u; i < 16u; i++) {
            let at = index + i * 64u;
            of_a[at] = a[(row + at / tile) * n + first + at % tile];
        }
        for (var i = 0u; i < 4u; i++) {
            let at = index + i * 64u;
            let start = (first + at / 8u) * n + column + (at % 8u) * 4u;
            of_b[at] = vec4f(b[start], b[start + 1u], b[start + 2u], b[start + 3u]);
        }
        workgroupBarrier();
        for (var k = 0u; k < tile; k++) {
            let right = of_b[k * 8u + local.x];
            for (var i = 0u; i < 4u; i++) {
                sums[i] += of_a[(local.y * 4u + i) * tile + k] * right;
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let at = (row + local.y * 4u + i) * n + column + local.x * 4u;
        c[at] = sums[i].x;
        c[at + 1u] = sums[i].y;
        c[at + 2u] = sums[i].z;
        c[at + 3u] = sums[i].w;
    }
}
