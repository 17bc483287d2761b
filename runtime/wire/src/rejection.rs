//! Why a provider does not run a job. Each reason comes with a hint.

use isobit_job::{Bytes, DeviceClass, Hash, Profile, TooExpensive};
use serde::{Deserialize, Serialize};

use crate::{MAX_TEXT, cut};

/// Why a provider does not run a job. Nothing was run. Texts have at most
/// [`MAX_TEXT`](crate::MAX_TEXT) bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum Rejection {
    /// The renter speaks another version of the protocol. Must stay the first variant: it has the same encoding in all versions.
    #[error("the provider speaks protocol version {supported}, not {offered}")]
    UnsupportedProtocol { offered: u16, supported: u16 },
    /// The renter's key is not on the provider's list.
    #[error("the provider does not take jobs from this key")]
    NotAllowed,
    #[error("the provider is full: {running} jobs are running and {queued} are waiting")]
    Full { running: u32, queued: u32 },
    #[error("the job asks for {requested} of `{limit}`; the provider grants {maximum}")]
    LimitTooHigh {
        /// The limit's name as in the job spec, or `deadline-ms`.
        limit: String,
        maximum: u64,
        requested: u64,
    },
    /// The job spec cannot be read, or breaks a rule.
    #[error("the provider refuses the job spec: {0}")]
    InvalidSpec(String),
    /// A blob that the renter sent is not what its hash says, or did not arrive whole.
    #[error("blob {hash} did not arrive as it should: {reason}")]
    BadBlob { hash: Hash, reason: String },
    #[error("the job's blobs need {needed}; the provider has room for {available}")]
    NoRoom { needed: Bytes, available: Bytes },
    /// The workload is not a component that exports the world `isobit:compute/workload`.
    #[error("not a workload: {0}")]
    NotAWorkload(String),
    /// The provider drains. Also what a job is told that waited.
    #[error(
        "the provider is shutting down: it finishes the jobs that run and takes no others; this one was not started"
    )]
    ShuttingDown,
    #[error("the provider runs no jobs of profile {0}")]
    ProfileNotOffered(Profile),
    #[error(
        "the job's blobs need {needed} more of the provider's store, where the jobs of one renter, or of one address, hold {maximum} at most; \
         they hold {in_use}"
    )]
    StoreShare { needed: Bytes, in_use: Bytes, maximum: Bytes },
    /// A share or a limit of the provider is used up, by this renter or by all. `isobit limits` lists them.
    #[error("limit `{limit}` of the provider is reached: {used} of {maximum} in use")]
    LimitReached { limit: String, maximum: u64, used: u64 },
    /// The prices are beyond the renter's terms.
    #[error(transparent)]
    TooExpensive(TooExpensive),
    #[error("the job needs device class {0}, which no device of the provider has")]
    ClassNotOffered(DeviceClass),
}

impl Rejection {
    /// What the renter can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Rejection::UnsupportedProtocol { .. } => "use the same version of isobit on both sides",
            Rejection::NotAllowed => "ask the provider's owner to add your key: `isobit serve --allow KEY`",
            Rejection::Full { .. } => "try again later, or at another provider",
            Rejection::LimitTooHigh { .. } => "lower the limit, or ask another provider",
            Rejection::InvalidSpec(_) => "correct the job spec",
            Rejection::BadBlob { .. } => "check that the file did not change while it was sent, and submit again",
            Rejection::NoRoom { .. } => "use smaller inputs, or a provider with a larger store",
            Rejection::StoreShare { .. } => {
                "use smaller inputs, wait for your other jobs, or ask a provider with a larger store"
            }
            Rejection::NotAWorkload(_) => "build it with `isobit build`, and look at it with `isobit inspect`",
            Rejection::ShuttingDown => "submit it to another provider, or to this one when it is back",
            Rejection::LimitReached { .. } => {
                "wait until jobs submitted before have come further, or ask another provider"
            }
            Rejection::TooExpensive(reason) => reason.hint(),
            Rejection::ClassNotOffered(_) => {
                "ask another provider (`isobit quote --class` says who has it), or use smaller buffers and leave out --class"
            }
            Rejection::ProfileNotOffered(_) => {
                "use profile dp32, or ask the provider's owner for `isobit serve --allow-native`"
            }
        }
    }

    /// With texts of at most [`MAX_TEXT`](crate::MAX_TEXT) bytes, as it may be sent.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        match &mut self {
            Rejection::LimitTooHigh { limit: text, .. }
            | Rejection::LimitReached { limit: text, .. }
            | Rejection::InvalidSpec(text)
            | Rejection::BadBlob { reason: text, .. }
            | Rejection::NotAWorkload(text) => text.truncate(cut(text, MAX_TEXT).len()),
            Rejection::UnsupportedProtocol { .. }
            | Rejection::NotAllowed
            | Rejection::Full { .. }
            | Rejection::NoRoom { .. }
            | Rejection::StoreShare { .. }
            | Rejection::ShuttingDown
            | Rejection::ProfileNotOffered(_)
            | Rejection::ClassNotOffered(_)
            | Rejection::TooExpensive(_) => {}
        }
        self
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        match self {
            Rejection::LimitTooHigh { limit: text, .. }
            | Rejection::LimitReached { limit: text, .. }
            | Rejection::InvalidSpec(text)
            | Rejection::BadBlob { reason: text, .. }
            | Rejection::NotAWorkload(text) => vec![text],
            Rejection::UnsupportedProtocol { .. }
            | Rejection::NotAllowed
            | Rejection::Full { .. }
            | Rejection::NoRoom { .. }
            | Rejection::StoreShare { .. }
            | Rejection::ShuttingDown
            | Rejection::ProfileNotOffered(_)
            | Rejection::ClassNotOffered(_)
            | Rejection::TooExpensive(_) => vec![],
        }
    }
}
