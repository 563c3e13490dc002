//! `./run bench`: what the programs take, beside something else that is measured in the same run.
//!
//! Promise: each figure is a ratio of two times of this run, on this machine, over the same work.
//! Must not: judge. What a figure should be is in docs/performance.md.

#![forbid(unsafe_code)]

mod audit;
mod figures;
mod log;

use std::env;
use std::process::ExitCode;

use figures::Figures;

/// Why there is no figure.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let json = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--json"] => true,
        _ => {
            eprintln!("bench: there is nothing but --json to say here, not '{}'", arguments.join(" "));
            return ExitCode::from(64);
        }
    };
    let mut figures = Figures::default();
    match audit::measure(&mut figures) {
        Ok(()) => {
            print!("{}", if json { figures.json() } else { figures.table() });
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
