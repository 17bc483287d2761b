//! The queue of jobs: a fixed number of slots and a bounded number of waiting jobs, with a fair share for each renter.
//!
//! A slot that becomes free goes to the renter with the fewest running jobs, and of those to the job that arrived first. Where the queue is full,
//! a renter with fewer places gets that of the last waiting job of the renter with the most.

use isobit_job::NodeKey;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The queue of one provider.
#[derive(Clone)]
pub(crate) struct Queue {
    slots: usize,
    waiting: usize,
    line: Arc<Mutex<Line>>,
    changed: watch::Sender<()>,
}

#[derive(Clone, Default)]
struct Line {
    next: u64,
    /// Jobs with a slot, by number, and whose they are.
    running: BTreeMap<u64, NodeKey>,
    /// Waiting jobs in order of arrival.
    waiting: BTreeMap<u64, NodeKey>,
}

/// A place in the queue. Dropping it lets the others move up.
pub(crate) struct Ticket {
    queue: Queue,
    number: u64,
    changed: watch::Receiver<()>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// It has a slot.
    Running,
    /// It waits.
    Waiting(Waiting),
    /// Its place was given to another renter.
    Lost,
}

/// Why a job waits: all slots are taken, and so many jobs come first. Shown, it is the reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Jobs that run at once.
    slots: usize,
    /// Slots that the job's renter has.
    own_slots: usize,
    /// Jobs that come first.
    before: usize,
    /// Those of them that are the same renter's.
    own: usize,
    /// Those of them that arrived later: their renters have fewer jobs running.
    overtaking: usize,
}

impl Waiting {
    /// The job's number in line: 1 is next.
    pub(crate) fn position(self) -> u32 {
        count(self.before.saturating_add(1))
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Waiting { slots, own_slots, before, own, overtaking } = *self;
        match slots {
            1 => f.write_str("the one slot is taken")?,
            _ => write!(f, "all {slots} slots are taken")?,
        }
        if own_slots > 0 {
            write!(f, ", {own_slots} by you")?;
        }
        match before {
            0 => return f.write_str("; yours is next"),
            1 => f.write_str("; 1 job comes first")?,
            _ => write!(f, "; {before} jobs come first")?,
        }
        if own > 0 {
            write!(f, ", {own} of them yours")?;
        }
        if overtaking > 0 {
            write!(f, ", {overtaking} of renters with fewer jobs running")?;
        }
        Ok(())
    }
}

/// How the queue looks to a renter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    pub(crate) slots: u32,
    pub(crate) running: u32,
    pub(crate) waiting: u32,
    /// How many may wait.
    pub(crate) places: u32,
    /// The number in line of the renter's next job; 0 runs at once.
    pub(crate) position: u32,
}

fn count(jobs: usize) -> u32 {
    u32::try_from(jobs).unwrap_or(u32::MAX)
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) running: u32,
    pub(crate) queued: u32,
}

