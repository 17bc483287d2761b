//! How a finished job is shown, whoever ran it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use isobit_job::{Blob, Claim, ClaimId, FuelUsed, JobId, Name, Observed, Outcome, Rules, Trap};
use serde::Serialize;

use crate::escape;
use crate::failure::Status;
use crate::races::Races;

/// The answer of `run` and `submit`.
#[derive(Serialize)]
pub struct Finished<'a> {
    job: JobId,
    claim: ClaimId,
    rules: Rules,
    outcome: &'a Outcome,
    fuel: &'a FuelUsed,
    outputs: BTreeMap<&'a Name, Output<'a>>,
    observed: &'a Observed,
    receipt: Option<&'a PathBuf>,
    /// Present if races were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    races: Option<Races<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    blob: Blob,
    path: Option<&'a PathBuf>,
}

impl<'a> Finished<'a> {
    pub fn new(
        claim: &'a Claim,
        observed: &'a Observed,
        kept: &'a BTreeMap<Name, PathBuf>,
        receipt: Option<&'a PathBuf>,
    ) -> Self {
        let outputs = claim.outputs.iter().map(|(name, blob)| (name, Output { blob: *blob, path: kept.get(name) }));
        Self {
            job: claim.job,
            claim: claim.id(),
            rules: claim.rules,
            outcome: &claim.outcome,
            fuel: &claim.fuel,
            outputs: outputs.collect(),
            observed,
            receipt,
            races: None,
        }
    }

    /// With what was found when looking for races, if they were looked for.
    pub fn with_races(self, races: Option<Races<'a>>) -> Self {
        Self { races, ..self }
    }

    /// A job that trapped has failed, and so has one with races, if they were looked for.
    pub fn status(&self) -> Status {
        match self.outcome {
            Outcome::Completed => self.races.as_ref().map_or(Status::Ok, Races::status),
            _ => Status::No,
        }
    }
}

impl fmt::Display for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "outcome  {}", outcome(self.outcome))?;
        writeln!(f, "job      {}", self.job)?;
        writeln!(f, "claim    {}", self.claim)?;
        writeln!(f, "rules    {}", self.rules)?;
        writeln!(f, "fuel     {} guest, {} kernel", self.fuel.guest, self.fuel.kernel)?;
        let device = escape::line(&self.observed.device);
        writeln!(f, "device   {device}, {} after {}", self.observed.run_ms, self.observed.prepare_ms)?;
        for (name, output) in &self.outputs {
            let place = output.path.map_or_else(|| "not kept".to_owned(), |path| path.display().to_string());
            writeln!(f, "output   {name}  {}  {}  {place}", output.blob.hash, output.blob.size)?;
        }
        if let Some(receipt) = self.receipt {
            writeln!(f, "receipt  {}", receipt.display())?;
        }
        self.races.as_ref().map_or(Ok(()), |races| races.fmt(f))
    }
}

/// An outcome in words, with what to do about it.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed => "completed".to_owned(),
        Outcome::Trapped(trap) => match trap {
            Trap::GuestError { message } => format!("trapped: the workload says: {}", quoted(message)),
            Trap::GuestTrap { code } => format!("trapped: the guest crashed ({code})"),
            Trap::Fuel => "trapped: the guest's fuel ran out; raise it with --fuel".to_owned(),
            Trap::KernelFuel => "trapped: the fuel for dispatches ran out; raise it with --kernel-fuel".to_owned(),
            Trap::Limit { limit } if limit == "guest-memory" => {
                format!("trapped: the limit {limit} was reached; raise it with --{limit}")
            }
            // Fixed ones, the same for every job.
            Trap::Limit { limit } => format!("trapped: the limit {limit} was reached"),
            _ => "trapped".to_owned(),
        },
    }
}

/// A guest's words. Further lines, as of WGSL with a caret below it, are set in, so that none passes for one of ours.
fn quoted(message: &str) -> String {
    let message = message.trim_end();
    if !message.contains('\n') {
        return escape::line(message).into_owned();
    }
    message.lines().map(|line| format!("\n  {}", escape::line(line))).collect()
}
