//! Reading along in the log: which machines it saw come, and which were refused, page by page from a position.
//!
//! For `broker wait` and `broker nodes`. Reads only what is on disk already, and keeps nothing between two pages, so that whoever reads
//! may go on after a restart of the broker. Must not read more than one page at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use protocol::{InviteId, KeyHash, Role};
use serde::{Deserialize, Serialize};

use super::files::FILE;
use super::{Audit, AuditError, Event};
use crate::clock;

/// How many bytes are read at a time.
const PAGE: u64 = 1024 * 1024;
/// How far back a reader without a position begins, in bytes: the boots of the last thousand machines or so.
const TAIL: u64 = 4 * PAGE;

/// A machine as the log saw it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    /// When, in seconds since 1970.
    pub(crate) at: u64,
    /// Why it was refused; none if it was given an identity, or waits for a person's answer.
    pub(crate) refused: Option<String>,
    pub(crate) source: Option<IpAddr>,
    /// What the machine calls itself.
    pub(crate) hostname: Option<String>,
    pub(crate) invite: Option<InviteId>,
    pub(crate) key: Option<KeyHash>,
    pub(crate) role: Option<Role>,
}

/// What one page of the log tells.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) sightings: Vec<Sighting>,
    /// Where the next page begins.
    pub(crate) position: u64,
    /// Whether there is a next page already.
    pub(crate) more: bool,
}

impl Audit {
    /// The page at a position. Without one: all that is known of an invite from the beginning on, or, for all invites,
    /// from a little before the end on.
    pub(crate) async fn sightings(&self, after: Option<u64>, invite: Option<InviteId>) -> Result<Page, AuditError> {
        let (path, end) = self.written();
        let begin = if invite.is_some() { 0 } else { end.saturating_sub(TAIL) };
        let log = path.clone();
        let read = move || page(&log, after.unwrap_or(begin).min(end), end, invite.as_ref());
        let page = tokio::task::spawn_blocking(read).await.map_err(|_| AuditError::Closed)?;
        page.map_err(|error| AuditError::io(&path, &error))
    }
}

/// A page of each copy of another broker's log that is below this folder, by broker. A copy without a position is read from
/// a little before its end on.
pub(crate) async fn copied(
    folder: PathBuf,
    after: BTreeMap<String, u64>,
) -> Result<BTreeMap<String, Page>, AuditError> {
    let below = folder.clone();
    let read = tokio::task::spawn_blocking(move || copies(&below, &after)).await.map_err(|_| AuditError::Closed)?;
    read.map_err(|error| AuditError::io(&folder, &error))
}

fn copies(folder: &Path, after: &BTreeMap<String, u64>) -> std::io::Result<BTreeMap<String, Page>> {
    let mut pages = BTreeMap::new();
    let copies = match std::fs::read_dir(folder) {
        Ok(copies) => copies,
        // A broker that is alone has none.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(pages),
        Err(error) => return Err(error),
    };
    for copy in copies {
        let copy = copy?;
        let (path, broker) = (copy.path().join(FILE), copy.file_name().to_string_lossy().into_owned());
        // One that was begun just now has no records yet.
        let Ok(end) = std::fs::metadata(&path).map(|found| found.len()) else { continue };
        let from = after.get(&broker).copied().unwrap_or(end.saturating_sub(TAIL));
        match page(&path, from.min(end), end, None) {
            Ok(page) => drop(pages.insert(broker, page)),
            Err(error) => tracing::warn!(%error, broker, "the copy of a log cannot be read"),
        }
    }
    Ok(pages)
}

fn page(path: &Path, from: u64, end: u64, invite: Option<&InviteId>) -> std::io::Result<Page> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(PAGE.min(end - from)).read_to_end(&mut bytes)?;
    // What follows the last line's end belongs to the next page. A full page without any is the middle of nothing of ours, a
    // shorter one a record that is being written.
    let full = bytes.len() as u64 == PAGE;
    let none = if full { bytes.len() } else { 0 };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(none, |last| last + 1);
    let lines = bytes[..whole].split(|byte| *byte == b'\n');
    let position = from + whole as u64;
    let sightings = lines.filter_map(sighting).filter(|seen| is_of(seen, invite)).collect();
    Ok(Page { sightings, position, more: position < end && whole > 0 })
}

/// The fields that matter here; records of a newer release may have more, and other events.
#[derive(Deserialize)]
struct Fields {
    time: String,
    event: Event,
    reason: Option<String>,
    source: Option<IpAddr>,
    hostname: Option<String>,
    invite: Option<InviteId>,
    key: Option<KeyHash>,
    role: Option<Role>,
}

