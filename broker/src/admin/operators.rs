//! The admin socket's routes for `broker operator`. They are in no table of what an operator may order: nobody makes another.

use certs::OperatorName;
use hyper::StatusCode;
use protocol::ProblemKind;
use serde::{Deserialize, Serialize};

use super::server::{Reply, complaint, read};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::operators::{self, OperatorOrder, OperatorShown};
use crate::server::json;

pub(crate) const OPERATORS: &str = "/v1/operators";

/// All operators.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OperatorsShown {
    pub(crate) operators: Vec<OperatorShown>,
}

pub(super) async fn list(broker: &Broker) -> Result<Reply, Denial> {
    Ok(json(&OperatorsShown { operators: operators::list(broker).await? }))
}

pub(super) async fn create(broker: &Broker, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let order: OperatorOrder = read(body)?;
    match operators::create(broker, order, operator).await {
        Ok(created) => {
            let mut reply = json(&created);
            *reply.status_mut() = StatusCode::CREATED;
            Ok(reply)
        }
        Err(Ok(what)) => Ok(complaint(ProblemKind::Malformed, what)),
        Err(Err(denial)) => Err(denial),
    }
}

/// Whom a path revokes.
pub(super) fn revoked(path: &str) -> Option<OperatorName> {
    path.strip_prefix("/v1/operators/")?.strip_suffix("/revoke")?.parse().ok()
}

pub(super) async fn revoke(broker: &Broker, operator: String, path: &str) -> Result<Reply, Denial> {
    let name = revoked(path).ok_or(Denial::Malformed("this is no operator's name"))?;
    match operators::revoke(broker, &name, operator).await? {
        Some(revoked) => Ok(json(&revoked)),
        None => {
            Ok(complaint(ProblemKind::NotFound, format!("there is no operator '{name}': see 'broker operator list'")))
        }
    }
}
