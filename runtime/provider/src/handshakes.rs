//! Handshakes under way. A packet that begins one says where it comes from, and may lie; whoever has been asked to retry and did has proved it.
//!
//! What is not proved shares a few places. What is proved has a share for each network, so that a host which never finishes its handshakes
//! keeps out nobody but itself.

use crate::party::Network;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most handshakes of addresses that have proved nothing. Beyond it, a newcomer has to show first that it is where it says.
pub const MAX_UNPROVED: usize = 32;

/// The most of one network that has proved where it is. Its others are ignored until one has ended; QUIC sends again after a second.
pub const MAX_PER_NETWORK: usize = 16;

/// The most that are proved, in all.
pub const MAX_PROVED: usize = 256;

/// All handshakes under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshakes(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    unproved: usize,
    proved: usize,
    by_network: BTreeMap<Network, usize>,
}

/// A handshake's place. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Handshakes,
    /// None where it has not proved where it is.
    proved: Option<Network>,
}

/// What to do with a packet that begins a handshake.
#[derive(Debug)]
pub(crate) enum Begin {
    /// Answer it.
    Accept(Handshake),
    /// Have the sender show that it is where it says.
    Prove,
    /// Say nothing.
    Ignore,
}

impl Handshakes {
    /// A place for a handshake from this address.
    pub(crate) fn begin(&self, address: IpAddr, is_proved: bool) -> Begin {
        let mut places = self.lock();
        if !is_proved {
            if places.unproved >= MAX_UNPROVED {
                return Begin::Prove;
            }
            places.unproved += 1;
            return Begin::Accept(Handshake { all: self.clone(), proved: None });
        }
        let network = Network::of(address);
        let own = places.by_network.get(&network).copied().unwrap_or(0);
        if own >= MAX_PER_NETWORK || places.proved >= MAX_PROVED {
            return Begin::Ignore;
        }
        places.proved += 1;
        places.by_network.insert(network, own + 1);
        Begin::Accept(Handshake { all: self.clone(), proved: Some(network) })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut places = self.all.lock();
        let Some(network) = self.proved else {
            places.unproved = places.unproved.saturating_sub(1);
            return;
        };
        places.proved = places.proved.saturating_sub(1);
        if let Some(own) = places.by_network.get_mut(&network) {
            *own = own.saturating_sub(1);
        }
        places.by_network.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(begun: Begin) -> Option<Handshake> {
        match begun {
            Begin::Accept(handshake) => Some(handshake),
            Begin::Prove | Begin::Ignore => None,
        }
    }

    #[test]
    fn a_host_that_never_finishes_its_handshakes_keeps_out_nobody_else() {
        let handshakes = Handshakes::default();
        let [host, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let held: Vec<_> = std::iter::from_fn(|| accepted(handshakes.begin(host, true))).collect();
        assert_eq!(held.len(), MAX_PER_NETWORK);
        assert!(matches!(handshakes.begin(host, true), Begin::Ignore));
        assert!(accepted(handshakes.begin(other, true)).is_some());
        drop(held);
        assert!(accepted(handshakes.begin(host, true)).is_some());
        assert!(handshakes.lock().by_network.is_empty());
    }

    #[test]
    fn forged_addresses_cost_no_share() {
        let handshakes = Handshakes::default();
        let victim = IpAddr::from([10, 0, 0, 1]);
        let forged: Vec<_> = std::iter::from_fn(|| accepted(handshakes.begin(victim, false))).collect();
        assert_eq!(forged.len(), MAX_UNPROVED);
        assert!(matches!(handshakes.begin(victim, false), Begin::Prove));
        assert!(accepted(handshakes.begin(victim, true)).is_some());
        drop(forged);
        assert!(accepted(handshakes.begin(victim, false)).is_some());
    }

    #[test]
    fn there_is_an_end_to_all_of_them() {
        let handshakes = Handshakes::default();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let held: Vec<_> = (0..1000).filter_map(|number| accepted(handshakes.begin(address(number), true))).collect();
        assert_eq!(held.len(), MAX_PROVED);
        drop(held);
        assert_eq!(handshakes.lock().proved, 0);
    }
}
