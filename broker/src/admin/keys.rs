//! The admin socket's routes for `broker rotate` of our own keys.

use std::sync::Arc;

use protocol::ProblemKind;

use super::order::{Order, to_its_end};
use super::rotation_words::{CaRequestOrder, Gone, KeyShown, Shown};
use super::server::{Reply, complaint, read};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::fleet;
use crate::keys::{self, What};
use crate::server::json;

pub(super) async fn rotate(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let (what, asked) = read::<Order<What>>(body)?.by(operator)?;
    let broker = broker.clone();
    let key = to_its_end(async move { keys::rotate(&broker, what, &asked).await }).await??;
    Ok(json(&KeyShown { what, dry_run: false, key }))
}

pub(super) async fn preview(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    let Order { what, .. } = read::<Order<What>>(body)?;
    Ok(json(&KeyShown { what, dry_run: true, key: keys::preview(broker, what).await? }))
}

/// The brokers whose node is no manager any more.
pub(super) async fn gone(broker: &Broker) -> Result<Reply, Denial> {
    Ok(json(&Gone { brokers: fleet::gone(broker).await? }))
}

/// Removes their entries from the ledger: what they sign is good no more.
pub(super) async fn remove_gone(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let ((), asked) = read::<Order<()>>(body)?.by(operator)?;
    let broker = broker.clone();
    let brokers =
        to_its_end(async move { fleet::remove_gone(&broker, &asked.reason, &asked.operator).await }).await??;
    Ok(json(&Gone { brokers }))
}

/// What a rotation of the issuing CA would do.
pub(super) async fn plan(broker: &Broker) -> Result<Reply, Denial> {
    Ok(json(&Shown { what: What::Ca, dry_run: true, key: keys::plan(broker).await? }))
}

/// The request for the next issuing CA.
pub(super) async fn request(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    let CaRequestOrder { now } = read(body)?;
    match keys::request(broker, now).await {
        Ok(request) => Ok(json(&request)),
        Err(failed) => told(failed),
    }
}

/// Puts the issuing CA of a certificate to use.
pub(super) async fn install(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let (certificate, asked) = read::<Order<String>>(body)?.by(operator)?;
    let broker = broker.clone();
    match to_its_end(async move { keys::install(&broker, certificate, &asked).await }).await? {
        Ok(key) => Ok(json(&KeyShown { what: What::Ca, dry_run: false, key })),
        Err(failed) => told(failed),
    }
}

fn told(failed: keys::Failed) -> Result<Reply, Denial> {
    failed.map(|words| complaint(ProblemKind::Malformed, words))
}
