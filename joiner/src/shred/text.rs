//! Overwrites an invite in a file's bytes, whatever lies around it, without changing their number.
//!
//! Keeps the promise that only the wanted invites are touched: what is not a whole invite line with a wanted id stays,
//! so YAML, scripts and pickled objects stay readable, with `x`s where the invite was.
//! Must not take longer than its budget, whatever it is given: base64 and gzip are taken apart to a bounded depth.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use protocol::{INVITE_PREFIX, InviteId, InviteLine, MAX_INVITE_LINE};

use super::gzip;

/// User-data in base64, compressed, MIME parts in base64, a file's content in base64: four layers is what tools make.
const DEPTH: u32 = 4;
/// A shorter run of base64 cannot hold an invite.
const SHORTEST_RUN: usize = 256;
/// An ES256 signature, in base64url.
const SIGNATURE: usize = 86;

/// What was found that is not overwritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// An invite is in there that cannot be overwritten in place.
    pub(super) stuck: bool,
    /// Not everything could be looked through.
    pub(super) unsure: bool,
}

/// Overwrites every one of these invites in the bytes. What has to be taken apart for that is taken off the budget, in
/// bytes; where that does not suffice, nothing is left of it.
pub(super) fn overwrite(bytes: &mut [u8], wanted: &[InviteId], budget: &mut usize) -> Found {
    let mut search = Search { wanted, budget, stuck: false };
    search.layer(bytes, 0);
    Found { stuck: search.stuck, unsure: *search.budget == 0 }
}

struct Search<'a> {
    wanted: &'a [InviteId],
    budget: &'a mut usize,
    stuck: bool,
}

impl Search<'_> {
    /// Overwrites what is found in one layer and in those below it; tells whether the bytes have changed.
    fn layer(&mut self, bytes: &mut [u8], depth: u32) -> bool {
        let mut changed = self.plain(bytes);
        if depth < DEPTH {
            changed |= self.gzip(bytes, depth);
            changed |= self.base64(bytes, depth);
        }
        changed
    }

    fn plain(&self, bytes: &mut [u8]) -> bool {
        let (mut at, mut changed) = (0, false);
        while let Some(start) = find(&bytes[at..], INVITE_PREFIX.as_bytes()).map(|offset| at + offset) {
            at = start + INVITE_PREFIX.len();
            if let Some(length) = self.invite_at(&bytes[start..]) {
                bytes[start..start + length].fill(b'x');
                at = start + length;
                changed = true;
            }
        }
        changed
    }

    /// The length of the wanted invite that these bytes begin with.
    fn invite_at(&self, bytes: &[u8]) -> Option<usize> {
        let of_jws = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let text: Vec<u8> = bytes.iter().copied().take(MAX_INVITE_LINE).take_while(of_jws).collect();
        let mut dots = text.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        // What follows the signature may look as if it belonged to it: a full stop, or the next word.
        let end = dots.nth(1)? + 1 + SIGNATURE;
        let line = InviteLine::parse(str::from_utf8(text.get(..end)?).ok()?).ok()?;
        self.wanted.contains(&line.unverified().jti).then_some(end)
    }

    fn gzip(&mut self, bytes: &mut [u8], depth: u32) -> bool {
        let (mut at, mut changed) = (0, false);
        while let Some(start) = find(&bytes[at..], &gzip::MAGIC).map(|offset| at + offset) {
            at = start + gzip::MAGIC.len();
            let Some(mut member) = gzip::Member::read(&bytes[start..], self.budget) else { continue };
            at = start + member.length;
            if self.layer(&mut member.content, depth + 1) {
                match member.written() {
                    Some(again) => {
                        bytes[start..start + member.length].copy_from_slice(&again);
                        changed = true;
                    }
                    None => self.stuck = true,
                }
            }
        }
        changed
    }

    fn base64(&mut self, bytes: &mut [u8], depth: u32) -> bool {
        let (mut at, mut changed) = (0, false);
        while let Some(run) = next_run(bytes, &mut at) {
            // What stands before the data, a word of a mail's header, say, may be of base64's letters as well.
            for skipped in 0..4 {
                let run = &run[skipped..];
                *self.budget = self.budget.saturating_sub(run.len());
                if *self.budget == 0 {
                    return changed;
                }
                // A single letter at the end holds no whole byte.
                let run = &run[..run.len() - usize::from(run.len() % 4 == 1)];
                let letters: Vec<u8> = run.iter().map(|at| bytes[*at]).collect();
                let Ok(mut content) = BASE64.decode(letters) else { continue };
                if self.layer(&mut content, depth + 1) {
                    let again = BASE64.encode(content);
                    run.iter().zip(again.bytes()).for_each(|(at, letter)| bytes[*at] = letter);
                    changed = true;
                }
            }
        }
        changed
    }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The positions of the letters of the next long run of base64, which may go over several lines.
