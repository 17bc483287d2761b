//! `isobit limits`: every limit, what it is, who sets it, what happens at it.

use std::fmt;

use serde::Serialize;

use crate::failure::Status;
use crate::limits::{self, Limit, Scope};
use crate::printer::Printer;
use crate::table::Table;

/// List every limit: what it is, who sets it, and what happens at it
///
/// Those of a job are the same at every provider; those of providers are what this version does unless it is told otherwise.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  isobit limits\n  isobit limits --json\n  isobit limits --markdown > docs/limits.md"
)]
pub struct Limits {
    /// Print them as the page docs/limits.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

#[derive(Serialize)]
struct Answer {
    limits: Vec<Limit>,
}

impl Limits {
    /// Prints the table.
    pub fn run(self, isobit: &clap::Command, printer: &Printer) -> anyhow::Result<Status> {
        let answer = Answer { limits: limits::all(isobit) };
        match self.markdown {
            true => printer.answer(&answer, &limits::document(&answer.limits))?,
            false => printer.answer(&answer, &answer)?,
        }
        Ok(Status::Ok)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["limit", "of", "default", "most", "set by", "at it"]);
        let of = |scope| self.limits.iter().filter(move |limit| limit.scope == scope);
        for scope in Scope::ALL.into_iter().filter(|scope| of(*scope).next().is_some()) {
            table.row([
                format!("{}:", scope.heading()),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
            for limit in of(scope) {
                let maximum = if limit.default == limit.maximum { String::new() } else { limit.maximum.to_string() };
                table.row([
                    format!("  {}", limit.name),
                    limit.what.to_owned(),
                    limit.default.to_string(),
                    maximum,
                    limit.set_by.to_owned(),
                    limit.at_it.to_owned(),
                ]);
            }
        }
        table.fmt(f)
    }
}
