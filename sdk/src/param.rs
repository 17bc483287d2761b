//! The job's parameters: short strings, parsed as what the workload expects.

use std::fmt::Display;
use std::str::FromStr;

use crate::bindings::isobit::compute::io;
use crate::{Error, Result};

/// A parameter of the job, or `None` if the job does not set it.
///
/// ```no_run
/// let radius = isobit::param("radius")?.unwrap_or(3_u32);
/// let title: String = isobit::param("title")?.ok_or("set the parameter title")?;
/// # Ok::<(), isobit::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidParameter`] if the value is not a `T`.
pub fn param<T>(name: &str) -> Result<Option<T>>
where
    T: FromStr<Err: Display>,
{
    io::get_parameter(name).map(|value| parse(name, value)).transpose()
}

/// All parameters of the job as (name, value), sorted by name.
pub fn params() -> Vec<(String, String)> {
    io::parameters().into_iter().map(|parameter| (parameter.name, parameter.value)).collect()
}

fn parse<T>(name: &str, value: String) -> Result<T>
where
    T: FromStr<Err: Display>,
{
    value.parse().map_err(|error: T::Err| Error::InvalidParameter {
        name: name.to_owned(),
        reason: error.to_string(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_of_the_wrong_kind_is_shown_with_its_value() {
        assert_eq!(parse::<u32>("radius", "3".to_owned()).unwrap(), 3);
        let error = parse::<u32>("radius", "wide".to_owned()).unwrap_err();
        assert_eq!(error.to_string(), "parameter radius=wide: invalid digit found in string");
    }
}