impl Queue {
    /// A queue in which `slots` jobs run at once and `waiting` more may wait.
    pub(crate) fn new(slots: usize, waiting: usize) -> Self {
        Self { slots: slots.max(1), waiting, line: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// Whether a job of this renter would find a place now.
    ///
    /// # Errors
    /// It would not.
    pub(crate) fn check(&self, renter: &NodeKey) -> Result<(), Full> {
        let line = self.lock();
        if line.len() < self.slots + self.waiting || line.greediest(renter).is_some() {
            Ok(())
        } else {
            Err(self.full())
        }
    }

    /// A place for a job.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn enter(&self, renter: NodeKey) -> Result<Ticket, Full> {
        let mut line = self.lock();
        if line.len() >= self.slots + self.waiting {
            let last = line.greediest(&renter).ok_or_else(|| self.full())?;
            line.waiting.remove(&last);
        }
        line.next += 1;
        let number = line.next;
        line.waiting.insert(number, renter);
        line.fill(self.slots);
        drop(line);
        self.changed.send_replace(());
        Ok(Ticket { queue: self.clone(), number, changed: self.changed.subscribe() })
    }

    /// How the queue looks to this renter now.
    pub(crate) fn outlook(&self, renter: NodeKey) -> Outlook {
        let mut line = self.lock().clone();
        let (running, waiting) = (count(line.running.len()), count(line.waiting.len()));
        let number = line.next.saturating_add(1);
        line.waiting.insert(number, renter);
        line.fill(self.slots);
        let position = line.waiting(number, self.slots).map_or(0, Waiting::position);
        Outlook { slots: count(self.slots), running, waiting, places: count(self.waiting), position }
    }

    pub(crate) fn full(&self) -> Full {
        Full { running: count(self.slots), queued: count(self.waiting) }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn len(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// Running jobs by renter.
    fn counts(&self) -> BTreeMap<NodeKey, usize> {
        let mut counts = BTreeMap::new();
        for renter in self.running.values() {
            *counts.entry(*renter).or_default() += 1;
        }
        counts
    }

    /// The waiting jobs in the order in which they get slots if nothing changes.
    fn order(&self) -> Vec<u64> {
        let (mut counts, mut left) = (self.counts(), self.waiting.clone());
        let mut order = Vec::with_capacity(left.len());
        while let Some((number, renter)) = next(&left, &counts) {
            left.remove(&number);
            *counts.entry(renter).or_default() += 1;
            order.push(number);
        }
        order
    }

    /// Why a job waits; nothing if it does not.
    fn waiting(&self, number: u64, slots: usize) -> Option<Waiting> {
        let renter = *self.waiting.get(&number)?;
        let order = self.order();
        let before = order.iter().position(|other| *other == number)?;
        let first = || order.iter().take(before);
        let is_own = |other: &&u64| self.waiting.get(*other) == Some(&renter);
        Some(Waiting {
            slots,
            own_slots: self.running.values().filter(|other| **other == renter).count(),
            before,
            own: first().filter(is_own).count(),
            overtaking: first().filter(|other| **other > number).count(),
        })
    }

    /// Gives free slots to waiting jobs.
    fn fill(&mut self, slots: usize) {
        while self.running.len() < slots
            && let Some((number, renter)) = next(&self.waiting, &self.counts())
        {
            self.waiting.remove(&number);
            self.running.insert(number, renter);
        }
    }

    /// The last waiting job of the renter that has most, if that is at least two more than `renter` has.
    fn greediest(&self, renter: &NodeKey) -> Option<u64> {
        let mut counts: BTreeMap<NodeKey, usize> = BTreeMap::new();
        for waiting in self.waiting.values() {
            *counts.entry(*waiting).or_default() += 1;
        }
        let own = counts.get(renter).copied().unwrap_or(0);
        let (greediest, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let last = || self.waiting.iter().rev().find(|(_, renter)| **renter == greediest).map(|(number, _)| *number);
        if count >= own + 2 { last() } else { None }
    }
}

/// The job whose renter has the fewest slots; of several, the first.
fn next(waiting: &BTreeMap<u64, NodeKey>, counts: &BTreeMap<NodeKey, usize>) -> Option<(u64, NodeKey)> {
    let slots_of = |renter: &NodeKey| counts.get(renter).copied().unwrap_or(0);
    let found = waiting.iter().min_by_key(|(number, renter)| (slots_of(renter), **number));
    found.map(|(number, renter)| (*number, *renter))
}

impl Ticket {
    /// Where the job stands.
    pub(crate) fn position(&self) -> Position {
        let line = self.queue.lock();
        if line.running.contains_key(&self.number) {
            return Position::Running;
        }
        line.waiting(self.number, self.queue.slots).map_or(Position::Lost, Position::Waiting)
    }

    /// Waits until the queue has changed since the last call.
    pub(crate) async fn moved(&mut self) {
        // This cannot fail: `self.queue` holds the sender.
        self.changed.changed().await.ok();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = self.queue.lock();
        line.running.remove(&self.number);
        line.waiting.remove(&self.number);
        line.fill(self.queue.slots);
        drop(line);
        self.queue.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobit_job::SecretKey;

    fn key() -> NodeKey {
        SecretKey::generate().public()
    }

    /// A number in line, 0 of a job that runs; none of one that has lost its place.
    fn position(ticket: &Ticket) -> Option<u32> {
        match ticket.position() {
            Position::Running => Some(0),
            Position::Waiting(waiting) => Some(waiting.position()),
            Position::Lost => None,
        }
    }

    fn positions<const N: usize>(tickets: [&Ticket; N]) -> [Option<u32>; N] {
        tickets.map(position)
    }

    fn reason(ticket: &Ticket) -> String {
        let Position::Waiting(waiting) = ticket.position() else { panic!() };
        waiting.to_string()
    }

    #[test]
    fn jobs_move_up_when_one_leaves_and_a_full_queue_refuses() {
        let (queue, own) = (Queue::new(1, 2), key());
        let [first, second, third] = [0; 3].map(|_| queue.enter(own).unwrap());
        assert_eq!(positions([&first, &second, &third]), [Some(0), Some(1), Some(2)]);
        assert_eq!(queue.enter(own).err(), Some(Full { running: 1, queued: 2 }));
        assert_eq!(queue.check(&own), Err(Full { running: 1, queued: 2 }));
        drop(second);
        assert_eq!(position(&third), Some(1));
        drop(first);
        assert_eq!(position(&third), Some(0));
        assert!(queue.enter(own).is_ok());
    }

    #[test]
    fn a_flood_of_one_renter_starves_no_other() {
        let (queue, flooder, other) = (Queue::new(2, 6), key(), key());
        let flood: Vec<_> = (0..8).map(|_| queue.enter(flooder).unwrap()).collect();
        assert!(queue.enter(flooder).is_err());
        // The last of the many gives way, and the few are served before the many.
        let mut own = vec![queue.enter(other).unwrap(), queue.enter(other).unwrap()];
        assert_eq!(positions([&flood[7], &flood[6], &own[0]]), [None, None, Some(1)]);
        own.push(queue.enter(other).unwrap());
        assert!(queue.enter(other).is_err(), "three each: nobody gives way");
        let mut flood = flood;
        drop(flood.remove(0));
        // A slot each: the one who came first is next.
        assert_eq!(positions([&own[0], &own[1]]), [Some(0), Some(2)]);
        assert_eq!(positions([&flood[0], &flood[1]]), [Some(0), Some(1)]);
    }

    #[test]
    fn a_waiting_job_is_told_why() {
        let (queue, flooder, other) = (Queue::new(2, 8), key(), key());
        let flood: Vec<_> = (0..5).map(|_| queue.enter(flooder).unwrap()).collect();
        assert_eq!(reason(&flood[2]), "all 2 slots are taken, 2 by you; yours is next");
        assert_eq!(reason(&flood[4]), "all 2 slots are taken, 2 by you; 2 jobs come first, 2 of them yours");
        let outlook = Outlook { slots: 2, running: 2, waiting: 3, places: 8, position: 1 };
        assert_eq!(queue.outlook(other), outlook);
        assert_eq!(queue.outlook(flooder), Outlook { position: 4, ..outlook });
        let own = queue.enter(other).unwrap();
        assert_eq!(reason(&own), "all 2 slots are taken; yours is next");
        assert_eq!(
            reason(&flood[4]),
            "all 2 slots are taken, 2 by you; 3 jobs come first, 2 of them yours, 1 of renters with fewer jobs running"
        );
        let queue = Queue::new(1, 1);
        assert_eq!(queue.outlook(other).position, 0);
        let (_first, second) = (queue.enter(flooder).unwrap(), queue.enter(other).unwrap());
        assert_eq!(reason(&second), "the one slot is taken; yours is next");
    }

    #[tokio::test]
    async fn a_waiting_job_hears_that_the_queue_moved() {
        let (queue, own) = (Queue::new(1, 1), key());
        let first = queue.enter(own).unwrap();
        let mut second = queue.enter(own).unwrap();
        second.changed.mark_unchanged();
        drop(first);
        second.moved().await;
        assert_eq!(position(&second), Some(0));
    }
}
