//! The addresses in Docker's join call.
//!
//! Keeps the command line's promise to take them as Docker does, and a network besides; where this machine has several
//! addresses and none was given, it is the one from which it reaches the managers, and never a guess.
//! Must not wait longer than the deadline for an address that is not there yet.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::arguments::{Addresses, OwnAddress};
use crate::boot::interfaces::{self, Own};
use crate::clock::Deadline;
use crate::exit::Error;
use crate::narrate;

/// Docker's port for managers.
const PORT: u16 = 2377;
/// How often to look for an address that is not there yet.
const POLL: Duration = Duration::from_millis(500);

/// What was given, as Docker takes it.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnAddresses {
    /// What other nodes reach it at.
    pub advertise: Option<String>,
    /// What the overlay networks use.
    pub data_path: Option<String>,
    /// What it listens on.
    pub listen: Option<String>,
}

/// Finds this machine's addresses in the networks that were given. One may still be on its way (DHCP): waits for it.
pub(crate) async fn settle(given: &Addresses, deadline: Deadline) -> Result<OwnAddresses, Error> {
    loop {
        let own = interfaces::own();
        let none = match all(given, &own) {
            Err(none @ Error::NoOwnAddress { .. }) => none,
            settled => return settled,
        };
        if deadline.has_passed() {
            return Err(none);
        }
        narrate::step(&format!("addresses: waiting for one: {none}"));
        deadline.pause(POLL).await;
    }
}

fn all(given: &Addresses, own: &[Own]) -> Result<OwnAddresses, Error> {
    Ok(OwnAddresses {
        advertise: one("--advertise-addr", given.advertise.as_ref(), own)?,
        data_path: one("--data-path-addr", given.data_path.as_ref(), own)?,
        listen: one("--listen-addr", given.listen.as_ref(), own)?,
    })
}

fn one(flag: &'static str, given: Option<&OwnAddress>, own: &[Own]) -> Result<Option<String>, Error> {
    let network = match given {
        None => return Ok(None),
        Some(OwnAddress::Named(name)) => return Ok(Some(name.clone())),
        Some(OwnAddress::Within(network)) => *network,
    };
    let inside: Vec<&Own> = own.iter().filter(|own| network.contains(&own.ip)).collect();
    match inside[..] {
        [own] => Ok(Some(own.ip.to_string())),
        [] => Err(Error::NoOwnAddress { flag, network, there: interfaces::listed(own) }),
        _ => Err(Error::SeveralOwnAddresses { flag, network, there: interfaces::listed(inside) }),
    }
}

impl OwnAddresses {
    /// What to listen on: the given address, with Docker's port where it has none; else every address of the family
    /// that the managers are reached by.
    pub(super) fn listen(&self, managers: &[String]) -> String {
        match &self.listen {
            Some(given) => with_port(given),
            None if first(managers).is_some_and(|ip| ip.is_ipv6()) => format!("[::]:{PORT}"),
            None => format!("0.0.0.0:{PORT}"),
        }
    }

    /// What the overlay networks use; empty for Docker's own choice.
    pub(super) fn data_path(&self) -> &str {
        self.data_path.as_deref().unwrap_or_default()
    }

    /// What other nodes reach it at; empty for Docker's own choice. That is the address of the only device that has one,
    /// IPv4 first, also where the managers are not reached by it: so with several addresses it is not left to Docker.
    pub(super) fn advertise(&self, managers: &[String]) -> String {
        if let Some(given) = &self.advertise {
            return given.clone();
        }
        let own = interfaces::own();
        let towards = first(managers).and_then(interfaces::towards);
        let Some(chosen) = choose(&own, towards) else { return String::new() };
        narrate::step(&format!(
            "docker: advertising {chosen}, from which this machine reaches the managers; it has {}",
            interfaces::listed(&own)
        ));
        chosen.to_string()
    }
}

/// The address towards the managers, where there are others to choose from.
fn choose(own: &[Own], towards: Option<IpAddr>) -> Option<IpAddr> {
    towards.filter(|towards| own.len() > 1 && own.iter().any(|own| own.ip == *towards))
}

