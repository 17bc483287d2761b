//! The order of messages on one control stream, as seen from either side.

use std::collections::BTreeSet;

use isobit_job::{MAX_OUTPUTS, Name};

use crate::{FrameError, PROTOCOL, ToProvider, ToRenter};

/// A peer, or this side, does not keep to the protocol. The stream is of no use after that.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Bytes that are not a message, or a message that is too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message that does not belong there.
    #[error("`{message}` does not belong {place}")]
    OutOfOrder {
        /// The message's name.
        message: &'static str,
        /// How far the conversation was.
        place: &'static str,
    },
    /// The peer speaks another version.
    #[error("the peer speaks protocol version {found}, not {PROTOCOL}; use the same version of isobit on both sides")]
    Version {
        /// The version found.
        found: u16,
    },
    /// A field is too long.
    #[error("`{field}` has length {found}; the most is {maximum}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The length found, in bytes or items.
        found: usize,
        /// The most there may be.
        maximum: usize,
    },
    /// A progress report is not a fraction.
    #[error("progress of {found}; it goes from 0 to 1")]
    Fraction {
        /// The number found.
        found: f32,
    },
    /// A list of missing blobs is empty or names one twice.
    #[error("a list of missing blobs that is empty or names one twice")]
    Missing,
    /// Outputs are not counted from 0, one by one, or there are too many.
    #[error("output {found} where {expected} comes next; the most is {MAX_OUTPUTS} outputs")]
    OutputIndex {
        /// The index or number found.
        found: u32,
        /// The one that would be right.
        expected: u32,
    },
    /// Two outputs have one name.
    #[error("output `{name}` comes twice")]
    OutputTwice {
        /// The name.
        name: Name,
    },
    /// The stream ended before the job did.
    #[error("the peer left {place}")]
    Left {
        /// How far the conversation was.
        place: &'static str,
    },
    /// The session failed before, and is not to be used any more.
    #[error("the session has failed before")]
    Failed,
}

/// How far the provider's part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Silent,
    Welcomed,
    Accepted,
    Running,
    Over,
}

/// What both sides have said. Each side keeps one: it records what it sends when it sends it, and what it receives when
/// it comes in, so that messages which cross on the way are in order for both.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// The version in the renter's `Hello`.
    hello: Option<u16>,
    submitted: bool,
    cancelled: bool,
    stage: Stage,
    asked_for_blobs: bool,
    /// Since the job was restarted, if it was.
    outputs: BTreeSet<Name>,
    /// Outputs that became void when the job was restarted; none if it was not.
    void: Option<u32>,
}

impl Conversation {
    pub(crate) fn new() -> Conversation {
        Conversation {
            hello: None,
            submitted: false,
            cancelled: false,
            stage: Stage::Silent,
            asked_for_blobs: false,
            outputs: BTreeSet::new(),
            void: None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// How far the conversation is, for errors.
    pub(crate) fn place(&self) -> &'static str {
        match self.stage {
            Stage::Over => "after the end",
            Stage::Running => "while the job runs",
            Stage::Accepted => "between `Accepted` and `Running`",
            _ if self.cancelled => "after `Cancel`",
            Stage::Welcomed if self.submitted => "between `Submit` and `Accepted`",
            Stage::Welcomed => "between `Welcome` and `Submit`",
            Stage::Silent if self.submitted => "between `Submit` and `Welcome`",
            Stage::Silent if self.hello.is_some() => "between `Hello` and `Welcome`",
            Stage::Silent => "before `Hello`",
        }
    }

    /// Records what the renter says. That the provider has ended the conversation does not matter here: the renter may
    /// not know yet.
    pub(crate) fn renter_says(&mut self, message: &ToProvider) -> Result<(), ProtocolError> {
        message.check()?;
        let in_order = match message {
            ToProvider::Hello { .. } => self.hello.is_none(),
            ToProvider::Submit { .. } => self.hello.is_some() && !self.submitted,
            ToProvider::Cancel => self.submitted && !self.cancelled,
        };
        if !in_order {
            return Err(ProtocolError::OutOfOrder { message: message.name(), place: self.place() });
        }
        match message {
            ToProvider::Hello { protocol, .. } => self.hello = Some(*protocol),
            ToProvider::Submit { .. } => self.submitted = true,
            ToProvider::Cancel => self.cancelled = true,
        }
        Ok(())
    }

    /// Records what the provider says.
    pub(crate) fn provider_says(&mut self, message: &ToRenter) -> Result<(), ProtocolError> {
        message.check()?;
        let Some(hello) = self.hello else {
            return Err(ProtocolError::OutOfOrder { message: message.name(), place: self.place() });
        };
        let answering = self.submitted && self.stage == Stage::Welcomed;
        let in_order = match message {
            ToRenter::Welcome { .. } => self.stage == Stage::Silent,
            ToRenter::Rejected(_) => self.stage < Stage::Running,
            ToRenter::Missing { .. } => answering && !self.asked_for_blobs,
            ToRenter::Queued { .. } | ToRenter::Accepted { .. } => answering,
            ToRenter::Running { .. } => self.stage == Stage::Accepted,
            ToRenter::Log { .. }
            | ToRenter::Progress { .. }
            | ToRenter::Output { .. }
            | ToRenter::Unread(_)
            | ToRenter::Finished { .. } => self.stage == Stage::Running,
            ToRenter::Restarted { .. } => self.stage == Stage::Running && self.void.is_none(),
            ToRenter::Faulted(_) => self.submitted && self.stage >= Stage::Welcomed && self.stage < Stage::Over,
        };
        if !in_order {
            return Err(ProtocolError::OutOfOrder { message: message.name(), place: self.place() });
        }
        match message {
            ToRenter::Welcome { protocol, .. } => {
                if let Some(found) = [hello, *protocol].into_iter().find(|version| *version != PROTOCOL) {
                    return Err(ProtocolError::Version { found });
                }
                self.stage = Stage::Welcomed;
            }
            ToRenter::Missing { blobs } => {
                if blobs.is_empty() || blobs.iter().collect::<BTreeSet<_>>().len() != blobs.len() {
                    return Err(ProtocolError::Missing);
                }
                self.asked_for_blobs = true;
            }
            ToRenter::Accepted { .. } => self.stage = Stage::Accepted,
            ToRenter::Running { .. } => self.stage = Stage::Running,
            ToRenter::Output { index, name } => self.announce(*index, name)?,
            ToRenter::Finished { outputs, .. } => {
                let expected = self.announced();
                if *outputs != expected {
                    return Err(ProtocolError::OutputIndex { found: *outputs, expected });
                }
                self.stage = Stage::Over;
            }
            ToRenter::Rejected(_) | ToRenter::Faulted(_) => self.stage = Stage::Over,
            ToRenter::Restarted { .. } => {
                self.void = Some(self.announced());
                self.outputs.clear();
            }
            ToRenter::Queued { .. } | ToRenter::Log { .. } | ToRenter::Progress { .. } | ToRenter::Unread(_) => {}
        }
        Ok(())
    }

    fn announced(&self) -> u32 {
        u32::try_from(self.outputs.len()).unwrap_or(u32::MAX)
    }

    fn announce(&mut self, index: u32, name: &Name) -> Result<(), ProtocolError> {
        let announced = self.announced();
        let expected = announced.saturating_add(self.void.unwrap_or(0));
        if index != expected || u64::from(announced) >= MAX_OUTPUTS {
            return Err(ProtocolError::OutputIndex { found: index, expected });
        }
        if !self.outputs.insert(name.clone()) {
            return Err(ProtocolError::OutputTwice { name: name.clone() });
        }
        Ok(())
    }
}
