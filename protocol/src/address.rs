//! Where a broker can be reached: `HOST[:PORT]`.
//!
//! Keeps promise 8 (any broker will do): an invite names them all, IPv6 included.
//! Must not look names up: that is the dialler's work, anew in each round.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The port a broker listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7443;

/// A broker's address: an IP address or a DNS name, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BrokerAddress {
    host: String,
    port: u16,
}

/// Text that is not an address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not an address: write HOST, HOST:PORT, IPv6 or [IPv6]:PORT")]
pub struct AddressError(String);

impl BrokerAddress {
    /// The host: an IP address without brackets, or a DNS name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The IP address and port, where the host is an IP address.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl From<SocketAddr> for BrokerAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for BrokerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.chars().take(80).flat_map(char::escape_debug).collect());
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Self { host: ip.to_string(), port: DEFAULT_PORT });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, port) = rest.split_once(']').ok_or_else(wrong)?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| wrong())?;
            let port = match port {
                "" => DEFAULT_PORT,
                port => parse_port(port.strip_prefix(':').ok_or_else(wrong)?).ok_or_else(wrong)?,
            };
            return Ok(Self { host: ip.to_string(), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port).ok_or_else(wrong)?),
            None => (text, DEFAULT_PORT),
        };
        if is_host(host) { Ok(Self { host: host.to_ascii_lowercase(), port }) } else { Err(wrong()) }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// A DNS name or an IPv4 address. What looks like an IPv4 address must be one.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<std::net::Ipv4Addr>().is_ok();
    }
    text.len() <= 253 && text.split('.').all(label)
}

impl TryFrom<String> for BrokerAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<BrokerAddress> for String {
    fn from(address: BrokerAddress) -> String {
        address.to_string()
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        text.parse::<BrokerAddress>().ok().map(|address| address.to_string())
    }

    #[test]
    fn addresses_are_read_in_every_usual_form() {
        assert_eq!(shown("10.0.0.1").as_deref(), Some("10.0.0.1:7443"));
        assert_eq!(shown("10.0.0.1:8443").as_deref(), Some("10.0.0.1:8443"));
        assert_eq!(shown("Manager-1.example").as_deref(), Some("manager-1.example:7443"));
        assert_eq!(shown("fd00::1").as_deref(), Some("[fd00::1]:7443"));
        assert_eq!(shown("[fd00::1]:9").as_deref(), Some("[fd00::1]:9"));
        assert_eq!(shown("[fd00::1]").as_deref(), Some("[fd00::1]:7443"));
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for text in ["", ":7443", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0.300", "[fd00::1", "[fd00::1]7", "a b", "x/y"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
