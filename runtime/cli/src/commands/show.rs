//! `isobit show`: a receipt, for people.

use std::fmt;
use std::path::PathBuf;

use isobit_job::{Bill, Blob, ClaimId, Item, Millis, Receipt};
use serde::Serialize;

use crate::escape;
use crate::failure::{Failure, Status};
use crate::finished;
use crate::printer::Printer;

/// Show what a receipt says
///
/// Its signature is checked first: of a receipt that nobody signed nothing is shown, and the exit status is 1. Whether what it
/// says is true, `isobit verify` tells.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit show r.json\n  isobit show r.json --json")]
pub struct Show {
    /// The receipt
    receipt: PathBuf,
}

/// All that a receipt holds, with the claim's name.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    receipt: Receipt,
    claim_id: ClaimId,
}

impl Show {
    /// Prints the receipt.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let receipt = super::read_receipt(&self.receipt)?.map_err(|error| {
            let failure = Failure::new(format!("{}: {error}", self.receipt.display()));
            match error {
                isobit_job::ReceiptError::BadSignature { .. } => failure
                    .hint("it was changed after it was signed, so nothing in it can be believed")
                    .status(Status::No),
                _ => failure,
            }
        })?;
        let answer = Answer { claim_id: receipt.claim.id(), receipt };
        printer.answer(&answer, &answer)?;
        Ok(Status::Ok)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { spec, claim, observed, provider, bill } = &self.receipt;
        let blob = |blob: &Blob| format!("{}  {}", blob.hash, blob.size);
        writeln!(f, "outcome   {}", finished::outcome(&claim.outcome, &spec.limits, &claim.cost))?;
        writeln!(f, "signed by {provider}")?;
        writeln!(f, "job       {}\nclaim     {}\nrules     {}", claim.job, self.claim_id, claim.rules)?;
        writeln!(f, "fuel      {} guest, {} kernel", claim.cost.guest_fuel, claim.cost.kernel_fuel)?;
        if let Some(bill @ Bill { prices, .. }) = bill {
            let items = Item::ALL.map(|item| format!("{} {}", item.name(), prices.item(item, &claim.cost)));
            writeln!(f, "bill      {bill}: {}", items.join(", "))?;
            writeln!(f, "prices    {prices}")?;
        }
        writeln!(f, "workload  {}", blob(&spec.workload))?;
        for (name, value) in &spec.params {
            writeln!(f, "param     {name}={}", escape::line(value))?;
        }
        for (name, input) in &spec.inputs {
            writeln!(f, "input     {name}  {}", blob(input))?;
        }
        for (name, output) in &claim.outputs {
            writeln!(f, "output    {name}  {}", blob(output))?;
        }
        writeln!(f, "class     {}", spec.class)?;
        let limits = &spec.limits;
        writeln!(
            f,
            "limits    guest-memory {}, device-memory {}, fuel {}, kernel-fuel {}, output-bytes {}, outputs {}",
            limits.guest_memory,
            limits.device_memory,
            limits.fuel,
            limits.kernel_fuel,
            limits.output_bytes,
            limits.outputs
        )?;
        writeln!(f, "observed by the provider, and proved by nothing:")?;
        let (device, driver) = (escape::line(&observed.device), escape::line(&observed.driver));
        writeln!(f, "  device  {device} ({driver}, {})", escape::line(&observed.backend))?;
        if let Some(instead) = &observed.instead_of {
            let (device, reason) = (escape::line(&instead.device), escape::line(&instead.reason));
            writeln!(f, "  instead of {device}: {reason}")?;
        }
        writeln!(f, "  with    {}", escape::line(&observed.software))?;
        writeln!(
            f,
            "  started {}; waited {}, prepared {}, ran {}",
            Utc(observed.started_unix_ms),
            observed.queue_ms,
            observed.prepare_ms,
            observed.run_ms
        )
    }
}

/// A time as people write it, in UTC.
struct Utc(Millis);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.get() / 1000;
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
    }
}

/// Year, month and day of a day since the start of 1970, by the Gregorian calendar. Years are counted from March, so that the
/// extra day of a leap year is its last one.
fn date(days: u64) -> (u64, u64, u64) {
    // Days since 1 March of the year 0; an era of 400 years has 146 097 of them.
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_by_the_calendar() {
        for (milliseconds, shown) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_767_225_600_000, "2026-01-01 00:00:00 UTC"),
            (4_107_542_399_999, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(Utc(Millis::saturating_from(milliseconds)).to_string(), shown);
        }
        // A provider may write any number there.
        assert!(!Utc(Millis::MAX).to_string().is_empty());
    }
}
