//! `isobit config`: the settings of a provider, as they are in effect, and an example of a file with them.

use std::path::PathBuf;

use crate::commands::settings_file;
use crate::failure::Status;
use crate::printer::Printer;
use crate::settings::{Given, Listed, Settings};
use crate::table::Table;

const EXAMPLE: &str = include_str!("../../../../docs/provider.toml");

/// Show a provider's settings, or an example of a file with them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit config example > provider.toml
  isobit config show --config provider.toml
  isobit config show --config provider.toml --slots 2 --json")]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print every setting that `isobit serve` would have with the same arguments, and where it is from
    Show(Box<Show>),
    /// Print a file with every key, its meaning and its default
    Example,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit config show --config provider.toml --slots 2")]
struct Show {
    /// File with settings, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Given,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    config: Option<PathBuf>,
    settings: &'a [Listed],
}

#[derive(serde::Serialize)]
struct Example {
    example: &'static str,
}

impl Config {
    /// Prints the settings.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        match self.action {
            Action::Example => printer.answer(&Example { example: EXAMPLE }, &EXAMPLE)?,
            Action::Show(show) => show.run(printer)?,
        }
        Ok(Status::Ok)
    }
}

impl Show {
    fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let file = self.config.as_deref().map(settings_file).transpose()?;
        let list = Settings::new(self.flags, file)?.list();
        let mut table = Table::new(["setting", "value", "from"]);
        for Listed { key, value, from } in &list {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let from = serde_json::to_value(from)?.as_str().unwrap_or_default().to_owned();
            table.row([key.clone(), value, from]);
        }
        printer.answer(&Answer { config: self.config, settings: &list }, &table)
    }
}
