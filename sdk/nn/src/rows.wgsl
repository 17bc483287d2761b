// Looks rows up in a matrix of weights: the embeddings of tokens.

// 4 or 8 for blocks of 32 as in `quantized.wgsl`, 16 or 32 for floats.
override BITS: u32 = 8u;
// Whether a weight of 4 bits is scale * q + least; otherwise it is scale * (q - 8).
override HAS_LEAST: bool = false;

struct Shape {
    columns: u32,
}

struct Step {
    tokens: u32,
    start: u32,
}

@group(0) @binding(0) var<storage, read> weights: array<u32>;
@group(0) @binding(1) var<storage, read> wanted: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> shape: Shape;
@group(0) @binding(4) var<uniform> step: Step;

// Word `at` of a row, where `repack.wgsl` puts it.
fn word(row: u32, at: u32) -> u32 {
    // 32, 2 or 1 weights in so many words.
    var words = shape.columns;
    if BITS == 16u {
        words = shape.columns / 2u;
    } else if BITS == 8u {
        words = shape.columns / 32u * 9u;
    } else if BITS == 4u {
        words = shape.columns / 32u * 5u;
    }
    return weights[(row / 32u * words + at) * 32u + row % 32u];
}

// An invocation for each column of each row that is looked up.
@compute @workgroup_size(64)
fn look_up(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.columns || id.y >= step.tokens {
        return;
    }
    let row = wanted[id.y];
    let within = id.x % 32u;
    var weight = 0.0;
    if BITS == 32u {
        weight = bitcast<f32>(word(row, id.x));
    } else if BITS == 16u {
        weight = unpack2x16float(word(row, id.x / 2u))[id.x % 2u];
    } else if BITS == 8u {
        let block = id.x / 32u * 9u;
        let scale = unpack2x16float(word(row, block)).x;
        weight = scale * f32(extractBits(i32(word(row, block + 1u + within / 4u)), 8u * (within % 4u), 8u));
    } else {
        let block = id.x / 32u * 5u;
        let scale = unpack2x16float(word(row, block));
        let nibbles = word(row, block + 1u + within / 4u % 4u);
        let q = f32(extractBits(nibbles, 8u * (within % 4u) + 4u * (within / 16u), 4u));
        weight = scale.x * q + select(-8.0 * scale.x, scale.y, HAS_LEAST);
    }
    out[id.y * shape.columns + id.x] = weight;
}
