struct Inner { @align(16) a: vec3f, @size(32) b: u32 }
struct Outer { inner: Inner, m: mat2x3f, list: array<Inner, 2>, rest: array<Inner> }
struct In { @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u }
@group(0) @binding(0) var<storage, read_write> outer: Outer;
@compute @workgroup_size(1)
fn main(in: In) {
    let last = arrayLength(&outer.rest) - 1;
    outer.rest[last] = outer.list[in.id.x & 1];
    let p = &outer.rest[in.id.y];
    (*p).a = outer.m * vec2f(f32((*p).b), 1.0);
    outer.inner = *p;
}