/// What a line says of a machine that wants to join. A refusal that names neither an invite nor a hostname is of
/// somebody who does not.
fn sighting(line: &[u8]) -> Option<Sighting> {
    let line = std::str::from_utf8(line).ok()?;
    // Most lines are of other events: they are not worth the reading.
    let events = [r#""event":"identity.issued""#, r#""event":"machine.waiting""#, r#""event":"refused""#];
    if !events.iter().any(|event| line.contains(event)) {
        return None;
    }
    let fields: Fields = serde_json::from_str(line).ok()?;
    let refused = match fields.event {
        Event::IdentityIssued | Event::MachineWaiting => None,
        Event::Refused if fields.invite.is_some() || fields.hostname.is_some() => {
            Some(fields.reason.unwrap_or_default())
        }
        _ => return None,
    };
    Some(Sighting {
        at: clock::read(&fields.time)?,
        refused,
        source: fields.source,
        hostname: fields.hostname,
        invite: fields.invite,
        key: fields.key,
        role: fields.role,
    })
}

/// A refusal of an invite that did not even read may be of any invite.
fn is_of(sighting: &Sighting, wanted: Option<&InviteId>) -> bool {
    match (wanted, &sighting.invite) {
        (None, _) => true,
        (Some(wanted), Some(invite)) => wanted == invite,
        (Some(_), None) => sighting.refused.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Reason, Record};

    struct Log {
        _folder: tempfile::TempDir,
        audit: Audit,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let (audit, _) = Audit::open(&folder.path().join("audit.jsonl"), "b").expect("opens");
            Self { _folder: folder, audit }
        }

        fn write(&self, record: Record) {
            self.audit.record_blocking(record).expect("written");
        }

        fn page(&self, after: Option<u64>, invite: Option<&InviteId>) -> Page {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(self.audit.sightings(after, invite.cloned())).expect("reads")
        }
    }

    fn refused(reason: Reason, invite: Option<&InviteId>, hostname: &str) -> Record {
        Record { invite: invite.cloned(), hostname: Some(hostname.into()), ..Record::refusal(reason) }
    }

    fn names(page: &Page) -> Vec<&str> {
        page.sightings.iter().filter_map(|seen| seen.hostname.as_deref()).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let log = Log::new();
        log.write(Record::new(Event::BrokerStarted));
        log.write(refused(Reason::UsedUp, Some(&InviteId::random()), "one"));
        let first = log.page(None, None);
        assert_eq!((names(&first), first.more), (vec!["one"], false));
        assert_eq!(first.sightings[0].refused.as_deref(), Some("used-up"));
        assert_eq!(log.page(Some(first.position), None).sightings, []);
        log.write(Record { hostname: Some("two".into()), ..Record::new(Event::IdentityIssued) });
        let second = log.page(Some(first.position), None);
        assert_eq!((names(&second), second.sightings[0].refused.as_ref()), (vec!["two"], None));
        assert_eq!(
            log.page(Some(u64::MAX), None).position,
            second.position,
            "a log that was replaced by a shorter one"
        );
    }

    #[test]
    fn of_one_invite_only_its_own_and_those_that_did_not_read() {
        let (log, mine, other) = (Log::new(), InviteId::random(), InviteId::random());
        log.write(refused(Reason::UsedUp, Some(&mine), "mine"));
        log.write(refused(Reason::UsedUp, Some(&other), "other"));
        log.write(refused(Reason::NotSigned, None, "garbled"));
        log.write(Record::refusal(Reason::WrongCertificate));
        assert_eq!(names(&log.page(None, Some(&mine))), ["mine", "garbled"]);
        assert_eq!(log.page(None, None).sightings.len(), 3, "a stranger wants no join");
    }

    #[test]
    fn copies_of_other_logs_are_read_on_and_a_record_that_is_being_written_comes_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let nothing = BTreeMap::new();
        assert_eq!(copies(&folder.path().join("none"), &nothing).expect("reads"), BTreeMap::new());
        let log = Log::new();
        log.write(refused(Reason::UsedUp, None, "one"));
        log.write(refused(Reason::UsedUp, None, "two"));
        let text = std::fs::read(&*log.audit.written().0).expect("reads");
        let ends: Vec<usize> = (1..=text.len()).filter(|end| text[end - 1] == b'\n').collect();
        let (first, second) = text.split_at(ends[ends.len() - 2]);
        std::fs::create_dir_all(folder.path().join("b1")).expect("made");
        std::fs::create_dir_all(folder.path().join("begun")).expect("made");
        let file = folder.path().join("b1").join(FILE);
        let write = |parts: &[&[u8]]| std::fs::write(&file, parts.concat()).expect("written");
        write(&[first, &second[..9]]);
        let pages = copies(folder.path(), &nothing).expect("reads");
        assert_eq!(pages.keys().collect::<Vec<_>>(), ["b1"]);
        assert_eq!(names(&pages["b1"]), ["one"]);
        let after = BTreeMap::from([("b1".to_owned(), pages["b1"].position)]);
        let again = copies(folder.path(), &after).expect("reads");
        assert_eq!((names(&again["b1"]), again["b1"].position), (vec![], pages["b1"].position), "half a record");
        write(&[first, second]);
        assert_eq!(names(&copies(folder.path(), &after).expect("reads")["b1"]), ["two"]);
    }

    #[test]
    fn a_long_log_is_read_in_pages_without_a_gap() {
        let log = Log::new();
        let invite = InviteId::random();
        let filler = "x".repeat(8000);
        let count = 300;
        for number in 0..count {
            let hostname = format!("{number}");
            log.write(Record { detail: Some(filler.clone()), ..refused(Reason::UsedUp, Some(&invite), &hostname) });
        }
        let (mut seen, mut after, mut pages) = (Vec::new(), Some(0), 0);
        loop {
            let page = log.page(after, Some(&invite));
            seen.extend(names(&page).into_iter().map(str::to_owned));
            (after, pages) = (Some(page.position), pages + 1);
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, (0..count).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(pages > 2, "{pages}");
    }
}
