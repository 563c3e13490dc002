//! `./run bench`: what the programs take, beside something else that is measured in the same run.
//!
//! Promise: each figure is a ratio of two times of this run, on this machine, over the same work.
//! Must not: judge. What a figure should be is in docs/performance.md.

#![forbid(unsafe_code)]

mod admissions;
mod audit;
mod callers;
mod figures;
mod herd;
mod log;
mod nginx;
mod redemptions;
mod ssh;

use std::env;
use std::process::ExitCode;

use figures::Figures;
use lab::Pool;

/// Why there is no figure.
type Failure = Box<dyn std::error::Error>;

/// The most that a measure takes at a time.
const HOSTS: usize = 31;

/// A measure, by its name.
type Measure = (&'static str, fn(&mut Figures, &Pool) -> Result<(), Failure>);

const MEASURES: [Measure; 5] = [
    ("admissions", admissions::measure),
    ("redemptions", redemptions::measure),
    ("ssh", ssh::measure),
    ("herd", herd::measure),
    ("audit", |figures, _| audit::measure(figures)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (options, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|word| *word == "--json");
    let unknown = names.iter().find(|name| MEASURES.iter().all(|(known, _)| known != *name));
    if let Some(unknown) = unknown {
        let known = MEASURES.map(|(name, _)| name).join(", ");
        eprintln!("bench: there is nothing but --json and {known} to say here, not '{unknown}'");
        return ExitCode::from(64);
    }
    match measure(&names) {
        Ok(figures) => {
            print!("{}", if options.is_empty() { figures.table() } else { figures.json() });
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes these measures; all, if none is named.
fn measure(names: &[&str]) -> Result<Figures, Failure> {
    let pool = Pool::alone(HOSTS)?;
    lab::requirements::meet_for_benches()?;
    callers::may_be_many()?;
    let mut figures = Figures::default();
    for (_, measure) in MEASURES.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        measure(&mut figures, &pool)?;
    }
    Ok(figures)
}
