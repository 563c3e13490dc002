//! One connection to one broker: dialled, shown to be of the invite's cluster, and kept for the next request.
//!
//! Keeps DESIGN §3 (the wire): HTTP/1.1 over TLS 1.3, the server pinned whatever address was dialled.
//! Must not go on with a server that the pin does not vouch for, and bounds every wait.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::{Method, Request, header};
use rustls::{AlertDescription, CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::exchange::Answer;
use super::retry::Trouble;
use crate::http::{self, Http};
use crate::narrate;

/// To connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole request: a broker that commits to raft under load answers within seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// No reply is larger, in bytes.
const MOST: usize = 64 * 1024;

/// An open connection. It closes when it is dropped.
pub(super) struct Connection {
    http: Http,
    /// This machine's address as seen from here.
    pub(super) local: Option<IpAddr>,
}

/// Connects, within a few seconds; `within` is what is left of the total time.
pub(super) async fn connect(
    address: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    within: Duration,
) -> Result<Connection, Trouble> {
    let connecting = async {
        let stream = TcpStream::connect(address).await.map_err(|error| trouble_of(&error))?;
        // Requests are small and each waits for its answer.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().ok().map(|address| address.ip());
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| trouble_of(&error))?;
        let http = http::on(stream).await.map_err(|error| trouble_of(&error))?;
        Ok(Connection { http, local })
    };
    tokio::time::timeout(within.min(CONNECT_TIMEOUT), connecting)
        .await
        .unwrap_or_else(|_| Err(Trouble::Unreachable("no connection in time".to_owned())))
}

impl Connection {
    /// Makes a request; `within` is what is left of the total time.
    pub(super) async fn request(
        &mut self,
        method: Method,
        path: &str,
        host: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, Trouble> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("joiner/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| Trouble::Unreachable(error.to_string()))?;
        let asking = async {
            self.http.sender.ready().await.map_err(|error| trouble_of(&error))?;
            let response = self.http.sender.send_request(request).await.map_err(|error| trouble_of(&error))?;
            let status = response.status().as_u16();
            Ok(Answer { status, body: collect(response.into_body()).await? })
        };
        tokio::time::timeout(within.min(REQUEST_TIMEOUT), asking)
            .await
            .unwrap_or_else(|_| Err(Trouble::Unreachable("no answer in time".to_owned())))
    }
}

/// Collects a body into memory that is wiped, and that never grows: growing would leave copies behind.
async fn collect(mut incoming: Incoming) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let too_large = || Trouble::Unintelligible(format!("the reply is larger than {MOST} bytes"));
    let expected = incoming.size_hint().upper().map_or(MOST, |upper| usize::try_from(upper).unwrap_or(usize::MAX));
    if expected > MOST {
        return Err(too_large());
    }
    let mut body = Zeroizing::new(Vec::with_capacity(expected));
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| trouble_of(&error))?;
        if let Some(data) = frame.data_ref() {
            if body.len() + data.len() > expected {
                return Err(too_large());
            }
            body.extend_from_slice(data);
        }
    }
    Ok(body)
}

/// What an error of TCP, TLS or HTTP means. A TLS 1.3 server judges a client's certificate after the client's
/// handshake is done, so its alert comes with the first read and lies deep in the chain of causes.
fn trouble_of(error: &(dyn StdError + 'static)) -> Trouble {
    match tls_cause(error) {
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            Trouble::CertificateRefused(format!("{alert:?}"))
        }
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Trouble::ServerClock(narrate::foreign(&why.to_string())),
            why => Trouble::OtherCluster(narrate::foreign(&why.to_string())),
        },
        Some(other) => Trouble::Unreachable(format!("TLS: {}", narrate::foreign(&other.to_string()))),
        None => Trouble::Unreachable(narrate::foreign(&innermost(error).to_string())),
    }
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired
    )
}

fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An `io::Error` does not count what it wraps among its sources.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return tls_cause(inner);
        }
        cause = error.source();
    }
    None
}

fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(error: rustls::Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn an_alert_about_our_certificate_is_found_however_deep_it_lies() {
        for alert in
            [AlertDescription::UnknownCA, AlertDescription::CertificateExpired, AlertDescription::BadCertificate]
        {
            let trouble = trouble_of(&wrapped(rustls::Error::AlertReceived(alert)));
            assert!(matches!(trouble, Trouble::CertificateRefused(_)), "{trouble}");
        }
        let trouble = trouble_of(&wrapped(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)));
        assert!(matches!(trouble, Trouble::Unreachable(_)), "{trouble}");
    }

    #[test]
    fn a_server_of_another_cluster_and_a_wrong_clock_are_told_apart() {
        let other = trouble_of(&wrapped(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)));
        assert!(matches!(other, Trouble::OtherCluster(_)), "{other}");
        let clock = trouble_of(&wrapped(rustls::Error::InvalidCertificate(CertificateError::Expired)));
        assert!(matches!(clock, Trouble::ServerClock(_)), "{clock}");
        let refused = trouble_of(&io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(matches!(refused, Trouble::Unreachable(_)), "{refused}");
    }
}
