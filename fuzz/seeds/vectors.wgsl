@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    let v = vec4f(data[0], data[1], data[2], data[3]);
    var w = v.wzyx * 2.0 + vec4f(1.0);
    w.y += dot(v, w) + length(v.xy) + distance(v.xyz, w.xyz);
    w = select(w, normalize(v), v > w);
    let c = cross(v.xyz, w.xyz) + reflect(v.xyz, w.xyz) + refract(v.xyz, w.xyz, 0.5) + faceForward(v.xyz, w.xyz, c0());
    data[id.x] = c.x + c[lane % 3] + f32(all(v == w)) + f32(any(v != w));
}
fn c0() -> vec3f { return vec3f(0.0, 1.0, 0.0); }
