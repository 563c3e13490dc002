//! Brokers, machines and people at the same time, step by step in any order: what the plan promises holds in all.
//!
//! What counts as a failure: a token replaced while a machine had it for less than the bound; a role whose token the
//! ledger does not know once all is quiet; two rotations where one was due; a rotation that never ends; a token that a
//! joined machine was given and that is live for ever.

use std::time::Duration;

use proptest::prelude::*;
use protocol::Role;

use super::courtesy::stands;
use super::plan::{Handed, LONGEST_ON_THE_WAY, Mine, OVERDUE, Operation, Order, Settling, View, Why, plan};
use super::{Policies, Policy};
use crate::ledger::{Rotating, TokenState, live};
use crate::swarm::Live;

const BROKERS: usize = 3;
const MACHINES: usize = 4;
const WAIT: u64 = 2000;
/// What was read longer ago than this is read again before a token is replaced; and so long after a rotation's begin at
/// most a broker knows of it.
const FRESH: u64 = 2000;
/// A call to the engine takes no longer than this, and neither does what a redemption does between its commit and its
/// answer.
const LONGEST_CALL: u64 = 10_000;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A broker reads.
    Read(usize),
    /// It does what the plan says of what it read; a token that is to be replaced is asked of the engine.
    Act(usize),
    /// The engine has replaced it, if nothing came in between.
    Replaced(usize),
    /// It is killed and starts again.
    Crash(usize),
    /// Somebody asks it to replace the worker token.
    Ask(usize),
    /// A machine goes on by one step.
    Machine(usize),
    /// A machine's boot ends without a confirm, and begins anew.
    Lost(usize),
    /// Somebody replaces the worker token by hand.
    Outside,
    /// Milliseconds pass.
    Pass(u64),
}

#[derive(Clone, Debug)]
struct Snapshot {
    at: u64,
    version: u64,
    swarm_version: u64,
    state: TokenState,
    live: Live,
    handed: Vec<Handed>,
}

#[derive(Clone, Debug, Default)]
struct Broker {
    snapshot: Option<Snapshot>,
    carrying: Option<(Rotating, u64)>,
    /// What the engine is asked for: to replace the token at this version, since when.
    call: Option<(u64, u64)>,
    seen: Option<(u64, u64)>,
    order: Option<Order>,
}

/// How far a machine is.
#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Its broker has read the state.
    Read(TokenState),
    /// Its redemption is committed, at this time.
    Committed(TokenState, u64),
    /// It was given this token, at this time.
    Given(usize, u64),
    Joined,
}

#[derive(Debug)]
struct World {
    clock: u64,
    token: usize,
    live: Live,
    state: TokenState,
    version: u64,
    swarm_version: u64,
    brokers: Vec<Broker>,
    stages: Vec<Stage>,
    /// What the ledger says of each machine.
    claims: Vec<Option<Handed>>,
    policies: Policies,
    /// How often the token was replaced, by whomever.
    replaced: u64,
    wait: u64,
}

fn marks(token: usize) -> Live {
    live(&format!("worker {token}"), "manager", "root")
}

impl World {
    fn new(policy: Policy) -> Self {
        let policies =
            Policies { worker: Some(policy), manager: Some(Policy::Manual), wait: Duration::from_millis(WAIT) };
        Self {
            clock: 1_000_000,
            token: 0,
            live: marks(0),
            state: TokenState::first(&marks(0), |_| 1, false, "broker 0", 1000),
            version: 0,
            swarm_version: 0,
            brokers: vec![Broker::default(); BROKERS],
            stages: vec![Stage::default(); MACHINES],
            claims: vec![None; MACHINES],
            policies,
            replaced: 0,
            wait: WAIT,
        }
    }

