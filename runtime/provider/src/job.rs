//! One job's walk through the supervisor: handshake, spec, blobs, turn, worker, receipt.

use crate::relay::{Budget, RelayError, relay};
use crate::server::Shared;
use crate::upload::{self, STALL, UploadError, Wanted};
use crate::worker::{ChannelError, CodeFile, FromWorker, Level, ToWorker, Worker};
use crate::{SOFTWARE, queue::Ticket};
use isobit_job::{Blob, Claim, FuelUsed, Hash, JobSpec, Millis, Name, NodeKey, Observed, Outcome, Receipt, Rules};
use isobit_store::Pin;
use isobit_transport::{CLOSE_PROTOCOL, RESET_ABANDONED};
use isobit_wire::{
    BlobHeader, FaultReason, OutputHeader, PROTOCOL, ProtocolError, ProviderSession, Rejection, ToProvider, ToRenter,
    encode,
};
use quinn::{Connection, RecvStream, SendStream};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Time for a renter to say what it wants.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How much longer than its deadline a worker may take to notice it by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A blob's stream, on its way to the job that wants it.
pub(crate) struct Bulk {
    pub header: BlobHeader,
    pub stream: RecvStream,
}

/// Why a job's walk ended before its receipt.
enum Stop {
    /// The renter is gone; nobody is left to be told.
    Gone,
    /// The job is not taken.
    Rejected(Rejection),
    /// The provider's own trouble.
    Faulted(FaultReason, String),
    /// The renter broke the protocol: the connection is closed, nothing more.
    Protocol(ProtocolError),
    /// The provider was asked to stop.
    ShutDown,
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<UploadError> for Stop {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Rejected(rejection) => Self::Rejected(rejection),
            UploadError::Store(error) => Self::Faulted(FaultReason::Store, error.to_string()),
        }
    }
}

impl From<ProtocolError> for Stop {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<ChannelError> for Stop {
    fn from(error: ChannelError) -> Self {
        Self::Faulted(FaultReason::WorkerDied, error.to_string())
    }
}

/// Serves one control stream from its first byte to its last.
pub(crate) async fn serve(
    shared: &Shared,
    renter: NodeKey,
    connection: &Connection,
    send: SendStream,
    receive: RecvStream,
    bulk: mpsc::Receiver<Bulk>,
) {
    let id = send.id().index();
    let mut control = Control { send, receive, session: ProviderSession::new(), pending: VecDeque::new(), torn: false };
    let walk = Walk { shared, renter, connection, id };
    let ended = tokio::select! {
        ended = walk.go(&mut control, bulk) => ended,
        () = shared.stopping() => Err(Stop::ShutDown),
    };
    match ended {
        Ok(()) | Err(Stop::Gone) => {}
        Err(Stop::ShutDown) => {
            // What has begun cannot be rejected any more.
            if control.say(&ToRenter::Rejected(Rejection::ShuttingDown)).await.is_err() {
                control.say(&ToRenter::faulted(FaultReason::ShutDown, "it was asked to stop")).await.ok();
            }
        }
        Err(Stop::Rejected(rejection)) => {
            tracing::info!(target: "isobit::job", %renter, %rejection, "rejected");
            control.say(&ToRenter::Rejected(rejection)).await.ok();
        }
        Err(Stop::Faulted(reason, message)) => {
            tracing::warn!(target: "isobit::job", %renter, ?reason, message, "faulted");
            control.say(&ToRenter::faulted(reason, &message)).await.ok();
        }
        Err(Stop::Protocol(error)) => {
            tracing::warn!(target: "isobit::job", %renter, %error, "protocol broken");
            connection.close(CLOSE_PROTOCOL, error.to_string().as_bytes());
        }
    }
    control.end();
}

/// The control stream.
struct Control {
    send: SendStream,
    receive: RecvStream,
    session: ProviderSession,
    pending: VecDeque<ToProvider>,
    /// Whether a frame has been sent in part.
    torn: bool,
}

impl Control {
    /// Must not be cancelled unless nothing more is to be said: a frame may be left torn.
    async fn say(&mut self, message: &ToRenter) -> Result<(), Stop> {
        if self.torn {
            return Err(Stop::Gone);
        }
        let frame = self.session.send(message)?;
        self.torn = true;
        self.send.write_all(&frame).await.map_err(|_| Stop::Gone)?;
        self.torn = false;
        Ok(())
    }

