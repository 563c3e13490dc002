//! Which order takes which right. What is not listed is denied.
//!
//! Both sides read it: the broker to refuse, and the command to say beforehand what can only be done on a manager.

use hyper::Method;
use protocol::{InviteId, Role};

use crate::admission::InviteOrder;
use crate::ledger::Right;

/// What an order needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// None: whoever is an operator may give it.
    pub(super) right: Option<Right>,
    /// Whether it changes or gives anything: then the right is committed to, and not only read.
    pub(super) acts: bool,
}

const fn look(right: Right) -> Need {
    Need { right: Some(right), acts: false }
}

const fn act(right: Right) -> Need {
    Need { right: Some(right), acts: true }
}

/// What this order needs, if it is one that operators may be allowed to give. Paths are the admin socket's.
pub(super) fn need(method: &Method, path: &str, body: &[u8]) -> Option<Need> {
    let need = match (method.as_str(), path) {
        ("GET", "/v1/status") => Need { right: None, acts: false },
        ("GET", "/v1/nodes") | ("POST", "/v1/arrivals" | "/v1/sightings") => look(Right::Nodes),
        // New user-data names the joiners that are current.
        ("GET", "/v1/invites") | ("POST", "/v1/joiners/look") => look(Right::Invite),
        ("POST", "/v1/invites") => act(right_for(body)),
        // Who may invite may not let in: there is to be another person in the loop.
        ("GET", crate::admin::PENDING) => look(Right::Approve),
        ("POST", crate::admin::PENDING) => act(Right::Approve),
        ("POST", "/v1/rotate/preview" | "/v1/rotate/key/preview") => look(Right::Rotate),
        // Not /v1/ca/…: whoever answers from elsewhere would say what the root is to sign.
        ("POST", "/v1/rotate" | "/v1/rotate/key") => act(Right::Rotate),
        ("POST", crate::witness::LOOK | crate::admin::RECORDS) => look(Right::Audit),
        ("POST", path) if revoked(path).is_some() => act(Right::Invite),
        _ => return None,
    };
    Some(need)
}

/// A manager's broker is given the cluster's keys: an invite for one is more than one for any number of workers.
fn right_for(body: &[u8]) -> Right {
    match serde_json::from_slice::<InviteOrder>(body) {
        Ok(order) if order.role == Role::Worker => Right::Invite,
        // One that does not read makes no invite, whoever gives it.
        Ok(_) | Err(_) => Right::InviteManager,
    }
}

/// The invite that an order of this path revokes, if it is one.
pub(super) fn revoked(path: &str) -> Option<InviteId> {
    path.strip_prefix("/v1/invites/")?.strip_suffix("/revoke")?.parse().ok()
}

/// Whether an order can be given from elsewhere at all.
pub(crate) fn is_for_operators(method: &Method, path: &str) -> bool {
    need(method, path, &[]).is_some()
}

/// Whether an order that was given must not be given again unless it is known what became of it.
pub(crate) fn acts(method: &Method, path: &str) -> bool {
    need(method, path, &[]).is_none_or(|need| need.acts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_denied() {
        let id = InviteId::random();
        for path in [
            "/v1/adopt",
            "/v1/roles",
            "/v1/recover",
            "/v1/joiners",
            "/v1/operators",
            "/v1/operators/jane/revoke",
            "/v1/rotate/unlock-key",
            "/v1/ca/plan",
            "/v1/ca/request",
            "/v1/ca/install",
            "/v1/brokers/gone",
            "/v1/ledger/claims",
            "/v1/nothing",
            "/v1/invites/",
            "/v1/invites/../adopt",
            "/v1/invites/x/revoke",
            "/v1/nodes/",
            "//v1/nodes",
            "",
            &format!("/v1/invites/{id}/revoke/more"),
        ] {
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD] {
                assert_eq!(need(&method, path, b"{}"), None, "{method} {path}");
            }
        }
        assert_eq!(need(&Method::PUT, "/v1/nodes", b""), None);
        assert_eq!(need(&Method::POST, "/v1/status", b""), None);
    }

    #[test]
    fn an_invite_for_managers_takes_another_right_than_one_for_workers() {
        let order = |role: &str| format!(r#"{{"role":"{role}","uses":1,"ttl":60,"from":[],"labels":{{}}}}"#);
        let of = |body: &str| need(&Method::POST, "/v1/invites", body.as_bytes()).and_then(|need| need.right);
        assert_eq!(of(&order("worker")), Some(Right::Invite));
        assert_eq!(of(&order("manager")), Some(Right::InviteManager));
        for unread in ["", "{}", r#"{"role":"worker"}"#, r#"{"role":"worker","role":"manager"}"#] {
            assert_eq!(of(unread), Some(Right::InviteManager), "{unread}");
        }
    }

    #[test]
    fn what_changes_something_is_told_from_a_look() {
        let revoke = format!("/v1/invites/{}/revoke", InviteId::random());
        for path in ["/v1/invites", "/v1/rotate", "/v1/rotate/key", &revoke] {
            assert!(need(&Method::POST, path, b"").is_some_and(|need| need.acts), "{path}");
        }
        for (method, path) in [(Method::GET, "/v1/nodes"), (Method::POST, "/v1/rotate/preview")] {
            assert!(need(&method, path, b"").is_some_and(|need| !need.acts), "{path}");
        }
    }
}
