@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
struct Pair { a: f32, b: array<vec2u, 3>, }
var<private> state: Pair;
fn swap(p: ptr<function, Pair>, k: u32) -> Pair { let old = *p; (*p).a = f32(k); p.b[k] = old.b[0]; return old; }
fn twice(x: f32) -> f32 { if x > 4.0 { return x; } state.a += x; return x * 2.0; }
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    var pair = Pair(1.0, array(vec2u(1), vec2u(2), vec2u(3)));
    let old = swap(&pair, lane);
    data[id.x] = twice(old.a) + twice(pair.a) + f32(pair.b[2].y) + state.a;
}