    /// Ends the stream: in good order, or as broken off where a message was.
    fn end(&mut self) {
        // Both fail only if the stream has ended already.
        match self.torn {
            true => self.send.reset(RESET_ABANDONED).ok(),
            false => self.send.finish().ok(),
        };
    }

    /// The next message. May be cancelled and called again.
    async fn hear(&mut self) -> Result<ToProvider, Stop> {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return Ok(message);
            }
            match self.receive.read_chunk(64 << 10, true).await {
                Ok(Some(chunk)) => self.pending.extend(self.session.receive(&chunk.bytes)?),
                Ok(None) | Err(_) => return Err(Stop::Gone),
            }
        }
    }

    /// Completes when the renter wants the job no more. The only thing it may still say is `Cancel`.
    async fn cancelled(&mut self) -> Stop {
        match self.hear().await {
            Ok(_) => Stop::Faulted(FaultReason::Cancelled, "the renter cancelled the job".to_owned()),
            Err(stop) => stop,
        }
    }
}

/// What a job's walk needs to know.
struct Walk<'a> {
    shared: &'a Shared,
    renter: NodeKey,
    connection: &'a Connection,
    /// Index of the control stream: the job's name on this connection.
    id: u64,
}

/// A job that has been accepted, with its blobs held in the store.
struct Admitted {
    spec: JobSpec,
    deadline: Duration,
    pins: BTreeMap<Hash, Pin>,
    arrived: Instant,
}

/// What a run came to, before it is signed.
struct Ran {
    rules: Rules,
    outcome: Outcome,
    fuel: FuelUsed,
    outputs: BTreeMap<Name, Blob>,
    observed: Observed,
    sent: u32,
}

