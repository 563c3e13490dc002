//! The cluster record: which swarm it is, and where its brokers are. Signed, and no secret in it.
//!
//! Keeps DESIGN §3b: it is verified against the pin alone. One that is forged, unreadable or another cluster's is an error,
//! and so is one that is too old to go by. Must not be overwritten unless it is as it was read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::Issuing;
use protocol::{BrokerAddress, ClusterId, Pin, SwarmId};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{Found, MOST, Put, Store, StoreError, Version};
use crate::clock;
use crate::format::{self, Unread};
use crate::jwt::{self, PublicKey, Signer};

const NAME: &str = "cluster-record";
const TYP: &str = "swarm-record+jwt";
const FORMAT: u32 = 1;
/// One that no broker has renewed for so long, in seconds, names managers that are gone.
const GOOD_FOR: u64 = 24 * 60 * 60;

/// What it says. Fields that a later release adds are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The cluster.
    pub(crate) iss: ClusterId,
    /// Its swarm.
    pub(crate) swarm: SwarmId,
    /// When it was published first, in seconds since 1970.
    pub(crate) made: u64,
    /// When a broker signed it last.
    pub(crate) renewed: u64,
    /// Until when a machine with the keys could make the swarm: so long it is looked at often.
    pub(crate) form_until: u64,
    /// The brokers.
    pub(crate) brokers: Vec<Listed>,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) addresses: Vec<BrokerAddress>,
    /// The public key of its grants.
    pub(crate) key: String,
}

/// How it lies in the store: certificates in base64, and a compact JWS by the first one's key.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    chain: Vec<String>,
    statement: String,
}

/// What a record must fit to.
#[derive(Clone, Copy)]
pub(crate) struct Trust<'a> {
    pub(crate) cluster: &'a ClusterId,
    pub(crate) pin: &'a Pin,
    /// The lowest generation of issuing CA.
    pub(crate) generation: u32,
    pub(crate) provider: &'a CryptoProvider,
}

/// What the store has for a record.
pub(crate) enum Read {
    Nothing,
    Good(Published),
    /// One of this cluster that an issuing CA signed which is not good any more: nobody's word.
    Void(Version),
}

/// A record as it was read, and which state of it.
pub(crate) struct Published {
    pub(crate) record: Record,
    pub(crate) version: Version,
    bytes: Vec<u8>,
}

impl Published {
    /// Whether an issuing CA of this generation signed it, or a later one.
    pub(crate) fn is_from(&self, generation: u32, trust: &Trust<'_>) -> bool {
        verify(&self.bytes, &Trust { generation, ..*trust }).is_ok()
    }
}

impl Record {
    /// The record in the store, if there is one.
    pub(crate) async fn read(store: &Store, trust: &Trust<'_>) -> Result<Read, StoreError> {
        let Some(Found { bytes, version }) = store.get(NAME).await? else { return Ok(Read::Nothing) };
        match verify(&bytes, trust) {
            Ok(record) => Ok(Read::Good(Published { record, version, bytes })),
            Err(_) if verify(&bytes, &Trust { generation: 1, ..*trust }).is_ok() => Ok(Read::Void(version)),
            Err(what) => Err(store.bad(NAME, what)),
        }
    }

    /// Publishes it, if there is none. False if there is one.
    pub(crate) async fn publish(&self, store: &Store, issuing: &Issuing) -> Result<bool, StoreError> {
        let bytes = sign(self, issuing).map_err(|what| store.unavailable(&what))?;
        Ok(matches!(store.create(NAME, bytes).await?, Put::Done(_)))
    }

    /// Puts it in the place of the one that was read. False if that has changed since.
    pub(crate) async fn renew(&self, store: &Store, issuing: &Issuing, read: &Version) -> Result<bool, StoreError> {
        let bytes = sign(self, issuing).map_err(|what| store.unavailable(&what))?;
        Ok(matches!(store.update(NAME, bytes, read).await?, Put::Done(_)))
    }

    /// Whether it is too old to go by.
    pub(crate) fn has_ended(&self, now: u64) -> bool {
        now >= self.renewed.saturating_add(GOOD_FOR)
    }

    /// Every address of every broker.
    pub(crate) fn addresses(&self) -> Vec<BrokerAddress> {
        self.brokers.iter().flat_map(|broker| broker.addresses.clone()).collect()
    }
}

fn sign(record: &Record, issuing: &Issuing) -> Result<Vec<u8>, String> {
    let signer = issuing.record_signer(clock::unix(record.renewed)).map_err(|error| error.to_string())?;
    let statement = Signer::new(TYP, &signer.key).sign(record).map_err(|error| error.to_string())?;
    let chain = signer.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
    let bytes = serde_json::to_vec(&Envelope { format: FORMAT, chain, statement });
    bytes.map_err(|error| error.to_string())
}

fn verify(bytes: &[u8], trust: &Trust<'_>) -> Result<Record, String> {
    let envelope: Envelope = format::read(bytes, FORMAT).map_err(|unread| match unread {
        Unread::Newer(found) => {
            format!("a newer broker wrote it (format {found}, this one knows up to {FORMAT}): install that release")
        }
        Unread::Damaged { words, .. } => format!("it does not read: {words}"),
    })?;
    let decode = |text: &String| STANDARD.decode(text).map(CertificateDer::from);
    let chain: Vec<CertificateDer<'_>> =
        envelope.chain.iter().map(decode).collect::<Result<_, _>>().map_err(|_| "its certificates do not read")?;
    // The time at which the certificates must be good is in the statement, which their key signed: it is read with the key
    // of the first one, and nothing of it is believed before the chain holds.
    let key = |at: u64| {
        let key =
            certs::record_key(&chain, trust.cluster, trust.pin, trust.generation, clock::unix(at), trust.provider);
        key.ok().and_then(|point| PublicKey::from_point(&point))
    };
    let renewed = unverified_time(&envelope.statement).ok_or("its statement does not read")?;
    let key = key(renewed).ok_or("it is not signed under this cluster's root: it is forged, or another cluster's")?;
    let ours = |id: &jwt::KeyId| (*id == key.id()).then(|| key.clone());
    let (record, _) = jwt::verify::<Record>(&envelope.statement, TYP, MOST, ours).map_err(|error| error.to_string())?;
    if record.iss != *trust.cluster {
        return Err(format!("it is of another cluster ({})", record.iss));
    }
    Ok(record)
}

/// When the statement says it was signed. It decides nothing but at which time the certificates must be good, and it is in
/// what is verified after that.
fn unverified_time(statement: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Time {
        renewed: u64,
    }
    let claims = statement.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice(&claims).ok().map(|Time { renewed }| renewed)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
