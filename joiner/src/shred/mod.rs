//! `--shred-invite`: when the machine is in, the invite goes, and with it the copies that first-boot software keeps.
//!
//! Keeps an invite from lying on a machine for as long as it lives, for whoever can read user-data there.
//! Must not fail a boot: what cannot be cleaned is told in one warning, and tried again by the next run.

mod gzip;
mod places;
mod text;
mod walk;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use protocol::{InviteId, InviteLine, MAX_INVITE_LINE};
use rustix::fs::OFlags;

use crate::narrate;

/// How many places the warning names.
const MOST_NAMED: usize = 5;

/// Removes the invite's file, and overwrites copies of these invites on this machine.
pub(crate) fn shred(file: Option<&Path>, invites: &[InviteId]) {
    shred_below(Path::new("/"), file, invites);
}

fn shred_below(root: &Path, file: Option<&Path>, invites: &[InviteId]) {
    // The file last: while it is there, the unit runs again and finishes what was cut off.
    let mut outcome = walk::clean(root, places::PLACES, invites);
    let removed = file.is_some_and(|file| match remove(file) {
        Ok(removed) => removed,
        Err(why) => {
            outcome.left.insert(0, format!("{} ({why})", file.display()));
            false
        }
    });
    let copies = outcome.cleaned;
    match (removed, copies) {
        (false, 0) => {}
        (true, 0) => narrate::step("invite: its file was overwritten and removed"),
        (true, copies) => narrate::step(&format!(
            "invite: its file was overwritten and removed; it was overwritten in {copies} other files of this machine"
        )),
        (false, copies) => narrate::step(&format!("invite: it was overwritten in {copies} files of this machine")),
    }
    if !outcome.left.is_empty() {
        narrate::warn(&format!(
            "the invite may still stand in {}. Clean that by hand, or run 'joiner join --shred-invite' again",
            named(outcome.left)
        ));
    }
}

/// Overwrites and removes the invite's file. False: there is none.
fn remove(path: &Path) -> Result<bool, String> {
    let text = |error: io::Error| error.to_string();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(_) if path.is_symlink() => return Err("it is a symbolic link, which is not followed".to_owned()),
        Err(error) => return Err(text(error)),
    };
    let metadata = file.metadata().map_err(text)?;
    if !metadata.is_file() {
        return Err("it is not a plain file".to_owned());
    }
    if !holds_an_invite(&file).map_err(text)? {
        return Err("it holds something else than an invite".to_owned());
    }
    let length = usize::try_from(metadata.len()).unwrap_or(0);
    file.write_all_at(&vec![b'x'; length], 0).and_then(|()| file.sync_all()).map_err(text)?;
    let there = fs::symlink_metadata(path).map_err(text)?;
    if (there.dev(), there.ino()) != (metadata.dev(), metadata.ino()) {
        return Err("another file has taken its place".to_owned());
    }
    fs::remove_file(path).map_err(text)?;
    // A folder that cannot be flushed keeps a file of x's, at worst.
    let _ = path.parent().map(|folder| File::open(folder).and_then(|folder| folder.sync_all()));
    Ok(true)
}

/// Whether the file is one invite line, or what an interrupted run left of one. A mistaken path must not cost a file.
fn holds_an_invite(file: &File) -> io::Result<bool> {
    let mut text = String::new();
    match file.take(MAX_INVITE_LINE as u64 + 256).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
        read => read?,
    };
    Ok(InviteLine::parse(&text).is_ok() || text.bytes().all(|byte| byte == b'x' || byte.is_ascii_whitespace()))
}

fn named(mut places: Vec<String>) -> String {
    let more = places.len().saturating_sub(MOST_NAMED);
    places.truncate(MOST_NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::tests::{invite, line};
    use std::os::unix::fs::symlink;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("invite");
        fs::write(&path, text).expect("writes");
        (place, path)
    }

    #[test]
    fn the_invites_file_is_overwritten_before_it_is_removed() {
        let text = line(&invite()) + "\n";
        let (place, path) = file(&text);
        let kept = place.path().join("kept");
        fs::hard_link(&path, &kept).expect("links");
        assert_eq!(remove(&path), Ok(true));
        assert!(!path.exists());
        assert_eq!(fs::read_to_string(kept).expect("reads"), "x".repeat(text.len()));
        assert_eq!(remove(&path), Ok(false), "it is gone");
    }

    #[test]
    fn a_run_that_was_cut_off_between_the_two_is_finished() {
        let (_place, path) = file("xxxxxxxxxx");
        assert_eq!(remove(&path), Ok(true));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_not_an_invite_stays() {
        for text in ["root:x:0:0:root:/root:/bin/bash\n", "SWMTKN-1-a-b", "\u{1}", &(line(&invite()) + "\nmore")] {
            let (_place, path) = file(text);
            assert_eq!(remove(&path), Err("it holds something else than an invite".to_owned()));
            assert_eq!(fs::read_to_string(&path).expect("reads"), text);
        }
    }

    #[test]
    fn what_is_not_a_plain_file_stays() {
        let text = line(&invite());
        let (place, path) = file(&text);
        let link = place.path().join("link");
        symlink(&path, &link).expect("links");
        assert!(remove(&link).expect_err("a link").contains("symbolic link"));
        assert_eq!(fs::read_to_string(&path).expect("reads"), text);
        assert!(remove(place.path()).is_err(), "a folder");
        let pipe = place.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a pipe");
        assert!(remove(&pipe).is_err(), "a pipe");
    }

    #[test]
    fn a_warning_names_a_few_places_and_counts_the_others() {
        let places: Vec<String> = (1..=7).map(|at| format!("/{at}")).collect();
        assert_eq!(named(places[..2].to_vec()), "/1, /2");
        assert_eq!(named(places), "/1, /2, /3, /4, /5, and 2 more");
    }
}
