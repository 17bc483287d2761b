//! Submits a job to a provider, and receives its outputs and receipt.

use crate::SOFTWARE;
use crate::download;
use crate::error::{SubmitError, WrongReceipt};
use crate::patience::{ARRIVAL, Allowance, Line, Patience};
use crate::places::{Part, Places};
use crate::submission::Submission;
use crate::upload;
use isobit_job::{
    Amount, Claim, Envelope, Hash, LogLevel, Name, NodeAddr, Outcome, Prices, Receipt, SecretKey, Terms, Unread,
};
use isobit_transport::{CLOSE_DONE, CLOSE_NOT_ALLOWED, RESET_ABANDONED, connect, read_header};
use isobit_wire::{OutputHeader, PROTOCOL, Rejection, RenterSession, ToProvider, ToRenter};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often upload progress is reported.
const PROGRESS: Duration = Duration::from_millis(100);

/// How long to wait for the provider's last message after `Cancel`.
const FAREWELL: Duration = Duration::from_secs(1);

/// A report on a submitted job. All but `Uploading` follow the messages of the protocol in their order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The provider has answered.
    Connected {
        /// Its software and version.
        software: String,
    },
    /// The provider charges for the job, no more than the renter's terms allow.
    Prices {
        /// Its prices.
        prices: Prices,
        /// What the job costs at most.
        most: Amount,
    },
    /// Blobs are being sent.
    Uploading {
        /// Encoded bytes sent.
        sent: u64,
        /// Encoded bytes of all blobs that the provider lacks.
        total: u64,
    },
    /// The job waits.
    Queued {
        /// 1 is next.
        position: u32,
        /// Why it waits.
        reason: String,
    },
    /// The job's turn has come.
    Accepted {
        /// How long it may run there: the deadline asked for, or less.
        deadline: Duration,
    },
    /// The guest is about to run.
    Running {
        /// The device's name.
        device: String,
    },
    /// A line of the guest's log. The text is the guest's: escape it before it reaches a terminal.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// How far the job is.
    Progress {
        /// From 0 to 1.
        fraction: f32,
        /// The guest's message: escape it as in `Log`.
        message: String,
    },
    /// The provider's device could not run the job to its end, so the job runs again on another.
    Restarted {
        /// The other device's name.
        device: String,
        /// What the first device could not do.
        reason: String,
    },
    /// The guest created an output.
    Output {
        /// Its name.
        name: Name,
        /// Whether it is wanted. An unwanted output is checked too, and kept only while a wanted one is missing.
        wanted: bool,
    },
}

/// The checked result of a job.
#[derive(Debug)]
pub struct Delivered {
    /// The receipt, checked.
    pub receipt: Receipt,
    /// The receipt as signed, to be kept.
    pub envelope: Envelope,
    /// The outputs, checked against the receipt, for [`Places::keep`]; none when the job trapped.
    pub outputs: Option<Vec<Part>>,
    /// The parameters and inputs that the workload did not read, as the provider reports them.
    pub unread: Unread,
}

/// Submits a job and waits until it has ended.
///
/// `places` says which outputs are wanted. `events` is called from this task and must not block.
/// If `cancel` completes first, the job is cancelled at the provider and nothing is kept.
///
/// A job that traps is delivered like any other: look at the claim's outcome.
///
/// # Errors
/// The job ended without a valid receipt and its outputs; [`SubmitError`] says why.
pub async fn submit(
    addr: &NodeAddr,
    secret: &SecretKey,
    submission: &Arc<Submission>,
    deadline: Duration,
    places: &Arc<Places>,
    events: impl FnMut(Event) + Send,
    cancel: impl Future<Output = ()>,
) -> Result<Delivered, SubmitError> {
    let mut cancel = std::pin::pin!(cancel);
    let (endpoint, connection) = tokio::select! {
        connected = connect(addr, secret) => connected?,
        () = &mut cancel => return Err(SubmitError::Cancelled),
    };
    let result = converse(&connection, submission, deadline, places, addr, events, cancel).await;
    hang_up(&endpoint, &connection, result).await
}

