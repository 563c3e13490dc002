//! What every order over the admin socket has in common: what it is about, why it is given, and that it is carried out.

use serde::{Deserialize, Serialize};

use crate::denial::Denial;
use crate::keys::Asked;

/// An order to replace or remove this.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order<W> {
    pub(crate) what: W,
    /// After a leak: nobody is waited for, and what the ones before signed is refused from now on.
    pub(crate) now: bool,
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

impl<W> Order<W> {
    /// What it is about, and how this operator asked for it.
    pub(super) fn by(self, operator: String) -> Result<(W, Asked), Denial> {
        self.reason.as_deref().map_or(Ok(()), assert_fit)?;
        let reason = self.reason.as_deref().map_or("no reason was given", str::trim).to_owned();
        Ok((self.what, Asked { operator, reason, now: self.now }))
    }
}

/// That a reason can stand in the audit log.
pub(super) fn assert_fit(reason: &str) -> Result<(), Denial> {
    if reason.trim().is_empty() || reason.len() > 200 || reason.contains(char::is_control) {
        return Err(Denial::Malformed("--reason must say why, on one line of at most 200 bytes"));
    }
    Ok(())
}

/// Does it as a task of its own: what was begun is ended, though who asked for it went away.
pub(super) async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Denial> {
    tokio::spawn(work).await.map_err(|_| Denial::Unavailable("the broker is stopping".into()))
}
