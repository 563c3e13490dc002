//! The brokers of the invite's cluster, asked one after the other until one answers.
//!
//! Keeps promise 8 (any broker will do): a broker that does not answer costs a try of the next one.
//! Must not take anything but a broker's own problem document for a refusal.

mod connection;
mod exchange;
mod provider;
mod retry;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::{PinnedClient, ServerPin};
use hyper::Method;
use hyper::body::Bytes;
use protocol::{BrokerAddress, ClusterId};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde::de::DeserializeOwned;

use crate::clock::{self, Deadline};
use crate::exit::Error;
use crate::narrate;
use crate::state::Pinned;
use connection::Connection;
use exchange::Answer;
use retry::Next;

pub(crate) use retry::{Trouble, chance, pause};

/// To look a name up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How many of the last troubles an error lists.
const MOST_LISTED: usize = 8;

/// What a machine shows when it connects: nothing, its identity, or its swarm node certificate.
#[derive(Clone)]
pub(crate) struct Credential(Arc<ClientConfig>);

/// A request to any broker.
pub(crate) struct Request<'a> {
    /// The step, in a word, for the narration.
    pub(crate) step: &'a str,
    /// The method.
    pub(crate) method: Method,
    /// The path.
    pub(crate) path: &'a str,
    /// The body.
    pub(crate) body: Bytes,
}

/// A request that did not get its reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A broker answered, and no other would answer otherwise.
    Answered {
        /// What it said.
        trouble: Trouble,
        /// Which broker.
        broker: String,
    },
    /// Time ran out.
    OutOfTime,
}

/// The brokers.
pub(crate) struct Brokers {
    tls: PinnedClient,
    name: ServerName<'static>,
    cluster: ClusterId,
    addresses: Vec<BrokerAddress>,
    deadline: Deadline,
    open: Option<Open>,
    last: BTreeMap<BrokerAddress, Trouble>,
    /// Whether any broker of the cluster ever answered in this run.
    answered: bool,
    /// The address this machine calls from.
    local: Option<IpAddr>,
    /// The time spent on exchanges so far.
    spent: Duration,
}

struct Open {
    connection: Connection,
    credential: Credential,
    address: BrokerAddress,
}

impl Brokers {
    /// The brokers of this cluster, at these addresses.
    pub(crate) fn new(
        cluster: ClusterId,
        pinned: &Pinned,
        addresses: &[BrokerAddress],
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let tls = PinnedClient::new(
            Arc::new(provider::provider()),
            ServerPin {
                cluster: cluster.clone(),
                pin: pinned.pin.clone(),
                generation: pinned.generation,
                not_earlier_than: UnixTime::since_unix_epoch(Duration::from_secs(pinned.made)),
            },
        );
        let name = tls.server_name().map_err(|error| internal(&error))?;
        let mut brokers = Self {
            tls,
            name,
            cluster,
            addresses: Vec::new(),
            deadline,
            open: None,
            last: BTreeMap::new(),
            answered: false,
            local: None,
            spent: Duration::ZERO,
        };
        brokers.learn(addresses);
        // Machines that were started together begin with different brokers.
        if let Some(first) = (chance() as usize).checked_rem(brokers.addresses.len()) {
            brokers.addresses.rotate_left(first);
        }
        Ok(brokers)
    }

    /// Adds addresses of brokers that are live now.
    pub(crate) fn learn(&mut self, addresses: &[BrokerAddress]) {
        for address in addresses {
            if !self.addresses.contains(address) {
                self.addresses.push(address.clone());
            }
        }
    }

    /// Showing no certificate.
    pub(crate) fn anonymous(&self) -> Result<Credential, Error> {
        self.tls.anonymous().map(Arc::new).map(Credential).map_err(|error| internal(&error))
    }

    /// Showing this certificate; the error says why it and the key cannot be used.
    pub(crate) fn credential(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Credential, String> {
        self.tls.with_certificate(chain, key).map(Arc::new).map(Credential).map_err(|error| error.to_string())
    }

    /// The broker that answered last, or whose connection is open.
    pub(crate) fn current(&self) -> String {
        self.open.as_ref().map_or_else(|| "a broker".to_owned(), |open| open.address.to_string())
    }

    /// The address this machine calls from.
    pub(crate) fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// The time spent on exchanges so far.
    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// Asks one broker after the other, in rounds, until one answers or time runs out.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        credential: &Credential,
        request: &Request<'_>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let mut reply = None;
        let outcome = self.rounds(credential, request, &mut reply).await;
        self.spent += started.elapsed();
        // Rounds that end well end with a reply.
        outcome.and_then(|()| reply.ok_or(Failure::OutOfTime))
    }

    async fn rounds(
        &mut self,
        credential: &Credential,
        request: &Request<'_>,
        reply: &mut dyn Take,
    ) -> Result<(), Failure> {
        // The broker may have closed a connection that was kept: that costs no pause.
        if let Some(open) = self.open.take().filter(|open| Arc::ptr_eq(&open.credential.0, &credential.0)) {
            let address = open.address.clone();
            match self.on(open, request, reply).await {
                Ok(()) => return Ok(()),
                Err(trouble) if trouble.next() == Next::HandUp => {
                    return Err(self.note(&address, trouble, request.step).into());
                }
                Err(trouble) => narrate::detail(&format!("{}: kept connection to {address} {trouble}", request.step)),
            }
        }
        let mut round = 0;
        loop {
            match self.round(credential, request, reply).await {
                Ok(()) => return Ok(()),
                Err(Some(failed)) => return Err(failed.into()),
                Err(None) => {}
            }
            if self.deadline.has_passed() {
                return Err(Failure::OutOfTime);
            }
            self.deadline.pause(pause(round, chance())).await;
            round += 1;
        }
    }

