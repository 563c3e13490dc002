//! What an invite's object says of the invite: the policy that its signature covered, never the bearer text.

use protocol::{Invite, InviteId};
use serde::{Deserialize, Serialize};

/// The data of an invite's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Policy {
    /// The invite was seen, and its signature held.
    Invite(Box<Invite>),
    /// It was revoked by its id before anybody showed it.
    Unseen(InviteId),
}

impl Policy {
    /// The invite's id.
    pub(crate) fn id(&self) -> &InviteId {
        match self {
            Self::Invite(invite) => &invite.jti,
            Self::Unseen(id) => id,
        }
    }

    /// The invite, if it was seen.
    pub(crate) fn invite(&self) -> Option<&Invite> {
        match self {
            Self::Invite(invite) => Some(invite),
            Self::Unseen(_) => None,
        }
    }
}
