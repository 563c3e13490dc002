//! `joiner leave`: the brokers drain this machine's node and learn that it goes, then Docker leaves the swarm.
//!
//! Keeps promise 5 in its own way: a machine that wants to go does go, whoever answers, and says what it left behind.
//! Must not make a manager leave, nor any node but the one that the record of the boot names.

mod plan;

use std::time::Duration;

use protocol::NodeId;

use crate::arguments::LeaveOptions;
use crate::boot::{self, Node};
use crate::broker::Brokers;
use crate::clock::Deadline;
use crate::docker::{Docker, Info, LocalState};
use crate::exit::{Error, last_seen};
use crate::narrate;
use crate::state::{Folder, Machine, Record, read_record};
use plan::{Step, Stop};

/// How long Docker may take to leave, after all else.
const ENGINE: Duration = Duration::from_mins(1);
/// Between two requests; a broker takes a second to answer.
const POLL: Duration = Duration::from_millis(200);

/// Brings this machine out of the swarm. Gives what to tell at the end.
pub(crate) async fn leave(options: &LeaveOptions) -> Result<String, Error> {
    let deadline = Deadline::after(options.timeout);
    // Before the state folder is taken, which would make one.
    if let Err(ended) = begun(read_record(&options.state)?, options) {
        return ended;
    }
    let folder = boot::take(&options.state, deadline).await?;
    let record = match begun(folder.record()?, options) {
        Ok(record) => record,
        Err(ended) => return ended,
    };
    let docker = Docker::at(&options.docker);
    let info = boot::look(&docker, deadline).await?;
    match plan::next(&record, &Machine::this(), &info.swarm) {
        Step::Done => Ok("this machine is in no swarm: there is nothing to leave".to_owned()),
        Step::GiveUp => {
            docker.leave(Deadline::after(ENGINE)).await?;
            Ok("left: Docker was joining a swarm, and was no node of it yet".to_owned())
        }
        Step::Tell(node) => {
            let if_ephemeral = options.if_ephemeral;
            Leaving { node, folder, record, info: &info, if_ephemeral, deadline }.run(&docker).await
        }
        Step::Stop(Stop::OtherNode(node)) if options.if_ephemeral => {
            Ok(format!("stays: joiner did not bring this machine in as node {node}"))
        }
        Step::Stop(why) => Err(stopped(why, &info)),
    }
}

/// The boot that is to be undone; else what to end with.
fn begun(record: Option<Record>, options: &LeaveOptions) -> Result<Record, Result<String, Error>> {
    match record {
        Some(record) if record.ephemeral || !options.if_ephemeral => Ok(record),
        _ if options.if_ephemeral => Err(Ok("stays: no invite that says ephemeral brought this machine in".to_owned())),
        _ => Err(Err(Error::NoBoot { state: options.state.clone() })),
    }
}

fn stopped(why: Stop<'_>, info: &Info) -> Error {
    match why {
        Stop::Locked => Error::SwarmLocked,
        Stop::Manager(node) => Error::Manager { node: node.clone() },
        Stop::OtherNode(node) => Error::OtherNode { node: node.clone() },
        Stop::Unclear => {
            Error::EngineState { state: info.swarm.state.to_string(), error: narrate::foreign(&info.swarm.error) }
        }
    }
}

struct Leaving<'a> {
    node: &'a NodeId,
    folder: Folder,
    record: Record,
    info: &'a Info,
    /// Whether it leaves only if the swarm, too, has its node as ephemeral.
    if_ephemeral: bool,
    /// For the brokers, and for the tasks.
    deadline: Deadline,
}

/// What came of telling the brokers.
enum Told {
    /// They know; so many of the node's tasks have not ended.
    Heard(u32),
    /// They do not let it go: its node is not ephemeral any more.
    Stays,
    /// Docker leaves, and none was told: why.
    Unheard(String),
}

