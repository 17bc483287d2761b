//! Workers that are started before they are needed.

use super::process::{SpawnError, Worker, WorkerCommand};
use std::sync::{Arc, Mutex, PoisonError};

/// Workers that have engine and device open and wait for a job.
#[derive(Clone)]
pub(crate) struct Workers {
    command: WorkerCommand,
    spares: Arc<Mutex<Vec<Worker>>>,
}

impl Workers {
    pub(crate) fn new(command: WorkerCommand, first: Worker) -> Self {
        Self { command, spares: Arc::new(Mutex::new(vec![first])) }
    }

    /// A ready worker: the spare one if it is still alive, else a new one.
    pub(crate) async fn take(&self) -> Result<Worker, SpawnError> {
        let spare = self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match spare.filter(Worker::is_alive) {
            Some(worker) => Ok(worker),
            None => Worker::start(&self.command).await,
        }
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

    /// Ends all spares.
    pub(crate) fn clear(&self) {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
