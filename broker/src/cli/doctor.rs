//! `broker doctor`: what is wrong, in plain words, with the fix.

use std::path::PathBuf;

use serde::Serialize;

use super::AdminSocket;
use crate::admin::{self, Admin};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::fleet::{NodeState, Report};
use crate::keys::{What, ending};
use crate::state::{self, Cluster, KeySource};
use crate::swarm::{Engine, TRIED_WITH};

/// Say what is wrong here, in plain words, with the fix; changes nothing
#[derive(clap::Args)]
pub(super) struct Doctor {
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// The Docker socket
    #[arg(long, value_name = "SOCKET", env = "BROKER_DOCKER", default_value = "/var/run/docker.sock")]
    docker: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    /// `ok`, `advice` or `wrong`.
    result: &'static str,
    text: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Finding { check, result: "ok", text: text.into() });
    }

    fn advice(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Finding { check, result: "advice", text: text.into() });
    }

    fn wrong(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Finding { check, result: "wrong", text: text.into() });
    }
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let admin = self.admin.here()?;
        let mut findings = Findings::default();
        let cluster = self.state(&mut findings);
        self.engine(&mut findings)?;
        let status = broker(&admin, &mut findings);
        if let Some(cluster) = cluster {
            issuing_key(&cluster, status.as_ref(), &mut findings);
        }
        let wrong = findings.0.iter().filter(|finding| finding.result == "wrong").count();
        if self.json {
            super::print_json(&serde_json::json!({ "healthy": wrong == 0, "findings": findings.0 }))?;
        } else {
            let rows: Vec<String> = findings
                .0
                .iter()
                .map(|finding| format!("{:6}  {:6}  {}", finding.result, finding.check, finding.text))
                .collect();
            super::print(&rows.join("\n"))?;
        }
        match wrong {
            0 => Ok(()),
            1 => Err(Failure::new(Code::Config, "one thing is wrong")),
            more => Err(Failure::new(Code::Config, format!("{more} things are wrong"))),
        }
    }

    fn state(&self, findings: &mut Findings) -> Option<Cluster> {
        match Cluster::open(&self.state) {
            Ok(cluster) => {
                findings.ok("state", format!("cluster '{}' in {}", cluster.name(), self.state.display()));
                ends(&cluster, findings);
                if cluster.folder().has("root.key") {
                    let path = cluster.folder().path("root.key");
                    findings.advice("state", format!("the root's key lies on this manager ({}): take it away to a safe place; only 'broker rotate ca' needs it, and 'broker ca issue' does that where it is", path.display()));
                }
                Some(cluster)
            }
            Err(error) => {
                findings.wrong("state", error.to_string());
                None
            }
        }
    }

    fn engine(&self, findings: &mut Findings) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Code::System, error.to_string()))?;
        let engine = Engine::new(&self.docker);
        let (version, membership) = runtime.block_on(async { (engine.version().await, engine.membership().await) });
        match version {
            Ok((version, lowest, highest)) => findings.ok(
                "engine",
                format!("version {version}, API {lowest} to {highest}; this release was tried with {TRIED_WITH}"),
            ),
            Err(error) => {
                findings.wrong("engine", error.to_string());
                return Ok(());
            }
        }
        match membership {
            Ok(membership) => {
                let counts = format!("managers: {}, nodes: {}", membership.managers, membership.nodes);
                findings.ok("swarm", format!("manager of swarm {} ({counts})", membership.swarm));
                if membership.managers == 2 {
                    findings.advice("swarm", "two managers lose quorum when either is lost: have one, three or five");
                }
            }
            Err(error) => findings.wrong("swarm", error.to_string()),
        }
        Ok(())
    }
}

fn nodes(admin: &Admin, findings: &mut Findings) {
    match admin.get::<Report>("/v1/nodes") {
        Ok(report) => match report.count(NodeState::Unexplained) {
            0 => findings.ok("nodes", "every node is explained, or on its way"),
            count => {
                findings.wrong("nodes", format!("unexplained: {count}. See 'broker nodes'; adopt or remove them"));
            }
        },
        Err(error) => findings.wrong("nodes", error.to_string()),
    }
}

