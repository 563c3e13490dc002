//! What a redemption does while a token is being replaced: it waits, and hands out the next one.
//!
//! Keeps promise 6 with one rule. A redemption commits the generation it hands out, and then looks again: if no
//! rotation was begun by then, every rotation that comes later finds it in the ledger and waits for its machine. If one
//! was, the redemption takes itself out and commits anew after it. Must not wait without a bound.

use std::time::{Duration, Instant};

use protocol::Role;

use crate::broker::Broker;
use crate::denial::Denial;
use crate::ledger::TokenState;
use crate::swarm::Live;

/// How often the ledger is looked at while a rotation is under way, whoever many wait for its end.
const LOOK: Duration = Duration::from_millis(20);
/// A request is held back for no longer than this; then the machine is told to come back. Joiners wait 20 s for an
/// answer.
const LONGEST: Duration = Duration::from_secs(15);

/// The state of the tokens at a moment when this role's is not being replaced. Waits for a rotation that is under way,
/// for as long as a request that was begun then may be held back.
pub(crate) async fn settled(broker: &Broker, role: Role, begun: Instant) -> Result<TokenState, Denial> {
    let mut state = broker.rotations.read().await?.state;
    while state.rotates(role) {
        if begun.elapsed() > LONGEST {
            return Err(Denial::Unavailable(format!("the {role} token is being replaced")));
        }
        tokio::time::sleep(LOOK).await;
        state = glimpse(broker).await?;
    }
    Ok(state)
}

/// The state, read once for all who wait.
async fn glimpse(broker: &Broker) -> Result<TokenState, Denial> {
    let mut glimpse = broker.rotation.glimpse.lock().await;
    if let Some((at, state)) = &*glimpse
        && at.elapsed() < LOOK
    {
        return Ok(state.clone());
    }
    let state = broker.rotations.read().await?.state;
    *glimpse = Some((Instant::now(), state.clone()));
    Ok(state)
}

/// Whether the token that was read with `live` is of the generation that was committed, and every rotation to come
/// finds that commit: `before` was read before the commit, `after` and `live` after it.
pub(crate) fn stands(role: Role, before: &TokenState, after: &TokenState, live: &Live) -> bool {
    !after.rotates(role) && after.of(role) == before.of(role) && after.of(role).mark == *live.mark(role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Rotating, live};

    #[test]
    fn a_commit_stands_only_if_no_rotation_was_seen_after_it() {
        let first = live("w", "m", "r");
        let state = TokenState::first(&first, |_| 1, false, "b", 1);
        let rotating = |role| state.with(Rotating { by: "b".into(), since: 2, roles: vec![role], wait: 0 });
        assert!(stands(Role::Worker, &state, &state, &first));
        assert!(!stands(Role::Worker, &state, &rotating(Role::Worker), &first), "a rotation waits");
        assert!(stands(Role::Worker, &state, &rotating(Role::Manager), &first), "another role's");
        let next = live("w2", "m", "r");
        assert!(!stands(Role::Worker, &state, &state.settled(&next, "b", 3), &next), "one was done");
        assert!(!stands(Role::Worker, &state, &state, &next), "somebody else replaced it");
        assert!(stands(Role::Manager, &state, &state.settled(&next, "b", 3), &next));
    }
}
