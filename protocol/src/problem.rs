//! Problem documents (RFC 9457): what a caller is told when it does not get what it asked for.
//!
//! Keeps promise 5 (fail closed): a refusal looks the same whatever the reason, and "come back" is never one.
//! Must not carry the reason of a refusal: that goes to the audit log only.

use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The kinds of problem there are. Each has a stable `type` and one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// Final: not with this invite, this key, from here. The reason is in the audit log.
    Refused,
    /// Come back: the outcome is not known, or the broker cannot serve right now.
    Unavailable,
    /// The grant is not the one to redeem now: ask for a new grant with the same key. No alarm.
    AskAgain,
    /// The request is not one this broker understands.
    Malformed,
    /// The body is larger than any honest one.
    TooLarge,
    /// There is nothing at this path.
    NotFound,
    /// The path does not take this method.
    WrongMethod,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Unavailable,
        Self::AskAgain,
        Self::Malformed,
        Self::TooLarge,
        Self::NotFound,
        Self::WrongMethod,
    ];

    /// The HTTP status code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Refused => 403,
            Self::Unavailable => 503,
            Self::AskAgain => 409,
            Self::Malformed => 400,
            Self::TooLarge => 413,
            Self::NotFound => 404,
            Self::WrongMethod => 405,
        }
    }

    /// The stable `type` URI.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::Refused => "urn:swarm-broker:problem:refused",
            Self::Unavailable => "urn:swarm-broker:problem:unavailable",
            Self::AskAgain => "urn:swarm-broker:problem:ask-again",
            Self::Malformed => "urn:swarm-broker:problem:malformed",
            Self::TooLarge => "urn:swarm-broker:problem:too-large",
            Self::NotFound => "urn:swarm-broker:problem:not-found",
            Self::WrongMethod => "urn:swarm-broker:problem:wrong-method",
        }
    }

    /// The kind a `type` URI names.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Refused => "Refused",
            Self::Unavailable => "Come back later",
            Self::AskAgain => "Ask for a new grant",
            Self::Malformed => "Malformed request",
            Self::TooLarge => "Request too large",
            Self::NotFound => "Not found",
            Self::WrongMethod => "Method not allowed",
        }
    }
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable URI of the kind.
    #[serde(rename = "type")]
    pub uri: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status code again, as RFC 9457 §3.1.2 suggests.
    pub status: u16,
    /// What the caller may know beyond the kind. Never the reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request's id, under which the audit log has the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Problem {
    /// A problem of this kind without detail.
    #[must_use]
    pub fn new(kind: ProblemKind) -> Self {
        Self { uri: kind.uri().into(), title: kind.title().into(), status: kind.status(), detail: None, request: None }
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same under a request's id.
    #[must_use]
    pub fn with_request(mut self, request: impl Into<String>) -> Self {
        self.request = Some(request.into());
        self
    }

    /// The kind, where this release knows it.
    #[must_use]
    pub fn kind(&self) -> Option<ProblemKind> {
        ProblemKind::from_uri(&self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in ProblemKind::ALL {
            let sent = Problem::new(kind).with_request("r1");
            let text = serde_json::to_string(&sent).expect("serialises");
            let read: Problem = serde_json::from_str(&text).expect("reads back");
            assert_eq!(read, sent);
            assert_eq!(read.kind(), Some(kind));
        }
    }
}
