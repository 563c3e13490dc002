//! `joiner leave`: the brokers drain this machine's node and learn that it goes, then Docker leaves the swarm.
//!
//! Keeps promise 5 in its own way: a machine that wants to go does go, whoever answers, and says what it left behind.
//! Must not make a manager leave, nor the node of a swarm whose brokers do not know it.

use std::time::Duration;

use protocol::NodeId;

use crate::arguments::LeaveOptions;
use crate::boot::{self, Node};
use crate::broker::Brokers;
use crate::clock::Deadline;
use crate::docker::{Docker, Info, LocalNode, LocalState};
use crate::exit::{Error, last_seen};
use crate::narrate;
use crate::state::{Folder, Record, read_record};

/// How long Docker may take to leave, after all else.
const ENGINE: Duration = Duration::from_mins(1);
/// Between two requests; a broker takes a second to answer.
const POLL: Duration = Duration::from_millis(200);

/// Brings this machine out of the swarm. Gives what to tell at the end.
pub(crate) async fn leave(options: &LeaveOptions) -> Result<String, Error> {
    let deadline = Deadline::after(options.timeout);
    match read_record(&options.state)? {
        None => return Err(Error::NoBoot { state: options.state.clone() }),
        Some(record) if options.if_ephemeral && !record.ephemeral => {
            return Ok("stays: its invite does not say ephemeral".to_owned());
        }
        Some(_) => {}
    }
    let folder = boot::take(&options.state, deadline).await?;
    let Some(record) = folder.record()? else { return Err(Error::NoBoot { state: options.state.clone() }) };
    let docker = Docker::at(&options.docker);
    let info = boot::look(&docker, deadline).await?;
    match next(&info.swarm)? {
        Step::Done => Ok("this machine is in no swarm: there is nothing to leave".to_owned()),
        Step::GiveUp => {
            docker.leave(Deadline::after(ENGINE)).await?;
            Ok("left: Docker was joining a swarm, and was no node of it yet".to_owned())
        }
        Step::Tell(node) => Leaving { node, folder, record, info: &info, deadline }.run(&docker).await,
    }
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// It has left.
    Done,
    /// It is not a node yet: nobody needs to be told.
    GiveUp,
    /// Tell the brokers, then leave.
    Tell(&'a NodeId),
}

fn next(local: &LocalNode) -> Result<Step<'_>, Error> {
    match (&local.state, &local.node) {
        (LocalState::Inactive, _) => Ok(Step::Done),
        (LocalState::Locked, _) => Err(Error::SwarmLocked),
        (_, Some(node)) if local.manager => Err(Error::Manager { node: node.clone() }),
        (_, Some(node)) => Ok(Step::Tell(node)),
        (_, None) => Ok(Step::GiveUp),
    }
}

struct Leaving<'a> {
    node: &'a NodeId,
    folder: Folder,
    record: Record,
    info: &'a Info,
    /// For the brokers, and for the tasks.
    deadline: Deadline,
}

/// How many of the node's tasks have not ended; else why no broker was told.
type Told = Result<u32, String>;

