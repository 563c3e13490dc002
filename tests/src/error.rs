//! What can go wrong in the lab.
//! Promise: an error says what was tried, on what, and what the program that refused had to say.
//! Must not: hide a program's standard error, or speak of anything but the lab.

use std::io;
use std::time::Duration;

/// A lab's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something that the lab cannot supply by itself.
    #[error("{0}")]
    Unmet(String),
    /// A program ran and refused.
    #[error("`{command}` failed ({status}): {stderr}")]
    Refused {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// Something that was waited for did not come.
    #[error("waited {after:?} in vain for {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// The machine refused a file, a process, a mount or a namespace.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the machine said.
        source: io::Error,
    },
    /// An answer that is not what Docker is known to say.
    #[error("{what} gave an answer the lab cannot read: {answer}")]
    Unreadable {
        /// Who answered.
        what: String,
        /// The answer.
        answer: String,
    },
}

/// Names what was tried when the machine refuses it.
pub(crate) trait Trying<T> {
    /// Turns the machine's refusal into the lab's error.
    fn trying(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Trying<T> for std::result::Result<T, E> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|refusal| Error::Io { what: what(), source: refusal.into() })
    }
}
