//! The faults that there are, drawn from a seed.
//!
//! Promise: at most a minority of the managers is hurt at a time, except by the fault that is the loss of quorum.
//! Must not: hurt anybody; `strike` does.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::seed::Dice;

/// A fault, on some managers, for some time. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) victims: Vec<usize>,
    /// How long it lasts.
    pub(crate) lasts: u64,
    /// How long all is well before it.
    pub(crate) pause: u64,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// `kill -9` of the broker.
    BrokerKilled,
    /// `kill -9` of the engine.
    EngineKilled,
    /// The leader's host is lost: its engine killed, its network cut. The victim is whoever leads then.
    LeaderLost,
    /// The host reaches nobody.
    Cut,
    /// The host reaches no other manager, and machines reach it: its engine still answers for a while.
    CutFromPeers,
    /// SIGSTOP of the broker.
    BrokerPaused,
    /// SIGSTOP of the engine.
    EnginePaused,
    /// The disk under the broker's state is full.
    DiskFull,
    /// The broker is killed, and comes back with a clock that is off by so many seconds.
    ClockOff(i64),
    /// What the host sends goes through a thin line, of so many bits a second.
    Slow(u64),
    /// Every manager but the first reaches nobody.
    QuorumLost,
}

impl FaultKind {
    /// Each kind, with what it does to clocks and lines.
    const ALL: [Self; 12] = [
        Self::BrokerKilled,
        Self::EngineKilled,
        Self::LeaderLost,
        Self::Cut,
        Self::CutFromPeers,
        Self::BrokerPaused,
        Self::EnginePaused,
        Self::DiskFull,
        Self::ClockOff(-4),
        Self::ClockOff(4),
        Self::Slow(256_000),
        Self::QuorumLost,
    ];

    /// Its name, which is the same for all clocks and lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BrokerKilled => "broker-killed",
            Self::EngineKilled => "engine-killed",
            Self::LeaderLost => "leader-lost",
            Self::Cut => "cut",
            Self::CutFromPeers => "cut-from-peers",
            Self::BrokerPaused => "broker-paused",
            Self::EnginePaused => "engine-paused",
            Self::DiskFull => "disk-full",
            Self::ClockOff(_) => "clock-off",
            Self::Slow(_) => "slow",
            Self::QuorumLost => "quorum-lost",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for FaultKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Faults without end: each kind in turn, in an order that is drawn anew each time round.
pub(crate) fn faults(seed: u64, managers: usize) -> impl Iterator<Item = Fault> {
    let mut dice = Dice::of(seed, "faults");
    let rounds = std::iter::repeat_with(move || {
        let kinds = dice.shuffled(FaultKind::ALL.to_vec());
        kinds.into_iter().map(|kind| fault(kind, &mut dice, managers)).collect::<Vec<_>>()
    });
    rounds.flatten()
}

fn fault(kind: FaultKind, dice: &mut Dice, managers: usize) -> Fault {
    let all = dice.shuffled((0..managers).collect());
    let minority = (managers - 1) / 2;
    let victims = match kind {
        FaultKind::QuorumLost => managers - 1,
        // There is one leader.
        FaultKind::LeaderLost => 1,
        _ => 1 + dice.place(minority),
    };
    Fault {
        kind,
        victims: all.into_iter().take(victims).collect(),
        lasts: dice.between(500, 6000),
        pause: dice.between(300, 2000),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_comes_once_a_round_and_hurts_a_minority() {
        for managers in [3, 5] {
            let round: Vec<Fault> = faults(1, managers).take(FaultKind::ALL.len()).collect();
            for fault in &round {
                let hurt: BTreeSet<usize> = fault.victims.iter().copied().collect();
                assert_eq!(hurt.len(), fault.victims.len(), "{fault:?}");
                assert!(hurt.iter().all(|victim| *victim < managers), "{fault:?}");
                let minority = hurt.len() * 2 < managers;
                assert_eq!(minority, fault.kind != FaultKind::QuorumLost, "{fault:?}");
            }
            let kinds: BTreeSet<FaultKind> = round.iter().map(|fault| fault.kind).collect();
            assert_eq!(kinds.len(), FaultKind::ALL.len());
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        let drawn = |seed| faults(seed, 5).take(50).collect::<Vec<_>>();
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
    }
}
