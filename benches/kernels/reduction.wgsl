// The sums of runs of 4096 elements, as a tree in workgroup memory.
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
var<workgroup> part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
    var sum = b[0];
    for (var i = 0u; i < 16u; i++) {
        sum += a[group.x * 4096u + i * 256u + index];
    }
    part[index] = sum;
    workgroupBarrier();
    for (var stride = 128u; stride > 0u; stride >>= 1u) {
        if index < stride {
            part[index] += part[index + stride];
        }
        workgroupBarrier();
    }
    if index == 0u {
        c[group.x] = part[0];
    }
}
