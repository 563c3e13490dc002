//! Waits for a state by asking for it.
//! Promise: no test sleeps and hopes; what does not come within its time is named.
//! Must not: decide what a state means; the question does.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Longer than anything that a trial waits for takes, also where the machine has much else to do.
pub const LONG: Duration = Duration::from_mins(1);

/// How long between the first two questions, and at most between later ones. Many questions cost a
/// start of Docker's client each, and the engines need the processors too.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer, and gives it; [`Error::Late`] names `what` after `within`.
pub fn until<T>(within: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if start.elapsed() >= within {
            return Err(Error::Late { what: what.to_owned(), after: within });
        }
        sleep(pause);
        pause = (pause * 3 / 2).min(LAST_PAUSE);
    }
}
