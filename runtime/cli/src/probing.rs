//! Probes devices in child processes, because a driver that crashes would end this process too; and shows the progress.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use isobit_device::probe::{self, Failure, InProcess, Prober, Progress, Verdict};
use isobit_device::{Adapter, OpenError};
use serde::{Deserialize, Serialize};

use crate::printer::Printer;

/// The most bytes of a line from a child process. A verdict with the first wrong result has some hundred bytes.
const MAX_LINE: u64 = 64 << 10;

/// Signals by which a driver that crashes ends its process.
#[cfg(unix)]
const CRASHES: [i32; 6] = [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV];

/// An event of the probe of a device. A child process that probes writes each as a line of JSON to its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Another process is probing.
    Waits,
    /// The probe begins.
    Begun {
        /// The device.
        name: String,
        /// What a job has found wrong with it, if that is why.
        suspicion: Option<String>,
    },
    /// How far the probe is.
    At {
        /// Checks that are done.
        done: usize,
        /// All checks.
        of: usize,
        /// What is checked now.
        check: String,
    },
    /// The probe has ended with this verdict.
    Found(Verdict),
    /// The device could not be opened, or has failed altogether.
    Failed {
        /// Why.
        reason: String,
    },
    /// The verdict could not be kept.
    NotKept {
        /// The folder.
        cache: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// The event for this progress.
    pub fn at(progress: Progress<'_>) -> Self {
        Self::At { done: progress.done, of: progress.of, check: progress.check.to_owned() }
    }

    /// Sends the event to the process that started this one. Ends this process if that one is gone.
    pub fn say(&self) {
        let line = serde_json::to_string(self).map(|line| writeln!(io::stdout().lock(), "{line}"));
        if !matches!(line, Ok(Ok(()))) {
            std::process::exit(1);
        }
    }
}

/// Probes in a child process, and passes the events to `told`.
pub struct InChild<'a> {
    /// The folder of verdicts, where suspicions are noted.
    cache: Option<&'a Path>,
    told: &'a mut dyn FnMut(Event),
}

impl<'a> InChild<'a> {
    /// A prober that finds suspicions in this folder.
    pub fn new(cache: Option<&'a Path>, told: &'a mut dyn FnMut(Event)) -> Self {
        Self { cache, told }
    }
}

impl Prober for InChild<'_> {
    fn probe(&mut self, adapter: &Adapter) -> Result<Verdict, OpenError> {
        let info = adapter.info();
        let suspicion = self.cache.and_then(|cache| probe::suspicion(cache, info)).map(|failure| failure.to_string());
        (self.told)(Event::Begun { name: info.name.clone(), suspicion });
        let refused = |reason| OpenError::Refused { name: info.name.clone(), reason };
        let mut heard = Heard::default();
        let told = &mut self.told;
        let listen = |event: Event| {
            heard.note(&event);
            told(event);
        };
        let device = adapter.index().to_string();
        let ended = std::env::current_exe()
            .and_then(|program| run(Command::new(program).args(["worker", "--device", &device, "--probe"]), listen));
        let verdict = match ended {
            Ok(status) => heard.verdict(status).map_err(refused)?,
            // No child process can be started: probe in this one.
            Err(_) => InProcess(|progress: Progress<'_>| told(Event::at(progress))).probe(adapter)?,
        };
        told(Event::Found(verdict.clone()));
        Ok(verdict)
    }

    fn waits(&mut self) {
        (self.told)(Event::Waits);
    }

    fn not_kept(&mut self, cache: &Path, error: &io::Error) {
        (self.told)(Event::NotKept { cache: cache.to_owned(), reason: error.to_string() });
    }
}

/// The events of a child process so far.
#[derive(Default)]
struct Heard {
    check: String,
    verdict: Option<Verdict>,
    failed: Option<String>,
}

impl Heard {
    fn note(&mut self, event: &Event) {
        match event {
            Event::At { check, .. } => self.check.clone_from(check),
            Event::Found(verdict) => self.verdict = Some(verdict.clone()),
            Event::Failed { reason } => self.failed = Some(reason.clone()),
            _ => {}
        }
    }

    /// The verdict that the process sent; if the driver has crashed, the verdict that the device is not used; otherwise the
    /// reason why there is no verdict.
    fn verdict(self, status: ExitStatus) -> Result<Verdict, String> {
        if let Some(reason) = self.failed {
            return Err(reason);
        }
        match self.verdict {
            Some(verdict) if status.success() => return Ok(verdict),
            _ => {}
        }
        match crash(status) {
            Some(signal) => {
                let check = if self.check.is_empty() { "opening the device".to_owned() } else { self.check };
                let detail = format!("the driver crashed (signal {signal})");
                Ok(Verdict { tier: None, failure: Some(Failure { check, detail }) })
            }
            None => Err(format!("the process that probes it has ended: {status}")),
        }
    }
}

