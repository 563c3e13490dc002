//! Runs a program to its end.
//! Promise: a refusal carries the command line and what the program wrote to standard error.
//! Must not: wait on programs that stay; those are a [`Process`](crate::Process).

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result, Trying};

/// Runs it, and gives its standard output without the last line's end. Unless it was given a
/// standard input, it has none.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().trying(|| words(command))?;
    text(command, &output)
}

/// Runs it with the given standard input.
pub(crate) fn feed(command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().trying(|| words(command))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that stops reading says why on its standard error, which is told below.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().trying(|| words(command))?;
    text(command, &output)
}

fn text(command: &Command, output: &Output) -> Result<String> {
    if !output.status.success() {
        return Err(Error::Refused {
            command: words(command),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The command line as a person would write it.
fn words(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