impl Leaving<'_> {
    async fn run(mut self, docker: &Docker) -> Result<String, Error> {
        let told = self.tell().await?;
        let deadline = Deadline::after(ENGINE);
        let node = self.node;
        if matches!(told, Told::Stays) {
            return Ok(format!("stays: node {node} does not carry the label swarm-broker.ephemeral any more"));
        }
        // Somebody may have promoted it meanwhile.
        if boot::look(docker, deadline).await?.swarm.manager {
            return Err(Error::Manager { node: node.clone() });
        }
        match told {
            Told::Heard(tasks @ 1..) => {
                narrate::warn(&format!("{tasks} of the node's tasks did not end in time: they are killed"));
                docker.kill_tasks(node, deadline).await?;
            }
            Told::Heard(0) | Told::Unheard(_) | Told::Stays => {}
        }
        narrate::step("docker: leaving");
        if let Err(error) = docker.leave(deadline).await {
            // It waits some 20 s for its tasks, and does not leave while one of them goes on.
            narrate::warn(&format!("{error}. The node's tasks are killed"));
            docker.kill_tasks(node, deadline).await?;
            docker.leave(deadline).await?;
        }
        match told {
            Told::Unheard(why) => Err(Error::Untold { node: node.clone(), why, ephemeral: self.record.ephemeral }),
            Told::Heard(_) | Told::Stays => {
                Ok(format!("left: node {node}. The brokers remove its row once the swarm sees that it is down"))
            }
        }
    }

    /// Has the node drained, and waits for its tasks.
    async fn tell(&mut self) -> Result<Told, Error> {
        let Some(pinned) = self.record.pinned.clone() else {
            return self
                .silent("the joiner of an older release that brought it in did not keep whom to trust".to_owned());
        };
        let mut brokers = Brokers::new(self.record.cluster.clone(), &pinned, &self.record.brokers, self.deadline)?;
        brokers.learn(&self.info.swarm.brokers());
        let mut tasks = None;
        loop {
            let (root, deadline) = (&self.info.docker_root_dir, self.deadline);
            let mut node = Node { id: self.node, root, brokers: &mut brokers, deadline };
            match (node.leave(self.if_ephemeral).await, tasks) {
                (Ok(reply), _) if reply.stays => return Ok(Told::Stays),
                (Ok(reply), _) => {
                    self.note()?;
                    if reply.tasks == 0 || deadline.has_passed() {
                        return Ok(Told::Heard(reply.tasks));
                    }
                    narrate::step(&format!("leave: the node is drained, waiting for {} of its tasks", reply.tasks));
                    tasks = Some(reply.tasks);
                }
                // The brokers know; what was still to come is an answer about the tasks.
                (Err(_), Some(tasks)) => return Ok(Told::Heard(tasks)),
                (Err(error), None) => return self.unheard(error),
            }
            deadline.pause(POLL).await;
        }
    }

    /// Writes down that the brokers know, for a later run that finds the row gone.
    fn note(&mut self) -> Result<(), Error> {
        if self.record.leaving.as_ref() != Some(self.node) {
            self.record.leaving = Some(self.node.clone());
            self.folder.save(&self.record)?;
        }
        Ok(())
    }

    /// What an error means for a node that no broker has answered in this run.
    fn unheard(&self, error: Error) -> Result<Told, Error> {
        let known = self.record.leaving.as_ref() == Some(self.node) && self.info.swarm.state == LocalState::Active;
        match silence(&error) {
            Some(why) => self.silent(why),
            // The run before this one was heard, and the row has been removed since.
            None if known && matches!(error, Error::LeaveRefused { .. }) => Ok(Told::Heard(0)),
            None => Err(error),
        }
    }

    /// What silence means: Docker leaves all the same, unless it may be a manager's or may be wanted back.
    fn silent(&self, why: String) -> Result<Told, Error> {
        let state = &self.info.swarm.state;
        let but = if *state != LocalState::Active {
            format!(
                "it is not in contact with its swarm (state '{state}') and may be a manager's. 'docker swarm leave' here if it is none"
            )
        } else if self.if_ephemeral {
            "with --if-ephemeral that is for them to say".to_owned()
        } else {
            return Ok(Told::Unheard(why));
        };
        Err(Error::NotLeft { why, but })
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