impl Leaving<'_> {
    async fn run(mut self, docker: &Docker) -> Result<String, Error> {
        let told = self.tell().await?;
        let deadline = Deadline::after(ENGINE);
        if let Ok(tasks @ 1..) = told {
            narrate::warn(&format!("{tasks} of the node's tasks did not end in time: they are killed"));
            docker.kill_tasks(self.node, deadline).await?;
        }
        narrate::step("docker: leaving");
        if let Err(error) = docker.leave(deadline).await {
            // It waits some 20 s for its tasks, and does not leave while one of them goes on.
            narrate::warn(&format!("{error}. The node's tasks are killed"));
            docker.kill_tasks(self.node, deadline).await?;
            docker.leave(deadline).await?;
        }
        let node = self.node.clone();
        match told {
            Ok(_) => Ok(format!("left: node {node}. The brokers remove its row once the swarm sees that it is down")),
            Err(why) => Err(Error::Untold { node, why, ephemeral: self.record.ephemeral }),
        }
    }

    /// Has the node drained, and waits for its tasks.
    async fn tell(&mut self) -> Result<Told, Error> {
        let Some(pinned) = self.record.pinned.clone() else {
            return Ok(Err("the joiner of an older release that brought it in did not keep whom to trust".to_owned()));
        };
        let mut brokers = Brokers::new(self.record.cluster.clone(), &pinned, &self.record.brokers, self.deadline)?;
        brokers.learn(&self.info.swarm.brokers());
        let mut tasks = None;
        loop {
            let (root, deadline) = (&self.info.docker_root_dir, self.deadline);
            let mut node = Node { id: self.node, root, brokers: &mut brokers, deadline };
            match (node.leave().await, tasks) {
                (Ok(reply), _) => {
                    self.note()?;
                    if reply.tasks == 0 || deadline.has_passed() {
                        return Ok(Ok(reply.tasks));
                    }
                    narrate::step(&format!("leave: the node is drained, waiting for {} of its tasks", reply.tasks));
                    tasks = Some(reply.tasks);
                }
                // The brokers know; what was still to come is an answer about the tasks.
                (Err(_), Some(tasks)) => return Ok(Ok(tasks)),
                (Err(error), None) => return self.unheard(error),
            }
            deadline.pause(POLL).await;
        }
    }

    /// Writes down that the brokers know. From here on Docker leaves, whatever becomes of this run.
    fn note(&mut self) -> Result<(), Error> {
        if self.record.leaving.as_ref() != Some(self.node) {
            self.record.leaving = Some(self.node.clone());
            self.folder.save(&self.record)?;
        }
        Ok(())
    }

    /// What an error means for a node that no broker has answered in this run.
    fn unheard(&self, error: Error) -> Result<Told, Error> {
        let known = self.record.leaving.as_ref() == Some(self.node);
        let silence = silence(&error);
        // The run before this one was heard, and its row may have been removed since.
        if known && (silence.is_some() || matches!(error, Error::LeaveRefused { .. })) {
            return Ok(Ok(0));
        }
        // An engine that is not in contact with its swarm may be a manager's.
        match silence.filter(|_| self.info.swarm.state == LocalState::Active) {
            Some(why) => Ok(Err(why)),
            None => Err(error),
        }
    }
}

/// Why no broker said whether the node may go, if none did.
fn silence(error: &Error) -> Option<String> {
    match error {
        Error::NoBroker { last } => Some(format!("none answered in time{}", last_seen(last))),
        Error::OutOfTime { last, .. } => Some(format!("none could say so in time{}", last_seen(last))),
        Error::OtherCluster { last, .. } => Some(format!("other servers answer in their place{}", last_seen(last))),
        Error::NodeFiles { error, .. } => Some(format!("the node's certificate cannot be used: {error}")),
        Error::Unprovable { .. } => Some("autolock is on, so the node cannot prove which one it is".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(state: &str, node: &str, manager: bool) -> LocalNode {
        let local = serde_json::json!({ "LocalNodeState": state, "NodeID": node, "ControlAvailable": manager });
        serde_json::from_value(local).expect("reads")
    }

    #[test]
    fn a_worker_tells_the_brokers_and_a_manager_stays() {
        let id = "k9vqn1p0r3a8j2m4x6t5b7c1d";
        let node: NodeId = id.parse().expect("a node id");
        for state in ["active", "pending", "error"] {
            assert_eq!(next(&engine(state, id, false)).expect("a step"), Step::Tell(&node), "{state}");
            assert!(matches!(next(&engine(state, id, true)), Err(Error::Manager { .. })), "{state}");
        }
        assert_eq!(next(&engine("pending", "", false)).expect("a step"), Step::GiveUp);
        assert_eq!(next(&engine("inactive", "", false)).expect("a step"), Step::Done);
        assert!(matches!(next(&engine("locked", id, false)), Err(Error::SwarmLocked)));
    }
}
