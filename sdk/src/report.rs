//! Messages to the renter while the job runs: log lines and progress. They are not part of the claim.

use crate::bindings::isobit::compute::report;

/// How much a line matters.
pub use crate::bindings::isobit::compute::report::Level;

/// Writes one line to the renter's log, cut at 8 KiB. The macros [`error!`](crate::error!),
/// [`warn!`](crate::warn!), [`info!`](crate::info!) and [`debug!`](crate::debug!) format it.
pub fn log(level: Level, message: &str) {
    report::log(level, message);
}

/// Reports how far the job is: a fraction from 0 to 1 and a short message (cut at 256 bytes).
///
/// ```no_run
/// isobit::progress(0.5, "half of it");
/// ```
pub fn progress(fraction: f32, message: impl AsRef<str>) {
    report::progress(fraction, message.as_ref());
}

/// Logs a line about something that went wrong; arguments as in [`format!`].
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log($crate::Level::Error, &::std::format!($($message)+)) };
}

/// Logs a line about something that looks wrong; arguments as in [`format!`].
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log($crate::Level::Warn, &::std::format!($($message)+)) };
}

/// Logs a line that the renter wants to see; arguments as in [`format!`].
///
/// ```no_run
/// let (width, height) = (640, 480);
/// isobit::info!("picture of {width} x {height}");
/// ```
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log($crate::Level::Info, &::std::format!($($message)+)) };
}

/// Logs a line for the author of the workload; arguments as in [`format!`].
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log($crate::Level::Debug, &::std::format!($($message)+)) };
}
