// Softmax of rows of 256 elements, one workgroup for each row.
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
var<workgroup> part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) row: vec3u, @builtin(local_invocation_index) index: u32) {
    let at = row.x * 256u + index;
    let x = a[at] + b[0];
    part[index] = x;
    workgroupBarrier();
    for (var stride = 128u; stride > 0u; stride >>= 1u) {
        if index < stride {
            part[index] = max(part[index], part[index + stride]);
        }
        workgroupBarrier();
    }
    let highest = part[0];
    workgroupBarrier();
    let power = exp(x - highest);
    part[index] = power;
    workgroupBarrier();
    for (var stride = 128u; stride > 0u; stride >>= 1u) {
        if index < stride {
            part[index] += part[index + stride];
        }
        workgroupBarrier();
    }
    c[at] = power / part[0];
}
