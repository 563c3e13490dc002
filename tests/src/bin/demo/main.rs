//! `./run demo`: machines that have nothing but one text join a real swarm, and everything is shown.

#![forbid(unsafe_code)]

mod engines;
mod show;
mod whole;

use std::env;
use std::process::ExitCode;

/// How many machines join.
const MACHINES: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        [] => lab::requirements::meet().and_then(|()| engines::demo()),
        ["--machines"] => lab::requirements::meet().and_then(|()| whole::demo()),
        _ => {
            eprintln!("demo: there is nothing but --machines to say here, not '{}'", arguments.join(" "));
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}
