//! What is said of the join tokens that were replaced, or would be.

use crate::admin::{RotateReply, RotationPreview, TokenRotated, TokenShown};

/// A rotation in words.
pub(super) fn told(rotated: &RotateReply) -> String {
    let mut lines: Vec<String> = rotated
        .rotated
        .iter()
        .map(|token| format!("{} token: generation {} since {}", token.role, token.generation, token.rotated_at))
        .collect();
    if rotated.shared {
        lines.push("another rotation at the same time did it".into());
    }
    match rotated.not_waited_for {
        0 => {}
        1 => lines.push("1 machine was joining with the old one: it tries again by itself".into()),
        more => lines.push(format!("{more} machines were joining with the old one: they try again by themselves")),
    }
    lines.join("\n")
}

/// What a rotation would find, in words.
pub(super) fn previewed(preview: &RotationPreview) -> String {
    let mut lines = found(preview);
    lines.extend(super::keys::not_read(&preview.unread));
    lines.push(match preview.in_flight.len() {
        0 => "nobody is joining at this moment; nothing was changed".into(),
        _ => format!("it would wait for them, {} ms at most; nothing was changed", preview.wait_ms),
    });
    lines.join("\n")
}

/// The tokens, and who is on the way with them.
pub(super) fn found(preview: &RotationPreview) -> Vec<String> {
    let mut lines: Vec<String> = preview
        .tokens
        .iter()
        .map(|TokenShown { token: TokenRotated { role, generation, rotated_at }, policy }| {
            let next = generation + 1;
            format!("{role} token: generation {generation} since {rotated_at}, policy {policy}: it would become generation {next}")
        })
        .collect();
    lines.extend(preview.in_flight.iter().map(|machine| {
        format!(
            "in flight: key {} of invite {} has the {} token since {}",
            machine.key, machine.invite, machine.role, machine.since
        )
    }));
    lines.extend(preview.under_way.iter().map(|broker| format!("broker {broker} is replacing one at this moment")));
    lines
}
