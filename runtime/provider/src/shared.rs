//! What all jobs of a provider share.

use crate::admission::{Admission, Ceiling};
use crate::connections::Connections;
use crate::looks::Looks;
use crate::monitor::Monitor;
use crate::queue::Queue;
use crate::room::Room;
use crate::upload::Uploads;
use crate::worker::Workers;
use isobit_job::{Prices, SecretKey};
use isobit_sandbox::CodeCache;
use isobit_store::Store;
use isobit_transport::Windows;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::sync::watch;

/// What all jobs of a provider share.
pub(crate) struct Shared {
    pub secret: SecretKey,
    pub admission: Admission,
    pub ceiling: Ceiling,
    pub prices: Option<Prices>,
    pub store: Store,
    /// Who may hold how much of the store.
    pub room: Room,
    pub looks: Looks,
    pub code: CodeCache,
    pub queue: Queue,
    pub workers: Workers,
    /// The folder with the probe's verdicts.
    pub verdicts: Option<PathBuf>,
    pub connections: Connections,
    pub uploads: Uploads,
    pub windows: Windows,
    pub monitor: Monitor,
    /// Where it listens for renters.
    pub listen: SocketAddr,
    /// What the provider does with jobs.
    pub phase: watch::Sender<Phase>,
    /// How many jobs have been accepted and have not ended.
    pub accepted: watch::Sender<usize>,
}

/// What a provider does with jobs. It only moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It takes them.
    Serving,
    /// It finishes those that it has accepted, and hands all others back.
    Draining,
    /// It gives all up.
    Stopping,
}

/// A job that has been accepted, until this is dropped.
pub(crate) struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Shared {
    /// Counts a job as accepted. None if the provider drains: then it accepts no more.
    pub(crate) fn accept(&self) -> Option<Counted> {
        // Counted first: a provider that drains from now on either is seen here or sees this job.
        self.accepted.send_modify(|count| *count += 1);
        let counted = Counted(self.accepted.clone());
        (!self.is_draining()).then_some(counted)
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Completes when the provider drains.
    pub(crate) async fn draining(&self) {
        self.reaches(Phase::Draining).await;
    }

    /// Completes when the provider is asked to stop.
    pub(crate) async fn stopping(&self) {
        self.reaches(Phase::Stopping).await;
    }

    async fn reaches(&self, phase: Phase) {
        // This cannot fail: `self` holds the sender.
        self.phase.subscribe().wait_for(|now| *now >= phase).await.ok();
    }

    /// Completes when no accepted job is left.
    pub(crate) async fn idle(&self) {
        self.accepted.subscribe().wait_for(|count| *count == 0).await.ok();
    }
}
