//! What a renter bears from a provider: how long it waits for each step, and how much it takes. A provider that sends nothing, or without
//! end, costs the job's limits and no more.

use crate::error::SubmitError;
use isobit_job::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Time for the first answer.
pub const WELCOME: Duration = Duration::from_secs(10);

/// Time for an answer to the job spec, and again when all blobs are sent: a provider may have to read what it has stored before.
pub const ANSWER: Duration = Duration::from_secs(300);

/// Time for a provider to take any byte of an upload.
pub const STALL: Duration = Duration::from_secs(60);

/// Time beyond the deadline for the provider to start a worker, to end the job and to say so.
pub const GRACE: Duration = Duration::from_secs(75);

/// The header of an output's stream, and any bytes of it after the job has ended, come within this time.
pub const ARRIVAL: Duration = Duration::from_secs(30);

/// The most bytes of log and progress texts that are passed on.
pub const MAX_LOG_BYTES: u64 = 64 << 20;

/// The most lines of log that are passed on, and reports of progress.
pub const MAX_LINES: u64 = 1 << 20;

/// How long the renter waits for the provider's next step.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Option<Instant>,
    waits_for: &'static str,
    deadline: Duration,
    /// The job has all its blobs, and waits or runs.
    is_complete: bool,
}

impl Patience {
    /// For a job that may run this long.
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { until: Some(Instant::now() + WELCOME), waits_for: "a first answer", deadline, is_complete: false }
    }

    fn wait(&mut self, time: Duration, waits_for: &'static str) {
        (self.until, self.waits_for) = (Instant::now().checked_add(time), waits_for);
    }

    pub(crate) fn submitted(&mut self) {
        self.wait(ANSWER, "an answer to the job");
    }

    /// Bytes of an upload have been taken, or it has begun.
    pub(crate) fn uploading(&mut self) {
        if !self.is_complete {
            self.wait(STALL, "the upload to go on");
        }
    }

    pub(crate) fn uploaded(&mut self) {
        if !self.is_complete {
            self.wait(ANSWER, "an answer to the upload");
        }
    }

    /// The job waits for others, for as long as that takes: the transport notices a provider that is gone.
    pub(crate) fn queued(&mut self) {
        (self.until, self.is_complete) = (None, true);
    }

    /// The job may run for at most so long from now.
    pub(crate) fn accepted(&mut self, granted: Duration) {
        self.is_complete = true;
        self.wait(self.deadline.min(granted).saturating_add(GRACE), "the job to end by its deadline");
    }

    /// Completes when the provider has taken too long.
    pub(crate) async fn ends(&self) -> SubmitError {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
        SubmitError::Silent { waits_for: self.waits_for }
    }
}

/// What is left of the job's limits, and of what texts may take.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    limits: Limits,
    output_bytes: Arc<AtomicU64>,
    log_bytes: u64,
    lines: u64,
}

impl Allowance {
    pub(crate) fn new(limits: &Limits) -> Self {
        let output_bytes = Arc::new(AtomicU64::new(limits.output_bytes.get()));
        Self { limits: *limits, output_bytes, log_bytes: MAX_LOG_BYTES, lines: MAX_LINES }
    }

    /// The job starts again, and so do its outputs.
    pub(crate) fn restart(&mut self) {
        self.output_bytes = Arc::new(AtomicU64::new(self.limits.output_bytes.get()));
    }

    /// Takes bytes of an output.
    ///
    /// # Errors
    /// They are more than the job may write.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), SubmitError> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self.output_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken
            .map(drop)
            .map_err(|_| SubmitError::TooMuch { limit: "output-bytes", maximum: self.limits.output_bytes.get() })
    }

    /// Bytes of outputs that may still come.
    pub(crate) fn left(&self) -> u64 {
        self.output_bytes.load(Ordering::Relaxed)
    }

    /// Checks the number of outputs.
    ///
    /// # Errors
    /// They are more than the job may create.
    pub(crate) fn check_outputs(&self, count: u32) -> Result<(), SubmitError> {
        let maximum = self.limits.outputs;
        if count > maximum { Err(SubmitError::TooMuch { limit: "outputs", maximum: maximum.into() }) } else { Ok(()) }
    }

    /// Whether a line of text is to be passed on; the last one of all is to say that there are more.
    pub(crate) fn line(&mut self, text: &str) -> Line {
        let bytes = text.len() as u64;
        match (self.lines, self.log_bytes.checked_sub(bytes)) {
            (0, _) => Line::Dropped,
            (1, _) | (_, None) => {
                self.lines = 0;
                Line::Last
            }
            (_, Some(left)) => {
                (self.lines, self.log_bytes) = (self.lines - 1, left);
                Line::Shown
            }
        }
    }
}

/// What becomes of a line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Shown,
    /// It is not passed on, and no later one will be.
    Last,
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_step_has_its_time_and_waiting_in_the_queue_has_none() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(60));
        patience.queued();
        assert!(tokio::time::timeout(Duration::from_secs(1_000_000), patience.ends()).await.is_err());
        patience.accepted(Duration::from_secs(3));
        let now = Instant::now();
        let error = patience.ends().await;
        assert_eq!(now.elapsed().as_secs(), 78);
        assert!(error.to_string().contains("deadline"), "{error}");
        assert!(start.elapsed() > Duration::from_secs(1_000_000));
        // A time beyond all clocks is none.
        Patience::new(Duration::MAX).accepted(Duration::MAX);
    }

    #[test]
    fn texts_end_with_one_that_says_so() {
        let mut allowance = Allowance::new(&Limits::default());
        let line = "x".repeat(1 << 20);
        let found: Vec<Line> = (0..70).map(|_| allowance.line(&line)).collect();
        assert_eq!(found.iter().filter(|line| **line == Line::Shown).count(), 64);
        assert_eq!(found[64..67], [Line::Last, Line::Dropped, Line::Dropped]);
        let mut allowance = Allowance::new(&Limits::default());
        assert_eq!((0..1 << 21).filter(|_| allowance.line("") == Line::Last).count(), 1);
    }

    #[test]
    fn outputs_are_held_to_the_jobs_limits() {
        let limits = Limits { output_bytes: isobit_job::Bytes::mib(1), outputs: 2, ..Limits::default() };
        let mut allowance = Allowance::new(&limits);
        assert!(allowance.take(1 << 20).is_ok() && allowance.take(0).is_ok());
        let error = allowance.take(1).unwrap_err();
        assert_eq!(error.to_string(), "the provider sends more than the job may make: limit output-bytes, 1048576");
        allowance.restart();
        assert!(allowance.take(1).is_ok());
        assert!(allowance.check_outputs(2).is_ok() && allowance.check_outputs(3).is_err());
    }
}
