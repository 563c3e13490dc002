//! nginx as the broker's neighbour: the same kind of certificates, and one answer that never changes.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::Issuing;
use lab::cluster::{Broker, write_private};
use lab::{LONG, Process, until};
use rustls_pki_types::UnixTime;

use crate::Failure;

const PORT: u16 = 7444;

/// A running nginx.
pub(crate) struct Nginx {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// Starts it on a broker's host, with a server certificate that the broker's issuing CA signs.
pub(crate) fn start(broker: &Broker<'_>) -> Result<Nginx, Failure> {
    let folder = broker.host().folder().join("nginx");
    fs::create_dir(&folder)?;
    let read = |name: &str| fs::read_to_string(broker.state().join(name));
    let issuing = Issuing::from_pem(&read("issuing.crt")?, &read("issuing.key")?, &read("root.crt")?)?;
    let server = issuing.server(UnixTime::now())?;
    let chain: String = server.chain.iter().map(|certificate| pem(certificate)).collect();
    fs::write(folder.join("server.crt"), chain)?;
    write_private(&folder.join("server.key"), &server.key.to_pem())?;
    fs::write(folder.join("clients.crt"), format!("{}{}", issuing.certificate_pem(), issuing.root_pem()))?;
    let address = SocketAddr::new(broker.address().ip(), PORT);
    let settings = folder.join("nginx.conf");
    fs::write(&settings, settings_for(&folder, address))?;

    let mut command = broker.host().command("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(&settings).args(["-e", "stderr"]);
    let mut process = broker.host().spawn("nginx", command)?;
    until(LONG, "nginx to listen", || {
        let ended = process.ended().ok().flatten().is_some();
        let listens = broker.host().inside(|| TcpStream::connect(address).is_ok()).unwrap_or(false);
        (ended || listens).then_some(())
    })?;
    if process.ended()?.is_some() {
        return Err(format!("nginx ended: {}", process.stderr()).into());
    }
    Ok(Nginx { process, address })
}

/// As many workers as the broker has threads on this machine; TLS as the broker has it.
fn settings_for(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.iter().fold(String::new(), |mut text, kind| {
        let _ = writeln!(text, "{kind}_temp_path {folder}/{kind};");
        text
    });
    format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid {folder}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n{temporary}access_log off;\nserver {{\nlisten {address} ssl backlog=1024;\n\
         ssl_certificate {folder}/server.crt;\nssl_certificate_key {folder}/server.key;\n\
         ssl_client_certificate {folder}/clients.crt;\nssl_verify_client on;\nssl_verify_depth 3;\n\
         ssl_protocols TLSv1.3;\nssl_session_tickets off;\nssl_session_cache off;\n\
         location / {{ return 200 ok; }}\n}}\n}}\n"
    )
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.collect::<Vec<_>>().join("\n"))
}
