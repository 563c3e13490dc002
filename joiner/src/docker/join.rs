//! The join call and the engine's answers to it.
//!
//! Keeps promise 9: every join is with availability drain. Keeps promise 7: the call has no `Debug`.
//! Must not take an answer that it does not know for a success.

use protocol::SwarmToken;
use serde::Serialize;

use crate::narrate;

/// The body of `POST /swarm/join`. It holds the token, so it has no `Debug`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JoinCall<'a> {
    /// What to listen on.
    pub(crate) listen_addr: String,
    /// What other nodes reach it at; empty for Docker's own choice.
    pub(crate) advertise_addr: &'a str,
    /// What overlay networks use; empty for Docker's own choice.
    pub(crate) data_path_addr: &'a str,
    /// The managers.
    pub(crate) remote_addrs: &'a [String],
    #[serde(serialize_with = "exposed")]
    pub(crate) join_token: &'a SwarmToken,
    /// Always `drain`: no task before the node is labelled (promise 9).
    pub(crate) availability: &'static str,
}

// serde's signature: a reference to the field, which is a reference itself.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn exposed<S: serde::Serializer>(token: &&SwarmToken, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}

/// What the engine made of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JoinAnswer {
    /// It is in.
    Joined,
    /// The token was rotated in between, or the swarm's root certificate, which the token names.
    TokenNotValid,
    /// It goes on by itself.
    Continues,
    /// It was in a swarm before.
    AlreadyIn,
    /// Anything else; its state tells more.
    Failed(String),
}

impl JoinAnswer {
    /// Reads the answer. Texts differ between releases, so they are matched loosely, and what is not known is a failure.
    pub(super) fn read(status: u16, message: &str) -> Self {
        let text = message.to_lowercase();
        if status == 200 {
            Self::Joined
        } else if text.contains("join token") || text.contains("does not match fingerprint") {
            Self::TokenNotValid
        } else if text.contains("continue in the background") {
            Self::Continues
        } else if text.contains("already part of a swarm") {
            Self::AlreadyIn
        } else {
            Self::Failed(format!("{status}: {}", narrate::foreign(message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_answers_are_told_apart_and_an_unknown_one_is_no_success() {
        for (status, text, answer) in [
            (200, "", JoinAnswer::Joined),
            (
                400,
                "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster",
                JoinAnswer::TokenNotValid,
            ),
            (500, "invalid Join Token", JoinAnswer::TokenNotValid),
            (
                500,
                "remote CA does not match fingerprint. Expected: f3d3f7d393dadfb236ab19b73b6e946b0adca307640d4ae0bd34",
                JoinAnswer::TokenNotValid,
            ),
            (
                503,
                "Timeout was reached before node joined. The attempt to join the swarm will continue in the background.",
                JoinAnswer::Continues,
            ),
            (503, "This node is already part of a swarm. Use \"docker swarm leave\"", JoinAnswer::AlreadyIn),
            (500, "no such host", JoinAnswer::Failed("500: no such host".into())),
            (204, "", JoinAnswer::Failed("204: ".into())),
        ] {
            assert_eq!(JoinAnswer::read(status, text), answer, "{text}");
        }
    }

    #[test]
    fn the_joins_body_is_what_docker_takes() {
        let token = SwarmToken::parse("SWMTKN-1-a-b".into()).expect("a token");
        let call = JoinCall {
            listen_addr: "0.0.0.0:2377".into(),
            advertise_addr: "",
            data_path_addr: "",
            remote_addrs: &["10.0.0.1:2377".into()],
            join_token: &token,
            availability: "drain",
        };
        assert_eq!(
            serde_json::to_value(&call).expect("serialises"),
            serde_json::json!({
                "ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "", "DataPathAddr": "", "RemoteAddrs": ["10.0.0.1:2377"],
                "JoinToken": "SWMTKN-1-a-b", "Availability": "drain"
            })
        );
    }
}
