//! The messages, the headers of data streams, and the bounds of their fields.

use std::collections::BTreeSet;

use isobit_job::{
    Blob, Demand, DeviceClass, Fault, Hash, LogLevel, MAX_DETAIL, MAX_INPUTS, MAX_PARAMS, MAX_SPEC_JSON, Name, Prices,
    Terms, Unread,
};
use serde::{Deserialize, Serialize};

use crate::{Frame, MAX_FRAME, MAX_HEADER, ProtocolError, Rejection};

/// The most bytes in the name of a peer's software.
pub const MAX_SOFTWARE: usize = 256;
/// The most bytes in a line of the job's log: 8 KiB, as in `wit/`.
pub const MAX_LOG: usize = 8 * 1024;
/// The most bytes in the message of a progress report, as in `wit/`.
pub const MAX_PROGRESS: usize = 256;
/// The most bytes in any other text: 4 KiB.
pub const MAX_TEXT: usize = 4 * 1024;

/// From renter to provider, on a job's control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToProvider {
    /// The first message.
    Hello {
        /// [`PROTOCOL`](crate::PROTOCOL) of the renter.
        protocol: u16,
        /// The renter's software and version; at most [`MAX_SOFTWARE`] bytes.
        software: String,
    },
    /// The job. May be sent right after `Hello`, before `Welcome` arrives.
    Submit {
        /// The job spec as JSON; at most [`MAX_SPEC_JSON`] bytes.
        spec_json: Vec<u8>,
        /// How long the job may run before the provider gives it up, in milliseconds. Not part of the job spec, because it
        /// does not affect the result.
        deadline_ms: u64,
    },
    /// The renter no longer wants the result.
    Cancel,
    /// What the renter pays at most for the job that follows. Without this message it pays any price.
    Terms(Terms),
    /// What would a job cost, and when would it run? Sent instead of `Submit`; the answer is `Quote`. It says what the job asks for and not which job it is.
    Ask {
        /// What the job asks for.
        demand: Demand,
        /// How long the job may run, in milliseconds.
        deadline_ms: u64,
    },
}

/// What a provider asks for a job, and whether it would run it. Binds nobody: what counts is what is said when the job is submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// Its prices; none if it charges nothing.
    pub prices: Option<Prices>,
    /// Why it would not run the job, for all that is known before.
    pub refusal: Option<Rejection>,
    /// How long the job may run there, in milliseconds.
    pub deadline_ms: u64,
    /// The names of its devices; at most [`MAX_TEXT`] bytes.
    pub device: String,
    /// The device classes that it runs jobs of.
    pub classes: BTreeSet<DeviceClass>,
    /// Jobs that run at once.
    pub slots: u32,
    /// Jobs that run now.
    pub running: u32,
    /// Jobs that wait now.
    pub waiting: u32,
    /// Jobs that may wait.
    pub places: u32,
    /// The number in line of this renter's next job, if it were there now: 0 runs at once.
    pub position: u32,
}

