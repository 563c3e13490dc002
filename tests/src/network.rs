//! The wires: a bridge in a namespace of its own, and a link from it to each host.
//! Promise: a host reaches its lab's hosts and nothing else; a link can be cut, slowed and healed.
//! Must not: touch an interface, an address or a rule of the machine itself.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;

use crate::error::Result;
use crate::place::{self, Place};
use crate::run::{feed, run};

/// Hosts are numbered from 1 to this.
pub(crate) const LAST_HOST: u8 = 250;

/// The bridge's own number in the subnets.
const BRIDGE: u8 = 254;

/// The IPv4 address of a host: the same in every lab, since no lab sees another.
pub(crate) fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 77, number)
}

/// The IPv6 address of a host, unique local.
pub(crate) fn address6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd4c, 0x4142, 0, 0, 0, 0, 0, number.into())
}

/// The hardware address of a host, locally administered.
fn hardware(number: u8) -> String {
    format!("02:4c:41:42:00:{number:02x}")
}

/// Commands that tell a host where all others are. The kernel has one table of neighbours for all namespaces, of 1,024
/// that it found out by itself: hosts of some labs that all speak to each other overflow it, and then nobody finds
/// anybody. What it was told for good is not counted.
fn neighbours(own: u8) -> String {
    let others = (1..=LAST_HOST).chain([BRIDGE]).filter(|number| *number != own);
    let tell = |number| format!("neigh add {} lladdr {} dev eth0 nud permanent\n", address(number), hardware(number));
    others.map(tell).collect()
}

/// The IPv4 address of a host's second interface.
pub(crate) fn second_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

/// What all links of a lab end in.
#[derive(Debug)]
pub(crate) struct Bridge {
    namespace: String,
}

impl Bridge {
    pub(crate) fn raise(lab: &str) -> Result<Self> {
        let namespace = format!("{}net", place::namespaces(lab));
        run(Command::new("ip").args(["netns", "add", &namespace]))?;
        let (v4, v6, own) = (address(BRIDGE), address6(BRIDGE), hardware(BRIDGE));
        batch(
            &namespace,
            &format!(
                "link set lo up\nlink add br0 address {own} type bridge\naddr add {v4}/24 dev br0\n\
                 addr add {v6}/64 dev br0 nodad\nlink set br0 up\n"
            ),
        )?;
        Ok(Self { namespace })
    }

    /// Makes a host's network namespace and its link to this bridge.
    pub(crate) fn link(&self, place: &Place, number: u8) -> Result<Link> {
        run(Command::new("ip").args(["netns", "add", &place.namespace]))?;
        let link = Link {
            number,
            namespace: place.namespace.clone(),
            bridge: self.namespace.clone(),
            port: format!("p{number}"),
        };
        let port = &link.port;
        // A host of the past that had this number is gone, but its network lives for as long as a test holds a socket in
        // it; then its link is still here. There is none, most of the time.
        let _ = run(Command::new("ip").args(["-n", &link.bridge, "link", "delete", port]));
        batch(
            &link.bridge,
            &format!(
                "link add {port} type veth peer name eth0 netns {}\nlink set {port} master br0 up\n",
                link.namespace
            ),
        )?;
        let (v4, v6, own) = (address(number), address6(number), hardware(number));
        let (gate4, gate6) = (address(BRIDGE), address6(BRIDGE));
        batch(
            &link.namespace,
            &format!(
                "link set lo up\nlink set eth0 address {own}\naddr add {v4}/24 dev eth0\n\
                 addr add {v6}/64 dev eth0 nodad\nlink set eth0 up\nroute add default via {gate4}\n\
                 route add default via {gate6}\n{}",
                neighbours(number)
            ),
        )?;
        Ok(link)
    }
}

/// A host's link to the bridge.
#[derive(Debug)]
pub(crate) struct Link {
    number: u8,
    namespace: String,
    bridge: String,
    port: String,
}

impl Link {
    /// Nothing passes any more, in either direction.
    pub(crate) fn cut(&self) -> Result<()> {
        batch(&self.bridge, &format!("link set {} down\n", self.port))
    }

