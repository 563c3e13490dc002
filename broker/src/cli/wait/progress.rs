//! How it goes, on standard error: lines, and on a terminal a bar below them.
//!
//! Standard output is for the result alone.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::InviteId;

use super::result::{labels, named};
use super::tally::{News, Tally};
use crate::admin::Arrivals;
use crate::clock;
use crate::exit::Failure;

/// What has been told.
pub(super) struct Progress {
    count: usize,
    bar: Option<ProgressBar>,
    answers: Option<bool>,
}

impl Progress {
    pub(super) fn new(count: usize, timeout: Duration) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !dumb).then(|| bar(count, timeout));
        let progress = Self { count, bar, answers: None };
        progress.line(&format!("waiting for {count} to join, for {} at most", clock::length(timeout)));
        progress
    }

    /// The broker answers. The first answer may have something to be warned of.
    pub(super) fn heard(&mut self, first: Option<&Arrivals>, invite: Option<&InviteId>) {
        if self.answers == Some(false) {
            self.line("the broker answers");
        }
        self.answers = Some(true);
        let unseen = first.is_some_and(|arrivals| arrivals.invite.is_none());
        if let (true, Some(id)) = (unseen, invite) {
            self.line(&format!("no broker has seen invite {id} yet: is the id right?"));
        }
    }

    /// The broker does not answer: said once.
    pub(super) fn silent(&mut self, failure: &Failure) {
        if self.answers != Some(false) {
            self.line(&format!("still waiting: {failure}"));
        }
        self.answers = Some(false);
    }

    /// Somebody came, or was refused.
    pub(super) fn tell(&self, news: &News) {
        let line = match news {
            News::There(count) => format!("{count} of {} there already", self.count),
            News::Joined(node) => {
                let at = clock::shown(node.joined.unwrap_or(node.created));
                format!("{at}  joined   {}  {}  {}", node.hostname, node.id, labels(node))
            }
            News::Refused(machine, seen) => {
                let (at, reason) = (clock::shown(seen.at), seen.refused.as_deref().unwrap_or_default());
                format!("{at}  refused  {}  {reason}", named(machine.hostname.as_deref(), machine.source))
            }
        };
        self.line(line.trim_end());
    }

    /// Where it stands.
    pub(super) fn show(&self, tally: &Tally) {
        let Some(bar) = &self.bar else { return };
        let some = |count: usize, what: &str| if count == 0 { String::new() } else { format!(", {count} {what}") };
        let waits = if self.answers == Some(true) { "" } else { ", the broker does not answer" };
        let (booting, refused) = (some(tally.stuck().count(), "booting"), some(tally.refused().count(), "refused"));
        bar.set_message(format!("{booting}{refused}{waits}"));
        bar.set_position(u64::try_from(tally.joined().count()).unwrap_or(u64::MAX));
        bar.tick();
    }

    /// No bar any more.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // Nobody reads it any more: the result still counts.
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }
}

fn bar(count: usize, timeout: Duration) -> ProgressBar {
    let template = format!("[{{bar:30}}] {{pos}} of {{len}} joined{{msg}}, {{elapsed}} of {}", clock::length(timeout));
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let length = u64::try_from(count).unwrap_or(u64::MAX);
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr()).with_style(style.progress_chars("=> "))
}
