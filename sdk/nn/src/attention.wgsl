// Causal attention of the tokens of a step over all tokens so far, with several heads, which may share keys and values in groups.
//
// Keys and values lie token by token, and within a token head by head.

// Elements of a head, a multiple of 4 of at most 256. The host code puts the model's number here.
const DIMENSION = 64u;
// Heads that a workgroup computes, which have the same keys and values: 1 to 4. The host code puts it here.
const SHARED = 3u;

const LANES = 64u;
const QUADS = DIMENSION / 4u;
// Tokens whose scores are computed together.
const CHUNK = 64u;
// Invocations that share the elements of a key among them, and how many quads each has.
const PARTS = 8u;
const PER_PART = (QUADS + PARTS - 1u) / PARTS;
// Invocations that share the tokens of one quad of the values among them.
const SLICES = LANES / QUADS;
// Less than any score.
const NONE = -3.0e38;

struct Shape {
    heads: u32,
    key_heads: u32,
    // Elements of a head that are turned by their position, in neighbouring pairs, a multiple of 4; the others stay.
    turned: u32,
    // What scores are multiplied by.
    scale: f32,
}

struct Step {
    tokens: u32,
    start: u32,
}

// For each token the queries of all heads, the keys, the values.
@group(0) @binding(0) var<storage, read_write> projected: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> keys: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> cached: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
// For each position the cosine and sine of each pair.
@group(0) @binding(4) var<storage, read> turns: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> shape: Shape;
@group(0) @binding(6) var<uniform> step: Step;

// Turns queries and keys by their positions, and puts keys and values into the cache. An invocation for each 4 elements.
@compute @workgroup_size(64)
fn place(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = (shape.heads + 2u * shape.key_heads) * QUADS;
    let token = id.y;
    if id.x >= row {
        return;
    }
    let at = token * row + id.x;
    let position = step.start + token;
    let head = id.x / QUADS;
    let quad = id.x % QUADS;
    var x = projected[at];
    // In the row of a token in the cache.
    let kept = position * shape.key_heads * QUADS + id.x % (shape.key_heads * QUADS);
    if head >= shape.heads + shape.key_heads {
        cached[kept] = x;
        return;
    }
    if 4u * quad < shape.turned {
        let turn = turns[position * shape.turned / 4u + quad];
        x = x * turn.xxzz + vec4<f32>(-x.y, x.x, -x.w, x.z) * turn.yyww;
    }
    if head < shape.heads {
        projected[at] = x;
    } else {
        keys[kept] = x;
    }
}

// Each part of the score of a head and a token.
var<workgroup> parts: array<f32, SHARED * CHUNK * PARTS>;
// The scores of a head and a token, then what the token weighs.
var<workgroup> weights: array<f32, SHARED * CHUNK>;
var<workgroup> tops: array<f32, SHARED * 8u>;
// Of each head, the largest score so far, and by how much what was added up before a larger one was met has to shrink.
var<workgroup> most: array<f32, SHARED>;
var<workgroup> shrink: array<f32, SHARED>;
var<workgroup> partial: array<vec4<f32>, LANES>;
var<workgroup> sums: array<f32, LANES>;

// Makes the parts of the scores of `here` tokens into what they weigh: exp(score - largest score).
fn weigh(lane: u32, here: u32) {
    workgroupBarrier();
    for (var s = lane; s < SHARED * CHUNK; s += LANES) {
        var score = NONE;
        if s % CHUNK < here {
            score = 0.0;
            for (var part = 0u; part < PARTS; part++) {
                score += parts[s * PARTS + part];
            }
        }
        weights[s] = score;
    }
    workgroupBarrier();
    if lane < SHARED * 8u {
        var top = NONE;
        for (var i = 0u; i < CHUNK / 8u; i++) {
            top = max(top, weights[lane * (CHUNK / 8u) + i]);
        }
        tops[lane] = top;
    }
    workgroupBarrier();
    if lane < SHARED {
        var larger = most[lane];
        for (var i = 0u; i < 8u; i++) {
            larger = max(larger, tops[8u * lane + i]);
        }
        shrink[lane] = exp(most[lane] - larger);
        most[lane] = larger;
    }
    workgroupBarrier();
    for (var s = lane; s < SHARED * CHUNK; s += LANES) {
        weights[s] = exp(weights[s] - most[s / CHUNK]);
    }
    workgroupBarrier();
}

// The values, weighed by softmax(query * keys * scale), of CHUNK tokens at a time. A workgroup for each SHARED heads and token.
@compute @workgroup_size(LANES)
fn attend(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_head = workgroup.x * SHARED;
    let key_head = first_head / (shape.heads / shape.key_heads);
    let token = workgroup.y;
    let count = step.start + token + 1u;
    let row = (shape.heads + 2u * shape.key_heads) * QUADS;
    let part = lane % PARTS;
    var query: array<vec4<f32>, SHARED * PER_PART>;
    for (var h = 0u; h < SHARED; h++) {
        for (var e = 0u; e < PER_PART; e++) {
            let quad = e * PARTS + part;
            if quad < QUADS {
                query[h * PER_PART + e] = projected[token * row + (first_head + h) * QUADS + quad] * shape.scale;
            }
        }
    }
    if lane < SHARED {
        most[lane] = NONE;
    }
    let quad = lane % QUADS;
    let slice = lane / QUADS;
    var sum: array<f32, SHARED>;
    var result: array<vec4<f32>, SHARED>;
    for (var first = 0u; first < count; first += CHUNK) {
        let here = min(CHUNK, count - first);
        for (var i = lane / PARTS; i < here; i += LANES / PARTS) {
            var score = array<f32, SHARED>();
            for (var e = 0u; e < PER_PART; e++) {
                let quad = e * PARTS + part;
                if quad < QUADS {
                    let key = keys[((first + i) * shape.key_heads + key_head) * QUADS + quad];
                    for (var h = 0u; h < SHARED; h++) {
                        score[h] += dot(query[h * PER_PART + e], key);
                    }
                }
            }
            for (var h = 0u; h < SHARED; h++) {
                parts[(h * CHUNK + i) * PARTS + part] = score[h];
            }
        }
        weigh(lane, here);
        for (var h = 0u; h < SHARED; h++) {
            sum[h] *= shrink[h];
            result[h] *= shrink[h];
        }
        if slice < SLICES {
            for (var i = slice; i < here; i += SLICES) {
                let value = cached[((first + i) * shape.key_heads + key_head) * QUADS + quad];
                for (var h = 0u; h < SHARED; h++) {
                    let weight = weights[h * CHUNK + i];
                    sum[h] += weight;
                    result[h] += weight * value;
                }
            }
        }
    }
    for (var h = 0u; h < SHARED; h++) {
        workgroupBarrier();
        partial[lane] = result[h];
        sums[lane] = sum[h];
        workgroupBarrier();
        if lane < QUADS {
            var whole = result[h];
            var weight = sum[h];
            for (var other = 1u; other < SLICES; other++) {
                whole += partial[other * QUADS + lane];
                weight += sums[other * QUADS + lane];
            }
            out[(token * shape.heads + first_head + h) * QUADS + lane] = whole / weight;
        }
    }
}
