//! `isobit:compute/report`: log lines and progress for the renter, cut to a bounded length.

use super::HostState;
use super::bindings::isobit::compute::report::{Host, Level};
use crate::job::cut;
use isobit_job::LogLevel;

/// The most bytes of one log line: 8 KiB.
pub const MAX_LOG: usize = 8 << 10;

/// The most bytes of a progress message.
pub const MAX_PROGRESS: usize = 256;

impl Host for HostState {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.charge_bytes(message.len())?;
        let level = match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        };
        self.reporter.log(level, cut(&message, MAX_LOG));
        Ok(())
    }

    fn progress(&mut self, fraction: f32, message: String) -> wasmtime::Result<()> {
        self.charge_bytes(message.len())?;
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        self.reporter.progress(fraction, cut(&message, MAX_PROGRESS));
        Ok(())
    }
}
