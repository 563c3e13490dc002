//! Which machines an operator expects, as Terraform, a plain list or another program names them.
//!
//! Pure: bytes in, machines out. Must not guess at what does not read, and must not show what may be a secret.

mod document;
mod named;
#[cfg(test)]
mod tests;
mod unfit;

use std::collections::HashMap;
use std::net::IpAddr;

use protocol::MAX_HOSTNAME;

use self::document::Document;
pub(crate) use self::unfit::Unfit;

/// As many machines as `broker wait` counts.
const MOST: usize = 10_000;

/// The machines that should be in the swarm, each of them once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    machines: Vec<ExpectedMachine>,
    names: HashMap<String, usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpectedMachine {
    /// Its hostname, or its address where that is all that was given.
    pub(crate) name: String,
    pub(crate) address: Option<IpAddr>,
}

/// How something that is there was told to be one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Name(usize),
    Address(usize),
}

impl Match {
    /// Its place in the list.
    pub(crate) fn at(self) -> usize {
        let (Self::Name(at) | Self::Address(at)) = self;
        at
    }
}

/// A machine, and where it stands in what was read.
struct Named {
    machine: ExpectedMachine,
    at: String,
}

/// Reads a list of hostnames, a line each, or JSON.
pub(crate) fn read(bytes: &[u8]) -> Result<Expected, Unfit> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unfit::NoText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let named = match text.trim_start().bytes().next() {
        None => return Err(Unfit::Empty),
        Some(b'{' | b'[' | b'"') => named::machines(&Document::read(text)?)?,
        Some(_) => lines(text)?,
    };
    Expected::of(named)
}

/// A hostname a line; what follows a # is for people.
fn lines(text: &str) -> Result<Vec<Named>, Unfit> {
    let lines = text.lines().enumerate().map(|(number, line)| {
        let name = line.split_once('#').map_or(line, |(name, _)| name).trim();
        (format!("line {}", number + 1), name)
    });
    lines.filter(|(_, name)| !name.is_empty()).map(|(at, name)| machine(name, None, at)).collect()
}

/// A machine of this name, if that can be one.
fn machine(name: &str, address: Option<IpAddr>, at: String) -> Result<Named, Unfit> {
    if ["SWMTKN", protocol::INVITE_PREFIX].iter().any(|secret| name.starts_with(secret)) {
        return Err(Unfit::Secret { at });
    }
    let own = name.parse().ok();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if own.is_none() && (name.is_empty() || name.len() > MAX_HOSTNAME || !name.chars().all(fits)) {
        return Err(Unfit::NoHostname { at, shown: unfit::cut(name) });
    }
    Ok(Named { machine: ExpectedMachine { name: name.to_owned(), address: address.or(own) }, at })
}

impl Expected {
    fn of(named: Vec<Named>) -> Result<Self, Unfit> {
        if named.is_empty() {
            return Err(Unfit::NoName);
        }
        if named.len() > MOST {
            return Err(Unfit::TooMany(named.len(), MOST));
        }
        let mut expected = Self::default();
        let mut places: Vec<String> = Vec::with_capacity(named.len());
        for (number, Named { machine, at }) in named.into_iter().enumerate() {
            // An address is where a machine is: whoever calls itself so is no nearer to it.
            let name = machine.name.to_ascii_lowercase();
            let is_name = name.parse::<IpAddr>().is_err();
            let by_name = is_name.then(|| expected.names.insert(name, number)).flatten();
            let by_address = machine.address.and_then(|address| expected.addresses.insert(address, number));
            if let Some(first) = by_name.or(by_address) {
                let what = if by_name.is_some() { unfit::cut(&machine.name) } else { shown(machine.address) };
                return Err(Unfit::Twice { what, first: places[first].clone(), second: at });
            }
            expected.machines.push(machine);
            places.push(at);
        }
        Ok(expected)
    }

    pub(crate) fn machines(&self) -> &[ExpectedMachine] {
        &self.machines
    }

    /// Which of them this is: by its name, in letters of any size, else by its address.
    pub(crate) fn find(&self, hostname: Option<&str>, address: Option<IpAddr>) -> Option<Match> {
        let by_name = hostname.and_then(|hostname| self.names.get(&hostname.to_ascii_lowercase()));
        let by_address = || address.and_then(|address| self.addresses.get(&address));
        by_name.map(|at| Match::Name(*at)).or_else(|| by_address().map(|at| Match::Address(*at)))
    }
}

fn shown(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}
