// Stockham's Fourier transform of complex numbers: each pass reads one buffer and writes another, and after the
// last one everything is in order. Several transforms of one size lie one after the other.

const SIZE = 256u;

struct Params {
    // Points of a transform.
    points: u32,
    // How many are already combined: the product of the radices of all passes before.
    done: u32,
    // Invocations that have something to do.
    count: u32,
    // 1 there, -1 back.
    direction: f32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec2<f32>>;
// roots[k] = exp(-2 pi i k / points)
@group(0) @binding(3) var<storage, read> roots: array<vec2<f32>>;

fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn root(k: u32) -> vec2<f32> {
    let root = roots[k];
    return vec2<f32>(root.x, params.direction * root.y);
}

// The number of an invocation; they lie in rows of workgroups.
fn index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x * SIZE + id.x;
}

// Fills the table of roots.
@compute @workgroup_size(SIZE)
fn make_roots(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = index(id, groups);
    if k >= params.count {
        return;
    }
    // A turn has 2^30 parts. What is over the nearest quarter is at most an eighth, and has few bits: the angle is
    // rounded once.
    let phase = k * ((1u << 30u) / params.points);
    let quarter = (phase + (1u << 27u)) >> 28u;
    let rest = i32(phase) - i32(quarter << 28u);
    let angle = f32(rest) * (6.283185307179586 / 1073741824.0);
    let c = cos(angle);
    let s = sin(angle);
    switch quarter & 3u {
        case 0u: {
            result[k] = vec2<f32>(c, -s);
        }
        case 1u: {
            result[k] = vec2<f32>(-s, -c);
        }
        case 2u: {
            result[k] = vec2<f32>(-c, s);
        }
        default: {
            result[k] = vec2<f32>(s, c);
        }
    }
}

@compute @workgroup_size(SIZE)
fn pass2(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i >= params.count {
        return;
    }
    let half = params.points / 2u;
    let j = i % half;
    let first = i / half * params.points;
    let k = j % params.done;

    let a = source[first + j];
    let b = times(source[first + j + half], root(k * (half / params.done)));

    let to = first + 2u * (j - k) + k;
    result[to] = params.scale * (a + b);
    result[to + params.done] = params.scale * (a - b);
}

@compute @workgroup_size(SIZE)
fn pass4(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i >= params.count {
        return;
    }
    let quarter = params.points / 4u;
    let j = i % quarter;
    let first = i / quarter * params.points;
    let k = j % params.done;
    let step = k * (quarter / params.done);

    let a = source[first + j];
    let b = times(source[first + j + quarter], root(step));
    let c = times(source[first + j + 2u * quarter], root(2u * step));
    let d = times(source[first + j + 3u * quarter], root(3u * step));

    let even_sum = a + c;
    let even_difference = a - c;
    let odd_sum = b + d;
    // A quarter turn of b - d.
    let odd_difference = params.direction * vec2<f32>(b.y - d.y, d.x - b.x);

    let to = first + 4u * (j - k) + k;
    result[to] = params.scale * (even_sum + odd_sum);
    result[to + params.done] = params.scale * (even_difference + odd_difference);
    result[to + 2u * params.done] = params.scale * (even_sum - odd_sum);
    result[to + 3u * params.done] = params.scale * (even_difference - odd_difference);
}
