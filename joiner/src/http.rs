//! HTTP/1.1 on a stream that is open, to a broker or to Docker.
//!
//! Keeps the program small: hyper is in it once, for any stream, and not, 16 kB larger, once for each kind.
//! Must not know what is asked, nor bound how long an answer takes: those who ask do.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// TLS over TCP, or a Unix socket.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open connection. It closes when it is dropped.
pub(crate) struct Http {
    /// Where requests go in.
    pub(crate) sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Speaks HTTP on this stream from now on.
pub(crate) async fn on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> hyper::Result<Http> {
    let stream: Box<dyn Stream> = Box::new(stream);
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move {
        // The request that is under way gets the error, too.
        let _ = connection.await;
    });
    Ok(Http { sender, driver })
}
