// A path tracer: for each pixel of a tile, light is followed backwards from the camera, from surface to surface.
//
// A pixel's random numbers depend on its place in the whole picture, the sample and the frame, and its samples are added up in order. So a pixel is the
// same whichever tile it is rendered in, and however many samples a dispatch takes.

const SIZE = 8u;

const DIFFUSE = 0u;
const METAL = 1u;
const GLASS = 2u;
const LIGHT = 3u;

const NOTHING = 0xffffffffu;
const FAR = 1e30f;
const PI = 3.14159265f;

// Levels of the hierarchy of boxes, which the guest keeps to.
const LEVELS = 32u;
// Hits that are nearer are the surface that a ray leaves.
const NEAR = 1e-4f;
// No sample counts more than this: single ones that are much brighter than the rest are noise that does not average out.
const BRIGHTEST = 20.0f;

struct Params {
    width: u32,
    height: u32,
    left: u32,
    top: u32,
    columns: u32,
    rows: u32,
    first_sample: u32,
    samples: u32,
    frame: u32,
    bounces: u32,
    triangles: u32,
    spheres: u32,
    eye: vec3<f32>,
    lens: f32,
    // From the eye to what is in focus in the middle of the picture; from there to its right edge and to its upper one.
    ahead: vec3<f32>,
    // 1 if there is a floor.
    floor: u32,
    across: vec3<f32>,
    floor_height: f32,
    upward: vec3<f32>,
    floor_side: f32,
    horizon: vec3<f32>,
    floor_first: u32,
    zenith: vec3<f32>,
    floor_second: u32,
    sun: vec3<f32>,
    // The cosine of the angle from the middle of its disc to the edge.
    sun_edge: f32,
    // What it gives a surface that faces it, and how bright its disc is.
    sun_color: vec3<f32>,
    pad: f32,
    sun_disc: vec3<f32>,
}

// A box with two others in it, side by side in the list from `first`, or with `count` triangles from `first`.
struct Node {
    low: vec3<f32>,
    first: u32,
    high: vec3<f32>,
    count: u32,
}

struct Triangle {
    corner: vec3<f32>,
    material: u32,
    edge1: vec3<f32>,
    pad1: u32,
    edge2: vec3<f32>,
    pad2: u32,
}

struct Sphere {
    center: vec3<f32>,
    radius: f32,
    material: u32,
}

