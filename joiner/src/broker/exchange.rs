//! One answer of a broker, read.
//!
//! Keeps promise 13 (versions mix): a problem's type decides, then its status, and what is unknown means come back.
//! Must not show what a broker wrote without passing it through [`narrate::foreign`].

use protocol::{Problem, ProblemKind};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::retry::Trouble;
use crate::narrate;

/// An answer as it came. Its body may hold the token, so it is wiped and has no `Debug`.
pub(super) struct Answer {
    /// The HTTP status code.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// Reads the reply that was asked for, or what went wrong.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        if self.status == 200 {
            // Not serde's words: they may quote the reply.
            return serde_json::from_slice(&self.body).map_err(|error| {
                Trouble::Unintelligible(format!("the reply does not read, at byte {}", error.column()))
            });
        }
        Err(self.trouble())
    }

    fn trouble(&self) -> Trouble {
        let status = self.status;
        let Ok(problem) = serde_json::from_slice::<Problem>(&self.body) else {
            return Trouble::Unintelligible(format!("status {status} without a problem document"));
        };
        let detail = problem.detail.as_deref().map(narrate::foreign).unwrap_or_default();
        let kind = problem.kind().or_else(|| ProblemKind::ALL.into_iter().find(|kind| kind.status() == status));
        match kind {
            Some(ProblemKind::Refused) => Trouble::Refused(problem.request.as_deref().map(narrate::foreign)),
            Some(ProblemKind::Unavailable) => Trouble::Unavailable(detail),
            Some(ProblemKind::AskAgain) => Trouble::AskAgain,
            Some(kind @ (ProblemKind::Malformed | ProblemKind::TooLarge)) => {
                let said = if detail.is_empty() { narrate::foreign(&problem.title) } else { detail };
                Trouble::NotUnderstood(format!("{} {said}", kind.status()))
            }
            Some(ProblemKind::NotFound | ProblemKind::WrongMethod) | None => {
                Trouble::Unintelligible(format!("status {status} {}", narrate::foreign(&problem.title)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::MembershipReply;

    fn read(status: u16, body: &str) -> Result<MembershipReply, Trouble> {
        Answer { status, body: Zeroizing::new(body.into()) }.read()
    }

    fn problem(kind: ProblemKind) -> Result<MembershipReply, Trouble> {
        read(kind.status(), &serde_json::to_string(&Problem::new(kind).with_request("r1")).expect("serialises"))
    }

    #[test]
    fn every_kind_of_problem_has_its_meaning() {
        for kind in ProblemKind::ALL {
            let trouble = problem(kind).expect_err("a problem");
            let right = match kind {
                ProblemKind::Refused => trouble == Trouble::Refused(Some("r1".into())),
                ProblemKind::Unavailable => trouble == Trouble::Unavailable(String::new()),
                ProblemKind::AskAgain => trouble == Trouble::AskAgain,
                ProblemKind::Malformed | ProblemKind::TooLarge => matches!(trouble, Trouble::NotUnderstood(_)),
                ProblemKind::NotFound | ProblemKind::WrongMethod => matches!(trouble, Trouble::Unintelligible(_)),
            };
            assert!(right, "{kind:?}: {trouble}");
        }
    }

    #[test]
    fn what_is_not_a_problem_document_is_never_a_refusal() {
        for (status, body) in [(403, ""), (403, "<html>"), (500, "{}"), (200, "{}"), (204, ""), (302, "null")] {
            assert!(matches!(read(status, body), Err(Trouble::Unintelligible(_))), "{status} {body}");
        }
    }

    #[test]
    fn a_later_releases_problem_is_read_by_its_status() {
        let of = |status: u16| read(status, &format!(r#"{{"type":"urn:x","title":"t","status":{status}}}"#));
        assert_eq!(of(403).expect_err("a problem"), Trouble::Refused(None));
        assert_eq!(of(503).expect_err("a problem"), Trouble::Unavailable(String::new()));
        assert!(matches!(of(418), Err(Trouble::Unintelligible(_))));
    }
}
