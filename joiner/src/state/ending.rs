//! How the last run ended that did not bring this machine in: for `joiner status`, long after the console was cleared.
//!
//! Keeps promise 7: an error's own words hold no secret.
//! Must not decide anything about a boot: besides people, only `broker up --wait` reads it, to know whether waiting is worth it.

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::exit::Error;

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// When, by this machine's clock (RFC 3339).
    pub(crate) at: String,
    /// The exit code.
    pub(crate) code: u8,
    /// What was told, in one line.
    pub(crate) reason: String,
}

impl Ending {
    /// The end that an error is, now.
    pub(crate) fn of(error: &Error) -> Self {
        Self { at: clock::in_words(clock::now()), code: error.code(), reason: error.to_string() }
    }
}
