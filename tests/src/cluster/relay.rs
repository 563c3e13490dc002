//! A relay between a machine and a broker that loses or withholds one reply or one request, on purpose.
//!
//! The wire is TLS 1.3 without tickets, so turns can be told from outside: after the client's hello the client speaks
//! again only to end the handshake and send a request, and the server speaks after that only to reply. What a client
//! says as it goes is no request: it is told by its length.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::{Result, Trying};
use crate::host::Host;

/// The record that ends a connection, `close_notify`: five bytes ahead, the alert's two, the byte that says what it is,
/// and the tag's 16 (RFC 8446 §5.2, §6.1). No request is as short.
const FAREWELL: usize = 24;

/// What the relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Passes everything on.
    Pass,
    /// Passes the n-th request on (from 1, over all connections), and closes instead of giving back its reply.
    DropReply(usize),
    /// Passes the n-th request on and keeps back its reply until the rule is another.
    HoldReply(usize),
    /// Keeps back the n-th request until the rule is another.
    HoldRequest(usize),
}

/// A running relay; it ends when dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    rule: Mutex<Rule>,
    requests: AtomicUsize,
    struck: AtomicBool,
    ended: AtomicBool,
}

impl Relay {
    /// Listens on the host, and passes on to a broker that can be reached from it.
    pub fn start(host: &Host, port: u16, to: SocketAddr, rule: Rule) -> Result<Self> {
        let address = SocketAddr::from((host.address(), port));
        let listener = host.inside(|| TcpListener::bind(address))?.trying(|| format!("listening on {address}"))?;
        let shared = Arc::new(Shared {
            to,
            rule: Mutex::new(rule),
            requests: AtomicUsize::new(0),
            struck: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        // The thread stays in the host's network: it dials the broker from there.
        let network = host.network()?;
        thread::spawn(move || {
            if network.enter().is_ok() {
                accept(&listener, &accepting);
            }
        });
        Ok(Self { shared, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the rule has struck.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// How many requests it has seen.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Follows another rule from now on, which has not struck yet.
    pub fn set(&self, rule: Rule) {
        self.shared.struck.store(false, Ordering::SeqCst);
        *self.shared.rule.lock().unwrap_or_else(PoisonError::into_inner) = rule;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn rule(&self) -> Rule {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    while !shared.ended() {
        match listener.accept() {
            Ok((machine, _)) => {
                let shared = shared.clone();
                thread::spawn(move || relay(&machine, &shared));
            }
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// One connection, both directions in turns.
fn relay(machine: &TcpStream, shared: &Shared) {
    let Ok(broker) = TcpStream::connect_timeout(&shared.to, Duration::from_secs(2)) else { return };
    for stream in [machine, &broker] {
        let _ = (stream.set_nonblocking(true), stream.set_nodelay(true));
    }
    let mut turn = Turn::default();
    while !shared.ended() {
        let from_machine = pump(machine, |bytes| turn.request(bytes, &broker, shared));
        let from_broker = pump(&broker, |bytes| turn.reply(bytes, machine, shared));
        let released = turn.release(machine, &broker, shared);
        match (from_machine, from_broker) {
            (Pumped::Closed, _) | (_, Pumped::Closed) => break,
            _ if !released => break,
            (Pumped::Nothing, Pumped::Nothing) => thread::sleep(Duration::from_millis(1)),
            _ => {}
        }
    }
    let _ = (machine.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both));
}

/// Whose turn it is on one connection, and what is kept back.
#[derive(Default)]
struct Turn {
    /// Whether the client's hello has passed; what the client says after that ends its handshake or is a request.
    greeted: bool,
    /// The number of the request that is under way, or none between reply and request.
    request: Option<usize>,
    held_request: Vec<u8>,
    held_reply: Vec<u8>,
}

impl Turn {
    fn request(&mut self, bytes: &[u8], broker: &TcpStream, shared: &Shared) -> bool {
        if !self.greeted {
            self.greeted = true;
            return send(broker, bytes);
        }
        if self.request.is_none() && bytes.len() == FAREWELL {
            return send(broker, bytes);
        }
        let number = *self.request.get_or_insert_with(|| shared.requests.fetch_add(1, Ordering::SeqCst) + 1);
        if shared.rule() == Rule::HoldRequest(number) {
            shared.struck.store(true, Ordering::SeqCst);
            self.held_request.extend_from_slice(bytes);
            return true;
        }
        send(broker, bytes)
    }

    fn reply(&mut self, bytes: &[u8], machine: &TcpStream, shared: &Shared) -> bool {
        let Some(number) = self.request else { return send(machine, bytes) };
        match shared.rule() {
            Rule::DropReply(dropped) if dropped == number => {
                shared.struck.store(true, Ordering::SeqCst);
                false
            }
            Rule::HoldReply(held) if held == number => {
                shared.struck.store(true, Ordering::SeqCst);
                self.held_reply.extend_from_slice(bytes);
                true
            }
            _ => {
                self.request = None;
                send(machine, bytes)
            }
        }
    }

    /// Lets go what was kept back under a rule that is no more.
    fn release(&mut self, machine: &TcpStream, broker: &TcpStream, shared: &Shared) -> bool {
        let Some(number) = self.request else { return true };
        if !self.held_request.is_empty() && shared.rule() != Rule::HoldRequest(number) {
            return send(broker, &std::mem::take(&mut self.held_request));
        }
        if !self.held_reply.is_empty() && shared.rule() != Rule::HoldReply(number) {
            self.request = None;
            return send(machine, &std::mem::take(&mut self.held_reply));
        }
        true
    }
}

enum Pumped {
    Something,
    Nothing,
    Closed,
}

fn pump(mut from: &TcpStream, mut to: impl FnMut(&[u8]) -> bool) -> Pumped {
    let mut bytes = [0_u8; 16 * 1024];
    match from.read(&mut bytes) {
        Ok(0) => Pumped::Closed,
        Ok(length) => {
            if to(&bytes[..length]) {
                Pumped::Something
            } else {
                Pumped::Closed
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Pumped::Nothing,
        Err(_) => Pumped::Closed,
    }
}

fn send(mut to: &TcpStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return false,
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
            Err(_) => return false,
        }
    }
    true
}
