//! What a user sees of a job while it runs: log lines and a progress bar.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use isobit_job::LogLevel;
use isobit_sandbox::Reporter;

use crate::escape;
use crate::printer::Printer;

/// Steps of the progress bar.
const STEPS: u64 = 1000;

/// Shows logs and progress of one job on stderr.
pub struct Watch {
    printer: Printer,
    bar: Mutex<Option<ProgressBar>>,
}

impl Watch {
    pub fn new(printer: &Printer) -> Self {
        Self { printer: printer.clone(), bar: Mutex::new(None) }
    }

    /// Moves the bar to `done` of `total` bytes; makes a bar with this label if there is none.
    pub fn bytes(&self, label: &'static str, done: u64, total: u64) {
        let mut bar = self.bar();
        let bar = bar.get_or_insert_with(|| self.printer.bytes(label, Some(total)));
        bar.set_position(done.min(total));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Watch {
    fn log(&self, level: LogLevel, message: &str) {
        // The guest's text must not look like isobit's own, nor control the terminal.
        let message = escape::line(message);
        match level {
            LogLevel::Error => self.printer.note(format_args!("[guest error] {message}")),
            LogLevel::Warn => self.printer.note(format_args!("[guest warn]  {message}")),
            LogLevel::Info => self.printer.note(format_args!("[guest]       {message}")),
            LogLevel::Debug => self.printer.detail(format_args!("[guest debug] {message}")),
        }
    }

    fn progress(&self, fraction: f32, message: &str) {
        let mut bar = self.bar();
        let bar = bar.get_or_insert_with(|| self.printer.steps("running", STEPS));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction from 0 to 1 of 1000 steps"
        )]
        bar.set_position((fraction * 1000.0) as u64);
        bar.set_message(escape::line(message).into_owned());
    }
}
