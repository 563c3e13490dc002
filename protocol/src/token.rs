//! The swarm's join token: the one secret this product exists to guard.
//!
//! Keeps promise 7 (the token never shows): no `Display`, no `Debug`, no `Clone`, one `expose`.
//! Must not be stored, and is wiped from memory when dropped.

use zeroize::Zeroizing;

/// A live join token of the swarm. It can be given to the engine or to the machine that redeemed a grant,
/// through [`SwarmToken::expose`]; it cannot be printed.
pub struct SwarmToken(Zeroizing<String>);

/// The text is not a join token. It does not show the text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this is not a swarm join token")]
pub struct TokenError;

impl SwarmToken {
    /// Takes a token as Docker gives it: `SWMTKN-1-` and what follows, printable, at most 256 bytes.
    pub fn parse(text: String) -> Result<Self, TokenError> {
        let text = Zeroizing::new(text);
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if text.starts_with("SWMTKN-") && text.len() <= 256 && printable { Ok(Self(text)) } else { Err(TokenError) }
    }

    /// The token itself. Every call of this is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_is_taken_as_one() {
        assert!(SwarmToken::parse("SWMTKN-1-abc-def".into()).is_ok());
        assert!(SwarmToken::parse("SWINV-1-abc".into()).is_err());
        assert!(SwarmToken::parse("SWMTKN-1-a\nb".into()).is_err());
        assert!(SwarmToken::parse(format!("SWMTKN-1-{}", "a".repeat(300))).is_err());
    }
}
