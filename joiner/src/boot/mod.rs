//! The boot of a machine: look, do the next step, look again, until it is in or cannot be.
//!
//! Keeps promises 2 and 9: the same key after every crash, and Docker is told to join with availability drain.
//! Must not act on what it remembers: every turn begins with the engine's own state.

mod addresses;
mod admission;
mod confirm;
mod interfaces;
mod plan;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use protocol::{InviteId, InviteLine, NodeId, RedeemReply};

use crate::arguments::{Addresses, JoinOptions};
use crate::broker::{Brokers, chance, pause};
use crate::clock::Deadline;
use crate::docker::{Docker, Info, JoinAnswer, JoinCall, LocalState};
use crate::exit::Error;
use crate::invite::InviteSource;
use crate::narrate;
use crate::process::Cost;
use crate::shred::shred;
use crate::state::{Ending, Folder, Machine, Record};
pub use addresses::OwnAddresses;
pub(crate) use addresses::settle as own_addresses;
use admission::{Admission, Admitting, Identity};
pub(crate) use confirm::Node;
use plan::{Beginning, Step, Stop};

/// How often to look at something that will change by itself.
const POLL: Duration = Duration::from_millis(200);

/// Brings this machine into the swarm, or finds that it is in. Gives what to tell at the end.
pub(crate) async fn join(options: &JoinOptions) -> Result<String, Error> {
    let cost = Cost::from_now();
    let deadline = Deadline::after(options.timeout);
    let folder = take(&options.state, deadline).await?;
    let ended = join_with(options, &folder, deadline, cost).await;
    folder.note_end(ended.as_ref().err().map(Ending::of).as_ref());
    ended
}

/// With the state folder to itself.
async fn join_with(options: &JoinOptions, folder: &Folder, deadline: Deadline, cost: Cost) -> Result<String, Error> {
    let record = folder.record()?;
    let machine = Machine::this();
    let docker = Docker::at(&options.docker);
    let invite = options.invite.as_ref().map_or(Err(Error::NoInvite), InviteSource::read);
    let mut invites: Vec<InviteId> = record.iter().map(|record| record.invite.clone()).collect();
    let answer = match invite {
        Ok(invite) => {
            invites.push(invite.unverified().jti.clone());
            let pinned = invite.unverified();
            let mut brokers = Brokers::new(pinned.iss.clone(), &pinned.into(), &pinned.brokers, deadline)?;
            brokers.learn(&options.brokers);
            let boot = Boot {
                deadline,
                folder,
                record,
                machine,
                docker,
                invite,
                brokers,
                given: &options.addresses,
                addresses: None,
                identity: None,
                cost,
                told: None,
                failed: None,
            };
            boot.run().await?
        }
        // On a node that is in, user-data may be long gone.
        Err(error) => if_done(&docker, record.as_ref(), &machine, deadline).await.unwrap_or(Err(error))?,
    };
    if options.shred {
        shred(options.invite.as_ref().and_then(InviteSource::file), &invites);
    }
    Ok(answer)
}

/// Waits for the state folder.
pub(crate) async fn take(path: &Path, deadline: Deadline) -> Result<Folder, Error> {
    loop {
        if let Some(folder) = Folder::open(path)? {
            return Ok(folder);
        }
        if deadline.has_passed() {
            return Err(Error::AnotherRun);
        }
        narrate::step("state: another joiner is running here, waiting for it");
        deadline.pause(POLL).await;
    }
}

/// Without an invite: nothing to do where the boot is done; `None` where it is not.
async fn if_done(
    docker: &Docker,
    record: Option<&Record>,
    machine: &Machine,
    deadline: Deadline,
) -> Option<Result<String, Error>> {
    record.filter(|record| record.confirmed)?;
    loop {
        let info = match look(docker, deadline).await {
            Ok(info) => info,
            Err(error) => return Some(Err(error)),
        };
        if let Some(node) = plan::done(record, machine, &info.swarm) {
            return Some(Ok(already_in(node)));
        }
        // After a restart, a node looks for its managers first.
        if info.swarm.state != LocalState::Pending || deadline.has_passed() {
            return None;
        }
        deadline.pause(POLL).await;
    }
}

/// The engine's state, once there is an engine.
pub(crate) async fn look(docker: &Docker, deadline: Deadline) -> Result<Info, Error> {
    let mut round = 0;
    loop {
        let error = match docker.info(deadline).await {
            Ok(info) => return Ok(info),
            Err(error) => error,
        };
        if deadline.has_passed() || !error.may_pass() {
            return Err(error.into());
        }
        narrate::step(&format!("docker: waiting for it: {error}"));
        deadline.pause(pause(round, chance()).min(Duration::from_secs(1))).await;
        round += 1;
    }
}

fn already_in(node: &NodeId) -> String {
    format!("already joined: node {node}")
}

