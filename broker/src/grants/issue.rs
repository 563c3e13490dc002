//! `POST /v1/grants`: a grant for the caller's key, bound to the caller's certificate. It replaces the key's open one.

use certs::Identity;
use protocol::{GrantId, GrantReply};

use super::claims::{AUDIENCE, Claims, Confirmation};
use super::{about, invite_of, recorded};
use crate::audit::{Event, Record};
use crate::broker::{Broker, Call};
use crate::clock;
use crate::denial::Denial;
use crate::ledger::Operation;

/// Issues a grant.
pub(crate) async fn issue(broker: &Broker, call: &Call, identity: &Identity) -> Result<GrantReply, Denial> {
    let issued = open(broker, call, identity).await;
    recorded(broker, call, identity, issued).await
}

async fn open(broker: &Broker, call: &Call, identity: &Identity) -> Result<GrantReply, Denial> {
    let invite = invite_of(broker, call, identity).await?;
    let id = GrantId::random();
    let operation = Operation::Open { key: identity.key.clone(), grant: id.hash() };
    let (_, version) = broker.invites.submit(&invite.jti, None, operation).await?;

    let now = clock::now();
    let claims = Claims {
        iss: broker.cluster.clone(),
        aud: AUDIENCE.into(),
        sub: identity.key.clone(),
        iat: now,
        nbf: now,
        exp: now.saturating_add(broker.grant_lifetime.as_secs()),
        jti: id.clone(),
        cnf: Confirmation { thumbprint: identity.thumbprint.to_string() },
        invite: invite.jti,
        role: invite.role,
    };
    let grant = broker.keys.grant.get().sign(&claims).map_err(|error| Denial::Unavailable(error.to_string()))?;
    let record = Record { grant: Some(id.hash()), version: Some(version), ..Record::new(Event::GrantIssued) };
    broker.audit.record(call.on(about(identity, record))).await?;
    Ok(GrantReply { grant, id, expires_in: broker.grant_lifetime.as_secs() })
}
