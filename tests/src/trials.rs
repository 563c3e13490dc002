//! The main of a test program whose tests need hosts.
//! Promise: the lab comes up only if a test needs it, and goes down however the tests end; a failed
//! test shows the last words of all that ran on its hosts.
//! Must not: swallow a failure, or keep output of tests that passed.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Conclusion};

use crate::pool::{Pool, Shared};
use crate::signals::go_down_on_signals;
use crate::{output, requirements};

/// Why a trial failed. Any error turns into it.
pub use libtest_mimic::Failed;

/// A test's name, and the test.
pub type Trial = (&'static str, fn(&Pool) -> Result<(), Failed>);

/// How many trials run at once, unless `--test-threads` says otherwise. They wait more than work.
const THREADS: usize = 4;

/// A list of [`Trial`]s, from functions, which are the trials' names too.
#[macro_export]
macro_rules! trials {
    ($($trial:path),* $(,)?) => { vec![$((stringify!($trial), $trial as fn(&$crate::Pool) -> _)),*] };
}

/// Runs the trials with at most so many hosts at a time. Understands the arguments of any Rust test
/// program, and closes with the same line.
#[must_use]
pub fn main(hosts: usize, trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    if !arguments.list
        && let Err(unmet) = requirements::meet()
    {
        eprintln!("{unmet}");
        return ExitCode::FAILURE;
    }
    let shared = Shared::new(hosts);
    let lab = shared.clone();
    // Tests that still run then fail, which nobody sees.
    if let Err(refusal) = go_down_on_signals(move || lab.lab_id()) {
        eprintln!("lab: {refusal}");
        return ExitCode::FAILURE;
    }
    let conclusion = run(&arguments, trials, &shared);
    shared.close();
    conclusion.exit_code()
}

fn run(arguments: &Arguments, trials: Vec<Trial>, shared: &Arc<Shared>) -> Conclusion {
    let trials = trials.into_iter().map(|(name, trial)| {
        let shared = shared.clone();
        libtest_mimic::Trial::test(name, move || attempt(name, trial, &shared))
    });
    libtest_mimic::run(arguments, trials.collect())
}

/// Runs one trial, and adds to its failure what its hosts printed.
fn attempt(name: &str, trial: fn(&Pool) -> Result<(), Failed>, shared: &Arc<Shared>) -> Result<(), Failed> {
    let pool = shared.pool(&name.replace("::", "-"));
    let outcome = catch_unwind(AssertUnwindSafe(|| trial(&pool)))
        .unwrap_or_else(|panic| Err(format!("panicked: {}", words(panic.as_ref())).into()));
    let Some(folder) = pool.output() else {
        return outcome;
    };
    let outcome = outcome.map_err(|failed| {
        let reason = failed.message().unwrap_or("no reason given");
        Failed::from(format!("{reason}\n{}", output::tell(&folder)))
    });
    // Not there if the trial leased nothing.
    let _ = fs::remove_dir_all(folder);
    outcome
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
