//! A provider under test: `isobit serve` in a process of its own.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{children, eventually, has_ended, signal_to, worker_of};
use super::{Running, isobit};

/// A provider that listens on loopback. Dropping it kills it.
pub struct Provider {
    child: Child,
    folder: Arc<TempDir>,
    device: String,
    flags: Vec<String>,
    /// host:port#key
    pub address: String,
    stdout: BufReader<ChildStdout>,
}

impl Provider {
    /// Starts one on a device, with these flags besides.
    pub fn start(device: &str, flags: &[&str]) -> Provider {
        Self::start_with(device, flags, &[])
    }

    /// The same, with these variables.
    pub fn start_with(device: &str, flags: &[&str], variables: &[(&str, &Path)]) -> Provider {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
        Self::start_in(Arc::new(folder), device, flags, variables)
    }

    fn start_in(folder: Arc<TempDir>, device: &str, flags: &[&str], variables: &[(&str, &Path)]) -> Provider {
        let mut serve = isobit();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--device", device]).args(flags);
        serve.arg("--key").arg(folder.path().join("key")).arg("--data-dir").arg(folder.path().join("data"));
        serve.env("ISOBIT_LOG", "isobit=info").envs(variables.iter().copied());
        let mut provider = Self::spawn(folder, &mut serve);
        device.clone_into(&mut provider.device);
        provider.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        provider
    }

    /// Kills it without a word, and starts it again with the same key, folder and flags, but another port.
    pub fn killed_and_started_again(&self) -> Provider {
        self.kill();
        eventually("the end of a provider that was killed", || has_ended(self.pid()).then_some(()));
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Self::start_in(Arc::clone(&self.folder), &self.device, &flags, &[])
    }

    /// Starts one on the CPU device that has inherited a descriptor of a file.
    pub fn start_holding(file: &Path) -> Provider {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
        let mut serve = isobit();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--device", "cpu", "--key"]).arg(&key);
        serve.arg("--data-dir").arg(folder.path().join("data"));
        let mut holding = Command::new("sh");
        holding.args(["-c", "exec 9<\"$0\"; exec \"$@\""]).arg(file).arg(serve.get_program()).args(serve.get_args());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => holding.env(name, value),
                None => holding.env_remove(name),
            };
        }
        Self::spawn(Arc::new(folder), &mut holding)
    }

    /// Starts one that says what it says to anybody, on the CPU device, with these arguments.
    pub fn start_plain(args: &[&str]) -> Provider {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
        let mut serve = isobit();
        serve.args(["serve", "--device", "cpu", "--key"]).arg(&key).args(args);
        serve.arg("--data-dir").arg(folder.path().join("data"));
        Self::spawn(Arc::new(folder), &mut serve)
    }

    /// Starts one with these settings in a file, besides its key and its folder.
    pub fn start_configured(settings: &str) -> Provider {
        let folder = tempfile::tempdir().unwrap();
        let (key, file) = (folder.path().join("key"), folder.path().join("provider.toml"));
        assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
        fs::write(&file, format!("key = \"key\"\ndata-dir = \"data\"\n{settings}")).unwrap();
        Self::spawn(Arc::new(folder), isobit().args(["serve", "--config"]).arg(&file))
    }

    fn spawn(folder: Arc<TempDir>, serve: &mut Command) -> Provider {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut address = String::new();
        stdout.read_line(&mut address).unwrap();
        let address = address.trim_end().to_owned();
        let provider = Provider { child, folder, device: String::new(), flags: Vec::new(), address, stdout };
        assert!(!provider.address.is_empty(), "the provider did not start:\n{}", provider.log());
        provider
    }

    /// One that all tests of this process share at the same time, for each device.
    pub fn shared(device: &str) -> Arc<Provider> {
        // Weak, so that the last test takes it down: nothing is dropped at the end of a process.
        static SHARED: Mutex<Option<HashMap<String, Weak<Provider>>>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let place = shared.get_or_insert_default().entry(device.to_owned()).or_default();
        place.upgrade().unwrap_or_else(|| {
            let provider = Arc::new(Provider::start(device, &[]));
            *place = Arc::downgrade(&provider);
            provider
        })
    }

    /// The key in its address.
    pub fn key(&self) -> &str {
        self.address.split_once('#').unwrap().1
    }

    /// Waits for its end, and returns the rest of what it printed on standard output.
    pub fn rest_of_stdout(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its folder for blobs and compiled workloads.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The supervisor's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its worker processes. Where the system permits namespaces, each is the child of a process that only waits for it.
    pub fn workers(&self) -> Vec<u32> {
        children(self.pid()).into_iter().map(worker_of).collect()
    }

    /// Its worker processes on a device, as `--device` names it to them.
    pub fn workers_on(&self, device: &str) -> Vec<u32> {
        let is_on = |pid: &u32| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split('\0');
            words.any(|word| word == "--device") && words.next() == Some(device)
        };
        self.workers().into_iter().filter(is_on).collect()
    }

    /// `isobit submit` to it, under a key made for the job.
    pub fn submit(&self, workload: &Path) -> Command {
        let mut submit = isobit();
        submit.arg("submit").arg(workload).args(["--to", &self.address, "--json"]);
        submit.env("XDG_CONFIG_HOME", self.folder.path().join("nothing"));
        submit
    }

    /// As [`Provider::submit`], started.
    pub fn start_job(&self, workload: &Path, args: &[&str]) -> Running {
        Running::start(self.submit(workload).args(args))
    }

    /// Waits until it has at most a spare worker and nothing half-received.
    #[track_caller]
    pub fn settles(&self) {
        eventually("a provider with no more than a spare worker", || (self.workers().len() <= 1).then_some(()));
        eventually("a store without temporary files", || self.temporary_files().is_empty().then_some(()));
    }

    /// What is half-received, or half-written, in its folder.
    pub fn temporary_files(&self) -> Vec<PathBuf> {
        let data = self.folder.path().join("data");
        let in_store = list(&data.join("store/temporary")).unwrap();
        // Compiled workloads end in .cwasm, their hashes in .cwasm-hash.
        let in_code = list(&data.join("code"))
            .unwrap()
            .into_iter()
            .filter(|path| path.extension().is_none_or(|end| end != "cwasm" && end != "cwasm-hash"));
        in_store.into_iter().chain(in_code).collect()
    }

    /// Kills the supervisor without a word.
    pub fn kill(&self) {
        signal_to(self.pid(), Signal::KILL);
    }

    /// Asks it to stop: it drains.
    pub fn stop(&self) {
        signal_to(self.pid(), Signal::TERM);
    }

    /// Asks it twice to stop, so that it gives up what runs.
    pub fn stop_at_once(&self) {
        self.stop();
        // Two signals of a kind can be heard as one.
        eventually("a provider that drains", || self.log().contains("draining").then_some(()));
        self.stop();
    }

    /// Waits for its end. Returns its exit status; none if a signal ended it.
    pub fn status(&mut self) -> Option<i32> {
        eventually("the end of a provider", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Both fail if a test has ended it.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("the provider said:\n{}", self.log());
        }
    }
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}
