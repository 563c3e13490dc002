//! A joiner program: its bytes, their hash, and what its ELF header says that it runs on.
//!
//! Keeps promise 13: what is kept for months is known by its SHA-256, and was a program that can run when it came.
//! Must not run it: the broker only hands it on.

use hyper::body::Bytes;
use protocol::{Architecture, JoinerHash};

/// The largest program that is kept, in bytes. A static joiner has 1.2 to 2.4 MB, one that was built for debugging 28.
pub(crate) const MOST_BYTES: usize = 32 * 1024 * 1024;

/// A joiner program, looked at and hashed.
#[derive(Clone)]
pub(crate) struct Program {
    bytes: Bytes,
    hash: JoinerHash,
    architecture: Architecture,
    dynamic: bool,
}

/// Why something is no joiner that a new machine could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoJoiner {
    #[error("it is larger than {} MiB, which no joiner is", MOST_BYTES / 1024 / 1024)]
    TooLarge,
    #[error("it is no Linux program of 64 bits (little-endian ELF): use the joiner that './run package' builds")]
    NoProgram,
    #[error("it is for a processor of another kind than x86_64 and aarch64 (ELF machine {0})")]
    OtherMachine(u16),
    #[error("it needs shared libraries, which a new machine may not have: use the static joiner of './run package'")]
    Dynamic,
}

impl Program {
    /// Looks at the bytes of a program.
    pub(crate) fn read(bytes: impl Into<Bytes>) -> Result<Self, NoJoiner> {
        let bytes = bytes.into();
        if bytes.len() > MOST_BYTES {
            return Err(NoJoiner::TooLarge);
        }
        let (architecture, dynamic) = header(&bytes)?;
        Ok(Self { hash: JoinerHash::of(&bytes), bytes, architecture, dynamic })
    }

    /// What it is known by.
    pub(crate) fn hash(&self) -> &JoinerHash {
        &self.hash
    }

    /// What it runs on.
    pub(crate) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Whether it needs shared libraries, which a new machine may not have. The package's joiners need none.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.dynamic
    }

    /// The program itself.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// What a program runs on, and whether it is dynamic. Five numbers at places that the ELF specification fixes (System V gABI, chapters 4
/// and 5) are all that is read, so a parser of the whole format would bring more than it spares.
fn header(bytes: &[u8]) -> Result<(Architecture, bool), NoJoiner> {
    /// Class 64 bits, little-endian, after the magic number.
    const IDENT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    /// `e_type`: a program at a fixed place, or one that can be placed anywhere (a static PIE).
    const KINDS: [u16; 2] = [2, 3];
    /// `p_type` of the segment that names the dynamic loader.
    const INTERPRETER: u32 = 3;

    if !bytes.starts_with(&IDENT) || !KINDS.contains(&u16_at(bytes, 16)?) {
        return Err(NoJoiner::NoProgram);
    }
    let architecture = match u16_at(bytes, 18)? {
        62 => Architecture::X86_64,
        183 => Architecture::Aarch64,
        other => return Err(NoJoiner::OtherMachine(other)),
    };
    let segments = u64::from_le_bytes(array_at(bytes, 32)?);
    let (size, count) = (u64::from(u16_at(bytes, 54)?), u64::from(u16_at(bytes, 56)?));
    if count == 0 {
        return Err(NoJoiner::NoProgram);
    }
    let mut dynamic = false;
    for number in 0..count {
        let place = segments.checked_add(number * size).and_then(|place| usize::try_from(place).ok());
        let kind = u32::from_le_bytes(array_at(bytes, place.ok_or(NoJoiner::NoProgram)?)?);
        dynamic |= kind == INTERPRETER;
    }
    Ok((architecture, dynamic))
}

fn u16_at(bytes: &[u8], place: usize) -> Result<u16, NoJoiner> {
    array_at(bytes, place).map(u16::from_le_bytes)
}

fn array_at<const N: usize>(bytes: &[u8], place: usize) -> Result<[u8; N], NoJoiner> {
    bytes.get(place..).and_then(|rest| rest.first_chunk()).copied().ok_or(NoJoiner::NoProgram)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The smallest thing that looks like a static program: a header, one segment, and something to tell it by.
    pub(in crate::joiners) fn elf(machine: u16, segment: u32, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        bytes[16..18].copy_from_slice(&2_u16.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&segment.to_le_bytes());
        bytes.extend_from_slice(tail);
        bytes
    }

    /// A joiner for `x86_64` that differs from others by its tail.
    pub(in crate::joiners) fn joiner(tail: &str) -> Program {
        Program::read(elf(62, 1, tail.as_bytes())).expect("a joiner")
    }

    #[test]
    fn a_static_program_of_either_kind_is_a_joiner() {
        assert_eq!(joiner("").architecture(), Architecture::X86_64);
        let arm = Program::read(elf(183, 1, b"")).expect("a joiner");
        assert_eq!(arm.architecture(), Architecture::Aarch64);
        assert_eq!(*arm.hash(), JoinerHash::of(&elf(183, 1, b"")));
    }

    #[test]
    fn what_a_new_machine_could_not_run_is_no_joiner() {
        let refused = |bytes: Vec<u8>| Program::read(bytes).err().expect("refused");
        assert_eq!(refused(b"#!/bin/sh\n".to_vec()), NoJoiner::NoProgram);
        assert_eq!(refused(Vec::new()), NoJoiner::NoProgram);
        assert_eq!(refused(elf(243, 1, b"")), NoJoiner::OtherMachine(243));
        assert_eq!(refused(vec![0; MOST_BYTES + 1]), NoJoiner::TooLarge);
        let object = [&elf(62, 1, b"")[..16], &[1, 0], &elf(62, 1, b"")[18..]].concat();
        assert_eq!(refused(object), NoJoiner::NoProgram);
    }

    #[test]
    fn this_test_itself_is_dynamic() {
        // A real program of the linker's, not one of ours.
        let own = std::env::current_exe().expect("a path");
        let mut head = std::fs::read(own).expect("reads");
        head.truncate(MOST_BYTES);
        assert!(Program::read(head).expect("a program").is_dynamic());
        assert!(!joiner("").is_dynamic());
    }

    #[test]
    fn a_header_that_is_cut_off_or_points_elsewhere_is_no_program() {
        let whole = elf(62, 1, b"");
        for length in 0..whole.len() - 52 {
            assert_eq!(Program::read(whole[..length].to_vec()).err(), Some(NoJoiner::NoProgram), "{length}");
        }
        let mut far = whole;
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Program::read(far).err(), Some(NoJoiner::NoProgram));
    }
}
