//! What will be done, drawn from a seed: episodes, which are an invite's life each, faults, and orders of an operator.
//!
//! Promise: the same seed draws the same in the same order; how far a run comes in it is the machine's speed.
//! Must not: look at a clock, or at what became of what was drawn before.

use serde::Serialize;

use crate::history::Step;
use crate::seed::Dice;

/// An invite's life: who comes with it, and what becomes of it. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    /// How many machines the invite admits.
    pub(crate) uses: usize,
    /// How long it lives, in seconds.
    pub(crate) ttl: u64,
    /// Which broker is asked for it.
    pub(crate) maker: usize,
    pub(crate) cast: Vec<Part>,
    /// When it is revoked after its making, if it is.
    pub(crate) revoked: Option<u64>,
    /// Whether a machine with an engine joins by it, and whether that one leaves again.
    pub(crate) engine: Option<Leaves>,
    /// How long after it the next one begins.
    pub(crate) pause: u64,
}

/// Whether a machine leaves after it has joined.
pub(crate) type Leaves = bool;

/// One client's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    /// When it comes.
    pub(crate) after: u64,
    /// Which broker it asks first.
    pub(crate) broker: usize,
    /// How long it thinks between its first grant and the redemption.
    pub(crate) thinks: u64,
    /// What is lost on the way, once.
    pub(crate) lost: Option<(Step, Lost)>,
    /// How often it redeems its grant again, all at once.
    pub(crate) replays: usize,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The token, and goes on until it has it or is refused.
    Honest,
    /// A use, and then nothing more.
    Quitter,
    /// The token, for another one's grant.
    Thief,
}

/// How an answer does not reach who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It is sent, and is lost on the way: the client goes on as if nobody had answered.
    Answer,
    /// The connection breaks after so many milliseconds, perhaps in the middle of the broker's work.
    Connection(u64),
}

/// What an operator orders while machines boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) words: &'static [&'static str],
    pub(crate) broker: usize,
    /// How long before it, in milliseconds.
    pub(crate) pause: u64,
}

/// Each in turn, in an order that is drawn anew each time round.
const ORDERS: [&[&str]; 7] = [
    &["rotate", "worker"],
    &["rotate", "worker", "--now"],
    &["rotate", "manager"],
    // By the broker that has the root; the others say so.
    &["rotate", "ca"],
    &["rotate", "signing-key"],
    &["rotate", "server-cert"],
    &["rotate", "invite-key"],
];

/// Episodes without end.
pub(crate) fn episodes(seed: u64, managers: usize) -> impl Iterator<Item = Episode> {
    let mut dice = Dice::of(seed, "episodes");
    std::iter::repeat_with(move || episode(&mut dice, managers))
}

/// Orders without end.
pub(crate) fn orders(seed: u64, managers: usize) -> impl Iterator<Item = Order> {
    let mut dice = Dice::of(seed, "orders");
    let rounds = std::iter::repeat_with(move || {
        let round = dice.shuffled(ORDERS.to_vec());
        round
            .into_iter()
            .map(|words| Order { words, broker: dice.place(managers), pause: dice.between(500, 4000) })
            .collect::<Vec<_>>()
    });
    rounds.flatten()
}

fn episode(dice: &mut Dice, managers: usize) -> Episode {
    let uses = 1 + dice.place(8);
    // Most invites have more who want them than they admit.
    let clients = uses + dice.place(5);
    let short = dice.once_in(6);
    let mut cast: Vec<Part> = (0..clients).map(|_| part(dice, managers)).collect();
    if dice.once_in(3) {
        cast.push(Part { kind: Kind::Thief, lost: None, ..part(dice, managers) });
    }
    let ttl = if short { dice.between(2, 6) } else { 3600 };
    if short {
        // Every second one comes when the invite has ended by whatever clock, and there are uses left.
        cast.iter_mut().skip(1).step_by(2).for_each(|late| late.after += ttl * 1000 + 7500);
    }
    Episode {
        uses,
        ttl,
        maker: dice.place(managers),
        cast,
        revoked: dice.once_in(4).then(|| dice.between(50, 3000)),
        engine: (!short && dice.once_in(3)).then(|| dice.once_in(2)),
        pause: dice.between(100, 900),
    }
}

fn part(dice: &mut Dice, managers: usize) -> Part {
    let step = [Step::Identity, Step::Grant, Step::Redeem][dice.place(3)];
    let lost = if dice.once_in(2) { Lost::Answer } else { Lost::Connection(dice.between(1, 40)) };
    Part {
        kind: if dice.once_in(10) { Kind::Quitter } else { Kind::Honest },
        after: dice.below(1500),
        broker: dice.place(managers),
        // Some sleep past the end of their grant, which is good for a minute.
        thinks: if dice.once_in(40) { 65_000 } else { dice.below(400) },
        lost: dice.once_in(3).then_some((step, lost)),
        replays: dice.place(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plans_the_same() {
        let plan = |seed| {
            let (episodes, orders) = (episodes(seed, 3), orders(seed, 3));
            (episodes.take(100).collect::<Vec<_>>(), orders.take(100).collect::<Vec<_>>())
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn everything_that_can_be_drawn_is_drawn() {
        let drawn: Vec<Episode> = episodes(1, 3).take(300).collect();
        let parts = || drawn.iter().flat_map(|episode| &episode.cast);
        for kind in [Kind::Honest, Kind::Quitter, Kind::Thief] {
            assert!(parts().any(|part| part.kind == kind), "{kind:?}");
        }
        for step in [Step::Identity, Step::Grant, Step::Redeem] {
            for answer in [true, false] {
                let lost =
                    |part: &&Part| part.lost.is_some_and(|(at, lost)| at == step && (lost == Lost::Answer) == answer);
                assert!(parts().find(lost).is_some(), "{step:?} {answer}");
            }
        }
        assert!(drawn.iter().any(|episode| episode.revoked.is_some()));
        assert!(drawn.iter().any(|episode| episode.ttl < 10));
        assert!(drawn.iter().any(|episode| episode.engine == Some(true)));
        assert!(drawn.iter().any(|episode| episode.cast.len() > episode.uses));
        let orders: Vec<Order> = orders(1, 3).take(ORDERS.len()).collect();
        assert!(ORDERS.iter().all(|words| orders.iter().any(|order| order.words == *words)), "each once a round");
    }
}
