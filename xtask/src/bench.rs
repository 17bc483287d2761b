//! `cargo xtask bench`: the benchmarks of BENCHMARKS.md.

use crate::steps::{cargo, check};
use crate::{Failure, Options, setup};

/// Sets up and runs them.
pub fn run(options: &Options) -> Result<(), Failure> {
    setup::run(options)?;
    check(cargo(&["bench", "--package", "isobit-cli"]).arg("--").args(&options.rest))
}
