//! The join tokens: read at the moment they are needed, told apart without being kept, and replaced.
//!
//! Keeps DESIGN §5: the tokens are stored nowhere, and promise 7: a token leaves here as a `SwarmToken` or not at all.
//! Must not cache a token.

use std::sync::Arc;

use bollard::models::{JoinTokens, Swarm, SwarmSpec};
use bollard::query_parameters::UpdateSwarmOptionsBuilder;
use certs::{ManagerIdentity, WorkerIdentity};
use protocol::{Role, SwarmId, SwarmToken};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Engine, EngineError};

/// What tells one join token, or one root certificate, from another: 16 hex digits of its SHA-256.
///
/// It lies in the ledger, where whoever can list the swarm's configs reads it. A token ends in 128 random bits, so
/// nobody finds one by trying; and 64 bits of a hash would leave 2⁶⁴ candidates to somebody who could. It serves to
/// see that a token was replaced while no broker looked, which the version of Docker's swarm object does not tell:
/// that moves on also when a node is removed or a setting changes (measured on 20.10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Mark(String);

impl Mark {
    /// The mark of a text.
    pub(crate) fn of(text: &str) -> Self {
        use std::fmt::Write as _;
        let digest = Sha256::digest(text);
        Self(digest.iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }
}

/// Which tokens are live, without the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) swarm: SwarmId,
    pub(crate) worker: Mark,
    pub(crate) manager: Mark,
    /// The swarm's root certificates.
    pub(crate) root: Mark,
}

impl Live {
    /// The mark of a role's token.
    pub(crate) fn mark(&self, role: Role) -> &Mark {
        match role {
            Role::Worker => &self.worker,
            Role::Manager => &self.manager,
        }
    }
}

/// The swarm's settings as they were read: what an update must name to be taken.
pub(crate) struct SwarmSettings {
    pub(super) version: i64,
    pub(super) spec: SwarmSpec,
}

impl Engine {
    /// Which tokens are live now, and the settings they were read with.
    pub(crate) async fn live(&self) -> Result<(Live, SwarmSettings), EngineError> {
        let read = self.swarm().await?;
        let (swarm, tokens) = &*read;
        let version = swarm.version.as_ref().and_then(|version| version.index);
        let version = version.and_then(|index| i64::try_from(index).ok());
        let settings = SwarmSettings {
            version: version.ok_or(EngineError::Incomplete("the swarm's version"))?,
            spec: swarm.spec.clone().ok_or(EngineError::Incomplete("the swarm's settings"))?,
        };
        Ok((live(swarm, tokens)?, settings))
    }

    /// The live worker token, for a machine that may become a worker.
    pub(crate) async fn worker_token(&self, _for: &WorkerIdentity) -> Result<(SwarmToken, Live), EngineError> {
        self.token(Role::Worker).await
    }

    /// The live manager token, for a machine that may become a manager.
    pub(crate) async fn manager_token(&self, _for: &ManagerIdentity) -> Result<(SwarmToken, Live), EngineError> {
        self.token(Role::Manager).await
    }

    /// Replaces the tokens of these roles in one update, if the settings are still as they were read. The settings
    /// stay what they are.
    pub(crate) async fn replace_tokens(&self, read: &SwarmSettings, roles: &[Role]) -> Result<(), EngineError> {
        let options = UpdateSwarmOptionsBuilder::default()
            .version(read.version)
            .rotate_worker_token(roles.contains(&Role::Worker))
            .rotate_manager_token(roles.contains(&Role::Manager))
            .build();
        let spec = read.spec.clone();
        self.call(|docker| async move { docker.update_swarm(spec, options).await }).await
    }

    /// The live join token for a role. Read after this call, and never kept.
    async fn token(&self, role: Role) -> Result<(SwarmToken, Live), EngineError> {
        let read = self.swarm().await?;
        let (swarm, tokens) = &*read;
        let token = match role {
            Role::Worker => &tokens.worker,
            Role::Manager => &tokens.manager,
        };
        // A copy for this request alone; others may be answered from the same reading.
        let copied =
            SwarmToken::parse(token.expose().to_owned()).map_err(|_| EngineError::Incomplete("a join token"))?;
        Ok((copied, live(swarm, tokens)?))
    }

    /// Read once for those who ask at the same time, and wiped when the last of them has what it asked for.
    async fn swarm(&self) -> Result<Arc<(Swarm, Tokens)>, EngineError> {
        let inspect = || async {
            let mut swarm = self.call(|docker| async move { docker.inspect_swarm().await }).await?;
            let tokens = swarm.join_tokens.take().ok_or(EngineError::Incomplete("the join tokens"))?;
            Ok(Arc::new((swarm, Tokens::take(tokens)?)))
        };
        self.asked().swarm.ask("", inspect).await
    }
}

/// Both tokens, for as long as a request takes.
pub(super) struct Tokens {
    worker: SwarmToken,
    manager: SwarmToken,
}

impl Tokens {
    fn take(tokens: JoinTokens) -> Result<Self, EngineError> {
        // Wiped, whichever of the two does not read.
        let [worker, manager] = [tokens.worker, tokens.manager].map(|token| Zeroizing::new(token.unwrap_or_default()));
        let parsed = |mut token: Zeroizing<String>| {
            SwarmToken::parse(std::mem::take(&mut *token)).map_err(|_| EngineError::Incomplete("a join token"))
        };
        Ok(Self { worker: parsed(worker)?, manager: parsed(manager)? })
    }
}

fn live(swarm: &Swarm, tokens: &Tokens) -> Result<Live, EngineError> {
    let root = swarm.tls_info.as_ref().and_then(|tls| tls.trust_root.as_deref());
    Ok(Live {
        swarm: swarm
            .id
            .as_deref()
            .and_then(|id| id.parse().ok())
            .ok_or(EngineError::Incomplete("a swarm id of the usual form"))?,
        worker: Mark::of(tokens.worker.expose()),
        manager: Mark::of(tokens.manager.expose()),
        root: Mark::of(root.ok_or(EngineError::Incomplete("the swarm's root certificate"))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_tokens_apart_in_64_bits() {
        let (one, other) = ("SWMTKN-1-0aaaaa-1bbbbb", "SWMTKN-1-0aaaaa-1ccccc");
        assert_eq!(Mark::of(one), Mark::of(one));
        assert_ne!(Mark::of(one), Mark::of(other));
        assert_eq!(Mark::of(one).0.len(), 16);
    }
}
