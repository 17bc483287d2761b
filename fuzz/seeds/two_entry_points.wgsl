@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
fn shared_part(x: f32) -> f32 { return exp(x) * 0.5; }
@compute @workgroup_size(8, 8) fn first(@builtin(global_invocation_id) id: vec3u) { data[id.x] = shared_part(data[id.y]); }
@compute @workgroup_size(4) fn second(@builtin(workgroup_id) id: vec3u) { data[id.x] = shared_part(1.0); }
