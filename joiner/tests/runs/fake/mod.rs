//! A fake broker and a fake engine, to make the rare failures of the real ones happen on demand.
//!
//! Certificates, TLS, sockets and files are real; only the decisions are scripted. Whole boots on real engines are
//! in the workspace's `tests/`.

mod broker;
mod engine;
mod serve;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{Issuing, Root};
use protocol::{BrokerAddress, ClusterId, INVITE_AUDIENCE, INVITE_PREFIX, Invite, InviteId, Role};
use rustls_pki_types::UnixTime;

pub(crate) use broker::{FakeBroker, Scripted};
pub(crate) use engine::{FakeEngine, JoinScript};

/// The node that the fake engine becomes.
pub(crate) const NODE: &str = "k9vqn1p0r3a8j2m4x6t5b7c1d";
/// The swarm it joins.
pub(crate) const SWARM: &str = "zzzzzzzzzzzzzzzzzzzzzzzzz";
/// What every token of the fake broker contains.
pub(crate) const TOKEN: &str = "SWMTKN-1-verysecret";

/// A cluster, a machine, and the joiner's files.
pub(crate) struct World {
    pub(crate) cluster: ClusterId,
    pub(crate) broker: FakeBroker,
    pub(crate) engine: FakeEngine,
    pub(crate) invite: Invite,
    pub(crate) state: PathBuf,
    place: tempfile::TempDir,
}

/// What a run of joiner ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) log: String,
}

impl World {
    /// A broker that serves and an engine in no swarm.
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().expect("a place");
        let cluster = ClusterId::random();
        let issuing = issuing(&cluster);
        let engine = FakeEngine::start(&place.path().join("docker"));
        let broker = FakeBroker::start(&cluster, &issuing, Some(engine.swarm_root()));
        let invite = invite(&cluster, &issuing, vec![broker.address.clone()]);
        Self { cluster, broker, engine, invite, state: place.path().join("state"), place }
    }

    /// Another cluster's broker.
    pub(crate) fn strange_broker() -> FakeBroker {
        let cluster = ClusterId::random();
        FakeBroker::start(&cluster, &issuing(&cluster), None)
    }

    /// The invite's file.
    pub(crate) fn invite_file(&self) -> PathBuf {
        self.place.path().join("invite")
    }

    /// The command line of `joiner join`, with the invite in its file.
    pub(crate) fn command(&self, timeout: &str) -> Command {
        let file = self.invite_file();
        // Another run may be reading it.
        std::fs::write(file.with_extension("new"), line(&self.invite)).expect("writes");
        std::fs::rename(file.with_extension("new"), &file).expect("renames");
        let mut command = Command::new(env!("CARGO_BIN_EXE_joiner"));
        command.env_clear().arg("join").arg("--invite-file").arg(file);
        command.args(["--timeout", timeout]).arg("--state").arg(&self.state).arg("--docker").arg(&self.engine.socket);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `joiner join` to its end.
    pub(crate) fn join(&self, timeout: &str) -> Ended {
        ended(self.command(timeout).arg("-v").output().expect("runs"))
    }

    /// Runs `joiner join` without an invite.
    pub(crate) fn join_without_invite(&self) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_joiner"));
        command.env_clear().args(["join", "--timeout", "5s", "--state"]).arg(&self.state);
        ended(command.arg("--docker").arg(&self.engine.socket).output().expect("runs"))
    }

    /// Runs `joiner leave` to its end.
    pub(crate) fn leave(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_joiner"));
        command.env_clear().arg("leave").args(arguments).arg("--state").arg(&self.state);
        ended(command.arg("--docker").arg(&self.engine.socket).output().expect("runs"))
    }

    /// Starts `joiner join`.
    pub(crate) fn start(&self, timeout: &str) -> Child {
        self.command(timeout).arg("-v").spawn().expect("starts")
    }

    /// What `joiner status --json` says.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.ask_status(&["--json"])).expect("JSON")
    }

    /// What `joiner status` says.
    pub(crate) fn status_in_words(&self) -> String {
        String::from_utf8(self.ask_status(&[])).expect("text")
    }

    fn ask_status(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_joiner"));
        command.env_clear().arg("status").args(arguments).arg("--state").arg(&self.state);
        command.arg("--docker").arg(&self.engine.socket).output().expect("runs").stdout
    }
}

/// What a run ended with, which must not show the token.
pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let ended = Ended { code: output.status.code(), out: text(output.stdout), log: text(output.stderr) };
    assert!(!ended.out.contains("verysecret") && !ended.log.contains("verysecret"), "the token shows: {ended:?}");
    ended
}

/// Polls until the condition holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn issuing(cluster: &ClusterId) -> Issuing {
    let root = Root::create(cluster, "test", UnixTime::now()).expect("a root");
    root.issue(1, UnixTime::now()).expect("an issuing CA")
}

fn invite(cluster: &ClusterId, issuing: &Issuing, brokers: Vec<BrokerAddress>) -> Invite {
    Invite {
        aud: INVITE_AUDIENCE.into(),
        jti: InviteId::random(),
        iat: now(),
        exp: now() + 3600,
        iss: cluster.clone(),
        pin: issuing.pin(),
        generation: 1,
        role: Role::Worker,
        uses: 1,
        from: Vec::new(),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        brokers,
        ephemeral: None,
        conditions: protocol::Conditions::default(),
        newer: std::collections::BTreeMap::new(),
    }
}

fn line(invite: &Invite) -> String {
    let part = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
    let policy = serde_json::to_vec(invite).expect("serialises");
    format!("{INVITE_PREFIX}{}.{}.{}", part(br#"{"alg":"ES256"}"#), part(&policy), part(&[7; 64]))
}
