//! `isobit serve` in a process of its own, and jobs submitted to it from this one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use isobit_job::{FaultKind, Limits, NodeAddr, Outcome, Profile, SecretKey};
use isobit_renter::{Event, Places, Submission, SubmitError, submit};
use tokio::runtime::Runtime;

/// A provider with an empty store. Ends, and leaves nothing behind, when dropped.
pub struct Provider {
    process: Child,
    addr: NodeAddr,
    _folder: tempfile::TempDir,
}

impl Provider {
    /// Starts it and waits until it listens.
    pub fn start() -> Self {
        Self::start_as(|_| ())
    }

    /// The same, with changes to its command.
    pub fn start_as(change: impl FnOnce(&mut Command)) -> Self {
        let folder = super::folder();
        let key = folder.path().join("key");
        assert!(super::tests::isobit().args(["keygen", "--quiet", "-o"]).arg(&key).output().unwrap().status.success());
        let mut serve = super::tests::isobit();
        serve
            .args([
                "serve",
                "--quiet",
                "--listen",
                "127.0.0.1:0",
                "--store-limit",
                "3GiB",
                "--allow-native",
                "--device",
            ])
            .arg(super::selector().to_string())
            .arg("--key")
            .arg(key)
            .arg("--data-dir")
            .arg(folder.path())
            .stdout(Stdio::piped());
        change(&mut serve);
        let mut process = serve.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, addr: line.trim().parse().unwrap(), _folder: folder }
    }

    /// Where it listens.
    pub fn addr(&self) -> &NodeAddr {
        &self.addr
    }

    /// The supervisor's process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Submits jobs.
pub struct Renter {
    runtime: Runtime,
    secret: SecretKey,
}

/// When what came, since the submission.
pub struct Times {
    /// The job's turn had come.
    pub accepted: Duration,
    /// The guest's first log line.
    pub first_line: Duration,
}

impl Renter {
    pub fn new() -> Self {
        Self { runtime: Runtime::new().unwrap(), secret: SecretKey::generate() }
    }

    /// Hashes workload and input.
    pub fn prepare(&self, workload: &Path, input: Option<&Path>) -> Arc<Submission> {
        let inputs = input.into_iter().map(|path| ("in".parse().unwrap(), path.to_owned())).collect();
        Arc::new(Submission::new(workload, &inputs, BTreeMap::new(), Limits::default(), Profile::Native).unwrap())
    }

    /// A job with parameters.
    pub fn prepare_with(&self, workload: &Path, params: &[(&str, &str)], profile: Profile) -> Arc<Submission> {
        let params = params.iter().map(|(name, value)| (name.parse().unwrap(), (*value).to_owned())).collect();
        Arc::new(Submission::new(workload, &BTreeMap::new(), params, Limits::default(), profile).unwrap())
    }

    /// Submits a job that ends at its deadline only, and returns how long it took from when its turn came. `running` is called once, when the guest
    /// has logged a line.
    pub fn outlast(
        &self,
        provider: &Provider,
        submission: &Arc<Submission>,
        deadline: Duration,
        running: impl FnOnce() + Send + 'static,
    ) -> Duration {
        let places = Arc::new(Places::check(&BTreeMap::new(), None, &[]).unwrap());
        let (mut accepted, mut running) = (None, Some(running));
        let events = |event| match event {
            Event::Accepted { .. } => accepted = Some(Instant::now()),
            Event::Log { .. } => {
                let running = running.take().unwrap();
                std::thread::spawn(running);
            }
            _ => {}
        };
        let job = submit(&provider.addr, &self.secret, submission, deadline, &places, events, std::future::pending());
        match self.runtime.block_on(job) {
            Err(SubmitError::Faulted(fault)) => assert_eq!(fault.kind, FaultKind::Deadline),
            other => panic!("{other:?}"),
        }
        accepted.unwrap().elapsed()
    }

    /// Submits a job and waits for its end.
    pub fn submit(&self, provider: &Provider, submission: &Arc<Submission>, output: Option<&Path>) -> Times {
        let outputs = output.into_iter().map(|path| ("out".parse().unwrap(), path.to_owned().into())).collect();
        let places = Arc::new(Places::check(&outputs, None, &[]).unwrap());
        let start = Instant::now();
        let mut times = Times { accepted: Duration::ZERO, first_line: Duration::ZERO };
        let events = |event| match event {
            Event::Accepted { .. } => times.accepted = start.elapsed(),
            Event::Log { .. } if times.first_line.is_zero() => times.first_line = start.elapsed(),
            _ => {}
        };
        let deadline = Duration::from_secs(60);
        let job = submit(&provider.addr, &self.secret, submission, deadline, &places, events, std::future::pending());
        let delivered = self.runtime.block_on(job).unwrap();
        assert_eq!(delivered.receipt.claim.outcome, Outcome::Completed);
        let job = delivered.receipt.claim.job;
        places.keep(delivered.outputs, None, job, &mut |_, _| Ok(())).unwrap();
        times
    }
}
