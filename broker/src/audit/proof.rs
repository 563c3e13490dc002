//! That a record is in the tree under a head (RFC 6962, section 2.1.1): a few hashes, instead of the log.
//!
//! Keeps promise 11 for whoever has one record and no log. Must not need more than the hashes of the records.

use tlog_tiles::{Error as TileError, HashReader, check_record, prove_record, split_stored_hash_index};

use super::head::Head;
use super::tree::{Hash, Tree};

/// No path is longer: one hash for each time that a tree can be halved.
const LONGEST: usize = 64;

/// The hashes that lead from a record to the root over all of these. None if it is not among them.
pub(crate) fn path(leaves: &[Hash], number: u64) -> Option<Vec<Hash>> {
    prove_record(leaves.len() as u64, number, &Leaves(leaves)).ok()
}

/// Whether a path leads from this record to the root that the head names.
pub(crate) fn leads(path: &[Hash], number: u64, leaf: Hash, head: &Head) -> bool {
    path.len() <= LONGEST && check_record(&path.to_vec(), head.size, head.root, number, leaf).is_ok()
}

/// The hashes of the records, from which those above them follow.
struct Leaves<'l>(&'l [Hash]);

impl HashReader for Leaves<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, TileError> {
        let subtree = |index: &u64| {
            let (level, number) = split_stored_hash_index(*index);
            let (first, last) = (number.checked_shl(level.into())?, (number + 1).checked_shl(level.into())?);
            let leaves = self.0.get(usize::try_from(first).ok()?..usize::try_from(last).ok()?)?;
            let mut tree = Tree::default();
            tree.extend(leaves);
            Some(tree.root())
        };
        indexes.iter().map(|index| subtree(index).ok_or(TileError::InvalidProof)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use sha2::Sha256;

    use super::super::tree::leaf;
    use super::*;

    #[test]
    fn paths_are_those_of_another_implementation() {
        let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let (mut leaves, mut tree) = (Vec::new(), Tree::default());
        for size in 1_u64..=70 {
            let record = format!("record {}", size - 1).into_bytes();
            leaves.push(leaf(&record));
            tree.push(leaf(&record));
            other.push(record);
            let head = Head { size, root: tree.root() };
            for number in 0..size {
                let at = usize::try_from(number).expect("a small number");
                let path = path(&leaves, number).expect("it is there");
                let bytes: Vec<u8> = path.iter().flat_map(|hash| hash.0).collect();
                assert_eq!(bytes, other.prove_inclusion(at).as_bytes(), "record {number} of {size}");
                assert!(leads(&path, number, leaves[at], &head));
                assert!(!leads(&path, number, leaf(b"another"), &head), "another record in its place");
                assert!(!leads(&path, (number + 1) % size, leaves[at], &head) || size == 1, "in another place");
                assert!(!leads(&path, number, leaves[at], &Head { size, root: leaf(b"another") }), "another log");
            }
            assert!(path(&leaves, size).is_none() && !leads(&[], size, leaves[0], &head));
        }
        assert!(!leads(&[leaves[0]; LONGEST + 1], 0, leaves[0], &Head { size: u64::MAX, root: leaves[0] }));
    }
}
