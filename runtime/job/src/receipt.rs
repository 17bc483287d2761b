//! The receipt: a claim with the observations of one provider. Signed, it is an [`Envelope`].

use crate::{
    Amount, Bill, Blob, Claim, ClaimError, Envelope, JobId, JobSpec, KeyError, Millis, NodeKey, Outcome, Profile,
    Rules, SecretKey, envelope,
};

/// The predicate type of receipts in their in-toto statement.
pub const PREDICATE_TYPE: &str = "https://isobit.dev/receipt/v2";
/// The most bytes in each text of [`Observed`].
pub const MAX_OBSERVED: usize = 256;

/// A claim, the job it is about, and what the provider observed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The job that was run.
    pub spec: JobSpec,
    /// What its run asserts.
    pub claim: Claim,
    /// What the provider observed. Differs from run to run; nothing can be proved from it.
    pub observed: Observed,
    /// Who ran it.
    pub provider: NodeKey,
    /// What it costs; none if the provider has no prices, and then it costs nothing. That the renter has agreed to it is not stated here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<Bill>,
}

/// What a provider observed during a run. Texts have at most [`MAX_OBSERVED`] bytes each.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Observed {
    /// The device's name.
    pub device: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// The graphics API it was driven through, for example `vulkan`.
    pub backend: String,
    /// The software that ran the job, for example `isobit 0.1.0`.
    pub software: String,
    /// When the run started: milliseconds since the start of 1970, UTC, by the provider's clock.
    pub started_unix_ms: Millis,
    /// How long the job waited for its turn.
    pub queue_ms: Millis,
    /// How long it then took until the run started.
    pub prepare_ms: Millis,
    /// How long the run took.
    pub run_ms: Millis,
    /// The device that the job ran on first, if it could not finish there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Instead>,
}

/// A device that could not run a job to its end, and why. The provider ran the job again on the device that
/// [`Observed`] names. Texts have at most [`MAX_OBSERVED`] bytes each.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instead {
    /// The device's name.
    pub device: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// What it could not do.
    pub reason: String,
}

impl Observed {
    /// Cuts each text to [`MAX_OBSERVED`] bytes: drivers may report longer ones.
    #[must_use]
    pub fn bounded(mut self) -> Observed {
        let own = [&mut self.device, &mut self.driver, &mut self.backend, &mut self.software];
        let instead = self.instead_of.iter_mut().flat_map(|it| [&mut it.device, &mut it.driver, &mut it.reason]);
        for text in own.into_iter().chain(instead) {
            text.truncate(text.floor_char_boundary(MAX_OBSERVED));
        }
        self
    }

    fn check(&self) -> Result<(), ReceiptError> {
        let texts = [
            ("device", &self.device),
            ("driver", &self.driver),
            ("backend", &self.backend),
            ("software", &self.software),
        ];
        let instead = self.instead_of.iter().flat_map(|it| {
            [("instead-of.device", &it.device), ("instead-of.driver", &it.driver), ("instead-of.reason", &it.reason)]
        });
        match texts.into_iter().chain(instead).find(|(_, text)| text.len() > MAX_OBSERVED) {
            Some((field, text)) => Err(ReceiptError::ObservedTooLong { field, found: text.len() }),
            None => Ok(()),
        }
    }
}

