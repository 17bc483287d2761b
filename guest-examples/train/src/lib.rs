//! Trains a network of fully connected layers to tell classes apart, forward and backward on the device. Where training stops and goes on, at which provider and
//! on which device, makes no difference to any bit of the weights.
//!
//! Input `samples` is CSV: numbers and last the label, from 0. Every fifth line is for testing and is not trained with. Input `checkpoint` is what a run before
//! wrote to go on from; without it training begins anew.
//!
//! Output `checkpoint` is safetensors: the parameters, and what the optimizer remembers. Output `log` is CSV: steps, mean loss since the line before, accuracy in
//! the test. With `gradients=1` nothing is trained, and output `gradients` has the derivatives of the next batch's mean loss.
//!
//! Parameters: `steps`, how many there are then in all (default 20 epochs); `hidden`, the widths of the layers between (default 128); `optimizer`, `sgd` or
//! `adam` (default); `rate`, `momentum`, `batch`, `seed`. All but `steps` have to be as before where training goes on, and need not be said.

mod checkpoint;
mod network;
mod settings;
mod table;
mod trainer;

use std::error::Error;
use std::fmt::Display;
use std::io::{BufWriter, Read as _, Write as _};
use std::str::FromStr;

use checkpoint::Checkpoint;
use isobit::{Gpu, Input, Output};
use network::{first_parameters, layers};
use settings::{Optimizer, Settings};
use table::Table;
use trainer::Trainer;

isobit::takes! {
    param "steps": "how many there are then in all, those before the checkpoint too; 20 epochs if it is not set",
    param "hidden": "widths of the layers between, with commas; 128 if it is not set",
    param "optimizer": "sgd or adam; adam if it is not set",
    param "rate": "of learning; 0.1 for sgd and 0.003 for adam if it is not set",
    param "momentum": "of sgd; 0.9 if it is not set",
    param "batch": "samples in a step; 32 if it is not set",
    param "seed": "of the first weights and the order of the samples; 1 if it is not set",
    param "gradients": "1: only write the gradients of the next batch",
    input "samples": "CSV: numbers and last the label, from 0",
    input "checkpoint": "what to go on from; anew if it is not given",
    output "checkpoint": "the network, safetensors",
    output "log": "CSV: steps, mean loss, accuracy",
    output "gradients": "with gradients=1: safetensors",
}

/// Epochs if `steps` is not set.
const EPOCHS: u32 = 20;

/// The most steps.
const MOST: u32 = 10_000_000;

#[isobit::main]
fn main() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    Input::open("samples")?.read_to_string(&mut text)?;
    let mut table = Table::parse(&text).map_err(|error| format!("samples: {error}"))?;
    table.normalize();
    let (train, test) = table.split();
    if test.labels.is_empty() {
        return Err(format!("samples: {} are too few: every fifth is for testing", table.labels.len()).into());
    }

    let state = match Input::names().iter().any(|name| name == "checkpoint") {
        true => go_on(&table)?,
        false => begin(&table)?,
    };
    isobit::info!("{} samples, {} parameters, {}", train.labels.len(), state.parameters.len(), state.settings);
    let mut trainer = Trainer::new(Gpu::new(), state, &train, &test)?;

    if isobit::param("gradients")?.unwrap_or(0_u8) != 0 {
        let layers = trainer.checkpoint()?.layers;
        let bytes = checkpoint::write(&layers, &[("", &trainer.gradients()?)], None)?;
        return Ok(Output::create("gradients")?.write_all(&bytes)?);
    }

    let steps: u32 = isobit::param("steps")?.unwrap_or(EPOCHS * trainer.epoch());
    if !(trainer.step()..=MOST).contains(&steps) {
        return Err(format!("steps is {steps}, but {} were made, and {MOST} are the most", trainer.step()).into());
    }
    let mut log = BufWriter::new(Output::create("log")?);
    writeln!(log, "step,loss,accuracy")?;
    while trainer.step() < steps {
        let report = trainer.run(steps)?;
        let accuracy = report.right as f64 / report.tested as f64;
        writeln!(log, "{},{:.6},{accuracy:.4}", report.step, report.loss)?;
        let message = format!("loss {:.4}, {} of {} right", report.loss, report.right, report.tested);
        isobit::progress(report.step as f32 / steps as f32, &message);
    }
    log.flush()?;
    Ok(Output::create("checkpoint")?.write_all(&trainer.checkpoint()?.write()?)?)
}

