//! Reading what a release wrote that may be newer than this one: the number of its format is looked at before all else.
//!
//! Keeps promise 13: what is newer is said to be newer, and not to be damaged. Must not guess at what a newer release meant.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why it does not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// A newer release wrote it, in this format.
    Newer(u32),
    /// It is not what it should be.
    Damaged {
        /// Counted from 1.
        line: usize,
        column: usize,
        /// What is wrong there. It may quote what it found: not for a text that holds secrets.
        words: String,
    },
}

/// Reads JSON whose field `format` (or `backup`, in the first line of one) is at most `known`.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], known: u32) -> Result<T, Unread> {
    #[derive(Deserialize)]
    struct Format {
        #[serde(alias = "backup")]
        format: u32,
    }
    match parsed(bytes)? {
        Format { format } if format > known => Err(Unread::Newer(format)),
        Format { .. } => parsed(bytes),
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    serde_json::from_slice(bytes).map_err(|error| Unread::Damaged {
        line: error.line(),
        column: error.column(),
        words: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(alias = "backup")]
        format: u32,
        keys: String,
    }

    #[test]
    fn what_is_newer_is_told_from_what_is_damaged() {
        let read = |text: &str| read::<File>(text.as_bytes(), 2);
        for text in [r#"{"format":2,"keys":"k"}"#, r#"{"keys":"k","format":1}"#, r#"{"backup":1,"keys":"k"}"#] {
            assert_eq!(read(text).expect("reads").keys, "k");
        }
        // Whatever else a newer release has changed.
        for text in [r#"{"format":3,"keys":"k"}"#, r#"{"format":3,"keys":[1],"more":true}"#, r#"{"format":3}"#] {
            assert_eq!(read(text), Err(Unread::Newer(3)));
        }
        for text in
            ["", "{}", r#"{"format":2}"#, r#"{"format":2,"keys":"k","more":true}"#, r#"{"format":-1,"keys":"k"}"#, "x"]
        {
            assert!(matches!(read(text), Err(Unread::Damaged { .. })), "{text}");
        }
        let Err(Unread::Damaged { line, words, .. }) = read("{\"format\":1,\n\"keys\":7}") else { panic!("damaged") };
        assert!(line == 2 && words.contains("invalid type"), "{words}");
    }
}
