//! Workers that are started before they are needed.

use super::process::{SpawnError, Worker, WorkerCommand, forward};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time for the whole probe; software drivers take some seconds.
const PROBE: Duration = Duration::from_secs(600);

/// Workers that have engine and device open and wait for a job.
#[derive(Clone)]
pub(crate) struct Workers {
    command: WorkerCommand,
    spares: Arc<Mutex<Vec<Worker>>>,
    /// A process probes the device.
    is_probing: Arc<AtomicBool>,
}

impl Workers {
    pub(crate) fn new(command: WorkerCommand, first: Worker) -> Self {
        Self { command, spares: Arc::new(Mutex::new(vec![first])), is_probing: Arc::default() }
    }

    /// A ready worker: the spare one if it is still alive, else a new one.
    pub(crate) async fn take(&self) -> Result<Worker, SpawnError> {
        let spare = self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match spare.filter(Worker::is_alive) {
            Some(worker) => Ok(worker),
            None => Worker::start(&self.command).await,
        }
    }

    /// How many wait for a job.
    pub(crate) fn idle(&self) -> usize {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Starts a spare unless there is one. Called after a job, so that the start does not slow the job down.
    pub(crate) fn restock(&self) {
        let workers = self.clone();
        tokio::spawn(async move {
            if workers.spares.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                match Worker::start(&workers.command).await {
                    Ok(worker) => workers.keep_one(worker),
                    Err(error) => tracing::warn!(target: "isobit::provider", %error, "no spare worker"),
                }
            }
        });
    }

    /// Keeps a worker as the spare. If there is one already, from another job that ended meanwhile, this one is dropped.
    fn keep_one(&self, worker: Worker) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.is_empty() {
            spares.push(worker);
        }
    }

    /// Has the device probed again, as a job has cast suspicion on it: in a process that is in no jail, for the verdict is to be kept. Then spares
    /// start anew, with what was found. At most one such process at a time.
    pub(crate) fn probe_again(&self) {
        if self.is_probing.swap(true, Ordering::Relaxed) {
            return;
        }
        let workers = self.clone();
        tokio::spawn(async move {
            let mut probe = tokio::process::Command::new(&workers.command.program);
            probe.args(&workers.command.args).arg("--probe-only");
            let probe =
                probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
            let ended = async {
                let mut probe = probe?;
                if let Some(stderr) = probe.stderr.take() {
                    forward(stderr, Arc::default()).await;
                }
                probe.wait().await
            };
            match tokio::time::timeout(PROBE, ended).await {
                Ok(Ok(_)) => workers.clear(),
                Ok(Err(error)) => {
                    tracing::warn!(target: "isobit::provider", %error, "the device cannot be probed again")
                }
                Err(_) => {
                    tracing::warn!(target: "isobit::provider", "the device was probed again, and that took too long")
                }
            }
            workers.is_probing.store(false, Ordering::Relaxed);
        });
    }

    /// Ends all spares.
    pub(crate) fn clear(&self) {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