    fn happens(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Read(broker) => self.read(broker),
            Event::Act(broker) => {
                self.act(broker)?;
            }
            Event::Replaced(broker) => self.call_ends(broker)?,
            Event::Crash(broker) => self.brokers[broker] = Broker::default(),
            Event::Ask(broker) => {
                self.brokers[broker].order = Some(Order { roles: vec![Role::Worker], from: self.live.clone() });
            }
            Event::Machine(machine) => self.machine(machine),
            Event::Lost(machine) => self.stages[machine] = Stage::Idle,
            Event::Outside => self.replace(),
            Event::Pass(time) => self.clock += time,
        }
        Ok(())
    }

    fn replace(&mut self) {
        self.token += 1;
        self.live = marks(self.token);
        self.replaced += 1;
        self.swarm_version += 1;
    }

    fn read(&mut self, broker: usize) {
        if self.brokers[broker].call.is_some() {
            return;
        }
        let seen = &mut self.brokers[broker].seen;
        match (&self.state.rotating, *seen) {
            (None, _) => *seen = None,
            (Some(_), Some((version, _))) if version == self.version => {}
            (Some(_), _) => *seen = Some((self.version, self.clock)),
        }
        self.brokers[broker].snapshot = Some(Snapshot {
            at: self.clock,
            version: self.version,
            swarm_version: self.swarm_version,
            state: self.state.clone(),
            live: self.live.clone(),
            handed: self.claims.iter().flatten().copied().collect(),
        });
    }

    /// Acts on what was read, if it is fresh. Gives what was planned.
    fn act(&mut self, number: usize) -> Result<Option<Operation>, TestCaseError> {
        let id = format!("broker {number}");
        let (clock, broker) = (self.clock, &mut self.brokers[number]);
        let Some(read) = broker.snapshot.take().filter(|read| clock - read.at <= LONGEST_CALL) else { return Ok(None) };
        let age = clock - read.at;
        let carrying = broker
            .carrying
            .as_ref()
            .map(|(rotating, since)| (rotating, Duration::from_millis(clock.saturating_sub(*since))));
        let seen = Duration::from_millis(broker.seen.map_or(0, |(_, since)| clock - since));
        let mine = Mine { broker: &id, carrying, seen, order: broker.order.as_ref() };
        let view = View { state: &read.state, live: &read.live, handed: &read.handed };
        let planned = plan(clock / 1000, view, &self.policies, mine);
        match &planned {
            Operation::Rest => broker.order = None,
            Operation::LetBe | Operation::Wait(_) => {}
            Operation::Begin(roles, _) => {
                prop_assert!(read.state.rotating.is_none(), "one rotation at a time");
                let (roles, wait) = (roles.clone(), self.wait);
                let rotating = Rotating { by: id, since: clock / 1000, roles, wait };
                if self.version == read.version {
                    // The answer takes as long as the way there.
                    broker.carrying = (age <= FRESH).then(|| (rotating.clone(), clock + age));
                    self.state = self.state.with(rotating);
                    self.version += 1;
                }
            }
            Operation::Replace(_) if age > FRESH => {}
            Operation::Replace(_) => broker.call = Some((read.swarm_version, clock)),
            Operation::Settle(_) => {
                if self.version == read.version {
                    self.state = self.state.settled(&read.live, &id, clock / 1000);
                    self.version += 1;
                    broker.carrying = None;
                }
            }
        }
        Ok(Some(planned))
    }

    fn call_ends(&mut self, broker: usize) -> Result<(), TestCaseError> {
        let Some((version, since)) = self.brokers[broker].call.take() else { return Ok(()) };
        if self.clock - since > LONGEST_CALL || version != self.swarm_version {
            return Ok(());
        }
        for stage in &self.stages {
            if let Stage::Given(token, at) = stage
                && *token == self.token
            {
                let had = self.clock - at;
                prop_assert!(had >= self.wait, "replaced under a machine after {had} ms");
            }
        }
        self.replace();
        Ok(())
    }

    fn machine(&mut self, machine: usize) {
        let (clock, live) = (self.clock, self.live.clone());
        let stage = std::mem::take(&mut self.stages[machine]);
        self.stages[machine] = match stage {
            Stage::Idle if self.state.rotates(Role::Worker) => Stage::Idle,
            Stage::Idle => Stage::Read(self.state.clone()),
            Stage::Read(before) => {
                let generation = before.worker.number;
                let last = clock / 1000;
                self.claims[machine] =
                    Some(Handed { role: Role::Worker, generation, last, joined: false, held: false });
                Stage::Committed(before, clock)
            }
            Stage::Committed(_, at) if clock - at > LONGEST_CALL => Stage::Idle,
            Stage::Committed(before, _) if stands(Role::Worker, &before, &self.state, &live) => {
                Stage::Given(self.token, clock)
            }
            Stage::Committed(..) => {
                if let Some(claim) = &mut self.claims[machine] {
                    claim.held = true;
                }
                self.notice();
                Stage::Idle
            }
            Stage::Given(token, _) if token == self.token => {
                if let Some(claim) = &mut self.claims[machine] {
                    claim.joined = true;
                }
                Stage::Joined
            }
            // It pays the engine's ten seconds, and asks for another grant.
            Stage::Given(..) => Stage::Idle,
            Stage::Joined => Stage::Joined,
        };
    }

    /// What a redemption does that came upon another token than it expected.
    fn notice(&mut self) {
        let mine = Mine { broker: "broker 0", carrying: None, seen: Duration::ZERO, order: None };
        let view = View { state: &self.state, live: &self.live, handed: &[] };
        let planned = plan(self.clock / 1000, view, &self.policies, mine);
        if self.state.rotating.is_none() && matches!(planned, Operation::Settle(_)) {
            self.state = self.state.settled(&self.live, "broker 0", self.clock / 1000);
            self.version += 1;
        }
    }

    /// Lets everybody come to rest, in turns; a broker that is gone does not come back.
    fn comes_to_rest(&mut self, gone: usize) -> Result<(), TestCaseError> {
        self.brokers[gone] = Broker::default();
        for _ in 0..400 {
            self.clock += 500;
            for machine in 0..MACHINES {
                self.machine(machine);
            }
            let mut resting = 0;
            for broker in (0..BROKERS).filter(|broker| *broker != gone) {
                self.call_ends(broker)?;
                self.read(broker);
                // Where an order is fulfilled, what the policy asks for is seen at the next look.
                let ordered = self.brokers[broker].order.is_some();
                resting += usize::from(self.act(broker)? == Some(Operation::Rest) && !ordered);
            }
            let joined = self.stages.iter().all(|stage| matches!(stage, Stage::Joined));
            if joined && resting == BROKERS - 1 && self.brokers.iter().all(|broker| broker.order.is_none()) {
                return Ok(());
            }
        }
        Err(TestCaseError::fail(format!("it does not come to rest: {self:?}")))
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..BROKERS).prop_map(Event::Read),
        4 => (0..BROKERS).prop_map(Event::Act),
        3 => (0..BROKERS).prop_map(Event::Replaced),
        1 => (0..BROKERS).prop_map(Event::Crash),
        1 => (0..BROKERS).prop_map(Event::Ask),
        8 => (0..MACHINES).prop_map(Event::Machine),
        1 => (0..MACHINES).prop_map(Event::Lost),
        1 => Just(Event::Outside),
        3 => prop_oneof![1_u64..50, 1_u64..1000, 1_u64..15_000].prop_map(Event::Pass),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::AfterJoin),
        Just(Policy::Manual),
        (60_u64..600).prop_map(|seconds| Policy::Interval(Duration::from_secs(seconds))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_nobody_is_stranded_and_all_comes_to_rest(
        policy in policy(),
        gone in 0..BROKERS,
        events in proptest::collection::vec(event(), 0..300),
    ) {
        let mut world = World::new(policy);
        for event in events {
            world.happens(event)?;
            prop_assert!(world.state.worker.number <= world.replaced + 1, "a generation without a token");
            prop_assert!(world.state.manager.number == 1, "a token that nobody touched");
        }
        world.comes_to_rest(gone)?;
        prop_assert_eq!(&world.state.worker.mark, &world.live.worker, "the ledger knows the live token");
        prop_assert!(world.state.rotating.is_none());
        if policy == Policy::AfterJoin {
            let live = |claim: &&Handed| claim.generation == world.state.worker.number;
            prop_assert!(world.claims.iter().flatten().find(live).is_none(), "a joined machine's token is live");
        }
    }

    #[test]
    fn at_rest_the_plan_asks_for_nothing_more(policy in policy(), events in proptest::collection::vec(event(), 0..100)) {
        let mut world = World::new(policy);
        for event in events {
            world.happens(event)?;
        }
        world.comes_to_rest(0)?;
        let (replaced, version) = (world.replaced, world.version);
        for broker in (1..BROKERS).cycle().take(30) {
            world.clock += 100;
            world.read(broker);
            world.act(broker)?;
        }
        prop_assert_eq!((world.replaced, world.version), (replaced, version));
    }
}