/// Closes a connection after a conversation with this result.
pub(crate) async fn hang_up<T>(
    endpoint: &Endpoint,
    connection: &Connection,
    result: Result<T, SubmitError>,
) -> Result<T, SubmitError> {
    let result = result.map_err(|error| match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) if close.error_code == CLOSE_NOT_ALLOWED => {
            SubmitError::Rejected(Rejection::NotAllowed)
        }
        _ => error,
    });
    connection.close(CLOSE_DONE, b"done");
    tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await.ok();
    result
}

/// Submits a job over a connection.
async fn converse(
    connection: &Connection,
    submission: &Arc<Submission>,
    deadline: Duration,
    places: &Arc<Places>,
    addr: &NodeAddr,
    events: impl FnMut(Event) + Send,
    mut cancel: Pin<&mut impl Future<Output = ()>>,
) -> Result<Delivered, SubmitError> {
    let mut session = tokio::select! {
        session = Session::begin(connection.clone(), submission, places, events) => session?,
        () = &mut cancel => return Err(SubmitError::Cancelled),
    };
    tokio::select! {
        // However much the provider sends, the first request to stop is heard.
        biased;
        () = cancel => {
            session.cancel().await;
            Err(SubmitError::Cancelled)
        }
        result = session.finish(deadline, addr) => result,
    }
}

/// The control stream.
pub(crate) struct Control {
    send: SendStream,
    receive: RecvStream,
    session: RenterSession,
    pending: VecDeque<ToRenter>,
}

impl Control {
    pub(crate) async fn open(connection: &Connection) -> Result<Self, SubmitError> {
        let (send, receive) = connection.open_bi().await.map_err(|error| SubmitError::broken(&error))?;
        Ok(Self { send, receive, session: RenterSession::new(), pending: VecDeque::new() })
    }

    pub(crate) async fn say(&mut self, message: &ToProvider) -> Result<(), SubmitError> {
        let frame = self.session.send(message)?;
        self.send.write_all(&frame).await.map_err(|error| SubmitError::broken(&error))
    }

    /// The next message. If it is cancelled, no message is lost: it may be called again.
    pub(crate) async fn hear(&mut self) -> Result<ToRenter, SubmitError> {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return Ok(message);
            }
            match self.receive.read_chunk(64 << 10, true).await {
                Ok(Some(chunk)) => self.pending.extend(self.session.receive(&chunk.bytes)?),
                Ok(None) => return Err(SubmitError::Connection("it ended before the job did".into())),
                Err(error) => return Err(SubmitError::broken(&error)),
            }
        }
    }
}

/// One job at one provider.
struct Session<'a, E> {
    connection: Connection,
    control: Control,
    submission: &'a Arc<Submission>,
    places: &'a Arc<Places>,
    events: E,
    sent: Arc<AtomicU64>,
    uploads: JoinSet<Result<(), SubmitError>>,
    downloads: JoinSet<Result<Part, SubmitError>>,
    /// Streams of outputs whose headers are on their way.
    headers: JoinSet<Result<(OutputHeader, RecvStream), SubmitError>>,
    allowance: Allowance,
    arrived: Vec<Part>,
    /// An output's name arrives on the control stream, its bytes on another stream; either may be first.
    names: BTreeMap<u32, Name>,
    streams: BTreeMap<u32, RecvStream>,
    /// Outputs whose streams have begun.
    begun: BTreeSet<u32>,
    /// Outputs of lower index became void when the job was restarted.
    first: u32,
    announced: u32,
    unread: Unread,
    /// What the provider charges.
    prices: Option<Prices>,
}

/// The content of the `Finished` message.
struct End {
    envelope_json: Vec<u8>,
    outputs: u32,
}

