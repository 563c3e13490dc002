//! An honest cluster: its root, its issuing CA, its brokers and the machines that boot into it.

use std::sync::Arc;
use std::time::Duration;

use certs::{
    BrokerServer, ClientTrust, Csr, Issuing, MachineIdentity, PinnedClient, Root, ServerPin, ServerTls, SigningKey,
};
use protocol::{ClusterId, InviteId, Role};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{ClientConfig, ServerConfig};

use crate::pipe::{Meeting, client_at, meet, server_at};

pub(crate) const MINUTE: u64 = 60;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;
/// When everything here happens: a day in 2027.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate with what stands below it, and its key.
pub(crate) struct Shown {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: SigningKey,
}

impl Shown {
    /// The same, served as if it were a broker's.
    pub(crate) fn into_server(self) -> BrokerServer {
        BrokerServer { chain: self.chain, key: self.key, renew_at: at(NOW + DAY) }
    }
}

pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) root: Root,
    pub(crate) issuing: Issuing,
}

impl Cluster {
    /// A cluster whose root is a day old and whose issuing CA is of generation 1.
    pub(crate) fn new() -> Self {
        let id = ClusterId::random();
        let root = Root::create(&id, "lab", at(NOW - DAY)).expect("a root");
        let issuing = root.issue(1, at(NOW - DAY)).expect("an issuing CA");
        Self { id, root, issuing }
    }

    /// What an invite made an hour ago says.
    pub(crate) fn pin(&self) -> ServerPin {
        ServerPin { cluster: self.id.clone(), pin: self.root.pin(), generation: 1, not_earlier_than: at(NOW - HOUR) }
    }

    pub(crate) fn client(&self) -> PinnedClient {
        PinnedClient::new(provider(), self.pin())
    }

    /// What brokers trust while they know no swarm.
    pub(crate) fn trust(&self) -> Arc<ClientTrust> {
        ClientTrust::new(provider(), &[self.issuing.public().clone()]).expect("trust")
    }

    pub(crate) fn broker(&self) -> BrokerServer {
        self.issuing.server(at(NOW)).expect("a server certificate")
    }

    /// A machine that got its identity a minute ago.
    pub(crate) fn machine(&self, role: Role, invite: &InviteId) -> (Shown, MachineIdentity) {
        self.machine_at(NOW - MINUTE, role, invite)
    }

    pub(crate) fn machine_at(&self, time: u64, role: Role, invite: &InviteId) -> (Shown, MachineIdentity) {
        let key = SigningKey::generate().expect("a key");
        let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
        let (pem, identity) = self.issuing.identity(&csr, role, invite, at(time)).expect("an identity");
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("a chain");
        (Shown { chain, key }, identity)
    }

    /// The issuing CA's own certificate and key.
    pub(crate) fn issuing_ca(&self) -> Shown {
        Shown { chain: vec![self.issuing.public().certificate.clone()], key: copy(self.issuing.key()) }
    }

    /// A machine that shows `shown` calls a broker with this trust, both with the right time.
    pub(crate) fn call(&self, shown: Shown, trust: &Arc<ClientTrust>) -> Meeting {
        let client = self.client();
        let config = client.with_certificate(shown.chain, shown.key.to_tls()).expect("settings");
        let name = client.server_name().expect("a name");
        meet(client_at(at(NOW), config), name, serving(self.broker(), trust))
    }

    /// A machine without a certificate, pinned by `pin`, calls a broker that shows `shown`, both with the right time.
    pub(crate) fn dial(&self, pin: ServerPin, shown: BrokerServer) -> Meeting {
        dial_at(NOW, pin, serving(shown, &self.trust()))
    }
}

/// A machine without a certificate, whose clock shows `time`, calls a broker.
pub(crate) fn dial_at(time: u64, pin: ServerPin, server: ServerConfig) -> Meeting {
    let client = PinnedClient::new(provider(), pin);
    let name = client.server_name().expect("a name");
    meet(anonymous_at(time, &client), name, server)
}

pub(crate) fn anonymous_at(time: u64, client: &PinnedClient) -> ClientConfig {
    client_at(at(time), client.anonymous().expect("settings"))
}

/// A broker that shows this, at [`NOW`].
pub(crate) fn serving(shown: BrokerServer, trust: &Arc<ClientTrust>) -> ServerConfig {
    let tls = ServerTls::new(provider(), shown).expect("a server");
    server_at(at(NOW), tls.config(trust.clone()).expect("settings"))
}

/// A key as someone has it who copied its file.
pub(crate) fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_pem(&key.to_pem()).expect("reads back")
}
