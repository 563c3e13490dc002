//! `broker rotate` of our own keys: what an operator asks for, and what it came to.

use std::fmt;

use protocol::InviteId;
use serde::{Deserialize, Serialize};

use super::ca::{self, Failed};
use super::{invite_key, records, server_cert, signing_key};
use crate::broker::Broker;
use crate::clock::Time;
use crate::denial::Denial;

/// A key of ours that can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// Signs this broker's grants.
    SigningKey,
    /// Signs invites.
    InviteKey,
    /// What this broker serves with, and its key.
    ServerCert,
    /// Signs identities and server certificates.
    Ca,
    /// Opens the managers' state when their engines start, where the swarm has autolock on. It is the engine's.
    UnlockKey,
    /// Signs issuing CAs. Its key is not the broker's, and it is not replaced.
    Root,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SigningKey => "signing-key",
            Self::InviteKey => "invite-key",
            Self::ServerCert => "server-cert",
            Self::Ca => "ca",
            Self::UnlockKey => "unlock-key",
            Self::Root => "root",
        })
    }
}

/// Who asks, and how.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) operator: String,
    pub(crate) reason: String,
    /// After a leak: what the ones before signed is refused from now on.
    pub(crate) now: bool,
}

/// What it came to; or, of a preview, what there is. The names are stable: commands print it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rotated {
    pub(crate) generation: u64,
    /// Since when it is in use.
    #[serde(rename = "rotated_at")]
    pub(crate) since: Time,
    /// The id of the public key; of a certificate, its thumbprint.
    pub(crate) kid: String,
    /// Until when what the one before signed is good, where that ends by itself and soon.
    pub(crate) former_until: Option<Time>,
    /// Invites of former keys (of a preview, of this one, too) that have not ended.
    pub(crate) invites: Vec<Made>,
    /// Objects of invites that do not read. They admit nobody, and are not among the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
    /// Of an issuing CA after a leak: managers that must be adopted, before their brokers are given it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) adopt: Vec<String>,
}

impl Rotated {
    /// A key of which no more is to be said.
    pub(super) fn new(generation: u64, since: u64, kid: String) -> Self {
        let (since, former_until) = (Time(since), None);
        Self { generation, since, kid, former_until, invites: Vec::new(), unread: Vec::new(), adopt: Vec::new() }
    }
}

/// An invite of a former key, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) id: InviteId,
    pub(crate) ends: Time,
    pub(crate) revoked: bool,
}

/// Replaces a key. It is in use, on disk and known to all brokers when this returns.
pub(crate) async fn rotate(broker: &Broker, what: What, asked: &Asked) -> Result<Rotated, Denial> {
    let _turn = broker.keys.turn.lock().await;
    broker.sentinel.check()?;
    recorded(broker, what, asked, async {
        match what {
            What::SigningKey => signing_key::rotate(broker, asked.now).await,
            What::InviteKey => invite_key::rotate(broker, asked).await,
            What::ServerCert => server_cert::rotate(broker),
            What::Ca | What::Root | What::UnlockKey => Err(BY_ITSELF),
        }
    })
    .await
}

/// An issuing CA needs a certificate of the root.
const BY_ITSELF: Denial = Denial::Malformed("the issuing CA is replaced by 'broker rotate ca' of this release");

/// Puts the issuing CA of this certificate to use. It is on disk and known to all brokers when this returns.
pub(crate) async fn install(broker: &Broker, certificate: String, asked: &Asked) -> Result<Rotated, Failed> {
    let _turn = broker.keys.turn.lock().await;
    broker.sentinel.check().map_err(|error| Err(error.into()))?;
    let issuing = ca::checked(broker, certificate).await?;
    recorded(broker, What::Ca, asked, ca::put_to_use(broker, issuing, asked)).await.map_err(Err)
}

/// Does it between two records.
async fn recorded(
    broker: &Broker,
    what: What,
    asked: &Asked,
    doing: impl Future<Output = Result<Rotated, Denial>>,
) -> Result<Rotated, Denial> {
    records::rotating(broker, what, asked).await?;
    let rotated = doing.await;
    match &rotated {
        Ok(rotated) => records::rotated(broker, what, asked, rotated).await?,
        Err(error) => records::failed(broker, what, asked, error).await,
    }
    rotated
}

/// What is in use now. Changes nothing.
pub(crate) async fn preview(broker: &Broker, what: What) -> Result<Rotated, Denial> {
    broker.sentinel.check()?;
    match what {
        What::SigningKey => signing_key::current(broker).await,
        What::InviteKey => invite_key::current(broker).await,
        What::ServerCert => Ok(server_cert::current(broker)),
        What::Ca | What::Root | What::UnlockKey => Err(BY_ITSELF),
    }
}
