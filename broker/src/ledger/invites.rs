//! The invites in the ledger: operations on one invite wait together and are committed in one update.
//!
//! Keeps promise 1 across brokers (compare-and-swap by version) and DESIGN §3: no outcome, refusals included, is
//! told before a commit that was begun after the request came. A cut-off leader cannot commit, so it tells nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::{Invite, InviteId};
use tokio::sync::{mpsc, oneshot};

use super::{Claims, LedgerError, Operation, Outcome, Policy, Raised, Sentinel, names};
use crate::audit::Reason;
use crate::clock;
use crate::jwt::KeyId;
use crate::swarm::{Engine, EngineError, Object, Stored};

/// How many requests may wait for one invite; more are told to come back.
const WAITING: usize = 1024;
/// How many go into one update.
const TOGETHER: usize = 256;
/// How often an update is tried that others keep overtaking.
const TRIES: usize = 16;
/// After this long without a request an invite's task ends.
const IDLE: Duration = Duration::from_secs(30);

/// The invites in the ledger.
pub(crate) struct Invites {
    engine: Engine,
    sentinel: Arc<Sentinel>,
    queues: Mutex<HashMap<InviteId, mpsc::Sender<Waiting>>>,
}

/// One invite as the ledger has it.
#[derive(Clone, Debug)]
pub(crate) struct InviteState {
    pub(crate) policy: Policy,
    pub(crate) claims: Claims,
    pub(crate) version: u64,
}

impl InviteState {
    /// When it ends at the latest, in seconds since 1970: until then its object is not swept.
    fn ends(&self) -> u64 {
        let longest = || self.claims.revoked.map_or(u64::MAX, |since| since.saturating_add(LONGEST));
        self.policy.invite().map_or_else(longest, |invite| invite.exp)
    }

    /// Whether nothing can come of it any more: it ended below the floor, and no confirm is awaited.
    pub(crate) fn is_over(&self, floor: u64, now: u64) -> bool {
        let awaited = self.claims.uses.values().any(|taken| {
            taken.redeemed.is_some() && taken.joined.is_none() && now < taken.claimed.saturating_add(LATE_CONFIRM)
        });
        self.ends() < floor && !awaited
    }
}

/// An answer, with the version of the state that it was given at.
pub(crate) type Answer = Result<(Outcome, u64), LedgerError>;

/// An invite whose signature holds, and the key that signed it.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) invite: Invite,
    pub(crate) by: KeyId,
}

struct Waiting {
    policy: Option<Signed>,
    operation: Operation,
    answer: oneshot::Sender<Answer>,
}

impl Invites {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Arc<Self> {
        Arc::new(Self { engine, sentinel, queues: Mutex::default() })
    }