impl<'a, E: FnMut(Event) + Send> Session<'a, E> {
    async fn begin(
        connection: Connection,
        submission: &'a Arc<Submission>,
        places: &'a Arc<Places>,
        events: E,
    ) -> Result<Self, SubmitError> {
        Ok(Self {
            control: Control::open(&connection).await?,
            connection,
            submission,
            places,
            events,
            sent: Arc::default(),
            uploads: JoinSet::new(),
            downloads: JoinSet::new(),
            headers: JoinSet::new(),
            allowance: Allowance::new(&submission.spec().limits),
            arrived: Vec::new(),
            names: BTreeMap::new(),
            streams: BTreeMap::new(),
            begun: BTreeSet::new(),
            first: 0,
            announced: 0,
            unread: Unread::default(),
            prices: None,
        })
    }

    /// Submits the job and returns its checked result. If it is cancelled, nothing is left behind.
    async fn finish(&mut self, deadline: Duration, addr: &NodeAddr) -> Result<Delivered, SubmitError> {
        let end = self.run(deadline).await?;
        self.conclude(end, addr).await
    }

    async fn run(&mut self, deadline: Duration) -> Result<End, SubmitError> {
        self.control.say(&ToProvider::Hello { protocol: PROTOCOL, software: SOFTWARE.to_owned() }).await?;
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let (mut total, mut sent) = (0, 0);
        let mut tick = tokio::time::interval(PROGRESS);
        let mut patience = Patience::new(deadline);
        loop {
            // Messages may be there without end; others get their turn.
            tokio::task::consume_budget().await;
            tokio::select! {
                error = patience.ends() => return Err(error),
                message = self.control.hear() => match message? {
                    ToRenter::Welcome { software, .. } => {
                        (self.events)(Event::Connected { software });
                        let spec_json = self.submission.spec().canonical();
                        if *self.submission.terms() != Terms::default() {
                            self.control.say(&ToProvider::Terms(self.submission.terms().clone())).await?;
                        }
                        self.control.say(&ToProvider::Submit { spec_json, deadline_ms }).await?;
                        patience.submitted();
                    }
                    ToRenter::Prices(prices) => self.charge(prices)?,
                    ToRenter::Missing { blobs } => {
                        total = self.upload(&blobs)?;
                        patience.uploading();
                    }
                    ToRenter::Queued { position, reason } => {
                        patience.queued();
                        (self.events)(Event::Queued { position, reason });
                    }
                    ToRenter::Accepted { deadline_ms } => {
                        let deadline = Duration::from_millis(deadline_ms);
                        patience.accepted(deadline);
                        (self.events)(Event::Accepted { deadline });
                    }
                    ToRenter::Finished { envelope_json, outputs } => return Ok(End { envelope_json, outputs }),
                    ToRenter::Rejected(rejection) => return Err(SubmitError::Rejected(rejection)),
                    ToRenter::Faulted(fault) => return Err(SubmitError::Faulted(fault)),
                    ToRenter::Restarted { device, reason } => self.restart(device, reason),
                    ToRenter::Unread(unread) => self.unread = unread,
                    other => self.note(other)?,
                },
                stream = self.connection.accept_uni() => self.accept(stream.map_err(|error| SubmitError::broken(&error))?),
                Some(begun) = self.headers.join_next() => self.begin_output(begun.map_err(|error| SubmitError::broken(&error))??),
                Some(sent) = self.uploads.join_next() => {
                    sent.map_err(|error| SubmitError::broken(&error))??;
                    if self.uploads.is_empty() {
                        patience.uploaded();
                    }
                }
                Some(output) = self.downloads.join_next() => self.arrived.push(output.map_err(|error| SubmitError::broken(&error))??),
                _ = tick.tick(), if !self.uploads.is_empty() => {
                    let now = self.sent.load(Ordering::Relaxed);
                    if now > sent {
                        sent = now;
                        patience.uploading();
                    }
                    (self.events)(Event::Uploading { sent, total });
                }
            }
        }
    }