#[test]
fn a_broker_that_was_stopped_does_not_replace_a_token_that_another_one_already_lets_out() -> Result<(), TestCaseError> {
    // The longest that a broker can take: to know that it has begun, to come back, and to be answered. Meanwhile another
    // one looks, and a machine asks.
    let mut world = World::new(Policy::Manual);
    world.happens(Event::Ask(0))?;
    world.read(0);
    world.clock += FRESH;
    prop_assert_eq!(world.act(0)?, Some(Operation::Begin(vec![Role::Worker], Why::Order)));
    world.read(1);
    let overdue = OVERDUE.as_secs() * 1000;
    world.clock += FRESH + WAIT + overdue - FRESH;
    world.read(0);
    world.clock += FRESH;
    prop_assert_eq!(world.act(0)?, Some(Operation::Replace(0)));
    for _ in 0..LONGEST_CALL / 100 {
        world.clock += 100;
        world.read(1);
        world.act(1)?;
        // Which takes its time to join.
        if !matches!(world.stages[0], Stage::Given(..)) {
            world.machine(0);
        }
    }
    world.call_ends(0)?;
    prop_assert_eq!(world.replaced, 1);
    // A moment later it would not have asked.
    let mut world = World::new(Policy::Manual);
    world.happens(Event::Ask(0))?;
    world.read(0);
    world.act(0)?;
    world.clock += WAIT + overdue + 1;
    world.read(0);
    prop_assert_eq!(world.act(0)?, Some(Operation::Settle(Settling::Undone)));
    Ok(())
}

