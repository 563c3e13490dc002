//! One member of a gzip file, taken apart and written again in exactly as many bytes.
//!
//! Keeps compressed user-data readable for whoever reads it next: what is written is a gzip member by RFC 1952, filled
//! up with a comment, which every reader skips.
//! Must not unpack more than it is allowed to, however well the bytes were compressed.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// What a member begins with: gzip's own two bytes, and "deflate" (RFC 1952 §2.3.1).
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Magic, flags, time, extra flags, operating system.
const HEADER: usize = 10;
/// After the content: what tells whether it is whole.
const TRAILER: usize = 8;
/// How much is unpacked at once.
const STEP: usize = 64 * 1024;
/// Stronger is slower, and gains nothing: an invite compresses badly, and the x's in its place well.
const LEVEL: u8 = 9;

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

/// A member and what was packed in it.
pub(super) struct Member {
    header: [u8; HEADER],
    /// How many bytes it takes.
    pub(super) length: usize,
    /// What was packed.
    pub(super) content: Vec<u8>,
}

impl Member {
    /// Reads the member that these bytes begin with, if it is whole. What is unpacked, also in vain, is taken off the budget;
    /// where that does not suffice, nothing is left of it.
    pub(super) fn read(bytes: &[u8], budget: &mut usize) -> Option<Self> {
        let header: [u8; HEADER] = *bytes.first_chunk()?;
        let begin = HEADER + fields(&bytes[HEADER..], header[3])?;
        let (content, packed) = unpack(bytes.get(begin..)?, budget)?;
        let end = begin + packed;
        let whole = bytes.get(end..end + TRAILER)? == trailer(&content);
        whole.then_some(Self { header, length: end + TRAILER, content })
    }

    /// The member with its content as it is now; `None` where that takes more bytes than before.
    pub(super) fn written(&self) -> Option<Vec<u8>> {
        let packed = compress_to_vec(&self.content, LEVEL);
        let spare = self.length.checked_sub(HEADER + packed.len() + TRAILER)?;
        let mut header = self.header;
        header[3] = if spare > 0 { COMMENT } else { 0 };
        let mut written = Vec::with_capacity(self.length);
        written.extend_from_slice(&header);
        if let Some(text) = spare.checked_sub(1) {
            written.resize(HEADER + text, b'x');
            written.push(0);
        }
        written.extend_from_slice(&packed);
        written.extend_from_slice(&trailer(&self.content));
        Some(written)
    }
}

/// The length of the fields between header and content.
fn fields(bytes: &[u8], flags: u8) -> Option<usize> {
    let mut at = 0;
    if flags & EXTRA != 0 {
        at += 2 + usize::from(u16::from_le_bytes(*bytes.first_chunk()?));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            at += 1 + bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        at += 2;
    }
    Some(at)
}

/// Unpacks; gives the content, and how many bytes it was packed in.
fn unpack(bytes: &[u8], budget: &mut usize) -> Option<(Vec<u8>, usize)> {
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let (mut content, mut read) = (Vec::new(), 0);
    loop {
        let had = content.len();
        content.resize(had + STEP, 0);
        let step = inflate(&mut state, &bytes[read..], &mut content[had..], MZFlush::None);
        read += step.bytes_consumed;
        content.truncate(had + step.bytes_written);
        *budget = budget.saturating_sub(step.bytes_written);
        if *budget == 0 {
            return None;
        }
        match step.status {
            Ok(MZStatus::StreamEnd) => return Some((content, read)),
            Ok(_) if step.bytes_written + step.bytes_consumed > 0 => {}
            _ => return None,
        }
    }
}

/// CRC-32 and length of the content, the latter modulo 2^32.
fn trailer(content: &[u8]) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    trailer[..4].copy_from_slice(&crc32(content).to_le_bytes());
    trailer[4..].copy_from_slice(&(content.len() as u64).to_le_bytes()[..4]);
    trailer
}

