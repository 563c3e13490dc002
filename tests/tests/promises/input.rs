//! Bad input: a clear message, a code of its own, and nothing half done.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lab::cluster::{Broker, Cluster, Joiner, Machine, Run, finish, invite, on, run};
use lab::{Failed, Host, LONG, Pool, Role, form, nodes, programs, until};
use protocol::Pin;
use serde_json::{Value, json};

pub(crate) fn every_bad_invite_has_words_and_a_code(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let (manager, other, machine) = (cluster.manager(), &cluster[1], &cluster[2]);
    let broker = Broker::start(manager)?;
    let invites = Invites::make(&broker, other)?;
    let (good, token) = (&invites.good, manager.join_token(Role::Worker)?);
    let file = machine.folder().join("invite");
    let mut count = 0;
    let mut tried = |what: &str, text: &str, code: i32, words: &[&str]| {
        fs::write(&file, text)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        count += 1;
        fails(machine, &format!("{count}"), what, &["--invite-file", &path(&file)], code, words)
    };

    let cut = "the invite is cut off or altered";
    tried("garbled", &good.replacen('.', ".!", 1), 65, &[cut, "copy the whole line again"])?;
    tried("truncated", &good[..good.len() - 10], 65, &[cut, "its signature is not complete"])?;
    tried("empty", "", 65, &["there is no invite", "broker invite create"])?;
    tried("blank", " \n\n", 65, &["there is no invite", "broker invite create"])?;
    tried("other text", "#cloud-config", 65, &["this is not an invite", "begins with SWINV-1-"])?;
    tried("endless", &good.repeat(100), 65, &["longer than 8192 bytes"])?;
    let told = tried("a swarm token", &token, 65, &["a swarm join token, not an invite", "Never hand it out"])?;
    assert!(!told.contains(token.trim_start_matches("SWMTKN-1-")), "the token was shown: {told}");
    tried("two lines", &format!("{}\n{}", &good[..50], &good[50..]), 65, &["broken over several lines", "one line"])?;
    tried("two invites", &format!("{good}\n{good}\n"), 65, &["several lines", "one line"])?;

    let refused = ["refused by the broker at", "final for this invite", "audit log (request ", "make another invite"];
    tried("expired", &invites.expired, 77, &[&refused[..], &["the invite ended at", "for a new one"]].concat())?;
    tried("revoked", &invites.revoked, 77, &refused)?;
    tried("used up", &invites.used_up, 77, &refused)?;
    tried("altered", &claiming(good, "uses", &json!(100))?, 77, &refused)?;
    for (reason, refusals) in [("invite-ended", 1), ("invite-revoked", 1), ("used-up", 1), ("not-signed", 1)] {
        assert_eq!(broker.count("refused", Some(reason))?, refusals, "{reason}");
    }

    let elsewhere = ["does not belong to the invite's cluster", "the root that the invite pins", "the right invite"];
    tried("of another cluster", &invites.other_cluster, 69, &elsewhere)?;
    tried("with a wrong pin", &claiming(good, "pin", &json!(Pin::of_certificate(b"another root")))?, 69, &elsewhere)?;
    let nowhere = json!([format!("{}:7443", machine.address())]);
    let unreached = ["no broker answered in time", "does this machine reach it", &path_of(machine)];
    tried("of brokers that are not there", &claiming(good, "brokers", &nowhere)?, 69, &unreached)?;

    let missing = machine.folder().join("missing");
    fails(
        machine,
        "missing",
        "a missing file",
        &["--invite-file", &path(&missing)],
        66,
        &["cannot be read", &path(&missing)],
    )?;
    let both = ["--invite-file", &path(&file), good];
    fails(machine, "both", "given twice", &both, 64, &["given more than once", "joiner --help"])?;
    fails(machine, "none", "no invite", &[], 64, &["an invite is needed", "--invite-file"])?;

    let listed = broker.json(&["invite", "list", "--json"])?;
    let claimed: u64 = listed["invites"].as_array().into_iter().flatten().filter_map(|it| it["claimed"].as_u64()).sum();
    assert_eq!(claimed, 1, "only the used-up invite has lost its use: {listed}");
    assert_eq!(nodes(manager)?.len(), 1);
    // The machine is as good as before, and so is the invite that all of these were made from.
    Joiner::new(machine, good).joins()?;
    Ok(())
}

/// A good invite, and those that only a broker can tell from it.
struct Invites {
    good: String,
    expired: String,
    revoked: String,
    used_up: String,
    other_cluster: String,
}

