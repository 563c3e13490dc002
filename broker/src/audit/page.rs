//! A page of a log, for the brokers that copy it and for operators elsewhere.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Audit, AuditError, FILE};

/// A page is full with so many bytes.
const PAGE: usize = 512 * 1024;

impl Audit {
    /// The last signed head, and whole records that it covers, from this byte on; none, if no record begins there.
    pub(crate) async fn page(&self, from: u64) -> Result<(String, String), AuditError> {
        // Head and length are of the same moment: a head that covers more than is given would look like a fork.
        let signed = self.signed();
        let (path, _) = self.written();
        let read = move || {
            let records = page(&path, from, signed.length).map_err(|error| AuditError::io(&path, &error))?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok((text(&signed.note), text(&records)))
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| AuditError::Closed)?
    }
}

/// The brokers of whose logs there are copies in this folder.
pub(crate) async fn copies_in(folder: PathBuf) -> Result<Vec<String>, AuditError> {
    let below = folder.clone();
    let names = move || {
        let entries = match std::fs::read_dir(&below) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>()?,
            // A broker that is alone has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let copies = entries.iter().filter(|entry| entry.path().join(FILE).is_file());
        Ok::<_, io::Error>(copies.filter_map(|entry| entry.file_name().into_string().ok()).collect())
    };
    let names = tokio::task::spawn_blocking(names).await.map_err(|_| AuditError::Closed)?;
    names.map_err(|error| AuditError::io(&folder, &error))
}

/// Whole records of the copy in this folder, from this byte on, and its length; none of them without a byte to begin at.
pub(crate) async fn page_of_copy(folder: PathBuf, from: Option<u64>) -> Result<(String, u64), AuditError> {
    let path = folder.join(FILE);
    let below = path.clone();
    let read = move || {
        let length = std::fs::metadata(&below)?.len();
        let mut records = from.map_or_else(|| Ok(Vec::new()), |from| page(&below, from, length))?;
        // What is being written is no record yet.
        records.truncate(records.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
        Ok::<_, io::Error>((String::from_utf8_lossy(&records).into_owned(), length))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(|_| AuditError::Closed)?;
    read.map_err(|error| AuditError::io(&path, &error))
}

fn page(path: &Path, from: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut before = [b'\n'];
    if from > 0 && from < end {
        file.read_exact_at(&mut before, from - 1)?;
    }
    if from >= end || before != *b"\n" {
        return Ok(Vec::new());
    }
    file.seek(SeekFrom::Start(from))?;
    let (mut lines, mut bytes) = (BufReader::new(file.take(end - from)), Vec::new());
    // At least one, whatever its length: nobody is stopped by a long one.
    while bytes.len() < PAGE && lines.read_until(b'\n', &mut bytes)? > 0 {}
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Record};

    #[tokio::test]
    async fn a_page_has_whole_records_that_the_head_covers() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let (audit, _) = Audit::open(&path, "b").expect("opens");
        for _ in 0..5 {
            audit.record(Record::new(Event::BrokerStarted)).await.expect("written");
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        let (_, end) = audit.written();
        for from in 0..=end + 2 {
            let (head, records) = audit.page(from).await.expect("read");
            assert!(head.starts_with("swarm-broker/b\n6\n"), "{head}");
            let rest = text.get(usize::try_from(from).expect("short")..).unwrap_or_default();
            let begins = from == 0 || text.as_bytes().get(usize::try_from(from - 1).expect("short")) == Some(&b'\n');
            assert_eq!(records, if begins { rest } else { "" }, "from {from}");
        }
        let third = text.match_indices('\n').nth(2).expect("three records").0 as u64 + 1;
        let covered = page(&path, 0, third).expect("read");
        assert_eq!(covered.split(|byte| *byte == b'\n').count(), 4, "three whole records, and no more");
        let long = format!("{{\"number\":0,\"a\":\"{}\"}}\n", "a".repeat(2 * PAGE));
        std::fs::write(&path, format!("{long}{long}")).expect("written");
        let one = page(&path, 0, 2 * long.len() as u64).expect("read");
        assert_eq!(one.len(), long.len(), "a long one is given whole, and alone");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_page_of_a_log_that_grows_has_all_that_its_head_covers() {
        let folder = tempfile::tempdir().expect("a folder");
        let (audit, _) = Audit::open(&folder.path().join("audit.jsonl"), "b").expect("opens");
        let writer = audit.clone();
        let writing = tokio::spawn(async move {
            for _ in 0..300 {
                writer.record(Record::new(Event::BrokerStarted)).await.expect("written");
            }
        });
        while !writing.is_finished() {
            let (head, records) = audit.page(0).await.expect("read");
            let size: usize = head.lines().nth(1).expect("a size").parse().expect("a number");
            assert_eq!(records.lines().count(), size);
        }
        writing.await.expect("all are written");
    }
}
