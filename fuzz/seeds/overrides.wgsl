@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
override width: u32 = 8;
@id(3) override scale: f32 = 0.5;
const table = array(1.0, 1e-40, -0.0, 3.4e38);
const_assert table[0] == 1.0;
var<workgroup> tile: array<f32, width>;
@compute @workgroup_size(width, 2)
fn main(@builtin(local_invocation_id) id: vec3u) { tile[id.x] = scale * table[id.y]; data[id.x] = tile[0]; }
