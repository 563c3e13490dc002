//! The key that opens a manager's state when its engine starts, where the swarm has autolock on.
//!
//! Keeps promise 7: it leaves here as a [`KeyText`], for the operator who had it replaced. Must not keep it or log it.

use bollard::query_parameters::UpdateSwarmOptionsBuilder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use protocol::KeyText;
use serde::Deserialize;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::engine::{CALL, answered};
use super::tokens::SwarmSettings;
use super::{Engine, EngineError};

/// An answer of the engine's is not longer than this.
const MOST: usize = 16 * 1024;
/// How every unlock key begins.
const PREFIX: &str = "SWMKEY-1-";

impl SwarmSettings {
    /// Whether managers keep their state locked.
    pub(crate) fn locks(&self) -> bool {
        self.spec.encryption_config.as_ref().and_then(|config| config.auto_lock_managers) == Some(true)
    }
}

impl Engine {
    /// Replaces the unlock key, if the swarm's settings are still as they were read.
    pub(crate) async fn replace_unlock_key(&self, read: &SwarmSettings) -> Result<(), EngineError> {
        let options =
            UpdateSwarmOptionsBuilder::default().version(read.version).rotate_manager_unlock_key(true).build();
        let spec = read.spec.clone();
        self.call(|docker| async move { docker.update_swarm(spec, options).await }).await
    }

    /// The unlock key. The Docker client does not know this question.
    pub(crate) async fn unlock_key(&self) -> Result<KeyText, EngineError> {
        tokio::time::timeout(CALL, self.ask_unlock_key()).await.map_err(|_| EngineError::TimedOut)?
    }

    async fn ask_unlock_key(&self) -> Result<KeyText, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            unlock_key: KeyText,
        }
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let unreachable = |error: &dyn std::fmt::Display| EngineError::Unreachable(error.to_string());
        let stream = UnixStream::connect(self.socket()).await.map_err(|error| unreachable(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        tokio::spawn(connection);
        let request = Request::get("/swarm/unlockkey").header(header::HOST, "docker").body(Full::<Bytes>::default());
        let request = request.map_err(|error| unreachable(&error))?;
        let reply = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), MOST).collect().await;
        let body = Zeroizing::new(body.map_err(|error| unreachable(&error))?.to_bytes().to_vec());
        if status != 200 {
            let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.message).unwrap_or_default();
            return Err(answered(status, &said));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| EngineError::Incomplete("the unlock key"))?;
        if answer.unlock_key.expose().starts_with(PREFIX) {
            Ok(answer.unlock_key)
        } else {
            Err(EngineError::Incomplete("an unlock key of the usual form"))
        }
    }
}
