//! This machine's own addresses, and which of them a packet leaves from.
//!
//! Keeps what Docker made itself (its bridges and the ends of containers' links) from being taken for this machine's.
//! Must not send anything, or ask anybody but the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// The interface that has it.
    pub(super) interface: String,
    /// The address.
    pub(super) ip: IpAddr,
}

/// The addresses by which other machines may reach this one.
pub(super) fn own() -> Vec<Own> {
    let all = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    all.filter(|interface| interface.is_oper_up() && !is_dockers(&interface.name) && is_reached(interface.ip()))
        .map(|interface| Own { ip: interface.ip(), interface: interface.name })
        .collect()
}

/// The addresses in words.
pub(super) fn listed<'a>(own: impl IntoIterator<Item = &'a Own>) -> String {
    let words: Vec<String> = own.into_iter().map(|own| format!("{} {}", own.interface, own.ip)).collect();
    if words.is_empty() { "no address".to_owned() } else { words.join(", ") }
}

/// The address that a packet to another machine would leave from. Connecting UDP looks up the route and sends nothing.
pub(super) fn towards(other: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if other.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((other, 1)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Docker's default bridge, the one to its overlay networks, bridges of networks, and links to containers.
fn is_dockers(name: &str) -> bool {
    let of_network = |id: &str| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(name, "docker0" | "docker_gwbridge")
        || name.starts_with("veth")
        || name.strip_prefix("br-").is_some_and(of_network)
}

/// Not loopback, and not good on one link only.
fn is_reached(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_made_is_not_this_machines() {
        for name in ["docker0", "docker_gwbridge", "veth1a2b3c4", "br-0123456789ab"] {
            assert!(is_dockers(name), "{name}");
        }
        for name in ["eth0", "enp1s0", "br0", "br-lan", "br-0123456789abc", "wg0", "bond0.100", "docker"] {
            assert!(!is_dockers(name), "{name}");
        }
    }

    #[test]
    fn an_address_that_is_good_on_one_link_only_is_none() {
        let reached = |text: &str| is_reached(text.parse().expect("an address"));
        assert!(reached("10.0.0.1") && reached("fd00::1") && reached("2001:db8::1"));
        assert!(!reached("127.0.0.1") && !reached("::1") && !reached("169.254.1.1") && !reached("fe80::1"));
    }

    #[test]
    fn a_packet_to_this_machine_leaves_from_it() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(towards(loopback), Some(loopback));
        assert!(!own().iter().any(|own| own.ip == loopback));
    }
}
