//! A page of the log, for the brokers that copy it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::Deserialize;

use super::{Audit, AuditError};

/// A page's length in bytes: more than any record has.
const PAGE: u64 = 512 * 1024;

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

impl Audit {
    /// The last signed head, and whole records that it covers, from this byte on; none, if no record begins there.
    pub(crate) async fn page(&self, from: u64) -> Result<(String, String), AuditError> {
        // The head first: it covers nothing that is not there.
        let signed = self.signed();
        let (path, end) = self.written();
        let read = move || {
            let records = page(&path, from, end, signed.head.size).map_err(|error| AuditError::io(&path, &error))?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok((text(&signed.note), text(&records)))
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| AuditError::Closed)?
    }
}

fn page(path: &Path, from: u64, end: u64, covered: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut before = [b'\n'];
    if from > 0 && from < end {
        file.read_exact_at(&mut before, from - 1)?;
    }
    if from >= end || before != *b"\n" {
        return Ok(Vec::new());
    }
    let length = usize::try_from((end - from).min(PAGE)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, from)?;
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Numbered { number } = serde_json::from_slice(first)?;
    let most = usize::try_from(covered.saturating_sub(number)).unwrap_or(usize::MAX);
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    bytes.truncate(ends.take(most).last().unwrap_or(0));
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
        let covered = page(&path, 0, end, 3).expect("read");
        assert_eq!(covered.iter().filter(|byte| **byte == b'\n').collect::<Vec<_>>().len(), 3, "no more than the head");
        assert_eq!(page(&path, 0, end, 0).expect("read"), b"");
    }
}
