// So little that the dispatch itself is what takes time, with a loop whose length only the buffer tells.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read_write> b: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    var sum = 1u;
    for (var i = 0u; i < arrayLength(&a); i += 8u) {
        sum += a[i] ^ id.x;
    }
    b[id.x] = sum;
}
