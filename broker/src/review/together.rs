//! What several logs say of each other: that two of one broker are one log, and which brokers have seen a head.

use super::Log;
use crate::audit::{self, PublicLogKey};

/// Names each log that its broker has shown in two forms.
pub(super) fn compare(logs: &mut [Log]) {
    for log in logs.iter_mut() {
        log.forked = audit::proof_of_fork(&log.folder);
    }
    for second in 1..logs.len() {
        let (before, rest) = logs.split_at_mut(second);
        let [log, ..] = rest else { return };
        let other = before.iter().find(|other| differ(other, log));
        if let Some(other) = other {
            let folder = other.folder.display();
            log.forked.get_or_insert(format!("it is not the log in {folder}, though of the same broker"));
        }
    }
}

/// Whether two logs are of one broker, and the shorter is not the beginning of the longer.
fn differ(one: &Log, other: &Log) -> bool {
    let (Some(this), Some(that)) = (&one.signed, &other.signed) else { return false };
    let both = this.leaves.len().min(that.leaves.len());
    one.name() == other.name() && (one.key() != other.key() || this.leaves[..both] != that.leaves[..both])
}

/// Which brokers have cosigned each head, by the keys that are given or lie beside these logs.
pub(super) fn cosigned(logs: &mut [Log], given: &[PublicLogKey]) {
    let beside = logs.iter().filter_map(|log| PublicLogKey::read(log.key()?));
    let keys: Vec<PublicLogKey> = given.iter().cloned().chain(beside).collect();
    for log in logs {
        let Some(signed) = &log.signed else { continue };
        log.cosigned_by = audit::cosigned_by(signed.note.as_bytes(), &keys);
    }
}
