//! `isobit serve` on systems where it is not available.

use std::ffi::OsString;

use crate::failure::{Failure, Status};
use crate::printer::Printer;

/// Offer this machine's device to renters (on Linux only)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit serve --listen 0.0.0.0:4433  (on Linux)")]
pub struct Serve {
    /// What it takes on Linux
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl Serve {
    /// Never: nothing is served.
    pub fn logs_json(&self) -> bool {
        false
    }

    /// Fails: a provider runs on Linux only.
    pub fn run(self, _: &Printer) -> anyhow::Result<Status> {
        drop(self.arguments);
        Err(Failure::new("a provider runs on Linux only, where strangers' code can be jailed")
            .hint("on this system, rent: `isobit submit`, `run` and `verify` work")
            .into())
    }
}
