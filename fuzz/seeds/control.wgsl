@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(1) @binding(0) var<uniform> n: u32;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    var sum = 0.0;
    for (var i = 0u; i < n; i++) {
        if i == lane { continue; } else if sum > 9.0 { break; }
        switch input[i] { case 0, 1: { sum += 1.0; } case 7: { break; } default: { sum -= 0.5; } }
        while sum < 0.0 { sum += 1.0; if sum == 0.5 { return; } }
    }
    loop { sum *= 0.5; continuing { break if sum < 1.0; } }
    data[id.x] = sum;
}
