// Makes the activations that a product takes: f32, and the same in blocks of 32 integers of 16 bits with a scale each.
//
// A block's scale is its largest magnitude / 32512, and its integers are the values / scale, rounded to nearest even. Each is 256 * high + low,
// with both of them signed bytes. An invocation makes whole blocks.

const LANES = 64u;

// The largest integer whose two bytes fit: 127 * 256.
const MOST = 32512.0;

struct Shape {
    // Blocks in a row.
    blocks: u32,
    // For `norm`: added to the mean of the squares.
    epsilon: f32,
}

struct Step {
    tokens: u32,
    start: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
// For `norm`: a factor for each column.
@group(0) @binding(1) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> quants: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> scales: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> shape: Shape;
@group(0) @binding(6) var<uniform> step: Step;

// Stores block `at`, which has these values.
fn store(at: u32, block: ptr<function, array<vec4<f32>, 8>>) {
    var most = vec4<f32>(0.0);
    for (var i = 0u; i < 8u; i++) {
        most = max(most, abs((*block)[i]));
        values[8u * at + i] = (*block)[i];
    }
    let largest = max(max(most.x, most.y), max(most.z, most.w));
    let factor = select(MOST / largest, 0.0, largest == 0.0);
    var high: array<u32, 8>;
    var low: array<u32, 8>;
    var sum = vec4<i32>(0);
    for (var i = 0u; i < 8u; i++) {
        let q = vec4<i32>(round((*block)[i] * factor));
        sum += q;
        // The lower byte as a signed one, and what is left then.
        let rest = (q << vec4<u32>(24u)) >> vec4<u32>(24u);
        low[i] = pack4xI8(rest);
        high[i] = pack4xI8((q - rest) >> vec4<u32>(8u));
    }
    quants[4u * at] = vec4<u32>(high[0], high[1], high[2], high[3]);
    quants[4u * at + 1u] = vec4<u32>(high[4], high[5], high[6], high[7]);
    quants[4u * at + 2u] = vec4<u32>(low[0], low[1], low[2], low[3]);
    quants[4u * at + 3u] = vec4<u32>(low[4], low[5], low[6], low[7]);
    let scale = largest / MOST;
    scales[at] = vec2<f32>(scale, scale * f32(sum.x + sum.y + sum.z + sum.w));
}

// As they are. For `tokens * blocks` invocations.
@compute @workgroup_size(32)
fn plain(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = id.x;
    if at >= step.tokens * shape.blocks {
        return;
    }
    var block: array<vec4<f32>, 8>;
    for (var i = 0u; i < 8u; i++) {
        block[i] = input[8u * at + i];
    }
    store(at, &block);
}

// silu(gate) * up, where a row of `input` has the gates and then as many of the others. For `tokens * blocks` invocations.
@compute @workgroup_size(32)
fn gated(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = id.x;
    if at >= step.tokens * shape.blocks {
        return;
    }
    let gates = 8u * (at + at / shape.blocks * shape.blocks);
    var block: array<vec4<f32>, 8>;
    for (var i = 0u; i < 8u; i++) {
        let gate = input[gates + i];
        block[i] = gate / (1.0 + exp(-gate)) * input[gates + 8u * shape.blocks + i];
    }
    store(at, &block);
}

var<workgroup> squares: array<f32, LANES>;

// Divided by the root of the mean of the squares of the row, times the gain. A workgroup for each token.
@compute @workgroup_size(LANES)
fn norm(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x * shape.blocks;
    var sum = 0.0;
    for (var b = lane; b < shape.blocks; b += LANES) {
        for (var i = 0u; i < 8u; i++) {
            let x = input[8u * (row + b) + i];
            sum += dot(x, x);
        }
    }
    squares[lane] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var other = 0u; other < min(LANES, shape.blocks); other++) {
        total += squares[other];
    }
    let factor = inverseSqrt(total / f32(32u * shape.blocks) + shape.epsilon);
    for (var b = lane; b < shape.blocks; b += LANES) {
        var block: array<vec4<f32>, 8>;
        for (var i = 0u; i < 8u; i++) {
            block[i] = input[8u * (row + b) + i] * factor * gain[8u * b + i];
        }
        store(row + b, &block);
    }
}
