//! Why a provider does not run a job, and why it could not finish one. Each reason comes with a hint.

use isobit_job::{Bytes, Hash};
use serde::{Deserialize, Serialize};

/// Why a provider does not run a job. Nothing was run. Texts have at most
/// [`MAX_TEXT`](crate::MAX_TEXT) bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The renter speaks another version of the protocol. First in the list: it keeps its bytes in all versions.
    #[error("the provider speaks protocol version {supported}, not {offered}")]
    UnsupportedProtocol {
        /// The renter's version.
        offered: u16,
        /// The provider's version.
        supported: u16,
    },
    /// The renter's key is not on the provider's list.
    #[error("the provider does not take jobs from this key")]
    NotAllowed,
    /// The provider has as many jobs as it takes.
    #[error("the provider is full: {running} jobs are running and {queued} are waiting")]
    Full {
        /// Jobs running.
        running: u32,
        /// Jobs waiting.
        queued: u32,
    },
    /// The renter has as many jobs at this provider as one renter may have.
    #[error("this key has {jobs} jobs at the provider; the most is {maximum}")]
    TooManyJobs {
        /// The renter's jobs, running and waiting.
        jobs: u32,
        /// The most the provider takes from one renter.
        maximum: u32,
    },
    /// The job asks for more than the provider grants.
    #[error("the job asks for {requested} of `{limit}`; the provider grants {maximum}")]
    LimitTooHigh {
        /// The limit's name as in the job spec, or `deadline-ms`.
        limit: String,
        /// The most the provider grants.
        maximum: u64,
        /// What the job asks for.
        requested: u64,
    },
    /// The job spec cannot be read, or breaks a rule.
    #[error("the provider refuses the job spec: {0}")]
    InvalidSpec(String),
    /// The provider's version does not know the profile.
    #[error("the provider does not know profile {profile:?}")]
    UnknownProfile {
        /// The profile that the spec names.
        profile: String,
    },
    /// A blob that the renter sent is not what its hash says, or did not arrive whole.
    #[error("blob {hash} did not arrive as it should: {reason}")]
    BadBlob {
        /// The blob's hash.
        hash: Hash,
        /// What is wrong.
        reason: String,
    },
    /// The job's blobs do not fit the provider's store.
    #[error("the job's blobs need {needed}; the provider has room for {available}")]
    NoRoom {
        /// The bytes of all blobs.
        needed: Bytes,
        /// What the provider can give them.
        available: Bytes,
    },
    /// The workload is not a component that exports the world `isobit:compute/workload`.
    #[error("not a workload: {0}")]
    NotAWorkload(String),
    /// The workload needs an interface, or a version of one, that the provider does not offer.
    #[error("the workload needs {wanted}, which the provider does not offer; it offers {offered}")]
    Incompatible {
        /// What the workload imports.
        wanted: String,
        /// What the provider has in its place.
        offered: String,
    },
    /// The provider has no device that can run the job.
    #[error("the provider has no device for the job: {0}")]
    NoDevice(String),
    /// The provider is about to stop.
    #[error("the provider is shutting down")]
    ShuttingDown,
}

impl Rejection {
    /// What the renter can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Rejection::UnsupportedProtocol { .. } => "use the same version of isobit on both sides",
            Rejection::NotAllowed => "ask the provider's owner to add your key: `isobit serve --allow KEY`",
            Rejection::Full { .. } => "try again later, or at another provider",
            Rejection::TooManyJobs { .. } => "wait for one of your jobs to end, or cancel one",
            Rejection::LimitTooHigh { .. } => "lower the limit, or ask another provider",
            Rejection::InvalidSpec(_) => "correct the job spec",
            Rejection::UnknownProfile { .. } => "choose another profile, or a provider with a newer version",
            Rejection::BadBlob { .. } => "check that the file did not change while it was sent, and submit again",
            Rejection::NoRoom { .. } => "use smaller inputs, or a provider with a larger store",
            Rejection::NotAWorkload(_) => "build it with `isobit build`, and look at it with `isobit inspect`",
            Rejection::Incompatible { .. } => "build it against the provider's version, or ask another provider",
            Rejection::NoDevice(_) | Rejection::ShuttingDown => "ask another provider",
        }
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        match self {
            Rejection::LimitTooHigh { limit: text, .. }
            | Rejection::InvalidSpec(text)
            | Rejection::UnknownProfile { profile: text }
            | Rejection::BadBlob { reason: text, .. }
            | Rejection::NotAWorkload(text)
            | Rejection::NoDevice(text) => vec![text],
            Rejection::Incompatible { wanted, offered } => vec![wanted, offered],
            Rejection::UnsupportedProtocol { .. }
            | Rejection::NotAllowed
            | Rejection::Full { .. }
            | Rejection::TooManyJobs { .. }
            | Rejection::NoRoom { .. }
            | Rejection::ShuttingDown => vec![],
        }
    }
}

/// Why a provider could not run a job to its end: its own trouble, never the job's. Nothing is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum FaultReason {
    /// The renter cancelled the job.
    #[error("the job was cancelled")]
    Cancelled,
    /// The job ran longer than the deadline it was submitted with.
    #[error("the job did not end before its deadline")]
    Deadline,
    /// The device stopped working.
    #[error("the provider's device was lost")]
    DeviceLost,
    /// The provider's machine ran out of memory.
    #[error("the provider ran out of memory")]
    OutOfMemory,
    /// The process that ran the job died.
    #[error("the provider's worker died")]
    WorkerDied,
    /// The provider could not store or read back a blob.
    #[error("the provider's store failed")]
    Store,
    /// The renter stopped taking an output.
    #[error("an output could not be delivered")]
    Delivery,
    /// The provider was stopped.
    #[error("the provider was shut down")]
    ShutDown,
    /// Something else broke at the provider.
    #[error("the provider failed")]
    Internal,
    /// The job ran longer than the provider lets any job run, which is less than the deadline it was submitted with.
    #[error("the job did not end in the time that the provider gives to any job")]
    ProviderDeadline,
}

impl FaultReason {
    /// What the renter can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            FaultReason::Cancelled => "submit it again if it is wanted after all",
            FaultReason::Deadline => "give it more time with --deadline, or submit it to a faster provider",
            FaultReason::ProviderDeadline => {
                "--deadline cannot raise it: ask the provider's owner (`isobit serve --max-deadline`), or submit it to another"
            }
            FaultReason::Delivery => "check the connection and the room for the outputs, and submit it again",
            FaultReason::DeviceLost
            | FaultReason::OutOfMemory
            | FaultReason::WorkerDied
            | FaultReason::Store
            | FaultReason::ShutDown
            | FaultReason::Internal => "submit it again, here or at another provider: the job is not to blame",
        }
    }
}
