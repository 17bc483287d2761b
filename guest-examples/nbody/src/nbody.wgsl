// One step of bodies under their mutual gravity: a kick of the velocities, then a drift of the positions.
//
// An invocation moves one body. The workgroup walks over all bodies a tile at a time, each of which it first
// brings into workgroup memory.

const TILE = 64u;

struct Params {
    bodies: u32,
    // How long the accelerations act on the velocities, and the velocities on the positions.
    kick: f32,
    drift: f32,
    // Added to every squared distance, so that no force is without bound.
    softening: f32,
}

// Position in xyz, mass in w.
@group(0) @binding(0) var<storage, read> before: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> after: array<vec4<f32>>;
// Velocity in xyz.
@group(0) @binding(2) var<storage, read_write> velocities: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> tile: array<vec4<f32>, TILE>;

@compute @workgroup_size(TILE)
fn step(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var body = vec4<f32>(0.0);
    if id.x < params.bodies {
        body = before[id.x];
    }
    var acceleration = vec3<f32>(0.0);
    for (var first = 0u; first < params.bodies; first += TILE) {
        // Beyond the last body there is nothing, which has no mass and pulls nobody.
        var other = vec4<f32>(0.0);
        if first + local < params.bodies {
            other = before[first + local];
        }
        tile[local] = other;
        workgroupBarrier();

        for (var k = 0u; k < TILE; k++) {
            let towards = tile[k].xyz - body.xyz;
            let inverse = inverseSqrt(dot(towards, towards) + params.softening);
            acceleration += (tile[k].w * inverse * inverse * inverse) * towards;
        }
        workgroupBarrier();
    }
    if id.x < params.bodies {
        let velocity = velocities[id.x].xyz + params.kick * acceleration;
        velocities[id.x] = vec4<f32>(velocity, 0.0);
        after[id.x] = vec4<f32>(body.xyz + params.drift * velocity, body.w);
    }
}
