//! The address that a provider listens on, and the addresses where renters reach it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use isobit_job::{NodeAddr, NodeKey, in_brackets};

/// Parses the address to listen on: an IP address of this machine and a port.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    const EXAMPLES: &str = "0.0.0.0:4433 or [::]:4433 for all addresses, 127.0.0.1:4433 for this machine alone";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(suggestion) = in_brackets(text) {
        return Err(format!("an IPv6 address goes in brackets; write {}", suggestion.replace(":port", ":4433")));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Err(format!("there is no port; write {address}:4433"));
    }
    if text.starts_with('[') && text.ends_with(']') {
        return Err(format!("there is no port; write {text}:4433"));
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
    {
        return Err(format!("`{host}` is no IP address of this machine; write for example {EXAMPLES}"));
    }
    Err(format!("expected an IP address of this machine and a port: {EXAMPLES}"))
}

/// The addresses under which others reach a node that listens here, the likeliest first. There is at least one.
pub fn reachable(listen: SocketAddr, key: NodeKey) -> Vec<NodeAddr> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let found: Vec<IpAddr> =
        found.iter().filter(|interface| interface.is_oper_up()).map(if_addrs::Interface::ip).collect();
    let hosts = hosts(listen, &found, takes_ipv4_too());
    hosts.into_iter().map(|host| NodeAddr { host, port: listen.port(), key }).collect()
}

/// Whether a socket that listens on `::` receives IPv4 too, by the system's settings.
fn takes_ipv4_too() -> bool {
    cfg!(target_os = "linux")
        && std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|setting| setting.trim() == "0")
}

/// The hosts of those addresses, without the port. `found` are the addresses of this machine.
fn hosts(listen: SocketAddr, found: &[IpAddr], ipv4_too: bool) -> Vec<String> {
    let ip = listen.ip();
    if !ip.is_unspecified() {
        return vec![with_zone(listen)];
    }
    let heard = |address: &IpAddr| ip.is_ipv4() == address.is_ipv4() || (ip.is_ipv6() && ipv4_too);
    let mut heard: Vec<IpAddr> =
        found.iter().copied().filter(heard).filter(|address| !is_link_local(address)).collect();
    heard.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    heard.dedup();
    if heard.is_empty() {
        heard.push(if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    heard.iter().map(IpAddr::to_string).collect()
}

/// Whether an address is valid on one link only. Its zone differs between machines, so others cannot use it.
fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn with_zone(address: SocketAddr) -> String {
    match address {
        SocketAddr::V6(address) if address.scope_id() != 0 => format!("{}%{}", address.ip(), address.scope_id()),
        _ => address.ip().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<IpAddr> {
        ["127.0.0.1", "::1", "fe80::1", "169.254.7.7", "2001:db8::7", "192.168.1.7", "2001:db8::7"]
            .map(|text| text.parse().unwrap())
            .into()
    }

    fn hosts_of(listen: &str, ipv4_too: bool) -> Vec<String> {
        hosts(listen.parse().unwrap(), &found(), ipv4_too)
    }

    #[test]
    fn a_node_that_listens_everywhere_is_where_its_interfaces_are() {
        assert_eq!(hosts_of("0.0.0.0:4433", true), ["192.168.1.7", "127.0.0.1"]);
        assert_eq!(hosts_of("[::]:4433", false), ["2001:db8::7", "::1"]);
        assert_eq!(hosts_of("[::]:4433", true), ["192.168.1.7", "2001:db8::7", "127.0.0.1", "::1"]);
        assert_eq!(hosts("0.0.0.0:1".parse().unwrap(), &[], true), ["127.0.0.1"]);
    }

    #[test]
    fn a_node_that_listens_on_one_address_is_there_and_nowhere_else() {
        assert_eq!(hosts_of("10.0.0.1:4433", true), ["10.0.0.1"]);
        assert_eq!(hosts_of("[2001:db8::9]:4433", true), ["2001:db8::9"]);
        assert_eq!(hosts_of("[fe80::1%2]:4433", true), ["fe80::1%2"]);
    }

    #[test]
    fn every_address_that_is_shown_can_be_read() {
        let key = isobit_job::SecretKey::generate().public();
        for listen in ["0.0.0.0:4433", "[::]:4433", "[fe80::1%2]:4433", "[::1]:4433"] {
            for host in hosts_of(listen, true) {
                let address = NodeAddr { host, port: 4433, key };
                assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }

    #[test]
    fn what_is_no_address_to_listen_on_is_answered_with_one_that_is() {
        for (text, suggestion) in [
            ("::1:4433", "write [::1]:4433"),
            ("2001:db8::beef", "write [2001:db8::beef]:4433"),
            ("0.0.0.0", "write 0.0.0.0:4433"),
            ("[::1]", "write [::1]:4433"),
            ("localhost:4433", "`localhost` is no IP address"),
            ("4433", "0.0.0.0:4433"),
        ] {
            let error = listen_address(text).unwrap_err();
            assert!(error.contains(suggestion), "{text}: {error}");
        }
        assert_eq!(listen_address("[::1]:4433"), Ok("[::1]:4433".parse().unwrap()));
    }
}
