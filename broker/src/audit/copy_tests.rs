//! What a copy takes, and what it does not.

use super::*;
use crate::audit::{Audit, Event, Record};

struct Watched {
    folder: tempfile::TempDir,
    key: PublicLogKey,
    own: LogKey,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Audit::open(&folder.path().join(FILE), "one").expect("opens"));
        let key = fs::read_to_string(Files::of(&folder.path().join(FILE)).public).expect("reads");
        let own = LogKey::make("two").expect("a key").1;
        Self { folder, key: PublicLogKey::read(&key).expect("a key"), own }
    }

    fn files(&self) -> Files {
        Files::of(&self.folder.path().join(FILE))
    }

    fn write(&self, records: usize) {
        let (audit, _) = Audit::open(&self.files().records, "one").expect("opens");
        for _ in 0..records {
            audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written");
        }
    }

    /// Signs a log with these records by the log's own key: what a thief of it could do.
    fn forge(&self, records: &str) -> (Vec<u8>, Vec<u8>) {
        let mut tree = Tree::default();
        records.lines().for_each(|line| tree.push(leaf(line.as_bytes())));
        let key = LogKey::read(&fs::read_to_string(self.files().key).expect("reads")).expect("a key");
        (key.sign(&tree).expect("signed"), records.as_bytes().to_vec())
    }

    fn text(&self) -> String {
        fs::read_to_string(self.files().records).expect("reads")
    }

    fn copy(&self) -> LogCopy {
        LogCopy::open(&self.folder.path().join("copy"), &self.key).expect("opens")
    }

    /// Gives the copy what its broker has, in pages of this many bytes' whole lines.
    fn grow(&self, copy: &mut LogCopy, bytes: usize) -> Result<usize, Untaken> {
        let (head, text) = (fs::read(self.files().head).expect("reads"), self.text());
        for pages in 1.. {
            let rest = &text[usize::try_from(copy.position()).expect("short")..];
            let end = rest.match_indices('\n').map(|(at, _)| at + 1).take_while(|end| *end <= bytes).last();
            let page = &rest.as_bytes()[..end.unwrap_or(0)];
            if copy.take(&head, page, &self.own, 7)? == Grown::Whole {
                return Ok(pages);
            }
        }
        unreachable!()
    }
}

#[test]
fn a_copy_grows_by_pages_and_is_a_log_that_verifies() {
    let log = Watched::new();
    log.write(20);
    let mut copy = log.copy();
    assert!(log.grow(&mut copy, 400).expect("taken") > 3, "in several pages");
    log.write(5);
    let mut copy = log.copy();
    assert_eq!(copy.records(), 21, "after a start, too");
    assert_eq!(log.grow(&mut copy, 1 << 20).expect("taken"), 1);
    assert_eq!(log.grow(&mut copy, 1 << 20).expect("taken"), 1, "nothing new");
    let files = Files::of(&log.folder.path().join("copy").join(FILE));
    let checked = crate::audit::check(&files, std::slice::from_ref(&log.key)).expect("read");
    assert_eq!((checked.records, checked.signed, checked.wrong), (26, 26, None));
    assert!(log.own.public().has_cosigned(&fs::read(&files.head).expect("reads")));
    assert_eq!(fs::read_to_string(&files.records).expect("reads"), log.text());
}

#[test]
fn what_came_before_a_kill_and_no_head_covers_is_got_again() {
    let log = Watched::new();
    log.write(10);
    log.grow(&mut log.copy(), 1 << 20).expect("taken");
    let files = Files::of(&log.folder.path().join("copy").join(FILE));
    let whole = fs::read_to_string(&files.records).expect("reads");
    for more in ["{", "{}\n", "{\"number\":11}\n{\"number\":12}\n{"] {
        fs::write(&files.records, format!("{whole}{more}")).expect("written");
        fs::write(&files.hashes, [fs::read(&files.hashes).expect("reads"), vec![7; 40]].concat()).expect("written");
        let mut copy = log.copy();
        assert_eq!((copy.records(), copy.position()), (11, whole.len() as u64));
        log.grow(&mut copy, 1 << 20).expect("taken");
        assert_eq!(fs::read_to_string(&files.records).expect("reads"), whole);
    }
}