impl Walk<'_> {
    async fn go(&self, control: &mut Control, mut bulk: mpsc::Receiver<Bulk>) -> Result<(), Stop> {
        let arrived = Instant::now();
        let handshake = tokio::time::timeout(HANDSHAKE, self.handshake(control)).await;
        let (spec, deadline) = handshake.map_err(|_| Stop::Gone)??;
        let ticket =
            self.shared.queue.enter().map_err(|full| Rejection::Full { running: full.running, queued: full.queued })?;
        let pins = self.collect(control, &spec, &mut bulk).await?;
        let job = Admitted { spec, deadline, pins, arrived };
        let ticket = self.wait_turn(control, ticket).await?;
        let mut worker = self
            .shared
            .workers
            .take()
            .await
            .map_err(|error| Stop::Faulted(FaultReason::Internal, error.to_string()))?;
        // Around all of it: a renter that takes neither messages nor outputs must not keep its place for ever.
        let ran = tokio::time::timeout(job.deadline + GRACE, self.run(control, &job, &mut worker)).await;
        let ran = ran.unwrap_or_else(|_| Err(late(&job)));
        // Cheap when the process has ended by itself; the end of everything it holds when it has not.
        worker.kill().await;
        self.shared.workers.restock();
        drop(ticket);
        self.conclude(control, job, ran?).await
    }

    async fn handshake(&self, control: &mut Control) -> Result<(JobSpec, Duration), Stop> {
        match control.hear().await? {
            // No `Welcome` goes before this: its bytes may differ between versions.
            ToProvider::Hello { protocol, .. } if protocol != PROTOCOL => {
                return Err(Rejection::UnsupportedProtocol { offered: protocol, supported: PROTOCOL }.into());
            }
            ToProvider::Hello { .. } => {
                control.say(&ToRenter::Welcome { protocol: PROTOCOL, software: SOFTWARE.to_owned() }).await?;
            }
            _ => return Err(Stop::Gone),
        }
        let ToProvider::Submit { spec_json, deadline_ms } = control.hear().await? else { return Err(Stop::Gone) };
        self.shared.admission.check(&self.renter)?;
        let spec = JobSpec::from_json(&spec_json).map_err(|error| Rejection::InvalidSpec(error.to_string()))?;
        self.shared.ceiling.check(&spec)?;
        Ok((spec, Duration::from_millis(deadline_ms).min(self.shared.ceiling.deadline)))
    }

    /// Pins the blobs that are here and receives the others.
    async fn collect(
        &self,
        control: &mut Control,
        spec: &JobSpec,
        bulk: &mut mpsc::Receiver<Bulk>,
    ) -> Result<BTreeMap<Hash, Pin>, Stop> {
        let mut pins = BTreeMap::new();
        let mut missing = Vec::new();
        for (hash, blob) in spec.blobs() {
            match self.pin(blob).await {
                Some(pin) => drop(pins.insert(hash, pin)),
                None => missing.push(blob),
            }
        }
        let mut wanted = Wanted::new(missing);
        if !wanted.is_empty() {
            control.say(&ToRenter::Missing { blobs: wanted.hashes() }).await?;
        }
        let mut uploads = JoinSet::new();
        while !wanted.is_empty() || !uploads.is_empty() {
            tokio::select! {
                Some(Bulk { header, mut stream }) = bulk.recv() => match wanted.take(header.blob.hash) {
                    Some(blob) if blob == header.blob => drop(uploads.spawn(upload::receive(self.shared.store.clone(), blob, stream))),
                    _ => {
                        stream.stop(RESET_ABANDONED).ok();
                        let reason = "it was not asked for, or its size is not the job spec's".to_owned();
                        return Err(Rejection::BadBlob { hash: header.blob.hash, reason }.into());
                    }
                },
                Some(received) = uploads.join_next() => {
                    let pin = received.map_err(|error| Stop::Faulted(FaultReason::Store, error.to_string()))??;
                    pins.insert(pin.blob().hash, pin);
                }
                stop = control.cancelled() => return Err(stop),
                () = tokio::time::sleep(STALL), if uploads.is_empty() => {
                    let reason = format!("its upload did not begin within {} s", STALL.as_secs());
                    return Err(wanted.first().map_or(Stop::Gone, |hash| Rejection::BadBlob { hash, reason }.into()));
                }
            }
        }
        Ok(pins)
    }

    /// Holds a blob that is here and whole. One that the disk has damaged is as good as missing.
    async fn pin(&self, blob: Blob) -> Option<Pin> {
        let pin = self.shared.store.pin(&blob)?;
        // Hashes a blob that this process has not received itself.
        tokio::task::spawn_blocking(move || pin.open().is_ok().then_some(pin)).await.ok()?
    }

    /// Waits in line, telling the renter each time it moves up.
    async fn wait_turn(&self, control: &mut Control, mut ticket: Ticket) -> Result<Ticket, Stop> {
        let mut told = 0;
        loop {
            let position = ticket.position();
            if position == 0 {
                control.say(&ToRenter::Accepted).await?;
                return Ok(ticket);
            }
            if position != told {
                told = position;
                let reason = "other jobs came first".to_owned();
                control
                    .say(&ToRenter::Queued { position: u32::try_from(position).unwrap_or(u32::MAX), reason })
                    .await?;
            }
            tokio::select! {
                () = ticket.moved() => {}
                stop = control.cancelled() => return Err(stop),
            }
        }
    }

    /// Hands the job to the worker and relays what it says until it has ended.
    async fn run(&self, control: &mut Control, job: &Admitted, worker: &mut Worker) -> Result<Ran, Stop> {
        let turn = Instant::now();
        let scratch = self.start(job, worker).await?;
        let mut run = Running {
            walk: self,
            scratch,
            budget: Budget::new(job.spec.limits.output_bytes),
            relays: JoinSet::new(),
            sent: 0,
            started: None,
        };
        let mut outputs = BTreeMap::new();
        let (rules, outcome, fuel) = loop {
            tokio::select! {
                message = worker.receive() => {
                    let (message, files) = message?;
                    if let Some(end) = run.take(control, job, worker, message, files).await? {
                        break end;
                    }
                }
                Some(relayed) = run.relays.join_next() => outputs.extend([settle(relayed)?]),
                stop = control.cancelled() => return Err(stop),
            }
        };
        while !run.relays.is_empty() {
            tokio::select! {
                Some(relayed) = run.relays.join_next() => outputs.extend([settle(relayed)?]),
                stop = control.cancelled() => return Err(stop),
            }
        }
        let started = run.started.unwrap_or_else(Instant::now);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let observed = Observed {
            device: worker.device.name.clone(),
            driver: worker.device.driver.clone(),
            backend: worker.device.backend.clone(),
            software: SOFTWARE.to_owned(),
            started_unix_ms: Millis::from_duration(since_epoch.saturating_sub(started.elapsed())),
            queue_ms: Millis::from_duration(turn.duration_since(job.arrived)),
            prepare_ms: Millis::from_duration(started.duration_since(turn)),
            run_ms: Millis::from_duration(started.elapsed()),
        };
        Ok(Ran { rules, outcome, fuel, outputs, observed, sent: run.sent })
    }

    /// Sends the worker its job. Returns the file that it compiles into, if it has to compile.
    async fn start(&self, job: &Admitted, worker: &mut Worker) -> Result<Option<File>, Stop> {
        let trouble = |error: &dyn std::fmt::Display| Stop::Faulted(FaultReason::Store, error.to_string());
        let open = |hash: &Hash| {
            let pin = job.pins.get(hash).ok_or_else(|| trouble(&"a blob is gone"))?;
            pin.open().map_err(|error| trouble(&error))
        };
        let workload = job.spec.workload.hash;
        let mut files: Vec<OwnedFd> = vec![open(&workload)?.into()];
        let cached = self.shared.code.get(workload, &worker.code_key);
        let code = if cached.is_some() { CodeFile::Compiled } else { CodeFile::Empty };
        let code_file = match cached {
            Some(file) => file,
            None => self.shared.code.scratch().map_err(|error| trouble(&error))?,
        };
        files.push(code_file.try_clone().map_err(|error| trouble(&error))?.into());
        for blob in job.spec.inputs.values() {
            files.push(open(&blob.hash)?.into());
        }
        let deadline_ms = u64::try_from(job.deadline.as_millis()).unwrap_or(u64::MAX);
        let message = ToWorker::Start { spec: job.spec.clone(), deadline_ms, code };
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        worker.send(&message, &borrowed).await?;
        Ok((code == CodeFile::Empty).then_some(code_file))
    }

    /// Signs the claim and says good-bye.
    async fn conclude(&self, control: &mut Control, job: Admitted, ran: Ran) -> Result<(), Stop> {
        let outputs = if ran.outcome == Outcome::Completed { ran.outputs } else { BTreeMap::new() };
        let claim = Claim { job: job.spec.id(), rules: ran.rules, outcome: ran.outcome, outputs, fuel: ran.fuel };
        let receipt =
            Receipt { spec: job.spec, claim, observed: ran.observed.bounded(), provider: self.shared.secret.public() };
        receipt.check().map_err(|error| Stop::Faulted(FaultReason::Internal, error.to_string()))?;
        tracing::info!(target: "isobit::job", renter = %self.renter, job = %receipt.claim.job, claim = %receipt.claim.id(), outcome = ?receipt.claim.outcome, "finished");
        let envelope = receipt.sign(&self.shared.secret);
        control.say(&ToRenter::Finished { envelope_json: envelope.to_json().into_bytes(), outputs: ran.sent }).await
    }
}

