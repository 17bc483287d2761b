//! Why a job's task in the supervisor ends without a receipt, with the message to the renter and the line in the log.

use crate::log_limit::LogLimit;
use crate::monitor::name_of;
use crate::upload::UploadError;
use crate::worker::ChannelError;
use isobit_job::{Fault, FaultKind, JobId, NodeKey};
use isobit_wire::{ProtocolError, Rejection, ToRenter};
use std::fmt::Display;
use std::time::Duration;

/// Lines about jobs that never ran.
static OF_STRANGERS: LogLimit = LogLimit::new();

/// Why a job's task ended before its receipt.
pub(crate) enum EndReason {
    /// The renter is gone, so no message can be sent.
    Disconnected,
    /// The renter cancelled the job.
    Cancelled,
    /// The job is not accepted.
    Rejected(Rejection),
    /// The provider's own trouble.
    Faulted(Fault),
    /// The renter broke the protocol: the connection is closed without a last message.
    Protocol(ProtocolError),
    /// The provider was asked to stop.
    ShutDown,
}

impl EndReason {
    /// The provider's own trouble.
    pub(crate) fn trouble(kind: FaultKind, detail: &dyn Display) -> Self {
        Self::Faulted(Fault::new(kind, detail))
    }

    /// The job ran past its deadline. `cut` says that the provider allows less time than the renter asked for.
    pub(crate) fn late(deadline: Duration, cut: bool) -> Self {
        let kind = if cut { FaultKind::ProviderDeadline } else { FaultKind::Deadline };
        Self::trouble(kind, &format_args!("{deadline:?}"))
    }

    /// The last message to the renter, if there is one.
    pub(crate) fn last_word(&self) -> Option<ToRenter> {
        Some(match self {
            Self::Disconnected | Self::Protocol(_) => return None,
            Self::Cancelled => ToRenter::Faulted(FaultKind::Cancelled.into()),
            Self::Rejected(rejection) => ToRenter::Rejected(rejection.clone().bounded()),
            Self::Faulted(fault) => ToRenter::Faulted(shown(fault)),
            Self::ShutDown => ToRenter::Faulted(FaultKind::ShutDown.into()),
        })
    }

    /// How the job ended, for counting: the outcome, and the kind of fault or rejection.
    pub(crate) fn name(&self) -> (&'static str, String) {
        match self {
            Self::Disconnected => ("disconnected", String::new()),
            Self::Cancelled => ("cancelled", String::new()),
            Self::Rejected(rejection) => ("rejected", name_of(rejection)),
            Self::Faulted(fault) => ("faulted", name_of(&fault.kind)),
            Self::Protocol(_) => ("protocol-broken", String::new()),
            Self::ShutDown => ("shut-down", String::new()),
        }
    }

    /// Logs one line for the provider's operator. Faults and a broken protocol are warnings, the rest is information.
    pub(crate) fn log(&self, renter: &NodeKey, job: Option<JobId>) {
        // Whoever can reach the port can cause these lines; the others cost a place in the queue.
        if matches!(self, Self::Rejected(_) | Self::Protocol(_) | Self::Disconnected) {
            match OF_STRANGERS.allows() {
                None => return,
                Some(0) => {}
                Some(suppressed) => {
                    tracing::warn!(target: "isobit::job", suppressed, "lines of this kind were left out")
                }
            }
        }
        let job = job.map_or_else(|| "none".to_owned(), |job| job.to_string());
        match self {
            Self::Cancelled => tracing::info!(target: "isobit::job", job, %renter, "cancelled by the renter"),
            Self::Disconnected => tracing::info!(target: "isobit::job", job, %renter, "given up: the renter has gone"),
            Self::ShutDown => tracing::info!(target: "isobit::job", job, %renter, "given up: this provider stops"),
            Self::Rejected(rejection) => tracing::info!(target: "isobit::job", job, %renter, %rejection, "rejected"),
            Self::Faulted(Fault { kind, detail }) => {
                tracing::warn!(target: "isobit::job", job, %renter, %kind, detail, "faulted");
            }
            Self::Protocol(error) => {
                tracing::warn!(target: "isobit::job", job, %renter, %error, "the renter broke the protocol");
            }
        }
    }
}

impl From<Rejection> for EndReason {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(match rejection {
            Rejection::NotAWorkload(message) => Rejection::NotAWorkload(without_paths(&message)),
            other => other,
        })
    }
}

impl From<UploadError> for EndReason {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Rejected(rejection) => rejection.into(),
            UploadError::Store(error) => Self::trouble(FaultKind::Storage, &error),
        }
    }
}

impl From<ProtocolError> for EndReason {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<ChannelError> for EndReason {
    fn from(error: ChannelError) -> Self {
        Self::trouble(FaultKind::WorkerDied, &error)
    }
}

/// A fault as the renter sees it: in full if it concerns the job, otherwise only its kind. The layout of the provider's
/// disk is kept private.
fn shown(fault: &Fault) -> Fault {
    let detail = match fault.kind {
        FaultKind::Storage | FaultKind::WorkerDied | FaultKind::OutOfMemory | FaultKind::Internal => {
            "the provider's log says more".to_owned()
        }
        _ => without_paths(&fault.detail),
    };
    Fault::new(fault.kind, detail)
}

/// Replaces absolute paths in a text, because drivers' messages often name files.
fn without_paths(text: &str) -> String {
    let ends_path =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '(' | ')' | ',' | ';' | ':' | '<' | '>');
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('/') {
        let (before, path) = rest.split_at(start);
        kept.push_str(before);
        let end = path.find(ends_path).unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        let follows = before.chars().next_back().is_none_or(|c| ends_path(c) || c == '=');
        let names = path.chars().nth(1).is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '~'));
        kept.push_str(if follows && names { "(a path)" } else { path });
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stop: &EndReason) -> Fault {
        let Some(ToRenter::Faulted(fault)) = stop.last_word() else { panic!() };
        fault
    }

    #[test]
    fn a_renter_is_not_told_where_things_are() {
        let store = "cannot open /srv/isobit/store/blobs/ab/abcd: Permission denied";
        assert!(!told(&EndReason::trouble(FaultKind::Storage, &store)).detail.contains("/srv"));
        for (said, shown) in [
            ("cannot load '/usr/lib/libvulkan.so.1': no", "cannot load '(a path)': no"),
            ("/etc/x and (/home/me/y)", "(a path) and ((a path))"),
            ("file=/a/b c", "file=(a path) c"),
            ("error at /tmp/k.wgsl:3:4", "error at (a path):3:4"),
        ] {
            assert_eq!(told(&EndReason::trouble(FaultKind::DeviceLost, &said)).detail, shown);
        }
        // Text that is not a path stays.
        for said in ["a / b", "1/128 of it", "dp32/1", "and/or", "// a comment", "x/(y)", ""] {
            assert_eq!(told(&EndReason::trouble(FaultKind::DeviceLost, &said)).detail, said);
        }
    }

    #[test]
    fn the_deadline_that_holds_is_said_with_a_hint_that_fits() {
        let minute = Duration::from_secs(60);
        let own = told(&EndReason::late(minute, false));
        assert!(own.to_string().contains("its deadline: 60s") && own.kind.hint().contains("--deadline"), "{own}");
        let cut = told(&EndReason::late(minute, true));
        assert!(cut.to_string().contains("any job run: 60s") && cut.kind.hint().contains("another"), "{cut}");
    }
}
