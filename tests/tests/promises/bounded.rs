//! Promise 12: slow, huge, malformed or idle connections cost a bounded amount and never keep an honest machine out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Joiner, Machine, Wire, on};
use lab::{Failed, Host, LONG, Pool, Process, until};
use protocol::{PROBLEM_JSON, Problem, ProblemKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, WriteHalf};

/// Together more than a broker has seats for, which is 1,024.
const SILENT: usize = 1_300;
const GREETED: usize = 200;
/// By then the broker has ended a connection on which nothing is said: its own limits are 5 s for the handshake and 5 s
/// for a request's headers. The rest is for a machine that is busy.
const IDLE: Duration = Duration::from_secs(20);
/// By then it has ended any of these connections: its limit for a body is 10 s more.
const ENDED: Duration = Duration::from_secs(30);
/// The most memory the broker may take, in a debug build, in bytes.
pub(crate) const MEMORY: u64 = 128 * 1024 * 1024;
/// How long an honest machine's boot may take under attack, and its exchange with the broker alone.
pub(crate) const BOOT: Duration = Duration::from_secs(30);
const EXCHANGE: Duration = Duration::from_secs(10);

const METRICS: &str = "127.0.0.1:9443";

pub(crate) fn a_thousand_idle_connections_keep_nobody_out(pool: &Pool) -> Result<(), Failed> {
    raise_own_limit()?;
    let cluster = Cluster::form(pool, 1, 4)?;
    let (manager, attacker) = (cluster.manager(), &cluster[1]);
    let broker = Broker::init(manager)?;
    let mut process = serve_with_ordinary_limits(&broker)?;
    let invite = broker.invite(&["--uses", "3"])?;
    let wire = Machine::new(&invite, broker.address()).anonymous();

    let stop = Arc::new(AtomicBool::new(false));
    let (joined, held) = thread::scope(|scope| {
        let flood = scope.spawn(|| on(attacker, || flood(broker.address(), wire, stop.clone())));
        let ends_with_the_joins = Stop(stop.clone());
        let joined = join_during_the_flood(manager, &cluster[2..], &invite);
        drop(ends_with_the_joins);
        (joined, flood.join().expect("no panic"))
    });
    let slowest = joined?;
    let held = held?;
    assert!(held.len() > 1_024, "the attacker got in {} times", held.len());
    let longest = held.into_iter().max().unwrap_or_default();
    assert!(longest < IDLE, "an idle connection was held for {longest:?}");
    assert!(slowest < BOOT, "a boot took {slowest:?}");
    // What the attacker holds now is nothing.
    until(ENDED, "all connections to be closed", || (metric(manager, "connections").ok()? == 0).then_some(()))?;

    let peak = process.peak_memory();
    println!("idle connections: slowest boot {slowest:?}, longest idle {longest:?}, broker's peak {} kB", peak / 1024);
    assert!(peak < MEMORY, "the broker took {peak} bytes");
    Ok(())
}

/// Stops the flood when it is dropped, by a failed assertion too.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Joins all machines at once, while there are more connections than seats. Gives the slowest.
fn join_during_the_flood(manager: &Host, machines: &[Host], invite: &str) -> Result<Duration, Failed> {
    until(ENDED, "the seats to run out", || (metric(manager, "connections_evicted_total").ok()? > 0).then_some(()))?;
    let before = metric(manager, "connections_evicted_total")?;
    let slowest = thread::scope(|scope| {
        let timed = |machine| {
            let start = Instant::now();
            Joiner::new(machine, invite).joins().map(|_| start.elapsed())
        };
        let joins: Vec<_> = machines.iter().map(|machine| scope.spawn(move || timed(machine))).collect();
        let times: lab::Result<Vec<Duration>> = joins.into_iter().map(|join| join.join().expect("no panic")).collect();
        times.map(|times| times.into_iter().max().unwrap_or_default())
    })?;
    assert!(metric(manager, "connections_evicted_total")? > before, "the seats were short all the while");
    Ok(slowest)
}

