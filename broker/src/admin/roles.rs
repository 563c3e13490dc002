//! `POST /v1/roles`: a node becomes a manager or a worker.

use std::sync::Arc;

use protocol::{ProblemKind, Role};
use serde::{Deserialize, Serialize};

use super::order::{assert_fit, to_its_end};
use super::server::{Reply, complaint, named, read};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::fleet::{self, Look};
use crate::server::json;

/// What an operator asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleOrder {
    /// A node, by id or hostname.
    pub(crate) node: String,
    pub(crate) role: Role,
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

/// Where it is asked for.
pub(crate) const ROLES: &str = "/v1/roles";

pub(super) async fn change(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let RoleOrder { node, role, reason } = read(body)?;
    reason.as_deref().map_or(Ok(()), assert_fit)?;
    let Look { report, invites, .. } = fleet::look(broker).await?;
    let line = match named(&report, &node) {
        Ok(line) => line.clone(),
        Err(wrong) => return Ok(*wrong),
    };
    if role == Role::Manager && line.id.as_str() != node {
        let by = line.invite.map_or_else(|| "no invite that is listed".to_owned(), |invite| format!("invite {invite}"));
        let what = format!(
            "name it by its id, since a machine chooses itself what it is called. '{}' is {} at {}, which came by {by}",
            line.hostname, line.id, line.address
        );
        return Ok(complaint(ProblemKind::Malformed, what));
    }
    let broker = broker.clone();
    let changed = to_its_end(async move {
        let reason = reason.as_deref().map(str::trim);
        fleet::change_role(&broker, &line, role, &invites, reason, &operator).await
    });
    match changed.await? {
        Ok(changed) => Ok(json(&changed)),
        Err(Ok(why)) => Ok(complaint(ProblemKind::Refused, why)),
        Err(Err(denial)) => Err(denial),
    }
}
