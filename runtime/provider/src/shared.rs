//! What all jobs of a provider share.

use crate::admission::{Admission, Ceiling};
use crate::connections::Connections;
use crate::monitor::Monitor;
use crate::queue::Queue;
use crate::upload::Uploads;
use crate::worker::{DeviceSummary, Workers};
use isobit_job::SecretKey;
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
    pub store: Store,
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
    /// What jobs run on.
    pub device: DeviceSummary,
    /// Whether the provider has been asked to stop.
    pub stopping: watch::Sender<bool>,
}

impl Shared {
    /// Completes when the provider is asked to stop.
    pub(crate) async fn stopping(&self) {
        // This cannot fail: `self` holds the sender.
        self.stopping.subscribe().wait_for(|stopping| *stopping).await.ok();
    }
}