/// The moving parts of a run.
struct Running<'a> {
    walk: &'a Walk<'a>,
    scratch: Option<File>,
    budget: Budget,
    relays: JoinSet<Result<(Name, Blob), RelayError>>,
    sent: u32,
    started: Option<Instant>,
}

impl Running<'_> {
    /// Acts on one message of the worker. Returns rules, outcome and fuel when the job has ended.
    async fn take(
        &mut self,
        control: &mut Control,
        job: &Admitted,
        worker: &mut Worker,
        message: FromWorker,
        files: Vec<OwnedFd>,
    ) -> Result<Option<(Rules, Outcome, FuelUsed)>, Stop> {
        match message {
            FromWorker::Compiled => {
                self.keep_code(job, worker).await?;
                worker.send(&ToWorker::Run, &[]).await?;
            }
            FromWorker::Started => {
                self.started = Some(Instant::now());
                control.say(&ToRenter::Running { device: worker.device.name.clone() }).await?;
            }
            FromWorker::Log { level, message } => control.say(&ToRenter::log(level.into(), &message)).await?,
            FromWorker::Progress { fraction, message } => control.say(&ToRenter::progress(fraction, &message)).await?,
            FromWorker::Output { name } => self.open_output(control, job, &name, files).await?,
            FromWorker::Ended { rules, outcome, fuel } => return Ok(Some((rules, outcome, fuel))),
            FromWorker::NotAWorkload { message } => return Err(Rejection::NotAWorkload(message).into()),
            FromWorker::Faulted { kind, message } => return Err(Stop::Faulted(fault_reason(&kind), message)),
            FromWorker::Ready { .. } | FromWorker::Unusable { .. } => {
                return Err(ChannelError::Broken("it came out of turn").into());
            }
        }
        Ok(None)
    }

    async fn keep_code(&mut self, job: &Admitted, worker: &Worker) -> Result<(), Stop> {
        let Some(code) = self.scratch.take() else { return Err(ChannelError::Broken("it came out of turn").into()) };
        let (cache, workload, key) = (self.walk.shared.code.clone(), job.spec.workload.hash, worker.code_key.clone());
        let kept = tokio::task::spawn_blocking(move || cache.keep(workload, &key, code)).await;
        if let Ok(Err(error)) = kept {
            // The job can go on; the next one compiles again.
            tracing::warn!(target: "isobit::provider", %error, "compiled code could not be kept");
        }
        Ok(())
    }

    async fn open_output(
        &mut self,
        control: &mut Control,
        job: &Admitted,
        name: &str,
        files: Vec<OwnedFd>,
    ) -> Result<(), Stop> {
        let (Ok(name), Some(pipe)) = (name.parse::<Name>(), files.into_iter().next()) else {
            return Err(ChannelError::Broken("an output without a name or a pipe").into());
        };
        let index = self.sent;
        if index >= job.spec.limits.outputs {
            return Err(ChannelError::Broken("more outputs than the job may have").into());
        }
        self.sent += 1;
        control.say(&ToRenter::Output { index, name: name.clone() }).await?;
        let mut stream = self.walk.connection.open_uni().await.map_err(|_| Stop::Gone)?;
        let header = encode(&OutputHeader { job: self.walk.id, index }).map_err(ProtocolError::from)?;
        stream.write_all(&header).await.map_err(|_| Stop::Gone)?;
        self.relays.spawn(relay(name, pipe, stream, self.budget.clone()));
        Ok(())
    }
}

type Relayed = Result<Result<(Name, Blob), RelayError>, tokio::task::JoinError>;

fn settle(relayed: Relayed) -> Result<(Name, Blob), Stop> {
    match relayed {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(RelayError::Renter(_))) => Err(Stop::Gone),
        Ok(Err(error)) => Err(Stop::Faulted(FaultReason::Internal, error.to_string())),
        Err(error) => Err(Stop::Faulted(FaultReason::Internal, error.to_string())),
    }
}

fn late(job: &Admitted) -> Stop {
    Stop::Faulted(FaultReason::Deadline, format!("the job ran past its deadline of {:?}", job.deadline))
}

fn fault_reason(kind: &str) -> FaultReason {
    match kind {
        "deadline" => FaultReason::Deadline,
        "device" => FaultReason::DeviceLost,
        "i/o" => FaultReason::Store,
        _ => FaultReason::Internal,
    }
}

impl From<Level> for isobit_wire::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
        }
    }
}
