//! How a finished job is shown, whether it ran here or at a provider.

use std::collections::BTreeMap;
use std::fmt;

use isobit_job::{
    Bill, Blob, Bytes, Claim, ClaimId, Cost, Fuel, JobId, LimitName, Limits, Name, Observed, Outcome, Rules, Trap,
    Unread,
};
use isobit_renter::Kept;
use serde::Serialize;

use crate::escape;
use crate::failure::Status;
use crate::printer::Printer;
use crate::profiled::Profiled;
use crate::races::Races;

/// The answer of `run` and `submit`.
#[derive(Serialize)]
pub struct Finished<'a> {
    job: JobId,
    claim: ClaimId,
    rules: Rules,
    outcome: &'a Outcome,
    /// The outcome in words, with the limit that was reached.
    message: String,
    cost: &'a Cost,
    outputs: BTreeMap<&'a Name, Output>,
    observed: &'a Observed,
    receipt: Option<String>,
    unread: &'a Unread,
    /// Present if the provider charges.
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<&'a Bill>,
    /// Present if the job had to wait for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<Queued>,
    /// Present if races were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    races: Option<Races<'a>>,
    /// Present if the job was profiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profiled>,
}

/// Where a job stood in line at first, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Queued {
    pub position: u32,
    pub reason: String,
}

#[derive(Serialize)]
struct Output {
    #[serde(flatten)]
    blob: Blob,
    path: Option<String>,
}

impl<'a> Finished<'a> {
    pub fn new(claim: &'a Claim, limits: &Limits, observed: &'a Observed, kept: &Kept, unread: &'a Unread) -> Self {
        let outputs = claim.outputs.iter().map(|(name, blob)| {
            let path = kept.outputs.get(name).map(ToString::to_string);
            (name, Output { blob: *blob, path })
        });
        Self {
            job: claim.job,
            claim: claim.id(),
            rules: claim.rules,
            outcome: &claim.outcome,
            message: outcome(&claim.outcome, limits, &claim.cost),
            cost: &claim.cost,
            outputs: outputs.collect(),
            observed,
            receipt: kept.receipt.as_ref().map(ToString::to_string),
            unread,
            bill: None,
            queued: None,
            races: None,
            profile: None,
        }
    }

    /// Adds the races that were found, if they were looked for.
    pub fn with_races(self, races: Option<Races<'a>>) -> Self {
        Self { races, ..self }
    }

    /// Adds what its time went into, if it was profiled.
    pub fn with_profile(self, profile: Option<Profiled>) -> Self {
        Self { profile, ..self }
    }

    /// Adds what the job costs, if the provider charges.
    pub fn with_bill(self, bill: Option<&'a Bill>) -> Self {
        Self { bill, ..self }
    }

    /// Adds that the job had to wait.
    pub fn with_queued(self, queued: Option<Queued>) -> Self {
        Self { queued, ..self }
    }

    /// Prints the answer, on stderr if an output goes to stdout. Warns of parameters and inputs that were not used.
    pub fn show(&self, printer: &Printer, stdout_is_taken: bool) -> anyhow::Result<Status> {
        self.warn_of_unread(printer);
        if stdout_is_taken {
            printer.note(self.to_string().trim_end());
        } else {
            printer.answer(self, self)?;
        }
        Ok(self.status())
    }

    /// Warns of parameters and inputs that the workload never read: most likely a name is spelled wrong. Does not warn about a
    /// job that was cut short, which may not have come to them.
    fn warn_of_unread(&self, printer: &Printer) {
        if !matches!(self.outcome, Outcome::Completed | Outcome::Trapped(Trap::GuestError { .. })) {
            return;
        }
        for (what, names) in [("parameter", &self.unread.params), ("input", &self.unread.inputs)] {
            for name in names {
                printer.warn(format_args!(
                    "the workload never looked at the {what} `{name}`: is the name right? `isobit inspect` may show those it takes"
                ));
            }
        }
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
        writeln!(f, "outcome  {}", self.message)?;
        writeln!(f, "job      {}", self.job)?;
        writeln!(f, "claim    {}", self.claim)?;
        writeln!(f, "rules    {}", self.rules)?;
        writeln!(f, "fuel     {} guest, {} kernel", self.cost.guest_fuel, self.cost.kernel_fuel)?;
        if let Some(bill) = self.bill {
            writeln!(f, "bill     {bill} (stated, and moved by nobody)")?;
        }
        let device = escape::line(&self.observed.device);
        writeln!(f, "device   {device}, {} after {}", self.observed.run_ms, self.observed.prepare_ms)?;
        if let Some(instead) = &self.observed.instead_of {
            writeln!(f, "         instead of {}: {}", escape::line(&instead.device), escape::line(&instead.reason))?;
        }
        for (name, output) in &self.outputs {
            let place = output.path.as_deref().unwrap_or("not kept");
            writeln!(f, "output   {name}  {}  {}  {place}", output.blob.hash, output.blob.size)?;
        }
        if let Some(receipt) = &self.receipt {
            writeln!(f, "receipt  {receipt}")?;
        }
        self.races.as_ref().map_or(Ok(()), |races| races.fmt(f))?;
        self.profile.as_ref().map_or(Ok(()), |profile| profile.fmt(f))
    }
}

