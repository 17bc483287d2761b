//! What can go wrong between submitting a job and having its outputs, each with what to do about it.

use isobit_job::{Fault, Hash, JobId, Name, NodeKey, ReceiptError};
use isobit_store::SourceError;
use isobit_transport::ConnectError;
use isobit_wire::{ProtocolError, Rejection};

/// Why [`submit`](crate::submit) brought nothing home.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The provider could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error("the connection to the provider broke: {0}")]
    Connection(String),
    /// The provider broke the protocol.
    #[error("the provider broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The provider does not take the job.
    #[error("the provider rejected the job: {0}")]
    Rejected(Rejection),
    /// The provider's own trouble. Nothing is claimed.
    #[error("the provider faulted: {0}")]
    Faulted(Fault),
    /// An input changed or went away while it was being sent.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The receipt is no good.
    #[error("the provider's receipt is no good: {0}")]
    Receipt(#[from] ReceiptError),
    /// The receipt is somebody else's, or about another job.
    #[error(transparent)]
    WrongReceipt(Box<WrongReceipt>),
    /// The bytes that arrived are not those that the receipt names.
    #[error("output `{name}` arrived with hash {found}, but the receipt says {claimed}")]
    OutputMismatch {
        /// The output.
        name: Name,
        /// Hash of what arrived.
        found: Hash,
        /// Hash in the receipt, or that there is none.
        claimed: String,
    },
    /// An output cannot be written here.
    #[error("cannot write output {name}: {source}")]
    Write {
        /// The output.
        name: Name,
        /// What the system says.
        source: std::io::Error,
    },
    /// The caller's wish.
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
    /// The connection broke. What is worth reading is often in an error's causes: who closed it, and why.
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
            Self::Faulted(fault) => fault.kind.hint().to_owned(),
            Self::Connection(_) => "submit the job again, here or to another provider".into(),
            Self::OutputMismatch { .. } | Self::Receipt(_) | Self::WrongReceipt(_) => {
                "do not trust this provider with the job; submit it to another".into()
            }
            Self::Write { .. } => {
                "make room, or choose another place with -o; the job was given up at the provider".into()
            }
            Self::Protocol(_) => "the two sides may run different versions of isobit".into(),
            Self::Source(_) | Self::Cancelled => String::new(),
        }
    }
}