/// Holds connections and says nothing on them, and opens a new one for each that ends. Gives how long each lasted.
async fn flood(address: SocketAddr, wire: Wire, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..SILENT + GREETED {
        let (wire, stop) = ((number < GREETED).then(|| wire.clone()), stop.clone());
        callers.spawn(async move {
            let mut held = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                let hold = async {
                    match &wire {
                        Some(wire) => Ok(read_to_its_end(wire.connect().await?).await),
                        None => Ok::<_, std::io::Error>(
                            read_to_its_end(tokio::net::TcpStream::connect(address).await?).await,
                        ),
                    }
                };
                match tokio::time::timeout(ENDED, hold).await {
                    Ok(Ok(told)) => {
                        assert!(told.is_empty(), "who says nothing is told nothing");
                        held.push(start.elapsed());
                    }
                    // Not let in, or thrown out in the handshake.
                    Ok(Err(_)) => {}
                    Err(_) => held.push(start.elapsed()),
                }
                // As fast as the machine under the test can bear.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            held
        });
    }
    callers.join_all().await.concat()
}

async fn read_to_its_end(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut told = Vec::new();
    // A reset is an end like another.
    let _ = stream.read_to_end(&mut told).await;
    told
}

pub(crate) fn slow_huge_and_endless_requests_keep_nobody_out(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let (attacker, outside, machine) = (&cluster[1], &cluster[2], &cluster[3]);
    let mut broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();
    let wire = Machine::new(&invite, address).anonymous();

    let over = AtomicBool::new(false);
    let (attacked, served, joined) = thread::scope(|scope| {
        let served = scope.spawn(|| on(outside, || serve_honest(&invite, address, &over)));
        let joined = scope.spawn(|| {
            let start = Instant::now();
            Joiner::new(machine, &invite).joins().map(|_| start.elapsed())
        });
        let attacked = scope.spawn(|| on(attacker, || attack(address, wire))).join();
        over.store(true, Ordering::Relaxed);
        (attacked, served.join().expect("no panic"), joined.join().expect("no panic"))
    });
    for (attack, told, took) in attacked.expect("no panic")? {
        assert!(took < ENDED, "{}: still open after {took:?}", attack.name);
        attack.judge(&told);
    }
    let (served, boot) = (served?, joined?);
    let slowest = served.iter().max().copied().unwrap_or_default();
    assert!(slowest < EXCHANGE && boot < BOOT, "an exchange took {slowest:?}, a boot {boot:?}");
    assert!(served.len() > 10, "an honest machine was admitted {} times", served.len());

    let peak = broker.process()?.peak_memory();
    println!(
        "bad requests: {} exchanges meanwhile, slowest {slowest:?}, a boot {boot:?}, broker's peak {} kB",
        served.len(),
        peak / 1024
    );
    assert!(peak < MEMORY, "the broker took {peak} bytes");
    assert_eq!(broker.json(&["status", "--json"])?["ready"], true);
    Ok(())
}

/// An honest machine that goes from invite to token again and again. Gives how long each time took.
async fn serve_honest(invite: &str, address: SocketAddr, over: &AtomicBool) -> Vec<Duration> {
    let machine = Machine::new(invite, address);
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        machine.again().admitted().await.expect("an honest machine is admitted");
        times.push(start.elapsed());
    }
    times
}

/// What a bad caller does on one connection.
struct Attack {
    name: &'static str,
    /// Whether it finishes the TLS handshake first.
    tls: bool,
    /// What it says first.
    says: Vec<u8>,
    then: Then,
    ends: Ends,
}

