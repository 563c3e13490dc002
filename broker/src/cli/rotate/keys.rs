//! What is said of a key of ours that was replaced, or would be.

use crate::admin::KeyShown;
use crate::keys::{Rotated, What};

/// Which key it is, or would become.
pub(super) fn headline(shown: &KeyShown) -> String {
    let KeyShown { what, dry_run, key: Rotated { generation, since, kid, .. } } = shown;
    let would = match what {
        // It is made by the issuing CA, and numbered as that is.
        What::ServerCert if *dry_run => ": another one would be made by the same issuing CA".into(),
        _ if *dry_run => format!(": it would become generation {}", generation + 1),
        _ => String::new(),
    };
    format!("{what}: generation {generation} since {since}, {kid}{would}")
}

/// A reply in words.
pub(in crate::cli) fn told(shown: &KeyShown, now: bool) -> String {
    let KeyShown { what, dry_run, key: Rotated { former_until, invites, unread, adopt, .. } } = shown;
    let mut lines = vec![headline(shown)];
    if let Some(until) = former_until {
        lines.push(match what {
            What::Ca => format!(
                "the former one is trusted until {until}, and the operators that it certified (broker operator list)"
            ),
            _ => format!("grants of the former one are good until {until}"),
        });
    }
    if matches!(what, What::InviteKey | What::Ca) {
        let which = if *what == What::Ca { "that accept a former one" } else { "of former keys" };
        lines.push(match (now, dry_run, invites.len()) {
            (_, _, 0) => format!("invites {which} that have not ended: none"),
            (true, true, many) => {
                format!("invites {which}: {many}. They would be refused, and must be made anew then:")
            }
            (true, false, many) => {
                format!("invites {which}: {many}. They are refused from now on, and must be made anew:")
            }
            (false, _, many) => format!("invites {which}: {many}. They stay good until they end or are revoked:"),
        });
        lines.extend(invites.iter().map(|invite| {
            let revoked = if invite.revoked { ", revoked" } else { "" };
            format!("  {} ends {}{revoked}", invite.id, invite.ends)
        }));
    }
    lines.extend(not_read(unread));
    lines.extend(to_adopt(adopt));
    if *dry_run {
        lines.push("nothing was changed".into());
    }
    lines.join("\n")
}

/// Objects of invites that do not read.
pub(in crate::cli) fn not_read(objects: &[String]) -> Vec<String> {
    let line = |name| {
        format!(
            "the ledger's object '{name}' does not read: as it is it admits nobody. 'docker config inspect {name}' shows it"
        )
    };
    objects.iter().map(line).collect()
}

/// What an operator has to say of managers that this broker's log does not explain.
pub(super) fn to_adopt(managers: &[String]) -> Vec<String> {
    managers
        .iter()
        .map(|name| {
            format!(
                "manager {name}: the log here does not say why it is one, so its broker is given no new key. If it is yours: broker adopt {name} --reason TEXT"
            )
        })
        .collect()
}
