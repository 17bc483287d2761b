//! Checkpoints: safetensors with all that training goes on from. Nothing in one that is read is trusted.
//!
//! The parameters of layer K are `layers.K.weight`, a row for each input, and `layers.K.bias`. What the optimizer remembers of each has the same name with
//! `.velocity` behind it (SGD), or `.mean` and `.square` (Adam). Metadata has one entry, `training`: settings and steps.

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::network::{LAYERS, Layer, layers};
use crate::settings::{Optimizer, Settings};

/// The entry of the metadata.
const TRAINING: &str = "training";

/// A network in training.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub settings: Settings,
    /// Steps that were made.
    pub step: u32,
    pub layers: Vec<Layer>,
    pub parameters: Vec<f32>,
    /// What the optimizer remembers, laid out as the parameters: one list for SGD, two for Adam.
    pub moments: Vec<Vec<f32>>,
}

impl Optimizer {
    /// The names of what it remembers.
    pub fn moments(self) -> &'static [&'static str] {
        match self {
            Self::Sgd => &[".velocity"],
            Self::Adam => &[".mean", ".square"],
        }
    }
}

impl Checkpoint {
    /// # Errors
    /// What is wrong with the file; with the name of the tensor where it is about one.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let training = metadata.metadata().as_ref().and_then(|metadata| metadata.get(TRAINING));
        let training = training.ok_or("its metadata has no `training`: is it one of this workload's?")?;
        let (settings, step) = training.rsplit_once(" step=").ok_or("no step in the settings")?;
        let settings: Settings = settings.parse()?;
        let step = step.parse().map_err(|_| format!("step {step:?} in the settings is no number"))?;

        let layers = layers(&widths(&file)?)?;
        let moments = settings.optimizer.moments();
        let expected = layers.len() * 2 * (1 + moments.len());
        if file.len() != expected {
            return Err(format!(
                "it has {} tensors, but {} layers and their optimizer have {expected}",
                file.len(),
                layers.len()
            ));
        }
        let parameters = values(&file, &layers, "")?;
        let moments = moments.iter().map(|name| values(&file, &layers, name)).collect::<Result<_, _>>()?;
        Ok(Self { settings, step, layers, parameters, moments })
    }

    /// # Errors
    /// None that a network within the limits could cause.
    pub fn write(&self) -> Result<Vec<u8>, String> {
        let suffixes = [""].iter().chain(self.settings.optimizer.moments());
        let parts: Vec<(&str, &[f32])> =
            suffixes.copied().zip([&self.parameters].into_iter().chain(&self.moments).map(Vec::as_slice)).collect();
        let training = format!("{} step={}", self.settings, self.step);
        write(&self.layers, &parts, Some(training))
    }
}

/// Values that are laid out as the parameters are, as safetensors: each part with what is behind its tensors' names.
///
/// # Errors
/// None that a network within the limits could cause.
pub fn write(layers: &[Layer], parts: &[(&str, &[f32])], training: Option<String>) -> Result<Vec<u8>, String> {
    let mut tensors = Vec::new();
    for (suffix, values) in parts {
        for (name, shape, range) in tensors_of(layers, suffix) {
            let values = values.get(range).unwrap_or_default();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((name, shape, bytes));
        }
    }
    let views =
        tensors.iter().map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(named)?;
    // One entry only: the order of several is not defined.
    let metadata = training.map(|training| std::iter::once((TRAINING.to_owned(), training)).collect());
    serialize(views, metadata).map_err(named)
}

fn named(error: safetensors::SafeTensorError) -> String {
    error.to_string()
}

/// The name and shape of each tensor, and where its values lie among all.
fn tensors_of(layers: &[Layer], suffix: &str) -> Vec<(String, Vec<usize>, std::ops::Range<usize>)> {
    let of_layer = |(index, layer): (usize, &Layer)| {
        let biases = layer.offset + layer.inputs * layer.outputs;
        [
            (format!("layers.{index}.weight{suffix}"), vec![layer.inputs, layer.outputs], layer.offset..biases),
            (format!("layers.{index}.bias{suffix}"), vec![layer.outputs], biases..layer.offset + layer.parameters()),
        ]
    };
    layers.iter().enumerate().flat_map(of_layer).collect()
}

