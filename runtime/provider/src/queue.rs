//! The queue of jobs: a fixed number of slots and a bounded number of waiting jobs, with a fair share for each renter and each network.
//!
//! A job counts as many as its renter has, or its network, whichever are more: neither many keys of one host nor one key at many hosts get more
//! than one would. A slot that becomes free goes to the job that counts the fewest running ones; of those, to the one whose renter and network have had no turn for longest. Where the queue is full,
//! a newcomer that counts fewer gets the place of the last waiting job of those that count the most. Renters of one network share among themselves.

use crate::party::{Network, Party};
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
    running: BTreeMap<u64, Party>,
    /// Waiting jobs in order of arrival.
    waiting: BTreeMap<u64, Party>,
    turns: Turns,
}

/// When each key and each network that has jobs here had its last turn; the turns are numbered.
#[derive(Clone, Default)]
struct Turns {
    last: u64,
    keys: BTreeMap<NodeKey, u64>,
    networks: BTreeMap<Network, u64>,
}

impl Turns {
    fn take(&mut self, party: &Party) {
        self.last += 1;
        self.keys.insert(party.key, self.last);
        self.networks.insert(party.network, self.last);
    }

    /// The last turn of the renter or of its network, whichever was later, and that of the renter.
    fn last_of(&self, party: &Party) -> (u64, u64) {
        let own = self.keys.get(&party.key).copied().unwrap_or(0);
        (own.max(self.networks.get(&party.network).copied().unwrap_or(0)), own)
    }

    /// Forgets those without a job.
    fn keep(&mut self, with_jobs: &Counts) {
        self.keys.retain(|key, _| with_jobs.keys.contains_key(key));
        self.networks.retain(|network, _| with_jobs.networks.contains_key(network));
    }
}

/// How many jobs each key and each network has.
#[derive(Default)]
struct Counts {
    keys: BTreeMap<NodeKey, usize>,
    networks: BTreeMap<Network, usize>,
}

impl Counts {
    fn of<'a>(parties: impl IntoIterator<Item = &'a Party>) -> Self {
        let mut counts = Self::default();
        parties.into_iter().for_each(|party| counts.add(party));
        counts
    }

    fn add(&mut self, party: &Party) {
        *self.keys.entry(party.key).or_default() += 1;
        *self.networks.entry(party.network).or_default() += 1;
    }

    /// What a job of this party counts: its share, and of that the renter's own.
    fn load(&self, party: &Party) -> (usize, usize) {
        let own = self.keys.get(&party.key).copied().unwrap_or(0);
        (own.max(self.networks.get(&party.network).copied().unwrap_or(0)), own)
    }
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

    /// Whether a job of this party would find a place now.
    ///
    /// # Errors
    /// It would not.
    pub(crate) fn check(&self, party: &Party) -> Result<(), Full> {
        let line = self.lock();
        if line.len() < self.slots + self.waiting || line.gives_way_to(party).is_some() {
            Ok(())
        } else {
            Err(self.full())
        }
    }

    /// A place for a job.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn enter(&self, party: Party) -> Result<Ticket, Full> {
        let mut line = self.lock();
        if line.len() >= self.slots + self.waiting {
            let last = line.gives_way_to(&party).ok_or_else(|| self.full())?;
            line.waiting.remove(&last);
        }
        line.next += 1;
        let number = line.next;
        line.waiting.insert(number, party);
        line.fill(self.slots);
        drop(line);
        self.changed.send_replace(());
        Ok(Ticket { queue: self.clone(), number, changed: self.changed.subscribe() })
    }

    /// How the queue looks to this renter now.
    pub(crate) fn outlook(&self, party: Party) -> Outlook {
        let mut line = self.lock().clone();
        let (running, waiting) = (count(line.running.len()), count(line.waiting.len()));
        let number = line.next.saturating_add(1);
        line.waiting.insert(number, party);
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

    /// The waiting jobs in the order in which they get slots if nothing changes.
    fn order(&self) -> Vec<u64> {
        let (mut counts, mut left) = (Counts::of(self.running.values()), self.waiting.clone());
        let mut turns = self.turns.clone();
        let mut order = Vec::with_capacity(left.len());
        while let Some((number, party)) = next(&left, &counts, &turns) {
            left.remove(&number);
            counts.add(&party);
            turns.take(&party);
            order.push(number);
        }
        order
    }

    /// Why a job waits; nothing if it does not.
    fn waiting(&self, number: u64, slots: usize) -> Option<Waiting> {
        let renter = self.waiting.get(&number)?.key;
        let order = self.order();
        let before = order.iter().position(|other| *other == number)?;
        let first = || order.iter().take(before);
        let is_own = |other: &&u64| self.waiting.get(*other).is_some_and(|party| party.key == renter);
        Some(Waiting {
            slots,
            own_slots: self.running.values().filter(|other| other.key == renter).count(),
            before,
            own: first().filter(is_own).count(),
            overtaking: first().filter(|other| **other > number).count(),
        })
    }

    /// Gives free slots to waiting jobs.
    fn fill(&mut self, slots: usize) {
        while self.running.len() < slots
            && let Some((number, party)) = next(&self.waiting, &Counts::of(self.running.values()), &self.turns)
        {
            self.waiting.remove(&number);
            self.turns.take(&party);
            self.running.insert(number, party);
        }
    }

    /// The waiting job that gives way to a newcomer: it counts at least two more, so that the two do not take the place from each other in turn.
    fn gives_way_to(&self, newcomer: &Party) -> Option<u64> {
        let counts = Counts::of(self.waiting.values());
        let (load, own) = counts.load(newcomer);
        let most = self.waiting.iter().max_by_key(|(number, party)| (counts.load(party), **number));
        let most = most.filter(|(_, party)| counts.load(party).0 >= load + 2);
        // Within a network, by key.
        let neighbours = || self.waiting.iter().filter(|(_, party)| party.network == newcomer.network);
        let neighbour = || neighbours().max_by_key(|(number, party)| (counts.load(party).1, **number));
        let found = most.or_else(|| neighbour().filter(|(_, party)| counts.load(party).1 >= own + 2));
        found.map(|(number, _)| *number)
    }
}

