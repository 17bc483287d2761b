//! The devices of a provider: each has slots of its own, and workers that are started before they are needed.
//!
//! A device whose worker does not start rests for a while, and its jobs go to the others.

use super::{DeviceSummary, Gap, SpawnError, Worker, WorkerCommand, forward};
use isobit_job::DeviceClass;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Time for the whole probe; software drivers take some seconds.
const PROBE: Duration = Duration::from_secs(600);

/// Time without new jobs for a device whose worker has not started, while others are there.
const REST: Duration = Duration::from_secs(60);

/// The workers of all devices.
#[derive(Clone)]
pub(crate) struct Workers {
    devices: Arc<[Arc<Lane>]>,
    /// What their jails lack.
    gaps: Arc<[Gap]>,
    /// Changes when a slot is free again.
    freed: watch::Sender<()>,
}

/// A device with its slots.
struct Lane {
    number: usize,
    command: WorkerCommand,
    device: DeviceSummary,
    slots: usize,
    stock: Mutex<Stock>,
    /// A process probes the device.
    is_probing: AtomicBool,
}

#[derive(Default)]
struct Stock {
    /// Slots that are taken.
    busy: usize,
    /// Workers that have engine and device open and wait for a job.
    spares: Vec<Worker>,
    /// Workers that are on their way to become spares.
    starting: usize,
    rests_until: Option<Instant>,
}

/// A slot of a device. Dropping it frees the slot.
pub(crate) struct Slot {
    lane: Arc<Lane>,
    freed: watch::Sender<()>,
}

/// A ready worker, and the slot that it runs in.
pub(crate) struct Seat {
    pub worker: Worker,
    pub slot: Slot,
}

/// Where a job can run now.
enum Found {
    Slot(Slot),
    /// All slots are taken where it may run.
    Busy,
    /// It was tried everywhere.
    Nowhere,
}

impl Workers {
    /// Starts a worker on each device, to see that it works. A device that cannot be used is left out, with a line in the log.
    ///
    /// # Errors
    /// No device can be used: why the first cannot.
    pub(crate) async fn open(commands: Vec<WorkerCommand>, slots: usize) -> Result<Self, SpawnError> {
        let started: Vec<_> = commands
            .into_iter()
            .map(|command| tokio::spawn(async move { (Worker::start(&command).await, command) }))
            .collect();
        let (mut devices, mut failed, mut gaps) = (Vec::new(), Vec::new(), Vec::<Gap>::new());
        for started in started {
            match started.await {
                Ok((Ok(mut worker), command)) => {
                    let number = devices.len();
                    worker.lane = number;
                    for gap in &worker.gaps {
                        if gaps.iter().all(|known| known.wall != gap.wall) {
                            gaps.push(gap.clone());
                        }
                    }
                    let device = worker.device.clone();
                    let stock = Mutex::new(Stock { spares: vec![worker], ..Stock::default() });
                    let is_probing = AtomicBool::default();
                    devices.push(Arc::new(Lane { number, command, device, slots: slots.max(1), stock, is_probing }));
                }
                Ok((Err(error), _)) => failed.push(error),
                Err(error) => failed.push(SpawnError::Silent(error.to_string())),
            }
        }
        if devices.is_empty() {
            let none = || SpawnError::Silent("no device was named".to_owned());
            return Err(failed.into_iter().next().unwrap_or_else(none));
        }
        for error in failed {
            tracing::warn!(target: "isobit::provider", %error, "a device is left out");
        }
        let workers = Self { devices: devices.into(), gaps: gaps.into(), freed: watch::Sender::new(()) };
        for lane in workers.devices.iter() {
            lane.restock();
        }
        Ok(workers)
    }

