//! Many callers at once, from a host's network.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use lab::Host;
use lab::cluster::on;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::Failure;

/// What callers do is done on so many threads: enough for two cores, which they share with what they call.
const THREADS: usize = 2;

/// Raises the limit of open files: each caller has one.
pub(crate) fn may_be_many() -> Result<(), Failure> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// What came of it.
pub(crate) struct Done {
    pub(crate) times: u32,
    pub(crate) took: Duration,
}

impl Done {
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.times) / self.took.as_secs_f64()
    }

    /// The share of one, in this.
    pub(crate) fn each(&self, of: Duration) -> Duration {
        of / self.times.max(1)
    }
}

/// Has so many callers do this again and again for some time, each after its own last one. The first that fails fails all.
pub(crate) fn again<F>(
    host: &Host,
    callers: usize,
    lasting: Duration,
    once: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Result<Done, Failure>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let begun = Instant::now();
    let caller = move || {
        let once = once.clone();
        async move {
            let mut times = 0;
            while begun.elapsed() < lasting {
                once().await?;
                times += 1;
            }
            Ok::<u32, String>(times)
        }
    };
    let counts = all(host, (0..callers).map(|_| caller.clone()).collect())?;
    let took = begun.elapsed();
    let times = counts.into_iter().sum::<Result<u32, String>>()?;
    Ok(Done { times, took })
}

/// Does all of these at once, and gives what they give.
pub(crate) fn all<T, F>(host: &Host, callers: Vec<impl FnOnce() -> F + Send>) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut shares: Vec<Vec<_>> = (0..THREADS).map(|_| Vec::new()).collect();
    callers.into_iter().enumerate().for_each(|(number, caller)| shares[number % THREADS].push(caller));
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let together = &together;
                let run = move || async move {
                    together.wait();
                    let mut running = JoinSet::new();
                    for caller in share {
                        running.spawn(caller());
                    }
                    running.join_all().await
                };
                scope.spawn(move || on(host, run))
            })
            .collect();
        let mut given = Vec::new();
        for thread in threads {
            given.extend(thread.join().map_err(|_| "a caller panicked")??);
        }
        Ok(given)
    })
}
