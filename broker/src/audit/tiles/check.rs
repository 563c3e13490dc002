//! Whether tiles are what was signed. Records that were moved away are known by their hashes.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{HEAD, HEIGHT, LENGTH, Of, PUBLIC, WIDTH, levels, path};
use crate::audit::AuditError;
use crate::audit::head::{Head, PublicLogKey};
use crate::audit::reading::numbered;
use crate::audit::tree::{Hash, Tree, leaf};
use crate::audit::verify::{Checked, Wrong, signed};

/// What became of a look at a log's tiles.
#[derive(Debug)]
pub(crate) struct CheckedTiles {
    pub(crate) checked: Checked,
    /// How many records are not here: their bundles were moved away.
    pub(crate) elsewhere: u64,
    /// The hashes of all records.
    leaves: Vec<Hash>,
}

impl CheckedTiles {
    /// Whether they have all that this head covers, and as it says.
    pub(crate) fn continues(&self, head: Head) -> bool {
        Tree::root_of(&self.leaves, head.size) == Some(head.root)
    }
}

/// Checks a log's tiles with these keys; without any, with the one that lies beside them.
pub(crate) fn check(folder: &Path, keys: &[PublicLogKey]) -> Result<CheckedTiles, AuditError> {
    let signed = signed(&folder.join(HEAD), &folder.join(PUBLIC), keys)?;
    let mut seen = Seen { folder, leaves: Vec::new(), elsewhere: 0, wrong: None };
    match &signed.head {
        Ok(head) => seen.read(*head)?,
        Err(wrong) => seen.wrong = Some(wrong.clone()),
    }
    let checked = signed.checked(seen.leaves.len() as u64, seen.wrong);
    Ok(CheckedTiles { checked, elsewhere: seen.elsewhere, leaves: seen.leaves })
}

struct Seen<'f> {
    folder: &'f Path,
    leaves: Vec<Hash>,
    elsewhere: u64,
    wrong: Option<Wrong>,
}

impl Seen<'_> {
    fn read(&mut self, head: Head) -> Result<(), AuditError> {
        for number in 0..head.size.div_ceil(WIDTH) {
            let width = WIDTH.min(head.size - number * WIDTH);
            let Some(hashes) = self.tile(Of::Level(0), number, width)? else {
                self.found(Some(number * WIDTH), format!("{} is missing", path(Of::Level(0), number, width)));
                return Ok(());
            };
            let hashes = hashes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash));
            // A later export may have made it longer than this head goes.
            let hashes: Vec<Hash> = hashes.take(usize::try_from(width).unwrap_or(0)).collect();
            if (hashes.len() as u64) < width {
                self.found(Some(number * WIDTH), format!("{} is cut off", path(Of::Level(0), number, width)));
                return Ok(());
            }
            match self.tile(Of::Records, number, width)? {
                Some(bundle) => self.bundle(number, &bundle, &hashes),
                None => self.elsewhere += width,
            }
            self.leaves.extend(hashes);
        }
        let above = self.above(head.size)?;
        if Tree::root_of(&self.leaves, head.size) != Some(head.root) {
            self.found(
                above.map(|tile| tile * WIDTH),
                "the records from here on, or their hashes, are not what was signed".into(),
            );
        } else if let Some(tile) = above {
            self.found(
                Some(tile * WIDTH),
                "the hashes above the records are not what was signed; the records are".into(),
            );
        }
        Ok(())
    }

    /// A tile's bytes: of the width that the head says, or of a full one, which has what it has and more.
    fn tile(&self, of: Of, number: u64, width: u64) -> Result<Option<Vec<u8>>, AuditError> {
        for width in [width, WIDTH] {
            let path = self.folder.join(path(of, number, width));
            match fs::read(&path) {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(AuditError::io(&path, &error)),
            }
        }
        Ok(None)
    }

    /// Holds a bundle's records against their hashes.
    fn bundle(&mut self, number: u64, mut bundle: &[u8], hashes: &[Hash]) {
        for (record, hash) in (number * WIDTH..).zip(hashes) {
            let read = bundle
                .split_first_chunk::<LENGTH>()
                .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
            let Some((line, rest)) = read else {
                return self.found(Some(record), "it and what follows in its tile are cut off".into());
            };
            if leaf(line) != *hash {
                return self.found(Some(record), "it is not the record that was signed".into());
            }
            if let Err(what) = numbered(line, record) {
                return self.found(Some(record), what);
            }
            bundle = rest;
        }
    }

    /// The first tile of hashes that the hashes above them do not fit; None if all do.
    fn above(&mut self, size: u64) -> Result<Option<u64>, AuditError> {
        for (level, hashes) in (1..).zip(levels(self.leaves.clone()).into_iter().skip(1)) {
            for (number, should) in (0..).zip(hashes.chunks(1 << HEIGHT)) {
                let width = WIDTH.min((size >> (8 * u32::from(level))) - number * WIDTH);
                let Some(tile) = self.tile(Of::Level(level), number, width)? else {
                    return Ok(Some(number << (8 * u32::from(level))));
                };
                let (is, _) = tile.as_chunks::<32>();
                let differs = (0..).zip(should).find(|(at, should)| is.get(*at) != Some(&should.0));
                if let Some((at, _)) = differs {
                    return Ok(Some((number * WIDTH + at as u64) << (8 * (u32::from(level) - 1))));
                }
            }
        }
        Ok(None)
    }

    /// The first thing that is wrong stays.
    fn found(&mut self, record: Option<u64>, what: String) {
        self.wrong.get_or_insert(Wrong { record, what });
    }
}