impl Invites {
    fn make(broker: &Broker, other: &Host) -> Result<Self, Failed> {
        let invite = |arguments: &[&str]| broker.invite(arguments);
        let (good, expired) = (invite(&["--uses", "1"])?, invite(&["--uses", "1", "--ttl", "1s"])?);
        let (revoked, used_up) = (invite(&["--uses", "1"])?, invite(&["--uses", "1"])?);
        broker.ok(&["invite", "revoke", &invite::id(&revoked)?])?;
        let address = broker.address();
        on(broker.host(), || async { Machine::new(&used_up, address).identity().await.expect("the only use") })?;
        until(LONG, "the invite to end", || {
            let listed = broker.json(&["invite", "list", "--json"]).ok()?;
            listed["invites"].as_array()?.iter().any(|invite| invite["state"] == "ended").then_some(())
        })?;

        // A whole cluster of its own, whose invites name the other's broker.
        form(&[other], &[])?;
        let elsewhere = Broker::start_with(other, &["--advertise", &address.to_string()])?;
        Ok(Self { good, expired, revoked, used_up, other_cluster: elsewhere.invite(&["--uses", "1"])? })
    }
}

/// The invite with one of its claims changed; the signature does not hold for that, which only a broker can tell.
fn claiming(invite: &str, claim: &str, value: &Value) -> Result<String, Failed> {
    let parts: Vec<&str> = invite.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1])?)?;
    assert_ne!(claims[claim], *value, "something is changed");
    claims[claim] = value.clone();
    Ok(format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2]))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn path_of(machine: &Host) -> String {
    format!("{}:7443", machine.address())
}

/// Runs `joiner join` with a state of its own: it ends soon, with this code and these words, and the machine is in no
/// swarm, by its engine's and its own account. Gives its standard error.
fn fails(
    machine: &Host,
    state: &str,
    what: &str,
    arguments: &[&str],
    code: i32,
    words: &[&str],
) -> Result<String, Failed> {
    let state = machine.folder().join(format!("joiner-{state}"));
    let joiner = Joiner::new(machine, "").with("JOINER_STATE", &path(&state)).with("JOINER_TIMEOUT", "3s");
    let start = Instant::now();
    let ended = finish(machine.spawn("joiner", joiner.command(&[&["join"], arguments].concat()))?)?;
    says(what, &ended, code, words);
    assert!(start.elapsed() < Duration::from_secs(20), "{what}: it took {:?}", start.elapsed());
    assert_eq!(machine.swarm_state()?, "inactive", "{what}");
    let status = run(joiner.command(&["status", "--json"]))?;
    let status: Value = serde_json::from_str(&status.stdout)?;
    assert!(status["state"] == "none" || status["state"] == "booting", "{what}: {status}");
    Ok(ended.stderr)
}

fn says(what: &str, ended: &Run, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{what}: {}", ended.stderr);
    for words in words {
        assert!(ended.stderr.contains(words), "{what} lacks '{words}': {}", ended.stderr);
    }
}

pub(crate) fn every_bad_start_of_a_broker_has_words_and_a_code(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 3, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[3]);
    let made = |host, name: &str| Broker::init_in(host, manager.folder().join(name));

    let none = manager.folder().join("none");
    let broker = made(manager, "damaged")?;
    refuses(&broker, "no init", &["serve", "--state", &path(&none)], 66, &["run 'broker init --cluster NAME"])?;
    assert!(!none.exists());
    refuses(
        &broker,
        "init twice",
        &["init", "--cluster", "other"],
        73,
        &["holds a cluster already ('lab')", "--state"],
    )?;
    bad_settings(&broker)?;
    bad_state(&broker)?;
    bad_engine(&broker, &made(machine, "elsewhere")?, &cluster)?;

    let mut broker = Broker::start(manager)?;
    let apart = made(manager, "apart")?;
    // Without the ages that are shown beside them.
    let configs = || manager.docker(&["config", "ls", "--format", "{{.ID}} {{.Name}}"]);
    let before = configs()?;
    let admin = path(&manager.folder().join("other.sock"));
    let taken = ["cannot listen on [::]:7443", "in use", "--listen", "ss -ltnp"];
    refuses(&apart, "a taken port", &["serve", "--admin", &admin], 69, &taken)?;
    let second = ["serve", "--listen", "127.0.0.1:7444", "--admin", &admin];
    refuses(&broker, "the same state", &second, 75, &["another broker runs with the state", "Stop it first"])?;
    assert_eq!(configs()?, before, "nothing was changed in the swarm");
    assert_eq!(broker.json(&["status", "--json"])?["ready"], true, "the first one is not disturbed");
    broker.stop()?;
    bad_log(&mut broker)?;

    for lost in &cluster[1..3] {
        lost.kill_engine()?;
    }
    until(Duration::from_mins(1), "the quorum to be lost", || manager.docker(&["node", "ls"]).err())?;
    refuses(&broker, "no quorum", &["serve"], 75, &["the swarm has no quorum", "most managers do not answer"])
}