    /// Asks each address of each broker once. `Err(None)`: ask again later.
    async fn round(
        &mut self,
        credential: &Credential,
        request: &Request<'_>,
        reply: &mut dyn Take,
    ) -> Result<(), Option<Failed>> {
        let mut certificate_refused = None;
        let mut certificate_accepted = false;
        for address in self.addresses.clone() {
            for socket in self.resolve(&address).await {
                if self.deadline.has_passed() {
                    return Err(None);
                }
                let failed = match self.at(&address, socket, credential, request, reply).await {
                    Ok(()) => return Ok(()),
                    Err(failed) => failed,
                };
                match failed.trouble.next() {
                    Next::HandUp => return Err(Some(failed)),
                    Next::OtherBrokerThenHandUp => certificate_refused = Some(failed),
                    Next::OtherBroker => certificate_accepted |= failed.trouble.is_an_answer(),
                }
            }
        }
        Err(certificate_refused.filter(|_| !certificate_accepted))
    }

    async fn at(
        &mut self,
        address: &BrokerAddress,
        socket: SocketAddr,
        credential: &Credential,
        request: &Request<'_>,
        reply: &mut dyn Take,
    ) -> Result<(), Failed> {
        match connection::connect(socket, self.name.clone(), credential.0.clone(), self.deadline.remaining()).await {
            Ok(connection) => {
                self.local = connection.local.or(self.local);
                let open = Open { connection, credential: credential.clone(), address: address.clone() };
                let answer = self.on(open, request, reply).await;
                answer.map_err(|trouble| self.note(address, trouble, request.step))
            }
            Err(trouble) => Err(self.note(address, trouble, request.step)),
        }
    }

    /// Makes the request on this connection, and keeps the connection if it went well.
    async fn on(&mut self, mut open: Open, request: &Request<'_>, reply: &mut dyn Take) -> Result<(), Trouble> {
        let host = protocol::server_name(&self.cluster);
        let (method, body) = (request.method.clone(), request.body.clone());
        let answer = open.connection.request(method, request.path, &host, body, self.deadline.remaining()).await;
        reply.take(&answer?)?;
        self.answered = true;
        // Who answered is asked first from now on.
        self.addresses.retain(|address| *address != open.address);
        self.addresses.insert(0, open.address.clone());
        self.last.remove(&open.address);
        self.open = Some(open);
        Ok(())
    }

    async fn resolve(&mut self, address: &BrokerAddress) -> Vec<SocketAddr> {
        if let Some(ip) = address.ip() {
            return vec![ip];
        }
        let within = LOOKUP_TIMEOUT.min(self.deadline.remaining());
        let why = match tokio::time::timeout(within, tokio::net::lookup_host((address.host(), address.port()))).await {
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.collect();
                if !found.is_empty() {
                    return found;
                }
                "the name has no address".to_owned()
            }
            Ok(Err(error)) => format!("the name does not resolve: {}", narrate::foreign(&error.to_string())),
            Err(_) => "the name does not resolve in time".to_owned(),
        };
        self.note(address, Trouble::Unreachable(why), "look-up");
        Vec::new()
    }

    fn note(&mut self, address: &BrokerAddress, trouble: Trouble, step: &str) -> Failed {
        self.answered |= trouble.is_an_answer();
        self.last.insert(address.clone(), trouble.clone());
        narrate::step(&format!("{step}: {address} {trouble}"));
        Failed { trouble, broker: address.to_string() }
    }

    /// Why time ran out, as an error; `during` says what was being done.
    pub(crate) fn out_of_time(&self, during: &str) -> Error {
        let mut last: Vec<String> =
            self.last.iter().map(|(address, trouble)| format!("{address}: {trouble}")).collect();
        if last.len() > MOST_LISTED {
            let more = last.len() - MOST_LISTED;
            last.truncate(MOST_LISTED);
            last.push(format!("and {more} more"));
        }
        let all = |is: fn(&Trouble) -> bool| !self.last.is_empty() && self.last.values().all(is);
        if self.answered {
            Error::OutOfTime { during: during.to_owned(), last }
        } else if all(|trouble| matches!(trouble, Trouble::OtherCluster(_))) {
            Error::OtherCluster { cluster: self.cluster.clone(), last }
        } else if all(|trouble| matches!(trouble, Trouble::ServerClock(_))) {
            let clock = clock::in_words(clock::now());
            Error::OutOfTime { during: format!("{during}, with a clock that is probably wrong: it says {clock}"), last }
        } else {
            Error::NoBroker { last }
        }
    }
}

/// Where a reply goes if it reads. Rounds know no more of it, so they are in the program once, and not, 20 kB larger, once
/// for each kind of reply.
trait Take {
    fn take(&mut self, answer: &Answer) -> Result<(), Trouble>;
}

impl<T: DeserializeOwned> Take for Option<T> {
    fn take(&mut self, answer: &Answer) -> Result<(), Trouble> {
        *self = Some(answer.read()?);
        Ok(())
    }
}

/// A request that failed at one broker.
struct Failed {
    trouble: Trouble,
    broker: String,
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::Answered { trouble: failed.trouble, broker: failed.broker }
    }
}

fn internal(error: &rustls::Error) -> Error {
    Error::Internal(format!("TLS cannot be set up: {error}"))
}
