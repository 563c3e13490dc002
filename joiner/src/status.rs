//! `joiner status`: what the record says, and what state Docker is in.
//!
//! Keeps the record readable for people and scripts. Must not change or wait for anything.

use std::time::Duration;

use protocol::{ClusterId, InviteId, NodeId, Role};
use serde::Serialize;

use crate::arguments::StatusOptions;
use crate::clock::Deadline;
use crate::docker::{Docker, LocalNode, LocalState};
use crate::exit::Error;
use crate::narrate;
use crate::state::{self, Ending, Record};

/// Docker answers at once, or not now.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(3);

/// How far the boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Progress {
    /// None was begun.
    None,
    /// There is a key, and perhaps a grant.
    Booting,
    /// Docker was told to join and is a node; no broker has confirmed it.
    Joined,
    /// Done.
    Confirmed,
}

impl Progress {
    fn of(record: Option<&Record>, docker: Option<&LocalNode>) -> Self {
        let active = docker.is_some_and(|docker| docker.state == LocalState::Active);
        match record {
            None => Self::None,
            Some(record) if record.confirmed => Self::Confirmed,
            Some(record) if record.node.is_some() || (record.swarm.is_some() && active) => Self::Joined,
            Some(_) => Self::Booting,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Booting => "booting",
            Self::Joined => "joined",
            Self::Confirmed => "confirmed",
        }
    }
}

/// What is told; its keys are stable.
#[derive(Serialize)]
struct Status {
    state: Progress,
    node: Option<NodeId>,
    role: Option<Role>,
    invite: Option<InviteId>,
    cluster: Option<ClusterId>,
    /// Docker's word for its state, or `unreachable`.
    docker: String,
    /// The node that Docker is, whoever brought it in.
    docker_node: Option<NodeId>,
    /// How the last run ended, where it did not bring the machine in.
    stopped: Option<Ending>,
}

/// Tells what is known here.
pub(crate) async fn status(options: &StatusOptions) -> Result<(), Error> {
    let record = state::read_record(&options.state)?;
    let info = Docker::at(&options.docker).info(Deadline::after(DOCKER_TIMEOUT)).await;
    if let Err(error) = &info {
        narrate::warn(&error.to_string());
    }
    let local = info.ok().map(|info| info.swarm);
    let state = Progress::of(record.as_ref(), local.as_ref());
    let status = Status {
        state,
        docker: local.as_ref().map_or_else(|| "unreachable".to_owned(), |local| local.state.to_string()),
        docker_node: local.and_then(|local| local.node),
        stopped: state::read_ending(&options.state),
        role: record.as_ref().map(|record| record.role),
        invite: record.as_ref().map(|record| record.invite.clone()),
        cluster: record.as_ref().map(|record| record.cluster.clone()),
        node: record.and_then(|record| record.node),
    };
    let text = if options.json {
        serde_json::to_string(&status).map_err(|error| Error::Internal(error.to_string()))?
    } else {
        status.in_words()
    };
    narrate::answer(&text);
    Ok(())
}

impl Status {
    fn in_words(&self) -> String {
        let lines = [
            ("state", Some(self.state.as_str().to_owned())),
            ("node", self.node.as_ref().map(ToString::to_string)),
            ("role", self.role.as_ref().map(ToString::to_string)),
            ("invite", self.invite.as_ref().map(ToString::to_string)),
            ("cluster", self.cluster.as_ref().map(ToString::to_string)),
            ("docker", Some(self.docker.clone())),
            (
                "as node",
                self.docker_node.as_ref().filter(|node| self.node.as_ref() != Some(node)).map(ToString::to_string),
            ),
            ("stopped", self.stopped.as_ref().map(|stopped| format!("at {}, exit code {}", stopped.at, stopped.code))),
            ("because", self.stopped.as_ref().map(|stopped| narrate::foreign(&stopped.reason))),
        ];
        let shown: Vec<String> =
            lines.into_iter().filter_map(|(name, value)| Some(format!("{name:<8} {}", value?))).collect();
        shown.join("\n")
    }
}