    /// Sends `Cancel`, and waits at most [`FAREWELL`] for the provider's last message: a message that is sent right before the
    /// connection is closed may not arrive.
    async fn cancel(&mut self) {
        let told = async {
            self.control.say(&ToProvider::Cancel).await?;
            while !self.control.hear().await?.is_last() {}
            Ok::<(), SubmitError>(())
        };
        // The job is no longer wanted, whatever the answer is.
        tokio::time::timeout(FAREWELL, told).await.ok();
    }

    /// Messages that only inform.
    fn note(&mut self, message: ToRenter) -> Result<(), SubmitError> {
        if let ToRenter::Log { message: text, .. } | ToRenter::Progress { message: text, .. } = &message {
            match self.allowance.line(text) {
                Line::Shown => {}
                Line::Last => {
                    let message = "the job says more than is shown".to_owned();
                    (self.events)(Event::Log { level: LogLevel::Warn, message });
                    return Ok(());
                }
                Line::Dropped => return Ok(()),
            }
        }
        let event = match message {
            ToRenter::Running { device } => Event::Running { device },
            ToRenter::Log { level, message } => Event::Log { level, message },
            ToRenter::Progress { fraction, message } => Event::Progress { fraction, message },
            ToRenter::Output { index, name } => {
                self.allowance.check_outputs(index.saturating_add(1).saturating_sub(self.first))?;
                let wanted = self.places.wants(&name);
                self.names.insert(index, name.clone());
                self.announced = index.saturating_add(1);
                self.pair(index);
                Event::Output { name, wanted }
            }
            _ => return Ok(()),
        };
        (self.events)(event);
        Ok(())
    }

    /// Takes the provider's prices. It has been told the terms, and may not keep to them.
    fn charge(&mut self, prices: Prices) -> Result<(), SubmitError> {
        let demand = self.submission.spec().demand();
        self.submission.terms().check(&prices, &demand).map_err(SubmitError::TooExpensive)?;
        (self.events)(Event::Prices { prices: prices.clone(), most: prices.total(&demand.most()) });
        self.prices = Some(prices);
        Ok(())
    }

    /// Drops all outputs: they are sent again, from another device.
    fn restart(&mut self, device: String, reason: String) {
        self.first = self.announced;
        self.names.clear();
        self.streams.clear();
        self.arrived.clear();
        // Dropped tasks may still hold a part for a moment; it leaves nothing behind.
        self.downloads = JoinSet::new();
        self.allowance.restart();
        self.places.restart();
        (self.events)(Event::Restarted { device, reason });
    }

    /// Starts to send the blobs that the provider lacks. Returns the number of their encoded bytes.
    fn upload(&mut self, blobs: &[Hash]) -> Result<u64, SubmitError> {
        let job = self.control.send.id().index();
        let mut total = 0;
        for hash in blobs {
            let source = self
                .submission
                .source(hash)
                .ok_or_else(|| SubmitError::Connection("the provider asks for a blob that is not the job's".into()))?;
            total += isobit_store::encoded_len(source.outboard.blob().size);
            let (connection, submission, sent, hash) =
                (self.connection.clone(), Arc::clone(self.submission), Arc::clone(&self.sent), *hash);
            self.uploads.spawn(async move {
                match submission.source(&hash) {
                    Some(source) => upload::send(connection, job, source, sent).await,
                    None => Ok(()),
                }
            });
        }
        Ok(total)
    }

    /// Waits for the header of a stream, in a task of its own: a stream without one holds nothing up.
    fn accept(&mut self, mut stream: RecvStream) {
        self.headers.spawn(async move {
            let header = tokio::time::timeout(ARRIVAL, read_header(&mut stream)).await;
            let header = header.map_err(|_| SubmitError::Silent { waits_for: "the header of an output" })?;
            Ok((header.map_err(|error| SubmitError::broken(&error))?, stream))
        });
    }