    /// Nothing passes between this host and that one any more; both still reach the others.
    pub(crate) fn part(&self, other: u8) -> Result<()> {
        for (tables, peer) in both_families(other) {
            for (chain, side) in [("INPUT", "--source"), ("OUTPUT", "--destination")] {
                self.filter(tables, &["--insert", chain, side, &peer, "--jump", "DROP"])?;
            }
        }
        Ok(())
    }

    /// Takes [`part`](Self::part) back.
    pub(crate) fn meet(&self, other: u8) -> Result<()> {
        for (tables, peer) in both_families(other) {
            for (chain, side) in [("INPUT", "--source"), ("OUTPUT", "--destination")] {
                self.filter(tables, &["--delete", chain, side, &peer, "--jump", "DROP"])?;
            }
        }
        Ok(())
    }

    /// What the host sends passes at so many bits a second.
    pub(crate) fn throttle(&self, bits: u64) -> Result<()> {
        let rate = format!("{bits}bit");
        let shape = ["tbf", "rate", &rate, "burst", "4kb", "latency", "10s"];
        run(self.tc().args(["qdisc", "replace", "dev", "eth0", "root"]).args(shape)).map(drop)
    }

    /// Undoes [`cut`](Self::cut) and [`throttle`](Self::throttle).
    pub(crate) fn heal(&self) -> Result<()> {
        batch(&self.bridge, &format!("link set {} up\n", self.port))?;
        let shaped = run(self.tc().args(["qdisc", "show", "dev", "eth0"]))?;
        if shaped.contains("tbf") {
            run(self.tc().args(["qdisc", "del", "dev", "eth0", "root"]))?;
        }
        Ok(())
    }

    /// Takes the host's IPv4 address away, and with it the routes.
    pub(crate) fn drop_ipv4(&self, number: u8) -> Result<()> {
        batch(&self.namespace, &format!("addr del {}/24 dev eth0\n", address(number)))
    }

    /// A second link to the same bridge, with this address in a network of its own.
    pub(crate) fn second(&self, address: Ipv4Addr) -> Result<()> {
        let (port, host) = (format!("{}b", self.port), &self.namespace);
        batch(
            &self.bridge,
            &format!("link add {port} type veth peer name eth1 netns {host}\nlink set {port} master br0 up\n"),
        )?;
        batch(&self.namespace, &format!("addr add {address}/24 dev eth1\nlink set eth1 up\n"))
    }

    /// Gives the host's addresses and its place on the wire to a virtual machine: what is plugged in at [`PLUG`] is the
    /// host to all others from now on.
    pub(crate) fn hand_over(&self) -> Result<Plug> {
        batch(
            &self.namespace,
            &format!(
                "addr flush dev eth0\nlink set eth0 address 02:4c:41:42:01:{:02x}\nlink add plug type bridge\n\
                 tuntap add dev {PLUG} mode tap\nlink set {PLUG} up master plug\nlink set eth0 master plug\n\
                 link set plug up\n",
                self.number
            ),
        )?;
        Ok(Plug { hardware: hardware(self.number), address: address(self.number), gateway: address(BRIDGE) })
    }

    fn tc(&self) -> Command {
        let mut command = Command::new("tc");
        command.args(["-n", &self.namespace]);
        command
    }

    fn filter(&self, tables: &str, rule: &[&str]) -> Result<()> {
        let space = format!("--net={}/{}", place::NAMESPACES, self.namespace);
        run(Command::new("nsenter").args([&space, tables, "--wait"]).args(rule)).map(drop)
    }
}

/// The interface that a virtual machine is plugged into.
pub(crate) const PLUG: &str = "plug0";

/// What is to be set in the machine that is plugged in.
#[derive(Debug)]
pub(crate) struct Plug {
    pub(crate) hardware: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
}

fn both_families(number: u8) -> [(&'static str, String); 2] {
    [("iptables", address(number).to_string()), ("ip6tables", address6(number).to_string())]
}

/// Several `ip` commands in one namespace, for the price of one process.
fn batch(namespace: &str, commands: &str) -> Result<()> {
    feed(Command::new("ip").args(["-n", namespace, "-batch", "-"]), commands).map(drop)
}
