//! The words about a recovery, on both sides of the admin socket.
//!
//! The running broker may see other files than the operator: what the logs say is sent, never their paths.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use protocol::{Problem, ProblemKind};

use super::client::Admin;
use super::order::{assert_fit, to_its_end};
use super::server::{Reply, complaint, read};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::exit::Failure;
use crate::recover::{self, RecoverOrder, Recovery};
use crate::server::{bounded_body_of, json};

pub(super) const RECOVER: &str = "/v1/recover";

/// The most that logs may say: some hundred thousand uses.
const MOST: usize = 64 * 1024 * 1024;
/// How long that may take over the socket.
const SENDING: Duration = Duration::from_secs(30);
/// How long a recovery may take: each invite is a commit or two.
const PATIENCE: Duration = Duration::from_mins(10);

impl Admin {
    /// Has the running broker recover the ledger, or say what that would be.
    pub(crate) fn recover(self, order: &RecoverOrder) -> Result<Recovery, Failure> {
        self.within(PATIENCE).post(RECOVER, order)
    }
}

pub(super) async fn body(body: Incoming) -> Result<Bytes, Problem> {
    bounded_body_of(body, MOST, SENDING).await
}

pub(super) async fn recover(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let order: RecoverOrder = read(body)?;
    if !order.dry_run {
        assert_fit(&order.reason)?;
    }
    let broker = broker.clone();
    match to_its_end(async move { recover::recover(&broker, order, &operator).await }).await? {
        Ok(recovery) => Ok(json(&recovery)),
        Err(Ok(what)) => Ok(complaint(ProblemKind::Malformed, what)),
        Err(Err(denial)) => Err(denial),
    }
}
