//! What else an invite says of the machines it admits: how many at a time, what they are called, and whether they get tasks.
//!
//! Part of the signed policy. A broker that does not know one of these must not admit (see `Invite::newer`).

use serde::{Deserialize, Serialize};

/// All of it; nothing unless said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// No more new machines than that in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// What its machines must be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<HostnamePattern>,
    /// What the node's availability is once it is confirmed; active unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Its uses are places: one comes free when its node was removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// A machine takes the place of a node that is down and has its name, if that came by such an invite, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaces: bool,
    /// A person is asked about each machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approve: bool,
}

impl Conditions {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// So many machines in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Machines.
    pub most: u32,
    /// Seconds.
    pub per: u64,
}

/// Whether a confirmed node gets tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// It gets tasks.
    Active,
    /// It gets none until somebody sets it active.
    Pause,
    /// The same, and it loses those it has.
    Drain,
}

/// A hostname in which `*` stands for any text. Compared without regard to case (RFC 1123 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostnamePattern(String);

impl HostnamePattern {
    /// Whether a machine may be called so.
    #[must_use]
    pub fn fits(&self, hostname: &str) -> bool {
        let (pattern, hostname) = (self.0.to_ascii_lowercase(), hostname.to_ascii_lowercase());
        let mut parts = pattern.split('*');
        let Some(mut rest) = parts.next().and_then(|first| hostname.strip_prefix(first)) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostnamePattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
        if text.is_empty() || text.len() > crate::MAX_HOSTNAME || !text.chars().all(plain) {
            return Err("a hostname with * for any text, of letters, digits and - . _");
        }
        Ok(Self(text))
    }
}

impl From<HostnamePattern> for String {
    fn from(pattern: HostnamePattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let fits =
            |pattern: &str, hostname: &str| HostnamePattern::try_from(pattern.to_owned()).expect("one").fits(hostname);
        for (pattern, hostname) in
            [("web-*", "web-1"), ("web-*", "WEB-"), ("*", "a"), ("*-a-*", "web-a-1"), ("a*a", "aba"), ("web", "web")]
        {
            assert!(fits(pattern, hostname), "{pattern} {hostname}");
        }
        for (pattern, hostname) in [("web-*", "db-1"), ("web", "web1"), ("a*a", "a"), ("*-a-*", "-a"), ("*.b", "a.b.c")]
        {
            assert!(!fits(pattern, hostname), "{pattern} {hostname}");
        }
        for wrong in ["", "web 1", "wéb", "web?"] {
            assert!(HostnamePattern::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }
}
