//! The connections of a provider: how many there may be, of which address and key, and which gives way when there are too many.
//!
//! A connection that has no job costs little and is the first to go: whoever comes when all places are taken gets that of the
//! connection that has been without a job for longest. So idle connections, however many, lock nobody out.

use crate::party::Party;
use isobit_transport::{CLOSE_BUSY, OpenWindow, Windows};
use quinn::Connection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The most connections at once. Each holds a window of memory until it has a job, see `isobit_transport`.
pub const MAX_CONNECTIONS: usize = 1024;

/// The most connections of one address; of IPv6, of one network of 64 bits, as one user has.
pub const MAX_PER_ADDRESS: usize = 128;

/// The most connections of one key.
pub const MAX_PER_KEY: usize = 32;

/// All connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    next: u64,
    /// By number. One that has been without a job for longer has a smaller number.
    peers: BTreeMap<u64, Peer>,
}

#[derive(Debug)]
struct Peer {
    party: Party,
    /// Closes the connection.
    closer: Closer,
    jobs: usize,
}

/// Connections are closed from here; tests have none.
#[derive(Debug)]
enum Closer {
    Connection(Connection),
    #[cfg(test)]
    None,
}

/// A place for a connection. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Connections,
    number: Arc<Mutex<u64>>,
    window: OnceLock<OpenWindow>,
}

/// A job of a connection, which makes sure that the connection keeps its place.
#[derive(Debug)]
pub(crate) struct Busy(Connections, Arc<Mutex<u64>>);

impl Connections {
    /// A place for a connection that is open. None if all places are taken by connections with jobs.
    pub(crate) fn enter(&self, connection: &Connection, party: Party) -> Option<Place> {
        self.enter_as(party, Closer::Connection(connection.clone()))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().peers.len()
    }

    fn enter_as(&self, party: Party, closer: Closer) -> Option<Place> {
        let mut list = self.lock();
        list.make_room(MAX_PER_ADDRESS, |peer| peer.party.network == party.network)?;
        list.make_room(MAX_PER_KEY, |peer| peer.party.key == party.key)?;
        list.make_room(MAX_CONNECTIONS, |_| true)?;
        let number = list.number();
        list.peers.insert(number, Peer { party, closer, jobs: 0 });
        drop(list);
        Some(Place { connections: self.clone(), number: Arc::new(Mutex::new(number)), window: OnceLock::new() })
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Closes the connection of this kind that has been idle for longest if there are `most` of the kind. None if all have jobs.
    fn make_room(&mut self, most: usize, is_of_kind: impl Fn(&Peer) -> bool) -> Option<()> {
        if self.peers.values().filter(|peer| is_of_kind(peer)).count() < most {
            return Some(());
        }
        let idle = self.peers.iter().find(|(_, peer)| is_of_kind(peer) && peer.jobs == 0).map(|(number, _)| *number)?;
        let peer = self.peers.remove(&idle)?;
        match peer.closer {
            Closer::Connection(connection) => {
                connection.close(CLOSE_BUSY, b"others wait, and this connection has no job")
            }
            #[cfg(test)]
            Closer::None => {}
        }
        Some(())
    }
}

impl Place {
    /// Lets the peer send bulk data from now on.
    pub(crate) fn open_window(&self, windows: &Windows, connection: &Connection) {
        self.window.get_or_init(|| windows.open(connection));
    }

    /// Marks the connection as one with a job, until what this returns is dropped.
    pub(crate) fn begin_job(&self) -> Busy {
        // Before the list, as always.
        let number = lock(&self.number);
        if let Some(peer) = self.connections.lock().peers.get_mut(&number) {
            peer.jobs += 1;
        }
        drop(number);
        Busy(self.connections.clone(), Arc::clone(&self.number))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = lock(&self.number);
        self.connections.lock().peers.remove(&number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut number = lock(&self.1);
        let mut list = self.0.lock();
        if let Some(mut peer) = list.peers.remove(&number) {
            peer.jobs = peer.jobs.saturating_sub(1);
            // Idle from now on.
            *number = list.number();
            list.peers.insert(*number, peer);
        }
    }
}

fn lock(number: &Mutex<u64>) -> MutexGuard<'_, u64> {
    number.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::Network;
    use isobit_job::SecretKey;

    fn anybody(address: u32) -> Party {
        Party { key: SecretKey::generate().public(), network: Network::of(address.to_be_bytes().into()) }
    }

    fn is_open(place: &Place) -> bool {
        place.connections.lock().peers.contains_key(&*lock(&place.number))
    }

    #[test]
    fn whoever_comes_last_gets_in_while_another_is_idle() {
        let connections = Connections::default();
        let enter = || connections.enter_as(Party::at(1), Closer::None);
        let places: Vec<_> = (0..MAX_PER_ADDRESS).map(|_| enter().unwrap()).collect();
        let busy = places[0].begin_job();
        let last = enter().unwrap();
        assert!(is_open(&places[0]) && !is_open(&places[1]) && is_open(&last), "the oldest that is idle goes");
        // Idle again, it is the youngest of the idle ones.
        drop(busy);
        enter().unwrap();
        assert!(is_open(&places[0]) && !is_open(&places[2]));
    }

    #[test]
    fn a_place_with_a_job_is_kept() {
        let (connections, own) = (Connections::default(), anybody(0).key);
        let enter = |number| connections.enter_as(Party { key: own, ..anybody(number) }, Closer::None);
        let places: Vec<_> = (0..32).map(|number| enter(number).unwrap()).collect();
        let jobs: Vec<_> = places.iter().map(Place::begin_job).collect();
        assert!(enter(99).is_none());
        drop(jobs);
        assert!(enter(99).is_some());
    }

    #[test]
    fn there_is_an_end_to_all_of_them_and_each_is_forgotten() {
        let connections = Connections::default();
        let enter = |number| connections.enter_as(anybody(number), Closer::None);
        let places: Vec<_> = (0..3000).map(|number| enter(number).unwrap()).collect();
        assert_eq!(connections.lock().peers.len(), MAX_CONNECTIONS);
        drop(places);
        assert!(connections.lock().peers.is_empty());
    }
}
