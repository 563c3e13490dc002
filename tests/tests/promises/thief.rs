//! Somebody who copied a broker's state directory: what can be made with its keys.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use certs::{Csr, Issuing, SigningKey};
use lab::Failed;
use lab::cluster::Machine;
use protocol::{INVITE_PREFIX, InviteId, InviteLine, Role};
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::verify_then_spend::{decoded, signed};

/// The keys, as they were copied.
pub(crate) struct Thief {
    pub(crate) issuing: Issuing,
    pub(crate) invite_key: SigningKey,
    pub(crate) grant_key: SigningKey,
}

impl Thief {
    /// Copies them.
    pub(crate) fn of(state: &Path) -> Result<Self, Failed> {
        let read = |name: &str| fs::read_to_string(state.join(name));
        Ok(Self {
            issuing: Issuing::from_pem(&read("issuing.crt")?, &read("issuing.key")?, &read("root.crt")?)?,
            invite_key: SigningKey::from_pem(&read("invite.key")?)?,
            grant_key: SigningKey::from_pem(&read("grant.key")?)?,
        })
    }

    /// A new invite like this one, signed by the stolen key.
    pub(crate) fn invite(&self, like: &str) -> String {
        let (header, mut claims) = parts(like.trim_start_matches(INVITE_PREFIX));
        claims["jti"] = json!(InviteId::random());
        format!("{INVITE_PREFIX}{}", signed(&named(header, &self.invite_key), &claims, &self.invite_key))
    }

    /// A grant like this one, signed by the stolen key.
    pub(crate) fn grant(&self, like: &str) -> String {
        let (header, claims) = parts(like);
        signed(&named(header, &self.grant_key), &claims, &self.grant_key)
    }

    /// A machine with an identity for this invite that the stolen CA issued.
    pub(crate) fn machine(&self, invite: &str, address: SocketAddr) -> Result<Machine, Failed> {
        let machine = Machine::new(invite, address);
        let csr = Csr::from_pem(&machine.key().csr()?)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let id = InviteLine::parse(invite)?.unverified().jti.clone();
        let (certificate, _) = self.issuing.identity(&csr, Role::Worker, &id, UnixTime::since_unix_epoch(now))?;
        Ok(machine.with_identity(certificate))
    }
}

fn parts(jws: &str) -> (Value, Value) {
    let mut parts = jws.split('.');
    (decoded(parts.next().unwrap_or_default()), decoded(parts.next().unwrap_or_default()))
}

/// The header with this key's id.
fn named(mut header: Value, key: &SigningKey) -> Value {
    let digest = Sha256::digest(key.public_point());
    header["kid"] = json!(format!("{:032x}", u128::from_be_bytes(digest[..16].try_into().expect("16 bytes"))));
    header
}
