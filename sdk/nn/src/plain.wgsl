// out = x * transpose(W), or out += that, where the weights W are floats of 32 or 16 bits, and the activations x of 32.
//
// An invocation computes 4 rows of W, whose words lie side by side: see `repack.wgsl`.

// Whether a word holds two weights of 16 bits.
override HALVES: bool = false;

struct Shape {
    // Rows of W, rounded up and divided by 4.
    groups: u32,
    // Columns of W, divided by 4.
    quads: u32,
    // 1 if the product is added to what `out` holds.
    add: u32,
    // Where in a row of `out` the product starts, and how long a row is, both divided by 4.
    first: u32,
    pitch: u32,
}

struct Step {
    // Rows of x.
    tokens: u32,
    // Tokens before them.
    start: u32,
}

@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> shape: Shape;
@group(0) @binding(4) var<uniform> step: Step;

// Of 4 columns, the weights in 4 rows: a vector for each column.
fn load(group: u32, quad: u32) -> mat4x4<f32> {
    // A quad of columns is 4 words, or 2 where a word holds two weights.
    let words = select(4u, 2u, HALVES);
    let at = (group / 8u * shape.quads + quad) * words * 8u + group % 8u;
    if HALVES {
        let even = weights[at];
        let odd = weights[at + 8u];
        return mat4x4<f32>(column(even, 0u), column(even, 1u), column(odd, 0u), column(odd, 1u));
    }
    return mat4x4<f32>(
        bitcast<vec4<f32>>(weights[at]),
        bitcast<vec4<f32>>(weights[at + 8u]),
        bitcast<vec4<f32>>(weights[at + 16u]),
        bitcast<vec4<f32>>(weights[at + 24u]),
    );
}

fn column(words: vec4<u32>, half: u32) -> vec4<f32> {
    return vec4<f32>(
        unpack2x16float(words.x)[half],
        unpack2x16float(words.y)[half],
        unpack2x16float(words.z)[half],
        unpack2x16float(words.w)[half],
    );
}

// Stores a sum of products, unless there is no such token.
fn put(token: u32, group: u32, product: vec4<f32>) {
    if token < step.tokens {
        let at = token * shape.pitch + shape.first + group;
        var sum = product;
        if shape.add == 1u {
            sum += out[at];
        }
        out[at] = sum;
    }
}

const GROUPS = 8u;
const SLICES = 8u;

var<workgroup> partial: array<vec4<f32>, GROUPS * SLICES>;

// For one token or a few: the columns are shared out among SLICES invocations.
@compute @workgroup_size(GROUPS, SLICES)
fn narrow(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let group = workgroup.x * GROUPS + local.x;
    let token = workgroup.y;
    var sum = vec4<f32>(0.0);
    if group < shape.groups {
        for (var quad = local.y; quad < shape.quads; quad += SLICES) {
            sum += load(group, quad) * values[token * shape.quads + quad];
        }
    }
    partial[local.y * GROUPS + local.x] = sum;
    workgroupBarrier();
    if local.y == 0u && group < shape.groups {
        for (var slice = 1u; slice < SLICES; slice++) {
            sum += partial[slice * GROUPS + local.x];
        }
        put(token, group, sum);
    }
}

var<workgroup> partials: array<array<vec4<f32>, 4>, GROUPS * SLICES>;

// For many tokens: the same for 4 of them at once, so that a weight is read once for 4.
@compute @workgroup_size(GROUPS, SLICES)
fn wide(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let group = workgroup.x * GROUPS + local.x;
    let first = workgroup.y * 4u;
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    if group < shape.groups {
        for (var quad = local.y; quad < shape.quads; quad += SLICES) {
            let w = load(group, quad);
            // Beyond the last token there are zeros, or what an earlier batch has left; neither is stored.
            a += w * values[first * shape.quads + quad];
            b += w * values[(first + 1u) * shape.quads + quad];
            c += w * values[(first + 2u) * shape.quads + quad];
            d += w * values[(first + 3u) * shape.quads + quad];
        }
    }
    partials[local.y * GROUPS + local.x] = array<vec4<f32>, 4>(a, b, c, d);
    workgroupBarrier();
    // One of the first 4 slices for each token.
    if local.y < 4u && group < shape.groups {
        var sum = partials[local.x][local.y];
        for (var slice = 1u; slice < SLICES; slice++) {
            sum += partials[slice * GROUPS + local.x][local.y];
        }
        put(first + local.y, group, sum);
    }
}
