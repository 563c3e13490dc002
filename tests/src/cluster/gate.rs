//! A gate on the way from a broker to its engine, which holds one request or its reply back, on purpose: a broker that
//! is killed meanwhile was killed exactly there.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::error::{Result, Trying};
use crate::host::Host;

/// What is held back: the n-th request (from 1) whose first line contains this, and whether it passes to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// A part of the request's first line.
    pub request: String,
    /// Which of them.
    pub number: usize,
    /// Whether the engine gets it, and only the reply is held back.
    pub done: bool,
}

/// A gate in front of a host's engine.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    socket: PathBuf,
}

#[derive(Debug)]
struct Shared {
    engine: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    seen: usize,
    struck: bool,
    lost: bool,
    ended: bool,
}

impl Gate {
    /// A socket in the host's folder that leads to its engine.
    pub fn start(host: &Host, name: &str) -> Result<Self> {
        let socket = host.folder().join(name);
        let listener = UnixListener::bind(&socket).trying(|| format!("listening on {}", socket.display()))?;
        let shared = Arc::new(Shared { engine: host.socket(), state: Mutex::default(), changed: Condvar::new() });
        let accepting = shared.clone();
        thread::spawn(move || {
            for broker in listener.incoming().map_while(std::result::Result::ok) {
                let shared = accepting.clone();
                if shared.state().ended {
                    break;
                }
                thread::spawn(move || pass(broker, &shared));
            }
        });
        Ok(Self { shared, socket })
    }

    /// Where a broker finds the engine.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Holds this back from now on; counts from now on.
    pub fn hold(&self, held: Held) {
        *self.shared.state() = State { held: Some(held), ..State::default() };
        self.shared.changed.notify_all();
    }

    /// Lets everything pass, also what was held back.
    pub fn open(&self) {
        self.shared.state().held = None;
        self.shared.changed.notify_all();
    }

    /// Lets everything pass but what was held back: that is lost, with its connection.
    pub fn lose(&self) {
        self.shared.state().lost = true;
        self.open();
    }

    /// Whether something is or was held back.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.shared.state().struck
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        self.shared.state().ended = true;
        // Wakes the listener, which then sees that it has ended.
        let _ = UnixStream::connect(&self.socket);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the request that begins with these bytes is the one: then what is to become of it.
    fn strikes(&self, bytes: &[u8]) -> Option<Held> {
        let line = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
        let mut state = self.state();
        let held = state.held.clone().filter(|held| line.contains(&held.request))?;
        state.seen += 1;
        if state.seen != held.number {
            return None;
        }
        state.struck = true;
        Some(held)
    }

    /// Waits until this is not held back any more. False if it is lost.
    fn passes(&self, held: &Held) -> bool {
        let mut state = self.state();
        while state.held.as_ref() == Some(held) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.lost
    }
}

/// One connection. The Docker client sends a request, and nothing more before it has the reply.
fn pass(mut broker: UnixStream, shared: &Arc<Shared>) {
    let Ok(mut engine) = UnixStream::connect(&shared.engine) else { return };
    let (Ok(mut replies), Ok(mut back)) = (engine.try_clone(), broker.try_clone()) else { return };
    let replying: Arc<Mutex<Option<Held>>> = Arc::default();
    let (reply_held, waiting) = (replying.clone(), shared.clone());
    thread::spawn(move || {
        let mut bytes = [0_u8; 16 * 1024];
        while let Ok(length @ 1..) = replies.read(&mut bytes) {
            let held = reply_held.lock().unwrap_or_else(PoisonError::into_inner).take();
            let passes = held.is_none_or(|held| waiting.passes(&held));
            if !passes || back.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut bytes = [0_u8; 16 * 1024];
    while let Ok(length @ 1..) = broker.read(&mut bytes) {
        let passes = match shared.strikes(&bytes[..length]) {
            Some(held) if held.done => {
                *replying.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
                true
            }
            Some(held) => shared.passes(&held),
            None => true,
        };
        if !passes || engine.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = engine.shutdown(Shutdown::Both);
}
