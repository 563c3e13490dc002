//! The addresses in Docker's join call.
//!
//! Keeps the command line's promise to take them as Docker does: addresses or names of interfaces.
//! Must not look at the machine's interfaces: the engine does.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Docker's port for managers.
const PORT: u16 = 2377;

/// What to listen on: the given address, with Docker's port where it has none; else every address of the family that
/// the managers are reached by.
pub(super) fn listen(given: Option<&str>, managers: &[String]) -> String {
    match given {
        Some(given) => with_port(given),
        None if first_is_ipv6(managers) => format!("[::]:{PORT}"),
        None => format!("0.0.0.0:{PORT}"),
    }
}

fn with_port(given: &str) -> String {
    if given.parse::<Ipv6Addr>().is_ok() {
        return format!("[{given}]:{PORT}");
    }
    let after_address = given.rsplit(']').next().unwrap_or(given);
    if after_address.contains(':') { given.to_owned() } else { format!("{given}:{PORT}") }
}

fn first_is_ipv6(managers: &[String]) -> bool {
    let family = |manager: &String| manager.parse().map(|socket: SocketAddr| socket.ip()).or_else(|_| manager.parse());
    managers.first().and_then(|manager| family(manager).ok()).is_some_and(|ip: IpAddr| ip.is_ipv6())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listen_address_gets_dockers_port_where_it_has_none() {
        for (given, listen_on) in [
            ("eth0", "eth0:2377"),
            ("eth0:4000", "eth0:4000"),
            ("10.0.0.1", "10.0.0.1:2377"),
            ("10.0.0.1:4000", "10.0.0.1:4000"),
            ("fd00::1", "[fd00::1]:2377"),
            ("[fd00::1]", "[fd00::1]:2377"),
            ("[fd00::1]:4000", "[fd00::1]:4000"),
        ] {
            assert_eq!(listen(Some(given), &[]), listen_on);
        }
    }

    #[test]
    fn by_default_it_is_every_address_of_the_managers_family() {
        assert_eq!(listen(None, &["10.0.0.1:2377".into()]), "0.0.0.0:2377");
        assert_eq!(listen(None, &["[fd00::1]:2377".into()]), "[::]:2377");
        assert_eq!(listen(None, &["manager.example:2377".into()]), "0.0.0.0:2377");
        assert_eq!(listen(None, &[]), "0.0.0.0:2377");
    }
}
