//! One job's way through the supervisor: handshake, spec, blobs, turn, worker, receipt.

use crate::SOFTWARE;
use crate::connections::Place;
use crate::end_reason::EndReason;
use crate::monitor::JobState;
use crate::party::Party;
use crate::queue::{Full, Outlook, Position, Ticket};
use crate::room::Holding;
use crate::shared::{Counted, Shared};
use crate::upload::{self, Pace, STALL, Wanted};
use crate::worker::Seat;
use isobit_job::{Demand, FaultKind, Hash, JobId, JobSpec, NodeKey, Terms};
use isobit_store::Pin;
use isobit_transport::{CLOSE_PROTOCOL, RESET_ABANDONED};
use isobit_wire::{BlobHeader, MAX_TEXT, PROTOCOL, ProviderSession, Quote, Rejection, ToProvider, ToRenter, cut};
use quinn::{Connection, RecvStream, SendStream};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Time for a renter to send the job spec.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// Time for a renter to take a message.
pub const SEND: Duration = Duration::from_secs(30);

/// Time after the deadline for a worker to end the job on its own, before it is killed.
pub const GRACE: Duration = Duration::from_secs(2);

/// A blob's stream, on its way to the job that wants it.
pub(crate) struct BlobStream {
    pub header: BlobHeader,
    pub stream: RecvStream,
}

/// Serves one control stream from its first byte to its last.
pub(crate) async fn serve(
    shared: &Shared,
    party: Party,
    connection: &Connection,
    place: &Place,
    send: SendStream,
    receive: RecvStream,
    blobs: mpsc::Receiver<BlobStream>,
) {
    let id = send.id().index();
    let mut control = Control {
        send,
        receive,
        session: ProviderSession::new(),
        pending: VecDeque::new(),
        partial_write: false,
        job: None,
        counted: None,
    };
    let task = JobTask { shared, party, renter: party.key, connection, place, id };
    let ended = tokio::select! {
        ended = task.process(&mut control, blobs) => ended,
        () = shared.stopping() => Err(EndReason::ShutDown),
    };
    if let Err(stop) = ended {
        // A stream that merely ended, or was cut off by shutdown, before it named a job is not logged.
        if control.job.is_some() || !matches!(stop, EndReason::Disconnected | EndReason::ShutDown) {
            let (outcome, reason) = stop.name();
            shared.monitor.ended(outcome, reason);
            stop.log(&party.key, control.job);
        }
        // A job that has not started can still be rejected.
        let turned_away = matches!(stop, EndReason::ShutDown)
            && control.send(&ToRenter::Rejected(Rejection::ShuttingDown)).await.is_ok();
        if let Some(message) = stop.last_word().filter(|_| !turned_away) {
            // The renter may be gone already.
            control.send(&message).await.ok();
        }
        if let EndReason::Protocol(error) = stop {
            connection.close(CLOSE_PROTOCOL, error.to_string().as_bytes());
        }
    }
    control.end();
    // The last message, and what was sent before it, are still on their way: the connection is not idle yet.
    tokio::time::timeout(SEND, control.send.stopped()).await.ok();
}

/// The control stream.
pub(crate) struct Control {
    send: SendStream,
    receive: RecvStream,
    session: ProviderSession,
    pending: VecDeque<ToProvider>,
    /// Whether a frame has been sent in part.
    partial_write: bool,
    /// The job that the renter submitted, for the log.
    job: Option<JobId>,
    /// From `Accepted` to the last byte.
    counted: Option<Counted>,
}

impl Control {
    /// Sends a message. If this is cancelled, a frame may be left incomplete, and later calls fail. A renter that does not take it in time
    /// counts as gone.
    pub(crate) async fn send(&mut self, message: &ToRenter) -> Result<(), EndReason> {
        if self.partial_write {
            return Err(EndReason::Disconnected);
        }
        // What may not be sent is this provider's mistake, or its worker's.
        let frame = self.session.send(message).map_err(|error| EndReason::trouble(FaultKind::Internal, &error))?;
        self.partial_write = true;
        let sent = tokio::time::timeout(SEND, self.send.write_all(&frame)).await;
        sent.map_err(|_| EndReason::Disconnected)?.map_err(|_| EndReason::Disconnected)?;
        self.partial_write = false;
        Ok(())
    }

    /// Finishes the stream, or resets it if a message was sent only in part.
    fn end(&mut self) {
        // Both fail only if the stream has ended already.
        match self.partial_write {
            true => self.send.reset(RESET_ABANDONED).ok(),
            false => self.send.finish().ok(),
        };
    }

    /// The next message. May be cancelled and called again.
    async fn receive(&mut self) -> Result<ToProvider, EndReason> {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return Ok(message);
            }
            match self.receive.read_chunk(64 << 10, true).await {
                Ok(Some(chunk)) => self.pending.extend(self.session.receive(&chunk.bytes)?),
                Ok(None) | Err(_) => return Err(EndReason::Disconnected),
            }
        }
    }

    /// Completes when the renter cancels the job or is gone. `Cancel` is the only message that it may still send.
    pub(crate) async fn cancelled(&mut self) -> EndReason {
        match self.receive().await {
            Ok(_) => EndReason::Cancelled,
            Err(stop) => stop,
        }
    }
}

