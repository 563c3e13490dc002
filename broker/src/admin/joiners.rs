//! The words about joiners, on both sides of the admin socket.
//!
//! The running broker may see other files than the operator: a program is sent, never its path.

use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use protocol::{Problem, ProblemKind};

use super::client::Admin;
use super::server::{Reply, complaint};
use super::words::JoinersShown;
use crate::broker::Broker;
use crate::denial::Denial;
use crate::exit::{Code, Failure};
use crate::joiners::{self, JoinerShown, MOST_BYTES};
use crate::server::{bounded_body_of, json};

pub(super) const LOOK: &str = "/v1/joiners/look";
pub(super) const UPLOAD: &str = "/v1/joiners";

/// How long a program may take over the socket.
const SENDING: Duration = Duration::from_secs(30);

impl Admin {
    /// The joiners that the running broker serves. It looks at its folder first, so that a package that was installed
    /// just now is seen. New user-data names those that are `current`.
    pub(crate) fn joiners(&self) -> Result<Vec<JoinerShown>, Failure> {
        self.post::<_, JoinersShown>(LOOK, &()).map(|shown| shown.joiners)
    }

    /// Gives the running broker a joiner to keep and to serve, for as long as user-data may name it that is made now.
    pub(crate) fn upload_joiner(&self, program: Vec<u8>) -> Result<JoinerShown, Failure> {
        if program.len() > MOST_BYTES {
            let most = MOST_BYTES / 1024 / 1024;
            return Err(Failure::new(Code::Data, format!("this is no joiner: it is larger than {most} MiB")));
        }
        self.send(UPLOAD, program)
    }
}

pub(super) async fn body(body: Incoming) -> Result<Bytes, Problem> {
    bounded_body_of(body, MOST_BYTES, SENDING).await
}

pub(super) async fn look(broker: &Broker) -> Result<Reply, Denial> {
    joiners::look(broker).await?;
    Ok(json(&JoinersShown { joiners: broker.joiners.shown() }))
}

pub(super) async fn upload(broker: &Broker, operator: String, program: Bytes) -> Result<Reply, Denial> {
    let hash = match joiners::upload(broker, program, operator).await {
        Ok(hash) => hash,
        Err(Ok(what)) => return Ok(complaint(ProblemKind::Malformed, what)),
        Err(Err(denial)) => return Err(denial),
    };
    let shown = broker.joiners.shown().into_iter().find(|joiner| joiner.sha256 == hash);
    shown.map(|joiner| json(&joiner)).ok_or_else(|| Denial::Unavailable("the joiner is gone again".into()))
}
