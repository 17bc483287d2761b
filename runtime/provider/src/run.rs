//! A job with a worker: from its start to its receipt.

use crate::SOFTWARE;
use crate::end_reason::EndReason;
use crate::job::{Admitted, Control, JobTask};
use crate::relay::{RelayError, relay};
use crate::worker::{ChannelError, CodeFile, DeviceSummary, FromWorker, ToWorker, Worker, sealed};
use isobit_job::{Blob, Ended, Fault, FaultKind, Hash, Instead, JobId, Millis, Name, Observed, Outcome, Receipt};
use isobit_sandbox::CodeCache;
use isobit_store::Pin;
use isobit_wire::{OutputHeader, ProtocolError, Rejection, ToRenter, encode};
use isobit_worker::word::{self, Budget};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::task::JoinSet;

/// The result of a run, before it is signed.
pub(crate) struct Executed {
    ended: Ended,
    outputs: BTreeMap<Name, Blob>,
    observed: Observed,
    sent: u32,
}

impl JobTask<'_> {
    /// Hands the job to the worker, and relays its messages and outputs until the job has ended.
    pub(crate) async fn run(
        &self,
        control: &mut Control,
        job: &Admitted,
        worker: &mut Worker,
    ) -> Result<Executed, EndReason> {
        let turn = Instant::now();
        let id = job.spec.id();
        worker.job.set(id).ok();
        let scratch = tokio::select! {
            started = self.start(job, worker) => started?,
            stop = control.cancelled() => return Err(stop),
        };
        let mut run = Running {
            task: self,
            scratch,
            budget: Budget::new(job.spec.limits.output_bytes),
            relays: JoinSet::new(),
            outputs: BTreeMap::new(),
            first: 0,
            sent: 0,
            started: None,
            device: worker.device.clone(),
            job: id,
            instead_of: None,
        };
        let ended = loop {
            tokio::select! {
                message = worker.receive() => {
                    let (message, files) = message?;
                    if let Some(end) = run.take(control, job, worker, message, files).await? {
                        break end;
                    }
                }
                Some(relayed) = run.relays.join_next() => run.outputs.extend([output_of(relayed)?]),
                stop = control.cancelled() => return Err(stop),
            }
        };
        while !run.relays.is_empty() {
            tokio::select! {
                Some(relayed) = run.relays.join_next() => run.outputs.extend([output_of(relayed)?]),
                stop = control.cancelled() => return Err(stop),
            }
        }
        let started = run.started.unwrap_or_else(Instant::now);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let observed = Observed {
            device: run.device.name,
            driver: run.device.driver,
            backend: run.device.backend,
            software: SOFTWARE.to_owned(),
            started_unix_ms: Millis::from_duration(since_epoch.saturating_sub(started.elapsed())),
            queue_ms: Millis::from_duration(turn.duration_since(job.arrived)),
            prepare_ms: Millis::from_duration(started.duration_since(turn)),
            run_ms: Millis::from_duration(started.elapsed()),
            instead_of: run.instead_of,
        };
        Ok(Executed { ended, outputs: run.outputs, observed, sent: run.sent })
    }

    /// Sends the worker its job. Returns the file that it compiles into, if it has to compile.
    async fn start(&self, job: &Admitted, worker: &mut Worker) -> Result<Option<File>, EndReason> {
        let (pins, cache, key) = (Arc::clone(&job.pins), self.shared.code.clone(), worker.code_key.clone());
        let (workload, inputs) = (job.spec.workload.hash, job.spec.inputs.values().map(|blob| blob.hash).collect());
        // Reads and hashes compiled code.
        let opened = tokio::task::spawn_blocking(move || open(&pins, &cache, workload, inputs, &key)).await;
        let opened = opened.map_err(|error| EndReason::trouble(FaultKind::Internal, &error))?;
        let Opened { files, code, code_file } =
            opened.map_err(|error| EndReason::trouble(FaultKind::Storage, &error))?;
        let deadline_ms = u64::try_from(job.deadline.after.as_millis()).unwrap_or(u64::MAX);
        let message =
            ToWorker::Start { spec: job.spec.clone(), deadline_ms, code, patience_ms: None, detect_races: false };
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        worker.send(&message, &borrowed).await?;
        Ok((code == CodeFile::Empty).then_some(code_file))
    }

    /// Signs the claim and sends the receipt.
    pub(crate) async fn conclude(&self, control: &mut Control, job: Admitted, ran: Executed) -> Result<(), EndReason> {
        // The worker has run strangers' code: nothing that it says is signed unless it can be.
        let unread = word::unread(&ran.ended, &job.spec);
        let unread = unread.map_err(|said| EndReason::trouble(FaultKind::Internal, &said))?;
        let claim = ran.ended.claim(job.spec.id(), ran.outputs);
        let bill = self.shared.prices.as_ref().map(|prices| prices.bill(&claim.cost));
        let (observed, provider) = (ran.observed.bounded(), self.shared.secret.public());
        let receipt = Receipt { spec: job.spec, claim, observed, provider, bill };
        receipt.check().map_err(|error| EndReason::trouble(FaultKind::Internal, &error))?;
        if !unread.is_empty() {
            control.send(&ToRenter::Unread(unread.bounded())).await?;
        }
        // Whoever has the receipt finds it counted.
        self.shared.monitor.claimed(&receipt.claim, &receipt.observed);
        let envelope_json = receipt.sign(&self.shared.secret).to_json().into_bytes();
        let told = control.send(&ToRenter::Finished { envelope_json, outputs: ran.sent }).await.is_ok();
        let Receipt { claim, observed, bill, .. } = &receipt;
        let outcome = match &claim.outcome {
            Outcome::Completed => "completed",
            Outcome::Trapped(_) => "trapped",
        };
        tracing::info!(
            target: "isobit::job", job = %claim.job, renter = %self.renter, claim = %claim.id(), device = observed.device,
            run_ms = observed.run_ms.get(), guest_fuel = claim.cost.guest_fuel.get(), kernel_fuel = claim.cost.kernel_fuel.get(),
            bill = bill.as_ref().map(tracing::field::display), told, "{outcome}"
        );
        Ok(())
    }
}

