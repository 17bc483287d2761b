//! Commands that run while a test watches them: what they say, signals to them, what they take.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// As long as anything is waited for that should come soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `found` is there. `what` says what is waited for.
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A command that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
    stdout: Option<JoinHandle<Vec<u8>>>,
}

/// How a command ended.
pub struct Ended {
    /// Its exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// All it said on standard output.
    pub stdout: String,
    /// All it said on standard error.
    pub stderr: String,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Running {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            bytes
        });
        Running { child, lines, stderr: String::new(), stdout: Some(stdout) }
    }

    /// Waits for a line on standard error that contains `text`.
    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    self.stderr.push_str(&line);
                    self.stderr.push('\n');
                    if line.contains(text) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("waited in vain for {text:?}; it said:\n{}", self.stderr),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {text:?}; it said:\n{}", self.stderr),
            }
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        signal_to(self.child.id(), signal);
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Ended {
        let status = eventually("the end of a command", || self.child.try_wait().unwrap());
        let stdout = self.stdout.take().unwrap().join().unwrap();
        while let Ok(line) = self.lines.recv() {
            self.stderr.push_str(&line);
            self.stderr.push('\n');
        }
        let stdout = String::from_utf8(stdout).unwrap();
        Ended { code: status.code(), stdout, stderr: std::mem::take(&mut self.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// What it printed with `--json`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}; it said:\n{}", self.stdout, self.stderr))
    }

    /// Asserts that it was done, and returns what it printed with `--json`.
    #[track_caller]
    pub fn done(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self.json()
    }

    /// Asserts how it failed: the exit status, and words of the error or of the outcome.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(
                self.stdout.contains(word) || self.stderr.contains(word),
                "no {word:?} in:\n{}\n{}",
                self.stdout,
                self.stderr
            );
        }
    }
}

/// Sends a process a signal; none if it is gone.
pub fn signal_to(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).ok();
}

/// What a process takes, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Memory now.
    pub memory: u64,
    /// The most memory so far.
    pub peak: u64,
}

/// What a process takes now, unless it is gone.
pub fn stats(pid: u32) -> Option<Stats> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    Some(Stats { memory: kib("VmRSS")? << 10, peak: kib("VmHWM")? << 10 })
}

/// Whether a process has ended with all its threads, and so with all it had open. Its parent may not have noticed yet.
pub fn has_ended(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().count();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    threads <= 1 && matches!(state, None | Some('Z' | 'X'))
}

/// The worker that a process has started. Where the system permits namespaces, it is the child of a process that only waits for it.
pub fn worker_of(waiting: u32) -> u32 {
    children(waiting).first().copied().unwrap_or(waiting)
}

/// The processes that a process has started and that still run.
pub fn children(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // PID (NAME) STATE PARENT ...; the name may hold anything.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let state = fields.next();
        if fields.next().and_then(|parent| parent.parse().ok()) == Some(pid) && state != Some("Z") {
            children.push(child);
        }
    }
    children
}

/// Lets a command meet a system on which these calls fail with this error.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "a child process is made to meet another system")]
pub fn without<'a>(command: &'a mut Command, calls: &[libc::c_long], error: libc::c_int) -> &'a mut Command {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    use std::os::unix::process::CommandExt as _;

    let rules: std::collections::BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let (allow, fail) = (SeccompAction::Allow, SeccompAction::Errno(error.cast_unsigned()));
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram = SeccompFilter::new(rules, allow, fail, arch).unwrap().try_into().unwrap();
    // SAFETY: adding a filter is two system calls, and takes no lock and no memory.
    unsafe {
        command.pre_exec(move || seccompiler::apply_filter(&filter).map_err(|_| std::io::ErrorKind::Other.into()))
    }
}
