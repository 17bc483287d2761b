@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

// What is only moved: from one buffer to another, without a guard against the last workgroup.
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
    c[id.x] = select(a[id.x], b[id.x], (id.x & 1u) == 1u);
}
