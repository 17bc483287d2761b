//! The address of a node, `host:port#key`: where it is, and which key it has to prove.

use std::net::{IpAddr, Ipv6Addr};

use crate::{KeyError, NodeKey};

/// The address of a node. A connection to a node with another key is refused.
///
/// ```
/// use isobit_job::{NodeAddr, SecretKey};
///
/// let key = SecretKey::from_bytes([1; 32]).public();
/// let addr: NodeAddr = format!("[::1]:4433#{key}").parse()?;
/// assert_eq!((addr.host.as_str(), addr.port, addr.key), ("::1", 4433, key));
/// assert_eq!(addr.to_string(), format!("[::1]:4433#{key}"));
/// # Ok::<(), isobit_job::AddrError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeAddr {
    /// A host name, an IPv4 address, or an IPv6 address without brackets. A link-local IPv6 address includes its zone on the
    /// connecting machine, as in `fe80::1%eth0`.
    pub host: String,
    /// The UDP port.
    pub port: u16,
    /// The key the node has to prove it holds.
    pub key: NodeKey,
}

/// Why text is not a node's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum AddrError {
    #[error("no key in address {text:?}; write host:port#key, with the key that `isobit serve` prints")]
    NoKey { text: String },
    #[error("in address {text:?}: {source}")]
    Key { text: String, source: KeyError },
    #[error("no port from 1 to 65535 in address {text:?}; write host:port#key")]
    Port { text: String },
    /// An IPv6 address without brackets: its end and the port could not be told apart.
    #[error("in address {text:?}: an IPv6 address goes in brackets; write {suggestion}#key")]
    Brackets {
        text: String,
        /// The likely `[address]:port`, as [`in_brackets`] suggests it.
        suggestion: String,
    },
    /// The unspecified address. A provider can listen on it, but nobody can connect to it.
    #[error(
        "in address {text:?}: {host} is where a provider listens, not where it is; write the address it has for others"
    )]
    Unspecified {
        text: String,
        /// `0.0.0.0` or `::`.
        host: String,
    },
    #[error("{host:?} in address {text:?} is not a host name or an IP address")]
    Host { text: String, host: String },
}

impl std::fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NodeAddr { host, port, key } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}#{key}") } else { write!(f, "{host}:{port}#{key}") }
    }
}

impl std::str::FromStr for NodeAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<NodeAddr, AddrError> {
        let owned = || text.to_owned();
        let (place, key) = text.split_once('#').ok_or_else(|| AddrError::NoKey { text: owned() })?;
        let key = key.parse().map_err(|source| AddrError::Key { text: owned(), source })?;
        let (host, port) = place.rsplit_once(':').ok_or_else(|| AddrError::Port { text: owned() })?;

        // `u16::from_str` takes a leading `+`.
        let digits = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
        let port = digits.and_then(|port| port.parse().ok()).filter(|port| *port != 0);

        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Some(suggestion) = in_brackets(place) {
            return Err(AddrError::Brackets { text: owned(), suggestion });
        }
        let port = port.ok_or_else(|| AddrError::Port { text: owned() })?;
        let is_host = match bracketed {
            Some(host) => is_ipv6(host),
            None => is_host_name(host),
        };
        if !is_host {
            return Err(AddrError::Host { text: owned(), host: host.to_owned() });
        }
        let host = bracketed.unwrap_or(host);
        if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            return Err(AddrError::Unspecified { text: owned(), host: host.to_owned() });
        }
        Ok(NodeAddr { host: host.to_owned(), port, key })
    }
}

/// Whether text is an IPv6 address, with or without a zone (RFC 4007, section 11).
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let is_zone = |zone: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=32).contains(&zone.len()) && zone.chars().all(is_part)
    };
    address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(is_zone)
}

