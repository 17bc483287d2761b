//! `isobit verify`: checks a receipt, and whether a run of the job here makes the same claim.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isobit_device::DeviceSelector;
use isobit_job::{
    Bill, Claim, ClaimId, Comparison, JobId, JobSpec, Name, NodeKey, Outcome, Profile, Receipt, ReceiptError, Rules,
};
use isobit_renter::{Places, Submission, check_outputs};
use serde::Serialize;

use crate::alone;
use crate::escape;
use crate::failure::{Failure, Shown, Status};
use crate::finished;
use crate::job_args::{Pair, Span, by_name, path_pair};
use crate::local::LocalJob;
use crate::printer::Printer;
use crate::watch::Watch;

/// Check a receipt: its signature and shape, its bill, its outputs, and the run itself
///
/// The answer begins with how the job ended, if it trapped. Exit status 0: it agrees. 1: it disagrees, and the answer says
/// in which field. 2: it could not be checked. That is so of --rerun too where the receipt's claim is under another version of profile dp32 than this isobit has: the two
/// runs are not comparable, which says nothing against either.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit verify r.json
  isobit verify --outputs out=out.png r.json
  isobit verify r.json --rerun photo.wasm -i photo=in.png --device llvmpipe")]
pub struct Verify {
    /// The receipt
    receipt: PathBuf,
    /// Compare this file with the output of this name; may be given again
    #[arg(short = 'o', long = "outputs", value_name = "NAME=PATH", value_parser = path_pair)]
    outputs: Vec<Pair<PathBuf>>,
    /// Run the job again here, with this workload, and compare the claims
    #[arg(long, value_name = "WORKLOAD")]
    rerun: Option<PathBuf>,
    /// An input for --rerun; may be given again
    #[arg(short, long, value_name = "NAME=PATH", value_parser = path_pair, requires = "rerun")]
    input: Vec<Pair<PathBuf>>,
    /// The device for --rerun
    #[arg(long, default_value = "best", requires = "rerun")]
    device: DeviceSelector,
    /// Give --rerun up after this time
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "rerun")]
    deadline: Span,
    /// Let --rerun run even where the system cannot close the jail that it runs in
    #[arg(long, requires = "rerun")]
    allow_weak_jail: bool,
    /// Expect the receipt to be signed by this key
    #[arg(long, value_name = "KEY")]
    provider: Option<NodeKey>,
}

/// What was found. No disagreement means that all that was checked agrees.
#[derive(Default, Serialize)]
struct Answer {
    /// None if the claims are not comparable and everything else agrees.
    agrees: Option<bool>,
    checked: Vec<&'static str>,
    disagreements: Vec<Disagreement>,
    not_comparable: Option<NotComparable>,
    /// How the job ended.
    outcome: Option<Outcome>,
    /// The same in words, if it trapped.
    message: Option<String>,
    signed_by: Option<NodeKey>,
    job: Option<JobId>,
    claim: Option<ClaimId>,
    rules: Option<Rules>,
    /// What the job costs; none if the provider charges nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<Bill>,
    note: Option<&'static str>,
}

/// Two sets of rules under which claims are not comparable.
#[derive(Clone, Copy, Serialize)]
struct NotComparable {
    receipt: Rules,
    here: Rules,
}

#[derive(Serialize)]
struct Disagreement {
    field: String,
    receipt: String,
    here: String,
}

impl Disagreement {
    fn new(field: impl Into<String>, receipt: impl fmt::Display, here: impl fmt::Display) -> Self {
        Self { field: field.into(), receipt: receipt.to_string(), here: here.to_string() }
    }
}

