//! `broker nodes --watch`: again and again, until Ctrl-C or until nobody reads any more.
//!
//! Holds on while the broker is restarted.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ask::Asker;
use super::changes::Changes;
use super::screen::{self, Reader, Screen};
use super::table::{self, Line, Tint};
use crate::admin::plain;
use crate::cli::wait::is_final;
use crate::clock;
use crate::exit::Failure;

/// How long it rests between two looks.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn watch(asker: &mut Asker) -> Result<(), Failure> {
    let mut shown = if screen::is_terminal() { Shown::on_terminal() } else { Shown::in_pipe() };
    loop {
        let reader = match asker.ask() {
            Ok(comparison) => shown.answer(&comparison)?,
            Err(failure) if is_final(failure.code) => return Err(failure),
            Err(failure) => shown.silence(&failure)?,
        };
        if reader == Reader::Gone || pause() == Reader::Gone {
            return Ok(());
        }
    }
}

/// Where it is shown.
enum Shown {
    OnTerminal {
        screen: Screen,
        last: Vec<Line>,
    },
    /// With why the broker did not answer the last time.
    InPipe {
        changes: Changes,
        silent: Option<String>,
    },
}

impl Shown {
    fn on_terminal() -> Self {
        Self::OnTerminal { screen: Screen::default(), last: Vec::new() }
    }

    fn in_pipe() -> Self {
        Self::InPipe { changes: Changes::default(), silent: None }
    }

    fn answer(&mut self, comparison: &crate::fleet::Comparison) -> Result<Reader, Failure> {
        match self {
            Self::OnTerminal { screen, last } => {
                *last = table::lines(comparison);
                screen.draw(&with_time(last, None))
            }
            Self::InPipe { changes, silent } => {
                let back = silent.take().map(|_| "the broker answers".to_owned());
                told(back.into_iter().chain(changes.news(comparison)))
            }
        }
    }

    /// The broker does not answer: on a terminal beside what was seen last, else said once for each reason.
    fn silence(&mut self, failure: &Failure) -> Result<Reader, Failure> {
        match self {
            Self::OnTerminal { screen, last } => screen.draw(&with_time(last, Some(failure))),
            Self::InPipe { silent, .. } => {
                let why = plain(&failure.to_string());
                if silent.as_ref() == Some(&why) {
                    return Ok(Reader::Here);
                }
                *silent = Some(why.clone());
                told(std::iter::once(why))
            }
        }
    }
}

fn with_time(lines: &[Line], failure: Option<&Failure>) -> Vec<Line> {
    let now = clock::shown(clock::now());
    let first = match failure {
        None => Line::new(Tint::Plain, &format!("{now}, every {} s", PAUSE.as_secs())),
        Some(failure) => Line::new(Tint::Wrong, &format!("{now}: as seen last: {failure}")),
    };
    std::iter::once(first).chain(lines.iter().cloned()).collect()
}

fn told(news: impl Iterator<Item = String>) -> Result<Reader, Failure> {
    let now = clock::shown(clock::now());
    let lines: Vec<String> = news.map(|line| [&now, "  ", &line, "\n"].concat()).collect();
    let text = lines.concat();
    if text.is_empty() { Ok(Reader::Here) } else { screen::write(&text) }
}

/// Rests, unless whoever reads goes away: a pipe says so, also while nothing is written.
fn pause() -> Reader {
    let out = io::stdout();
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    let time = Timespec { tv_sec: i64::try_from(PAUSE.as_secs()).unwrap_or(2), tv_nsec: 0 };
    match poll(&mut watched, Some(&time)) {
        Ok(ready) if ready > 0 => Reader::Gone,
        // Cut short by a signal that does not end it: it looks again a little sooner.
        Ok(_) | Err(_) => Reader::Here,
    }
}
