//! Requests and replies of the boot, in the order they are made.
//!
//! Keeps promise 13 (versions mix): unknown fields in replies are ignored, new request fields are optional.
//! Must not hold a field that only one side could fill honestly and the other would trust.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{BrokerAddress, ClusterId, GrantId, InviteId, KeyText, NodeId, Role, SwarmId, SwarmToken};

/// `POST`: a certificate signing request and an invite, for an identity.
pub const IDENTITIES: &str = "/v1/identities";
/// `POST` over mTLS with the identity: a grant.
pub const GRANTS: &str = "/v1/grants";
/// `POST` over mTLS with the identity: the grant, for the live token.
pub const REDEEM: &str = "/v1/grants/redeem";
/// `POST` over mTLS with the swarm node certificate: the confirm. `GET`: is this node in, and explained?
pub const JOINS: &str = "/v1/joins";
/// `POST` over mTLS with the swarm node certificate: this node is about to leave. It is drained, and told how many of its
/// tasks have not ended yet.
pub const LEAVES: &str = "/v1/leaves";
/// `POST` over mTLS with a manager's swarm node certificate: the cluster's keys, for the broker on that manager.
pub const HANDOVERS: &str = "/v1/handovers";
/// `GET` or `HEAD` by anybody: the joiner program whose [`JoinerHash`](crate::JoinerHash) follows. The caller checks the
/// hash, which it has from its user-data: who gave the bytes does not matter.
pub const JOINER: &str = "/v1/joiner/sha256/";
/// `GET` over mTLS with a manager's swarm node certificate: this broker's audit log, from the byte on whose number follows.
/// After it comes a nonce, of at most 64 hexadecimal digits, which the answer is signed over.
pub const LOG: &str = "/v1/log/";
/// `GET`: the process lives.
pub const HEALTHZ: &str = "/healthz";
/// `GET`: the broker can admit machines.
pub const READYZ: &str = "/readyz";

/// The largest request body a broker reads, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// The longest grant a broker looks at, in bytes.
pub const MAX_GRANT: usize = 2 * 1024;
/// The longest hostname a broker takes, in bytes.
pub const MAX_HOSTNAME: usize = 253;

/// Asks for an identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityRequest {
    /// The certificate signing request, PEM. Only its public key is used.
    pub csr: String,
    /// The invite line, as the operator gave it.
    pub invite: String,
    /// The machine's own name for itself: shown to operators, trusted for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// An identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityReply {
    /// The identity's certificate and the issuing CA's, PEM, in this order.
    pub certificate: String,
    /// The broker's clock, in seconds since 1970.
    pub time: u64,
}

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrantReply {
    /// The signed grant (a JWT), bound to the certificate it was asked with.
    pub grant: String,
    /// Its `jti`, which the confirm names.
    pub id: GrantId,
    /// How long it is good for, in seconds.
    pub expires_in: u64,
}

/// Redeems a grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RedeemRequest {
    /// The grant, as it was given.
    pub grant: String,
}

/// What a redeemed grant is worth. It has no `Debug`: it holds the token.
pub struct RedeemReply {
    /// The live join token for the granted role.
    pub token: SwarmToken,
    /// The managers to join at, `HOST:PORT` as the swarm knows them.
    pub managers: Vec<String>,
    /// The swarm that will be joined.
    pub swarm: SwarmId,
    /// The role that was granted.
    pub role: Role,
    /// The brokers that are live now, for the confirm.
    pub brokers: Vec<BrokerAddress>,
}

impl Serialize for RedeemReply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reply = serializer.serialize_struct("RedeemReply", 5)?;
        reply.serialize_field("token", self.token.expose())?;
        reply.serialize_field("managers", &self.managers)?;
        reply.serialize_field("swarm", &self.swarm)?;
        reply.serialize_field("role", &self.role)?;
        reply.serialize_field("brokers", &self.brokers)?;
        reply.end()
    }
}