    /// Does an operation. `policy` is the verified invite, where the caller showed it: with it the invite's object
    /// can be made.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        id: &InviteId,
        policy: Option<Signed>,
        operation: Operation,
    ) -> Answer {
        self.sentinel.check()?;
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting { policy, operation, answer };
        self.queue(id)
            .try_send(waiting)
            .map_err(|_| LedgerError::Unavailable("too many requests wait for this invite".into()))?;
        outcome.await.map_err(|_| LedgerError::Unavailable("the ledger is stopping".into()))?
    }

    /// Reads one invite. For decisions that a later commit covers, and for people.
    pub(crate) async fn read(&self, id: &InviteId) -> Result<Option<InviteState>, LedgerError> {
        self.sentinel.check()?;
        match self.engine.read(&names::invite(id)).await? {
            Some(stored) => self.state(&stored).map(Some),
            None => Ok(None),
        }
    }

    /// Reads one invite's policy, without its claims: those of a thousand machines are read by each of them otherwise.
    pub(crate) async fn policy(&self, id: &InviteId) -> Result<Option<Policy>, LedgerError> {
        self.sentinel.check()?;
        match self.engine.look(&names::invite(id)).await? {
            Some(stored) => self.policy_in(&stored).map(Some),
            None => Ok(None),
        }
    }

    /// Reads all invites that can be read, and names the objects of the others: for what must be done although one does
    /// not read. Such a one admits nobody.
    pub(crate) async fn list_each(&self) -> Result<(Vec<InviteState>, Vec<String>), LedgerError> {
        let (mut invites, mut unread) = (Vec::new(), Vec::new());
        for stored in self.engine.list(names::KIND, names::INVITE).await? {
            match self.state(&stored) {
                Ok(state) => invites.push(state),
                Err(_) => unread.push(stored.object.name),
            }
        }
        Ok((invites, unread))
    }

    /// Puts an invite that was just made into the ledger, so that it is listed before its first use.
    pub(crate) async fn announce(&self, signed: &Signed) -> Result<(), LedgerError> {
        self.sentinel.check()?;
        let claims = Claims::on(Some(signed.by.clone()));
        let object = object(&Policy::Invite(Box::new(signed.invite.clone())), &claims)?;
        self.engine.create(&object).await.map_err(LedgerError::from)
    }

    /// Puts an invite back that went missing, or what is missing of it, whatever the ledger's health.
    pub(crate) async fn put_back(&self, policy: &Policy, claims: &Claims) -> Result<(), LedgerError> {
        for _ in 0..TRIES {
            match self.put(policy, claims).await {
                Err(Retry::Overtaken) => {}
                Err(Retry::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(LedgerError::Unavailable("other brokers keep changing this invite".into()))
    }

    async fn put(&self, policy: &Policy, claims: &Claims) -> Result<(), Retry> {
        let Some(stored) = self.engine.read(&names::invite(policy.id())).await? else {
            return Ok(self.engine.create(&object(policy, claims)?).await?);
        };
        // Where the labels do not read, the logs tell what is to be in them. The data cannot be changed: if that does not
        // read, the invite admits nobody, whatever its labels are.
        let mut merged = Claims::from_labels(&stored.object.labels).unwrap_or_default();
        merged.put_back(claims);
        if serde_json::from_slice::<Policy>(&stored.object.data).map_or(true, |present| present == *policy) {
            return Ok(self.engine.relabel(&stored, merged.to_labels()?).await?);
        }
        // It was revoked unseen. Nobody is admitted while it is away.
        self.engine.remove(&stored).await?;
        Ok(self.engine.create(&object(policy, &merged)?).await?)
    }

    /// Removes the objects that are over at `now`.
    pub(crate) async fn sweep(&self, raised: Raised, now: u64) -> Result<usize, LedgerError> {
        let mut swept = 0;
        for stored in self.engine.list(names::KIND, names::INVITE).await? {
            // One that does not read is an operator's to remove.
            if self.state(&stored).is_ok_and(|state| state.is_over(raised.floor(), now)) {
                self.engine.remove(&stored).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn state(&self, stored: &Stored) -> Result<InviteState, LedgerError> {
        let policy = self.policy_in(stored)?;
        Ok(InviteState { policy, claims: Claims::from_labels(&stored.object.labels)?, version: stored.version })
    }

    fn policy_in(&self, stored: &Stored) -> Result<Policy, LedgerError> {
        self.sentinel.saw(stored.version);
        let damaged = |_| {
            LedgerError::Unavailable(format!(
                "the ledger's object '{0}' does not read. If it is none of yours, remove it: docker config rm {0}",
                stored.object.name
            ))
        };
        serde_json::from_slice(&stored.object.data).map_err(damaged)
    }

    fn remember(&self, state: &InviteState) {
        let ends = state.ends();
        self.sentinel.claimed(state.policy.id(), ends, &state.claims);
    }

    fn queue(self: &Arc<Self>, id: &InviteId) -> mpsc::Sender<Waiting> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = queues.get(id).filter(|sender| !sender.is_closed()) {
            return sender.clone();
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        queues.insert(id.clone(), sender.clone());
        tokio::spawn(self.clone().work(id.clone(), receiver));
        sender
    }

    async fn work(self: Arc<Self>, id: InviteId, mut receiver: mpsc::Receiver<Waiting>) {
        loop {
            let Ok(Some(first)) = tokio::time::timeout(IDLE, receiver.recv()).await else { break };
            self.commit_with(&id, first, &mut receiver).await;
        }
        // From here on `submit` makes a new queue; whoever came in between is still served.
        receiver.close();
        while let Some(first) = receiver.recv().await {
            self.commit_with(&id, first, &mut receiver).await;
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.get(&id).is_some_and(mpsc::Sender::is_closed) {
            queues.remove(&id);
        }
    }

    async fn commit_with(&self, id: &InviteId, first: Waiting, receiver: &mut mpsc::Receiver<Waiting>) {
        let mut batch = vec![first];
        while batch.len() < TOGETHER
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        let answers = self.commit(id, &batch).await.unwrap_or_else(|error| vec![Err(error); batch.len()]);
        for (waiting, answer) in batch.into_iter().zip(answers) {
            let _ = waiting.answer.send(answer);
        }
    }

    /// Reads, decides, and commits; again when somebody else committed in between.
    async fn commit(&self, id: &InviteId, batch: &[Waiting]) -> Result<Vec<Answer>, LedgerError> {
        for _ in 0..TRIES {
            let written = match self.engine.read(&names::invite(id)).await? {
                Some(stored) => self.update(&stored, batch).await,
                None => self.create(id, batch).await,
            };
            match written {
                Err(Retry::Overtaken) => {}
                Err(Retry::Failed(error)) => return Err(error),
                Ok(answers) => return Ok(answers),
            }
        }
        Err(LedgerError::Unavailable("other brokers keep changing this invite".into()))
    }

    async fn update(&self, stored: &Stored, batch: &[Waiting]) -> Result<Vec<Answer>, Retry> {
        let mut state = self.state(stored)?;
        self.sentinel.known_claims(state.policy.id(), &state.claims)?;
        let answers = decide(&mut state, batch, 0);
        // Also when every answer is a refusal: only a commit shows that what was read is what the swarm has.
        self.engine.relabel(stored, state.claims.to_labels()?).await?;
        self.remember(&state);
        Ok(answers)
    }

    async fn create(&self, id: &InviteId, batch: &[Waiting]) -> Result<Vec<Answer>, Retry> {
        self.sentinel.confirm_present(&self.engine).await?;
        self.sentinel.known_claims(id, &Claims::default())?;
        let shown = batch.iter().find_map(|waiting| waiting.policy.clone());
        let revoke = batch.iter().any(|waiting| waiting.operation == Operation::Revoke);
        let (policy, signed) = match (shown, revoke) {
            (Some(Signed { invite, by }), _) => (Policy::Invite(Box::new(invite)), Some(by)),
            (None, true) => (Policy::Unseen(id.clone()), None),
            // The object of this use was swept or never was. That the sentinel is there was seen just now, but not
            // by a commit: a refusal would be final.
            (None, false) => return Err(LedgerError::Unavailable("the invite is not in the ledger".into()).into()),
        };
        let unclaimed = Claims::on(signed);
        let mut state = InviteState { policy, claims: unclaimed.clone(), version: 0 };
        let answers = decide(&mut state, batch, self.sentinel.recovered());
        if state.claims == unclaimed && answers.iter().any(is_too_old) {
            // What the recovery put back was there before the sentinel said so: looked at in this order, absence counts.
            // And a refusal is final, so that it is told by an engine that has just committed.
            self.sentinel.commit(&self.engine).await?;
            return match self.engine.read(&names::invite(id)).await? {
                Some(_) => Err(Retry::Overtaken),
                None => Ok(answers),
            };
        }
        self.engine.create(&object(&state.policy, &state.claims)?).await?;
        self.remember(&state);
        Ok(answers)
    }
}

/// For how long the object of a redeemed but unconfirmed use is kept, in seconds from its claim: a late confirm
/// needs nothing that expires, and a machine may be switched off in the middle of its boot.
const LATE_CONFIRM: u64 = 90 * 24 * 60 * 60;

/// The longest that an invite may live by any configuration, in seconds.
pub(crate) const LONGEST: u64 = 366 * 24 * 60 * 60;

/// Decides each request. Invites that were made until `recovered` get no use here: the ledger would have them.
fn decide(state: &mut InviteState, batch: &[Waiting], recovered: u64) -> Vec<Answer> {
    let now = clock::now();
    let InviteState { policy, claims, version } = state;
    batch
        .iter()
        .map(|waiting| {
            let invite = waiting.policy.as_ref().map(|signed| &signed.invite).or(policy.invite());
            let claims_anew = matches!(waiting.operation, Operation::Claim { .. } | Operation::Ask { .. });
            if claims_anew && claims.revoked.is_none() && invite.is_some_and(|invite| invite.iat <= recovered) {
                return Err(LedgerError::Refused(Reason::BeforeRecovery));
            }
            claims.apply(invite, &waiting.operation, now).map(|outcome| (outcome, *version))
        })
        .collect()
}

fn is_too_old(answer: &Answer) -> bool {
    matches!(answer, Err(LedgerError::Refused(Reason::BeforeRecovery)))
}

fn object(policy: &Policy, claims: &Claims) -> Result<Object, LedgerError> {
    let data = serde_json::to_vec(policy).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    Ok(Object { name: names::invite(policy.id()), data, labels: claims.to_labels()? })
}

/// Why a change was not made, and whether to read and decide again.
pub(super) enum Retry {
    Overtaken,
    Failed(LedgerError),
}

impl From<LedgerError> for Retry {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error)
    }
}

impl From<EngineError> for Retry {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::OutOfSequence | EngineError::Exists | EngineError::NotFound => Self::Overtaken,
            error => Self::Failed(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{GrantId, KeyHash};

    use super::*;
    use crate::ledger::tests::invite;

    fn state(operations: &[Operation]) -> InviteState {
        let invite = invite(1);
        let mut claims = Claims::default();
        for operation in operations {
            claims.apply(Some(&invite), operation, 10).expect("done");
        }
        InviteState { policy: Policy::Invite(Box::new(invite)), claims, version: 1 }
    }

    #[test]
    fn an_invite_is_swept_below_the_floor_and_not_while_a_confirm_is_awaited() {
        let (key, grant) = (KeyHash::of_spki(b"key"), GrantId::random().hash());
        let claim = Operation::Claim { key: key.clone() };
        let redeemed = [
            claim.clone(),
            Operation::Open { key: key.clone(), grant: grant.clone() },
            Operation::Redeem { key: key.clone(), grant: grant.clone(), generation: 1 },
        ];
        let node = "a".repeat(25).parse().expect("a node id");
        let joined = [&redeemed[..], &[Operation::Join { key, grant, node }]].concat();
        let ends = 1000;
        assert!(!state(&[]).is_over(ends, ends + 1), "it ends at the floor");
        assert!(state(&[]).is_over(ends + 1, ends + 1));
        assert!(state(&[claim]).is_over(ends + 1, ends + 1));
        assert!(!state(&redeemed).is_over(ends + 1, 9 + LATE_CONFIRM), "it may still confirm");
        assert!(state(&redeemed).is_over(ends + 1, 10 + LATE_CONFIRM));
        assert!(state(&joined).is_over(ends + 1, ends + 1));
    }

    #[test]
    fn what_was_revoked_unseen_is_kept_for_as_long_as_it_could_live() {
        let mut state = state(&[Operation::Revoke]);
        state.policy = Policy::Unseen(InviteId::random());
        assert!(!state.is_over(10 + LONGEST, u64::MAX));
        assert!(state.is_over(11 + LONGEST, u64::MAX));
    }
}
