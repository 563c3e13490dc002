//! Hosts with other addresses than the usual two on one interface.
//! Promise: what such a host lacks or has besides is so for every program on it, its engine included.
//! Must not: change a host that is in a swarm; an engine keeps the address it joined with.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::host::Host;
use crate::network;

/// What a host was left with.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    no_ipv4: AtomicBool,
}

impl Host {
    /// Takes its IPv4 address and route away: it has IPv6 only from now on.
    pub fn only_ipv6(&self) -> Result<()> {
        self.link().drop_ipv4(self.number())?;
        self.kept().no_ipv4.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Gives it a second interface, `eth1`, with an address of another network that only such hosts are in.
    pub fn second_interface(&self) -> Result<Ipv4Addr> {
        let address = network::second_address(self.number());
        self.link().second(address)?;
        Ok(address)
    }

    /// The address that it is reached at: the IPv4 address, as long as it has one.
    pub fn reached_at(&self) -> IpAddr {
        if self.kept().no_ipv4.load(Ordering::SeqCst) { self.address6().into() } else { self.address().into() }
    }
}
