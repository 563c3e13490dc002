//! The end of a boot: the node proves with its swarm certificate and the identity key that it has joined. And the one way
//! in which it speaks to brokers after that, with its certificate.
//!
//! Keeps promise 10 (every node is explained): until the broker has confirmed, the boot is not done.
//! Must not take "does not know this certificate" for "another swarm" before several rounds of all brokers said so.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{NodeKeyError, NodeKeyPair, SigningKey};
use hyper::Method;
use hyper::body::Bytes;
use protocol::{JOINS, JoinReply, JoinRequest, LEAVES, LeaveReply, LeaveRequest, MembershipReply, NodeId, Statement};
use zeroize::Zeroizing;

use crate::broker::{Brokers, Credential, Failure, Request, Trouble, chance, pause};
use crate::clock::Deadline;
use crate::exit::Error;
use crate::narrate;
use crate::state::Record;

/// How many rounds may end with "this certificate is not accepted" before it is believed: a broker that has just
/// started may not have read the swarm's root yet.
const ROUNDS: u32 = 6;
/// How often the node's files are read before an error in them is believed: the engine renews them while it runs.
const READS: u32 = 5;
const READ_PAUSE: Duration = Duration::from_millis(200);

/// This node, as the brokers see it.
pub(crate) struct Node<'a> {
    /// Its id.
    pub(crate) id: &'a NodeId,
    /// Docker's root folder.
    pub(crate) root: &'a Path,
    /// The brokers.
    pub(crate) brokers: &'a mut Brokers,
    /// For everything together.
    pub(crate) deadline: Deadline,
}

impl Node<'_> {
    /// Confirms the join of this record with its key.
    pub(super) async fn confirm(&mut self, record: &Record, key: &SigningKey) -> Result<JoinReply, Error> {
        let Some(grant) = &record.grant else {
            return Err(Error::Internal("there is no grant to confirm".to_owned()));
        };
        let statement = Statement { grant, node: self.id, cluster: &record.cluster };
        let signature = key.sign(&statement).map_err(|error| Error::Internal(error.to_string()))?;
        let request = JoinRequest {
            invite: record.invite.clone(),
            grant: grant.clone(),
            node: self.id.clone(),
            key: URL_SAFE_NO_PAD.encode(key.spki()),
            signature: URL_SAFE_NO_PAD.encode(signature),
        };
        let body = serde_json::to_vec(&request).map_err(|error| Error::Internal(error.to_string()))?;
        let locked = Error::NodeKeyLocked { node: self.id.clone() };
        let during = format!("confirming node {}, which has joined and stays drained until then", self.id);
        let request = Request { step: "confirm", method: Method::POST, path: JOINS, body: body.into() };
        match self.ask(request, locked, &during).await? {
            Ok(reply) => Ok(reply),
            Err((request, broker)) => Err(Error::Unexplained { node: self.id.clone(), broker, request }),
        }
    }

    /// Asks whether this node is in the swarm of the invite.
    pub(super) async fn membership(&mut self) -> Result<MembershipReply, Error> {
        let locked = Error::Unprovable { node: self.id.clone() };
        let during = format!("asking whether node {} is in the invite's swarm", self.id);
        let request = Request { step: "membership", method: Method::GET, path: JOINS, body: Bytes::new() };
        match self.ask(request, locked, &during).await? {
            Ok(reply) => Ok(reply),
            Err(_) => Err(self.elsewhere("the invite's brokers do not count it among their nodes")),
        }
    }

    /// Says that this node leaves, or that it does if it is ephemeral. Gives how many of its tasks have not ended.
    pub(crate) async fn leave(&mut self, if_ephemeral: bool) -> Result<LeaveReply, Error> {
        let request = LeaveRequest { node: self.id.clone(), if_ephemeral };
        let body = serde_json::to_vec(&request).map_err(|error| Error::Internal(error.to_string()))?;
        let request = Request { step: "leave", method: Method::POST, path: LEAVES, body: body.into() };
        let locked = Error::Unprovable { node: self.id.clone() };
        let during = format!("asking that node {} be drained", self.id);
        match self.ask(request, locked, &during).await? {
            Ok(reply) => Ok(reply),
            Err((request, broker)) => Err(Error::LeaveRefused { node: self.id.clone(), broker, request }),
        }
    }

    /// Asks the brokers with the node's certificate. The inner error is a refusal: its request, and who refused.
    async fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        request: Request<'_>,
        locked: Error,
        during: &str,
    ) -> Result<Result<T, (Option<String>, String)>, Error> {
        let Some(credential) = self.credential().await? else { return Err(locked) };
        let (mut rounds, mut refusals) = (0, 0);
        loop {
            let (trouble, broker) = match self.brokers.ask(&credential, &request).await {
                Ok(reply) => return Ok(Ok(reply)),
                Err(Failure::OutOfTime) => return Err(self.brokers.out_of_time(during)),
                Err(Failure::Answered { trouble, broker }) => (trouble, broker),
            };
            match trouble {
                Trouble::Refused(request) => return Ok(Err((request, broker))),
                Trouble::NotUnderstood(detail) => return Err(Error::NotUnderstood { broker, detail }),
                Trouble::CertificateRefused(alert) => {
                    refusals += 1;
                    if refusals >= ROUNDS {
                        let how = format!("the invite's brokers do not know its certificate ({alert})");
                        return Err(self.elsewhere(&how));
                    }
                }
                Trouble::AskAgain
                | Trouble::Unavailable(_)
                | Trouble::OtherCluster(_)
                | Trouble::ServerClock(_)
                | Trouble::Unreachable(_)
                | Trouble::Unintelligible(_) => {}
            }
            if self.deadline.has_passed() {
                return Err(self.brokers.out_of_time(during));
            }
            self.deadline.pause(pause(rounds, chance())).await;
            rounds += 1;
        }
    }

    /// The node's certificate and key; `None` where the key is locked.
    async fn credential(&self) -> Result<Option<Credential>, Error> {
        let mut reads = 0;
        loop {
            reads += 1;
            let why = match read(self.root) {
                Ok(Ok(pair)) => match self.brokers.credential(pair.chain, pair.key) {
                    Ok(credential) => return Ok(Some(credential)),
                    Err(why) => why,
                },
                Ok(Err(NodeKeyError::Locked)) => return Ok(None),
                Ok(Err(error @ (NodeKeyError::Certificate | NodeKeyError::Key))) => error.to_string(),
                Err(why) => why,
            };
            if reads >= READS || self.deadline.has_passed() {
                return Err(Error::NodeFiles { node: self.id.clone(), error: why });
            }
            narrate::detail(&format!("docker: {why}; reading again"));
            self.deadline.pause(READ_PAUSE).await;
        }
    }

    fn elsewhere(&self, how: &str) -> Error {
        Error::OtherSwarm { node: self.id.clone(), how: how.to_owned() }
    }
}

fn read(root: &Path) -> Result<Result<NodeKeyPair, NodeKeyError>, String> {
    let folder = root.join("swarm/certificates");
    let text = |name: &str| {
        let path = folder.join(name);
        let read = std::fs::read_to_string(&path).map(Zeroizing::new);
        read.map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    Ok(NodeKeyPair::from_pem(&text("swarm-node.crt")?, &text("swarm-node.key")?))
}
