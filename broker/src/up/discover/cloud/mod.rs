//! Machines that carry a tag, as the cloud says in which they run: AWS, Vultr and `DigitalOcean`.
//!
//! Keeps DESIGN §3b: what comes of it is addresses, one for each of at most [`MOST_MACHINES`]. Must not follow a URL, take a name for
//! an address, or show a token: what the provider answers is text from outside.

mod ask;
mod aws;
mod credentials_file;
mod digitalocean;
mod metadata;
mod spec;
mod token;
mod vultr;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use protocol::BrokerAddress;

use ask::Asker;
pub(super) use spec::read;

/// Pages of one answer that are asked for.
const MOST_PAGES: usize = 20;
/// More machines with one tag than this are not the managers of a swarm.
const MOST_MACHINES: usize = 100;

/// Which machines of which cloud.
#[derive(Debug)]
pub(super) struct Cloud {
    query: Query,
    /// In lower case, digits and dashes.
    region: Option<String>,
    address: AddressKind,
    /// Where the provider's interface is, if not where it usually is; without a slash at its end.
    endpoint: Option<String>,
    allow_http: bool,
    /// Where brokers listen.
    port: u16,
}

#[derive(Debug)]
enum Query {
    Aws { tag_key: String, tag_value: String },
    DigitalOcean { tag: String, token: token::Place },
    Vultr { tag: Option<String>, label: Option<String>, token: token::Place },
}

/// Which address of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressKind {
    PrivateV4,
    PublicV4,
    V6,
}

/// Why nobody was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may pass, or be put right at the provider's.
    Passing(String),
    /// This machine cannot ask as it was told to.
    Here(String),
}

impl Trouble {
    fn passing(what: impl Into<String>) -> Self {
        Self::Passing(what.into())
    }
}

/// A machine as the provider describes it.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    name: String,
    /// Its addresses of the kind that was asked for, as they are written there.
    addresses: Vec<String>,
}

/// A page of an answer, and what the next one is asked for with.
#[derive(Debug, PartialEq, Eq)]
struct Page<N> {
    machines: Vec<Machine>,
    next: Option<N>,
}

impl Cloud {
    /// The machines' addresses, with the brokers' port.
    pub(super) async fn look(&self, until: Instant) -> Result<Vec<BrokerAddress>, Trouble> {
        let asker = Asker::new(self.allow_http, until)?;
        let machines = match &self.query {
            Query::Aws { tag_key, tag_value } => aws::machines(self, (tag_key, tag_value), &asker).await?,
            Query::DigitalOcean { tag, token } => digitalocean::machines(self, tag, token, &asker).await?,
            Query::Vultr { tag, label, token } => {
                vultr::machines(self, (tag.as_deref(), label.as_deref()), token, &asker).await?
            }
        };
        if machines.is_empty() {
            return Err(Trouble::passing("no machine that runs carries it"));
        }
        let addresses: Vec<IpAddr> = machines.iter().filter_map(usable).collect();
        if addresses.is_empty() {
            return Err(Trouble::passing(format!(
                "{} carry it, and none has an address of that kind: look at addr_type",
                machines.len()
            )));
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, self.port).into()).collect())
    }

    /// Where to ask, for a provider that is usually asked there.
    fn endpoint(&self, usual: &str) -> String {
        self.endpoint.clone().unwrap_or_else(|| usual.to_owned())
    }
}

/// The first of a machine's addresses that something can be dialled at: a broker listens on all of them. Clouds write 0.0.0.0
/// where there is none yet.
fn usable(machine: &Machine) -> Option<IpAddr> {
    let read = |text: &String| {
        let address = text.parse::<IpAddr>().ok().filter(|ip| !ip.is_loopback() && !ip.is_multicast());
        if address.is_none() && !text.is_empty() {
            tracing::warn!(machine = shown(&machine.name), address = shown(text), "not an address that can be dialled");
        }
        address.filter(|ip| !ip.is_unspecified())
    };
    machine.addresses.iter().find_map(read)
}

/// All pages of an answer, up to what can be meant.
async fn pages<N>(mut ask: impl AsyncFnMut(Option<N>) -> Result<Page<N>, Trouble>) -> Result<Vec<Machine>, Trouble> {
    let (mut machines, mut next) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = ask(next).await?;
        machines.extend(page.machines);
        if machines.len() > MOST_MACHINES {
            return Err(Trouble::passing(format!(
                "more than {MOST_MACHINES} machines carry it: choose one that managers alone carry"
            )));
        }
        next = page.next;
        if next.is_none() {
            return Ok(machines);
        }
    }
    Err(Trouble::passing(format!("the answer has more than {MOST_PAGES} pages: choose what managers alone carry")))
}

/// Text from outside, cut short and in one line.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Without what says where a token is.
impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = self.region.as_ref().map(|region| format!(" region={}", shown(region))).unwrap_or_default();
        match &self.query {
            Query::Aws { tag_key, tag_value } => {
                write!(f, "provider=aws{region} tag_key={} tag_value={}", shown(tag_key), shown(tag_value))
            }
            Query::DigitalOcean { tag, .. } => write!(f, "provider=digitalocean{region} tag_name={}", shown(tag)),
            Query::Vultr { tag, label, .. } => {
                write!(f, "provider=vultr{region}")?;
                tag.iter().try_for_each(|tag| write!(f, " tag={}", shown(tag)))?;
                label.iter().try_for_each(|label| write!(f, " label={}", shown(label)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