enum Then {
    /// Says nothing more.
    Waits,
    /// Says this over and over, one byte each 100 ms.
    Trickles(&'static [u8]),
    /// Says this over and over, as fast as it is taken.
    Pours(Vec<u8>),
}

/// How it must end.
#[derive(Clone, Copy)]
enum Ends {
    /// With this problem document, and nothing after it.
    Problem(ProblemKind),
    /// With this status; where the HTTP library refuses by itself, there is no document. Or closed, since who has sent
    /// far too much may lose the reply with the connection.
    Refused(u16),
    /// Closed, without a word of HTTP.
    Closed,
}

const HEAD: &str = "POST /v1/identities HTTP/1.1\r\nhost: broker\r\ncontent-type: application/json\r\n";
/// The beginning of a TLS 1.3 `ClientHello` of 512 bytes.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

fn attacks() -> Vec<Attack> {
    use Ends::{Closed, Refused};
    use ProblemKind::{Malformed, NotFound, TooLarge, WrongMethod};
    use Then::{Pours, Trickles, Waits};

    let plain = |name, says: &[u8], then| Attack { name, tls: false, says: says.to_vec(), then, ends: Closed };
    let tls = |name, says: Vec<u8>, then, ends| Attack { name, tls: true, says, then, ends };
    let head = |headers: &str| format!("{HEAD}{headers}\r\n").into_bytes();
    let body = |name, body: &[u8], kind| {
        let says = [&head(&format!("content-length: {}\r\n", body.len())), body].concat();
        tls(name, says, Waits, Ends::Problem(kind))
    };
    let chunked = "transfer-encoding: chunked\r\n";
    vec![
        plain("a handshake, byte by byte", &[], Trickles(HELLO)),
        plain("garbage instead of TLS", &[0xa5; 4096], Waits),
        plain("endless garbage instead of TLS", &[], Pours(vec![0xa5; 4096])),
        plain("plain HTTP", b"GET /healthz HTTP/1.1\r\nhost: broker\r\n\r\n", Waits),
        tls("headers, byte by byte", vec![], Trickles(HEAD.as_bytes()), Closed),
        tls("headers without end", HEAD.into(), Pours(b"x: y\r\n".repeat(100)), Refused(431)),
        tls("a thousand headers", head(&"x: y\r\n".repeat(1000)), Waits, Refused(431)),
        tls("a header of 1 MB", head(&format!("x: {}\r\n", "y".repeat(1_000_000))), Waits, Refused(431)),
        tls("two lengths", head("content-length: 2\r\ncontent-length: 3\r\n"), Waits, Refused(400)),
        tls("not HTTP", b"\0\0\0\0\r\n\r\n".to_vec(), Waits, Refused(400)),
        tls("a body that never comes", head("content-length: 100\r\n"), Waits, Ends::Problem(Malformed)),
        tls("a body, byte by byte", head("content-length: 16000\r\n"), Trickles(b"["), Ends::Problem(Malformed)),
        tls("chunks, byte by byte", head(chunked), Trickles(b"1\r\n[\r\n"), Ends::Problem(Malformed)),
        tls("chunks without end", head(chunked), Pours(b"5\r\n[[[[[\r\n".repeat(100)), Ends::Problem(TooLarge)),
        // The chunks end at once: what follows them would be a second request by the one reading, a body by the other.
        tls(
            "two readings of one request",
            [
                &head(&format!("content-length: 44\r\n{chunked}")),
                &b"0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: broker\r\n\r\n"[..],
            ]
            .concat(),
            Waits,
            Ends::Problem(Malformed),
        ),
        tls("no such path", b"GET /admin HTTP/1.1\r\nhost: b\r\n\r\n".to_vec(), Waits, Ends::Problem(NotFound)),
        tls(
            "no such method",
            b"BREW /v1/joins HTTP/1.1\r\nhost: b\r\n\r\n".to_vec(),
            Waits,
            Ends::Problem(WrongMethod),
        ),
        body("a body of 10 MB", &vec![b'['; 10_000_000], TooLarge),
        body("100,000 brackets", &[b'['; 100_000], TooLarge),
        body("as many brackets as are read", &[b'['; 16_000], Malformed),
        body("brackets in an unknown field", &[&b"{\"csr\":\"\",\"x\":"[..], &[b'['; 16_000]].concat(), Malformed),
        body("a body that is not UTF-8", b"{\"csr\":\"\xff\xfe\",\"invite\":\"\xc3\x28\"}", Malformed),
        body("no body", b"", Malformed),
    ]
}

/// Each attack five times, all at once. Gives for each what it was told, and how long its connection lasted.
async fn attack(address: SocketAddr, wire: Wire) -> Vec<(Arc<Attack>, Vec<u8>, Duration)> {
    let mut callers = tokio::task::JoinSet::new();
    for attack in attacks().into_iter().map(Arc::new).flat_map(|attack| vec![attack; 5]) {
        let wire = wire.clone();
        callers.spawn(async move {
            let start = Instant::now();
            let exchange = async {
                if attack.tls {
                    attack.exchange(wire.connect().await.expect("a handshake")).await
                } else {
                    attack.exchange(tokio::net::TcpStream::connect(address).await.expect("a connection")).await
                }
            };
            let told = tokio::time::timeout(ENDED, exchange).await.unwrap_or_default();
            (attack, told, start.elapsed())
        });
    }
    callers.join_all().await
}

impl Attack {
    /// Does it, and gives what it was told until the connection ended.
    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite) -> Vec<u8> {
        let (from, to) = tokio::io::split(stream);
        let speaks = async {
            // That nobody listens any more shows at the other half.
            let _ = self.speak(to).await;
            std::future::pending().await
        };
        tokio::select! {
            told = read_to_its_end(from) => told,
            told = speaks => told,
        }
    }