/// A network before its first step.
fn begin(table: &Table) -> Result<Checkpoint, Box<dyn Error>> {
    let defaults = Settings::new(isobit::param("optimizer")?.unwrap_or(Optimizer::Adam));
    let settings = Settings {
        rate: isobit::param("rate")?.unwrap_or(defaults.rate),
        momentum: isobit::param("momentum")?.unwrap_or(defaults.momentum),
        batch: isobit::param("batch")?.unwrap_or(defaults.batch),
        seed: isobit::param("seed")?.unwrap_or(defaults.seed),
        ..defaults
    };
    settings.check()?;
    let hidden: Hidden = isobit::param("hidden")?.unwrap_or(Hidden(vec![128]));
    let widths: Vec<usize> = [table.features].into_iter().chain(hidden.0).chain([table.classes()]).collect();
    let layers = layers(&widths)?;
    let parameters = first_parameters(&layers, settings.seed);
    let moments = settings.optimizer.moments().iter().map(|_| vec![0.0; parameters.len()]).collect();
    Ok(Checkpoint { settings, step: 0, layers, parameters, moments })
}

/// The network of a checkpoint, if it is for these samples and the parameters agree with it.
fn go_on(table: &Table) -> Result<Checkpoint, Box<dyn Error>> {
    let mut bytes = Vec::new();
    Input::open("checkpoint")?.read_to_end(&mut bytes)?;
    let state = Checkpoint::read(&bytes).map_err(|error| format!("checkpoint: {error}"))?;
    let inputs = state.layers.first().map_or(0, |layer| layer.inputs);
    let outputs = state.layers.last().map_or(0, |layer| layer.outputs);
    if inputs != table.features || outputs < table.classes() {
        let (features, classes) = (table.features, table.classes());
        return Err(format!(
            "checkpoint: a network for samples of {inputs} numbers and {outputs} labels, but there are {features} and {classes}"
        )
        .into());
    }
    let between = state.layers.iter().skip(1).map(|layer| layer.inputs);
    agrees("hidden", Hidden(between.collect()))?;
    agrees("optimizer", state.settings.optimizer)?;
    agrees("rate", state.settings.rate)?;
    agrees("momentum", state.settings.momentum)?;
    agrees("batch", state.settings.batch)?;
    agrees("seed", state.settings.seed)?;
    Ok(state)
}

/// Fails if a parameter is set to something else than the checkpoint has.
fn agrees<T: FromStr<Err: Display> + Display + PartialEq>(name: &str, before: T) -> isobit::Result<()> {
    match isobit::param::<T>(name)? {
        Some(now) if now != before => {
            Err(format!("{name} is {now}, but the checkpoint was trained with {before}").into())
        }
        _ => Ok(()),
    }
}

/// Widths of layers.
#[derive(Debug, PartialEq)]
struct Hidden(Vec<usize>);

impl FromStr for Hidden {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Display for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&widths.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_valid_wgsl() {
        for text in [include_str!("layers.wgsl"), include_str!("optimizers.wgsl")] {
            let module = naga::front::wgsl::parse_str(text).unwrap();
            naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
        }
    }

    #[test]
    fn widths_are_written_as_they_are_read() {
        for text in ["", "128", "64,32"] {
            assert_eq!(text.parse::<Hidden>().unwrap().to_string(), text);
        }
        assert!("64,".parse::<Hidden>().is_err());
    }
}