    fn begin_output(&mut self, (header, mut stream): (OutputHeader, RecvStream)) {
        if header.index < self.first {
            stream.stop(RESET_ABANDONED).ok();
            return;
        }
        // A stream for an output that has one already, or can never be, is not waited for.
        let is_possible = header.index.saturating_sub(self.first) < self.submission.spec().limits.outputs;
        if !is_possible || !self.begun.insert(header.index) {
            stream.stop(RESET_ABANDONED).ok();
            return;
        }
        self.streams.insert(header.index, stream);
        self.pair(header.index);
    }

    /// Starts to receive an output if both its name and its stream have arrived.
    fn pair(&mut self, index: u32) {
        if let (Some(name), true) = (self.names.get(&index).cloned(), self.streams.contains_key(&index))
            && let Some(stream) = self.streams.remove(&index)
        {
            self.downloads.spawn(download::receive(name, stream, Arc::clone(self.places), self.allowance.clone()));
        }
    }

    /// Waits for the rest of the outputs, and checks everything.
    async fn conclude(&mut self, end: End, addr: &NodeAddr) -> Result<Delivered, SubmitError> {
        let envelope = Envelope::from_json(&end.envelope_json)?;
        let receipt = envelope.verify()?;
        let (job, expected_job) = (receipt.claim.job, self.submission.spec().id());
        if job != expected_job || receipt.provider != addr.key {
            let wrong = WrongReceipt { job, signer: receipt.provider, expected_job, expected_signer: addr.key };
            return Err(SubmitError::WrongReceipt(Box::new(wrong)));
        }
        if receipt.bill.as_ref().map(|bill| &bill.prices) != self.prices.as_ref() {
            return Err(SubmitError::OtherPrices);
        }
        if receipt.claim.outcome != Outcome::Completed {
            let unread = std::mem::take(&mut self.unread);
            return Ok(Delivered { receipt, envelope, outputs: None, unread });
        }
        let (mut left, mut since) = (self.allowance.left(), tokio::time::Instant::now());
        while self.arrived.len() < usize::try_from(end.outputs).unwrap_or(usize::MAX) {
            tokio::select! {
                stream = self.connection.accept_uni() => self.accept(stream.map_err(|error| SubmitError::broken(&error))?),
                Some(begun) = self.headers.join_next() => self.begin_output(begun.map_err(|error| SubmitError::broken(&error))??),
                () = tokio::time::sleep_until(since + ARRIVAL) => {
                    if self.allowance.left() == left {
                        return Err(SubmitError::Silent { waits_for: "bytes of an output" });
                    }
                    (left, since) = (self.allowance.left(), tokio::time::Instant::now());
                }
                Some(output) = self.downloads.join_next() => self.arrived.push(output.map_err(|error| SubmitError::broken(&error))??),
            }
        }
        let arrived = std::mem::take(&mut self.arrived);
        check(&receipt.claim, &arrived)?;
        let unread = std::mem::take(&mut self.unread);
        Ok(Delivered { receipt, envelope, outputs: Some(arrived), unread })
    }
}

/// Checks that every output that arrived has the hash and size in the claim.
fn check(claim: &Claim, arrived: &[Part]) -> Result<(), SubmitError> {
    if claim.outputs.len() != arrived.len() {
        return Err(SubmitError::MissingOutputs { claimed: claim.outputs.len(), arrived: arrived.len() });
    }
    for output in arrived {
        if claim.outputs.get(output.name()) != Some(&output.blob()) {
            let claimed = claim
                .outputs
                .get(output.name())
                .map_or_else(|| "there is no such output".to_owned(), |blob| blob.hash.to_string());
            return Err(SubmitError::OutputMismatch {
                name: output.name().clone(),
                found: output.blob().hash,
                claimed,
            });
        }
    }
    Ok(())
}