fn broker(admin: &Admin, findings: &mut Findings) -> Option<admin::Status> {
    let status = match admin.get::<admin::Status>("/v1/status") {
        Ok(status) => status,
        Err(error) => {
            findings.wrong("broker", error.to_string());
            return None;
        }
    };
    for behind in &status.behind {
        match behind.problem {
            Some(_) => findings.wrong("key", behind.words()),
            None => findings.advice("key", behind.words()),
        }
    }
    if !status.ready {
        findings.wrong("broker", format!("running, not ready: {}", status.missing.join("; ")));
        return Some(status);
    }
    findings.ok("broker", format!("running, ready, release {}", status.release));
    if status.alarms > 0 {
        findings.advice("alarms", format!("{} since the broker started: see 'broker audit list'", status.alarms));
    }
    tokens(&status, findings);
    nodes(admin, findings);
    joiners(&status, findings);
    Some(status)
}

/// What ends soon, or has ended.
fn ends(cluster: &Cluster, findings: &mut Findings) {
    let (issuing, now) = (&cluster.issuing, clock::now());
    for (what, ends) in [(What::Ca, issuing.ends), (What::Root, issuing.root_ends)] {
        match ending(what, ends, now) {
            Some(words) if now >= ends => findings.wrong("ends", words),
            Some(words) => findings.advice("ends", words),
            None => {}
        }
    }
}

/// The issuing key lies in one place: in the state directory, or where `--issuing-key` says, which the running broker
/// knows.
fn issuing_key(cluster: &Cluster, status: Option<&admin::Status>, findings: &mut Findings) {
    const KEY: &str = "key";
    let elsewhere = status.map(|status| status.issuing_key.as_str()).filter(|kind| *kind != KeySource::State.kind());
    match (cluster.issuing_key_here(), elsewhere) {
        (Some(here), Some(kind)) => findings.advice(
            KEY,
            format!(
                "the broker has the issuing key from a {kind}, and it lies in the state directory as well: remove {}",
                here.display()
            ),
        ),
        (Some(_), None) => match cluster.issuing_key(&KeySource::State) {
            Ok(_) => findings.ok(KEY, "the issuing key belongs to the issuing CA"),
            Err(error) => findings.wrong(KEY, error.to_string()),
        },
        (None, Some(kind)) => findings.ok(KEY, format!("the broker has the issuing key from a {kind}")),
        (None, None) if status.is_some() => findings
            .wrong(KEY, "the issuing key was removed while the broker runs: the next start needs it, or --issuing-key"),
        (None, None) => findings.advice(
            KEY,
            "the issuing key is not in the state directory: the broker starts only if --issuing-key says where it is",
        ),
    }
}

/// Join tokens that nobody replaces.
fn tokens(status: &admin::Status, findings: &mut Findings) {
    for shown in status.tokens.iter().filter(|shown| shown.policy == "manual") {
        let role = shown.token.role;
        findings.advice(
            "tokens",
            format!("the {role} token lives until somebody replaces it: 'broker rotate {role}', or, once no script uses it, --rotate-{role} after-join"),
        );
    }
}

/// What machines boot from that have no joiner yet.
fn joiners(status: &admin::Status, findings: &mut Findings) {
    for joiner in &status.joiners {
        let (hash, kind) = (&joiner.sha256, joiner.architecture);
        match &joiner.problem {
            Some(why) if joiner.served => findings.advice("joiner", format!("{hash} ({kind}): {why}")),
            Some(why) => findings.wrong(
                "joiner",
                format!("{hash} ({kind}) is not here, and user-data until {} may name it: {why}. If you have that file: broker joiner upload FILE", joiner.until),
            ),
            None => {}
        }
    }
    for what in &status.joiners_left_out {
        findings.advice("joiner", format!("left out {what}"));
    }
    match status.joiners.iter().filter(|joiner| joiner.served).count() {
        0 => findings.advice("joiner", "none is served, so new machines must bring their own: install the broker's package, or name a folder that has them with --joiners"),
        count => findings.ok("joiner", format!("served: {count}")),
    }
}