impl Verify {
    /// Checks all that was asked for.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let shown = self.receipt.display().to_string();
        let receipt = match super::read_receipt(&self.receipt)? {
            Ok(receipt) => receipt,
            Err(ReceiptError::BadSignature { signer }) => {
                let broken = Disagreement::new("signature", signer, "does not hold for this content");
                return Answer { checked: vec!["signature"], disagreements: vec![broken], ..Answer::default() }
                    .show(printer);
            }
            Err(ReceiptError::WrongBill { found, expected }) => {
                let broken = Disagreement::new("bill", found, format_args!("{expected} by its prices and costs"));
                let checked = vec!["signature", "shape", "bill"];
                return Answer { checked, disagreements: vec![broken], ..Answer::default() }.show(printer);
            }
            Err(error) if contradicts_itself(&error) => {
                let broken = Disagreement::new("shape", error, "a receipt whose parts agree");
                let checked = vec!["signature", "shape"];
                return Answer { checked, disagreements: vec![broken], ..Answer::default() }.show(printer);
            }
            Err(error) => return Err(Failure::new(format!("{shown}: {error}")).into()),
        };
        let mut answer = Answer::of(&receipt);
        if let Some(expected) = self.provider.filter(|key| *key != receipt.provider) {
            answer.disagreements.push(Disagreement::new("provider", receipt.provider, expected));
        }
        let outputs = by_name("output", self.outputs)?;
        if !outputs.is_empty() {
            answer.checked.push("outputs");
            answer.disagreements.extend(compare_outputs(&receipt.claim, &outputs)?);
        }
        if let Some(workload) = &self.rerun {
            let inputs = by_name("input", self.input)?;
            let (device, deadline, allow_weak_jail) = (&self.device, self.deadline, self.allow_weak_jail);
            let again = Again { spec: &receipt.spec, workload, inputs, device, deadline, allow_weak_jail };
            answer.compare(&receipt.claim, || again.run(printer))?;
        }
        answer.show(printer)
    }
}

/// Errors of a receipt that is signed well, but whose parts do not fit together.
fn contradicts_itself(error: &ReceiptError) -> bool {
    matches!(
        error,
        ReceiptError::WrongSigner { .. }
            | ReceiptError::OtherJob { .. }
            | ReceiptError::OtherProfile { .. }
            | ReceiptError::Claim(_)
            | ReceiptError::BeyondLimits { .. }
            | ReceiptError::WrongBytes { .. }
            | ReceiptError::Subjects
    )
}

fn compare_outputs(claim: &Claim, files: &BTreeMap<Name, PathBuf>) -> anyhow::Result<Vec<Disagreement>> {
    let mismatches = check_outputs(claim, files)?;
    let words = |hash: Option<isobit_job::Hash>| hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
    Ok(mismatches
        .into_iter()
        .map(|m| Disagreement::new(format!("outputs.{}.hash", m.name), words(m.claimed), m.found))
        .collect())
}

/// A receipt's job, to be run again.
struct Again<'a> {
    spec: &'a JobSpec,
    workload: &'a Path,
    inputs: BTreeMap<Name, PathBuf>,
    device: &'a DeviceSelector,
    deadline: Span,
    allow_weak_jail: bool,
}

impl Again<'_> {
    /// Runs the job again. The files given must be those that the job spec names.
    fn run(&self, printer: &Printer) -> anyhow::Result<Claim> {
        let Self { spec, workload, device, deadline, allow_weak_jail, .. } = *self;
        let mut inputs = self.inputs.clone();
        // A kernel alone is an input of isobit's own workload.
        let alone = alone::is_kernel(workload).then(|| alone::again(workload, &mut inputs)).transpose()?;
        let workload = alone.as_ref().map_or(workload, |(_, path)| path.as_path());
        let inputs = &inputs;
        if let Some(name) = spec.inputs.keys().find(|name| !inputs.contains_key(*name)) {
            return Err(Failure::new(format!("the job has an input {name}, which is not given"))
                .hint(format!("add -i {name}=PATH"))
                .into());
        }
        let program = super::read_program(workload)?;
        let submission = Submission::new(&program.path, inputs, spec.params.clone(), spec.limits, spec.profile)?;
        let submission = submission.of_class(spec.class);
        let given = submission.spec();
        if given.workload != spec.workload {
            let hash = spec.workload.hash;
            return Err(Failure::new(format!(
                "{} is not the receipt's workload, which has hash {hash}",
                workload.display()
            ))
            .into());
        }
        if let Some((name, _)) = given.inputs.iter().find(|(name, blob)| spec.inputs.get(*name) != Some(*blob)) {
            return Err(Failure::new(format!("the input {name} is not the one that the receipt names")).into());
        }
        let watch = Arc::new(Watch::new(printer));
        let places = Arc::new(Places::default());
        let job = LocalJob {
            submission: &submission,
            workload: &program.workload,
            inputs,
            device,
            detect_races: false,
            deadline: deadline.into(),
            places: &places,
            tell_unwanted: false,
            allow_weak_jail,
            reporter: Arc::clone(&watch) as _,
            printer,
        };
        let ran = job.run();
        watch.finish();
        ran.map(|ran| ran.claim).map_err(could_not_rerun)
    }
}

