//! All output to the user: data on stdout and nothing else there, everything else on stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::escape;
use crate::failure::Shown;

/// Prints data, notes, progress and errors as the global flags ask for.
#[derive(Clone)]
pub struct Printer {
    json: bool,
    quiet: bool,
    verbose: u8,
    colour: bool,
    /// Whether each line on stderr is a JSON object: `serve --log-format json`.
    json_log: bool,
    bars: MultiProgress,
}

impl Printer {
    /// A printer for these flags, and for the terminal or pipe that stderr is.
    pub fn new(json: bool, quiet: bool, verbose: u8) -> Self {
        let terminal = io::stderr().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colour = terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let target = if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { json, quiet, verbose, colour, json_log: false, bars: MultiProgress::with_draw_target(target) }
    }

    /// From now on each line on stderr is a JSON object. What is said to people becomes an event of the log.
    pub fn log_as_json(&mut self) {
        self.json_log = true;
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Whether each line on stderr is to be a JSON object.
    pub fn is_json_log(&self) -> bool {
        self.json_log
    }

    /// Whether `-v` was given, and how often.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether `-q` was given.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether the answer is to be JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the command's answer: `text` for people, `value` with `--json`.
    pub fn answer(&self, value: &impl Serialize, text: &dyn Display) -> anyhow::Result<()> {
        if self.json {
            let json = serde_json::to_string_pretty(value)?;
            self.stdout(&format!("{}\n", escape::json(&json)))
        } else {
            let text = text.to_string();
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            self.stdout(&format!("{}{end}", escape::lines(&text)))
        }
    }

    /// Reports what is being done. Not with `--quiet`.
    pub fn note(&self, text: impl Display) {
        if self.quiet {
        } else if self.json_log {
            tracing::info!(target: "isobit::serve", "{text}");
        } else {
            self.stderr(&escape::lines(&text.to_string()));
        }
    }

    /// Reports what is being done in more detail. Only with `--verbose`.
    pub fn detail(&self, text: impl Display) {
        if self.verbose > 0 {
            self.note(text);
        }
    }

    /// Warns of something that does not stop the command.
    pub fn warn(&self, text: impl Display) {
        if self.json_log {
            return tracing::warn!(target: "isobit::serve", "{text}");
        }
        let label = self.paint("warning:", "33");
        self.stderr(&format!("{label} {}", escape::lines(&text.to_string())));
    }

    /// Prints an error: as JSON on stdout with `--json`, otherwise on stderr.
    pub fn error(&self, shown: &Shown) {
        if self.json
            && let Ok(json) = serde_json::to_string_pretty(&serde_json::json!({ "error": shown }))
        {
            // The exit status reports the failure even if stdout is gone.
            let _ = self.stdout(&format!("{}\n", escape::json(&json)));
            return;
        }
        if self.json_log {
            return tracing::error!(target: "isobit::serve", hint = shown.hint, "{}", shown.message);
        }
        self.stderr(&format!("{} {}", self.paint("error:", "31"), escape::lines(&shown.message)));
        if let Some(hint) = &shown.hint {
            self.stderr(&format!("{} {}", self.paint("hint:", "36"), escape::lines(hint)));
        }
    }

    /// A progress bar for `total` bytes, or a count of bytes if the total is not known. Drawn only on a terminal.
    pub fn bytes(&self, label: &'static str, total: Option<u64>) -> ProgressBar {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{prefix:>10} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {wide_msg}",
            ),
            None => (ProgressBar::no_length(), "{prefix:>10} {binary_bytes} {binary_bytes_per_sec} {wide_msg}"),
        };
        self.bar(bar, template, label)
    }

    /// A progress bar for `steps` steps. Drawn only on a terminal.
    pub fn steps(&self, label: &'static str, steps: u64) -> ProgressBar {
        self.bar(ProgressBar::new(steps), "{prefix:>10} [{bar:30}] {percent:>3}% {elapsed} {wide_msg}", label)
    }

    /// A spinner for work of unknown length. Drawn only on a terminal.
    pub fn spinner(&self, label: &'static str) -> ProgressBar {
        let bar = self.bar(ProgressBar::new_spinner(), "{spinner} {prefix} {wide_msg}", label);
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    fn bar(&self, bar: ProgressBar, template: &str, label: &'static str) -> ProgressBar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bars.add(bar.with_style(style.progress_chars("=> ")).with_prefix(label))
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colour { format!("\u{1b}[1;{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Writes to stdout. A reader that stops early (`isobit devices | head -1`) is not an error.
    fn stdout(&self, text: &str) -> anyhow::Result<()> {
        let write = || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.flush()
        };
        match self.bars.suspend(write) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(anyhow::Error::new(error).context("cannot write to stdout"))
            }
            _ => Ok(()),
        }
    }

    fn stderr(&self, line: &str) {
        // If stderr is gone, this cannot be reported anywhere.
        let _ = self.bars.suspend(|| writeln!(io::stderr().lock(), "{line}"));
    }
}

/// Where `tracing` writes: stderr, between the progress bars.
impl tracing_subscriber::fmt::MakeWriter<'_> for Printer {
    type Writer = LogWriter;

    fn make_writer(&self) -> LogWriter {
        LogWriter { printer: self.clone() }
    }
}

/// Writes a log event, which arrives whole, to stderr.
pub struct LogWriter {
    printer: Printer,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // On one line: text of a renter or a guest in it must not look like another event.
        let event = String::from_utf8_lossy(bytes);
        let event = event.trim_end();
        // Such text is within a string if the event is JSON.
        self.printer.stderr(&if self.printer.json_log { escape::json(event) } else { escape::line(event) });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