/// Suggests `[address]:port` for an IPv6 address without brackets, with or without a port; none for any other text.
///
/// A last group that can be a port is taken for one, because a place needs a port. If there is none, the suggestion ends in
/// the word `port`.
pub fn in_brackets(place: &str) -> Option<String> {
    let is_port =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0);
    match place.rsplit_once(':') {
        Some((host, port)) if is_ipv6(host) && is_port(port) => Some(format!("[{host}]:{port}")),
        _ if is_ipv6(place) => Some(format!("[{place}]:port")),
        _ => None,
    }
}

/// Whether text can be a host name or an IPv4 address: letters, digits, `-`, `_` and `.`, at most 253 of them (RFC 1035,
/// section 2.3.4), the first neither `-` nor `.`.
fn is_host_name(host: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&host.len()) && host.chars().all(is_part) && !host.starts_with('-') && !host.starts_with('.')
}

impl TryFrom<String> for NodeAddr {
    type Error = AddrError;

    fn try_from(text: String) -> Result<NodeAddr, AddrError> {
        text.parse()
    }
}

impl From<NodeAddr> for String {
    fn from(addr: NodeAddr) -> String {
        addr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;
    use proptest::prelude::*;

    fn key() -> NodeKey {
        SecretKey::from_bytes([1; 32]).public()
    }

    fn refusal(place: &str) -> String {
        let error = format!("{place}#{}", key()).parse::<NodeAddr>().unwrap_err();
        error.to_string().replace(&key().to_string(), "KEY")
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        assert_eq!(
            "127.0.0.1:4433".parse::<NodeAddr>().unwrap_err().to_string(),
            "no key in address \"127.0.0.1:4433\"; write host:port#key, with the key that `isobit serve` prints"
        );
        assert_eq!(
            "localhost:4433#abc".parse::<NodeAddr>().unwrap_err().to_string(),
            "in address \"localhost:4433#abc\": not a key: expected 64 lowercase hex digits, found 3 characters"
        );
        for place in ["localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:+1", "[::1]", "[::1]:"] {
            assert_eq!(
                refusal(place),
                format!("no port from 1 to 65535 in address \"{place}#KEY\"; write host:port#key")
            );
        }
        for (place, suggestion) in [
            ("fe80::1:4433", "[fe80::1]:4433"),
            ("fe80::1%eth0:4433", "[fe80::1%eth0]:4433"),
            ("2001:db8::beef", "[2001:db8::beef]:port"),
            ("2001:db8:0:0:0:0:0:5:4433", "[2001:db8:0:0:0:0:0:5]:4433"),
        ] {
            let expected =
                format!("in address \"{place}#KEY\": an IPv6 address goes in brackets; write {suggestion}#key");
            assert_eq!(refusal(place), expected);
        }
        for host in ["0.0.0.0", "[::]"] {
            assert!(refusal(&format!("{host}:4433")).contains("is where a provider listens, not where it is"));
        }
        for host in ["", "a b", "http://x", "[x]", "[::1", "-x", "[fe80::1%]", "[fe80::1%a b]", "[::1]%eth0"] {
            let place = format!("{host}:1");
            assert_eq!(
                refusal(&place),
                format!("{host:?} in address \"{place}#KEY\" is not a host name or an IP address")
            );
        }
    }

    #[test]
    fn a_link_local_address_keeps_its_zone() {
        for place in ["[fe80::1%eth0]:4433", "[fe80::1%2]:4433"] {
            let text = format!("{place}#{}", key());
            assert_eq!(text.parse::<NodeAddr>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn an_address_reads_back_as_shown(
            host in "[a-z0-9][a-z0-9.-]{0,40}|([0-9]{1,3}\\.){3}[0-9]{1,3}", v6: Option<u128>, port in 1u16..,
        ) {
            let host = v6.map_or(host, |v6| Ipv6Addr::from_bits(v6).to_string());
            let addr = NodeAddr { host, port, key: key() };
            prop_assert_eq!(addr.to_string().parse(), Ok(addr));
        }

        #[test]
        fn reading_any_text_does_not_panic(text: String) {
            let _ = format!("{text}#{}", key()).parse::<NodeAddr>();
        }
    }
}
