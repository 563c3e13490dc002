//! Promise 8 and its danger: a joiner comes from any broker, so what another broker gives is believed by its hash alone.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use certs::{ClientTrust, Issuing, Root, ServerTls};
use lab::cluster::{Broker, Cluster};
use lab::{Failed, Host, Pool, until};
use protocol::{ClusterId, JoinerHash};
use rustls_pki_types::UnixTime;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::fail_closed::relabel;
use crate::joiners::{SOON, anybody, config, findings, get, kept, program};

/// What a false peer does when it is asked for a joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Other bytes, as many as there should be.
    Other,
    /// One byte more than there should be.
    Longer,
    /// Fewer than it announces.
    Shorter,
    /// Bytes without end, and without a length.
    Endless,
    /// The right bytes, but it is of another cluster.
    Stranger,
    /// The right bytes: no lie.
    Truth,
}

const LIES: [Lie; 5] = [Lie::Other, Lie::Longer, Lie::Shorter, Lie::Endless, Lie::Stranger];

pub(crate) fn a_peer_that_gives_other_bytes_is_not_believed(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let wire = anybody(&broker)?;
    let right = program("right", 300_000);
    let asked = Arc::new(AtomicUsize::new(0));
    let lies = LIES.map(|lie| serve(&broker, lie, &right, &asked));
    let ports = lies.into_iter().collect::<Result<Vec<u16>, Failed>>()?;

    list_peer(&broker, &ports)?;
    list_joiner(manager, &right)?;
    until(SOON, "doctor to say that nobody gave it", || {
        let told = findings(&broker).ok()?;
        told.iter().any(|(result, text)| result.contains("wrong") && text.contains("other bytes")).then_some(())
    })?;
    // The stranger was told nothing.
    assert_eq!(asked.load(Ordering::SeqCst), LIES.len() - 1, "{:?}", findings(&broker)?);
    assert_eq!(get(manager, &wire, &right)?, Err(503));
    assert!(!kept(&broker, &right).exists(), "it keeps what it did not ask for");
    assert!(fs::read_dir(broker.state().join("joiners"))?.next().is_none());

    // One that tells the truth, after all the others: the broker did ask them all, and took none of it.
    let truth = serve(&broker, Lie::Truth, &right, &asked)?;
    let entry = entry(&[&ports[..], &[truth]].concat());
    relabel(manager, "swarm-broker.broker.false", "swarm-broker.entry", Some(&entry))?;
    until(SOON, "the right joiner", || (get(manager, &wire, &right).ok()? == Ok(right.clone().into())).then_some(()))?;
    let peak = broker.process()?.peak_memory();
    assert!(peak < crate::bounded::MEMORY, "the broker took {peak} bytes");
    Ok(())
}

/// A broker's entry in the directory, live for ever, on this host.
fn entry(ports: &[u16]) -> String {
    let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    json!({ "id": "false", "addresses": addresses, "node": "a".repeat(25), "key": "", "renewed": u64::MAX, "release": "9" })
        .to_string()
}

fn list_peer(broker: &Broker<'_>, ports: &[u16]) -> Result<(), Failed> {
    create(broker.host(), "swarm-broker.broker.false", "false", &[("kind", "broker"), ("entry", &entry(ports))])
}

fn list_joiner(manager: &Host, joiner: &[u8]) -> Result<(), Failed> {
    let facts = json!({
        "sha256": JoinerHash::of(joiner), "architecture": "x86_64", "size": joiner.len(), "release": "9",
    });
    create(manager, &config(joiner), &facts.to_string(), &[("kind", "joiner"), ("until", "9999999999")])
}

/// Writes into the ledger as another broker would.
pub(crate) fn create(manager: &Host, name: &str, data: &str, labels: &[(&str, &str)]) -> Result<(), Failed> {
    let file = manager.folder().join(name);
    fs::write(&file, data)?;
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("--label=swarm-broker.{label}={value}")).collect();
    let mut arguments = vec!["config", "create"];
    arguments.extend(labels.iter().map(String::as_str));
    let file = file.display().to_string();
    arguments.extend([name, &file]);
    manager.docker(&arguments)?;
    Ok(())
}

/// Listens on the broker's own host, with a certificate of its cluster, until the test ends. Gives the port.
fn serve(broker: &Broker<'_>, lie: Lie, right: &[u8], asked: &Arc<AtomicUsize>) -> Result<u16, Failed> {
    let tls = TlsAcceptor::from(Arc::new(settings(broker, lie)?));
    let listener = broker.host().inside(|| std::net::TcpListener::bind("127.0.0.1:0"))??;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let (right, asked) = (right.to_vec(), asked.clone());
    // A socket stays in the network that it was made in.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = tls.accept(stream).await else { continue };
                let _ = tokio::time::timeout(Duration::from_secs(20), answer(stream, lie, &right, &asked)).await;
            }
        });
    });
    Ok(port)
}

fn settings(broker: &Broker<'_>, lie: Lie) -> Result<rustls::ServerConfig, Failed> {
    let now = UnixTime::now();
    let read = |name: &str| fs::read_to_string(broker.state().join(name));
    let issuing = match lie {
        Lie::Stranger => Root::create(&ClusterId::random(), "other", now)?.issue(1, now)?,
        _ => Issuing::from_pem(&read("issuing.crt")?, &read("issuing.key")?, &read("root.crt")?)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = ClientTrust::new(provider.clone(), &[issuing.public().clone()])?;
    Ok(ServerTls::new(provider, issuing.server(now)?)?.config(trust)?)
}

async fn answer(
    mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    lie: Lie,
    right: &[u8],
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    let mut request = vec![0; 4096];
    let taken = stream.read(&mut request).await?;
    // Whether it is ready is what it is asked besides.
    if !request[..taken].starts_with(b"GET /v1/joiner/") {
        return Ok(());
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let wrong = program("wrong", right.len());
    let (head, body) = match lie {
        Lie::Other => (length(right.len()), wrong.clone()),
        Lie::Longer => (length(right.len() + 1), [right, b"!"].concat()),
        Lie::Shorter => (length(right.len()), right[1..].to_vec()),
        Lie::Endless => ("transfer-encoding: chunked".to_owned(), Vec::new()),
        Lie::Stranger | Lie::Truth => (length(right.len()), right.to_vec()),
    };
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).await?;
    stream.write_all(&body).await?;
    if lie == Lie::Endless {
        let chunk = [format!("{:x}\r\n", wrong.len()).as_bytes(), &wrong, b"\r\n"].concat();
        loop {
            stream.write_all(&chunk).await?;
        }
    }
    stream.shutdown().await
}

fn length(bytes: usize) -> String {
    format!("content-length: {bytes}")
}
