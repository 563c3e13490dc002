//! A connection to a broker, or to another server, that is kept from one request to the next.

use std::io;
use std::path::Path;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::machine::{Answer, Told, Wire, read};

/// An open connection. It closes when it is dropped.
pub struct Kept {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Wire {
    /// Connects, and keeps the connection.
    pub async fn keep(&self) -> io::Result<Kept> {
        Kept::on(self.connect().await?).await
    }
}

impl Kept {
    /// To an engine's own socket.
    pub async fn to_socket(socket: &Path) -> io::Result<Self> {
        Self::on(UnixStream::connect(socket).await?).await
    }

    async fn on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // Who asks is told.
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    /// Posts a request and reads the reply.
    pub async fn post<T: serde::de::DeserializeOwned>(&mut self, path: &str, body: &Value) -> Answer<T> {
        let reply = self.ask(Method::POST, path, body.to_string().into()).await.map_err(Told::Broken)?;
        read(reply.status().as_u16(), reply.body())
    }

    /// Sends any request: the whole reply.
    pub async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Bytes>, String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "broker")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let reply = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = reply.into_parts();
        let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Response::from_parts(parts, bytes))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
