@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    var m = mat3x4f(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    m[1] = vec4f(data[id.x]);
    m[lane % 3][2] = 4.0;
    let s = transpose(m) * m - 2.0 * mat3x3f();
    data[id.x] = determinant(s) + (m * vec3f(1.0)).x + (vec4f(2.0) * m).y;
}
