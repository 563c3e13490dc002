//! Operators: the same orders from another host, over mTLS, as far as each one's rights go and no further.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use certs::{Csr, Issuing, NodeKeyPair, SigningKey};
use hyper::Method;
use lab::cluster::{Broker, Cluster, Machine, REFUSED, Run, Told, invite, node_key, on, run};
use lab::{Failed, Host, LONG, Pool, programs, until};
use protocol::{GRANTS, HANDOVERS, IDENTITIES, JOINS, LEAVES, REDEEM};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};

use crate::followed::{page, typed};
use crate::leaks;
use crate::managers::{follow, found};

/// A host with the program and a home, and no broker, engine or state.
struct Laptop<'h> {
    host: &'h Host,
    home: PathBuf,
}

impl<'h> Laptop<'h> {
    fn new(host: &'h Host) -> Result<Self, Failed> {
        let home = host.folder().join("home");
        fs::create_dir_all(&home)?;
        Ok(Self { host, home })
    }

    /// The program, in this user's home and with nothing else in its environment than this.
    fn command(&self, environment: &[&str]) -> Result<Command, Failed> {
        let mut command = self.host.command("env");
        command.arg("-i").arg(format!("HOME={}", self.home.display())).args(environment);
        command.arg(programs::broker()?);
        Ok(command)
    }

    fn run_with(&self, environment: &[&str], arguments: &[&str]) -> Result<Run, Failed> {
        let mut command = self.command(environment)?;
        command.args(arguments);
        Ok(run(command)?)
    }

    fn run(&self, arguments: &[&str]) -> Result<Run, Failed> {
        self.run_with(&[], arguments)
    }