/// The widths of the layers, by the shapes of their weights.
fn widths(file: &SafeTensors<'_>) -> Result<Vec<usize>, String> {
    let mut widths = Vec::new();
    for index in 0..=LAYERS {
        let name = format!("layers.{index}.weight");
        let Ok(tensor) = file.tensor(&name) else { break };
        let [inputs, outputs] = *tensor.shape() else {
            return Err(format!("{name} has the shape {:?}, but is a matrix", tensor.shape()));
        };
        match widths.last() {
            None => widths.push(inputs),
            Some(before) if *before == inputs => {}
            Some(before) => return Err(format!("{name} takes {inputs} numbers, but the layer before makes {before}")),
        }
        widths.push(outputs);
    }
    Ok(widths)
}

/// The values of the tensors with this behind their names.
fn values(file: &SafeTensors<'_>, layers: &[Layer], suffix: &str) -> Result<Vec<f32>, String> {
    let mut values = Vec::new();
    for (name, shape, _) in tensors_of(layers, suffix) {
        let tensor = file.tensor(&name).map_err(named)?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            return Err(format!("{name} is of {:?} {:?}, but has to be F32 {shape:?}", tensor.dtype(), tensor.shape()));
        }
        let words = tensor.data().chunks_exact(4).filter_map(|bytes| <[u8; 4]>::try_from(bytes).ok());
        values.extend(words.map(f32::from_le_bytes));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(optimizer: Optimizer) -> Checkpoint {
        let layers = layers(&[3, 2, 2]).unwrap();
        let parameters: Vec<f32> = (0..14_u8).map(f32::from).collect();
        let moments = optimizer.moments().iter().map(|_| parameters.iter().map(|value| value / 3.0).collect());
        Checkpoint { settings: Settings::new(optimizer), step: 7, moments: moments.collect(), layers, parameters }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
            let checkpoint = checkpoint(optimizer);
            let bytes = checkpoint.write().unwrap();
            assert_eq!(Checkpoint::read(&bytes).unwrap(), checkpoint);
            assert_eq!(bytes, checkpoint.write().unwrap());
        }
    }

    /// A checkpoint with this text in place of another in its header.
    fn broken(text: &str, other: &str) -> Vec<u8> {
        let bytes = checkpoint(Optimizer::Sgd).write().unwrap();
        let size = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let header = String::from_utf8(bytes[8..8 + size].to_vec()).unwrap();
        assert!(header.contains(text), "{header}");
        let header = header.replacen(text, other, 1);
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + size..]].concat()
    }

    #[test]
    fn every_broken_checkpoint_is_refused() {
        let corpus = [
            (Vec::new(), "header too small"),
            (vec![0xff; 64], "header too large"),
            (broken("{", "["), "invalid JSON in header"),
            (broken("training", "trainings"), "its metadata has no `training`"),
            (broken(" step=7", ""), "no step in the settings"),
            (broken("step=7", "step=-7"), "step \"-7\" in the settings is no number"),
            (broken("batch=32", "batch=0"), "batch is 0"),
            (broken("F32", "I32"), "layers."),
            (broken("F32", "F64"), "invalid shape, data type, or offset for tensor"),
            (broken("[3,2]", "[6]"), "layers."),
            (broken("[3,2]", "[2,3]"), "layers."),
            (broken("[3,2]", "[4294967296,4294967296]"), "overflow computing buffer size"),
            (broken("layers.1.weight", "layers.7.weight"), "it has 8 tensors, but 1 layers"),
            (broken("layers.0.bias\"", "layers.0.bios\""), "tensor `layers.0.bias` not found"),
        ];
        for (bytes, expected) in corpus {
            let error = Checkpoint::read(&bytes).unwrap_err();
            assert!(error.contains(expected), "{error} instead of {expected}");
        }
        let whole = checkpoint(Optimizer::Adam).write().unwrap();
        for end in 0..whole.len() {
            assert!(Checkpoint::read(&whole[..end]).is_err());
        }
    }
}
