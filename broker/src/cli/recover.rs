//! `broker recover`.

use std::path::{Path, PathBuf};

use super::AskFlags;
use super::rotate::not_read;
use crate::exit::{Code, Failure};
use crate::recover::{History, InviteRecovered, RecoverOrder, Recovery};

/// Put a ledger right that was lost, from the audit logs, so that machines are admitted again
///
/// The running broker compares the ledger with its audit log, puts back what was spent and revoked, and writes down what it
/// did. Give the logs of all other brokers, each copied after that broker was stopped: where the logs cannot prove which uses
/// are left, invites are revoked. Invites that no log knows admit nobody any more. Look with --dry-run first.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Recover {
    /// Say what is missing and what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why; it goes into the audit log
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Another broker's audit log; repeat it
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// You say that the logs hold all that was claimed, whatever seems to be missing; it goes into the audit log
    #[arg(long)]
    trust_logs: bool,
    /// The swarm was made anew in place of the one that was lost: its nodes are adopted
    #[arg(long)]
    new_swarm: bool,
    #[command(flatten)]
    flags: AskFlags,
}

impl Recover {
    pub(super) fn run(self) -> Result<(), Failure> {
        let order = RecoverOrder {
            reason: self.reason.unwrap_or_default(),
            dry_run: self.dry_run,
            trust_logs: self.trust_logs,
            new_swarm: self.new_swarm,
            logs: self.logs.iter().map(|path| read(path)).collect::<Result<_, _>>()?,
        };
        let recovery = self.flags.admin.open().recover(&order)?;
        if self.flags.json { super::print_json(&recovery) } else { super::print(&told(&recovery)) }
    }
}

fn read(path: &Path) -> Result<History, Failure> {
    if !path.is_file() {
        return Err(Failure::new(Code::NoInput, format!("{}: there is no such file", path.display())));
    }
    History::read(path, u64::MAX).map_err(|error| Failure::new(Code::Data, error.to_string()))
}

fn told(recovery: &Recovery) -> String {
    let mut lines: Vec<String> = recovery.lost.iter().cloned().collect();
    if recovery.sound {
        lines.push("the ledger lacks nothing that this broker's log knows: there is nothing to recover".into());
        if recovery.adopted > 0 {
            lines.push(format!("nodes adopted: {}", recovery.adopted));
        }
        lines.extend(not_read(&recovery.unread));
        return lines.join("\n");
    }
    let gap = if recovery.trusted { "taken for whole by your word, though" } else { "not proved" };
    lines.extend(recovery.gaps.iter().map(|what| format!("{gap}: {what}")));
    lines.extend(recovery.invites.iter().map(|invite| invite_told(invite, recovery.dry_run)));
    lines.extend(not_read(&recovery.unread));
    let others = "every other invite that was made before";
    lines.push(match (&recovery.until, recovery.dry_run) {
        (_, true) => format!("{others} would admit nobody; nothing was changed"),
        (Some(until), false) => format!("{others} {until} admits nobody"),
        (None, false) => format!("{others} admits nobody"),
    });
    if recovery.adopted > 0 {
        lines.push(format!("nodes adopted: {}", recovery.adopted));
    }
    if !recovery.dry_run {
        lines.push("the ledger is recovered: machines are admitted again".into());
    }
    lines.join("\n")
}

fn invite_told(invite: &InviteRecovered, dry_run: bool) -> String {
    let InviteRecovered { id, spent, missing, .. } = invite;
    let spent =
        invite.uses.map_or_else(|| format!("{spent} uses spent"), |uses| format!("{spent} of {uses} uses spent"));
    let missing = if *missing > 0 { format!(", {missing} of them were missing") } else { String::new() };
    let becomes = match (invite.action.as_str(), dry_run) {
        ("kept", _) => "as it was",
        ("revoked", true) => "would be revoked: more may be spent",
        ("revoked", false) => "revoked: more may be spent",
        (_, true) if invite.revoked => "would be put back, revoked as it was",
        (_, false) if invite.revoked => "put back, revoked as it was",
        (_, true) => "would be put back",
        (_, false) => "put back",
    };
    format!("invite {id}: {spent}{missing}; {becomes}")
}