fn with_port(given: &str) -> String {
    if given.parse::<Ipv6Addr>().is_ok() {
        return format!("[{given}]:{PORT}");
    }
    let after_address = given.rsplit(']').next().unwrap_or(given);
    if after_address.contains(':') { given.to_owned() } else { format!("{given}:{PORT}") }
}

/// The first manager's address, where it is one and not a name.
fn first(managers: &[String]) -> Option<IpAddr> {
    let manager = managers.first()?;
    manager.parse().map(|socket: SocketAddr| socket.ip()).or_else(|_| manager.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(addresses: &[&str]) -> Vec<Own> {
        let own = |(at, ip): (usize, &&str)| Own { interface: format!("eth{at}"), ip: ip.parse().expect("an address") };
        addresses.iter().enumerate().map(own).collect()
    }

    fn within(network: &str) -> OwnAddress {
        OwnAddress::Within(network.parse().expect("a network"))
    }

    fn listening(given: Option<&str>, managers: &[&str]) -> String {
        let managers: Vec<String> = managers.iter().map(ToString::to_string).collect();
        OwnAddresses { advertise: None, data_path: None, listen: given.map(str::to_owned) }.listen(&managers)
    }

    #[test]
    fn the_one_address_in_a_network_is_taken_and_any_other_number_of_them_is_told() {
        let machine = own(&["192.168.7.3", "10.1.0.3", "10.2.0.3", "fd00::3", "2001:db8::3"]);
        let taken = |given: &OwnAddress| one("--advertise-addr", Some(given), &machine);
        for (network, address) in
            [("10.1.0.0/16", "10.1.0.3"), ("192.168.0.0/16", "192.168.7.3"), ("fd00::/8", "fd00::3")]
        {
            assert_eq!(taken(&within(network)).expect("one").as_deref(), Some(address));
        }
        assert_eq!(taken(&OwnAddress::Named("eth7".into())).expect("as it is").as_deref(), Some("eth7"));

        let several = taken(&within("10.0.0.0/8")).expect_err("two");
        assert_eq!(several.code(), 78);
        let told = several.to_string();
        assert!(told.contains("eth1 10.1.0.3, eth2 10.2.0.3") && !told.contains("192.168.7.3"), "{told}");

        let none = taken(&within("172.16.0.0/12")).expect_err("none");
        assert_eq!(none.code(), 75, "it may come");
        let told = none.to_string();
        assert!(told.contains("--advertise-addr") && told.contains("eth0 192.168.7.3"), "{told}");
        assert!(told.contains("fd00::3"), "{told}");
    }

    #[test]
    fn an_address_that_does_not_come_ends_at_the_deadline() {
        let given = Addresses { data_path: Some(within("198.51.100.255/32")), ..Addresses::default() };
        let settling = settle(&given, Deadline::after(Duration::from_millis(20)));
        let error = crate::process::run(settling).expect_err("nobody has that");
        assert!(matches!(error, Error::NoOwnAddress { flag: "--data-path-addr", .. }), "{error}");
    }

    #[test]
    fn with_several_addresses_the_one_towards_the_managers_is_advertised() {
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        let two = own(&["10.1.0.3", "10.2.0.3"]);
        assert_eq!(choose(&two, ip("10.2.0.3")), ip("10.2.0.3"));
        assert_eq!(choose(&two, ip("172.17.0.1")), None, "Docker's own bridge");
        assert_eq!(choose(&two, None), None);
        assert_eq!(choose(&own(&["10.1.0.3"]), ip("10.1.0.3")), None, "Docker has nothing to guess");
        let both_families = own(&["10.1.0.3", "fd00::3"]);
        assert_eq!(choose(&both_families, ip("fd00::3")), ip("fd00::3"), "Docker would take IPv4");
    }

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
            assert_eq!(listening(Some(given), &[]), listen_on);
        }
    }

    #[test]
    fn by_default_it_listens_on_every_address_of_the_managers_family() {
        assert_eq!(listening(None, &["10.0.0.1:2377"]), "0.0.0.0:2377");
        assert_eq!(listening(None, &["[fd00::1]:2377"]), "[::]:2377");
        assert_eq!(listening(None, &["manager.example:2377"]), "0.0.0.0:2377");
        assert_eq!(listening(None, &[]), "0.0.0.0:2377");
    }
}