/// After a power cut an engine is up before its swarm is. The codes of what an operator must repair would keep systemd
/// from starting the broker again.
pub(crate) fn a_manager_that_is_not_in_its_swarm_yet_is_no_final_failure(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 1)?;
    let (manager, other, locked) = (cluster.manager(), &cluster[1], &cluster[2]);
    let mut broker = Broker::init(manager)?;
    other.kill_engine()?;
    manager.restart_engine()?;
    refuses(&broker, "alone after a restart", &["serve"], 75, &["the swarm has no quorum"])?;
    other.start_engine()?;
    until(Duration::from_mins(2), "the quorum to be back", || manager.docker(&["node", "ls"]).ok())?;
    broker.serve()?;

    form(&[locked], &[])?;
    locked.docker(&["swarm", "update", "--autolock=true"])?;
    locked.restart_engine()?;
    refuses(&Broker::init(locked)?, "locked", &["serve"], 75, &["is locked", "docker swarm unlock"])
}

fn bad_settings(broker: &Broker) -> Result<(), Failed> {
    let file = broker.host().folder().join("broker.toml");
    fs::write(&file, "listn = '[::]:1'\nlisten = 'nowhere'\ngrant_lifetime = '1h'\nmax_uses = -1\n")?;
    let all = [
        "'listn' is not a setting; there are: state, listen,",
        "listen: 'nowhere' is not an address like 10.0.0.1:7443",
        "grant_lifetime: '1h' is not 10s to 5m",
        "max_uses: '-1' is not a number from 1 to 2000",
        &path(&file),
    ];
    refuses(broker, "four mistakes", &["serve", "--config", &path(&file)], 78, &all)?;
    fs::write(&file, "listen = \n")?;
    refuses(broker, "not TOML", &["serve", "--config", &path(&file)], 78, &["line 1", &path(&file)])?;
    refuses(broker, "no such file", &["serve", "--config", "/nowhere"], 66, &["--config /nowhere", "No such file"])?;
    let listen = ["--listen: 'nonsense' is not an address like"];
    refuses(broker, "a bad flag", &["serve", "--listen", "nonsense"], 78, &listen)?;
    refuses(broker, "an unknown flag", &["serve", "--lisen", "[::]:1"], 64, &["--lisen", "--listen"])
}

fn bad_state(broker: &Broker) -> Result<(), Failed> {
    let state = broker.state();
    let with_mode = |path: &Path, mode, back, words: &[&str]| {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        refuses(broker, "open to others", &["serve"], 78, words)?;
        Ok::<_, Failed>(fs::set_permissions(path, Permissions::from_mode(back))?)
    };
    with_mode(state, 0o755, 0o700, &["can be read by others (mode 755)", &format!("chmod 0700 {}", state.display())])?;
    let key = state.join("issuing.key");
    with_mode(&key, 0o644, 0o600, &["can be read by others (mode 644)", &format!("chmod 0600 {}", key.display())])?;

    for name in ["cluster.json", "issuing.key", "invite.key", "grant.key"] {
        let file = state.join(name);
        let whole = fs::read(&file)?;
        fs::write(&file, &whole[..whole.len() / 2])?;
        refuses(broker, "half written", &["serve"], 65, &[&path(&file), "is damaged", "restore it from a backup"])?;
        fs::remove_file(&file)?;
        let gone = [&path(&file), "is missing, though the cluster was initialised here", "Restore it from a backup"];
        refuses(broker, "gone", &["serve"], 66, &gone)?;
        if name == "cluster.json" {
            refuses(broker, "made again over what is left", &["init", "--cluster", "lab"], 66, &gone)?;
        }
        fs::write(&file, &whole)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn bad_engine(broker: &Broker, elsewhere: &Broker, cluster: &Cluster) -> Result<(), Failed> {
    let machine = elsewhere.host();
    let nowhere = ["serve", "--docker", "/nowhere.sock"];
    refuses(broker, "no socket", &nowhere, 72, &["no Docker socket at /nowhere.sock", "start Docker", "--docker"])?;
    let no_manager = ["this machine is not a manager of a swarm", "docker swarm init"];
    refuses(elsewhere, "in no swarm", &["serve"], 78, &no_manager)?;
    machine.join(cluster.manager(), &cluster.manager().join_token(Role::Worker)?)?;
    let worker = ["this machine is a worker of its swarm", "broker promote"];
    refuses(elsewhere, "on a worker", &["serve"], 78, &worker)?;
    machine.kill_engine()?;
    refuses(
        elsewhere,
        "a dead engine",
        &["serve"],
        69,
        &["the engine does not answer: Connection refused", "Start Docker", "--docker"],
    )
}

fn bad_log(broker: &mut Broker) -> Result<(), Failed> {
    let log = broker.log();
    let whole = fs::read_to_string(&log)?;
    let records = whole.lines().count();
    assert!(records > 3, "{whole}");
    fs::write(&log, whole.replacen("\"number\":2", "\"number\":7", 1))?;
    refuses(broker, "a damaged log", &["serve"], 65, &[&path(&log), "is damaged at line 3", "restore it"])?;

    fs::write(&log, format!("{whole}{}", &whole[..40]))?;
    broker.serve()?;
    assert_eq!(broker.count("log.recovered", None)?, 1);
    assert!(fs::read_to_string(&log)?.starts_with(&whole), "what was whole is kept");
    broker.stop()?;
    assert_eq!(broker.count("log.recovered", None)?, 1);
    Ok(())
}

/// Runs a broker's command: it ends soon, with this code and these words, and no byte of its state is another.
fn refuses(broker: &Broker, what: &str, arguments: &[&str], code: i32, words: &[&str]) -> Result<(), Failed> {
    let before = contents(broker.state())?;
    let mut command = broker.command();
    command.args(arguments);
    // Its own limit is for a quorum: 20 s, and a call to the engine that never ends.
    let mut process = broker.host().spawn("broker", command)?;
    let status = process.wait(Duration::from_secs(40))?;
    let ended = Run { code: status.code().unwrap_or(-1), stdout: process.stdout(), stderr: process.stderr() };
    says(what, &ended, code, words);
    assert_eq!(contents(broker.state())?, before, "{what}: the state was changed");
    Ok(())
}

/// What is in a folder: each file's mode and bytes, by name; of a folder in it, the mode.
fn contents(folder: &Path) -> Result<BTreeMap<String, (u32, Vec<u8>)>, Failed> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        let bytes = if about.is_dir() { Vec::new() } else { fs::read(entry.path())? };
        files.insert(entry.file_name().to_string_lossy().into_owned(), (about.permissions().mode(), bytes));
    }
    Ok(files)
}

