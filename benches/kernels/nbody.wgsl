// Accelerations of bodies (x, y, z, mass) under softened gravity.
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let here = a[id.x].xyz;
    let bodies = arrayLength(&a);
    var pull = vec3f();
    for (var i = 0u; i < bodies; i++) {
        let other = a[i];
        let way = other.xyz - here;
        let near = inverseSqrt(dot(way, way) + 0.01);
        pull += way * (other.w * near * near * near);
    }
    c[id.x] = vec4f(pull, b[0].w);
}
