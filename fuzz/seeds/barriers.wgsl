@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
var<workgroup> tile: array<f32, 64>;
var<workgroup> count: atomic<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    tile[lane] = data[id.x];
    workgroupBarrier();
    for (var step = 32u; step > 0; step >>= 1) {
        if lane < step { tile[lane] += tile[lane + step]; }
        workgroupBarrier();
    }
    atomicAdd(&count, u32(tile[0]));
    storageBarrier();
    if workgroupUniformLoad(&tile[n & 63]) > 1.0 { workgroupBarrier(); }
    if lane == 0 { data[group.x] = tile[0] + f32(atomicLoad(&count)); }
}
