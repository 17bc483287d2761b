//! What the example train computes, computed again in f64 from its description: the loss of a network, and its derivatives by finite differences.

use std::ops::Range;

/// Samples: numbers from 0 to 1, and a label.
pub type Sample = (Vec<f64>, usize);

/// The samples of CSV, divided by the largest: those to train with, and every fifth, to test with.
pub fn samples(csv: &str) -> (Vec<Sample>, Vec<Sample>) {
    let rows: Vec<Vec<f64>> = csv.lines().map(|line| line.split(',').map(|it| it.parse().unwrap()).collect()).collect();
    let features = rows[0].len() - 1;
    let largest = rows.iter().flat_map(|row| &row[..features]).fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let sample = |row: &Vec<f64>| (row[..features].iter().map(|it| it / largest).collect(), row[features] as usize);
    let part = |is_test: bool| {
        rows.iter().enumerate().filter(|(index, _)| (index % 5 == 4) == is_test).map(|(_, row)| sample(row)).collect()
    };
    (part(false), part(true))
}

/// A tensor of a file of safetensors: its name, its shape, and its values.
pub type Tensor = (String, Vec<usize>, Vec<f64>);

/// The tensors of a file of safetensors, all of F32, sorted by name.
pub fn tensors(file: &[u8]) -> Vec<Tensor> {
    let size = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + size]).unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
    let numbers = |value: &serde_json::Value| value.as_array().unwrap().iter().map(number).collect::<Vec<_>>();
    let entries = header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__");
    let tensor = |(name, entry): (&String, &serde_json::Value)| {
        assert_eq!(entry["dtype"], "F32");
        let range = numbers(&entry["data_offsets"]);
        let bytes = &file[8 + size..][Range { start: range[0], end: range[1] }];
        let values = bytes.as_chunks().0.iter().map(|value| f64::from(f32::from_le_bytes(*value))).collect();
        (name.clone(), numbers(&entry["shape"]), values)
    };
    let mut tensors: Vec<Tensor> = entries.map(tensor).collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// Layers of weights, a row for each input, and biases.
pub struct Network(pub Vec<(Vec<f64>, Vec<f64>)>);

impl Network {
    /// The network of a checkpoint.
    pub fn new(tensors: &[Tensor]) -> Network {
        let values = |name: String| tensors.iter().find(|tensor| tensor.0 == name).map(|tensor| tensor.2.clone());
        let layer =
            |index: usize| Some((values(format!("layers.{index}.weight"))?, values(format!("layers.{index}.bias"))?));
        Network((0..).map_while(layer).collect())
    }

    /// What it makes of a sample: a number for each label.
    fn run(&self, sample: &[f64]) -> Vec<f64> {
        let mut values = sample.to_vec();
        for (index, (weights, biases)) in self.0.iter().enumerate() {
            let sum = |(column, bias): (usize, &f64)| -> f64 {
                let products =
                    values.iter().enumerate().map(|(row, value)| value * weights[row * biases.len() + column]);
                bias + products.sum::<f64>()
            };
            let sums = biases.iter().enumerate().map(sum);
            values = if index + 1 < self.0.len() { sums.map(|sum| sum.max(0.0)).collect() } else { sums.collect() };
        }
        values
    }

    /// The mean cross entropy over samples.
    pub fn loss(&self, samples: &[Sample]) -> f64 {
        let loss = |(sample, label): &Sample| {
            let results = self.run(sample);
            results.iter().map(|result| result.exp()).sum::<f64>().ln() - results[*label]
        };
        samples.iter().map(loss).sum::<f64>() / samples.len() as f64
    }

    /// The share of samples whose label has the largest result.
    pub fn accuracy(&self, samples: &[Sample]) -> f64 {
        let is_right = |(sample, label): &&Sample| {
            let results = self.run(sample);
            results.iter().all(|result| *result <= results[*label])
        };
        samples.iter().filter(is_right).count() as f64 / samples.len() as f64
    }

    fn parameter(&mut self, layer: usize, is_bias: bool, index: usize) -> &mut f64 {
        let (weights, biases) = &mut self.0[layer];
        if is_bias { &mut biases[index] } else { &mut weights[index] }
    }

    /// Asserts that gradients, named as the parameters, are the derivatives of the mean loss: each one is compared with a central difference.
    pub fn assert_gradients(&mut self, gradients: &[Tensor], samples: &[Sample]) {
        // Curvature makes the difference less wrong than rounding does here.
        const STEP: f64 = 1e-5;
        assert_eq!(gradients.len(), 2 * self.0.len());
        for (name, _, values) in gradients {
            let layer: usize = name.split('.').nth(1).unwrap().parse().unwrap();
            for (index, gradient) in values.iter().enumerate() {
                let is_bias = name.ends_with("bias");
                let before = *self.parameter(layer, is_bias, index);
                *self.parameter(layer, is_bias, index) = before + STEP;
                let above = self.loss(samples);
                *self.parameter(layer, is_bias, index) = before - STEP;
                let below = self.loss(samples);
                *self.parameter(layer, is_bias, index) = before;
                let difference = (above - below) / (2.0 * STEP);
                let off = (difference - gradient).abs();
                assert!(off <= 2e-6 + 1e-5 * difference.abs(), "{name} {index}: {gradient} instead of {difference}");
            }
        }
    }
}
