//! The hash tree over a log's records (RFC 6962, section 2.1), as far as writing needs it: its right edge.
//!
//! Keeps promise 11: a head is a hash over every record before it. Must not hold more than a few hashes, however long
//! the log is.

use sha2::{Digest as _, Sha256};
pub(crate) use tlog_tiles::Hash;
use tlog_tiles::{node_hash, record_hash};

/// A tree that grows at its right edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    size: u64,
    /// The roots of the whole subtrees, the largest first.
    peaks: Vec<Hash>,
}

/// The hash of a record: of its line, without the newline.
pub(crate) fn leaf(line: &[u8]) -> Hash {
    record_hash(line)
}

impl Tree {
    /// The hash over the first of these records; None if there are fewer.
    pub(crate) fn root_of(leaves: &[Hash], size: u64) -> Option<Hash> {
        let mut tree = Self::default();
        tree.extend(leaves.get(..usize::try_from(size).ok()?)?);
        Some(tree.root())
    }

    /// Adds the next record's hash.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each one at the end of the size's binary digits is a subtree that this one makes whole.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(left, hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Adds the next records' hashes.
    pub(crate) fn extend(&mut self, leaves: &[Hash]) {
        for leaf in leaves {
            self.push(*leaf);
        }
    }

    /// How many records there are.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The hash over all of them.
    pub(crate) fn root(&self) -> Hash {
        let joined = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(left, right));
        joined.unwrap_or_else(|| Hash(Sha256::digest(b"").into()))
    }
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use sha2::Sha256;

    use super::*;

    #[test]
    fn roots_are_those_of_another_implementation() {
        let mut tree = Tree::default();
        let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for number in 0_u32..600 {
            assert_eq!(tree.root().0.as_slice(), other.root().as_bytes().as_slice(), "of {number} records");
            let record = format!("record {number}").into_bytes();
            tree.push(leaf(&record));
            other.push(record);
        }
        assert_eq!(tree.size(), 600);
        assert!(tree.peaks.len() <= 10);
    }
}
