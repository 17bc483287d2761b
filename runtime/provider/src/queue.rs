//! The queue of jobs: a fixed number of slots and a bounded line of waiting jobs, first come, first served.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The line of jobs of one provider.
#[derive(Clone)]
pub(crate) struct Queue {
    slots: usize,
    waiting: usize,
    line: Arc<Mutex<Line>>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Line {
    /// Running and waiting jobs in order of arrival.
    tickets: VecDeque<u64>,
    next: u64,
}

/// A place in the line. Dropping it lets the others move up.
pub(crate) struct Ticket {
    queue: Queue,
    number: u64,
    changed: watch::Receiver<()>,
}

/// The line is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) running: u32,
    pub(crate) queued: u32,
}

impl Queue {
    /// A line in which `slots` jobs run at once and `waiting` more may wait.
    pub(crate) fn new(slots: usize, waiting: usize) -> Self {
        Self { slots: slots.max(1), waiting, line: Arc::default(), changed: watch::Sender::new(()) }
    }

    pub(crate) fn enter(&self) -> Result<Ticket, Full> {
        let mut line = self.lock();
        if line.tickets.len() >= self.slots + self.waiting {
            let count = |jobs: usize| u32::try_from(jobs).unwrap_or(u32::MAX);
            return Err(Full { running: count(self.slots), queued: count(self.waiting) });
        }
        let number = line.next;
        line.next += 1;
        line.tickets.push_back(number);
        drop(line);
        Ok(Ticket { queue: self.clone(), number, changed: self.changed.subscribe() })
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// 0: it is this job's turn; 1: it is next; and so on.
    pub(crate) fn position(&self) -> usize {
        let line = self.queue.lock();
        let index = line.tickets.iter().position(|number| *number == self.number).unwrap_or(0);
        (index + 1).saturating_sub(self.queue.slots)
    }

    /// Waits until a job has left the line since the last call.
    pub(crate) async fn moved(&mut self) {
        // This cannot fail: `self.queue` holds the sender.
        self.changed.changed().await.ok();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.queue.lock().tickets.retain(|number| *number != self.number);
        self.queue.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_move_up_when_one_leaves_and_a_full_line_refuses() {
        let queue = Queue::new(1, 2);
        let first = queue.enter().unwrap();
        let second = queue.enter().unwrap();
        let third = queue.enter().unwrap();
        assert_eq!([first.position(), second.position(), third.position()], [0, 1, 2]);
        assert_eq!(queue.enter().err(), Some(Full { running: 1, queued: 2 }));
        drop(second);
        assert_eq!(third.position(), 1);
        drop(first);
        assert_eq!(third.position(), 0);
        assert!(queue.enter().is_ok());
    }

    #[tokio::test]
    async fn a_waiting_job_hears_that_the_line_moved() {
        let queue = Queue::new(1, 1);
        let first = queue.enter().unwrap();
        let mut second = queue.enter().unwrap();
        drop(first);
        second.moved().await;
        assert_eq!(second.position(), 0);
    }
}
