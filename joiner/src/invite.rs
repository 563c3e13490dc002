//! Where the invite comes from, and what can be said by itself about one that was refused.
//!
//! Keeps DESIGN §3 (the wire): a refusal carries no reason, so the joiner explains what it can check.
//! Must not decide anything by the invite's times: only a broker does.

use std::fmt;
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use protocol::{Invite, InviteLine, MAX_INVITE_LINE};
use zeroize::Zeroizing;

use crate::clock;
use crate::exit::Error;
use crate::narrate;

/// Where the invite is.
#[derive(Clone, PartialEq)]
pub enum InviteSource {
    /// On the command line.
    Argument(Zeroizing<String>),
    /// On stdin.
    Stdin,
    /// In a file.
    File(PathBuf),
}

impl fmt::Debug for InviteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(_) => f.write_str("Argument"),
            Self::Stdin => f.write_str("Stdin"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl InviteSource {
    /// An invite on the command line.
    #[must_use]
    pub fn argument(text: String) -> Self {
        Self::Argument(Zeroizing::new(text))
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Argument(_) | Self::Stdin => None,
        }
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<InviteLine, Error> {
        let text = match self {
            Self::Argument(text) => text.clone(),
            Self::Stdin => read_some(std::io::stdin()).map_err(|error| unreadable("stdin", &error))?,
            Self::File(path) => read_file(path)?,
        };
        Ok(InviteLine::parse(&text)?)
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, Error> {
    let wrong = |error| unreadable(&path.display().to_string(), &error);
    let file = std::fs::File::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o044 != 0 {
        narrate::warn(&format!("{0} can be read by other users of this machine: chmod 600 {0}", path.display()));
    }
    read_some(file).map_err(wrong)
}

/// Reads a little more than the longest invite, so that one that is too long is told apart.
fn read_some(source: impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let most = MAX_INVITE_LINE + 256;
    let mut text = Zeroizing::new(String::with_capacity(most));
    source.take(most as u64).read_to_string(&mut text)?;
    Ok(text)
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::InviteFile { file: what.to_owned(), error: error.to_string() }
}

/// What this machine can see by itself that would explain a refusal.
pub(crate) fn explain(invite: &Invite, broker_time: Option<u64>, machine: u64, address: Option<IpAddr>) -> Vec<String> {
    let mut reasons = Vec::new();
    let (clock, whose) = broker_time.map_or((machine, "this machine's"), |time| (time, "the broker's"));
    if clock >= invite.exp {
        reasons.push(format!(
            "the invite ended at {} ({whose} clock says {}): ask the operator for a new one",
            clock::in_words(invite.exp),
            clock::in_words(clock)
        ));
    }
    if let Some(address) = address.filter(|_| !invite.from.is_empty()) {
        let address = address.to_canonical();
        if !invite.from.iter().any(|network| network.contains(&address)) {
            let networks: Vec<String> = invite.from.iter().map(ToString::to_string).collect();
            reasons.push(format!("the invite is for {}, and this machine calls from {address}", networks.join(", ")));
        }
    }
    if broker_time.is_none() && machine.saturating_add(3600) < invite.iat {
        reasons.push(format!(
            "this machine's clock is wrong: it says {}, and the invite was made at {}",
            clock::in_words(machine),
            clock::in_words(invite.iat)
        ));
    }
    reasons
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use protocol::{ClusterId, INVITE_AUDIENCE, INVITE_PREFIX, InviteId, Pin, Role};

    /// An invite from second 1,000 to second 2,000, for 10.0.0.0/8.
    pub(crate) fn invite() -> Invite {
        Invite {
            aud: INVITE_AUDIENCE.into(),
            jti: InviteId::random(),
            iat: 1_000,
            exp: 2_000,
            iss: ClusterId::random(),
            pin: Pin::of_certificate(b"root"),
            generation: 1,
            role: Role::Worker,
            uses: 3,
            from: vec!["10.0.0.0/8".parse().expect("a network")],
            labels: std::collections::BTreeMap::new(),
            brokers: vec!["10.0.0.1".parse().expect("an address")],
            ephemeral: None,
            conditions: protocol::Conditions::default(),
            newer: std::collections::BTreeMap::new(),
        }
    }

    /// An invite as the line it is handed out as; its signature is none.
    pub(crate) fn line(invite: &Invite) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let policy = serde_json::to_vec(invite).expect("serialises");
        format!("{INVITE_PREFIX}{}.{}.{}", part(br#"{"alg":"ES256"}"#), part(&policy), part(&[7; 64]))
    }

    #[test]
    fn a_refusal_is_explained_by_what_this_machine_can_see() {
        let inside = Some("10.1.2.3".parse().expect("an address"));
        let outside = Some("192.168.0.1".parse().expect("an address"));
        let invite = invite();
        assert!(
            explain(&invite, Some(1_500), 9_999, inside).is_empty(),
            "the broker's clock decides, where it is known"
        );
        assert!(explain(&invite, None, 1_500, None).is_empty());
        assert!(explain(&invite, None, 2_000, inside)[0].contains("ended at 1970-01-01T00:33:20Z"));
        assert!(explain(&invite, Some(1_500), 1_500, outside)[0].contains("calls from 192.168.0.1"));
        assert!(
            explain(&Invite { iat: 1_000_000, exp: 2_000_000, ..invite }, None, 0, inside)[0]
                .contains("clock is wrong")
        );
    }

    #[test]
    fn an_invite_file_that_does_not_read_is_named() {
        let error = InviteSource::File("/no/such/invite".into()).read().expect_err("missing");
        assert_eq!(error.code(), 66);
        assert!(error.to_string().contains("/no/such/invite"), "{error}");
    }
}
