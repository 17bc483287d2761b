//! How a command ends: its exit status, and the one shape that all errors have at this edge.

use std::collections::BTreeMap;
use std::fmt;

use isobit_job::Name;

/// A command's exit status. `isobit --help` documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done; the answer is yes.
    Ok,
    /// The answer is no, or the job failed.
    No,
    /// It could not be done: bad usage, a missing file, an unreachable provider.
    CouldNot,
    /// The provider's own trouble: nothing is claimed, and the job can be run again elsewhere.
    Faulted,
    /// The user or the system asked the command to stop.
    Cancelled,
}

impl Status {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::No => 1,
            Self::CouldNot => 2,
            Self::Faulted => 3,
            // The status that shells report for a process that SIGINT has ended.
            Self::Cancelled => 130,
        }
    }
}

/// What went wrong, and what the user can do about it.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    status: Status,
    kept: Option<KeptFiles>,
}

/// Where a job's results are, although the command failed.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KeptFiles {
    /// The outputs.
    pub outputs: BTreeMap<Name, String>,
    /// The receipt.
    pub receipt: Option<String>,
}

impl Failure {
    /// Something that could not be done.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, status: Status::CouldNot, kept: None }
    }

    /// Adds what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds where the job's results are.
    pub fn kept(self, kept: KeptFiles) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// Ends the command with another status than [`Status::CouldNot`].
    pub fn status(self, status: Status) -> Self {
        Self { status, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error as it is shown: all causes in one line, none of them twice, with the hint and status of the [`Failure`] among
/// them, if there is one.
#[derive(Debug, serde::Serialize)]
pub struct Shown {
    /// What failed and what was found.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Where the job's results are, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptFiles>,
    /// How the command ends.
    #[serde(skip)]
    pub status: Status,
}

impl From<&anyhow::Error> for Shown {
    fn from(error: &anyhow::Error) -> Self {
        let failure = error.downcast_ref::<Failure>();
        let mut message = String::new();
        for cause in error.chain().map(ToString::to_string) {
            // Some errors include their cause's message in their own.
            if !message.ends_with(&cause) {
                let colon = if message.is_empty() { "" } else { ": " };
                message = format!("{message}{colon}{cause}");
            }
        }
        Self {
            message,
            hint: failure.and_then(|failure| failure.hint.clone()),
            kept: failure.and_then(|failure| failure.kept.clone()),
            status: failure.map_or(Status::CouldNot, |failure| failure.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn context_around_a_failure_keeps_its_hint_and_status() {
        let failure = Failure::new("no key").hint("run `isobit keygen`").status(Status::No);
        let error = Err::<(), _>(failure).context("while submitting").unwrap_err();
        let shown = Shown::from(&error);
        assert_eq!(shown.message, "while submitting: no key");
        assert_eq!(shown.hint.as_deref(), Some("run `isobit keygen`"));
        assert_eq!(shown.status, Status::No);
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let cause = || std::io::Error::other("disk full");
        let error = anyhow::Error::new(cause()).context(format!("cannot write a: {}", cause())).context("while saving");
        assert_eq!(Shown::from(&error).message, "while saving: cannot write a: disk full");
    }

    #[test]
    fn any_other_error_could_not_be_done() {
        let error = anyhow::anyhow!("disk full");
        assert_eq!(Shown::from(&error).status.code(), 2);
    }
}