#[test]
fn a_rotation_waits_for_a_machine_on_its_way_and_for_no_other() {
    let state = TokenState::first(&marks(0), |_| 1, false, "me", 1000);
    let rotating = Rotating { by: "me".into(), since: 1000, roles: vec![Role::Worker], wait: WAIT };
    let state = state.with(rotating.clone());
    let policies = World::new(Policy::Manual).policies;
    let planned = |waited: u64, handed: Handed| {
        let mine = Mine {
            broker: "me",
            carrying: Some((&rotating, Duration::from_millis(waited))),
            seen: Duration::ZERO,
            order: None,
        };
        plan(1010, View { state: &state, live: &marks(0), handed: &[handed] }, &policies, mine)
    };
    let handed = Handed { role: Role::Worker, generation: 1, last: 1000, joined: false, held: false };
    assert_eq!(planned(0, handed), Operation::Wait(1));
    assert_eq!(planned(WAIT, handed), Operation::Replace(1), "no longer than the bound");
    assert_eq!(planned(0, Handed { joined: true, ..handed }), Operation::Replace(0));
    assert_eq!(planned(0, Handed { held: true, ..handed }), Operation::Replace(0), "it was not given the token");
    assert_eq!(planned(0, Handed { role: Role::Manager, ..handed }), Operation::Replace(0));
    assert_eq!(planned(0, Handed { generation: 0, ..handed }), Operation::Replace(0), "its token is dead already");
    let long_ago = 1010 - LONGEST_ON_THE_WAY;
    assert_eq!(planned(0, Handed { last: long_ago, ..handed }), Operation::Replace(0), "it will not come");
}

#[test]
fn after_a_join_the_token_is_replaced_once_nobody_is_on_the_way_or_after_the_bound() {
    let state = TokenState::first(&marks(0), |_| 1, false, "me", 1000);
    let world = World::new(Policy::AfterJoin);
    let planned = |now: u64, handed: &[Handed]| {
        let mine = Mine { broker: "me", carrying: None, seen: Duration::ZERO, order: None };
        plan(now, View { state: &state, live: &world.live, handed }, &world.policies, mine)
    };
    let joined = Handed { role: Role::Worker, generation: 1, last: 1000, joined: true, held: false };
    let on_the_way = |last| Handed { last, joined: false, ..joined };
    let begin = |machines| Operation::Begin(vec![Role::Worker], Why::AfterJoin(machines));
    assert_eq!(planned(1001, &[]), Operation::Rest);
    assert_eq!(planned(1001, &[Handed { generation: 0, ..joined }]), Operation::Rest, "it had an earlier token");
    assert_eq!(planned(1001, &[joined]), begin(1));
    assert_eq!(planned(1001, &[joined, on_the_way(1000)]), Operation::Rest);
    let bound = 1000 + LONGEST_ON_THE_WAY;
    assert_eq!(planned(bound - 1, &[joined, on_the_way(bound - 2)]), Operation::Rest);
    assert_eq!(
        planned(bound, &[joined, on_the_way(bound - 1)]),
        begin(2),
        "machine after machine does not keep it alive"
    );
}
