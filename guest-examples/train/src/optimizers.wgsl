// Steps down the gradient: an invocation for each parameter.

const SIZE = 64u;

struct Rates {
    parameters: u32,
    rate: f32,
    // SGD: how much of the last step is made again.
    momentum: f32,
    // Adam: one minus the powers of its decay rates. Its means begin at zero, and are divided by these.
    mean_part: f32,
    square_part: f32,
}

// Adam's decay rates, and what keeps its division finite, as Kingma and Ba recommend.
const MEAN_DECAY = 0.9f;
const SQUARE_DECAY = 0.999f;
const EPSILON = 1e-8f;

@group(0) @binding(0) var<uniform> rates: Rates;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read_write> parameters: array<f32>;
// SGD: the last step, before the rate. Adam: the mean of the gradients.
@group(0) @binding(3) var<storage, read_write> first: array<f32>;
// Adam: the mean of their squares.
@group(0) @binding(4) var<storage, read_write> second: array<f32>;

@compute @workgroup_size(SIZE)
fn sgd(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * SIZE + id.x;
    if i < rates.parameters {
        let step = rates.momentum * first[i] + gradients[i];
        first[i] = step;
        parameters[i] -= rates.rate * step;
    }
}

@compute @workgroup_size(SIZE)
fn adam(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * SIZE + id.x;
    if i < rates.parameters {
        let gradient = gradients[i];
        let mean = MEAN_DECAY * first[i] + (1.0 - MEAN_DECAY) * gradient;
        let square = SQUARE_DECAY * second[i] + (1.0 - SQUARE_DECAY) * gradient * gradient;
        first[i] = mean;
        second[i] = square;
        parameters[i] -= rates.rate * (mean / rates.mean_part) / (sqrt(square / rates.square_part) + EPSILON);
    }
}
