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

#[cfg(test)]
mod tests {
    use protocol::Pin;

    use super::*;

    const NOW: u64 = 1_000_000;

    fn identity() -> certs::MachineIdentity {
        let csr = certs::Csr::from_pem(&certs::SigningKey::generate().and_then(|key| key.csr()).expect("a CSR"));
        let root = certs::Root::create(&ClusterId::random(), "test", crate::clock::unix(NOW)).expect("a root");
        let issuing = root.issue(1, crate::clock::unix(NOW)).expect("an issuing CA");
        let invite = InviteId::random();
        issuing.identity(&csr.expect("valid"), Role::Worker, &invite, crate::clock::unix(NOW)).expect("issued").1
    }

    fn judged(change: impl FnOnce(&mut Claims)) -> Result<(), String> {
        let identity = identity();
        let mut claims = Claims {
            iss: identity.cluster.clone(),
            aud: AUDIENCE.into(),
            sub: identity.key.clone(),
            iat: NOW,
            nbf: NOW,
            exp: NOW + 60,
            jti: GrantId::random(),
            cnf: Confirmation { thumbprint: identity.thumbprint.to_string() },
            invite: identity.invite.clone(),
            role: identity.role,
        };
        change(&mut claims);
        claims.judge(&identity.cluster, &identity, NOW).map_err(|denial| format!("{denial:?}"))
    }

    #[test]
    fn a_grant_is_good_for_its_key_its_certificate_and_its_time_only() {
        let refused = |change: fn(&mut Claims)| judged(change).expect_err("not redeemed");
        assert_eq!(judged(|_| {}), Ok(()));
        assert_eq!(refused(|claims| claims.iss = ClusterId::random()), "Refused(OtherCluster)");
        assert_eq!(refused(|claims| claims.aud = "swarm-broker/admission".into()), "Refused(NotOurs)");
        assert_eq!(refused(|claims| claims.invite = InviteId::random()), "Refused(NotOurs)");
        assert_eq!(refused(|claims| claims.role = Role::Manager), "Refused(NotOurs)");
        assert_eq!(refused(|claims| claims.sub = KeyHash::of_spki(b"other")), "Refused(OtherKey)");
        assert_eq!(refused(|claims| claims.exp = NOW + 301 + SKEW), "Refused(GrantEnded)");
        assert_eq!(refused(|claims| claims.exp = claims.nbf - 1), "Refused(GrantEnded)");
        let future = |claims: &mut Claims| {
            (claims.nbf, claims.iat, claims.exp) = (NOW + SKEW + 1, NOW + SKEW + 1, NOW + 60);
        };
        assert_eq!(judged(future), Err("Refused(GrantEnded)".into()));
        assert_eq!(refused(|claims| claims.nbf = claims.iat + 1), "Refused(GrantEnded)");
        let newer = |claims: &mut Claims| claims.cnf.thumbprint = Pin::of_certificate(b"newer").to_string();
        assert_eq!(judged(newer), Err("AskAgain".into()));
        let late = |claims: &mut Claims| (claims.iat, claims.nbf, claims.exp) = (NOW - 60, NOW - 60, NOW);
        assert_eq!(judged(late), Err("AskAgain".into()), "good until its last second, not in it");
    }

    #[test]
    fn a_late_grant_of_another_key_is_still_an_alarm() {
        let stolen = |claims: &mut Claims| {
            claims.sub = KeyHash::of_spki(b"other");
            (claims.iat, claims.nbf, claims.exp) = (NOW - 600, NOW - 600, NOW - 540);
        };
        assert_eq!(judged(stolen), Err("Refused(OtherKey)".into()));
    }
}
