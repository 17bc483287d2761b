// Fully connected layers, forward and backward. Every sum is made by one invocation in one order, so training is the same on every device.
//
// Matrices lie row by row. The parameters of all layers are in one buffer, and so are all gradients, at the same offsets: of each layer first the
// weights, a row of `outputs` for each input, then a row of biases.

const SIZE = 64u;

struct Layer {
    // Rows of the batch.
    batch: u32,
    inputs: u32,
    outputs: u32,
    // Where the layer's parameters begin.
    offset: u32,
    // 1 if negative sums become zero, as in all layers but the last.
    rectified: u32,
}

struct Choice {
    batch: u32,
    features: u32,
    // Where the batch begins in the order of the samples.
    first: u32,
}

@group(0) @binding(0) var<uniform> layer: Layer;
@group(0) @binding(1) var<uniform> choice: Choice;
@group(0) @binding(2) var<storage, read> samples: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read> order: array<u32>;
@group(0) @binding(5) var<storage, read> parameters: array<f32>;
// What goes into a layer and what comes out of it, a row for each sample of the batch.
@group(0) @binding(6) var<storage, read_write> before: array<f32>;
@group(0) @binding(7) var<storage, read_write> after: array<f32>;
// The derivatives of the loss by these.
@group(0) @binding(8) var<storage, read_write> slope_before: array<f32>;
@group(0) @binding(9) var<storage, read_write> slope_after: array<f32>;
// ... and by the parameters.
@group(0) @binding(10) var<storage, read_write> gradients: array<f32>;
// The loss of each sample of an epoch, in their order.
@group(0) @binding(11) var<storage, read_write> losses: array<f32>;

fn index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x * SIZE + id.x;
}

// Copies the samples of a batch.
@compute @workgroup_size(SIZE)
fn choose(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i < choice.batch * choice.features {
        let sample = order[choice.first + i / choice.features];
        before[i] = samples[sample * choice.features + i % choice.features];
    }
}

// What a layer makes of a batch: an invocation for each row and output.
@compute @workgroup_size(SIZE)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i >= layer.batch * layer.outputs {
        return;
    }
    let row = i / layer.outputs * layer.inputs;
    let column = layer.offset + i % layer.outputs;
    var sum = parameters[column + layer.inputs * layer.outputs];
    for (var k = 0u; k < layer.inputs; k++) {
        sum += before[row + k] * parameters[column + k * layer.outputs];
    }
    after[i] = select(sum, max(sum, 0.0), layer.rectified == 1u);
}

// The cross entropy of the softmax of the last layer, and its derivative by that layer's sums, as part of the batch's mean: an invocation for each row.
@compute @workgroup_size(SIZE)
fn loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = index(id, groups);
    if row >= layer.batch {
        return;
    }
    let first = row * layer.outputs;
    var largest = after[first];
    for (var k = 1u; k < layer.outputs; k++) {
        largest = max(largest, after[first + k]);
    }
    var sum = 0.0;
    for (var k = 0u; k < layer.outputs; k++) {
        sum += exp(after[first + k] - largest);
    }
    let label = labels[order[choice.first + row]];
    for (var k = 0u; k < layer.outputs; k++) {
        let probability = exp(after[first + k] - largest) / sum;
        slope_after[first + k] = (probability - select(0.0, 1.0, k == label)) / f32(layer.batch);
    }
    losses[choice.first + row] = log(sum) - (after[first + label] - largest);
}

// The derivatives by a layer's parameters: an invocation for each. Biases are weights of an input that is always 1.
@compute @workgroup_size(SIZE)
fn parameter_slopes(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i >= (layer.inputs + 1u) * layer.outputs {
        return;
    }
    let input = i / layer.outputs;
    let column = i % layer.outputs;
    var sum = 0.0;
    for (var row = 0u; row < layer.batch; row++) {
        let slope = slope_after[row * layer.outputs + column];
        if input < layer.inputs {
            sum += before[row * layer.inputs + input] * slope;
        } else {
            sum += slope;
        }
    }
    gradients[layer.offset + i] = sum;
}

// The derivatives by the sums of the layer before, which is a rectified one: an invocation for each row and input.
@compute @workgroup_size(SIZE)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = index(id, groups);
    if i >= layer.batch * layer.inputs {
        return;
    }
    var sum = 0.0;
    if before[i] > 0.0 {
        let row = i / layer.inputs * layer.outputs;
        let weights = layer.offset + i % layer.inputs * layer.outputs;
        for (var k = 0u; k < layer.outputs; k++) {
            sum += slope_after[row + k] * parameters[weights + k];
        }
    }
    slope_before[i] = sum;
}
