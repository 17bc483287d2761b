//! Training on the device: the buffers, which kernel sees which, and the steps.

use std::rc::Rc;

use isobit::{Batch, BindGroup, Buffer, Gpu, Kernel, Pod, ShaderModule, Zeroable};

use crate::checkpoint::Checkpoint;
use crate::network::{Layer, order};
use crate::settings::Optimizer;
use crate::table::Table;

/// Steps that are submitted together.
const TOGETHER: u32 = 64;

/// Adam's decay rates, as in the WGSL.
const DECAY: [f32; 2] = [0.9, 0.999];

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct LayerParams {
    batch: u32,
    inputs: u32,
    outputs: u32,
    offset: u32,
    rectified: u32,
}

impl LayerParams {
    fn new(layers: &[Layer], index: usize, batch: usize) -> isobit::Result<Self> {
        let layer = layers.get(index).ok_or("no such layer")?;
        Ok(Self {
            batch: u32::try_from(batch)?,
            inputs: u32::try_from(layer.inputs)?,
            outputs: u32::try_from(layer.outputs)?,
            offset: u32::try_from(layer.offset)?,
            rectified: u32::from(index + 1 < layers.len()),
        })
    }
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Choice {
    batch: u32,
    features: u32,
    first: u32,
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Rates {
    parameters: u32,
    rate: f32,
    momentum: f32,
    mean_part: f32,
    square_part: f32,
}

/// A kernel with all that is bound to it, for any number of dispatches.
struct Call {
    kernel: Rc<Kernel>,
    group: BindGroup,
    invocations: usize,
}

impl Call {
    fn record(&self, batch: &mut Batch) -> isobit::Result<()> {
        self.kernel.dispatch().group(&self.group).threads(self.invocations).record(batch)
    }
}

/// What goes into each layer and comes out of the last, for a number of samples at once, and the calls that compute it from the first.
struct Forward {
    values: Vec<Buffer<f32>>,
    calls: Vec<Call>,
}

impl Forward {
    fn new(
        gpu: Gpu,
        kernel: &Rc<Kernel>,
        layers: &[Layer],
        parameters: &Buffer<f32>,
        samples: Buffer<f32>,
        rows: usize,
    ) -> isobit::Result<Self> {
        let mut values = vec![samples];
        let mut calls = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let after = gpu.buffer(rows * layer.outputs)?;
            let before = values.last().ok_or("no samples")?;
            let group = kernel
                .bind_group(0)
                .uniform(0, &LayerParams::new(layers, index, rows)?)
                .bind(5, parameters)
                .bind(6, before)
                .bind(7, &after)
                .create()?;
            calls.push(Call { kernel: Rc::clone(kernel), group, invocations: rows * layer.outputs });
            values.push(after);
        }
        Ok(Self { values, calls })
    }

    fn result(&self) -> isobit::Result<&Buffer<f32>> {
        Ok(self.values.last().ok_or("no layers")?)
    }
}

/// The calls of a step that depend on where its batch is in the order of the samples.
struct Chosen {
    choose: Call,
    loss: Call,
}

/// A network in training, and what it is trained with.
pub struct Trainer {
    gpu: Gpu,
    state: Checkpoint,
    samples: u32,
    parameters: Buffer<f32>,
    gradients: Buffer<f32>,
    moments: Vec<Buffer<f32>>,
    order: Buffer<u32>,
    losses: Buffer<f32>,
    /// For each step of an epoch.
    chosen: Vec<Chosen>,
    forward: Forward,
    backward: Vec<Call>,
    optimizer: Kernel,
    test: Forward,
    test_labels: Vec<u32>,
}

/// How far training has come after a part of an epoch.
pub struct Report {
    pub step: u32,
    /// Mean loss of the samples that were trained with.
    pub loss: f64,
    /// How many of the test's samples are taken for what they are.
    pub right: usize,
    pub tested: usize,
}

impl Trainer {
    /// # Errors
    /// A batch larger than the training samples, or too large for the device.
    pub fn new(gpu: Gpu, state: Checkpoint, train: &Table, test: &Table) -> isobit::Result<Self> {
        let (samples, batch) = (train.labels.len(), state.settings.batch as usize);
        if batch > samples {
            return Err(format!("batch is {batch}, but there are {samples} samples to train with").into());
        }
        let module = gpu.module(include_str!("layers.wgsl"))?;
        let parameters = gpu.buffer_from(&state.parameters)?;
        let gradients = gpu.buffer(state.parameters.len())?;
        let moments = state.moments.iter().map(|moment| gpu.buffer_from(moment)).collect::<Result<_, _>>()?;
        let (order, losses) = (gpu.buffer(samples)?, gpu.buffer(samples)?);

        let forward_kernel = Rc::new(module.kernel("forward")?);
        let chosen_samples = gpu.buffer(batch * train.features)?;
        let forward = Forward::new(gpu, &forward_kernel, &state.layers, &parameters, chosen_samples, batch)?;
        let test_samples = gpu.buffer_from(&test.values)?;
        let test_rows = test.labels.len();
        let test_forward = Forward::new(gpu, &forward_kernel, &state.layers, &parameters, test_samples, test_rows)?;

        let slopes =
            state.layers.iter().map(|layer| gpu.buffer(batch * layer.outputs)).collect::<Result<Vec<_>, _>>()?;
        let backward = backward(&module, &state.layers, &parameters, &forward, &slopes, &gradients, batch)?;
        let data = Data { train, order: &order, losses: &losses };
        let chosen = data.chosen(gpu, &module, &state, &forward, slopes.last().ok_or("no layers")?)?;

        let optimizer = match state.settings.optimizer {
            Optimizer::Sgd => "sgd",
            Optimizer::Adam => "adam",
        };
        let optimizer = gpu.module(include_str!("optimizers.wgsl"))?.kernel(optimizer)?;
        Ok(Self {
            gpu,
            samples: u32::try_from(samples)?,
            state,
            parameters,
            gradients,
            moments,
            order,
            losses,
            chosen,
            forward,
            backward,
            optimizer,
            test: test_forward,
            test_labels: test.labels.clone(),
        })
    }

