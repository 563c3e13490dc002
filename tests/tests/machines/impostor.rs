//! Somebody on the private network who answers in a broker's place: whatever is asked for, it gives the same bytes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use certs::{ClientTrust, Root, ServerTls};
use lab::{Failed, Host};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::UnixTime;

/// A server with a CA of its own. It ends with the test program.
pub(crate) struct Impostor {
    address: SocketAddr,
}

impl Impostor {
    pub(crate) fn start(host: &Host, gives: Vec<u8>) -> Result<Self, Failed> {
        let address = SocketAddr::from((host.address(), 7443));
        let listener = host.inside(|| TcpListener::bind(address))??;
        let (tls, gives) = (settings()?, Arc::new(gives));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, gives) = (tls.clone(), gives.clone());
                // A caller that breaks off is none of ours to tell about.
                thread::spawn(move || answer(tls, stream, &gives).ok());
            }
        });
        Ok(Self { address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn settings() -> Result<Arc<ServerConfig>, Failed> {
    let now = UnixTime::since_unix_epoch(SystemTime::now().duration_since(UNIX_EPOCH)?);
    let issuing = Root::create(&"0".repeat(32).parse()?, "lab", now)?.issue(1, now)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = ClientTrust::new(provider.clone(), &[issuing.public().clone()])?;
    Ok(Arc::new(ServerTls::new(provider, issuing.server(now)?)?.config(trust)?))
}

fn answer(tls: Arc<ServerConfig>, stream: std::net::TcpStream, gives: &[u8]) -> std::io::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(tls).map_err(std::io::Error::other)?, stream);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", gives.len())?;
    stream.write_all(gives)?;
    stream.conn.send_close_notify();
    stream.flush()
}
