//! Text from a log, and times, as the page shows them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What nobody can see, or what turns the text around it, made visible. HTML's own characters are maud's business.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(deceives) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if deceives(letter) {
            // Writing to a String does not fail.
            let _ = write!(shown, "{}", letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// The same for text of several lines.
pub(super) fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// Control characters, and Unicode's marks of direction and of no width.
fn deceives(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The beginning of an id: enough to tell it from others.
pub(super) fn short(id: &str) -> Cow<'_, str> {
    match id.char_indices().nth(12) {
        Some((end, _)) => Cow::Owned(format!("{}…", visible(&id[..end]))),
        None => visible(id),
    }
}

/// '2026-11-21 08:30:11'
pub(super) fn moment(seconds: u64) -> String {
    strftime(seconds, "%Y-%m-%d %H:%M:%S")
}

/// A time in UTC, in this form.
pub(super) fn strftime(seconds: u64, form: &str) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.strftime(form).to_string())
}

/// '1 node', '2 nodes'
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {many}", grouped(count)) }
}

/// '12,345'
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_the_eye_is_shown() {
        assert_eq!(visible("worker-1"), "worker-1");
        assert_eq!(visible("ab\u{202e}fdp.exe\u{0}"), "ab\\u{202e}fdp.exe\\u{0}");
        assert_eq!(visible("größe 机器"), "größe 机器", "letters of any script stay");
        assert_eq!((short("0123456789ab"), short("0123456789abc")), ("0123456789ab".into(), "0123456789ab…".into()));
    }

    #[test]
    fn counts_and_times_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "node", "nodes"), counted(2, "node", "nodes")), ("1 node".into(), "2 nodes".into()));
        assert_eq!(moment(1_795_249_811), "2026-11-21 08:30:11");
    }
}