/// The job that counts the fewest running ones; of several, the one that has waited for a turn for longest; of several, the first.
fn next(waiting: &BTreeMap<u64, Party>, running: &Counts, turns: &Turns) -> Option<(u64, Party)> {
    let found = waiting.iter().min_by_key(|(number, party)| (running.load(party), turns.last_of(party), **number));
    found.map(|(number, party)| (*number, *party))
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
        let with_jobs = Counts::of(line.running.values().chain(line.waiting.values()));
        line.turns.keep(&with_jobs);
        drop(line);
        self.queue.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (queue, own) = (Queue::new(1, 2), Party::at(1));
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

    /// The first has eight jobs before the second has one.
    fn assert_shared([flooder, other]: [&dyn Fn() -> Party; 2]) {
        let queue = Queue::new(2, 6);
        let mut flood: Vec<_> = (0..8).map(|_| queue.enter(flooder()).unwrap()).collect();
        assert!(queue.enter(flooder()).is_err());
        // The last of the many gives way, and the few are served before the many.
        let mut own = vec![queue.enter(other()).unwrap(), queue.enter(other()).unwrap()];
        assert_eq!(positions([&flood[7], &flood[6], &own[0]]), [None, None, Some(1)]);
        own.push(queue.enter(other()).unwrap());
        assert!(queue.enter(other()).is_err(), "three each: nobody gives way");
        assert!(queue.check(&flooder()).is_err());
        drop(flood.remove(0));
        // A slot each: the one who came first is next.
        assert_eq!(positions([&own[0], &own[1]]), [Some(0), Some(2)]);
        assert_eq!(positions([&flood[0], &flood[1]]), [Some(0), Some(1)]);
    }

    #[test]
    fn a_waiting_job_is_told_why() {
        let (queue, flooder, other) = (Queue::new(2, 8), Party::at(1), Party::at(2));
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

    #[test]
    fn a_flood_of_one_renter_starves_no_other() {
        let [flooder, other] = [1, 2].map(Party::at);
        assert_shared([&|| flooder, &|| other]);
        let neighbour = Party::at(1);
        assert_shared([&|| flooder, &|| neighbour]);
    }

    #[test]
    fn many_keys_of_one_host_count_as_one() {
        let other = Party::at(2);
        assert_shared([&|| Party::at(1), &|| other]);
    }

    #[test]
    fn one_key_at_many_hosts_counts_as_one() {
        let (key, other, hosts) = (Party::at(0).key, Party::at(200), std::cell::Cell::new(0));
        let elsewhere = || {
            hosts.set(hosts.get() + 1);
            Party::with(key, hosts.get())
        };
        assert_shared([&elsewhere, &|| other]);
    }

    #[test]
    fn with_one_slot_renters_and_hosts_take_turns() {
        let flooder = Party::at(1);
        // Somebody else; another key of the same host; and a crowd of keys at one host, next to whom somebody is.
        let cases: [(&dyn Fn() -> Party, Party); 3] =
            [(&|| flooder, Party::at(2)), (&|| flooder, Party::at(1)), (&|| Party::at(1), Party::at(2))];
        for (crowd, other) in cases {
            let queue = Queue::new(1, 10);
            let mut jobs: Vec<_> = (0..4).map(|_| queue.enter(crowd()).unwrap()).collect();
            jobs.extend([0; 2].map(|_| queue.enter(other).unwrap()));
            for expected in [0, 4, 1, 5, 2, 3] {
                let runs = jobs.iter().position(|job| job.position() == Position::Running);
                let first: Vec<_> = jobs.iter().map(|job| job.number - 1).collect();
                assert_eq!(runs.map(|runs| first[runs]), Some(expected));
                drop(jobs.remove(runs.unwrap()));
            }
            assert!(queue.lock().turns.keys.is_empty() && queue.lock().turns.networks.is_empty());
        }
    }

    #[test]
    fn a_new_key_takes_no_place_from_another_host_that_has_fewer() {
        let (queue, other) = (Queue::new(1, 7), Party::at(2));
        let crowd: Vec<_> = (0..5).map(|_| queue.enter(Party::at(1)).unwrap()).collect();
        let own: Vec<_> = (0..3).map(|_| queue.enter(other).unwrap()).collect();
        assert!(queue.enter(Party::at(1)).is_err());
        assert!(own.iter().chain(&crowd).all(|ticket| ticket.position() != Position::Lost));
    }

    #[tokio::test]
    async fn a_waiting_job_hears_that_the_queue_moved() {
        let (queue, own) = (Queue::new(1, 1), Party::at(1));
        let first = queue.enter(own).unwrap();
        let mut second = queue.enter(own).unwrap();
        second.changed.mark_unchanged();
        drop(first);
        second.moved().await;
        assert_eq!(position(&second), Some(0));
    }
}
