//! Errors of submitting a job and receiving its outputs, each with a hint.

use isobit_job::{Fault, Hash, JobId, Name, NodeKey, ReceiptError, TooExpensive};
use isobit_store::SourceError;
use isobit_transport::ConnectError;
use isobit_wire::{ProtocolError, Rejection};

/// Why [`submit`](crate::submit) delivered nothing.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum SubmitError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the connection to the provider broke: {0}")]
    Connection(String),
    #[error("the provider broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    #[error("the provider rejected the job: {0}")]
    Rejected(Rejection),
    /// The provider could not run the job to its end. There is no claim.
    #[error("the provider faulted: {0}")]
    Faulted(Fault),
    /// An input changed or went away while it was being sent.
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the provider's receipt is no good: {0}")]
    Receipt(#[from] ReceiptError),
    /// The receipt is somebody else's, or about another job.
    #[error(transparent)]
    WrongReceipt(Box<WrongReceipt>),
    #[error("output `{name}` arrived with hash {found}, but the receipt says {claimed}")]
    OutputMismatch {
        name: Name,
        found: Hash,
        /// The hash in the receipt, or text that says that the receipt has no such output.
        claimed: String,
    },
    #[error("cannot write output {name}: {source}")]
    Write { name: Name, source: std::io::Error },
    /// The provider is connected and does not do what is its turn to do.
    #[error("the provider does not go on: waited in vain for {waits_for}")]
    Silent { waits_for: &'static str },
    #[error("the provider sends more than the job may make: limit {limit}, {maximum}")]
    TooMuch { limit: &'static str, maximum: u64 },
    #[error("the receipt claims {claimed} outputs, and {arrived} arrived")]
    MissingOutputs { claimed: usize, arrived: usize },
    /// The provider names prices beyond the renter's terms, although it was told them.
    #[error(transparent)]
    TooExpensive(TooExpensive),
    #[error("the receipt bills the job by other prices than the provider named before it ran")]
    OtherPrices,
    /// The caller cancelled the job.
    #[error("cancelled")]
    Cancelled,
}

/// A receipt that is good in itself, but not for what was submitted.
#[derive(Debug, thiserror::Error)]
#[error(
    "the receipt is about job {job} and signed by {signer}; expected job {expected_job} and provider {expected_signer}"
)]
pub struct WrongReceipt {
    /// The job it names.
    pub job: JobId,
    /// Who signed it.
    pub signer: NodeKey,
    /// The job that was submitted.
    pub expected_job: JobId,
    /// The provider it was submitted to.
    pub expected_signer: NodeKey,
}

impl SubmitError {
    /// The connection broke. The text includes the error's causes, which often say who closed it and why.
    pub(crate) fn broken(error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self::Connection(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }

    /// What to do about it; empty when there is nothing to say.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Connect(error) => error.hint().to_owned(),
            Self::Rejected(rejection) => rejection.hint().to_owned(),
            Self::TooExpensive(reason) => reason.hint().to_owned(),
            Self::Faulted(fault) => fault.kind.hint().to_owned(),
            Self::Connection(_) | Self::Silent { .. } => "submit the job again, here or to another provider".into(),
            Self::OutputMismatch { .. }
            | Self::MissingOutputs { .. }
            | Self::TooMuch { .. }
            | Self::Receipt(_)
            | Self::OtherPrices
            | Self::WrongReceipt(_) => "do not trust this provider with the job; submit it to another".into(),
            Self::Write { .. } => {
                "make room, or choose another place with -o; the job was given up at the provider".into()
            }
            Self::Protocol(_) => "the two sides may run different versions of isobit".into(),
            Self::Source(_) | Self::Cancelled => String::new(),
        }
    }
}
