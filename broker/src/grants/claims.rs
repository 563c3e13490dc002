//! What a grant says, and whether that holds for this caller now.
//!
//! Keeps RFC 8705 §3.1 (bound to the certificate) and RFC 9068 as far as it fits a token of our own.
//! Must not look at anything but its arguments.

use certs::Identity;
use protocol::{ClusterId, GrantId, InviteId, KeyHash, Role};
use serde::{Deserialize, Serialize};

use crate::audit::Reason;
use crate::denial::Denial;

/// The `typ` of a grant's JWS header.
pub(crate) const TYP: &str = "swarm-grant+jwt";
/// The `aud` of every grant.
pub(super) const AUDIENCE: &str = "swarm-broker/redemption";
/// The longest life of a grant, in seconds.
pub(crate) const LONGEST: u64 = 300;
/// Clocks of two brokers differ by no more than this, in seconds.
const SKEW: u64 = 5;

/// The claims of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    /// The cluster.
    pub(super) iss: ClusterId,
    /// Always [`AUDIENCE`].
    pub(super) aud: String,
    /// The key.
    pub(super) sub: KeyHash,
    pub(super) iat: u64,
    pub(super) nbf: u64,
    pub(super) exp: u64,
    pub(super) jti: GrantId,
    pub(super) cnf: Confirmation,
    pub(super) invite: InviteId,
    pub(super) role: Role,
}

/// What the grant is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    /// The certificate's thumbprint (RFC 8705 §3.1).
    #[serde(rename = "x5t#S256")]
    pub(super) thumbprint: String,
}

impl Claims {
    /// Whether this grant, whose signature holds, is the caller's to redeem at `now`.
    pub(super) fn judge(&self, cluster: &ClusterId, identity: &Identity, now: u64) -> Result<(), Denial> {
        if self.iss != *cluster {
            return Err(Reason::OtherCluster.into());
        }
        // Whose it is comes before when it ends: another key is an alarm, however late it comes.
        if self.sub != identity.key {
            return Err(Reason::OtherKey.into());
        }
        if self.aud != AUDIENCE || self.invite != identity.invite || self.role != identity.role {
            return Err(Reason::NotOurs.into());
        }
        let life = self.exp.checked_sub(self.nbf).filter(|life| *life <= LONGEST + SKEW);
        if life.is_none() || self.nbf > self.iat || self.nbf > now.saturating_add(SKEW) {
            return Err(Reason::GrantEnded.into());
        }
        // The right key came late, or with a newer certificate: it asks for another grant, which is no alarm.
        if now >= self.exp || self.cnf.thumbprint != identity.thumbprint.as_str() {
            return Err(Denial::AskAgain);
        }
        Ok(())
    }
}
