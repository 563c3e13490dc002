//! A replacement of a key that was cut off: the next start says whether it is done.
//!
//! Keeps promise 11 (the log tells): each order in it has an end. Must not guess: what is in use now is held against what
//! was in use when it began.

use std::collections::BTreeMap;
use std::path::Path;

use certs::Thumbprint;
use serde::Deserialize;

use super::What;
use super::records::AFTER_A_LEAK;
use crate::audit::{self, AuditError, Event, Outcome, Record};
use crate::broker::Broker;

/// After it, the record that an order begins with names the key in use.
const IN_USE: &str = "; in use: ";

/// The replacements that a log says were begun, and not what came of them: of each key the words that it began with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Begun(BTreeMap<String, String>);

/// The fields that matter here; records of a newer release may have more.
#[derive(Deserialize)]
struct Fields {
    event: String,
    what: Option<String>,
    detail: Option<String>,
}

impl Begun {
    fn read(log: &Path) -> Result<Self, AuditError> {
        let mut begun = Self::default();
        audit::each(log, u64::MAX, |line| {
            // Most lines are about machines: they are not taken apart a second time at a start.
            if line.windows(8).any(|part| part == b"\"key.rot") {
                begun.take(serde_json::from_slice(line).map_err(|error| error.to_string())?);
            }
            Ok(())
        })?;
        Ok(begun)
    }

    fn take(&mut self, fields: Fields) {
        match (fields.event.as_str(), fields.what) {
            ("key.rotating", Some(what)) => drop(self.0.insert(what, fields.detail.unwrap_or_default())),
            ("key.rotated" | "key.rotation-failed", Some(what)) => drop(self.0.remove(&what)),
            _ => {}
        }
    }
}

/// The words that an order begins with, and the key that it replaces.
pub(super) fn begins(broker: &Broker, what: What, words: String) -> String {
    match in_use(broker, what) {
        Some(kid) => words + IN_USE + &kid,
        None => words,
    }
}

/// The id of the key in use, where this broker knows it.
fn in_use(broker: &Broker, what: What) -> Option<String> {
    match what {
        What::SigningKey => Some(broker.keys.grant.get().public().id().to_string()),
        What::InviteKey => Some(broker.keys.invite.get().public().id().to_string()),
        What::ServerCert => Some(broker.keys.server.shown().kid),
        What::Ca => Some(Thumbprint::of(&broker.keys.issuing.get().public().certificate).to_string()),
        What::UnlockKey | What::Root => None,
    }
}

/// At the start: writes down what became of the orders that were cut off.
pub(crate) async fn tell(broker: &Broker) -> Result<(), AuditError> {
    let log = broker.keys.log();
    let read = tokio::task::spawn_blocking(move || Begun::read(&log)).await;
    let begun = read.map_err(|_| AuditError::Closed)??;
    for what in [What::SigningKey, What::InviteKey, What::ServerCert, What::Ca, What::UnlockKey] {
        let Some(words) = begun.0.get(&what.to_string()) else { continue };
        let (event, detail) = became(words, in_use(broker, what));
        tracing::warn!(%what, detail, "a replacement was cut off");
        let outcome = if event == Event::KeyRotated { Outcome::Ok } else { Outcome::Failed };
        let what = Some(what.to_string());
        broker.audit.record(Record { what, outcome, detail: Some(detail), ..Record::new(event) }).await?;
    }
    Ok(())
}

/// What became of an order that began with these words, if this key is in use now.
fn became(words: &str, now: Option<String>) -> (Event, String) {
    let (reason, former) = match words.rsplit_once(IN_USE) {
        Some((reason, former)) => (reason, Some(former)),
        None => (words, None),
    };
    match (former, now) {
        (Some(former), Some(now)) if former == now => {
            (Event::KeyRotationFailed, format!("{reason}; undone: it was cut off, and {now} is in use as before"))
        }
        // What is void is written last: nobody knows whether it came to that.
        (Some(_), Some(now)) if reason.starts_with(AFTER_A_LEAK) => (
            Event::KeyRotationFailed,
            format!("{reason}; it was cut off: {now} is in use, and the former ones may be good still. Order it again"),
        ),
        (Some(_), Some(now)) => (Event::KeyRotated, format!("{reason}; it was cut off, and is finished; {now}")),
        (None, _) | (_, None) => (
            Event::KeyRotationFailed,
            format!("{reason}; it was cut off, and whether it was done is not known. Order it again"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_without_an_end_is_known_after_a_restart_and_has_one_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let (audit, _) = audit::Audit::open(&path, "b").expect("opens");
        let write = |event, what: What, detail: &str| {
            let record = Record { what: Some(what.to_string()), detail: Some(detail.into()), ..Record::new(event) };
            audit.record_blocking(record).expect("written");
            Begun::read(&path).expect("reads").0.into_iter().collect::<Vec<_>>()
        };
        let begun = |what: &str, words: &str| vec![(what.to_owned(), words.to_owned())];
        assert_eq!(write(Event::KeyRotating, What::Ca, "due; in use: A"), begun("ca", "due; in use: A"));
        assert_eq!(write(Event::KeyRotationFailed, What::Ca, "no disk"), []);
        assert_eq!(write(Event::KeyRotating, What::InviteKey, "B"), begun("invite-key", "B"));
        assert_eq!(write(Event::KeyRotated, What::SigningKey, "C"), begun("invite-key", "B"));
        assert_eq!(write(Event::KeyRotated, What::InviteKey, "D"), []);
    }

    #[test]
    fn what_became_of_it_is_told_by_the_key_in_use() {
        let became = |words: &str, now: Option<&str>| became(words, now.map(str::to_owned));
        let (event, words) = became("manual: due; in use: A", Some("A"));
        assert!(event == Event::KeyRotationFailed && words.contains("undone") && words.contains("A is in use"));
        let (event, words) = became("manual: so; in use: B; in use: A", Some("C"));
        assert!(event == Event::KeyRotated && words.starts_with("manual: so; in use: B;") && words.ends_with("; C"));
        // The former one is to be void, and may not be.
        let (event, words) = became(&format!("{AFTER_A_LEAK}: stolen; in use: A"), Some("C"));
        assert!(event == Event::KeyRotationFailed && words.contains("C is in use") && words.starts_with(AFTER_A_LEAK));
        // A former release did not say what was in use; and an engine's key is not known here.
        for (words, now) in [("manual: due", Some("A")), ("manual: due", None)] {
            let (event, words) = became(words, now);
            assert!(event == Event::KeyRotationFailed && words.contains("not known"), "{words}");
        }
    }
}