/// The state of a run.
struct Running<'a> {
    task: &'a JobTask<'a>,
    scratch: Option<File>,
    budget: Budget,
    relays: JoinSet<Result<(Name, Blob), RelayError>>,
    outputs: BTreeMap<Name, Blob>,
    /// Index of the first output that is not void.
    first: u32,
    /// Number of outputs since then.
    sent: u32,
    started: Option<Instant>,
    device: DeviceSummary,
    /// The job's name, for the log.
    job: JobId,
    instead_of: Option<Instead>,
}

impl Running<'_> {
    /// Handles one message of the worker. Returns how the job has ended, once it has.
    async fn take(
        &mut self,
        control: &mut Control,
        job: &Admitted,
        worker: &mut Worker,
        message: FromWorker,
        files: Vec<OwnedFd>,
    ) -> Result<Option<Ended>, EndReason> {
        match message {
            FromWorker::Compiled => {
                self.keep_code(job, worker).await?;
                worker.send(&ToWorker::Run, &[]).await?;
            }
            FromWorker::Started => {
                if self.started.is_some() {
                    return Err(ChannelError::Broken("it came out of turn").into());
                }
                self.started = Some(Instant::now());
                control.send(&ToRenter::Running { device: self.device.name.clone() }).await?;
            }
            FromWorker::CodeRefused => self.task.shared.code.forget(job.spec.workload.hash, &worker.code_key),
            FromWorker::Suspect { what } => self.suspect(worker, &what).await,
            FromWorker::Log { level, message } => control.send(&ToRenter::log(level, &message)).await?,
            FromWorker::Progress { fraction, message } => control.send(&ToRenter::progress(fraction, &message)).await?,
            FromWorker::Output { name } => self.open_output(control, job, &name, files).await?,
            FromWorker::Restarted { device, reason } => self.restart(control, device, reason).await?,
            FromWorker::Ended(ended) => return Ok(Some(ended)),
            FromWorker::NotAWorkload { message } => return Err(Rejection::NotAWorkload(message).into()),
            FromWorker::Faulted(fault) => return Err(faulted(job, fault)),
            FromWorker::Ready { .. } | FromWorker::Unusable { .. } | FromWorker::Unprobed | FromWorker::Races(_) => {
                return Err(ChannelError::Broken("it came out of turn").into());
            }
        }
        Ok(None)
    }

    /// Has the device probed again before its next job: once for a job, and once a day at most.
    async fn suspect(&self, worker: &mut Worker, what: &str) {
        let Some((suspicion, verdicts)) = worker.suspicion.take().zip(self.task.shared.verdicts.clone()) else {
            return;
        };
        let suspicion = suspicion.in_words(what);
        let noted = tokio::task::spawn_blocking(move || suspicion.note(&verdicts)).await;
        match noted {
            Ok(Ok(true)) => self.task.shared.workers.probe_again(worker),
            Ok(Err(error)) => {
                tracing::warn!(target: "isobit::provider", job = %self.job, %error, "the suspicion against the device could not be noted");
            }
            Ok(Ok(false)) | Err(_) => {}
        }
    }

    /// Voids all outputs, because the worker starts the job again on another device. This may happen only once.
    async fn restart(&mut self, control: &mut Control, device: DeviceSummary, reason: String) -> Result<(), EndReason> {
        if self.instead_of.is_some() {
            return Err(ChannelError::Broken("it came out of turn").into());
        }
        tracing::info!(target: "isobit::provider", job = %self.job, reason, device = device.name, "running a job anew");
        // The streams of these outputs end as if complete; the message below declares them void.
        self.relays.shutdown().await;
        self.outputs.clear();
        self.budget = self.budget.anew();
        self.first = self.first.saturating_add(self.sent);
        self.sent = 0;
        control.send(&ToRenter::restarted(&device.name, &reason)).await?;
        let before = std::mem::replace(&mut self.device, device);
        self.instead_of = Some(Instead { device: before.name, driver: before.driver, reason });
        Ok(())
    }

    async fn keep_code(&mut self, job: &Admitted, worker: &Worker) -> Result<(), EndReason> {
        let Some(code) = self.scratch.take() else { return Err(ChannelError::Broken("it came out of turn").into()) };
        let (cache, workload, key) = (self.task.shared.code.clone(), job.spec.workload.hash, worker.code_key.clone());
        let kept = tokio::task::spawn_blocking(move || cache.keep(workload, &key, code)).await;
        if let Ok(Err(error)) = kept {
            // The job can go on; the next one compiles again.
            tracing::warn!(target: "isobit::provider", job = %self.job, %error, "compiled code could not be kept");
        }
        Ok(())
    }

    async fn open_output(
        &mut self,
        control: &mut Control,
        job: &Admitted,
        name: &str,
        files: Vec<OwnedFd>,
    ) -> Result<(), EndReason> {
        let (name, pipe) = word::output(name, files, self.sent, &job.spec)?;
        let index = self.first.saturating_add(self.sent);
        self.sent += 1;
        control.send(&ToRenter::Output { index, name: name.clone() }).await?;
        let mut stream = self.task.connection.open_uni().await.map_err(|_| EndReason::Disconnected)?;
        let header = encode(&OutputHeader { job: self.task.id, index }).map_err(ProtocolError::from)?;
        stream.write_all(&header).await.map_err(|_| EndReason::Disconnected)?;
        self.relays.spawn(relay(name, pipe, stream, self.budget.clone()));
        Ok(())
    }
}