/// From provider to renter, on a job's control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToRenter {
    /// The answer to `Hello`.
    Welcome {
        /// [`PROTOCOL`](crate::PROTOCOL) of the provider.
        protocol: u16,
        /// The provider's software and version; at most [`MAX_SOFTWARE`] bytes.
        software: String,
    },
    /// The job was not started. The last message.
    Rejected(Rejection),
    /// The provider lacks these blobs of the job; the renter sends each on a stream of its own.
    Missing {
        /// Their hashes, without duplicates. The renter sends only blobs of this job.
        blobs: Vec<Hash>,
    },
    /// The job waits.
    Queued {
        /// Its number in line: 1 is the next.
        position: u32,
        /// What it waits for.
        reason: String,
    },
    /// The provider has all blobs, and the job's turn has come.
    Accepted {
        /// How long the job may run here, in milliseconds: the deadline in `Submit`, or the provider's maximum if that is
        /// less.
        deadline_ms: u64,
    },
    /// The guest is about to run.
    Running {
        /// The device's name.
        device: String,
    },
    /// A line of the guest's log.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line; at most [`MAX_LOG`] bytes. It comes from the guest and may hold control characters.
        message: String,
    },
    /// How far the job is.
    Progress {
        /// From 0 to 1.
        fraction: f32,
        /// At most [`MAX_PROGRESS`] bytes. It comes from the guest and may hold control characters.
        message: String,
    },
    /// The guest created an output; the stream whose [`OutputHeader`] has this index carries it.
    Output {
        /// Counted from 0 in the order of these messages. `Restarted` does not reset it.
        index: u32,
        /// The output's name. It is unique, except that it may come again after `Restarted`.
        name: Name,
    },
    /// The job ran, and this is its receipt. The last message.
    Finished {
        /// The receipt: a DSSE envelope.
        envelope_json: Vec<u8>,
        /// The number of `Output` messages; only those after `Restarted`, if it was sent.
        outputs: u32,
    },
    /// The provider could not run the job to its end, through no fault of the job. The last message.
    Faulted(Fault),
    /// The provider's device could not run the job to its end, so the job runs again on another. All outputs sent so far
    /// are void, complete ones too. Sent at most once.
    Restarted {
        /// The other device's name.
        device: String,
        /// What the first device could not do; at most [`MAX_TEXT`] bytes.
        reason: String,
    },
    /// The parameters and inputs that the workload did not read. Sent before `Finished` if there are any.
    Unread(Unread),
    /// What the provider charges for the job, sent before anything else about it. Without this message the job costs nothing.
    Prices(Prices),
    /// The answer to `Ask`. The last message.
    Quote(Box<Quote>),
}

/// The start of a stream from renter to provider that carries a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobHeader {
    /// The index of the job's control stream, from 0, among the bidirectional streams of the connection.
    pub job: u64,
    /// The blob that follows, in bao encoding.
    pub blob: Blob,
}

/// The start of a stream from provider to renter that carries an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputHeader {
    /// The index of the job's control stream, from 0, among the bidirectional streams of the connection.
    pub job: u64,
    /// The index in the `Output` message that names this output.
    pub index: u32,
}

impl Frame for ToProvider {
    const MAX: usize = MAX_FRAME;
}

impl Frame for ToRenter {
    const MAX: usize = MAX_FRAME;
}

impl Frame for BlobHeader {
    const MAX: usize = MAX_HEADER;
}

impl Frame for OutputHeader {
    const MAX: usize = MAX_HEADER;
}

/// The beginning of `text`, at most `maximum` bytes long, cut between characters.
pub fn cut(text: &str, maximum: usize) -> &str {
    text.get(..text.floor_char_boundary(maximum)).unwrap_or_default()
}

fn bounded(field: &'static str, found: usize, maximum: usize) -> Result<(), ProtocolError> {
    if found > maximum { Err(ProtocolError::TooLong { field, found, maximum }) } else { Ok(()) }
}

impl ToProvider {
    /// The message's name, for errors.
    pub const fn name(&self) -> &'static str {
        match self {
            ToProvider::Hello { .. } => "Hello",
            ToProvider::Submit { .. } => "Submit",
            ToProvider::Cancel => "Cancel",
            ToProvider::Terms(_) => "Terms",
            ToProvider::Ask { .. } => "Ask",
        }
    }

    /// Checks the bounds of the message's fields.
    pub(crate) fn check(&self) -> Result<(), ProtocolError> {
        match self {
            ToProvider::Hello { software, .. } => bounded("software", software.len(), MAX_SOFTWARE),
            ToProvider::Submit { spec_json, .. } => bounded("spec_json", spec_json.len(), MAX_SPEC_JSON),
            ToProvider::Cancel | ToProvider::Terms(_) | ToProvider::Ask { .. } => Ok(()),
        }
    }
}

