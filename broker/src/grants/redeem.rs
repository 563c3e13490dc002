//! `POST /v1/grants/redeem`: the grant for the live token.
//!
//! The order is the promise: verify all → record → claim → record → token. Must not be reordered.

use certs::MachineIdentity;
use protocol::{MAX_GRANT, RedeemReply, RedeemRequest};

use super::claims::{Claims, TYP};
use super::{about, invite_of, recorded};
use crate::audit::{Event, Reason, Record};
use crate::broker::{Broker, Call};
use crate::clock;
use crate::denial::Denial;
use crate::jwt;
use crate::ledger::{Operation, Outcome};

/// Redeems a grant.
pub(crate) async fn redeem(
    broker: &Broker,
    call: &Call,
    identity: &MachineIdentity,
    request: RedeemRequest,
) -> Result<RedeemReply, Denial> {
    let redeemed = claim(broker, call, identity, &request.grant).await;
    recorded(broker, call, identity, redeemed).await
}

async fn claim(broker: &Broker, call: &Call, identity: &MachineIdentity, grant: &str) -> Result<RedeemReply, Denial> {
    let claims = verified(broker, grant).await?;
    claims.judge(&broker.cluster, identity, clock::now())?;
    let invite = invite_of(broker, call, identity).await?;

    let hash = claims.jti.hash();
    let record = |event| about(identity, Record { grant: Some(hash.clone()), ..Record::new(event) });
    broker.audit.record(call.on(record(Event::GrantRedeeming))).await?;

    let operation = Operation::Redeem { key: identity.key.clone(), grant: hash.clone() };
    let (outcome, version) = broker.invites.submit(&invite.jti, None, operation).await?;

    // From here on the answer is this key's, whatever fails: the same key asks again and gets it.
    let membership = broker.engine.membership().await?;
    let managers = broker.engine.nodes().await?.into_iter().filter_map(|node| node.manager).collect();
    let token = match identity {
        MachineIdentity::Worker(worker) => broker.engine.worker_token(worker).await?,
        MachineIdentity::Manager(manager) => broker.engine.manager_token(manager).await?,
    };
    let event = match outcome {
        Outcome::Yours => Event::GrantRedeemed,
        Outcome::YoursAlready => Event::GrantReplayed,
    };
    broker.audit.record(call.on(Record { version: Some(version), ..record(event) })).await?;
    let brokers = broker.directory.live(clock::now()).into_iter().flat_map(|peer| peer.addresses).collect();
    Ok(RedeemReply { token, managers, swarm: membership.swarm, role: invite.role, brokers })
}

/// The claims of a grant that a broker of this cluster signed.
async fn verified(broker: &Broker, grant: &str) -> Result<Claims, Denial> {
    broker.sentinel.check()?;
    let id = jwt::named_key(grant, MAX_GRANT).map_err(|_| Reason::NotSigned)?;
    let key = broker.directory.grant_key(&id).await?;
    let (claims, _) = jwt::verify::<Claims>(grant, TYP, MAX_GRANT, |_| key).map_err(|_| Reason::NotSigned)?;
    Ok(claims)
}
