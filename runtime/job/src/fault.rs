//! The fault: why a provider could not run a job to its end. What follows from the job alone is an
//! [`Outcome`](crate::Outcome) and may be claimed; everything else is a fault and may not.

use std::fmt;

/// The most bytes of a fault's detail: 1 KiB.
pub const MAX_DETAIL: usize = 1024;

/// Why a provider could not run a job to its end, for a reason that does not follow from the job. It is shown to the renter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// More about it, in one line of at most [`MAX_DETAIL`] bytes; may be empty.
    pub detail: String,
}

/// The kinds of [`Fault`]. Each has a text and a hint for the renter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The renter, or the program that runs the job, has cancelled it.
    Cancelled,
    /// The job ran longer than the deadline it was given.
    Deadline,
    /// The job ran longer than the provider lets any job run, which is less than the deadline it was given.
    ProviderDeadline,
    /// The device or its driver is gone or broken.
    DeviceLost,
    /// The driver failed at something that is valid, such as compiling a checked kernel.
    DriverFailed,
    /// The device did not finish in time.
    DeviceTimeout,
    /// The device did not do what a kernel says.
    Miscomputed,
    /// The driver left a loop before the loop's end. The CPU device can run the job.
    LeftLoop,
    /// A kernel has a data race, and the device and the CPU came to different results. No two devices have to agree on it.
    KernelRaces,
    /// A result differs between the device and the CPU, and it is not known why.
    Irreproducible,
    /// The provider's machine, not the job, has run out of memory or threads.
    OutOfMemory,
    /// An input, an output or a blob could not be read or written.
    Storage,
    /// The connection could not carry the outputs to the renter.
    Delivery,
    /// The process that ran the job died.
    WorkerDied,
    /// The provider was asked to stop.
    ShutDown,
    /// A defect of isobit, or an unknown cause.
    Internal,
}

impl FaultKind {
    /// What happened, in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            FaultKind::Cancelled => "the job was cancelled",
            FaultKind::Deadline => "the job did not end before its deadline",
            FaultKind::ProviderDeadline => "the job ran as long as the provider lets any job run",
            FaultKind::DeviceLost => "the device is lost",
            FaultKind::DriverFailed => "the device's driver failed",
            FaultKind::DeviceTimeout => "the device did not finish in time",
            FaultKind::Miscomputed => "the device computed wrongly",
            FaultKind::LeftLoop => {
                "the driver left a loop that had not ended, as lavapipe does after 65 535 turns; the CPU device runs it to its end"
            }
            FaultKind::KernelRaces => "the kernel races, so no two devices need agree",
            FaultKind::Irreproducible => "a result cannot be reproduced",
            FaultKind::OutOfMemory => "the machine has not enough memory",
            FaultKind::Storage => "a file could not be read or written",
            FaultKind::Delivery => "the outputs could not be delivered",
            FaultKind::WorkerDied => "the worker died",
            FaultKind::ShutDown => "the provider was shut down",
            FaultKind::Internal => "something unexpected happened",
        }
    }

    /// What the renter can do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            FaultKind::Cancelled => "run it again if it is wanted after all",
            FaultKind::Deadline => "give it more time with --deadline, or run it on a faster device",
            FaultKind::ProviderDeadline => {
                "--deadline cannot raise it: ask the provider's owner (`isobit serve --max-deadline`), or submit it to another"
            }
            FaultKind::KernelRaces => {
                "put a barrier or an atomic operation between the two accesses; `isobit run --detect-races` finds the others"
            }
            FaultKind::Irreproducible => {
                "look for races with `isobit run --detect-races`; if there are none, the device erred: run it on another"
            }
            FaultKind::Storage => "look at the files that were named and at the room on their disks, and run it again",
            FaultKind::Delivery => "check the connection and the room for the outputs, and submit it again",
            FaultKind::LeftLoop => "run it on another device: cpu needs no driver",
            FaultKind::DeviceLost
            | FaultKind::DriverFailed
            | FaultKind::DeviceTimeout
            | FaultKind::Miscomputed
            | FaultKind::OutOfMemory
            | FaultKind::WorkerDied
            | FaultKind::ShutDown
            | FaultKind::Internal => "run it again, here or on another device or provider: the job is not to blame",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Fault {
    /// A fault with a detail, which is cut to [`MAX_DETAIL`] bytes and one line.
    pub fn new(kind: FaultKind, detail: impl fmt::Display) -> Fault {
        Fault { kind, detail: String::new() }.with_detail(&detail.to_string())
    }

    /// An error of the file system. `what` says what could not be done.
    pub fn storage(what: &str, error: &std::io::Error) -> Fault {
        Fault::new(FaultKind::Storage, format_args!("{what}: {error}"))
    }

    /// The same kind of fault with another detail, which is cut to [`MAX_DETAIL`] bytes and one line.
    #[must_use]
    pub fn with_detail(self, detail: &str) -> Fault {
        let line = if detail.contains(['\n', '\r']) { detail.replace(['\n', '\r'], " ") } else { detail.to_owned() };
        let end = line.floor_char_boundary(MAX_DETAIL);
        Fault { kind: self.kind, detail: line.get(..end).unwrap_or_default().to_owned() }
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Fault {
        Fault { kind, detail: String::new() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { kind, detail } = self;
        if detail.is_empty() { kind.fmt(f) } else { write!(f, "{kind}: {detail}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_one_short_line() {
        let fault = Fault::new(FaultKind::DeviceLost, format!("ä\nb{}", "ö".repeat(MAX_DETAIL)));
        assert!(fault.detail.starts_with("ä b") && fault.detail.len() <= MAX_DETAIL, "{fault}");
        assert_eq!(Fault::from(FaultKind::ShutDown).to_string(), "the provider was shut down");
        assert_eq!(Fault::new(FaultKind::Storage, "no").to_string(), "a file could not be read or written: no");
    }
}
