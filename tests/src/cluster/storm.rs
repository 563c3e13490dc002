//! Machines that boot while something happens again and again, which they must get through.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::cluster::{Joiner, Run};
use crate::error::Result;

/// How often it happens, and how the machines come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Storm {
    every: Duration,
    apart: Duration,
}

/// What a storm came to, in which all have joined.
#[derive(Debug)]
pub struct Weathered {
    /// How each joiner ended.
    pub joined: Vec<Run>,
    /// How often it happened: none is no storm, which a trial has to look at.
    pub times: usize,
    /// How long the boots took, all together.
    pub took: Duration,
}

impl Storm {
    /// It begins once in this time, or at once after its end where it takes longer; all machines come at once.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self { every, ..Self::default() }
    }

    /// The machines come this far apart.
    #[must_use]
    pub fn with_boots_apart(self, apart: Duration) -> Self {
        Self { apart, ..self }
    }

    /// Joins by all these joiners, each of which must succeed, while this is done again and again from before the first
    /// to after the last. It is counted where it gives true; its error ends the storm, and is given.
    pub fn while_all_join(
        self,
        joiners: &[Joiner<'_>],
        mut again: impl FnMut() -> Result<bool> + Send,
    ) -> Result<Weathered> {
        let (begun, over) = (Instant::now(), AtomicBool::new(false));
        let (joined, times) = thread::scope(|scope| {
            let storm = scope.spawn(|| {
                let mut times = 0;
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    times += usize::from(again()?);
                    thread::sleep(self.every.saturating_sub(begun.elapsed()));
                }
                Ok(times)
            });
            let boots = (0..).zip(joiners).map(|(number, joiner)| {
                scope.spawn(move || {
                    thread::sleep(self.apart * number);
                    joiner.joins()
                })
            });
            // All are started before the first is waited for, and all have ended before the storm does.
            let boots: Vec<_> = boots.collect();
            let joined: Vec<_> = boots.into_iter().map(ScopedJoinHandle::join).collect();
            over.store(true, Ordering::Relaxed);
            (joined, storm.join())
        });
        let times = times.unwrap_or_else(|panic| resume_unwind(panic))?;
        let joined = joined.into_iter().map(|joined| joined.unwrap_or_else(|panic| resume_unwind(panic)));
        Ok(Weathered { joined: joined.collect::<Result<_>>()?, times, took: begun.elapsed() })
    }
}
