//! How much a line of a job's log matters.

/// A line's level, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Something went wrong.
    Error,
    /// Something may be wrong. Standard error of WASI guests.
    Warn,
    /// What a renter wants to know. Standard output of WASI guests.
    Info,
    /// What only the workload's author wants to know.
    Debug,
}
