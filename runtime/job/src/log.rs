//! The levels of lines in a job's log.

/// A line's level, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Something went wrong.
    Error,
    /// Something may be wrong. Standard error of WASI guests.
    Warn,
    /// Information for the renter. Standard output of WASI guests.
    Info,
    /// Details for the workload's author.
    Debug,
}
