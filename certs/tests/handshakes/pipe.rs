//! Two ends of TLS, joined in memory: every byte that one writes is read by the other, until both are silent.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, ConnectionCommon, Error, ServerConfig,
    ServerConnection, SideData,
};

const TO_BROKER: &[u8] = b"the invite, the grant, the statement";
const TO_MACHINE: &[u8] = b"the certificate, the grant, the token";

/// A clock that stands still.
#[derive(Debug)]
struct Standing(UnixTime);

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

/// The same settings on a machine whose clock shows `time`.
pub(crate) fn client_at(time: UnixTime, mut config: ClientConfig) -> ClientConfig {
    config.time_provider = Arc::new(Standing(time));
    config
}

/// The same settings on a broker whose clock shows `time`.
pub(crate) fn server_at(time: UnixTime, mut config: ServerConfig) -> ServerConfig {
    config.time_provider = Arc::new(Standing(time));
    config
}

/// A finished meeting of two ends. Each was given something to say before it began.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
    client_error: Option<Error>,
    server_error: Option<Error>,
    client_heard: Vec<u8>,
    server_heard: Vec<u8>,
}

/// Lets two ends talk until both are silent.
pub(crate) fn meet(
    client: impl Into<Arc<ClientConfig>>,
    name: ServerName<'static>,
    server: impl Into<Arc<ServerConfig>>,
) -> Meeting {
    let mut client = ClientConnection::new(client.into(), name).expect("a client");
    let mut server = ServerConnection::new(server.into()).expect("a server");
    client.writer().write_all(TO_BROKER).expect("kept until it may be sent");
    server.writer().write_all(TO_MACHINE).expect("kept until it may be sent");
    let (mut client_error, mut server_error) = (None, None);
    let (mut client_heard, mut server_heard) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        let said = carry(&mut client, &mut server, &mut server_error, &mut server_heard);
        let answered = carry(&mut server, &mut client, &mut client_error, &mut client_heard);
        if !said && !answered {
            return Meeting { client, server, client_error, server_error, client_heard, server_heard };
        }
    }
    panic!("two ends that never fall silent");
}

fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
    error: &mut Option<Error>,
    heard: &mut Vec<u8>,
) -> bool {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).expect("memory takes it");
    }
    let mut unread = &wire[..];
    while !unread.is_empty() && error.is_none() {
        to.read_tls(&mut unread).expect("memory gives it");
        match to.process_new_packets() {
            Ok(state) => {
                let before = heard.len();
                heard.resize(before + state.plaintext_bytes_to_read(), 0);
                to.reader().read_exact(&mut heard[before..]).expect("as many bytes as it said");
            }
            Err(refusal) => *error = Some(refusal),
        }
    }
    !wire.is_empty()
}

impl Meeting {
    /// Both sides finished the handshake and heard all that the other had to say.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!((&self.client_error, &self.server_error), (&None, &None));
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        assert_eq!(self.server_heard, TO_BROKER);
        assert_eq!(self.client_heard, TO_MACHINE);
        self
    }

    /// The server refused: the client was told by this alert, and neither heard a word from the other.
    #[track_caller]
    pub(crate) fn refused_by_server(self, alert: AlertDescription) -> Error {
        let refusal = self.server_error.expect("the server refuses");
        assert_eq!(self.client_error, Some(Error::AlertReceived(alert)), "{refusal:?}");
        assert_eq!((self.client_heard, self.server_heard), (vec![], vec![]));
        refusal
    }

    /// The client refused: the server was told by this alert, and neither heard a word from the other.
    #[track_caller]
    pub(crate) fn refused_by_client(self, alert: AlertDescription) -> Error {
        let refusal = self.client_error.expect("the client refuses");
        assert_eq!(self.server_error, Some(Error::AlertReceived(alert)), "{refusal:?}");
        assert!(self.client.is_handshaking());
        assert_eq!((self.client_heard, self.server_heard), (vec![], vec![]));
        refusal
    }
}

/// Why a certificate was refused, as webpki names it: its errors that rustls has no word for do not compare.
#[track_caller]
pub(crate) fn reason(refusal: &Error) -> String {
    match refusal {
        Error::InvalidCertificate(CertificateError::Other(other)) => format!("{:?}", other.0),
        Error::InvalidCertificate(reason) => {
            let text = format!("{reason:?}");
            text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        }
        other => panic!("not refused for its certificate: {other:?}"),
    }
}
