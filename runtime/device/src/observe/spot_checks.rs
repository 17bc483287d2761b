//! The share of a job's workgroups that is checked.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// The share of a job's workgroups that is run again on the CPU, as far as there is time. Written as `1/1000`, which is the
/// default, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotChecks {
    /// One workgroup in so many is checked. None: no checks.
    pub one_in: Option<NonZeroU64>,
}

impl SpotChecks {
    /// No checks.
    pub const OFF: Self = Self { one_in: None };
}

impl Default for SpotChecks {
    fn default() -> Self {
        Self { one_in: NonZeroU64::new(1000) }
    }
}

/// The text is not a [`SpotChecks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a share of workgroups: write 1/1000, with any number, or off")]
pub struct ParseSpotChecksError;

impl FromStr for SpotChecks {
    type Err = ParseSpotChecksError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let number = text.strip_prefix("1/").and_then(|number| number.parse().ok());
        number.map(|number| Self { one_in: Some(number) }).ok_or(ParseSpotChecksError)
    }
}

impl fmt::Display for SpotChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.one_in {
            Some(number) => write!(f, "1/{number}"),
            None => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_it_is_written() {
        for text in ["1/1000", "1/1", "off"] {
            assert_eq!(text.parse::<SpotChecks>().map(|share| share.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(SpotChecks::default().to_string(), "1/1000");
        for text in ["", "1/0", "2/1000", "1/-5", "0.001", "on"] {
            assert_eq!(text.parse::<SpotChecks>(), Err(ParseSpotChecksError), "{text}");
        }
    }
}
