//! From invite to token: identity, grant, redemption.
//!
//! Keeps promises 2 and 7: every step is this machine's key's, and the token is only ever a [`protocol::SwarmToken`].
//! Must not keep an identity longer than it is good for, and writes the grant's id down before it is redeemed.

use std::time::{Duration, Instant};

use certs::SigningKey;
use hyper::Method;
use hyper::body::Bytes;
use protocol::{
    GRANTS, GrantReply, IDENTITIES, IdentityReply, IdentityRequest, Invite, InviteLine, MAX_HOSTNAME, REDEEM,
    RedeemReply, RedeemRequest,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use crate::broker::{Brokers, Credential, Failure, Request, Trouble};
use crate::clock::{self, BrokerTime, Deadline};
use crate::exit::Error;
use crate::invite;
use crate::narrate;
use crate::state::{Folder, Record};

/// An identity is good for 15 minutes; an older one than this is replaced before it is shown.
const IDENTITY_FOR: Duration = Duration::from_mins(10);

/// A certificate for this machine's key.
pub(super) struct Identity {
    credential: Credential,
    made: Instant,
    time: BrokerTime,
}

/// What came of asking for the token.
pub(super) enum Admission {
    /// The token, and what it is for.
    Given(RedeemReply),
    /// Go through it again; why.
    Again(String),
}

/// What admission needs.
pub(super) struct Admitting<'a> {
    /// Where its steps are written down.
    pub(super) folder: &'a Folder,
    /// The invite.
    pub(super) invite: &'a InviteLine,
    /// The brokers.
    pub(super) brokers: &'a mut Brokers,
    /// The identity of an earlier try.
    pub(super) identity: &'a mut Option<Identity>,
    /// For everything together.
    pub(super) deadline: Deadline,
}

impl Admitting<'_> {
    /// Goes through identity, grant and redemption with this key.
    pub(super) async fn admit(&mut self, record: &mut Record, key: &SigningKey) -> Result<Admission, Error> {
        let credential = match self.identity.take().filter(|identity| identity.made.elapsed() < IDENTITY_FOR) {
            Some(identity) => identity,
            None => match self.new_identity(key).await? {
                Ok(identity) => identity,
                Err(again) => return Ok(Admission::Again(again)),
            },
        };
        let time = credential.time;
        let credential = self.identity.insert(credential).credential.clone();
        clock::agree(time, self.deadline).await?;

        let granted: GrantReply = match self.ask(&credential, "grant", GRANTS, body(&serde_json::json!({}))?).await? {
            Ok(reply) => reply,
            Err(again) => return Ok(Admission::Again(again)),
        };
        narrate::step(&format!(
            "grant: for this key, good for {} s, from {}",
            granted.expires_in,
            self.brokers.current()
        ));
        // Before it is redeemed: what Docker joins with must have a name that the confirm can tell.
        record.grant = Some(granted.id);
        record.swarm = None;
        record.node = None;
        self.folder.save(record)?;

        let redeem = body(&RedeemRequest { grant: granted.grant })?;
        let redeemed: RedeemReply = match self.ask(&credential, "redeem", REDEEM, redeem).await? {
            Ok(reply) => reply,
            Err(again) => return Ok(Admission::Again(again)),
        };
        if redeemed.managers.is_empty() {
            return Ok(Admission::Again("the broker knows no manager to join at".to_owned()));
        }
        narrate::step(&format!(
            "redeem: {} in swarm {}, managers {}",
            redeemed.role,
            redeemed.swarm,
            narrate::foreign(&redeemed.managers.join(", "))
        ));
        Ok(Admission::Given(redeemed))
    }

    async fn new_identity(&mut self, key: &SigningKey) -> Result<Result<Identity, String>, Error> {
        let csr = key.csr().map_err(|error| Error::Internal(error.to_string()))?;
        let request = IdentityRequest { csr, invite: self.invite.expose(), hostname: hostname() };
        let anonymous = self.brokers.anonymous()?;
        let reply: IdentityReply = match self.ask(&anonymous, "identity", IDENTITIES, body(&request)?).await? {
            Ok(reply) => reply,
            Err(again) => return Ok(Err(again)),
        };
        let time = BrokerTime::read_now(reply.time);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(reply.certificate.as_bytes()).collect();
        let credential =
            chain.map_err(|error| error.to_string()).and_then(|chain| self.brokers.credential(chain, key.to_tls()));
        let credential = match credential {
            Ok(credential) => credential,
            Err(error) => return Ok(Err(format!("the identity cannot be used: {}", narrate::foreign(&error)))),
        };
        narrate::step(&format!("identity: certificate for key {}, from {}", key.hash(), self.brokers.current()));
        Ok(Ok(Identity { credential, made: Instant::now(), time }))
    }

    /// Asks the brokers. The inner error says why admission must be gone through again.
    async fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        credential: &Credential,
        step: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Result<T, String>, Error> {
        let request = Request { step, method: Method::POST, path, body };
        let (trouble, broker) = match self.brokers.ask(credential, &request).await {
            Ok(reply) => return Ok(Ok(reply)),
            Err(Failure::OutOfTime) => return Err(self.brokers.out_of_time(&format!("asking for the {step}"))),
            Err(Failure::Answered { trouble, broker }) => (trouble, broker),
        };
        match trouble {
            Trouble::Refused(request) => {
                let reasons = self.reasons();
                Err(Error::Refused { broker, request, reasons })
            }
            Trouble::NotUnderstood(detail) => Err(Error::NotUnderstood { broker, detail }),
            Trouble::AskAgain => Ok(Err(format!("{step}: {broker} asks for a new grant"))),
            Trouble::CertificateRefused(alert) => {
                *self.identity = None;
                Ok(Err(format!("{step}: {broker} does not accept this identity ({alert}): asking for a new one")))
            }
            // None of these ends a round; if one did, trying again would be right.
            Trouble::Unavailable(_)
            | Trouble::OtherCluster(_)
            | Trouble::ServerClock(_)
            | Trouble::Unreachable(_)
            | Trouble::Unintelligible(_) => Ok(Err(format!("{step}: {broker} {trouble}"))),
        }
    }

    fn reasons(&self) -> Vec<String> {
        let invite: &Invite = self.invite.unverified();
        let broker_time = self.identity.as_ref().map(|identity| identity.time.now());
        invite::explain(invite, broker_time, clock::now(), self.brokers.local())
    }
}

fn body(request: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(request).map(Bytes::from).map_err(|error| Error::Internal(error.to_string()))
}

/// The machine's own name for itself.
fn hostname() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    (!name.is_empty() && name.len() <= MAX_HOSTNAME).then_some(name)
}