/// An outcome in words, with what to do about it. Where a limit was reached, with its name, what was used or asked for, and the most.
pub fn outcome(outcome: &Outcome, limits: &Limits, cost: &Cost) -> String {
    let Outcome::Trapped(trap) = outcome else { return "completed".to_owned() };
    let spent = |used: Fuel, most: Fuel| format!("{used} of {most} used");
    match trap {
        Trap::GuestError { message } => format!("trapped: the workload says: {}", quoted(message)),
        Trap::GuestTrap { code } => format!("trapped: the guest crashed ({code})"),
        Trap::Fuel => {
            let spent = spent(cost.guest_fuel, limits.fuel);
            format!("trapped: the guest's fuel ran out; raise it with --fuel (limit fuel: {spent})")
        }
        Trap::KernelFuel => {
            let spent = spent(cost.kernel_fuel, limits.kernel_fuel);
            format!(
                "trapped: the fuel for dispatches ran out; raise it with --kernel-fuel (limit kernel-fuel: {spent})"
            )
        }
        Trap::Limit { limit } => format!("trapped: the limit {limit} was reached{}", reached(*limit, limits)),
    }
}

/// What is said of a limit that was reached.
fn reached(limit: LimitName, limits: &Limits) -> String {
    use isobit_sandbox::limits as fixed;
    let count = |most: usize| Fuel::saturating_from(most as u64);
    match limit {
        LimitName::GuestMemory => {
            format!("; raise it with --guest-memory (more than {} asked for)", limits.guest_memory)
        }
        // These are the same for every job.
        LimitName::CallDepth => format!(
            " (calls deeper than {}, counted by the size of their functions); no flag raises it",
            Fuel::from(fixed::MAX_CALL_DEPTH)
        ),
        LimitName::Handles => format!(" (more than {} held at once); no flag raises it", count(fixed::MAX_HANDLES)),
        LimitName::HostCallBytes => format!(
            " (more than {} handed over in one call); no flag raises it",
            Bytes::saturating_from(fixed::HOSTCALL_BYTES as u64)
        ),
    }
}

/// A guest's message. Further lines, such as WGSL with a caret below it, are indented, so that none looks like isobit's
/// own.
fn quoted(message: &str) -> String {
    let message = message.trim_end();
    if !message.contains('\n') {
        return escape::line(message).into_owned();
    }
    message.lines().map(|line| format!("\n  {}", escape::line(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_ends_a_job_is_said_with_its_name_what_was_used_and_the_most() {
        let limits = Limits { guest_memory: Bytes::mib(16), fuel: Fuel::from(1_000_000), ..Limits::default() };
        let cost = Cost { guest_fuel: Fuel::from(1_000_000), kernel_fuel: Fuel::from(7), ..Cost::default() };
        let words = |trap| outcome(&Outcome::Trapped(trap), &limits, &cost);
        assert_eq!(
            words(Trap::Fuel),
            "trapped: the guest's fuel ran out; raise it with --fuel (limit fuel: 1_000_000 of 1_000_000 used)"
        );
        assert!(words(Trap::KernelFuel).ends_with("(limit kernel-fuel: 7 of 1_000_000_000_000_000 used)"));
        for limit in LimitName::ALL {
            let said = words(Trap::Limit { limit: *limit });
            let figure = match limit {
                LimitName::GuestMemory => "; raise it with --guest-memory (more than 16 MiB asked for)",
                LimitName::CallDepth => " (calls deeper than 16_777_216, ",
                LimitName::Handles => " (more than 65_536 held at once); no flag",
                LimitName::HostCallBytes => " (more than 257 MiB handed over in one call); no flag",
            };
            assert!(said.starts_with(&format!("trapped: the limit {limit} was reached{figure}")), "{said}");
        }
    }
}