/// CRC-32 as gzip has it (RFC 1952 §8), bit by bit: it is used on a few kilobytes, once.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
    use miniz_oxide::deflate::stream::deflate;

    /// A member as another tool would write it, with these flags and fields.
    pub(in crate::shred) fn packed(content: &[u8], fields: &[(u8, &[u8])]) -> Vec<u8> {
        let flags = fields.iter().fold(0, |flags, (flag, _)| flags | flag);
        let mut member = [&MAGIC[..], &[flags, 1, 2, 3, 4, 2, 3]].concat();
        for (_, field) in fields {
            member.extend_from_slice(field);
        }
        member.extend_from_slice(&compress_to_vec(content, 6));
        member.extend_from_slice(&trailer(content));
        member
    }

    /// A member with this and much more in it, packed better than we can: each part in a block with a code of its own.
    pub(in crate::shred) fn tight(content: &[u8]) -> Vec<u8> {
        let mut chance = 1_u32;
        let mut letters = |first: u8| -> Vec<u8> {
            let mut letter = || {
                chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                first + (chance >> 28) as u8
            };
            (0..20_000).map(|_| letter()).collect()
        };
        let parts = [content.to_vec(), letters(b'A'), letters(b'a')];
        let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(9, 0, 0));
        let mut packed = Vec::new();
        for (part, flush) in parts.iter().zip([MZFlush::Full, MZFlush::Full, MZFlush::Finish]) {
            let mut room = vec![0; 100_000];
            let step = deflate(&mut compressor, part, &mut room, flush);
            assert_eq!(step.bytes_consumed, part.len());
            packed.extend_from_slice(&room[..step.bytes_written]);
        }
        [&MAGIC[..], &[0; HEADER - MAGIC.len()], &packed, &trailer(&parts.concat())].concat()
    }

    #[test]
    fn the_checksum_is_gzips() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_member_is_written_again_in_as_many_bytes() {
        let secret: String = protocol::random::<256>().map(|byte| char::from(b'!' + byte % 90)).iter().collect();
        let content = format!("content: {secret}\n");
        let fields: [&[(u8, &[u8])]; 3] = [
            &[],
            &[(NAME, b"user-data\0")],
            &[(EXTRA, b"\x03\0abc"), (NAME, b"n\0"), (COMMENT, b"c\0"), (HEADER_CRC, b"zz")],
        ];
        for fields in fields {
            let mut bytes = packed(content.as_bytes(), fields);
            let length = bytes.len();
            bytes.extend_from_slice(b"what follows");
            let mut member = Member::read(&bytes, &mut (1 << 20)).expect("is whole");
            assert_eq!((member.length, member.content.as_slice()), (length, content.as_bytes()));
            let changed = content.replace(&secret, &"x".repeat(secret.len()));
            member.content = changed.clone().into_bytes();
            let again = member.written().expect("has room");
            assert_eq!(again.len(), length);
            let read = Member::read(&again, &mut (1 << 20)).expect("is whole");
            assert_eq!((read.length, read.content), (length, changed.into_bytes()));
        }
    }

    #[test]
    fn what_takes_more_room_than_before_is_not_written() {
        let mut member = Member::read(&packed(&[b'a'; 1000], &[]), &mut (1 << 20)).expect("is whole");
        member.content = (0..4).flat_map(|_| protocol::random::<250>()).collect();
        assert_eq!(member.written(), None);
    }

    #[test]
    fn what_is_cut_off_altered_or_too_large_is_no_member() {
        let whole = packed(b"some content", &[(NAME, b"name\0")]);
        for end in 0..whole.len() {
            assert!(Member::read(&whole[..end], &mut (1 << 20)).is_none(), "{end}");
        }
        let mut altered = whole.clone();
        *altered.last_mut().expect("is not empty") ^= 1;
        assert!(Member::read(&altered, &mut (1 << 20)).is_none());
        assert!(Member::read(&packed(&vec![0; 100_000], &[]), &mut 100_000).is_none());
        assert!(Member::read(&packed(&vec![0; 100_000], &[]), &mut 100_001).is_some());
    }
}