    fn ok(&self, arguments: &[&str]) -> Result<String, Failed> {
        let ended = self.run(arguments)?;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        Ok(ended.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, Failed> {
        Ok(serde_json::from_str(&self.ok(arguments)?)?)
    }

    /// Whether it ended with this code and these words.
    fn fails(&self, arguments: &[&str], code: i32, words: &str) -> Result<(), Failed> {
        let ended = self.run(arguments)?;
        assert!(ended.code == code && ended.stderr.contains(words), "{arguments:?}: {ended:?}");
        Ok(())
    }

    /// A line as a page has it, typed in this folder.
    fn typed(&self, line: &str, folder: &Path) -> Result<Run, Failed> {
        let programs = programs::broker()?.parent().ok_or("the programs are nowhere")?.display().to_string();
        let mut command = self.host.command("env");
        command.arg("-i").arg(format!("HOME={}", self.home.display())).arg(format!("PATH={programs}:/usr/bin:/bin"));
        command.args(["sh", "-c", line]).current_dir(folder);
        Ok(run(command)?)
    }

    fn context(&self, name: &str) -> PathBuf {
        self.home.join(format!(".config/broker/contexts/{name}.json"))
    }

    /// What the context shows to a broker.
    fn pair(&self, name: &str) -> Result<NodeKeyPair, Failed> {
        let file: Value = serde_json::from_str(&fs::read_to_string(self.context(name))?)?;
        let text = |field: &str| file[field].as_str().ok_or_else(|| Failed::from(format!("no {field}")));
        let key = SigningKey::from_pem(text("key")?)?;
        Ok(NodeKeyPair {
            chain: vec![CertificateDer::from_pem_slice(text("certificate")?.as_bytes())?],
            key: key.to_tls(),
        })
    }
}

/// An operator with these rights, whose key never leaves the laptop, as a context of this name.
fn enrol(laptop: &Laptop<'_>, broker: &Broker<'_>, allow: &str, context: &str) -> Result<(), Failed> {
    let file = |name: &str| broker.host().folder().join(name).display().to_string();
    let (request, issued) = (file("jane.csr"), file("jane.json"));
    laptop.ok(&["operator", "request", "--output", &request])?;
    broker.ok(&["operator", "create", "jane", "--allow", allow, "--request", &request, "--output", &issued])?;
    assert!(!fs::read_to_string(&issued)?.contains("PRIVATE"), "a secret went with it");
    laptop.ok(&["context", "add", context, "--file", &issued])?;
    Ok(())
}

/// The commands of the page's section, each typed where it says: what ends it is left to the caller.
fn by_the_page(laptop: &Laptop<'_>, broker: &Broker<'_>) -> Result<String, Failed> {
    let page = page("docs/operations.md")?;
    let section = page.split_once("\n## The operator from anywhere\n").ok_or("no such section")?.1;
    let mut commands = typed(section.split("\n## ").next().unwrap_or_default());
    let last = commands.pop().ok_or("no command")?;
    assert!(commands.len() == 7 && last == "broker operator revoke jane", "{commands:?}, {last}");
    for line in commands {
        let on_manager = ["create", "list"].iter().any(|word| line.starts_with(&format!("broker operator {word}")));
        let ended = if on_manager { broker.typed(&line)? } else { laptop.typed(&line, &broker.host().folder())? };
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
    }
    Ok(last)
}

/// How often an order of this operator was refused for this reason, by these brokers together.
fn refused(brokers: &[&Broker<'_>], reason: &str) -> Result<usize, Failed> {
    let mut count = 0;
    for broker in brokers {
        let of = |record: &&Value| record["reason"] == reason && record["operator"] == "operator jane";
        count += broker.records()?.iter().filter(of).count();
    }
    Ok(count)
}

/// How often an event is of this operator's doing.
fn done(brokers: &[&Broker<'_>], event: &str) -> Result<usize, Failed> {
    let mut count = 0;
    for broker in brokers {
        let of = |record: &&Value| record["event"] == event && record["operator"] == "operator jane";
        count += broker.records()?.iter().filter(of).count();
    }
    Ok(count)
}

pub(crate) fn an_operator_elsewhere_does_what_it_may_in_each_of_two_clusters(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(4)?;
    let first = found(&hosts[0])?;
    let mut second = follow(&hosts[1], &first.invite(&["--role", "manager"])?)?;
    let other = found(&hosts[2])?;
    let laptop = Laptop::new(&hosts[3])?;

    // In one cluster with a key that never leaves the laptop, in the other one by a file that has it.
    let revoke = by_the_page(&laptop, &first)?;
    let file = laptop.host.folder().join("us.json").display().to_string();
    other.ok(&["operator", "create", "jane", "--allow", "rotate", "--ttl", "8h", "--out", &file])?;
    laptop.ok(&["context", "add", "us", "--file", &file])?;
    let modes = fs::metadata(laptop.context("us"))?.permissions().mode() & 0o777;
    assert_eq!(modes, 0o600);

    // What it may, it sees and does as on a manager, at whichever broker answers.
    let nodes = first.json(&["nodes", "--json"])?;
    assert_eq!(laptop.json(&["--context", "au", "nodes", "--json"])?, nodes);
    laptop.fails(&["pending", "--context", "au"], 77, "refused this to operator jane")?;
    laptop.ok(&["wait", "--count", "1", "--timeout", "10s", "--context", "au"])?;
    let line = laptop.ok(&["invite", "create", "--context", "au"])?;
    let admitted = on(laptop.host, || async { Machine::new(line.trim(), first.address()).identity().await })?;
    assert_eq!(admitted, Ok(()));
    assert_eq!(
        laptop.json(&["invite", "list", "--context", "au", "--json"])?,
        first.json(&["invite", "list", "--json"])?
    );
    let chosen = ["audit", "list", "--event", "invite.made", "--json"];
    let made = laptop.ok(&[&chosen[..], &["--context", "au"]].concat())?;
    assert_eq!(made, first.ok(&chosen)?);
    assert_eq!((made.lines().count(), done(&[&first, &second], "invite.made")?), (2, 1), "{made}");

    let mut follow = laptop.command(&[])?;
    follow.args(["audit", "follow", "--since", "1h", "--json", "--context", "au"]);
    let mut following = laptop.host.spawn("follow", follow)?;
    until(LONG, "what was there", || following.stdout().contains("invite.made").then_some(()))?;
    let made = invite::id(&second.invite(&[])?)?;
    until(LONG, "what came since, at the other broker", || following.stdout().contains(&made).then_some(()))?;
    following.kill()?;

    // What it may not, it is refused; and told beforehand what nobody may.
    laptop.fails(&["rotate", "worker", "--context", "au"], 77, "refused this to operator jane")?;
    laptop.fails(&["invite", "create", "--role", "manager", "--context", "au"], 77, "refused")?;
    assert_eq!(refused(&[&first, &second], "operator-right")?, 3);
    laptop.fails(&["adopt", "--all", "--reason", "mine", "--context", "au"], 64, "on a manager")?;
    laptop.fails(&["operator", "list", "--context", "au"], 64, "on a manager")?;
    laptop.fails(&["--context", "au", "doctor"], 64, "the machine that it is typed on")?;
    laptop.fails(&["--context", "au", "audit", "report", "--output", "x"], 64, "the machine that it is typed on")?;

    // Two clusters side by side: each has its own rights, and one of them is the current one.
    laptop.ok(&["context", "use", "us"])?;
    laptop.ok(&["rotate", "worker"])?;
    assert_eq!(done(&[&other], "token.rotated")? + done(&[&other], "token.rotating")?, 2);
    laptop.fails(&["nodes"], 77, "refused this to operator jane")?;
    assert_eq!(laptop.run_with(&["BROKER_CONTEXT=au"], &["nodes"])?.code, 0);
    laptop.fails(&["nodes", "--context", "local"], 69, "no broker is running behind")?;
    laptop.fails(&["nodes", "--context", "eu"], 66, "there is no context 'eu'")?;
    let listed = laptop.json(&["context", "list", "--json"])?;
    assert_eq!(listed["contexts"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(!listed.to_string().contains("PRIVATE"));

    // One broker that is gone costs nothing.
    second.kill()?;
    for _ in 0..4 {
        laptop.ok(&["nodes", "--context", "au"])?;
    }
    second.serve()?;

    // A file that others can read is not used.
    fs::set_permissions(laptop.context("au"), fs::Permissions::from_mode(0o640))?;
    laptop.fails(&["nodes", "--context", "au"], 78, "chmod 600")?;
    fs::set_permissions(laptop.context("au"), fs::Permissions::from_mode(0o600))?;

    // Revoked at one broker, it is out at both, whatever it asks.
    assert_eq!(first.typed(&revoke)?.stdout, "jane revoked\n");
    let line = first.invite(&[])?;
    for broker in [&first, &second] {
        for (method, path) in [(Method::GET, "status"), (Method::GET, "nodes"), (Method::POST, "invites")] {
            let shown = Machine::new(&line, broker.address()).with_node(laptop.pair("au")?);
            let path = format!("/v1/operator/{path}");
            let asked = on(laptop.host, || shown.send(method, &path, "{}".into()))?;
            assert_eq!(asked.map(|(status, _)| status), Ok(403), "{path}");
        }
    }
    assert_eq!(refused(&[&first, &second], "operator-revoked")?, 6);
    laptop.fails(&["status", "--context", "au"], 77, "was revoked")?;
    // In the other cluster it is one still, until its key leaks.
    laptop.ok(&["rotate", "worker", "--dry-run"])?;
    leaks::typed(&other, leaks::OPERATOR, &[("NAME", "jane")])?;
    laptop.fails(&["rotate", "worker", "--dry-run"], 77, "was revoked")?;
    Ok(())
}

pub(crate) fn nobody_passes_for_an_operator_and_no_operator_for_a_machine(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, worker) = (cluster.manager(), &cluster[1]);
    let broker = Broker::start(manager)?;
    let laptop = Laptop::new(worker)?;
    enrol(&laptop, &broker, "nodes,invite,invite-manager,approve,rotate,audit", "au")?;
    worker.join(manager, &manager.join_token(lab::Role::Worker)?)?;
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();

    // Whoever has the issuing key can sign any name, and has no right by that.
    let read = |name: &str| fs::read_to_string(broker.state().join(name));
    let issuing = Issuing::from_pem(&read("issuing.crt")?, &read("issuing.key")?, &read("root.crt")?)?;
    let forged = |name: &str| -> Result<NodeKeyPair, Failed> {
        let key = SigningKey::generate()?;
        let (pem, _) = issuing.operator(&Csr::from_pem(&key.csr()?)?, &name.parse()?, 3600, UnixTime::now())?;
        Ok(NodeKeyPair { chain: vec![CertificateDer::from_pem_slice(pem.as_bytes())?], key: key.to_tls() })
    };
    let (jane, nobody) = (forged("jane")?, forged("nobody")?);
    let (operator, node) = (laptop.pair("au")?, node_key(worker)?);
    let wrong = on(worker, || async {
        let mut machine = Machine::new(&invite, address);
        machine.identity().await.expect("an identity");
        let mut wrong = Vec::new();
        let orders = [("GET", "nodes"), ("GET", "status"), ("POST", "rotate"), ("POST", "nothing")];
        let strangers = [
            ("a forged operator", machine.with_node(jane)),
            ("one of no name", machine.with_node(nobody)),
            ("an identity", machine.wire()),
            ("a node", machine.with_node(node)),
            ("nobody", machine.anonymous()),
        ];
        for (who, wire) in &strangers {
            for (method, order) in orders {
                let method = method.parse().expect("a method");
                let told = wire.send(method, &format!("/v1/operator/{order}"), "{}".into()).await;
                if told.as_ref().map(|(status, _)| *status) != Ok(403) {
                    wrong.push(format!("{who} at {order}: {told:?}"));
                }
            }
        }
        let operator = machine.with_node(operator);
        for path in [IDENTITIES, GRANTS, REDEEM, JOINS, LEAVES, HANDOVERS] {
            let told: Result<Value, Told> = operator.post(path, &json!({})).await;
            if told != Err(REFUSED) {
                wrong.push(format!("an operator at {path}: {told:?}"));
            }
        }
        // All rights are not all orders.
        let denied =
            ["adopt", "roles", "recover", "joiners", "operators", "operators/jane/revoke", "rotate/unlock-key"];
        for order in denied {
            let told = operator.send(Method::POST, &format!("/v1/operator/{order}"), "{}".into()).await;
            if told.as_ref().map(|(status, _)| *status) != Ok(403) {
                wrong.push(format!("an operator at {order}: {told:?}"));
            }
        }
        wrong
    })?;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(broker.count("refused", Some("no-operator"))?, 8);
    assert_eq!(broker.count("refused", Some("wrong-certificate"))?, 12 + 6);
    assert_eq!(refused(&[&broker], "operator-right")?, 7);
    laptop.ok(&["nodes", "--context", "au"])?;

    // After the leak of that key the next issuing CA is used, and operators of the former one are none.
    broker.ok(&["rotate", "ca", "--now", "--reason", "it leaked"])?;
    laptop.fails(&["nodes", "--context", "au"], 69, "the issuing CA was replaced")?;
    broker.ok(&["operator", "revoke", "jane"])?;
    laptop.ok(&["context", "remove", "au"])?;
    fs::remove_file(manager.folder().join("jane.json"))?;
    enrol(&laptop, &broker, "nodes", "au")?;
    laptop.ok(&["nodes", "--context", "au"])?;
    Ok(())
}