#[test]
fn a_damaged_copy_stays_until_its_log_came_anew_and_continues_its_head() {
    let log = Watched::new();
    log.write(10);
    let older = log.forge(&log.text());
    log.write(1);
    log.grow(&mut log.copy(), 1 << 20).expect("taken");
    let files = Files::of(&log.folder.path().join("copy").join(FILE));
    let verified = || crate::audit::check(&files, std::slice::from_ref(&log.key)).expect("read").wrong;
    let damaged = fs::read_to_string(&files.records).expect("reads").replacen("broker.started", "broker.stopped", 1);
    fs::write(&files.records, &damaged).expect("written");
    // Its broker may be gone for good: whoever checks the copy must find what was found here.
    for _ in 0..2 {
        let copy = log.copy();
        assert!(copy.damage().is_some_and(|what| what.contains("of 12 records")));
        assert_eq!((copy.records(), copy.position()), (0, 0));
        assert_eq!(verified().and_then(|wrong| wrong.record), Some(1));
    }
    // What the log's key signs now must go on from the head that is here, whatever the records are.
    let changed = log.forge(&log.text().replacen("broker.started", "node.joined", 2));
    for (what, (head, page)) in [("older", older), ("changed", changed)] {
        let forked = log.copy().take(&head, &page, &log.own, 7);
        assert!(matches!(forked, Err(Untaken::Forked { .. })), "{what}: {forked:?}");
        assert_eq!(fs::read_to_string(&files.records).expect("reads"), damaged, "{what}");
    }
    let mut copy = log.copy();
    log.grow(&mut copy, 400).expect("taken");
    assert_eq!(copy.damage(), None);
    assert_eq!((fs::read_to_string(&files.records).expect("reads"), verified()), (log.text(), None));
    assert_eq!(fs::read_to_string(files.records.with_extension("damaged")).expect("kept"), damaged);
    fs::remove_file(&files.records).expect("removed");
    assert_eq!(log.copy().records(), 0, "gone, and fetched anew");
    log.grow(&mut log.copy(), 1 << 20).expect("taken");
    assert_eq!(verified(), None);
    assert_eq!(fs::read_to_string(files.records.with_extension("damaged")).expect("kept"), damaged, "the first one");
    // Whatever was done to the head, what lies there is neither cut nor written over.
    for head in [Some("none"), None] {
        fs::remove_file(&files.head).expect("removed");
        if let Some(head) = head {
            fs::write(&files.head, head).expect("written");
        }
        let beside = files.records.with_extension("beside");
        fs::hard_link(&files.records, &beside).expect("linked");
        let mut copy = log.copy();
        assert!(copy.damage().is_some(), "{head:?}");
        log.grow(&mut copy, 400).expect("taken");
        assert_eq!((verified(), fs::read_to_string(&beside).expect("reads")), (None, log.text()), "{head:?}");
        log.write(1);
        log.grow(&mut copy, 400).expect("goes on");
        assert_ne!(fs::read_to_string(&beside).expect("reads"), log.text(), "the one before, as it was");
        fs::remove_file(beside).expect("removed");
    }
    assert_eq!(verified(), None);
    assert!(log.copy().is_of(log.key.as_str()) && !log.copy().is_of(log.own.public().as_str()));
}

#[test]
fn a_log_that_was_put_back_cut_or_made_anew_by_its_own_key_is_found() {
    let log = Watched::new();
    log.write(10);
    let older = log.forge(&log.text());
    log.write(10);
    log.grow(&mut log.copy(), 1 << 20).expect("taken");
    let text = log.text();
    let changed = text.replacen("broker.started", "broker.stopped", 1);
    let number = |number: usize| {
        format!(
            "{}\n",
            text.lines().nth(5).expect("a line").replacen("\"number\":5", &format!("\"number\":{number}"), 1)
        )
    };
    let longer = format!("{changed}{}", number(21));
    let renumbered = format!("{text}{}", number(99));
    let shorter_lines = format!("{}{}", text.replace("broker.started", "node.joined"), number(21));
    for (what, (head, records)) in [
        ("put back", older),
        ("changed", log.forge(&changed)),
        ("changed and gone on with", log.forge(&longer)),
        ("with a gap", log.forge(&renumbered)),
        ("of other lengths", log.forge(&shorter_lines)),
    ] {
        let mut copy = log.copy();
        let at = usize::try_from(copy.position()).expect("short");
        // As a broker gives it: nothing, where the copy's end is no end of a record.
        let page = records.get(at..).filter(|_| records[at - 1] == b'\n').unwrap_or_default();
        for _ in 0..2 {
            match copy.take(&head, page, &log.own, 7) {
                Err(Untaken::Forked { proof, .. }) => assert_eq!(proof, head, "{what}"),
                other => panic!("{what}: {other:?}"),
            }
        }
        assert_eq!(copy.records(), 21, "{what}: what was known stays");
        // Nothing of the other one lies in the copy, at no moment.
        let files = Files::of(&log.folder.path().join("copy").join(FILE));
        assert_eq!(fs::read_to_string(&files.records).expect("reads"), text, "{what}");
        log.grow(&mut copy, 1 << 20).expect("the real one goes on");
    }
    assert_eq!(log.copy().records(), 21);
    let folder = log.folder.path().join("copy");
    assert_eq!(proof_of_fork(&folder), None);
    for proof in ["the first", "another"] {
        keep_proof(&folder, proof.as_bytes()).expect("kept");
        assert_eq!(fs::read_to_string(folder.join(FORKED)).expect("kept"), "the first", "nobody hides it by the next");
    }
}

#[test]
fn another_key_and_a_page_that_does_not_read_are_not_taken() {
    let log = Watched::new();
    log.write(3);
    let mut copy = log.copy();
    let head = fs::read(log.files().head).expect("reads");
    assert!(matches!(copy.take(b"none", b"", &log.own, 7), Err(Untaken::Unfit(_))));
    assert!(matches!(copy.take(&head, b"{\"number\":0}", &log.own, 7), Err(Untaken::Unfit(_))));
    assert_eq!(copy.records(), 0);
    // What the log's key has not signed says nothing of its broker: any manager may serve in its place.
    let other = LogKey::make("one").expect("a key").1;
    let unsigned = copy.take(&other.sign(&Tree::default()).expect("signed"), b"", &log.own, 7);
    assert!(matches!(unsigned, Err(Untaken::Unfit(_))), "{unsigned:?}");
    log.grow(&mut copy, 1 << 20).expect("taken");
    let folder = log.folder.path().join("copy");
    assert!(matches!(LogCopy::open(&folder, other.public()), Err(Untaken::OtherKey)));
}

#[test]
fn a_long_record_that_is_none_is_named_in_few_words() {
    let log = Watched::new();
    let long = format!("{{\"number\":\"{}\"}}\n", "A".repeat(1 << 20));
    let (head, page) = log.forge(&long);
    match log.copy().take(&head, &page, &log.own, 7) {
        Err(Untaken::Forked { what, .. }) => assert!(what.len() < 200, "{} bytes", what.len()),
        other => panic!("{other:?}"),
    }
}
