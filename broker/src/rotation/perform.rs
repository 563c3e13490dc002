//! Carrying a rotation out: read, plan, do one thing, and again, until nothing is left to do.
//!
//! Every step is a compare-and-swap, in the ledger or of Docker's own swarm object, so a broker that is killed, cut off
//! or overtaken between two of them leaves something that the next look finishes or undoes.
//! Must not keep what it read across a step.

use std::time::{Duration, Instant};

use protocol::Role;

use super::plan::{self, Mine, Operation, Order, Settling, View, plan};
use super::records::{self, Cause};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::ledger::{ReadState, Rotating, TokenState};
use crate::swarm::{EngineError, Live};

/// Between two looks at machines that are on their way, or at another broker's rotation.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing is replaced by what was read longer ago than this: the ledger may have moved on.
const FRESH: Duration = Duration::from_secs(2);
/// How often an update is tried that others keep overtaking.
const TRIES: usize = 16;
/// How long all of it may take beside its waiting for machines: another rotation may have to end first. Who asks on the
/// admin socket waits a minute.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) state: TokenState,
    /// How long it waited for machines on their way with the token.
    pub(super) waited: Duration,
    /// How many of them had not confirmed when it was replaced.
    pub(super) late: usize,
    /// Whether this very call replaced something.
    pub(super) replaced: bool,
}

/// One rotation, from the first look to its end.
struct Carrier<'a> {
    broker: &'a Broker,
    order: Option<&'a Order>,
    cause: Option<Cause>,
    wait: Duration,
    begun: Instant,
    carrying: Option<(Rotating, Instant)>,
    /// The roles of which the log says that their tokens are about to be replaced.
    told: Option<Vec<Role>>,
    /// Whether it had to wait for a machine.
    waits: bool,
    /// Whether the engine was asked to replace a token, and what it did is not known.
    asked: bool,
    overtaken: usize,
    /// The broker whose rotation has to end first.
    in_the_way: Option<String>,
    carried: Carried,
}

/// Does what an order asks for; without one, what the policy asks for. Waits for `wait` at most for machines that are
/// on their way.
pub(super) async fn carry_out(
    broker: &Broker,
    order: Option<&Order>,
    cause: Option<Cause>,
    wait: Duration,
) -> Result<Carried, Denial> {
    let begun = Instant::now();
    let _turn = tokio::time::timeout(PATIENCE, broker.rotation.turn.lock())
        .await
        .map_err(|_| Denial::Unavailable("no token was replaced: another rotation is under way. Try again".into()))?;
    let state = broker.rotations.read().await?.state;
    let carried = Carried { state, waited: Duration::ZERO, late: 0, replaced: false };
    let mut carrier = Carrier {
        broker,
        order,
        cause,
        wait,
        begun,
        carrying: None,
        told: None,
        waits: false,
        asked: false,
        overtaken: 0,
        in_the_way: None,
        carried,
    };
    match carrier.run().await {
        Ok(()) => Ok(carrier.carried),
        Err(Denial::Unavailable(why)) => Err(Denial::Unavailable(carrier.give_up(&why).await)),
        Err(other) => Err(other),
    }
}