/// Why a receipt is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum ReceiptError {
    #[error("the receipt has {found} bytes; the most is {maximum}", maximum = envelope::MAX_ENVELOPE_JSON)]
    TooLarge { found: usize },
    #[error("not a receipt: it cannot be read as a DSSE envelope: {message}")]
    Envelope { message: String },
    #[error("not a receipt: `{field}` of the envelope is not base64")]
    Base64 { field: &'static str },
    #[error("not a receipt: the payload type is {found:?}, not {expected:?}", expected = envelope::PAYLOAD_TYPE)]
    PayloadType { found: String },
    #[error("the receipt has {found} signatures; it has to have one, its provider's")]
    SignatureCount { found: usize },
    #[error("the receipt's key id is wrong: {0}")]
    KeyId(#[source] KeyError),
    #[error("the receipt's signature has {found} bytes; an Ed25519 signature has 64")]
    SignatureLength { found: usize },
    #[error("the receipt's signature does not hold: key {signer} did not sign this content")]
    BadSignature { signer: NodeKey },
    #[error("the receipt is signed, but its statement cannot be read: {message}")]
    Statement { message: String },
    /// The statement is about something other than a receipt of this version.
    #[error("the statement is of type {found:?}, not {expected:?}")]
    StatementType { found: String, expected: &'static str },
    #[error("the receipt is signed by {signer}, but names {provider} as the provider")]
    WrongSigner { signer: NodeKey, provider: NodeKey },
    #[error("the receipt claims about job {claim}, but its job spec is {spec}")]
    OtherJob { claim: JobId, spec: JobId },
    #[error("the receipt claims a run under {claim}, but its job spec asks for profile {spec}")]
    OtherProfile { claim: Rules, spec: Profile },
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("the receipt claims {found} for limit `{limit}`, which its job spec sets to {maximum}")]
    BeyondLimits { limit: &'static str, found: u64, maximum: u64 },
    #[error("the receipt claims {found} for `cost.{field}`, which is {expected}")]
    WrongBytes { field: &'static str, found: u64, expected: u64 },
    #[error("`{field}` of the receipt has {found} bytes; the most is {MAX_OBSERVED}")]
    ObservedTooLong { field: &'static str, found: usize },
    #[error("the receipt's bill is {found}, but its prices and costs come to {expected}")]
    WrongBill { found: Amount, expected: Amount },
    #[error("the statement's subjects are not the claim and its outputs")]
    Subjects,
    #[error("the receipt's statement is not in canonical form (RFC 8785)")]
    NotCanonical,
}

impl Receipt {
    /// Signs the receipt. `key` has to be that of [`Receipt::provider`], or [`Envelope::verify`] fails.
    pub fn sign(&self, key: &SecretKey) -> Envelope {
        Envelope::seal(self, key)
    }

    /// Checks that the parts fit each other: the claim is about the spec's job, under its profile and within its limits, and
    /// the bill is what prices and cost come to.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ReceiptError> {
        let Receipt { spec, claim, observed, provider: _, bill } = self;
        let job = spec.id();
        if claim.job != job {
            return Err(ReceiptError::OtherJob { claim: claim.job, spec: job });
        }
        if claim.rules.profile() != spec.profile {
            return Err(ReceiptError::OtherProfile { claim: claim.rules, spec: spec.profile });
        }
        claim.check()?;
        self.check_bytes()?;
        self.check_limits()?;
        let wrong = bill
            .as_ref()
            .map(|bill| (bill.total, bill.prices.total(&claim.cost)))
            .filter(|(found, expected)| found != expected);
        if let Some((found, expected)) = wrong {
            return Err(ReceiptError::WrongBill { found, expected });
        }
        observed.check()
    }

    /// Checks that the claim bills exactly the bytes of the spec's inputs and of the outputs.
    fn check_bytes(&self) -> Result<(), ReceiptError> {
        let Receipt { spec, claim, .. } = self;
        let sum = |blobs: &mut dyn Iterator<Item = &Blob>| {
            blobs.fold(0, |sum: u64, blob| sum.saturating_add(blob.size.get()))
        };
        let inputs = ("input-bytes", claim.cost.input_bytes.get(), sum(&mut spec.inputs.values()));
        let outputs = ("output-bytes", claim.cost.output_bytes.get(), sum(&mut claim.outputs.values()));
        // A run that trapped claims no outputs, so the bytes that it appended to them cannot be checked.
        let outputs = Some(outputs).filter(|_| claim.outcome == Outcome::Completed);
        match [Some(inputs), outputs].into_iter().flatten().find(|(_, found, expected)| found != expected) {
            Some((field, found, expected)) => Err(ReceiptError::WrongBytes { field, found, expected }),
            None => Ok(()),
        }
    }

    /// Checks that the run stayed within its limits. A run that reached one ended there, so what it cost is never more.
    fn check_limits(&self) -> Result<(), ReceiptError> {
        let Receipt { spec: JobSpec { limits, .. }, claim, .. } = self;
        let used = [
            ("outputs", u64::try_from(claim.outputs.len()).unwrap_or(u64::MAX), u64::from(limits.outputs)),
            ("output-bytes", claim.cost.output_bytes.get(), limits.output_bytes.get()),
            ("fuel", claim.cost.guest_fuel.get(), limits.fuel.get()),
            ("kernel-fuel", claim.cost.kernel_fuel.get(), limits.kernel_fuel.get()),
        ];
        match used.into_iter().find(|(_, found, maximum)| found > maximum) {
            Some((limit, found, maximum)) => Err(ReceiptError::BeyondLimits { limit, found, maximum }),
            None => Ok(()),
        }
    }
}
