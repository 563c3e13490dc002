//! `broker pending`, `broker approve` and `broker deny`.

use super::{AskFlags, OrderFlags};
use crate::admin::{AnswerOrder, PENDING, PendingShown, lines, plain};
use crate::admission::Answered;
use crate::exit::Failure;
use crate::ledger::Answer;

/// Show the machines that wait for your answer
///
/// Those of invites made with --approve. A machine is told its key, and prints it: compare the two. What it calls itself is its
/// own word.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Pending {
    #[command(flatten)]
    flags: AskFlags,
}

/// Let a machine join that waits for your answer
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Approve {
    #[command(flatten)]
    about: About,
}

/// Keep a machine out that waits for your answer
///
/// Its place is free for another one. A machine that was approved and has not joined yet is kept out, too.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Deny {
    #[command(flatten)]
    about: About,
}

#[derive(clap::Args)]
struct About {
    /// Its key, as 'broker pending' shows it, or how that begins
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    flags: OrderFlags,
}

impl Pending {
    pub(super) fn run(self) -> Result<(), Failure> {
        let shown: PendingShown = self.flags.admin.open().get(PENDING)?;
        if self.flags.json {
            return super::print_json(&shown);
        }
        if shown.machines.is_empty() {
            return super::print("no machine waits for an answer");
        }
        let head = ["KEY", "HOSTNAME", "FROM", "ROLE", "SINCE", "INVITE"].map(String::from).to_vec();
        let rows = shown.machines.into_iter().map(|machine| {
            vec![
                machine.key.to_string(),
                machine.hostname.unwrap_or_default(),
                machine.source.map(|source| source.to_string()).unwrap_or_default(),
                machine.role.map(|role| role.to_string()).unwrap_or_default(),
                machine.since.to_string(),
                machine.invite.to_string(),
            ]
        });
        super::print(&lines(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
    }
}

impl Approve {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.about.answer(Answer::Approved)
    }
}

impl Deny {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.about.answer(Answer::Denied)
    }
}

impl About {
    fn answer(self, answer: Answer) -> Result<(), Failure> {
        let Self { key, flags: OrderFlags { reason, json, admin } } = self;
        let answered: Answered = admin.open().post(PENDING, &AnswerOrder { key, answer, reason })?;
        if json {
            return super::print_json(&answered);
        }
        let word = match answer {
            Answer::Approved => "approved",
            Answer::Denied => "denied",
        };
        let before = if answered.changed { "" } else { " before" };
        let name = answered.machine.hostname.map(|name| format!(" ({})", plain(&name))).unwrap_or_default();
        super::print(&format!("{}{name}: {word}{before}", answered.machine.key))?;
        if answer == Answer::Denied && answered.has_token {
            let role = answered.machine.role.map_or_else(|| "worker".to_owned(), |role| role.to_string());
            let what = "It has the swarm's token already, and will not be explained if it joins. Replace the token:";
            super::print(&format!("{what} broker rotate {role} --now"))?;
        }
        Ok(())
    }
}
