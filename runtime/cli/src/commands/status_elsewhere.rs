//! `isobit status` on systems where no provider runs.

use crate::failure::{Failure, Status as Ending};
use crate::printer::Printer;

/// Show what a provider on this machine is doing (on Linux only)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit status  (on Linux)")]
pub struct Status {
    /// What it takes on Linux
    provider: Option<String>,
}

impl Status {
    /// Fails: a provider runs on Linux only.
    pub fn run(self, _: &Printer) -> anyhow::Result<Ending> {
        drop(self.provider);
        Err(Failure::new("a provider runs on Linux only, so none runs here")
            .hint("ask on the provider's machine")
            .into())
    }
}
