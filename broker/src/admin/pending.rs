//! `GET` and `POST /v1/pending`: the machines that wait for a person, and the answer.

use protocol::ProblemKind;
use serde::{Deserialize, Serialize};

use super::order::assert_fit;
use super::server::{Reply, complaint, read};
use crate::admission::{self, PendingMachine};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::ledger::Answer;
use crate::server::json;

/// Where they are asked for, and answered.
pub(crate) const PENDING: &str = "/v1/pending";

/// The machines that wait.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PendingShown {
    pub(crate) machines: Vec<PendingMachine>,
}

/// A person's answer about one machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerOrder {
    /// Its key, or how that begins.
    pub(crate) key: String,
    pub(crate) answer: Answer,
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

pub(super) async fn shown(broker: &Broker) -> Result<Reply, Denial> {
    Ok(json(&PendingShown { machines: admission::pending(broker).await? }))
}

pub(super) async fn answer(broker: &Broker, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let AnswerOrder { key, answer, reason } = read(body)?;
    reason.as_deref().map_or(Ok(()), assert_fit)?;
    match admission::answer(broker, &key, answer, reason.as_deref().map(str::trim), &operator).await {
        Ok(answered) => Ok(json(&answered)),
        Err(Ok(why)) => Ok(complaint(ProblemKind::Malformed, why)),
        Err(Err(denial)) => Err(denial),
    }
}
