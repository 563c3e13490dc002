//! A log as tiles (C2SP tlog-tiles): files of 256 hashes or records each, which never change once they are full.
//!
//! Keeps promise 11 where the log itself is not: tiles can be copied piece by piece, and moved to wherever they are to be
//! kept. Must not take away or change one that is full.

mod check;
mod write;

use std::path::Path;

use tlog_tiles::Tile;

use super::files::{BESIDE, FILE};
use super::tree::Hash;

pub(crate) use check::{CheckedTiles, check};
pub(crate) use write::{Written, write};

/// Of 2^8 hashes.
const HEIGHT: u8 = 8;
/// How many a full tile has.
const WIDTH: u64 = 1 << HEIGHT;
/// The last signed head.
const HEAD: &str = "checkpoint";
/// The log's public key.
const PUBLIC: &str = "audit.pub";
/// The bytes of a record's length, before it in a bundle.
const LENGTH: usize = 2;

/// Whether a folder has a log as tiles. Where anything of a log itself is they are none: whoever can write there could put
/// tiles beside a log that they changed, and nobody would look at it.
pub(crate) fn are_in(folder: &Path) -> bool {
    let mut of_log = [FILE].into_iter().chain(BESIDE).filter(|name| *name != PUBLIC);
    folder.join(HEAD).exists() && !of_log.any(|name| folder.join(name).exists())
}

/// What a tile has: hashes of a level of the tree, or the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Level(u8),
    Records,
}

/// Where a tile is, below the log's folder.
fn path(of: Of, number: u64, width: u64) -> String {
    let width = u32::try_from(width).unwrap_or(0).clamp(1, 1 << HEIGHT);
    let (level, records) = if let Of::Level(level) = of { (level, false) } else { (0, true) };
    // The crate names them as Go's checksum database does: with the height, and "data" for records.
    let path = Tile::new(HEIGHT, level, number, width, records).path();
    let path = path.replacen("tile/8/", "tile/", 1);
    if records { path.replacen("tile/data/", "tile/entries/", 1) } else { path }
}

/// The hashes of each level that has any: each hash of one is over 256 of the one below.
fn levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves];
    while let Some(below) = levels.last().filter(|below| below.len() as u64 >= WIDTH) {
        let above = below.as_chunks::<256>().0.iter().map(|full| Tile::subtree_hash(&bytes(full)));
        levels.push(above.collect());
    }
    levels
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[cfg(test)]
mod tests;
