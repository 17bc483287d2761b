//! What is decided before training: parameters of the job, or what a checkpoint says it was trained with.

use std::fmt;
use std::str::FromStr;

/// How steps are made from gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Kingma and Ba's, with the means of gradients and of their squares.
    Adam,
}

impl FromStr for Optimizer {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sgd" => Ok(Self::Sgd),
            "adam" => Ok(Self::Adam),
            _ => Err("the optimizers are sgd and adam"),
        }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "sgd",
            Self::Adam => "adam",
        })
    }
}

/// What has to stay the same from the first step to the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub optimizer: Optimizer,
    pub rate: f32,
    pub momentum: f32,
    /// Samples in a step.
    pub batch: u32,
    /// Chooses the first weights and the order of the samples.
    pub seed: u32,
}

impl Settings {
    /// What holds where nothing else is said.
    pub fn new(optimizer: Optimizer) -> Self {
        let rate = match optimizer {
            Optimizer::Sgd => 0.1,
            Optimizer::Adam => 0.003,
        };
        Self { optimizer, rate, momentum: 0.9, batch: 32, seed: 1 }
    }

    /// # Errors
    /// A setting that training cannot be done with.
    pub fn check(&self) -> Result<(), String> {
        if !(self.rate > 0.0 && self.rate <= 10.0) {
            return Err(format!("rate is {}, but has to be above 0 and at most 10", self.rate));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(format!("momentum is {}, but has to be at least 0 and below 1", self.momentum));
        }
        if !(1..=16_384).contains(&self.batch) {
            return Err(format!("batch is {}, but has to be from 1 to 16384", self.batch));
        }
        Ok(())
    }
}

/// As a checkpoint has it. Numbers are written with as many digits as give them back.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { optimizer, rate, momentum, batch, seed } = self;
        write!(f, "optimizer={optimizer} rate={rate} momentum={momentum} batch={batch} seed={seed}")
    }
}

impl FromStr for Settings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut fields = text.split(' ');
        let mut settings = Self {
            optimizer: field(&mut fields, "optimizer")?,
            rate: field(&mut fields, "rate")?,
            momentum: field(&mut fields, "momentum")?,
            batch: field(&mut fields, "batch")?,
            seed: field(&mut fields, "seed")?,
        };
        // A negative zero would be written back as another text.
        settings.momentum += 0.0;
        settings.check()?;
        match fields.next() {
            Some(more) => Err(format!("{more:?} after the settings")),
            None => Ok(settings),
        }
    }
}

/// The value of the next field, which has to have this name.
fn field<'a, T: FromStr>(fields: &mut impl Iterator<Item = &'a str>, name: &str) -> Result<T, String> {
    let value = fields.next().and_then(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no {name} in the settings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_checkpoint() {
        let settings = Settings { rate: 0.1 / 3.0, momentum: 0.0, ..Settings::new(Optimizer::Sgd) };
        assert_eq!(settings.to_string().parse(), Ok(settings));
        assert_eq!(
            Settings::new(Optimizer::Adam).to_string(),
            "optimizer=adam rate=0.003 momentum=0.9 batch=32 seed=1"
        );
    }

    #[test]
    fn broken_settings_are_refused() {
        let corpus = [
            ("", "no optimizer in the settings"),
            ("optimizer=sgd", "no rate in the settings"),
            ("optimizer=sgd rate=x momentum=0 batch=1 seed=1", "no rate in the settings"),
            ("optimizer=sgd rate=NaN momentum=0 batch=1 seed=1", "rate is NaN"),
            ("optimizer=sgd rate=1 momentum=1 batch=1 seed=1", "momentum is 1"),
            ("optimizer=sgd rate=1 momentum=0 batch=0 seed=1", "batch is 0"),
            ("optimizer=lion rate=1 momentum=0 batch=1 seed=1", "no optimizer in the settings"),
            ("optimizer=sgd rate=1 momentum=0 batch=1 seed=1 x", "\"x\" after the settings"),
        ];
        for (text, expected) in corpus {
            let error = text.parse::<Settings>().unwrap_err();
            assert!(error.starts_with(expected), "{error} instead of {expected}");
        }
    }
}