    async fn speak(&self, mut to: WriteHalf<impl AsyncWrite>) -> std::io::Result<()> {
        to.write_all(&self.says).await?;
        to.flush().await?;
        match &self.then {
            Then::Waits => std::future::pending().await,
            Then::Trickles(text) => {
                for byte in text.iter().cycle() {
                    to.write_all(&[*byte]).await?;
                    to.flush().await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(())
            }
            Then::Pours(text) => loop {
                to.write_all(text).await?;
            },
        }
    }

    /// Whether it was told what it must be told.
    fn judge(&self, told: &[u8]) {
        let text = String::from_utf8_lossy(told);
        let context = || format!("{}: {text:?}", self.name);
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        match self.ends {
            Ends::Closed => assert!(!text.contains("HTTP"), "{}", context()),
            Ends::Refused(expected) => assert!(told.is_empty() || status == Some(expected), "{}", context()),
            Ends::Problem(kind) => {
                let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{}", context()));
                assert!(head.contains(&format!("content-type: {PROBLEM_JSON}\r\n")), "{}", context());
                let problem: Problem = serde_json::from_str(body).unwrap_or_else(|_| panic!("{}", context()));
                assert_eq!((problem.kind(), status), (Some(kind), Some(kind.status())), "{}", context());
            }
        }
    }
}

/// Starts a broker with as many open files as a shell or a unit gets: 1,024, until it asks for more.
fn serve_with_ordinary_limits(broker: &Broker) -> Result<Process, Failed> {
    let mut serve = broker.command();
    serve.args(["serve", "--metrics", METRICS]);
    let mut command = Command::new("prlimit");
    command.arg("--nofile=1024:4096").arg(serve.get_program()).args(serve.get_args());
    let process = broker.host().spawn("broker", command)?;
    until(LONG, "the broker to be ready", || process.stderr().contains("serving").then_some(()))?;
    Ok(process)
}

/// The attacker is this process: it needs a file for each connection.
fn raise_own_limit() -> Result<(), Failed> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// One of the broker's figures.
fn metric(manager: &Host, name: &str) -> Result<u64, Failed> {
    let text = manager.inside(|| {
        let mut stream = TcpStream::connect(METRICS)?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    })??;
    let name = format!("swarm_broker_{name} ");
    let figure = text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    figure.ok_or_else(|| Failed::from(format!("no {name}in {text}")))
}
