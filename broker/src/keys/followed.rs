//! A shared key that another broker replaced is put to use here, while this broker serves.
//!
//! Keeps promise 5: what was given is checked against the ledger and this broker's own root, and is on disk before it is in
//! use. Must not take an issuing key where the operator keeps it elsewhere, nor a key that the ledger does not list, nor one
//! in place of a newer one.

use certs::{Issuing, SigningKey};
use protocol::{HandoverReply, INVITE_TYP};

use super::behind::Behind;
use super::server_cert::assert_served;
use super::{Asked, What, ca};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::jwt::Signer;
use crate::ledger::Peer;
use crate::state::{OwnKey, next_issuing};

/// Puts what a broker gave to use, and writes it down.
pub(crate) async fn take_up(
    broker: &Broker,
    behind: &Behind,
    given: &HandoverReply,
    from: &Peer,
) -> Result<(), String> {
    let turn = broker.keys.turn.lock().await;
    // A newer one may have been made here, or elsewhere, while this one was on its way.
    if !super::behind(broker).contains(behind) {
        return Err(format!("it gave {} {}, which is not the current one any more", behind.what, behind.current));
    }
    let kid = match behind.what {
        What::Ca => issuing_ca(broker, behind, given).await?,
        What::InviteKey => invite_key(broker, behind, given).await?,
        What::SigningKey | What::ServerCert | What::Root | What::UnlockKey => return Err("no broker shares it".into()),
    };
    // Others ask who has it.
    let listed = broker.list_itself().await;
    drop(turn);
    if let Err(error) = listed {
        tracing::warn!(?error, "that this broker has it is not in the ledger yet");
    }
    let record = Record {
        what: Some(behind.what.to_string()),
        generation: Some(behind.current),
        node: Some(from.node.clone()),
        peer: Some(from.id.clone()),
        detail: Some(format!("it was replaced on another manager; {kid}")),
        ..Record::new(Event::KeyFollowed)
    };
    tracing::info!(what = %behind.what, generation = behind.current, from = from.id, "has the key that was replaced elsewhere");
    broker.audit.record(record).await.map(drop).map_err(|error| error.to_string())
}

async fn invite_key(broker: &Broker, behind: &Behind, given: &HandoverReply) -> Result<String, String> {
    let key = SigningKey::from_pem(given.invite_key.expose()).map_err(|error| error.to_string())?;
    let signer = Signer::new(INVITE_TYP, &key);
    let kid = signer.public().id();
    if behind.kid.as_ref() != Some(&kid) {
        return Err("it gave another invite key than the current one".into());
    }
    if broker.directory.is_void(&kid).await.map_err(words)? {
        return Err("the invite key that it gave is void".into());
    }
    broker.keys.keep(OwnKey::Invite, key).await.map_err(words)?;
    broker.keys.invite.replace(signer);
    Ok(kid.to_string())
}

async fn issuing_ca(broker: &Broker, behind: &Behind, given: &HandoverReply) -> Result<String, String> {
    let root = broker.keys.issuing.get().root_pem().to_owned();
    let key = given.issuing_key.as_ref().ok_or("it keeps its issuing key elsewhere than in its state directory")?;
    let issuing = Issuing::from_pem(&given.issuing, key.expose(), &root)
        .map_err(|error| format!("it gave no issuing CA of this cluster's root: {error}"))?;
    let public = issuing.public();
    let generations = ca::known(broker).await.map_err(words)?;
    let current = public.cluster == broker.cluster
        && u64::from(public.generation) == behind.current
        && generations.trusts(public.generation, clock::now())
        && ca::is_listed(&generations, &issuing);
    if !current {
        return Err("it gave another issuing CA than the current one".into());
    }
    assert_served(&broker.provider, &issuing, clock::now())?;
    let folder = broker.keys.folder.clone();
    let staged = super::off_the_runtime(move || next_issuing::stage(&folder, &issuing).map(|()| issuing)).await;
    let issuing = staged.map_err(|error| error.to_string())?;
    let asked = Asked { operator: "broker".into(), reason: "it was replaced elsewhere".into(), now: false };
    ca::put_to_use(broker, issuing, &asked).await.map(|rotated| rotated.kid).map_err(words)
}

fn words(error: impl Into<Denial>) -> String {
    match error.into() {
        Denial::Unavailable(why) => why,
        other => format!("{other:?}"),
    }
}