#[cfg(unix)]
fn crash(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status).filter(|signal| CRASHES.contains(signal))
}

/// On systems other than Unix, a crash is a status like 0xc0000005.
#[cfg(not(unix))]
fn crash(status: ExitStatus) -> Option<i32> {
    status.code().filter(|code| *code < 0)
}

/// Runs a process to its end and passes its events to `told`. Other lines on its stdout, from drivers, are skipped; its
/// stderr is discarded.
pub fn run(command: &mut Command, mut told: impl FnMut(Event)) -> io::Result<ExitStatus> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
            if let Ok(event) = serde_json::from_slice(&line) {
                told(event);
            }
            line.clear();
        }
    }
    child.wait()
}

/// Shows the probe: a line when it begins and one when it has ended, and a bar on a terminal.
pub struct Watch<'a> {
    printer: &'a Printer,
    /// The device, and since when it is probed.
    begun: Option<(String, Instant)>,
    bar: Option<ProgressBar>,
}

impl<'a> Watch<'a> {
    /// Shows nothing until the first event.
    pub fn new(printer: &'a Printer) -> Self {
        Self { printer, begun: None, bar: None }
    }

    /// Shows an event.
    pub fn show(&mut self, event: Event) {
        match event {
            Event::Waits => self.printer.note("another isobit is probing; waiting for what it finds"),
            Event::Begun { name, suspicion } => {
                match suspicion {
                    Some(found) => self.printer.note(format_args!("probing {name} again, since in {found}")),
                    None => self.printer.note(format_args!(
                        "probing {name}, which is done once for each driver and takes up to a minute"
                    )),
                }
                self.begun = Some((name, Instant::now()));
            }
            Event::At { done, of, check } => {
                let bar = self.bar.get_or_insert_with(|| self.printer.steps("probing", of as u64));
                bar.set_length(of as u64);
                bar.set_position(done as u64);
                bar.set_message(check);
            }
            Event::Found(verdict) => {
                self.clear();
                if let Some((name, since)) = self.begun.take() {
                    let time = Duration::from_millis(100).max(since.elapsed()).as_secs_f64();
                    self.printer.note(format_args!("probed {name} in {time:.1} s: {}", summary(&verdict)));
                }
            }
            Event::Failed { .. } => self.clear(),
            Event::NotKept { cache, reason } => self.printer.warn(format_args!(
                "what the probe found cannot be kept in {}, so the device is probed every time: {reason}",
                cache.display()
            )),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A verdict in a few words.
fn summary(verdict: &Verdict) -> &'static str {
    match verdict.tier {
        Some(isobit_device::Tier::A) => "every bit is right (tier A)",
        Some(isobit_device::Tier::B) => "it computes with integers only (tier B)",
        None => "it is not to be used",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The verdict on a process that writes these events and then runs `end`.
    fn heard(events: &[Event], end: &str) -> Result<Verdict, String> {
        let lines: Vec<_> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let script = format!("echo noise of a driver; printf '%s\\n' '{}'; {end}", lines.join("' '"));
        let mut heard = Heard::default();
        let status = run(Command::new("sh").args(["-c", &script]), |event| heard.note(&event)).unwrap();
        heard.verdict(status)
    }

    fn at(check: &str) -> Event {
        Event::At { done: 1, of: 2, check: check.to_owned() }
    }

    #[test]
    fn a_driver_that_crashes_takes_no_more_with_it_than_its_process() {
        let granted = Verdict { tier: Some(isobit_device::Tier::A), failure: None };
        assert_eq!(heard(&[at("a sum"), Event::Found(granted.clone())], "exit 0"), Ok(granted.clone()));
        for (signal, number) in [("SEGV", 11), ("ABRT", 6), ("ILL", 4)] {
            let crashed = heard(&[at("a sum"), at("early returns")], &format!("kill -{signal} $$")).unwrap();
            let failure = crashed.failure.unwrap();
            assert_eq!((crashed.tier, failure.check.as_str()), (None, "early returns"));
            assert_eq!(failure.detail, format!("the driver crashed (signal {number})"));
        }
        // A crash at the end of the process counts too: it cannot be told from one that spoils later work.
        assert_eq!(heard(&[Event::Found(granted)], "kill -SEGV $$").unwrap().tier, None);
    }

    #[test]
    fn a_process_that_is_ended_by_others_says_nothing_about_the_driver() {
        for end in ["kill -KILL $$", "kill -TERM $$", "exit 0", "exit 3"] {
            heard(&[at("a sum")], end).unwrap_err();
        }
        let failed = Event::Failed { reason: "it did not finish".to_owned() };
        assert_eq!(heard(&[at("a sum"), failed], "exit 0"), Err("it did not finish".to_owned()));
    }
}
