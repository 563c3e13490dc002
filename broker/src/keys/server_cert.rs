//! The certificate that this broker serves with.
//!
//! Keeps promise 6: connections that are open keep the one they began with. Must not serve with a certificate that a
//! joiner would not take.

use std::sync::{Arc, Mutex, PoisonError};

use certs::{BrokerServer, Issuing, PinnedClient, ServerPin, ServerTls, Thumbprint};
use rustls::crypto::CryptoProvider;

use super::Rotated;
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;

/// The server's side of TLS, and what it serves with. Times are in seconds since 1970.
pub(crate) struct Server {
    tls: Arc<ServerTls>,
    served: Mutex<Served>,
}

#[derive(Clone, Debug)]
struct Served {
    thumbprint: String,
    generation: u32,
    since: u64,
    renew_at: u64,
}

impl Server {
    /// Serves with a new certificate of this CA. At a start there is no other: where machines would not take it, as when
    /// the CA has ended, the broker is there all the same, so that its CA can be replaced.
    pub(crate) fn new(provider: &Arc<CryptoProvider>, issuing: &Issuing, now: u64) -> Result<Self, String> {
        let (certificate, served) = made(issuing, now)?;
        if let Err(error) = assert_taken(provider, issuing, &certificate, now) {
            tracing::error!(error, "nobody is admitted");
        }
        let tls = ServerTls::new(provider.clone(), certificate).map_err(|error| error.to_string())?;
        Ok(Self { tls, served: Mutex::new(served) })
    }

    /// The settings of the listener are made of this.
    pub(crate) fn tls(&self) -> &Arc<ServerTls> {
        &self.tls
    }

    /// Whether it is time for another one, by itself.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.served().renew_at
    }

    /// Serves with a new certificate of this CA from now on; what is checked before is the chain, as joiners check it.
    pub(super) fn replace(
        &self,
        provider: &Arc<CryptoProvider>,
        issuing: &Issuing,
        now: u64,
    ) -> Result<Rotated, String> {
        let (certificate, served) = made(issuing, now)?;
        assert_taken(provider, issuing, &certificate, now)?;
        self.tls.replace(certificate).map_err(|error| error.to_string())?;
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = served;
        Ok(self.shown())
    }

    fn served(&self) -> Served {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn shown(&self) -> Rotated {
        let Served { thumbprint, generation, since, .. } = self.served();
        Rotated::new(generation.into(), since, thumbprint)
    }
}

fn made(issuing: &Issuing, now: u64) -> Result<(BrokerServer, Served), String> {
    let certificate = issuing.server(clock::unix(now)).map_err(|error| error.to_string())?;
    let thumbprint = certificate.chain.first().map(|leaf| Thumbprint::of(leaf).to_string()).unwrap_or_default();
    let renew_at = certificate.renew_at.as_secs();
    let generation = issuing.public().generation;
    Ok((certificate, Served { thumbprint, generation, since: now, renew_at }))
}

/// Whether joiners take a certificate, by their own verifier.
fn assert_taken(
    provider: &Arc<CryptoProvider>,
    issuing: &Issuing,
    certificate: &BrokerServer,
    now: u64,
) -> Result<(), String> {
    let public = issuing.public();
    let pin = ServerPin {
        cluster: public.cluster.clone(),
        pin: public.pin(),
        generation: public.generation,
        not_earlier_than: clock::unix(0),
    };
    PinnedClient::new(provider.clone(), pin)
        .accepts(&certificate.chain, clock::unix(now))
        .map_err(|error| format!("no machine would take the new server certificate: {error}"))
}

/// Whether machines would take what this CA makes; the words say why not.
pub(super) fn assert_served(provider: &Arc<CryptoProvider>, issuing: &Issuing, now: u64) -> Result<(), String> {
    made(issuing, now).and_then(|(certificate, _)| assert_taken(provider, issuing, &certificate, now))
}

/// Replaces it.
pub(crate) fn rotate(broker: &Broker) -> Result<Rotated, Denial> {
    let (provider, issuing) = (&broker.provider, broker.keys.issuing.get());
    broker.keys.server.replace(provider, &issuing, clock::now()).map_err(Denial::Unavailable)
}

/// The one in use.
pub(super) fn current(broker: &Broker) -> Rotated {
    broker.keys.server.shown()
}

#[cfg(test)]
mod tests {
    use certs::Root;
    use protocol::ClusterId;

    use super::*;

    #[test]
    fn a_certificate_that_joiners_would_not_take_is_not_served() {
        const NOW: u64 = 1_800_000_000;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let root = Root::create(&ClusterId::random(), "test", clock::unix(NOW)).expect("a root");
        let issuing = root.issue(1, clock::unix(NOW)).expect("an issuing CA");
        let server = Server::new(&provider, &issuing, NOW).expect("good");
        assert!(!server.is_due(NOW + 4 * 24 * 3600) && server.is_due(NOW + 5 * 24 * 3600), "at two thirds of a week");
        let before = server.shown().kid;
        let after_its_end = issuing.public().ends + 1;
        let error = server.replace(&provider, &issuing, after_its_end).expect_err("the CA has ended");
        assert!(error.contains("no machine would take"), "{error}");
        assert_eq!(server.shown().kid, before, "and the one before is served on");
        assert_ne!(server.replace(&provider, &issuing, NOW + 1).expect("good").kid, before);
        assert!(Server::new(&provider, &issuing, after_its_end).is_ok(), "a start goes on, for the CA to be replaced");
    }
}
