//! The queue of jobs: a fixed number of slots and a bounded number of waiting jobs, with a fair share for each renter and each network.
//!
//! A job counts as many as its renter has, or its network, whichever are more: neither many keys of one host nor one key at many hosts get more
//! than one would. A slot is of a device, and a job takes only those of devices that have its class. A slot that becomes free goes to the job, of those that may take it, that counts the fewest running ones; of those, to the one whose renter and network have had no turn for longest. Where the queue is full,
//! a newcomer that counts fewer gets the place of the last waiting job of those that count the most. Renters of one network share among themselves.

use crate::party::{Network, Party};
use isobit_job::{DeviceClass, NodeKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The queue of one provider.
#[derive(Clone)]
pub(crate) struct Queue {
    devices: Arc<[DeviceSlots]>,
    waiting: usize,
    line: Arc<Mutex<Line>>,
    changed: watch::Sender<()>,
}

/// A device: whose jobs run on it, and how many at once.
#[derive(Clone, Debug)]
pub(crate) struct DeviceSlots {
    pub(crate) classes: BTreeSet<DeviceClass>,
    pub(crate) slots: usize,
}

#[derive(Clone, Default)]
struct Line {
    next: u64,
    /// Jobs with a slot, by number.
    running: BTreeMap<u64, Running>,
    /// Waiting jobs in order of arrival.
    waiting: BTreeMap<u64, Entrant>,
    turns: Turns,
}

/// A job as the queue sees it.
#[derive(Clone, Copy)]
struct Entrant {
    party: Party,
    class: DeviceClass,
}

/// A job with a slot.
#[derive(Clone, Copy)]
struct Running {
    party: Party,
    /// The number of the device whose slot it has.
    device: usize,
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

/// Why a job waits: all slots that it may take are taken, and so many jobs come first. Shown, it is the reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    class: DeviceClass,
    /// Jobs that run at once on devices of the class.
    slots: usize,
    /// Those slots that the job's renter has.
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
        let Waiting { class, slots, own_slots, before, own, overtaking } = *self;
        let of_class = if class == DeviceClass::Base { String::new() } else { format!(" of class {class}") };
        match slots {
            1 => write!(f, "the one slot{of_class} is taken")?,
            _ => write!(f, "all {slots} slots{of_class} are taken")?,
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
    /// A queue for these devices, in which `waiting` jobs may wait.
    pub(crate) fn new(devices: impl IntoIterator<Item = DeviceSlots>, waiting: usize) -> Self {
        let devices = devices.into_iter().collect();
        Self { devices, waiting, line: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// Whether a job of this party would find a place now.
    ///
    /// # Errors
    /// It would not.
    pub(crate) fn check(&self, party: &Party, class: DeviceClass) -> Result<(), Full> {
        let line = self.lock();
        if self.has_place(&line, class) || line.gives_way_to(party).is_some() { Ok(()) } else { Err(line.full()) }
    }

    fn has_place(&self, line: &Line, class: DeviceClass) -> bool {
        line.waiting.len() < self.waiting || line.free(&self.devices, class).is_some()
    }

    /// A place for a job.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn enter(&self, party: Party, class: DeviceClass) -> Result<Ticket, Full> {
        let mut line = self.lock();
        if !self.has_place(&line, class) {
            let last = line.gives_way_to(&party).ok_or_else(|| line.full())?;
            line.waiting.remove(&last);
        }
        line.next += 1;
        let number = line.next;
        line.waiting.insert(number, Entrant { party, class });
        line.fill(&self.devices);
        drop(line);
        self.changed.send_replace(());
        Ok(Ticket { queue: self.clone(), number, changed: self.changed.subscribe() })
    }

    /// How the queue looks to this renter now, with a job of this class.
    pub(crate) fn outlook(&self, party: Party, class: DeviceClass) -> Outlook {
        let mut line = self.lock().clone();
        let (running, waiting) = (count(line.running.len()), count(line.waiting.len()));
        let number = line.next.saturating_add(1);
        line.waiting.insert(number, Entrant { party, class });
        line.fill(&self.devices);
        let position = line.waiting(number, &self.devices).map_or(0, Waiting::position);
        Outlook { slots: count(self.slots()), running, waiting, places: count(self.waiting), position }
    }

    /// How many jobs run at once.
    pub(crate) fn slots(&self) -> usize {
        self.devices.iter().map(|device| device.slots).sum()
    }

    /// How many jobs may wait.
    pub(crate) fn places(&self) -> usize {
        self.waiting
    }

    /// What a job is told that finds no place.
    pub(crate) fn full(&self) -> Full {
        self.lock().full()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn full(&self) -> Full {
        Full { running: count(self.running.len()), queued: count(self.waiting.len()) }
    }

    /// What the parties of running jobs count.
    fn counts(&self) -> Counts {
        Counts::of(self.running.values().map(|running| &running.party))
    }

    /// The device with the class and a free slot that has the smallest share of its slots taken; of several, the first.
    fn free(&self, devices: &[DeviceSlots], class: DeviceClass) -> Option<usize> {
        let taken = |number: usize| self.running.values().filter(|running| running.device == number).count();
        let loads = devices.iter().enumerate().filter(|(_, device)| device.classes.contains(&class));
        let loads = loads.map(|(number, device)| (number, taken(number), device.slots));
        let free = loads.filter(|(_, taken, slots)| taken < slots);
        free.min_by_key(|(_, taken, slots)| taken * 256 / slots.max(&1)).map(|(number, ..)| number)
    }

    /// The waiting jobs in the order in which they get slots if nothing changes.
    fn order(&self) -> Vec<u64> {
        let (mut counts, mut left) = (self.counts(), self.waiting.clone());
        let mut turns = self.turns.clone();
        let mut order = Vec::with_capacity(left.len());
        while let Some((number, Entrant { party, .. })) = next(&left, &counts, &turns) {
            left.remove(&number);
            counts.add(&party);
            turns.take(&party);
            order.push(number);
        }
        order
    }

    /// Why a job waits; nothing if it does not.
    fn waiting(&self, number: u64, devices: &[DeviceSlots]) -> Option<Waiting> {
        let Entrant { party: Party { key: renter, .. }, class } = *self.waiting.get(&number)?;
        let has_class = |device: &DeviceSlots| device.classes.contains(&class);
        let takes_slot =
            |running: &&Running| running.party.key == renter && devices.get(running.device).is_some_and(has_class);
        let order = self.order();
        let before = order.iter().position(|other| *other == number)?;
        let first = || order.iter().take(before);
        let is_own = |other: &&u64| self.waiting.get(*other).is_some_and(|other| other.party.key == renter);
        Some(Waiting {
            class,
            slots: devices.iter().filter(|device| has_class(device)).map(|device| device.slots).sum(),
            own_slots: self.running.values().filter(takes_slot).count(),
            before,
            own: first().filter(is_own).count(),
            overtaking: first().filter(|other| **other > number).count(),
        })
    }

    /// Gives free slots to waiting jobs.
    fn fill(&mut self, devices: &[DeviceSlots]) {
        loop {
            let free = DeviceClass::ALL.map(|class| (class, self.free(devices, class)));
            let device = |class| free.iter().find(|(other, _)| *other == class).and_then(|(_, device)| *device);
            let fitting = self.waiting.iter().filter(|(_, entrant)| device(entrant.class).is_some());
            let Some((number, Entrant { party, class })) = next(fitting, &self.counts(), &self.turns) else { return };
            let Some(device) = device(class) else { return };
            self.waiting.remove(&number);
            self.turns.take(&party);
            self.running.insert(number, Running { party, device });
        }
    }

    /// The waiting job that gives way to a newcomer: it counts at least two more, so that the two do not take the place from each other in turn.
    fn gives_way_to(&self, newcomer: &Party) -> Option<u64> {
        let waiting = || self.waiting.iter().map(|(number, entrant)| (number, &entrant.party));
        let counts = Counts::of(waiting().map(|(_, party)| party));
        let (load, own) = counts.load(newcomer);
        let most = waiting().max_by_key(|(number, party)| (counts.load(party), **number));
        let most = most.filter(|(_, party)| counts.load(party).0 >= load + 2);
        // Within a network, by key.
        let neighbours = || waiting().filter(|(_, party)| party.network == newcomer.network);
        let neighbour = || neighbours().max_by_key(|(number, party)| (counts.load(party).1, **number));
        let found = most.or_else(|| neighbour().filter(|(_, party)| counts.load(party).1 >= own + 2));
        found.map(|(number, _)| *number)
    }
}

/// The job that counts the fewest running ones; of several, the one that has waited for a turn for longest; of several, the first.
fn next<'a>(
    waiting: impl IntoIterator<Item = (&'a u64, &'a Entrant)>,
    running: &Counts,
    turns: &Turns,
) -> Option<(u64, Entrant)> {
    let rank =
        |(number, Entrant { party, .. }): &(&u64, &Entrant)| (running.load(party), turns.last_of(party), **number);
    waiting.into_iter().min_by_key(rank).map(|(number, entrant)| (*number, *entrant))
}

impl Ticket {
    /// Where the job stands.
    pub(crate) fn position(&self) -> Position {
        let line = self.queue.lock();
        if line.running.contains_key(&self.number) {
            return Position::Running;
        }
        line.waiting(self.number, &self.queue.devices).map_or(Position::Lost, Position::Waiting)
    }

    /// The number of the device whose slot the job has.
    pub(crate) fn device(&self) -> Option<usize> {
        self.queue.lock().running.get(&self.number).map(|running| running.device)
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
        line.fill(&self.queue.devices);
        let running = line.running.values().map(|running| &running.party);
        let with_jobs = Counts::of(running.chain(line.waiting.values().map(|entrant| &entrant.party)));
        line.turns.keep(&with_jobs);
        drop(line);
        self.queue.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeviceClass::{Base, Large};

    /// A queue for one device of class base.
    fn one_device(slots: usize, waiting: usize) -> Queue {
        Queue::new([DeviceSlots { classes: [Base].into(), slots }], waiting)
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
        let (queue, own) = (one_device(1, 2), Party::at(1));
        let [first, second, third] = [0; 3].map(|_| queue.enter(own, Base).unwrap());
        assert_eq!(positions([&first, &second, &third]), [Some(0), Some(1), Some(2)]);
        assert_eq!(queue.enter(own, Base).err(), Some(Full { running: 1, queued: 2 }));
        assert_eq!(queue.check(&own, Base), Err(Full { running: 1, queued: 2 }));
        drop(second);
        assert_eq!(position(&third), Some(1));
        drop(first);
        assert_eq!(position(&third), Some(0));
        assert!(queue.enter(own, Base).is_ok());
    }

    /// The first has eight jobs before the second has one.
    fn assert_shared([flooder, other]: [&dyn Fn() -> Party; 2]) {
        let queue = one_device(2, 6);
        let mut flood: Vec<_> = (0..8).map(|_| queue.enter(flooder(), Base).unwrap()).collect();
        assert!(queue.enter(flooder(), Base).is_err());
        // The last of the many gives way, and the few are served before the many.
        let mut own = vec![queue.enter(other(), Base).unwrap(), queue.enter(other(), Base).unwrap()];
        assert_eq!(positions([&flood[7], &flood[6], &own[0]]), [None, None, Some(1)]);
        own.push(queue.enter(other(), Base).unwrap());
        assert!(queue.enter(other(), Base).is_err(), "three each: nobody gives way");
        assert!(queue.check(&flooder(), Base).is_err());
        drop(flood.remove(0));
        // A slot each: the one who came first is next.
        assert_eq!(positions([&own[0], &own[1]]), [Some(0), Some(2)]);
        assert_eq!(positions([&flood[0], &flood[1]]), [Some(0), Some(1)]);
    }

    #[test]
    fn a_waiting_job_is_told_why() {
        let (queue, flooder, other) = (one_device(2, 8), Party::at(1), Party::at(2));
        let flood: Vec<_> = (0..5).map(|_| queue.enter(flooder, Base).unwrap()).collect();
        assert_eq!(reason(&flood[2]), "all 2 slots are taken, 2 by you; yours is next");
        assert_eq!(reason(&flood[4]), "all 2 slots are taken, 2 by you; 2 jobs come first, 2 of them yours");
        let outlook = Outlook { slots: 2, running: 2, waiting: 3, places: 8, position: 1 };
        assert_eq!(queue.outlook(other, Base), outlook);
        assert_eq!(queue.outlook(flooder, Base), Outlook { position: 4, ..outlook });
        let own = queue.enter(other, Base).unwrap();
        assert_eq!(reason(&own), "all 2 slots are taken; yours is next");
        assert_eq!(
            reason(&flood[4]),
            "all 2 slots are taken, 2 by you; 3 jobs come first, 2 of them yours, 1 of renters with fewer jobs running"
        );
        let queue = one_device(1, 1);
        assert_eq!(queue.outlook(other, Base).position, 0);
        let (_first, second) = (queue.enter(flooder, Base).unwrap(), queue.enter(other, Base).unwrap());
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
            let queue = one_device(1, 10);
            let mut jobs: Vec<_> = (0..4).map(|_| queue.enter(crowd(), Base).unwrap()).collect();
            jobs.extend([0; 2].map(|_| queue.enter(other, Base).unwrap()));
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
        let (queue, other) = (one_device(1, 7), Party::at(2));
        let crowd: Vec<_> = (0..5).map(|_| queue.enter(Party::at(1), Base).unwrap()).collect();
        let own: Vec<_> = (0..3).map(|_| queue.enter(other, Base).unwrap()).collect();
        assert!(queue.enter(Party::at(1), Base).is_err());
        assert!(own.iter().chain(&crowd).all(|ticket| ticket.position() != Position::Lost));
    }

    /// A queue for a device of class base, and one that has class large too, with a slot each.
    fn two_devices(waiting: usize) -> Queue {
        let device = |classes: &[DeviceClass]| DeviceSlots { classes: classes.iter().copied().collect(), slots: 1 };
        Queue::new([device(&[Base]), device(&[Base, Large])], waiting)
    }

    #[test]
    fn a_job_gets_a_slot_of_a_device_that_has_its_class_and_keeps_no_other_waiting() {
        let (queue, own) = (two_devices(2), Party::at(1));
        let large = queue.enter(own, Large).unwrap();
        assert_eq!(large.device(), Some(1));
        let second = queue.enter(own, Large).unwrap();
        assert_eq!(reason(&second), "the one slot of class large is taken, 1 by you; yours is next");
        // The other device is free, and not for the job that waits.
        let base = queue.enter(own, Base).unwrap();
        assert_eq!(base.device(), Some(0));
        let last = queue.enter(own, Base).unwrap();
        assert_eq!(
            reason(&last),
            "all 2 slots are taken, 2 by you; 1 job comes first, 1 of them yours",
            "a job of class base may take either"
        );
        assert_eq!(queue.enter(own, Base).err(), Some(Full { running: 2, queued: 2 }));
        drop(base);
        assert_eq!((last.device(), second.device()), (Some(0), None));
        drop(large);
        assert_eq!(second.device(), Some(1));
    }

    #[test]
    fn a_job_of_class_large_has_its_turn_among_those_of_class_base() {
        let (queue, crowd) = (two_devices(8), Party::at(1));
        let mut jobs: Vec<_> = (0..6).map(|_| queue.enter(crowd, Base).unwrap()).collect();
        let large = queue.enter(Party::at(2), Large).unwrap();
        assert_eq!(queue.outlook(Party::at(3), Large).position, 2);
        // The slot that becomes free first is not for it, the next one is.
        let first = jobs.iter().position(|job| job.device() == Some(0)).unwrap();
        drop(jobs.remove(first));
        assert_eq!(large.device(), None);
        let second = jobs.iter().position(|job| job.device() == Some(1)).unwrap();
        drop(jobs.remove(second));
        assert_eq!(large.device(), Some(1));
    }

    #[test]
    fn without_places_to_wait_a_job_needs_a_free_slot_of_its_class() {
        let (queue, own) = (two_devices(0), Party::at(1));
        let _large = queue.enter(own, Large).unwrap();
        assert_eq!(queue.check(&own, Large), Err(Full { running: 1, queued: 0 }));
        assert!(queue.enter(own, Large).is_err() && queue.enter(own, Base).is_ok());
    }

    #[tokio::test]
    async fn a_waiting_job_hears_that_the_queue_moved() {
        let (queue, own) = (one_device(1, 1), Party::at(1));
        let first = queue.enter(own, Base).unwrap();
        let mut second = queue.enter(own, Base).unwrap();
        second.changed.mark_unchanged();
        drop(first);
        second.moved().await;
        assert_eq!(position(&second), Some(0));
    }
}
