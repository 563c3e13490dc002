//! Promise 12 for downloads: slow readers and many at once cost a bounded amount and keep no honest machine out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use lab::cluster::{Broker, Cluster, Joiner, Wire, on};
use lab::{Failed, Host, Pool, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::bounded::{BOOT, MEMORY};
use crate::joiners::{anybody, install, path_of, program};

/// As large as the real one.
const SIZE: usize = 1_200_000;
/// By then an honest machine has its joiner, whatever others do.
const DOWNLOAD: Duration = Duration::from_secs(20);

/// A broker that serves one joiner, and whoever can reach it.
fn serving(manager: &Host) -> Result<(Broker<'_>, Wire, Vec<u8>), Failed> {
    let mut broker = Broker::init(manager)?;
    let joiner = program("download", SIZE);
    install(&broker, &joiner)?;
    broker.serve()?;
    let wire = anybody(&broker)?;
    Ok((broker, wire, joiner))
}

/// Downloads as a machine does that gets no answer, or is told to come back: with a pause, and again.
async fn download(wire: &Wire, joiner: &[u8]) -> Result<Duration, String> {
    let start = Instant::now();
    let mut told = String::new();
    for _ in 0..20 {
        match wire.ask(Method::GET, &path_of(joiner), "".into()).await {
            Ok(reply) if reply.status() == 200 => {
                assert!(reply.body() == joiner, "other bytes");
                return Ok(start.elapsed());
            }
            Ok(reply) => told = reply.status().to_string(),
            Err(error) => told = error,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(told)
}

/// Asks for a joiner over a connection that holds little on its way.
async fn begin(address: SocketAddr, wire: &Wire, path: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(8 * 1024)?;
    let mut stream = wire.greet(socket.connect(address).await?).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: broker\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}

pub(crate) fn a_slow_link_gets_its_joiner_in_the_end(pool: &Pool) -> Result<(), Failed> {
    /// So much is read each 100 ms, in bytes: 130 kbit/s, so that it takes longer than any other exchange may.
    const PIECE: usize = 1_640;
    let cluster = Cluster::form(pool, 1, 1)?;
    let (broker, wire, joiner) = serving(cluster.manager())?;
    let (address, path) = (broker.address(), path_of(&joiner));
    let took = on(&cluster[1], || async {
        let start = Instant::now();
        let mut stream = begin(address, &wire, &path).await?;
        let mut reply = Vec::new();
        loop {
            let mut piece = [0; PIECE];
            match stream.read(&mut piece).await? {
                0 => break,
                length => reply.extend_from_slice(&piece[..length]),
            }
            let due = Duration::from_millis(reply.len() as u64 * 100 / PIECE as u64);
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
        }
        assert!(reply.ends_with(&joiner), "it has {} bytes", reply.len());
        Ok::<_, std::io::Error>(start.elapsed())
    })??;
    println!("slow link: {took:?}");
    assert!(took > Duration::from_secs(65), "it was not slow: {took:?}");
    Ok(())
}

pub(crate) fn two_hundred_downloads_at_once_keep_nobody_out(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let (mut broker, wire, joiner) = serving(cluster.manager())?;
    let invite = broker.invite(&["--uses", "1"])?;
    let done = Arc::new(AtomicUsize::new(0));
    let (times, boot) = thread::scope(|scope| {
        let boot = scope.spawn(|| {
            // In the middle of it.
            until(Duration::from_mins(2), "the first download", || (done.load(Ordering::SeqCst) > 0).then_some(()))?;
            let start = Instant::now();
            Joiner::new(&cluster[2], &invite).joins().map(|_| start.elapsed())
        });
        let times = on(&cluster[1], || async {
            let joiner = Arc::new(joiner);
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..200 {
                let (wire, joiner, done) = (wire.clone(), joiner.clone(), done.clone());
                running.spawn(async move {
                    let took = download(&wire, &joiner).await;
                    done.fetch_add(1, Ordering::SeqCst);
                    took
                });
            }
            running.join_all().await.into_iter().collect::<Result<Vec<Duration>, String>>()
        });
        (times, boot.join().expect("no panic"))
    });
    let (slowest, boot) = (times??.into_iter().max().unwrap_or_default(), boot?);
    let peak = broker.process()?.peak_memory();
    println!("200 downloads: slowest {slowest:?}, a boot {boot:?}, broker's peak {} kB", peak / 1024);
    assert!(boot < BOOT, "a boot took {boot:?}");
    assert!(peak < MEMORY, "the broker took {peak} bytes");
    Ok(())
}

pub(crate) fn downloads_that_nobody_reads_keep_nobody_out(pool: &Pool) -> Result<(), Failed> {
    /// More than there are places for downloads.
    const STALLED: usize = 300;
    let cluster = Cluster::form(pool, 1, 3)?;
    let (mut broker, wire, joiner) = serving(cluster.manager())?;
    let invite = broker.invite(&["--uses", "1"])?;
    let (address, path) = (broker.address(), path_of(&joiner));
    let (begun, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (took, boot, ended) = thread::scope(|scope| {
        let stalled = scope.spawn(|| on(&cluster[1], || stall(address, &wire, &path, STALLED, &begun, &over)));
        let all = until(DOWNLOAD, "the stalled downloads", || (begun.load(Ordering::SeqCst) == STALLED).then_some(()));
        let took = on(&cluster[2], || download(&wire, &joiner));
        let start = Instant::now();
        let boot = Joiner::new(&cluster[3], &invite).joins().map(|_| start.elapsed());
        over.store(1, Ordering::SeqCst);
        all.expect("all were begun");
        (took, boot, stalled.join().expect("no panic"))
    });
    let (took, boot) = (took??, boot?);
    let peak = broker.process()?.peak_memory();
    println!(
        "stalled downloads: a download {took:?}, a boot {boot:?}, broker's peak {} kB, {} ended",
        peak / 1024,
        ended?
    );
    // At once: it need not wait until a stalled one is told apart from one that is slow.
    assert!(took < Duration::from_secs(5) && boot < BOOT, "a download took {took:?}, a boot {boot:?}");
    assert!(peak < MEMORY, "the broker took {peak} bytes");
    Ok(())
}

/// Begins so many downloads and reads nothing of them. Gives how many were ended from the other side.
async fn stall(
    address: SocketAddr,
    wire: &Wire,
    path: &str,
    count: usize,
    begun: &AtomicUsize,
    over: &AtomicUsize,
) -> usize {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(begin(address, wire, path).await.expect("let in"));
        begun.fetch_add(1, Ordering::SeqCst);
    }
    while over.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut ended = 0;
    for mut stream in held {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_millis(20), stream.read_to_end(&mut rest)).await;
        ended += usize::from(read.is_ok());
    }
    ended
}
