//! What is told while it happens: one plain line a step, on stderr; the answer on stdout. What repeats is told once, so
//! that the last lines of a service's log say what it waits for, and not how often it looked.
//!
//! Keeps promise 7 (the token never shows): foreign text passes through [`foreign`], which takes bearer texts out.
//! Must not fail: a closed stderr is no reason to leave a machine half joined.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What went wrong.
    Error,
    /// What an operator should look at.
    Warn,
    /// Each step.
    Info,
    /// Each try of each step.
    Debug,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
/// The steps that were told.
static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// With more than this, a run repeats itself in other words.
const MOST_TOLD: usize = 500;

impl Level {
    /// Reads a level's name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "error" => Some(Self::Error),
            "warn" => Some(Self::Warn),
            "info" => Some(Self::Info),
            // There is nothing finer than debug; a machine-wide setting of trace should not stop a boot.
            "debug" | "trace" => Some(Self::Debug),
            _ => None,
        }
    }
}

/// Tells up to this level from now on.
pub(crate) fn up_to(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// What went wrong.
pub(crate) fn error(text: &str) {
    tell(Level::Error, text);
}

/// What an operator should look at.
pub(crate) fn warn(text: &str) {
    tell(Level::Warn, &format!("warning: {text}"));
}

/// A step. One that was told before in this run is a try of that step.
pub(crate) fn step(text: &str) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    // A run has some twenty steps, and each broker a few things that can go wrong with it.
    let again = told.contains(text) || told.len() >= MOST_TOLD;
    if !again {
        told.insert(text.to_owned());
    }
    drop(told);
    tell(if again { Level::Debug } else { Level::Info }, text);
}

/// A try of a step.
pub(crate) fn detail(text: &str) {
    tell(Level::Debug, text);
}

/// The answer, on stdout.
pub(crate) fn answer(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn tell(level: Level, text: &str) {
    if level as u8 <= LEVEL.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "joiner: {text}");
    }
}

/// The longest foreign text that is shown, in characters.
const MAX_FOREIGN: usize = 400;

/// Text from elsewhere, fit to be shown: one line, bounded, without control characters and without any bearer text.
pub(crate) fn foreign(text: &str) -> String {
    let words: Vec<&str> = text
        .split_whitespace()
        .map(|word| if word.contains("SWMTKN-") || word.contains("SWINV-") { "(a secret, not shown)" } else { word })
        .collect();
    let line = words.join(" ");
    let mut shown: String = line.chars().take(MAX_FOREIGN).flat_map(shown_as).collect();
    if line.chars().nth(MAX_FOREIGN).is_some() {
        shown.push('…');
    }
    shown
}

fn shown_as(character: char) -> impl Iterator<Item = char> {
    let control = character.is_control();
    let escaped = control.then(|| character.escape_default()).into_iter().flatten();
    escaped.chain((!control).then_some(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_bounded_line_without_secrets() {
        let shown = foreign("bad\ntoken \u{1b}[31m SWMTKN-1-abc-def: no");
        assert_eq!(shown, "bad token \\u{1b}[31m (a secret, not shown) no");
        assert!(foreign(&"x".repeat(10_000)).chars().count() <= MAX_FOREIGN + 1);
    }
}
