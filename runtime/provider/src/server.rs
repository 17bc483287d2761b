//! Accepts connections, hands their streams to jobs, keeps workers warm.

use crate::admission::{Admission, Ceiling};
use crate::connections::{Connections, Place};
use crate::endpoint::{self, EndpointError};
use crate::handshakes::{Begin, Handshake, Handshakes};
use crate::job::{self, BlobStream};
use crate::looks::Looks;
use crate::monitor::Monitor;
use crate::party::{Network, Party};
use crate::queue::{DeviceSlots, Queue};
use crate::room::Room;
use crate::shared::{Phase, Shared};
use crate::upload::Uploads;
use crate::worker::{DeviceSummary, Gap, Groups, SpawnError, Wall, WorkerCommand, Workers};
use isobit_job::{Bytes, NodeKey, Prices, SecretKey};
use isobit_sandbox::CodeCache;
use isobit_store::{Store, StoreError};
use isobit_transport::{
    BindError, CLOSE_BUSY, CLOSE_DONE, CLOSE_NOT_ALLOWED, CLOSE_PROTOCOL, RESET_ABANDONED, Windows, peer_key,
    read_header,
};
use isobit_wire::BlobHeader;
use quinn::{Connection, Endpoint, Incoming, RecvStream};
use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Time for a handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// Time for a connection to begin its first job, and the next one after each.
pub const JOBLESS: Duration = Duration::from_secs(30);

/// Time for a stream's header after its first byte.
pub const HEADER: Duration = Duration::from_secs(10);

/// Time for renters to close their connections when the provider stops, and again after it has closed the rest.
const FAREWELL: Duration = Duration::from_secs(2);

/// Files that a provider may have open at once, where the system lets it: those of uploads, see `upload`, and as many again for workers and inputs.
const FILES: u64 = 4096;

/// The settings of a provider.
#[derive(Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any.
    pub listen: SocketAddr,
    /// The node's key.
    pub secret: SecretKey,
    /// Who may submit.
    pub admission: Admission,
    /// The most a job may ask for.
    pub ceiling: Ceiling,
    /// What jobs cost; nothing without it.
    pub prices: Option<Prices>,
    /// Folder for blobs and compiled workloads.
    pub data_dir: PathBuf,
    /// The most bytes of blobs kept there.
    pub store_limit: Bytes,
    /// Jobs that run at once on each device.
    pub slots: usize,
    /// Jobs that may wait.
    pub waiting: usize,
    /// A loopback address for metrics; port 0 takes any.
    pub metrics: Option<SocketAddr>,
    /// The folder with the probe's verdicts; without one, suspicions that jobs cast on the device are dropped.
    pub verdicts: Option<PathBuf>,
    /// For each device a program and arguments that enter [`isobit_worker::run`] in a new process.
    pub workers: Vec<(PathBuf, Vec<OsString>)>,
}

/// Why a provider could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The folder of blobs cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder of compiled workloads cannot be created.
    #[error("cannot keep compiled workloads: {0}")]
    Code(#[source] std::io::Error),
    /// What this machine is told of it cannot be told.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No worker started, or no device can be used.
    #[error(transparent)]
    Worker(#[from] SpawnError),
}

impl ServeError {
    /// What to do about it; empty if there is no advice.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::Bind(_) => "choose another address with --listen, or stop what uses this one",
            Self::Store(_) | Self::Code(_) => "choose another folder with --data-dir, or make room",
            Self::Endpoint(EndpointError::NotLoopback(_)) => {
                "use an address of loopback, as in --metrics 127.0.0.1:9464; to read it from elsewhere, put a proxy before it that asks who comes"
            }
            Self::Endpoint(EndpointError::Bind { .. }) => "choose another address with --metrics",
            Self::Endpoint(EndpointError::InUse(_)) => {
                "choose another folder with --data-dir, or stop the other; `isobit status` tells what it does"
            }
            Self::Worker(SpawnError::Unusable { hint, .. }) => hint,
            Self::Worker(_) => "try `isobit devices`; a driver may be broken",
        }
    }
}

/// A provider that listens.
pub struct Provider {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    gaps: Vec<Gap>,
    /// Where metrics are served.
    metrics: Option<SocketAddr>,
    /// Tells this machine of it until it is dropped.
    _endpoint_task: JoinSet<()>,
}