/// A failure to run the job here says nothing about the receipt: it could not be checked. Except for a cancellation, the exit
/// status is that, even where `isobit run` would end with another.
fn could_not_rerun(error: anyhow::Error) -> anyhow::Error {
    let shown = Shown::from(&error);
    if shown.status == Status::Cancelled {
        return error;
    }
    let failure = Failure::new(format!("the job could not be run again: {}", shown.message));
    match shown.hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

impl Answer {
    /// The answer for a receipt whose signature and shape are good.
    fn of(receipt: &Receipt) -> Self {
        Self {
            checked: ["signature", "shape"].into_iter().chain(receipt.bill.is_some().then_some("bill")).collect(),
            bill: receipt.bill.clone(),
            outcome: Some(receipt.claim.outcome.clone()),
            message: (receipt.claim.outcome != Outcome::Completed)
                .then(|| finished::outcome(&receipt.claim.outcome, &receipt.spec.limits, &receipt.claim.cost)),
            signed_by: Some(receipt.provider),
            job: Some(receipt.claim.job),
            claim: Some(receipt.claim.id()),
            rules: Some(receipt.claim.rules),
            ..Self::default()
        }
    }

    /// Compares the receipt's claim with that of another run. `again` is called only if the two are comparable.
    fn compare(&mut self, claim: &Claim, again: impl FnOnce() -> anyhow::Result<Claim>) -> anyhow::Result<()> {
        let (receipt, here) = (claim.rules, isobit_sandbox::rules(claim.rules.profile()));
        if receipt != here {
            self.not_comparable = Some(NotComparable { receipt, here });
            return Ok(());
        }
        let found = claim.compare(&again()?);
        self.checked.push("rerun");
        match found {
            Comparison::Same => {}
            Comparison::Different(differences) => {
                if receipt.profile() == Profile::Native {
                    let note =
                        "under profile native, floating point may differ between devices without anybody's fault";
                    self.note = Some(note);
                }
                self.disagreements.extend(differences.into_iter().map(|d| Disagreement::new(d.field, d.left, d.right)));
            }
            Comparison::NotComparable { left, right } => {
                self.not_comparable = Some(NotComparable { receipt: left, here: right });
            }
        }
        Ok(())
    }

    fn show(mut self, printer: &Printer) -> anyhow::Result<Status> {
        let (agrees, status) = match (self.disagreements.is_empty(), self.not_comparable) {
            (false, _) => (Some(false), Status::No),
            (true, Some(_)) => (None, Status::CouldNot),
            (true, None) => (Some(true), Status::Ok),
        };
        self.agrees = agrees;
        printer.answer(&self, &self)?;
        Ok(status)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked = self.checked.join(", ");
        // This comes first, because a receipt that agrees may sound as if the job had completed.
        if let Some(message) = &self.message {
            writeln!(f, "the job {message}")?;
        }
        match self.agrees {
            Some(true) => writeln!(f, "agrees ({checked})")?,
            Some(false) => writeln!(f, "disagrees ({checked})")?,
            None => writeln!(f, "not comparable (agrees: {checked})")?,
        }
        for d in &self.disagreements {
            writeln!(
                f,
                "  {}: the receipt has {}, found {}",
                d.field,
                escape::line(&d.receipt),
                escape::line(&d.here)
            )?;
        }
        if let Some(NotComparable { receipt, here }) = self.not_comparable {
            writeln!(
                f,
                "  rules: the receipt's claim is under {receipt}, this isobit has {here}. Another version may give other \
                 bits and another cost, so the job was not run again; use an isobit that has {receipt}"
            )?;
        }
        if let Some(note) = self.note {
            writeln!(f, "  note: {note}")?;
        }
        if let (Some(key), Some(job), Some(claim), Some(rules)) = (self.signed_by, self.job, self.claim, self.rules) {
            writeln!(f, "signed by {key}\njob       {job}\nclaim     {claim}\nrules     {rules}")?;
        }
        if let Some(bill) = &self.bill {
            writeln!(f, "bill      {bill}, as its prices and costs come to")?;
        }
        Ok(())
    }
}