struct Boot<'a> {
    deadline: Deadline,
    folder: &'a Folder,
    record: Option<Record>,
    machine: Machine,
    docker: Docker,
    invite: InviteLine,
    brokers: Brokers,
    given: &'a Addresses,
    /// The given addresses, once they were found on this machine.
    addresses: Option<OwnAddresses>,
    identity: Option<Identity>,
    cost: Cost,
    /// When Docker was told to join.
    told: Option<Instant>,
    /// Why the last try came to nothing.
    failed: Option<String>,
}

impl Boot<'_> {
    /// Goes on until the machine is in; gives what to tell then.
    async fn run(mut self) -> Result<String, Error> {
        if let Some(record) = self.record.as_ref().filter(|record| !record.confirmed) {
            narrate::step(&format!("state: a boot for invite {} was begun here", record.invite));
        }
        let mut tries = 0;
        let mut pending: Option<Instant> = None;
        loop {
            let info = look(&self.docker, self.deadline).await?;
            let waited = pending.map_or(Duration::ZERO, |since| since.elapsed());
            let record = self.record.as_ref();
            let step = plan::next(record, self.invite.unverified(), &self.machine, &info.swarm, waited);
            if info.swarm.state != LocalState::Pending {
                pending = None;
            }
            match step {
                Step::AlreadyIn(node) => return Ok(already_in(&node)),
                Step::Confirm(node) => return self.confirm(node, &info).await,
                Step::AskMembership(node) => return self.ask_membership(&node, &info).await,
                Step::Stop(why) => return Err(stopped(why, &info)),
                Step::Begin(why) => {
                    fit(&info)?;
                    self.settle().await?;
                    self.begin(why)?;
                }
                Step::Await => {
                    narrate::step("docker: it is joining a swarm, waiting for that to end");
                    pending.get_or_insert_with(Instant::now);
                    self.pause_or_end(POLL, "Docker is still joining (state pending)").await?;
                }
                Step::GiveUp => {
                    let error = narrate::foreign(&info.swarm.error);
                    let came_to = format!("Docker's join came to nothing: state {} {error}", info.swarm.state);
                    narrate::step(&format!("docker: giving it up. {came_to}"));
                    self.failed = Some(came_to);
                    if let Err(error) = self.docker.leave(self.deadline).await {
                        narrate::warn(&error.to_string());
                    }
                    pending = None;
                    self.pause_before(tries).await?;
                }
                Step::Join => {
                    fit(&info)?;
                    if tries > 0 {
                        self.pause_before(tries - 1).await?;
                    }
                    tries += 1;
                    self.settle().await?;
                    if let Some(again) = self.join_once().await? {
                        narrate::step(&again);
                        self.failed = Some(again);
                    }
                }
            }
        }
    }

    /// Pauses before another try, or ends when time has run out.
    async fn pause_before(&self, tries: u32) -> Result<(), Error> {
        let failed = self.failed.as_deref().unwrap_or("Docker did not join");
        self.pause_or_end(pause(tries, chance()), failed).await
    }

    async fn pause_or_end(&self, wait: Duration, during: &str) -> Result<(), Error> {
        if self.deadline.has_passed() {
            return Err(Error::OutOfTime { during: during.to_owned(), last: Vec::new() });
        }
        self.deadline.pause(wait).await;
        Ok(())
    }

    /// Before a use of the invite is claimed: a machine without the address that was asked for must not cost one.
    async fn settle(&mut self) -> Result<(), Error> {
        if self.addresses.is_none() {
            self.addresses = Some(addresses::settle(self.given, self.deadline).await?);
        }
        Ok(())
    }

    fn begin(&mut self, why: Beginning) -> Result<(), Error> {
        let invite = self.invite.unverified();
        let because = match why {
            Beginning::First => "new key",
            Beginning::OtherInvite => {
                "another invite was given than the one begun with: the old key is dropped; new key"
            }
            Beginning::Image => "this machine was made from another one's image: the old key is dropped; new key",
            Beginning::Left => "the node that was confirmed here has left the swarm: the old key is dropped; new key",
        };
        let (record, key) = self.folder.begin(Record::new(invite, self.machine.clone()))?;
        narrate::step(&format!("state: {because} {}, for invite {}", key.hash(), invite.jti));
        self.record = Some(record);
        self.identity = None;
        Ok(())
    }

    /// Goes once from invite to Docker's answer. `Some`: it came to nothing, and why.
    async fn join_once(&mut self) -> Result<Option<String>, Error> {
        let Some(record) = self.record.take() else {
            return Err(Error::Internal("a join without a record".to_owned()));
        };
        let (mut record, key) = self.folder.key(record)?;
        let mut admitting = Admitting {
            folder: self.folder,
            invite: &self.invite,
            brokers: &mut self.brokers,
            identity: &mut self.identity,
            deadline: self.deadline,
        };
        let admission = admitting.admit(&mut record, &key).await;
        let outcome = match admission {
            Ok(Admission::Given(redeemed)) => {
                // Before Docker is told: from here on, a swarm that Docker is in is this boot's.
                record.swarm = Some(redeemed.swarm.clone());
                record.role = redeemed.role;
                if !redeemed.brokers.is_empty() {
                    record.brokers.clone_from(&redeemed.brokers);
                }
                self.folder.save(&record)?;
                self.brokers.learn(&redeemed.brokers);
                self.tell_docker(redeemed).await
            }
            Ok(Admission::Again(why)) => Ok(Some(why)),
            Err(error) => Err(error),
        };
        self.record = Some(record);
        outcome
    }

    /// Tells Docker to join. The token ends with this call.
    async fn tell_docker(&mut self, redeemed: RedeemReply) -> Result<Option<String>, Error> {
        let Some(addresses) = &self.addresses else {
            return Err(Error::Internal("a join without addresses".to_owned()));
        };
        let call = JoinCall {
            listen_addr: addresses.listen(&redeemed.managers),
            advertise_addr: &addresses.advertise(&redeemed.managers),
            data_path_addr: addresses.data_path(),
            remote_addrs: &redeemed.managers,
            join_token: &redeemed.token,
            availability: "drain",
        };
        narrate::detail(&format!("cost up to Docker's join: {}", self.cost.so_far()));
        narrate::step("docker: joining");
        self.told = Some(Instant::now());
        Ok(match self.docker.join(&call, self.deadline).await {
            Ok(JoinAnswer::Joined) => None,
            Ok(JoinAnswer::TokenNotValid) => {
                Some("docker: the token was rotated meanwhile; asking for a new grant".to_owned())
            }
            Ok(JoinAnswer::Continues) => {
                narrate::step("docker: it goes on joining in the background");
                None
            }
            Ok(JoinAnswer::AlreadyIn) => Some("docker: it was told to join a swarm by somebody else".to_owned()),
            Ok(JoinAnswer::Failed(what)) => Some(format!("docker: it could not join ({what})")),
            Err(error) => Some(format!("docker: {error}")),
        })
    }

    async fn confirm(mut self, id: NodeId, info: &Info) -> Result<String, Error> {
        let joined_in = self.told.map(|told| told.elapsed());
        let Some(mut record) = self.record.take() else {
            return Err(Error::Internal("a confirm without a record".to_owned()));
        };
        narrate::step(&format!("docker: this machine is node {id}"));
        if record.node.as_ref() != Some(&id) {
            record.node = Some(id.clone());
            self.folder.save(&record)?;
        }
        let (mut record, key) = self.folder.key(record)?;
        self.brokers.learn(&record.brokers);
        let (root, deadline) = (&info.docker_root_dir, self.deadline);
        let mut node = confirm::Node { id: &id, root, brokers: &mut self.brokers, deadline };
        let reply = node.confirm(&record, &key).await?;
        record.confirmed = true;
        self.folder.save(&record)?;
        narrate::step(&format!("confirm: by {}", self.brokers.current()));

        let exchange = format!("exchange took {} ms", self.brokers.spent().as_millis());
        let docker = joined_in.map_or_else(
            || "Docker had joined before".to_owned(),
            |took| format!("Docker's join took {} ms", took.as_millis()),
        );
        narrate::step(&format!("{exchange}, {docker}"));
        narrate::detail(&format!("cost of it all: {}", self.cost.so_far()));
        Ok(format!("joined: node {id} ({}){}", record.role, labels(&reply.labels)))
    }

    async fn ask_membership(mut self, id: &NodeId, info: &Info) -> Result<String, Error> {
        narrate::step(&format!(
            "docker: this machine is node {id} of a swarm already, asking whether it is the invite's"
        ));
        let (root, deadline) = (&info.docker_root_dir, self.deadline);
        let mut node = confirm::Node { id, root, brokers: &mut self.brokers, deadline };
        let reply = node.membership().await?;
        if !reply.explained {
            narrate::warn(&format!(
                "node {0} is in the swarm, but no grant or adoption explains it: an operator can run 'broker adopt {0} --reason …'",
                reply.node
            ));
        }
        Ok(already_in(&reply.node))
    }
}

fn fit(info: &Info) -> Result<(), Error> {
    info.unfit().map_or(Ok(()), |why| Err(Error::NoNode(why)))
}

fn stopped(why: Stop, info: &Info) -> Error {
    match why {
        Stop::Locked => Error::SwarmLocked,
        Stop::NotOurs => {
            Error::EngineState { state: info.swarm.state.to_string(), error: narrate::foreign(&info.swarm.error) }
        }
    }
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(", labels {}", narrate::foreign(&labels.join(" ")))
}
