//! Whose a connection or a job is, for shares: a key, and the network that it comes from. Keys cost nothing, so a share by key alone is none.

use isobit_job::NodeKey;
use std::net::{IpAddr, Ipv6Addr};

/// What one user has: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// The network that an address belongs to.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// A renter, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Party {
    pub(crate) key: NodeKey,
    pub(crate) network: Network,
}

#[cfg(test)]
impl Party {
    /// Somebody new at 10.0.0.`host`.
    pub(crate) fn at(host: u8) -> Self {
        Self::with(isobit_job::SecretKey::generate().public(), host)
    }

    pub(crate) fn with(key: NodeKey, host: u8) -> Self {
        Self { key, network: Network::of([10, 0, 0, host].into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let network_of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network_of("2001:db8::1"), network_of("2001:db8::ffff:1:2:3"));
        assert_ne!(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"));
        assert_eq!(network_of("::ffff:10.0.0.1"), network_of("10.0.0.1"));
    }
}