    /// What the jails of workers lack.
    pub(crate) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// All devices, and the slots of each.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (&DeviceSummary, usize)> {
        self.devices.iter().map(|lane| (&lane.device, lane.slots))
    }

    /// How many workers wait for a job, and how many slots are taken.
    pub(crate) fn idle_and_busy(&self) -> (usize, usize) {
        let stocks = self.devices.iter().map(|lane| lane.lock());
        stocks.fold((0, 0), |(idle, busy), stock| (idle + stock.spares.len(), busy + stock.busy))
    }

    /// The device classes of all devices together.
    pub(crate) fn classes(&self) -> BTreeSet<DeviceClass> {
        self.devices.iter().flat_map(|lane| &lane.device.classes).copied().collect()
    }

    /// A ready worker in a free slot of a device that has the class, of device `first` if that can be: a spare one if it is still alive, else a new one. Where
    /// none starts, another device is tried.
    ///
    /// # Errors
    /// A worker starts on no device.
    pub(crate) async fn take(&self, class: DeviceClass, first: Option<usize>) -> Result<Seat, SpawnError> {
        let (mut freed, mut tried, mut failed) = (self.freed.subscribe(), BTreeSet::new(), None);
        loop {
            match self.find(class, first, &tried) {
                Found::Slot(slot) => match slot.lane.take().await {
                    Ok(worker) if worker.device.name == slot.lane.device.name || self.devices.len() == 1 => {
                        return Ok(Seat { worker, slot });
                    }
                    result => {
                        let other = |worker: Worker| format!("it opened another device, {}", worker.device.name);
                        let error = result.map_or_else(|error| error, |worker| SpawnError::Silent(other(worker)));
                        let device = &slot.lane.device.name;
                        tracing::warn!(target: "isobit::provider", device, %error, "no worker starts on a device");
                        slot.lane.lock().rests_until = Some(Instant::now() + REST);
                        tried.insert(slot.lane.number);
                        failed = Some(error);
                    }
                },
                // This cannot fail: `self` holds the sender.
                Found::Busy => drop(freed.changed().await),
                Found::Nowhere => {
                    return Err(failed.unwrap_or_else(|| SpawnError::Silent("there is no device".to_owned())));
                }
            }
        }
    }

    /// Takes a free slot of a device that has the class: of `first`, else of the one with the smallest share of its slots taken, and of several the first; of one
    /// that rests only when all do.
    fn find(&self, class: DeviceClass, first: Option<usize>, tried: &BTreeSet<usize>) -> Found {
        let now = Instant::now();
        let of_class = self.devices.iter().filter(|lane| lane.device.classes.contains(&class));
        let untried: Vec<_> = of_class.filter(|lane| !tried.contains(&lane.number)).collect();
        let (rests, awake): (Vec<_>, Vec<_>) =
            untried.into_iter().partition(|lane| lane.lock().rests_until.is_some_and(|until| now < until));
        let among = if awake.is_empty() { rests } else { awake };
        if among.is_empty() {
            return Found::Nowhere;
        }
        let mut free: Vec<_> = among.into_iter().map(|lane| (lane.lock().busy * 256 / lane.slots, lane)).collect();
        free.sort_by_key(|(load, lane)| (Some(lane.number) != first, *load));
        for (_, lane) in free {
            let mut stock = lane.lock();
            if stock.busy < lane.slots {
                stock.busy += 1;
                return Found::Slot(Slot { lane: Arc::clone(lane), freed: self.freed.clone() });
            }
        }
        Found::Busy
    }

    /// Has a device probed again, as a job of this worker has cast suspicion on it: in a process that is in no jail, for the verdict is to be kept. Then its
    /// spares start anew, with what was found. At most one such process at a time for each device.
    pub(crate) fn probe_again(&self, worker: &Worker) {
        if let Some(lane) = self.devices.get(worker.lane) {
            lane.probe_again();
        }
    }

    /// Ends all spares.
    pub(crate) fn clear(&self) {
        for lane in self.devices.iter() {
            lane.lock().spares.clear();
        }
    }
}

impl Slot {
    /// Frees the slot, and starts the worker for its next job, so that the start does not slow that down.
    pub(crate) fn free(self) {
        let lane = Arc::clone(&self.lane);
        drop(self);
        lane.restock();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lane.lock().busy -= 1;
        self.freed.send_replace(());
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self) -> Result<Worker, SpawnError> {
        let mut worker = Worker::start(&self.command).await?;
        worker.lane = self.number;
        Ok(worker)
    }

    async fn take(&self) -> Result<Worker, SpawnError> {
        let spare = {
            let mut stock = self.lock();
            std::iter::from_fn(|| stock.spares.pop()).find(Worker::is_alive)
        };
        match spare {
            Some(worker) => Ok(worker),
            None => self.start().await,
        }
    }

    /// Starts spares until there is one for each free slot.
    fn restock(self: &Arc<Self>) {
        let lane = Arc::clone(self);
        tokio::spawn(async move {
            while lane.begin_spare() {
                let started = lane.start().await;
                let mut stock = lane.lock();
                stock.starting -= 1;
                match started {
                    Ok(worker) => stock.spares.push(worker),
                    Err(error) => {
                        let device = &lane.device.name;
                        return tracing::warn!(target: "isobit::provider", device, %error, "no spare worker");
                    }
                }
            }
        });
    }

    fn begin_spare(&self) -> bool {
        let mut stock = self.lock();
        let is_wanted = stock.busy + stock.spares.len() + stock.starting < self.slots;
        stock.starting += usize::from(is_wanted);
        is_wanted
    }

    fn probe_again(self: &Arc<Self>) {
        if self.is_probing.swap(true, Ordering::Relaxed) {
            return;
        }
        let lane = Arc::clone(self);
        tokio::spawn(async move {
            let mut probe = tokio::process::Command::new(&lane.command.program);
            probe.args(&lane.command.args).arg("--probe-only");
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
                Ok(Ok(_)) => lane.lock().spares.clear(),
                Ok(Err(error)) => {
                    tracing::warn!(target: "isobit::provider", %error, "the device cannot be probed again")
                }
                Err(_) => {
                    tracing::warn!(target: "isobit::provider", "the device was probed again, and that took too long")
                }
            }
            lane.is_probing.store(false, Ordering::Relaxed);
        });
    }
}