    /// Steps in an epoch. Samples that do not fill a batch are left out of it, others in each.
    pub fn epoch(&self) -> u32 {
        self.samples / self.state.settings.batch
    }

    /// Steps that were made.
    pub fn step(&self) -> u32 {
        self.state.step
    }

    /// Makes steps up to the end of the epoch, but not beyond this one.
    ///
    /// # Errors
    /// Those of the device.
    pub fn run(&mut self, until: u32) -> isobit::Result<Report> {
        self.shuffle()?;
        let first = self.state.step % self.epoch();
        let steps = (self.epoch() - first).min(until.saturating_sub(self.state.step));
        let calls: Vec<usize> = (first..first + steps).map(|index| index as usize).collect();
        for some in calls.chunks(TOGETHER as usize) {
            let mut batch = self.gpu.batch();
            for index in some {
                self.record_gradients(*index, &mut batch)?;
                self.record_step(&mut batch)?;
                self.state.step += 1;
            }
            batch.submit()?;
        }

        let size = self.state.settings.batch as usize;
        let losses = self.losses.slice(first as usize * size..(first + steps) as usize * size).read()?;
        let loss = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len().max(1) as f64;
        Ok(Report { step: self.state.step, loss, right: self.right()?, tested: self.test_labels.len() })
    }

    /// The derivatives of the next batch's mean loss by the parameters, laid out as these are.
    ///
    /// # Errors
    /// Those of the device.
    pub fn gradients(&self) -> isobit::Result<Vec<f32>> {
        self.shuffle()?;
        let mut batch = self.gpu.batch();
        self.record_gradients((self.state.step % self.epoch()) as usize, &mut batch)?;
        batch.submit()?;
        self.gradients.read()
    }

    /// The network as it is now.
    ///
    /// # Errors
    /// Those of the device.
    pub fn checkpoint(&self) -> isobit::Result<Checkpoint> {
        let moments = self.moments.iter().map(Buffer::read).collect::<Result<_, _>>()?;
        Ok(Checkpoint { parameters: self.parameters.read()?, moments, ..self.state.clone() })
    }

    /// Writes the order of the samples in the epoch that the next step is in.
    fn shuffle(&self) -> isobit::Result<()> {
        let epoch = self.state.step / self.epoch();
        self.order.write(&order(self.samples, self.state.settings.seed, epoch))
    }

    fn record_gradients(&self, index: usize, batch: &mut Batch) -> isobit::Result<()> {
        let chosen = self.chosen.get(index).ok_or("a step beyond the epoch")?;
        chosen.choose.record(batch)?;
        self.forward.calls.iter().try_for_each(|call| call.record(batch))?;
        chosen.loss.record(batch)?;
        self.backward.iter().try_for_each(|call| call.record(batch))
    }