impl Provider {
    /// Opens the store, starts a worker on each device to see that it works, and listens. Devices that cannot be used are left out.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        allow_files();
        let tcp = match config.metrics {
            Some(address) => Some(endpoint::listen(address).await?),
            None => None,
        };
        let metrics = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
        let socket = endpoint::listen_in(&config.data_dir).await?;
        let store = Store::open(config.data_dir.join("store"), config.store_limit)?;
        let code = CodeCache::open(&config.data_dir.join("code")).map_err(ServeError::Code)?;
        let groups = Groups::open();
        let group = groups.as_ref().err().map(|reason| Gap::new(Wall::Group, reason));
        let groups = groups.ok().map(Arc::new);
        let command = |(program, args)| WorkerCommand { program, args, groups: groups.clone() };
        let workers = Workers::open(config.workers.into_iter().map(command).collect(), config.slots).await?;
        let gaps = workers.gaps().iter().cloned().chain(group).collect();
        let endpoint = isobit_transport::listen(config.listen, &config.secret)?;
        let listen = endpoint.local_addr().unwrap_or(config.listen);
        let slots = |(device, slots): (&DeviceSummary, usize)| DeviceSlots { classes: device.classes.clone(), slots };
        let queue = Queue::new(workers.devices().map(slots), config.waiting);
        let (secret, admission, mut ceiling) = (config.secret, config.admission, config.ceiling);
        let (room, looks) = (Room::of_store(config.store_limit), Looks::new(store.clone()));
        ceiling.blob_bytes = ceiling.blob_bytes.min(room.share());
        let (phase, accepted) = (watch::Sender::new(Phase::Serving), watch::Sender::new(0));
        let (connections, uploads, windows) = (Connections::default(), Uploads::default(), Windows::default());
        let shared = Shared {
            secret,
            admission,
            ceiling,
            prices: config.prices,
            store,
            room,
            looks,
            code,
            queue,
            workers,
            verdicts: config.verdicts,
            connections,
            uploads,
            windows,
            monitor: Monitor::new(),
            listen,
            phase,
            accepted,
        };
        let shared = Arc::new(shared);
        let mut endpoint_task = JoinSet::new();
        endpoint_task.spawn(endpoint::serve(Arc::clone(&shared), socket, tcp));
        Ok(Self { endpoint, shared, gaps, metrics, _endpoint_task: endpoint_task })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// Fails if the socket is closed.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The node's public key.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        self.shared.secret.public()
    }

    /// The devices that jobs run on, and how many jobs run on each at once.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceSummary, usize)> {
        self.shared.workers.devices()
    }

    /// Where metrics are served.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// What the jail of its workers lacks, as this system does not offer it.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Serves until `drain` completes. From then on jobs that have been accepted run to their ends, and all others are handed back with a
    /// rejection that says so. Returns when none is left, or when what `drain` returned completes: then renters are told that their jobs are
    /// given up. At the end all connections are closed and all workers are gone. Returns how many jobs were given up.
    pub async fn serve<S: Future<Output = ()>>(self, drain: impl Future<Output = S>) -> usize {
        let shared = Arc::clone(&self.shared);
        let handshakes = Handshakes::default();
        if let Some(stop) = self.accept_until(&handshakes, drain).await {
            shared.phase.send_replace(Phase::Draining);
            let running = *shared.accepted.borrow();
            tracing::info!(target: "isobit::provider", running, "draining");
            shared.workers.clear();
            let ended = async {
                tokio::select! {
                    () = stop => {}
                    () = shared.idle() => {}
                }
            };
            self.accept_until(&handshakes, ended).await;
        }
        let given_up = *shared.accepted.borrow();
        shared.phase.send_replace(Phase::Stopping);
        shared.workers.clear();
        // Notified renters close their connections. Until then, quinn may still hold the last message behind other data.
        tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await.ok();
        self.endpoint.close(CLOSE_DONE, b"the provider is shutting down");
        tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await.ok();
        given_up
    }

    /// Accepts connections until `end` completes. None if the endpoint is closed before.
    async fn accept_until<T>(&self, handshakes: &Handshakes, end: impl Future<Output = T>) -> Option<T> {
        let mut end = std::pin::pin!(end);
        loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming?,
                ended = &mut end => return Some(ended),
            };
            match handshakes.begin(incoming.remote_address().ip(), incoming.remote_address_validated()) {
                Begin::Accept(handshake) => drop(tokio::spawn(accept(Arc::clone(&self.shared), incoming, handshake))),
                Begin::Prove => drop(incoming.retry()),
                Begin::Ignore => incoming.ignore(),
            }
        }
    }
}

