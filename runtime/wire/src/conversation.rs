//! The order of messages on one control stream, as seen from either side.

use std::collections::BTreeSet;

use isobit_job::{MAX_OUTPUTS, Name};

use crate::{FrameError, PROTOCOL, ToProvider, ToRenter};

/// The peer or this side broke the protocol. After an error in what was received, the stream cannot be used any more.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum ProtocolError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("`{message}` does not belong {place}")]
    OutOfOrder {
        message: &'static str,
        /// How far the conversation had come.
        place: &'static str,
    },
    #[error("the peer speaks protocol version {found}, not {PROTOCOL}; use the same version of isobit on both sides")]
    Version { found: u16 },
    #[error("`{field}` has length {found}; the most is {maximum}")]
    TooLong {
        field: &'static str,
        /// The length found, in bytes or items.
        found: usize,
        maximum: usize,
    },
    #[error("progress of {found}; it goes from 0 to 1")]
    Fraction { found: f32 },
    #[error("a list of missing blobs that is empty or names one twice")]
    Missing,
    /// An output's index is not the next one, the number of outputs is wrong, or there are too many.
    #[error("output {found} where {expected} comes next; the most is {MAX_OUTPUTS} outputs")]
    OutputIndex {
        /// The index or number found.
        found: u32,
        expected: u32,
    },
    #[error("output `{name}` comes twice")]
    OutputTwice { name: Name },
    /// The stream ended before the job's last message.
    #[error("the peer left {place}")]
    Left {
        /// How far the conversation had come.
        place: &'static str,
    },
    /// The session failed before and cannot be used any more.
    #[error("the session has failed before")]
    Failed,
}

/// How far the provider's side of the conversation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Silent,
    Welcomed,
    Accepted,
    Running,
    Over,
}

/// The state of the conversation. Each side keeps one, and records a message when it sends or receives it. Messages that
/// cross on the way are in order on both sides.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// The version in the renter's `Hello`.
    hello: Option<u16>,
    submitted: bool,
    cancelled: bool,
    /// The renter has stated its terms.
    has_terms: bool,
    /// The renter asks for a quote, and submits nothing.
    asks: bool,
    stage: Stage,
    /// The provider has stated its prices.
    has_prices: bool,
    asked_for_blobs: bool,
    /// Outputs announced; if the job was restarted, since then.
    outputs: BTreeSet<Name>,
    /// Number of outputs that became void when the job was restarted; none if it was not.
    void: Option<u32>,
}

impl Conversation {
    pub(crate) fn new() -> Conversation {
        Conversation {
            hello: None,
            submitted: false,
            cancelled: false,
            has_terms: false,
            asks: false,
            stage: Stage::Silent,
            has_prices: false,
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
            _ if self.asks => "between `Ask` and `Quote`",
            Stage::Welcomed => "between `Welcome` and `Submit`",
            Stage::Silent if self.submitted => "between `Submit` and `Welcome`",
            Stage::Silent if self.hello.is_some() => "between `Hello` and `Welcome`",
            Stage::Silent => "before `Hello`",
        }
    }

    /// Records a message of the renter. It may come after the provider's last message, which the renter may not have
    /// received yet.
    pub(crate) fn renter_says(&mut self, message: &ToProvider) -> Result<(), ProtocolError> {
        message.check()?;
        let in_order = match message {
            ToProvider::Hello { .. } => self.hello.is_none(),
            ToProvider::Submit { .. } => self.hello.is_some() && !self.submitted && !self.asks,
            ToProvider::Cancel => self.submitted && !self.cancelled,
            ToProvider::Terms(_) => self.hello.is_some() && !self.submitted && !self.asks && !self.has_terms,
            ToProvider::Ask { .. } => self.hello.is_some() && !self.submitted && !self.asks && !self.has_terms,
        };
        if !in_order {
            return Err(ProtocolError::OutOfOrder { message: message.name(), place: self.place() });
        }
        match message {
            ToProvider::Hello { protocol, .. } => self.hello = Some(*protocol),
            ToProvider::Submit { .. } => self.submitted = true,
            ToProvider::Cancel => self.cancelled = true,
            ToProvider::Terms(_) => self.has_terms = true,
            ToProvider::Ask { .. } => self.asks = true,
        }
        Ok(())
    }

    /// Records a message of the provider.
    pub(crate) fn provider_says(&mut self, message: &ToRenter) -> Result<(), ProtocolError> {
        message.check()?;
        let Some(hello) = self.hello else {
            return Err(ProtocolError::OutOfOrder { message: message.name(), place: self.place() });
        };
        let answering = self.submitted && self.stage == Stage::Welcomed;
        let in_order = match message {
            ToRenter::Welcome { .. } => self.stage == Stage::Silent,
            ToRenter::Rejected(_) => self.stage < Stage::Running,
            ToRenter::Prices(_) => answering && !self.has_prices && !self.asked_for_blobs,
            ToRenter::Missing { .. } => answering && !self.asked_for_blobs,
            ToRenter::Queued { .. } | ToRenter::Accepted { .. } => answering,
            ToRenter::Quote(_) => self.asks && self.stage == Stage::Welcomed,
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
            ToRenter::Prices(_) => self.has_prices = true,
            ToRenter::Rejected(_) | ToRenter::Faulted(_) | ToRenter::Quote(_) => self.stage = Stage::Over,
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
