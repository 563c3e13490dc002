//! Grants: issued to an identity, redeemed once by the same key for the live token.
//!
//! Keeps promises 2, 3, 4 and 7. Must not hand out the token before this very request's claim is committed and both
//! its records are durable.

mod claims;
mod issue;
mod redeem;

pub(crate) use claims::{LONGEST, TYP};
pub(crate) use issue::issue;
pub(crate) use redeem::redeem;

use certs::Identity;
use protocol::{Invite, InviteId};

use crate::audit::{Reason, Record};
use crate::broker::{Broker, Call};
use crate::denial::Denial;

/// The invite behind an identity, if it still admits this caller from here. Asked again at every step.
async fn invite_of(broker: &Broker, call: &Call, identity: &Identity) -> Result<Invite, Denial> {
    if identity.cluster != broker.cluster {
        return Err(Reason::OtherCluster.into());
    }
    let invite = known_invite(broker, &identity.invite).await?;
    if invite.role != identity.role {
        return Err(Reason::WrongRole.into());
    }
    if invite.generation < broker.keys.generations.get().lowest {
        return Err(Reason::VoidIssuing.into());
    }
    if invite.exp < broker.sentinel.floor() {
        return Err(Reason::BelowFloor.into());
    }
    if !crate::admission::admits_from(&invite, call.source) {
        return Err(Reason::Network.into());
    }
    Ok(invite)
}

async fn known_invite(broker: &Broker, id: &InviteId) -> Result<Invite, Denial> {
    // What was claimed of it is the business of the commit that follows.
    let policy = broker.invites.policy(id).await?;
    let invite = policy.and_then(|policy| policy.invite().cloned());
    // An identity was issued, so the invite was there: its absence is not known to be true.
    invite.ok_or_else(|| Denial::Unavailable("the invite is not in the ledger".into()))
}

/// A record about this identity.
fn about(identity: &Identity, record: Record) -> Record {
    Record {
        invite: Some(identity.invite.clone()),
        key: Some(identity.key.clone()),
        role: Some(identity.role),
        thumbprint: Some(identity.thumbprint.to_string()),
        serial: Some(identity.serial.clone()),
        ..record
    }
}

/// Records a refusal before it is told.
async fn recorded<T>(
    broker: &Broker,
    call: &Call,
    identity: &Identity,
    result: Result<T, Denial>,
) -> Result<T, Denial> {
    if let Err(Denial::Refused(reason)) = &result {
        broker.record_refusal(call, about(identity, Record::refusal(*reason))).await?;
    }
    result
}