/// What a job's task needs to know.
pub(crate) struct JobTask<'a> {
    pub(crate) shared: &'a Shared,
    party: Party,
    pub(crate) renter: NodeKey,
    pub(crate) connection: &'a Connection,
    place: &'a Place,
    /// Index of the control stream: the job's name on this connection.
    pub(crate) id: u64,
}

/// A job that has been accepted, with its blobs held in the store.
pub(crate) struct Admitted {
    pub(crate) spec: JobSpec,
    pub(crate) deadline: Deadline,
    pub(crate) pins: Arc<BTreeMap<Hash, Pin>>,
    pub(crate) arrived: Instant,
    _holding: Holding,
}

/// How long a job may run.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) after: Duration,
    /// Whether that is less than the renter asked for.
    pub(crate) cut: bool,
}

impl Deadline {
    fn of(asked: Duration, most: Duration) -> Self {
        Self { after: asked.min(most), cut: asked > most }
    }

    pub(crate) fn late(self) -> EndReason {
        EndReason::late(self.after, self.cut)
    }
}

fn full(full: Full) -> Rejection {
    Rejection::Full { running: full.running, queued: full.queued }
}

impl JobTask<'_> {
    async fn process(&self, control: &mut Control, mut blobs: mpsc::Receiver<BlobStream>) -> Result<(), EndReason> {
        let arrived = Instant::now();
        let handshake = tokio::time::timeout(HANDSHAKE, self.handshake(control)).await;
        let Some((spec, deadline)) = handshake.map_err(|_| EndReason::Disconnected)?? else { return Ok(()) };
        // From here on the renter costs something, and its connection keeps its place.
        let _busy = self.place.begin_job();
        let watched = self.shared.monitor.watch(self.renter, &spec);
        self.shared.queue.check(&self.party, spec.class).map_err(full)?;
        let holding = self.shared.room.hold(self.party, spec.blobs().into_values())?;
        let pins = Arc::new(self.collect(control, &spec, &mut blobs).await?);
        // Whoever sends more waits for nobody.
        drop(blobs);
        // A slot is taken only when there is something to run.
        let ticket = self.shared.queue.enter(self.party, spec.class).map_err(full)?;
        watched.enters(JobState::Waiting);
        let job = Admitted { spec, deadline, pins, arrived, _holding: holding };
        let ticket = self.wait_turn(control, &job, ticket).await?;
        watched.enters(JobState::Running);
        let taken = tokio::select! {
            taken = self.shared.workers.take(job.spec.class, ticket.device()) => taken,
            stop = control.cancelled() => return Err(stop),
        };
        let Seat { mut worker, slot } = taken.map_err(|error| EndReason::trouble(FaultKind::Internal, &error))?;
        // The timeout covers the whole run: a renter that takes neither messages nor outputs must not keep its place for ever.
        let ran = tokio::time::timeout(job.deadline.after + GRACE, self.run(control, &job, &mut worker)).await;
        let ran = ran.unwrap_or_else(|_| Err(job.deadline.late()));
        // Costs little if the process has ended already; otherwise this frees all that it holds.
        worker.kill().await;
        if self.shared.is_draining() {
            drop(slot);
        } else {
            slot.free();
        }
        drop(ticket);
        self.conclude(control, job, ran?).await
    }

    /// The job that the renter submits; none if it asked for a quote and has it.
    async fn handshake(&self, control: &mut Control) -> Result<Option<(JobSpec, Deadline)>, EndReason> {
        match control.receive().await? {
            // No `Welcome` is sent before this rejection, because its bytes may differ between versions.
            ToProvider::Hello { protocol, .. } if protocol != PROTOCOL => {
                return Err(Rejection::UnsupportedProtocol { offered: protocol, supported: PROTOCOL }.into());
            }
            ToProvider::Hello { .. } => {
                control.send(&ToRenter::Welcome { protocol: PROTOCOL, software: SOFTWARE.to_owned() }).await?;
            }
            _ => return Err(EndReason::Disconnected),
        }
        let mut terms = Terms::default();
        let (spec_json, deadline) = loop {
            match control.receive().await? {
                ToProvider::Terms(stated) => terms = stated,
                ToProvider::Submit { spec_json, deadline_ms } => break (spec_json, self.deadline(deadline_ms)),
                ToProvider::Ask { demand, deadline_ms } => {
                    control.send(&ToRenter::Quote(Box::new(self.quote(&demand, deadline_ms)))).await?;
                    return Ok(None);
                }
                ToProvider::Hello { .. } | ToProvider::Cancel => return Err(EndReason::Disconnected),
            }
        };
        let spec = JobSpec::from_json(&spec_json).map_err(|error| Rejection::InvalidSpec(error.to_string()))?;
        control.job = Some(spec.id());
        if self.shared.is_draining() {
            return Err(Rejection::ShuttingDown.into());
        }
        let demand = spec.demand();
        self.admit(&demand)?;
        if let Some(prices) = &self.shared.prices {
            terms.check(prices, &demand).map_err(Rejection::TooExpensive)?;
            control.send(&ToRenter::Prices(prices.clone())).await?;
        }
        Ok(Some((spec, deadline)))
    }

    /// Whether a job that asks for this may run here. Needs no blobs.
    fn admit(&self, demand: &Demand) -> Result<(), Rejection> {
        self.shared.ceiling.check(demand)?;
        match self.shared.workers.classes().contains(&demand.class) {
            true => Ok(()),
            false => Err(Rejection::ClassNotOffered(demand.class)),
        }
    }

    fn deadline(&self, asked_ms: u64) -> Deadline {
        Deadline::of(Duration::from_millis(asked_ms), self.shared.ceiling.deadline)
    }

    fn quote(&self, demand: &Demand, deadline_ms: u64) -> Quote {
        let Shared { queue, prices, workers, .. } = self.shared;
        let refusal = match self.shared.is_draining() {
            true => Some(Rejection::ShuttingDown),
            false => self.admit(demand).and_then(|()| queue.check(&self.party, demand.class).map_err(full)).err(),
        };
        let devices: Vec<_> = workers.devices().map(|(device, _)| device.name.as_str()).collect();
        let Outlook { slots, running, waiting, places, position } = queue.outlook(self.party, demand.class);
        Quote {
            prices: prices.clone(),
            refusal: refusal.map(Rejection::bounded),
            deadline_ms: u64::try_from(self.deadline(deadline_ms).after.as_millis()).unwrap_or(u64::MAX),
            device: cut(&devices.join(", "), MAX_TEXT).to_owned(),
            classes: workers.classes(),
            slots,
            running,
            waiting,
            places,
            position,
        }
    }

    /// Pins the blobs that the store has, and receives the others.
    async fn collect(
        &self,
        control: &mut Control,
        spec: &JobSpec,
        blobs: &mut mpsc::Receiver<BlobStream>,
    ) -> Result<BTreeMap<Hash, Pin>, EndReason> {
        let asked = spec.blobs().into_values().collect();
        let found = tokio::select! {
            found = self.shared.looks.find(self.renter, self.party.network, asked) => found,
            stop = control.cancelled() => return Err(stop),
        };
        let mut pins: BTreeMap<Hash, Pin> = found.pins.into_iter().map(|pin| (pin.blob().hash, pin)).collect();
        let mut wanted = Wanted::new(found.missing);
        if wanted.is_empty() {
            return Ok(pins);
        }
        let _share = self.shared.uploads.begin(self.party)?;
        self.place.open_window(&self.shared.windows, self.connection);
        control.send(&ToRenter::Missing { blobs: wanted.hashes() }).await?;
        let mut uploads = JoinSet::new();
        let pace = Pace::default();
        while !wanted.is_empty() || !uploads.is_empty() {
            tokio::select! {
                Some(BlobStream { header, mut stream }) = blobs.recv() => match wanted.take(header.blob.hash) {
                    Some(blob) if blob == header.blob => drop(uploads.spawn(upload::receive(self.shared.store.clone(), self.renter, blob, stream, pace.clone()))),
                    _ => {
                        stream.stop(RESET_ABANDONED).ok();
                        let reason = "it was not asked for, or its size is not the job spec's".to_owned();
                        return Err(Rejection::BadBlob { hash: header.blob.hash, reason }.into());
                    }
                },
                Some(received) = uploads.join_next() => {
                    let pin = received.map_err(|error| EndReason::trouble(FaultKind::Storage, &error))??;
                    pins.insert(pin.blob().hash, pin);
                }
                stop = control.cancelled() => return Err(stop),
                () = self.shared.draining() => return Err(Rejection::ShuttingDown.into()),
                () = tokio::time::sleep(STALL), if uploads.is_empty() => {
                    let reason = format!("its upload did not begin within {} s", STALL.as_secs());
                    return Err(wanted.first().map_or(EndReason::Disconnected, |hash| Rejection::BadBlob { hash, reason }.into()));
                }
            }
        }
        Ok(pins)
    }

    /// Waits for the job's turn, and reports to the renter each time its place or the reason for it changes.
    async fn wait_turn(&self, control: &mut Control, job: &Admitted, mut ticket: Ticket) -> Result<Ticket, EndReason> {
        let mut told = None;
        loop {
            let line = match ticket.position() {
                Position::Running => {
                    control.counted = Some(self.shared.accept().ok_or(Rejection::ShuttingDown)?);
                    let deadline_ms = u64::try_from(job.deadline.after.as_millis()).unwrap_or(u64::MAX);
                    control.send(&ToRenter::Accepted { deadline_ms }).await?;
                    return Ok(ticket);
                }
                Position::Waiting(line) => line,
                Position::Lost => return Err(full(self.shared.queue.full()).into()),
            };
            if told != Some(line) {
                told = Some(line);
                control.send(&ToRenter::Queued { position: line.position(), reason: line.to_string() }).await?;
            }
            tokio::select! {
                () = ticket.moved() => {}
                stop = control.cancelled() => return Err(stop),
                () = self.shared.draining() => return Err(Rejection::ShuttingDown.into()),
            }
        }
    }
}