impl<'de> Deserialize<'de> for RedeemReply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            token: String,
            managers: Vec<String>,
            swarm: SwarmId,
            role: Role,
            #[serde(default)]
            brokers: Vec<String>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let token = SwarmToken::parse(wire.token).map_err(serde::de::Error::custom)?;
        // An address of a kind that this release does not know is no reason to throw the token away.
        let brokers = wire.brokers.iter().filter_map(|address| address.parse().ok()).collect();
        Ok(Self { token, managers: wire.managers, swarm: wire.swarm, role: wire.role, brokers })
    }
}

/// Confirms a join, over mTLS with the node's swarm certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The invite the use belongs to.
    pub invite: InviteId,
    /// The grant that was redeemed.
    pub grant: GrantId,
    /// The node the machine became.
    pub node: NodeId,
    /// The identity's public key: DER of its SubjectPublicKeyInfo in base64url.
    pub key: String,
    /// The identity key's signature over the [`Statement`](crate::Statement): ASN.1 DER in base64url.
    pub signature: String,
}

/// The join is confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinReply {
    /// The node.
    pub node: NodeId,
    /// The labels the invite gave it.
    pub labels: BTreeMap<String, String>,
    /// Whether this very request changed anything; a repeat does not.
    pub changed: bool,
}

/// What a node is told about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembershipReply {
    /// The node, from its certificate.
    pub node: NodeId,
    /// Whether the swarm has it and a grant or an adoption explains it.
    pub explained: bool,
}

/// Says that a node is about to leave, over mTLS with its swarm certificate. It may be said again and again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaveRequest {
    /// The node, which must be the certificate's.
    pub node: NodeId,
    /// It leaves only if its managers have it as an ephemeral machine's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_ephemeral: bool,
}

/// The node gets no more tasks, and its row in the swarm goes once it has left; or it stays as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaveReply {
    /// The node.
    pub node: NodeId,
    /// How many tasks have not ended there yet, a second later.
    pub tasks: u32,
    /// Nothing was changed: the node was to leave if it is ephemeral, and is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}

/// Asks for the cluster's keys, over mTLS with the swarm node certificate of the manager that the new broker runs on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HandoverRequest {
    /// The id that the new broker gave itself: 16 hex digits.
    pub broker: String,
    /// The public key of its grants: an uncompressed point in base64url.
    pub grant_key: String,
    /// Where it will be reached.
    pub addresses: Vec<BrokerAddress>,
    /// Its release.
    pub release: String,
    /// The grant key's signature over the [`HandoverStatement`](crate::HandoverStatement): ASN.1 DER in base64url.
    pub signature: String,
    /// Of a manager that joined by a grant: the identity key that confirmed, and its signature over the
    /// [`HandoverStatement`](crate::HandoverStatement).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Of a broker that serves: which shared key was replaced elsewhere, and is asked for. None of one that has no keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<SharedKey>,
}

/// A key that all brokers of a cluster share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedKey {
    /// Signs identities and server certificates.
    Ca,
    /// Signs invites.
    InviteKey,
}

/// A public key, and what it signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// DER of the SubjectPublicKeyInfo in base64url.
    pub key: String,
    /// ASN.1 DER in base64url.
    pub signature: String,
}

/// A page of a broker's audit log, for the brokers on other managers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogPage {
    /// The log's head: how many records it has, and the hash over them, signed (C2SP tlog-checkpoint).
    pub head: String,
    /// Whole records that it covers, a line each, from the byte on that was asked for; none, if no record begins there.
    pub records: String,
    /// The log's key over the nonce and the head, in base64: it is this log's last head, now.
    pub answer: String,
}

/// What all brokers of a cluster share. It has no `Debug`: it holds keys.
#[derive(Serialize, Deserialize)]
pub struct HandoverReply {
    /// The cluster.
    pub cluster: ClusterId,
    /// What people call it.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// The root's certificate, PEM. Its key never leaves where it is.
    pub root: String,
    /// The issuing CA's certificate, PEM.
    pub issuing: String,
    /// Its key; none where the brokers have it from elsewhere than their state, or did not ask for it.
    pub issuing_key: Option<KeyText>,
    /// The key that signs invites.
    pub invite_key: KeyText,
}
