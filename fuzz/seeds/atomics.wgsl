struct Counts { a: atomic<u32>, b: array<atomic<i32>, 4> }
@group(0) @binding(0) var<storage, read_write> counts: Counts;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) lane: u32) {
    atomicAdd(&counts.a, lane); atomicSub(&counts.b[lane & 3], 1); atomicMax(&counts.b[0], 5); atomicMin(&counts.b[1], -5);
    atomicAnd(&counts.a, 0xffu); atomicOr(&counts.a, 1u); atomicXor(&counts.a, lane); atomicStore(&counts.b[2], 3);
}
