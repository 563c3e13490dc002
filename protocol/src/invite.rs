//! The invite: one line of signed text that an operator puts in user-data.
//!
//! Keeps promise 9 (labels come from the invite): the whole policy is inside the signature.
//! Must not verify: only a broker has the invite keys. What the joiner reads here it trusts as much as its user-data.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{BrokerAddress, ClusterId, Conditions, InviteId, Pin, Role};

/// What every invite line begins with: secret scanners and people can tell it from other text.
pub const INVITE_PREFIX: &str = "SWINV-1-";
/// The `typ` of an invite's JWS header (RFC 8725 §3.11).
pub const INVITE_TYP: &str = "swarm-invite+jwt";
/// The `aud` of every invite.
pub const INVITE_AUDIENCE: &str = "swarm-broker/admission";
/// The longest invite line anyone looks at, in bytes.
pub const MAX_INVITE_LINE: usize = 8 * 1024;

/// What an invite says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Always [`INVITE_AUDIENCE`].
    pub aud: String,
    /// Its id.
    pub jti: InviteId,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// When it ends, in seconds since 1970. A use claimed before that keeps its window.
    pub exp: u64,
    /// The cluster it admits to; also its issuer.
    pub iss: ClusterId,
    /// The root certificate's hash.
    pub pin: Pin,
    /// The lowest generation of issuing CA that the joiner accepts.
    pub generation: u32,
    /// What its machines join as.
    pub role: Role,
    /// How many keys it admits.
    pub uses: u32,
    /// Where its machines may call from; empty means from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<IpNet>,
    /// The labels its nodes get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where the brokers are.
    pub brokers: Vec<BrokerAddress>,
    /// Its machines are ephemeral: a node of theirs that is down for so many seconds is removed from the swarm. None: a
    /// node is never removed because it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<u64>,
    /// What else it says of its machines.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// Policy of a newer release. A joiner need not know it; a broker that does not know it must not admit.
    #[serde(flatten)]
    pub newer: BTreeMap<String, serde_json::Value>,
}

/// A line that has the form of an invite. `Debug` does not show it: it is a bearer text.
#[derive(Clone)]
pub struct InviteLine {
    jws: String,
    invite: Invite,
}

/// Why a line is not an invite that can be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InviteError {
    /// Nothing was given.
    #[error("there is no invite: the text is empty. Give the one line that 'broker invite create' printed")]
    Empty,
    /// Something else was given: a swarm token, say.
    #[error(
        "this is a swarm join token, not an invite. Never hand it out; give the line that 'broker invite create' printed, which begins with {INVITE_PREFIX}"
    )]
    SwarmToken,
    /// Something else was given.
    #[error(
        "this is not an invite: an invite begins with {INVITE_PREFIX}. Give the one line that 'broker invite create' printed"
    )]
    NotAnInvite,
    /// More than one line.
    #[error("the invite is broken over several lines: it must be one line without spaces")]
    SeveralLines,
    /// It was cut off or altered.
    #[error("the invite is cut off or altered ({0}): copy the whole line again")]
    Garbled(&'static str),
    /// It is longer than any invite.
    #[error("the invite is longer than {MAX_INVITE_LINE} bytes: this is not one that 'broker invite create' made")]
    TooLong,
}

