var<workgroup> a: atomic<u32>;
@compute @workgroup_size(1) fn main() { if atomicAdd(&a, 1u) == 0 { atomicStore(&a, 2u); } }
