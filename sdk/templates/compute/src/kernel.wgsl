@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;

@compute @workgroup_size(64)
fn double(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    // Many workgroups lie in several rows; see `Dispatch::threads`.
    let i = id.y * groups.x * 64u + id.x;
    if i < arrayLength(&numbers) {
        numbers[i] *= 2u;
    }
}