pub(crate) fn a_machine_in_another_swarm_is_left_alone(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let (manager, founder, worker) = (cluster.manager(), &cluster[1], &cluster[2]);
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2"])?;
    form(&[founder], &[worker])?;

    for machine in [founder, worker] {
        let node = machine.node_id()?;
        let ended = Joiner::new(machine, &invite).join()?;
        let words = ["this machine is in another swarm", &node, "left alone", "docker swarm leave"];
        says(machine.name(), &ended, 78, &words);
        assert_eq!((machine.swarm_state()?.as_str(), machine.node_id()?), ("active", node));
    }
    let theirs = nodes(founder)?;
    assert_eq!(theirs.len(), 2);
    assert!(theirs.iter().all(|node| node.availability == "active" && node.labels.is_empty()), "{theirs:?}");
    assert_eq!(nodes(manager)?.len(), 1);
    let listed = broker.json(&["invite", "list", "--json"])?;
    assert_eq!(listed["invites"][0]["claimed"], 0, "{listed}");
    assert_eq!(broker.count("identity.issued", None)?, 0);
    Ok(())
}

pub(crate) fn the_admin_socket_is_for_root_only(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let socket = manager.folder().join("admin.sock");
    assert_eq!(fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);

    // The working directory is handed down: whatever folders are above it, nobody reaches what is in it.
    fs::set_permissions(manager.folder(), Permissions::from_mode(0o711))?;
    fs::copy(programs::broker()?, manager.folder().join("program"))?;
    let as_nobody = |arguments: &[&str]| {
        let mut command: Command = manager.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "./program"]);
        command.args(arguments).args(["--admin", "./admin.sock"]).current_dir(manager.folder());
        run(command)
    };
    let orders: [&[&str]; 4] =
        [&["status"], &["nodes"], &["invite", "create", "--uses", "1"], &["adopt", "--all", "--reason", "x"]];
    for order in orders {
        says("by its mode", &as_nobody(order)?, 77, &["admin.sock may be opened by root only", "sudo"]);
    }
    assert!(!broker.process()?.stderr().contains("refused a caller"), "the kernel kept them out");

    fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
    for order in orders {
        says("by who it is", &as_nobody(order)?, 77, &["root", "sudo"]);
    }
    let refused = broker.process()?.stderr().matches("refused a caller on the admin socket").count();
    assert_eq!(refused, orders.len(), "the broker kept them out");
    assert_eq!(broker.json(&["invite", "list", "--json"])?["invites"], json!([]));
    Ok(())
}