struct Material {
    color: vec3<f32>,
    kind: u32,
    // How rough a metal is; the refractive index of glass.
    amount: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> nodes: array<Node>;
@group(0) @binding(2) var<storage, read> triangles: array<Triangle>;
// At each corner of a triangle.
@group(0) @binding(3) var<storage, read> normals: array<vec3<f32>>;
@group(0) @binding(4) var<storage, read> spheres: array<Sphere>;
@group(0) @binding(5) var<storage, read> materials: array<Material>;
// Light of all samples so far, for each pixel of the tile.
@group(0) @binding(6) var<storage, read_write> light: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> pixels: array<u32>;

// Wellons' mixing function "lowbias32".
fn mixed(value: u32) -> u32 {
    var x = value;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

// The next random number from 0 to below 1.
fn random(state: ptr<function, u32>) -> f32 {
    *state = *state * 747796405u + 2891336453u;
    return f32(mixed(*state) >> 8u) / 16777216.0;
}

// A direction, all equally likely.
fn random_direction(state: ptr<function, u32>) -> vec3<f32> {
    let z = 1.0 - 2.0 * random(state);
    let angle = 2.0 * PI * random(state);
    let r = sqrt(max(0.0, 1.0 - z * z));
    return vec3(r * cos(angle), r * sin(angle), z);
}

struct Hit {
    distance: f32,
    // NOTHING if there is none.
    material: u32,
    // Outward, as the surface has it.
    normal: vec3<f32>,
    // What the surface would have if it were smooth.
    smooth_normal: vec3<f32>,
}

// Where a ray enters a box, or FAR if it does so beyond the limit or not at all.
fn entry(node: u32, origin: vec3<f32>, inverse: vec3<f32>, limit: f32) -> f32 {
    let a = (nodes[node].low - origin) * inverse;
    let b = (nodes[node].high - origin) * inverse;
    let low = min(a, b);
    let high = max(a, b);
    let enters = max(max(low.x, low.y), max(low.z, 0.0));
    let leaves = min(min(high.x, high.y), min(high.z, limit));
    return select(FAR, enters, enters <= leaves);
}

// The triangle that a ray meets first, or any if that will do: its distance, its number, and where on it. By Möller and Trumbore.
struct Struck {
    distance: f32,
    triangle: u32,
    u: f32,
    v: f32,
}

fn strike(origin: vec3<f32>, direction: vec3<f32>, limit: f32, any: bool) -> Struck {
    var struck = Struck(limit, NOTHING, 0.0, 0.0);
    if params.triangles == 0u {
        return struck;
    }
    // Zero has no quotient that could be multiplied by zero.
    let inverse = 1.0 / select(direction, vec3(1e-12), abs(direction) < vec3(1e-12));
    var waiting: array<u32, LEVELS>;
    var waiting_at: array<f32, LEVELS>;
    var count = 0u;
    var node = 0u;
    loop {
        let first = nodes[node].first;
        let held = nodes[node].count;
        if held == 0u {
            let a = entry(first, origin, inverse, struck.distance);
            let b = entry(first + 1u, origin, inverse, struck.distance);
            let further = max(a, b);
            if further < FAR {
                waiting[count] = select(first, first + 1u, a <= b);
                waiting_at[count] = further;
                count++;
            }
            if min(a, b) < FAR {
                node = select(first + 1u, first, a <= b);
                continue;
            }
        }
        for (var i = first; i < first + held; i++) {
            let edge1 = triangles[i].edge1;
            let edge2 = triangles[i].edge2;
            let p = cross(direction, edge2);
            let determinant = dot(edge1, p);
            let s = origin - triangles[i].corner;
            let q = cross(s, edge1);
            let u = dot(s, p) / determinant;
            let v = dot(direction, q) / determinant;
            let distance = dot(edge2, q) / determinant;
            if u >= 0.0 && v >= 0.0 && u + v <= 1.0 && distance > NEAR && distance < struck.distance {
                struck = Struck(distance, i, u, v);
            }
        }
        if any && struck.triangle != NOTHING {
            break;
        }
        // Boxes that lie behind what was struck meanwhile are passed over.
        var found = false;
        while count > 0u && !found {
            count--;
            node = waiting[count];
            found = waiting_at[count] < struck.distance;
        }
        if !found {
            break;
        }
    }
    return struck;
}

// The distance to the floor, or FAR.
fn to_floor(origin: vec3<f32>, direction: vec3<f32>) -> f32 {
    if params.floor == 0u || abs(direction.y) < 1e-6 {
        return FAR;
    }
    let distance = (params.floor_height - origin.y) / direction.y;
    return select(FAR, distance, distance > NEAR);
}

// The distance to a sphere, or FAR.
fn to_sphere(sphere: u32, origin: vec3<f32>, direction: vec3<f32>) -> f32 {
    let from_center = origin - spheres[sphere].center;
    let b = dot(from_center, direction);
    let beside = from_center - b * direction;
    let radius = spheres[sphere].radius;
    let inside = radius * radius - dot(beside, beside);
    if inside < 0.0 {
        return FAR;
    }
    let half = sqrt(inside);
    let first = -b - half;
    let second = -b + half;
    let distance = select(second, first, first > NEAR);
    return select(FAR, distance, distance > NEAR);
}

// What a ray meets first.
fn nearest(origin: vec3<f32>, direction: vec3<f32>) -> Hit {
    var hit = Hit(FAR, NOTHING, vec3(0.0), vec3(0.0));
    let floor_distance = to_floor(origin, direction);
    if floor_distance < hit.distance {
        let x = i32(floor((origin.x + floor_distance * direction.x) / params.floor_side));
        let z = i32(floor((origin.z + floor_distance * direction.z) / params.floor_side));
        let up = vec3(0.0, 1.0, 0.0);
        hit = Hit(floor_distance, select(params.floor_first, params.floor_second, ((x ^ z) & 1) == 1), up, up);
    }
    for (var i = 0u; i < params.spheres; i++) {
        let distance = to_sphere(i, origin, direction);
        if distance < hit.distance {
            let normal = (origin + distance * direction - spheres[i].center) / spheres[i].radius;
            hit = Hit(distance, spheres[i].material, normal, normal);
        }
    }
    let struck = strike(origin, direction, hit.distance, false);
    if struck.triangle != NOTHING {
        let it = struck.triangle;
        let normal = normalize(cross(triangles[it].edge1, triangles[it].edge2));
        let smooth_normal = (1.0 - struck.u - struck.v) * normals[3u * it] + struck.u * normals[3u * it + 1u]
            + struck.v * normals[3u * it + 2u];
        hit = Hit(struck.distance, triangles[it].material, normal, normalize(smooth_normal));
    }
    return hit;
}

// Whether anything is in the way.
fn is_blocked(origin: vec3<f32>, direction: vec3<f32>) -> bool {
    var is_blocked = to_floor(origin, direction) < FAR;
    for (var i = 0u; i < params.spheres; i++) {
        is_blocked = is_blocked || to_sphere(i, origin, direction) < FAR;
    }
    if is_blocked {
        return true;
    }
    return strike(origin, direction, FAR, true).triangle != NOTHING;
}

fn sky(direction: vec3<f32>, with_sun: bool) -> vec3<f32> {
    var color = mix(params.horizon, params.zenith, sqrt(max(direction.y, 0.0)));
    if with_sun && dot(direction, params.sun) > params.sun_edge {
        color += params.sun_disc;
    }
    return color;
}

// A direction within the disc of the sun.
fn toward_sun(state: ptr<function, u32>) -> vec3<f32> {
    let cosine = 1.0 - random(state) * (1.0 - params.sun_edge);
    let angle = 2.0 * PI * random(state);
    let r = sqrt(max(0.0, 1.0 - cosine * cosine));
    let side = normalize(cross(params.sun, select(vec3(1.0, 0.0, 0.0), vec3(0.0, 1.0, 0.0), abs(params.sun.x) > 0.5)));
    let other = cross(params.sun, side);
    return normalize(cosine * params.sun + r * cos(angle) * side + r * sin(angle) * other);
}

struct Bounce {
    direction: vec3<f32>,
    // What becomes of light on the way; nothing if it ends.
    weight: vec3<f32>,
    // Whether the ray goes on through the surface.
    passes: bool,
}

// Reflection, spread by how rough the metal is.
fn from_metal(material: Material, direction: vec3<f32>, normal: vec3<f32>, face: vec3<f32>, state: ptr<function, u32>) -> Bounce {
    let spread = material.amount * random_direction(state);
    let reflected = normalize(reflect(direction, normal) + spread);
    return Bounce(reflected, select(vec3(0.0), material.color, dot(reflected, face) > 0.0), false);
}

// Reflection or refraction, one of them by chance, as likely as Schlick's approximation of Fresnel's equations says.
fn from_glass(material: Material, direction: vec3<f32>, normal: vec3<f32>, is_outside: bool, state: ptr<function, u32>) -> Bounce {
    let index = material.amount;
    let ratio = select(index, 1.0 / index, is_outside);
    let cosine = clamp(-dot(direction, normal), 0.0, 1.0);
    let inside = 1.0 - ratio * ratio * (1.0 - cosine * cosine);
    let straight = (1.0 - index) / (1.0 + index);
    let flat = 1.0 - select(sqrt(max(inside, 0.0)), cosine, is_outside);
    let reflectance = straight * straight + (1.0 - straight * straight) * flat * flat * flat * flat * flat;
    if random(state) < select(reflectance, 1.0, inside <= 0.0) {
        return Bounce(normalize(reflect(direction, normal)), vec3(1.0), false);
    }
    let refracted = ratio * direction + (ratio * cosine - sqrt(inside)) * normal;
    return Bounce(normalize(refracted), material.color, true);
}

// The light that comes along a ray.
fn radiance(first_origin: vec3<f32>, first_direction: vec3<f32>, state: ptr<function, u32>) -> vec3<f32> {
    var origin = first_origin;
    var direction = first_direction;
    var sum = vec3(0.0);
    var weight = vec3(1.0);
    // A diffuse surface has looked for the sun by itself.
    var sees_sun = true;
    for (var bounce = 0u; bounce <= params.bounces; bounce++) {
        let hit = nearest(origin, direction);
        if hit.material == NOTHING {
            sum += weight * sky(direction, sees_sun);
            break;
        }
        let material = materials[hit.material];
        if material.kind == LIGHT {
            sum += weight * material.color;
            break;
        }
        // Both normals on the side that the ray comes from.
        let is_outside = dot(direction, hit.normal) < 0.0;
        let face = select(-hit.normal, hit.normal, is_outside);
        var normal = select(-hit.smooth_normal, hit.smooth_normal, dot(hit.smooth_normal, face) > 0.0);
        if dot(direction, normal) >= 0.0 {
            normal = face;
        }
        let place = origin + hit.distance * direction;
        let largest = max(max(abs(place.x), abs(place.y)), abs(place.z));
        let off = NEAR * max(1.0, largest) * face;

        var next: Bounce;
        if material.kind == METAL {
            next = from_metal(material, direction, normal, face, state);
            sees_sun = true;
        } else if material.kind == GLASS {
            next = from_glass(material, direction, normal, is_outside, state);
            sees_sun = true;
        } else {
            let lit = toward_sun(state);
            let cosine = dot(lit, normal);
            if cosine > 0.0 && dot(lit, face) > 0.0 && params.sun_edge < 1.0 {
                if !is_blocked(place + off, lit) {
                    sum += weight * material.color * params.sun_color * cosine;
                }
            }
            let scattered = normalize(normal + 0.999 * random_direction(state));
            next = Bounce(scattered, select(vec3(0.0), material.color, dot(scattered, face) > 0.0), false);
            sees_sun = false;
        }
        weight *= next.weight;
        // Paths that carry little end by chance, and those that do not carry more.
        let carried = max(weight.x, max(weight.y, weight.z));
        let chance = select(1.0, min(carried, 1.0), bounce >= 2u);
        if random(state) >= chance {
            break;
        }
        weight /= chance;
        direction = next.direction;
        origin = place + select(off, -off, next.passes);
    }
    return min(sum, vec3(BRIGHTEST));
}

// Adds samples to the pixels of the tile.
@compute @workgroup_size(SIZE, SIZE)
fn trace(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns || id.y >= params.rows {
        return;
    }
    let x = params.left + id.x;
    let y = params.top + id.y;
    let pixel = mixed(mixed(x) + y);
    let index = id.y * params.columns + id.x;
    var sum = light[index].xyz;
    for (var sample = params.first_sample; sample < params.first_sample + params.samples; sample++) {
        var state = mixed(pixel ^ mixed(sample ^ mixed(params.frame)));
        let right = 2.0 * (f32(x) + random(&state)) / f32(params.width) - 1.0;
        let up = 1.0 - 2.0 * (f32(y) + random(&state)) / f32(params.height);
        let aimed = params.ahead + right * params.across + up * params.upward;
        let angle = 2.0 * PI * random(&state);
        let r = params.lens * sqrt(random(&state));
        let aside = r * cos(angle) * normalize(params.across) + r * sin(angle) * normalize(params.upward);
        sum += radiance(params.eye + aside, normalize(aimed - aside), &state);
    }
    light[index] = vec4(sum, 0.0);
}

// What a sensor and a screen make of light: Narkowicz's fit of the ACES curve, then sRGB.
fn developed(light: vec3<f32>) -> vec3<f32> {
    let curve = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14);
    let linear = clamp(curve, vec3(0.0), vec3(1.0));
    return select(1.055 * pow(linear, vec3(1.0 / 2.4)) - 0.055, 12.92 * linear, linear <= vec3(0.0031308));
}

// Makes pixels of the mean of all samples.
@compute @workgroup_size(SIZE, SIZE)
fn develop(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns || id.y >= params.rows {
        return;
    }
    let index = id.y * params.columns + id.x;
    let mean = light[index].xyz / f32(params.first_sample + params.samples);
    pixels[index] = pack4x8unorm(vec4(developed(mean), 1.0));
}