impl InviteLine {
    /// Reads a line without verifying its signature. White space around it is allowed.
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let line = text.trim();
        if line.is_empty() {
            return Err(InviteError::Empty);
        }
        if line.len() > MAX_INVITE_LINE {
            return Err(InviteError::TooLong);
        }
        let Some(jws) = line.strip_prefix(INVITE_PREFIX) else {
            return Err(if line.starts_with("SWMTKN-") { InviteError::SwarmToken } else { InviteError::NotAnInvite });
        };
        if jws.contains(char::is_whitespace) {
            return Err(InviteError::SeveralLines);
        }
        let parts: Vec<&str> = jws.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(InviteError::Garbled("it does not have three parts"));
        };
        let _: BTreeMap<String, serde_json::Value> =
            decode(header).ok_or(InviteError::Garbled("its header does not read"))?;
        let invite: Invite = decode(payload).ok_or(InviteError::Garbled("its policy does not read"))?;
        // An ES256 signature is 64 bytes (RFC 7518 §3.4).
        if URL_SAFE_NO_PAD.decode(signature).map(|bytes| bytes.len()) != Ok(64) {
            return Err(InviteError::Garbled("its signature is not complete"));
        }
        Ok(Self { jws: jws.to_owned(), invite })
    }

    /// The line that a signed JWS makes.
    pub fn from_jws(jws: &str) -> Result<Self, InviteError> {
        Self::parse(&format!("{INVITE_PREFIX}{jws}"))
    }

    /// The JWS in compact form, for the broker's verifier.
    #[must_use]
    pub fn jws(&self) -> &str {
        &self.jws
    }

    /// What the invite says, unverified.
    #[must_use]
    pub fn unverified(&self) -> &Invite {
        &self.invite
    }

    /// The whole line. It is a bearer text: for user-data and the request, for no log.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{INVITE_PREFIX}{}", self.jws)
    }
}

impl std::fmt::Debug for InviteLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InviteLine({})", self.invite.jti)
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line() -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"swarm-invite+jwt","kid":"k"}"#);
        let invite = Invite {
            aud: INVITE_AUDIENCE.into(),
            jti: InviteId::random(),
            iat: 1,
            exp: 2,
            iss: ClusterId::random(),
            pin: Pin::of_certificate(b"root"),
            generation: 1,
            role: Role::Worker,
            uses: 3,
            from: vec!["10.0.0.0/8".parse().expect("a network")],
            labels: BTreeMap::from([("zone".into(), "a".into())]),
            brokers: vec!["10.0.0.1".parse().expect("an address")],
            ephemeral: None,
            conditions: Conditions::default(),
            newer: BTreeMap::new(),
        };
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&invite).expect("serialises"));
        format!("{INVITE_PREFIX}{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([7; 64]))
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let text = line();
        let read = InviteLine::parse(&format!("  {text}\n")).expect("reads");
        assert_eq!(read.expose(), text);
        assert_eq!(read.unverified().uses, 3);
    }

    /// Promise 13: brokers and joiners of an older release know no more than this.
    #[test]
    fn an_invite_says_ephemeral_only_where_it_is() {
        let mut invite = InviteLine::parse(&line()).expect("reads").unverified().clone();
        let text = serde_json::to_string(&invite).expect("serialises");
        assert!(text.ends_with(r#""brokers":["10.0.0.1:7443"]}"#), "{text}");
        invite.ephemeral = Some(600);
        let text = serde_json::to_string(&invite).expect("serialises");
        assert!(text.ends_with(r#""ephemeral":600}"#), "{text}");
        assert_eq!(serde_json::from_str::<Invite>(&text).expect("reads"), invite);
    }

    #[test]
    fn each_way_to_get_it_wrong_has_words_of_its_own() {
        assert_eq!(InviteLine::parse(" \n").unwrap_err(), InviteError::Empty);
        assert_eq!(InviteLine::parse("SWMTKN-1-x").unwrap_err(), InviteError::SwarmToken);
        assert_eq!(InviteLine::parse("hello").unwrap_err(), InviteError::NotAnInvite);
        let text = line();
        let broken = format!("{}\n{}", &text[..40], &text[40..]);
        assert_eq!(InviteLine::parse(&broken).unwrap_err(), InviteError::SeveralLines);
        assert_eq!(InviteLine::parse(&"SWINV-1-a".repeat(2000)).unwrap_err(), InviteError::TooLong);
    }

    #[test]
    fn debug_does_not_show_the_bearer_text() {
        let read = InviteLine::parse(&line()).expect("reads");
        assert!(!format!("{read:?}").contains(&read.jws()[..10]));
    }

    proptest! {
        #[test]
        fn a_cut_line_is_never_taken(cut in 1_usize..400) {
            let text = line();
            let cut = text.len().saturating_sub(cut).max(INVITE_PREFIX.len());
            prop_assert!(InviteLine::parse(&text[..cut]).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            let _ = InviteLine::parse(&format!("{INVITE_PREFIX}{text}"));
        }
    }
}