impl ToRenter {
    /// A `Log` message, its line cut to [`MAX_LOG`] bytes.
    pub fn log(level: LogLevel, message: &str) -> ToRenter {
        ToRenter::Log { level, message: cut(message, MAX_LOG).to_owned() }
    }

    /// A `Progress` message: the fraction clamped to 0 to 1 (NaN becomes 0), the message cut to [`MAX_PROGRESS`] bytes.
    pub fn progress(fraction: f32, message: &str) -> ToRenter {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        ToRenter::Progress { fraction, message: cut(message, MAX_PROGRESS).to_owned() }
    }

    /// A `Restarted` message, its texts cut to [`MAX_TEXT`] bytes.
    pub fn restarted(device: &str, reason: &str) -> ToRenter {
        ToRenter::Restarted { device: cut(device, MAX_TEXT).to_owned(), reason: cut(reason, MAX_TEXT).to_owned() }
    }

    /// Whether this is a job's last message.
    pub const fn is_last(&self) -> bool {
        matches!(self, ToRenter::Rejected(_) | ToRenter::Finished { .. } | ToRenter::Faulted(_) | ToRenter::Quote(_))
    }

    /// The message's name, for errors.
    pub const fn name(&self) -> &'static str {
        match self {
            ToRenter::Welcome { .. } => "Welcome",
            ToRenter::Rejected(_) => "Rejected",
            ToRenter::Missing { .. } => "Missing",
            ToRenter::Queued { .. } => "Queued",
            ToRenter::Accepted { .. } => "Accepted",
            ToRenter::Running { .. } => "Running",
            ToRenter::Log { .. } => "Log",
            ToRenter::Progress { .. } => "Progress",
            ToRenter::Output { .. } => "Output",
            ToRenter::Finished { .. } => "Finished",
            ToRenter::Faulted(_) => "Faulted",
            ToRenter::Restarted { .. } => "Restarted",
            ToRenter::Unread(_) => "Unread",
            ToRenter::Prices(_) => "Prices",
            ToRenter::Quote(_) => "Quote",
        }
    }

    /// Checks the bounds of the message's fields.
    pub(crate) fn check(&self) -> Result<(), ProtocolError> {
        match self {
            ToRenter::Welcome { software, .. } => bounded("software", software.len(), MAX_SOFTWARE),
            ToRenter::Rejected(rejection) => {
                rejection.texts().into_iter().try_for_each(|text| bounded("rejection", text.len(), MAX_TEXT))
            }
            ToRenter::Missing { blobs } => bounded("blobs", blobs.len(), MAX_INPUTS + 1),
            ToRenter::Queued { reason, .. } => bounded("reason", reason.len(), MAX_TEXT),
            ToRenter::Running { device } => bounded("device", device.len(), MAX_TEXT),
            ToRenter::Log { message, .. } => bounded("message", message.len(), MAX_LOG),
            ToRenter::Progress { fraction, .. } if !(0.0..=1.0).contains(fraction) => {
                Err(ProtocolError::Fraction { found: *fraction })
            }
            ToRenter::Progress { message, .. } => bounded("message", message.len(), MAX_PROGRESS),
            ToRenter::Faulted(fault) => bounded("detail", fault.detail.len(), MAX_DETAIL),
            ToRenter::Restarted { device, reason } => {
                bounded("device", device.len(), MAX_TEXT).and_then(|()| bounded("reason", reason.len(), MAX_TEXT))
            }
            ToRenter::Unread(Unread { params, inputs }) => {
                bounded("params", params.len(), MAX_PARAMS).and_then(|()| bounded("inputs", inputs.len(), MAX_INPUTS))
            }
            ToRenter::Quote(quote) => {
                let refusal = quote.refusal.iter().flat_map(Rejection::texts);
                refusal.chain([quote.device.as_str()]).try_for_each(|text| bounded("quote", text.len(), MAX_TEXT))
            }
            ToRenter::Accepted { .. } | ToRenter::Output { .. } | ToRenter::Finished { .. } | ToRenter::Prices(_) => {
                Ok(())
            }
        }
    }
}
