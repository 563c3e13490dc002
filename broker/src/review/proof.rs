//! A proof of one record that anybody can check with the log's public key, in the form of C2SP tlog-proof.
//!
//! The record's line is in it, as `extra`: from it the hash is computed that the path leads from.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::audit::{BadHead, Hash, Head, PublicLogKey, leads, leaf, path};

use super::{Entry, Log};

/// What a proof begins with.
const FIRST: &str = "c2sp.org/tlog-proof@v1";

/// A record, and what leads from it to a signed head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proof {
    pub(crate) number: u64,
    /// The record's line, as it is in the log.
    pub(crate) record: String,
    pub(crate) path: Vec<Hash>,
    /// The head, as it was signed.
    pub(crate) note: String,
}

/// A proof that holds.
#[derive(Debug)]
pub(crate) struct Proved {
    /// The broker whose log it is.
    pub(crate) broker: String,
    pub(crate) head: Head,
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadProof {
    #[error("it is not a proof of 'broker audit prove': {0}")]
    Malformed(&'static str),
    #[error("none of the keys given is of the log '{0}'")]
    OtherLog(String),
    #[error("its head: {0}")]
    Head(BadHead),
    #[error("record {0} is not the one that was signed, or its number or its path was changed")]
    NotIncluded(u64),
}

impl Proof {
    /// The proof of a record. None if it is not the one that was signed.
    pub(crate) fn of(log: &Log, entry: &Entry) -> Option<Self> {
        let signed = log.signed.as_ref().filter(|_| log.has_signed(entry))?;
        let path = path(&signed.leaves, entry.number)?;
        Some(Self { number: entry.number, record: entry.line.clone(), path, note: signed.note.clone() })
    }

    /// The proof as text.
    pub(crate) fn text(&self) -> String {
        let path: String = self.path.iter().map(|hash| hash.to_string() + "\n").collect();
        let record = STANDARD.encode(&self.record);
        format!("{FIRST}\nextra {record}\nindex {}\n{path}\n{}", self.number, self.note)
    }

    /// Reads a proof's text.
    pub(crate) fn read(text: &str) -> Result<Self, BadProof> {
        let malformed = BadProof::Malformed;
        let (proof, note) = text.split_once("\n\n").ok_or(malformed("there is no empty line before a head"))?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(FIRST) {
            return Err(malformed("it does not begin with c2sp.org/tlog-proof@v1"));
        }
        let extra =
            lines.next().and_then(|line| line.strip_prefix("extra ")).and_then(|line| STANDARD.decode(line).ok());
        let record =
            extra.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(malformed("the record is not in it"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let number: Option<u64> = index.and_then(|index| index.parse().ok());
        let number = number.filter(|number| index == Some(&number.to_string())).ok_or(malformed("it has no number"))?;
        let path: Option<Vec<Hash>> = lines.map(|line| Hash::parse_hash(line).ok()).collect();
        let path = path.ok_or(malformed("a line of its path is no hash"))?;
        Ok(Self { number, record, path, note: note.to_owned() })
    }

    /// Whether it holds, by one of these keys.
    pub(crate) fn check(&self, keys: &[PublicLogKey]) -> Result<Proved, BadProof> {
        let origin = self.note.lines().next().unwrap_or_default();
        let mut looks =
            keys.iter().filter(|key| key.name() == origin).map(|key| (key, key.verify(self.note.as_bytes())));
        // A broker may have had more than one key.
        let first = looks.next().ok_or_else(|| BadProof::OtherLog(origin.escape_debug().to_string()))?;
        let (key, head) = if first.1.is_ok() { first } else { looks.find(|(_, head)| head.is_ok()).unwrap_or(first) };
        let head = head.map_err(BadProof::Head)?;
        if !leads(&self.path, self.number, leaf(self.record.as_bytes()), &head) {
            return Err(BadProof::NotIncluded(self.number));
        }
        Ok(Proved { broker: key.broker().to_owned(), head })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Audit, Event, Record};
    use crate::review::read_all;

    /// A log of so many records, and its key.
    fn log(records: usize) -> (tempfile::TempDir, Log, PublicLogKey) {
        let folder = tempfile::tempdir().expect("a folder");
        let (audit, _) = Audit::open(&folder.path().join("audit.jsonl"), "one").expect("opens");
        for _ in 1..records {
            audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written");
        }
        let key = std::fs::read_to_string(folder.path().join("audit.pub")).expect("reads");
        let log = read_all(&[folder.path().to_owned()], &[]).remove(0);
        (folder, log, PublicLogKey::read(&key).expect("a key"))
    }

    #[test]
    fn each_record_is_proved_and_nothing_else_is() {
        let (_folder, log, key) = log(21);
        let (_other_folder, _, other) = self::log(1);
        for entry in &log.entries {
            let proof = Proof::of(&log, entry).expect("signed");
            let text = proof.text();
            assert_eq!(Proof::read(&text).as_ref(), Ok(&proof));
            let proved = proof.check(&[other.clone(), key.clone()]).expect("holds");
            assert_eq!((proved.broker.as_str(), proved.head.size), ("one", 21));
            assert!(
                matches!(proof.check(std::slice::from_ref(&other)), Err(BadProof::Head(_))),
                "a key of the same name"
            );
            assert!(matches!(proof.check(&[]), Err(BadProof::OtherLog(_))));
            // Whatever is changed, it does not hold any more.
            for at in (0..text.len()).filter(|_| [0, 9, 20].contains(&entry.number)) {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1;
                let read = String::from_utf8(changed).ok().and_then(|text| Proof::read(&text).ok());
                assert!(read.is_none_or(|proof| proof.check(std::slice::from_ref(&key)).is_err()), "changed at {at}");
            }
        }
    }

    #[test]
    fn a_record_that_was_not_signed_has_no_proof() {
        let (_folder, mut log, _) = log(3);
        log.entries[1].leaf = leaf(b"another");
        assert!(Proof::of(&log, &log.entries[1]).is_none() && Proof::of(&log, &log.entries[2]).is_some());
        log.entries[2].number = 3;
        assert!(Proof::of(&log, &log.entries[2]).is_none());
    }
}