fn next_run(bytes: &[u8], at: &mut usize) -> Option<Vec<usize>> {
    while *at < bytes.len() {
        let mut run = Vec::new();
        while *at < bytes.len() {
            if let Some(length) = line_break(&bytes[*at..]) {
                *at += length;
            } else if is_letter(bytes[*at]) {
                run.push(*at);
                *at += 1;
            } else {
                break;
            }
        }
        if run.len() >= SHORTEST_RUN {
            return Some(run);
        }
        *at += 1;
    }
    None
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// The length of a line break with the next line's indentation, also of one that JSON has escaped.
fn line_break(bytes: &[u8]) -> Option<usize> {
    let breaks: [&[u8]; 4] = [b"\r\n", b"\n", b"\\r\\n", b"\\n"];
    let length = breaks.into_iter().find(|text| bytes.starts_with(text))?.len();
    let indent = bytes[length..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    Some(length + indent)
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::tests::{invite, line};
    use base64::engine::general_purpose::STANDARD as PADDED;

    /// An invite line, its id, and the `x`s that take its place.
    fn one() -> (String, InviteId, String) {
        let invite = invite();
        let line = line(&invite);
        let xs = "x".repeat(line.len());
        (line, invite.jti, xs)
    }

    fn cleaned(bytes: &mut [u8], wanted: &[InviteId]) -> Found {
        overwrite(bytes, wanted, &mut (8 * 1024 * 1024))
    }

    /// User-data, with this where the invite is.
    fn user_data(line: &str) -> String {
        format!("#cloud-config\nwrite_files:\n- path: /etc/joiner/invite\n  content: {line}\nruncmd:\n- [ true ]\n")
    }

    fn in_lines(text: &str, line_break: &str) -> String {
        let lines: Vec<&str> =
            (0..text.len().div_ceil(76)).map(|at| &text[at * 76..text.len().min(at * 76 + 76)]).collect();
        lines.join(line_break) + line_break
    }

    #[test]
    fn an_invite_becomes_as_many_xs_and_all_around_it_stays() {
        let (line, id, xs) = one();
        for around in ["{}", "'{}'", "{}\n", "content: {}, and more", "{}.", "echo {}|cat", "\"{}\\n\"", "é{}\u{1f600}"]
        {
            let mut bytes = around.replace("{}", &line).into_bytes();
            assert_eq!(cleaned(&mut bytes, std::slice::from_ref(&id)), Found::default());
            assert_eq!(String::from_utf8(bytes).expect("text"), around.replace("{}", &xs), "{around}");
        }
    }

    #[test]
    fn only_the_wanted_invite_is_touched() {
        let ((line, id, xs), (other, ..)) = (one(), one());
        let cut = &line[..line.len() - 1];
        let mut bytes = format!("{other} {line} {cut} SWINV-1- {other}").into_bytes();
        assert_eq!(cleaned(&mut bytes, &[id]), Found::default());
        assert_eq!(String::from_utf8(bytes).expect("text"), format!("{other} {xs} {cut} SWINV-1- {other}"));
    }

    #[test]
    fn base64_is_cleaned_at_every_offset_and_in_lines_and_reads_as_before_otherwise() {
        let (line, id, xs) = one();
        for offset in 0..6 {
            for line_break in ["", "\n", "\r\n", "\n      ", "\\n", "\\r\\n"] {
                let data = |invite: &str| "y".repeat(offset) + &user_data(invite);
                let coded = PADDED.encode(data(&line));
                let coded = if line_break.is_empty() { coded } else { in_lines(&coded, line_break) };
                let mut bytes = format!("Content-Transfer-Encoding: base64\n\n{coded}--===1==").into_bytes();
                let length = bytes.len();
                assert_eq!(cleaned(&mut bytes, std::slice::from_ref(&id)), Found::default());
                assert_eq!(bytes.len(), length);
                let text = String::from_utf8(bytes).expect("text");
                let body = text.strip_prefix("Content-Transfer-Encoding: base64\n\n").expect("the header stays");
                let body = body.strip_suffix("--===1==").expect("the end stays");
                let unbroken = if line_break.is_empty() { body.to_owned() } else { body.replace(line_break, "") };
                let decoded = PADDED.decode(unbroken).expect("is base64");
                assert_eq!(String::from_utf8(decoded).expect("text"), data(&xs), "{offset} {line_break:?}");
            }
        }
    }

    #[test]
    fn layers_are_cleaned_to_the_last_one() {
        let (line, id, xs) = one();
        let packed = |data: &str| gzip::tests::packed(data.as_bytes(), &[]);
        // What Azure keeps of compressed MIME with a part in base64 that writes a file in base64.
        let layers = |invite: &str| {
            let file = PADDED.encode(format!("{invite}\n"));
            let part = in_lines(&PADDED.encode(user_data(&file)), "\n");
            packed(&format!("Content-Type: multipart/mixed\n\n{part}"))
        };
        let mut bytes = format!("<CustomData>{}</CustomData>", PADDED.encode(layers(&line))).into_bytes();
        let before = bytes.clone();
        assert_eq!(cleaned(&mut bytes, &[id]), Found::default());
        assert_eq!(bytes.len(), before.len());
        let text = String::from_utf8(bytes).expect("text");
        let coded = text.strip_prefix("<CustomData>").and_then(|text| text.strip_suffix("</CustomData>"));
        let member = PADDED.decode(coded.expect("the document stays")).expect("is base64");
        let content = gzip::Member::read(&member, &mut (1 << 20)).expect("is whole").content;
        let expected = gzip::Member::read(&layers(&xs), &mut (1 << 20)).expect("is whole").content;
        assert_eq!(content, expected);
    }

    #[test]
    fn text_without_an_invite_stays_as_it_is() {
        let (_, id, _) = one();
        let mut everything: Vec<u8> = (0..=255).collect();
        everything.extend(user_data("SWINV-1-a.b.c").bytes());
        everything.extend(PADDED.encode(vec![0; 3000]).bytes());
        everything.extend(gzip::tests::packed(&[0; 3000], &[]));
        let before = everything.clone();
        assert_eq!(cleaned(&mut everything, &[id]), Found::default());
        assert_eq!(everything, before);
    }

    #[test]
    fn more_layers_and_larger_ones_than_any_tool_makes_come_to_an_end() {
        let (line, id, _) = one();
        let mut deep = line.into_bytes();
        for _ in 0..12 {
            deep = PADDED.encode(deep).into_bytes();
        }
        let before = deep.clone();
        assert_eq!(cleaned(&mut deep, std::slice::from_ref(&id)), Found::default());
        assert_eq!(deep, before);
        // Each layer is looked at from four offsets, and so is what comes out of it.
        let out_of_budget = |mut bytes: Vec<u8>| overwrite(&mut bytes, std::slice::from_ref(&id), &mut 500_000).unsure;
        let mut large = vec![b'A'; 50_000];
        for _ in 0..3 {
            large = PADDED.encode(large).into_bytes();
        }
        assert!(out_of_budget(large));
        // Hundred kilobytes of zeros in a hundred bytes, again and again.
        let bomb = gzip::tests::packed(&vec![0; 100_000], &[]);
        assert!(out_of_budget(bomb.repeat(50)));
        assert!(out_of_budget(bomb[..bomb.len() - 1].repeat(50)));
    }
}