impl Carrier<'_> {
    async fn run(&mut self) -> Result<(), Denial> {
        while self.step().await? {
            let why = match &self.in_the_way {
                _ if self.overtaken > TRIES => "others keep changing the swarm's settings".to_owned(),
                _ if self.begun.elapsed() <= PATIENCE + self.wait => continue,
                Some(broker) => format!("broker {broker} is at it, and does not end"),
                None => "it takes too long".to_owned(),
            };
            return Err(Denial::Unavailable(format!("{why}. Try again")));
        }
        Ok(())
    }

    /// One step. False when nothing is left to do.
    async fn step(&mut self) -> Result<bool, Denial> {
        let broker = self.broker;
        let fresh = Instant::now();
        let read = broker.rotations.read().await?;
        let (live, settings) = broker.engine.live().await?;
        // Who is on the way matters to a rotation that waits, and to the policy. An invite that does not read admits
        // nobody: its machines are not waited for.
        let listed = self.order.is_none() || (self.carrying.is_some() && !self.wait.is_zero());
        let handed = if listed { plan::handed(&broker.invites.list_each().await?.0) } else { Vec::new() };

        let carrying = self.carrying.as_ref().map(|(rotating, since)| (rotating, since.elapsed()));
        let seen = broker.rotation.seen_for(&read);
        let mine = Mine { broker: &broker.id, carrying, seen, order: self.order };
        let view = View { state: &read.state, live: &live, handed: &handed };
        match plan(clock::now(), view, &broker.rotation.policies, mine) {
            Operation::Rest => {
                self.carried.state = read.state;
                return Ok(false);
            }
            // What the policy asks for, that broker's look does, too.
            Operation::LetBe if self.order.is_none() => return Ok(false),
            Operation::LetBe => {
                self.in_the_way = read.state.rotating.map(|rotating| rotating.by);
                tokio::time::sleep(LOOK).await;
            }
            Operation::Wait(_) => {
                tokio::time::sleep(LOOK).await;
                self.waits = true;
            }
            Operation::Begin(roles, why) => {
                if self.told.replace(roles.clone()).as_ref() != Some(&roles) {
                    let cause = self.cause.get_or_insert_with(|| Cause::policy(why));
                    records::rotating(broker, &read.state, &roles, cause).await?;
                }
                let wait = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
                let rotating = Rotating { by: broker.id.clone(), since: clock::now(), roles, wait };
                let asked = Instant::now();
                if broker.rotations.change(&read, &read.state.with(rotating.clone())).await? {
                    // Others count from the commit. Where that is not known well enough, it is undone, and begun anew.
                    let begun = Instant::now();
                    self.carrying = (begun.duration_since(asked) <= FRESH).then_some((rotating, begun));
                } else {
                    self.overtaken += 1;
                }
            }
            Operation::Replace(_) if fresh.elapsed() > FRESH => self.overtaken += 1,
            Operation::Replace(late) => {
                let Some((Rotating { roles, .. }, since)) = &self.carrying else { return Ok(true) };
                self.carried.waited = if self.waits { since.elapsed() } else { Duration::ZERO };
                self.asked = true;
                match broker.engine.replace_tokens(&settings, roles).await {
                    Ok(()) => (self.carried.late, self.carried.replaced) = (late, true),
                    Err(EngineError::OutOfSequence) => (self.asked, self.overtaken) = (false, self.overtaken + 1),
                    Err(error) => return Err(error.into()),
                }
            }
            Operation::Settle(settling) => {
                if settle(broker, &read, &live, settling, self.cause.as_ref()).await? {
                    (self.carrying, self.told) = (None, None);
                    // The policy's next rotation has a cause of its own.
                    self.cause = self.cause.take().filter(|_| self.order.is_some());
                } else {
                    self.overtaken += 1;
                }
            }
        }
        Ok(true)
    }

    /// Undoes what was begun, if the swarm lets it; what cannot be undone now, the next look ends. Gives the words for
    /// who asked.
    async fn give_up(&mut self, why: &str) -> String {
        let told = if self.carried.replaced {
            format!("the token was replaced, and what follows failed: {why}")
        } else if self.asked {
            format!("whether the token was replaced is not known: {why}. 'broker status' tells its generation")
        } else {
            format!("no token was replaced: {why}")
        };
        if let (Some(cause), Some(roles)) = (&self.cause, &self.told) {
            records::failed(self.broker, roles, cause, &told).await;
        }
        if self.carrying.is_some() {
            let _ = tokio::time::timeout(FRESH, left(self.broker)).await;
        }
        told
    }
}

/// Ends the rotation that the ledger says is under way, if this broker began it and does not carry it out any more,
/// or if another one left it; writes down what else is live than the ledger says. What the policy asks for is told.
pub(super) async fn left(broker: &Broker) -> Result<Operation, Denial> {
    let read = broker.rotations.read().await?;
    let (live, _) = broker.engine.live().await?;
    ended(broker, &read, &live, &[]).await
}

/// The same, with what was read already.
pub(super) async fn ended(
    broker: &Broker,
    read: &ReadState,
    live: &Live,
    handed: &[plan::Handed],
) -> Result<Operation, Denial> {
    let mine = Mine { broker: &broker.id, carrying: None, seen: broker.rotation.seen_for(read), order: None };
    let view = View { state: &read.state, live, handed };
    let operation = plan(clock::now(), view, &broker.rotation.policies, mine);
    if let Operation::Settle(settling) = operation {
        settle(broker, read, live, settling, None).await?;
    }
    Ok(operation)
}

/// Writes down what is live. False if another broker was faster.
pub(super) async fn settle(
    broker: &Broker,
    read: &ReadState,
    live: &Live,
    settling: Settling,
    cause: Option<&Cause>,
) -> Result<bool, Denial> {
    let state = read.state.settled(live, &broker.id, clock::now());
    let changed = broker.rotations.change(read, &state).await?;
    if changed {
        records::settled(broker, read, &state, settling, cause).await?;
    }
    Ok(changed)
}
