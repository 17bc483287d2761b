// out = x * transpose(W), or out += that, where the weights W are in blocks of 32 of 4 or 8 bits each, and the activations x in blocks
// of 32 of 16 bits.
//
// Within a block everything is an integer, and exact. An invocation computes 4 rows of W, whose words lie side by side: see `repack.wgsl`.

// 4 or 8.
override BITS: u32 = 8u;
// Whether a weight is scale * q + least; otherwise it is scale * (q - 8) of 4 bits, or scale * q of 8.
override HAS_LEAST: bool = false;

struct Shape {
    // Rows of W, rounded up and divided by 4.
    groups: u32,
    // Blocks in a row.
    blocks: u32,
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
// Four of these are a block: the higher bytes of 32 integers, then the lower ones. All are signed.
@group(0) @binding(1) var<storage, read> quants: array<vec4<u32>>;
// For each block the scale, and the scale times the sum of the block's integers.
@group(0) @binding(2) var<storage, read> scales: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> shape: Shape;
@group(0) @binding(5) var<uniform> step: Step;

fn dots(w: vec4<u32>, x: u32) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(w.x, x), dot4I8Packed(w.y, x), dot4I8Packed(w.z, x), dot4I8Packed(w.w, x));
}

// Weights of one block in 4 rows, taken apart: `low` and `high` have 16 of each, a byte each.
struct Block {
    scale: vec4<f32>,
    least: vec4<f32>,
    low: array<vec4<u32>, 4>,
    high: array<vec4<u32>, 4>,
}

fn load(group: u32, block: u32) -> Block {
    const NIBBLES = vec4<u32>(0x0f0f0f0fu);
    let words = select(9u, 5u, BITS == 4u);
    let at = (group / 8u * shape.blocks + block) * words * 8u + group % 8u;
    let header = weights[at];
    var b: Block;
    let x = unpack2x16float(header.x);
    let y = unpack2x16float(header.y);
    let z = unpack2x16float(header.z);
    let w = unpack2x16float(header.w);
    b.scale = vec4<f32>(x.x, y.x, z.x, w.x);
    if BITS == 4u {
        b.least = select(-8.0 * b.scale, vec4<f32>(x.y, y.y, z.y, w.y), HAS_LEAST);
        for (var i = 0u; i < 4u; i++) {
            let word = weights[at + 8u * (1u + i)];
            b.low[i] = word & NIBBLES;
            b.high[i] = (word >> vec4<u32>(4u)) & NIBBLES;
        }
    } else {
        for (var i = 0u; i < 4u; i++) {
            b.low[i] = weights[at + 8u * (1u + i)];
            b.high[i] = weights[at + 8u * (5u + i)];
        }
    }
    return b;
}

// The sums of 32 weights times signed bytes.
fn bytes(b: ptr<function, Block>, x: vec4<u32>, y: vec4<u32>) -> vec4<i32> {
    var sum = dots((*b).low[0], x.x) + dots((*b).low[1], x.y) + dots((*b).low[2], x.z) + dots((*b).low[3], x.w);
    sum += dots((*b).high[0], y.x) + dots((*b).high[1], y.y) + dots((*b).high[2], y.z) + dots((*b).high[3], y.w);
    return sum;
}

fn product(b: ptr<function, Block>, token: u32, block: u32) -> vec4<f32> {
    let at = token * shape.blocks + block;
    // At most 32 * 127 * 32512, which fits.
    let sum = 256 * bytes(b, quants[4u * at], quants[4u * at + 1u]) + bytes(b, quants[4u * at + 2u], quants[4u * at + 3u]);
    let scale = scales[at];
    let scaled = ((*b).scale * scale.x) * vec4<f32>(sum);
    if BITS == 4u {
        return scaled + (*b).least * scale.y;
    }
    return scaled;
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

// For one token or a few: the blocks of a row are shared out among SLICES invocations.
@compute @workgroup_size(GROUPS, SLICES)
fn narrow(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let group = workgroup.x * GROUPS + local.x;
    let token = workgroup.y;
    var sum = vec4<f32>(0.0);
    if group < shape.groups {
        for (var block = local.y; block < shape.blocks; block += SLICES) {
            var b = load(group, block);
            sum += product(&b, token, block);
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

// For many tokens: the same for 4 of them at once, so that weights are taken apart once for 4.
@compute @workgroup_size(GROUPS, SLICES)
fn wide(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let group = workgroup.x * GROUPS + local.x;
    let first = workgroup.y * 4u;
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    if group < shape.groups {
        for (var block = local.y; block < shape.blocks; block += SLICES) {
            var w = load(group, block);
            // Beyond the last token there are zeros, or what an earlier batch has left; neither is stored.
            a += product(&w, first, block);
            b += product(&w, first + 1u, block);
            c += product(&w, first + 2u, block);
            d += product(&w, first + 3u, block);
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