/// What a worker is given.
struct Opened {
    /// The workload, the code, and the inputs in order.
    files: Vec<OwnedFd>,
    code: CodeFile,
    code_file: File,
}

/// Opens what a worker is given. Blocks.
fn open(
    pins: &BTreeMap<Hash, Pin>,
    cache: &CodeCache,
    workload: Hash,
    inputs: Vec<Hash>,
    key: &str,
) -> Result<Opened, Box<dyn std::error::Error + Send + Sync>> {
    let open = |hash: &Hash| {
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(pins.get(hash).ok_or("a blob is gone")?.open()?)
    };
    let cached = cache.get(workload, key);
    let code = if cached.is_some() { CodeFile::Compiled } else { CodeFile::Empty };
    let code_file = match cached {
        Some(file) => sealed(file)?,
        None => cache.scratch()?,
    };
    let mut files: Vec<OwnedFd> = vec![open(&workload)?.into(), code_file.try_clone()?.into()];
    for input in &inputs {
        files.push(open(input)?.into());
    }
    Ok(Opened { files, code, code_file })
}

type Relayed = Result<Result<(Name, Blob), RelayError>, tokio::task::JoinError>;

fn output_of(relayed: Relayed) -> Result<(Name, Blob), EndReason> {
    match relayed {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(RelayError::Renter(_) | RelayError::Stalled)) => Err(EndReason::Disconnected),
        Ok(Err(error)) => Err(EndReason::trouble(FaultKind::Internal, &error)),
        Err(error) => Err(EndReason::trouble(FaultKind::Internal, &error)),
    }
}

/// A fault that the worker reports. Kinds that only the supervisor can know of become internal faults.
fn faulted(job: &Admitted, fault: Fault) -> EndReason {
    match fault.kind {
        FaultKind::Deadline => job.deadline.late(),
        FaultKind::Cancelled
        | FaultKind::ProviderDeadline
        | FaultKind::Delivery
        | FaultKind::WorkerDied
        | FaultKind::ShutDown => EndReason::trouble(FaultKind::Internal, &fault),
        kind => EndReason::trouble(kind, &fault.detail),
    }
}