/// Raises this process's limit of open files, which many systems set to 1024 for programs that may not know better.
fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < FILES) {
        let current = Some(maximum.map_or(FILES, |maximum| maximum.min(FILES)));
        // Refused, the limit stays, and uploads beyond it fail.
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).ok();
    }
}

/// Where to send the blobs of each job of one connection, by the index of the job's control stream.
type Jobs = Arc<Mutex<HashMap<u64, mpsc::Sender<BlobStream>>>>;

/// Takes a connection as far as is known who it is of, and gives it a place if that is somebody who may submit.
async fn accept(shared: Arc<Shared>, incoming: Incoming, handshake: Handshake) {
    let remote = incoming.remote_address();
    let connection = match tokio::time::timeout(HANDSHAKE, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(target: "isobit::provider", %remote, %error, "handshake failed"),
        Err(_) => return tracing::debug!(target: "isobit::provider", %remote, "handshake took too long"),
    };
    drop(handshake);
    let Some(renter) = peer_key(&connection) else {
        return connection.close(CLOSE_PROTOCOL, b"no key");
    };
    if !shared.admission.allows(&renter) {
        tracing::debug!(target: "isobit::provider", %remote, %renter, "not allowed");
        return connection.close(CLOSE_NOT_ALLOWED, b"this key is not allowed");
    }
    let party = Party { key: renter, network: Network::of(remote.ip()) };
    let Some(place) = shared.connections.enter(&connection, party) else {
        tracing::debug!(target: "isobit::provider", %remote, %renter, "too many connections with jobs");
        return connection.close(CLOSE_BUSY, b"too many connections");
    };
    tracing::debug!(target: "isobit::provider", %remote, %renter, "connected");
    serve(&shared, party, &connection, &Arc::new(place)).await;
    tracing::debug!(target: "isobit::provider", %remote, %renter, "disconnected");
}

/// Hands the streams of a connection to its jobs.
async fn serve(shared: &Arc<Shared>, party: Party, connection: &Connection, place: &Arc<Place>) {
    let jobs = Jobs::default();
    // When the connection had its last job.
    let last = Arc::new(Mutex::new(Instant::now()));
    let since = |last: &Mutex<Instant>| last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
    let blobs = tokio::spawn(accept_blobs(connection.clone(), Arc::clone(&jobs)));
    loop {
        let (send, receive) = match tokio::time::timeout(JOBLESS, connection.accept_bi()).await {
            Ok(Ok(streams)) => streams,
            Ok(Err(_)) => break,
            Err(_) if lock(&jobs).is_empty() && since(&last) >= JOBLESS => {
                connection.close(CLOSE_DONE, b"no job for a while");
                break;
            }
            Err(_) => continue,
        };
        let index = send.id().index();
        let (blobs, streams) = mpsc::channel(1);
        lock(&jobs).insert(index, blobs);
        let (shared, jobs, connection) = (Arc::clone(shared), Arc::clone(&jobs), connection.clone());
        let (place, last) = (Arc::clone(place), Arc::clone(&last));
        tokio::spawn(async move {
            job::serve(&shared, party, &connection, &place, send, receive, streams).await;
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            lock(&jobs).remove(&index);
        });
    }
    blobs.abort();
}

fn lock(jobs: &Jobs) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<BlobStream>>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept_blobs(connection: Connection, jobs: Jobs) {
    while let Ok(stream) = connection.accept_uni().await {
        let (connection, jobs) = (connection.clone(), Arc::clone(&jobs));
        tokio::spawn(async move {
            if let Err(reason) = route(stream, &jobs).await {
                connection.close(CLOSE_PROTOCOL, reason.as_bytes());
            }
        });
    }
}

/// Reads a stream's header and hands the stream to its job.
async fn route(mut stream: RecvStream, jobs: &Jobs) -> Result<(), &'static str> {
    let header = tokio::time::timeout(HEADER, read_header::<BlobHeader>(&mut stream)).await;
    let header = header.map_err(|_| "a stream without a header")?.map_err(|_| "a stream with a broken header")?;
    // A job that has just ended, for example by a rejection, needs no more blobs.
    let job = lock(jobs).get(&header.job).cloned();
    match job {
        Some(job) => job.send(BlobStream { header, stream }).await.ok(),
        None => stream.stop(RESET_ABANDONED).ok(),
    };
    Ok(())
}