    fn record_step(&self, batch: &mut Batch) -> isobit::Result<()> {
        let settings = &self.state.settings;
        let parameters = self.parameters.len();
        let exponent = i32::try_from(self.state.step.saturating_add(1)).unwrap_or(i32::MAX);
        let [mean_part, square_part] = DECAY.map(|decay| 1.0 - decay.powi(exponent));
        let rates = Rates {
            parameters: u32::try_from(parameters)?,
            rate: settings.rate,
            momentum: settings.momentum,
            mean_part,
            square_part,
        };
        let mut dispatch =
            self.optimizer.dispatch().uniform(0, &rates).bind(1, &self.gradients).bind(2, &self.parameters);
        for (moment, binding) in self.moments.iter().zip(3..) {
            dispatch = dispatch.bind(binding, moment);
        }
        dispatch.threads(parameters).record(batch)
    }

    /// How many of the test's samples have the largest result at their label.
    fn right(&self) -> isobit::Result<usize> {
        let mut batch = self.gpu.batch();
        self.test.calls.iter().try_for_each(|call| call.record(&mut batch))?;
        batch.submit()?;
        let results = self.test.result()?.read()?;
        let classes = results.len() / self.test_labels.len().max(1);
        let is_right = |(row, label): &(&[f32], &u32)| {
            let value = row.get(**label as usize);
            value.is_some_and(|value| row.iter().all(|other| other <= value))
        };
        Ok(results.chunks(classes.max(1)).zip(&self.test_labels).filter(is_right).count())
    }
}

/// The calls from the derivatives of the last layer's results to those of all parameters.
fn backward(
    module: &ShaderModule,
    layers: &[Layer],
    parameters: &Buffer<f32>,
    forward: &Forward,
    slopes: &[Buffer<f32>],
    gradients: &Buffer<f32>,
    batch: usize,
) -> isobit::Result<Vec<Call>> {
    let (by_parameters, by_inputs) = (Rc::new(module.kernel("parameter_slopes")?), Rc::new(module.kernel("backward")?));
    let mut calls = Vec::new();
    let mut slope_before = None;
    for (index, ((layer, before), slope)) in layers.iter().zip(&forward.values).zip(slopes).enumerate() {
        let params = LayerParams::new(layers, index, batch)?;
        let group = by_parameters.bind_group(0).uniform(0, &params).bind(6, before).bind(9, slope).bind(10, gradients);
        calls.push(Call { kernel: Rc::clone(&by_parameters), group: group.create()?, invocations: layer.parameters() });
        if let Some(slope_before) = slope_before.replace(slope) {
            let group = by_inputs.bind_group(0).uniform(0, &params).bind(5, parameters).bind(6, before);
            let group = group.bind(8, slope_before).bind(9, slope).create()?;
            calls.push(Call { kernel: Rc::clone(&by_inputs), group, invocations: batch * layer.inputs });
        }
    }
    // The last layer's come first.
    calls.reverse();
    Ok(calls)
}

/// What the first and the last kernel of a step see of the samples.
struct Data<'a> {
    train: &'a Table,
    order: &'a Buffer<u32>,
    losses: &'a Buffer<f32>,
}

impl Data<'_> {
    fn chosen(
        &self,
        gpu: Gpu,
        module: &ShaderModule,
        state: &Checkpoint,
        forward: &Forward,
        slope: &Buffer<f32>,
    ) -> isobit::Result<Vec<Chosen>> {
        let (samples, labels) = (gpu.buffer_from(&self.train.values)?, gpu.buffer_from(&self.train.labels)?);
        let (choose, loss) = (Rc::new(module.kernel("choose")?), Rc::new(module.kernel("loss")?));
        let batch = state.settings.batch as usize;
        let features = self.train.features;
        let last = gpu.uniform(&LayerParams::new(&state.layers, state.layers.len().saturating_sub(1), batch)?)?;
        let inputs = forward.values.first().ok_or("no samples")?;
        let of_step = |first: usize| {
            let choice = gpu.uniform(&Choice {
                batch: state.settings.batch,
                features: u32::try_from(features)?,
                first: u32::try_from(first)?,
            })?;
            let group = choose.bind_group(0).bind(1, &choice).bind(2, &samples).bind(4, self.order).bind(6, inputs);
            let choose = Call { kernel: Rc::clone(&choose), group: group.create()?, invocations: batch * features };
            let group = loss.bind_group(0).bind(0, &last).bind(1, &choice).bind(3, &labels).bind(4, self.order);
            let group = group.bind(7, forward.result()?).bind(9, slope).bind(11, self.losses).create()?;
            Ok(Chosen { choose, loss: Call { kernel: Rc::clone(&loss), group, invocations: batch } })
        };
        let steps = self.train.labels.len() / batch;
        (0..steps).map(|step| of_step(step * batch)).collect()
    }
}
