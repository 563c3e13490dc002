//! `./run soak --minutes M --seed S`: everything that can happen to a cluster, drawn from a seed, on real engines; and
//! whether any answer broke a promise.
//!
//! Clients, operators and faults are drawn from the seed, each by dice of its own, so the same seed does the same in the
//! same order. When each answer comes is the machine's affair: a slower one comes less far in the same minutes, and a
//! violation that needs two things within a millisecond may take some runs of its seed to show again.
//!
//! Promise: [`check`] says what counts as a failure and what does not. Must not: fetch anything, or leave anything behind.

#![forbid(unsafe_code)]

#[cfg(test)]
mod broken;
mod check;
mod client;
mod engine;
mod episode;
mod evidence;
mod fault;
mod history;
mod plan;
mod run;
mod scene;
mod seed;
mod shared;
mod strike;
mod told;
mod words;

use std::env;
use std::process::ExitCode;

use words::Words;

fn main() -> ExitCode {
    let words = match Words::read(env::args().skip(1)) {
        Ok(words) => words,
        Err(wrong) => {
            eprintln!("soak: {wrong}");
            return ExitCode::from(64);
        }
    };
    let ran = match run::run(&words) {
        Ok(ran) => ran,
        Err(error) => {
            eprintln!("soak: seed {}: {error}", words.seed);
            return ExitCode::FAILURE;
        }
    };
    let violations = check::violations(&ran.history, &ran.evidence);
    let figures = told::figures(&words, &ran.history, &violations);
    for violation in &violations {
        eprintln!("{}", told::violation(violation, &ran.history));
    }
    if !violations.is_empty() {
        match told::keep(&words, &ran) {
            Ok(folder) => eprintln!("soak: the whole history is in {}", folder.display()),
            Err(error) => eprintln!("soak: the history could not be kept: {error}"),
        }
        let minutes = f64::from(u32::try_from(words.milliseconds).unwrap_or(u32::MAX)) / 60_000.0;
        eprintln!("soak: again: ./run soak --minutes {minutes} --seed {} --managers {}", words.seed, words.managers);
    }
    println!("{}", if words.json { figures.to_string() } else { told::lines(&figures) });
    // A run in which nobody came in shows nothing.
    if violations.is_empty() && figures["admitted"] != 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
