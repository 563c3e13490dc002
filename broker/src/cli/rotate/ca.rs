//! `broker rotate ca`: the plan, the request, and where the root's key lies on this manager, all of it.

use std::path::{Path, PathBuf};

use crate::admin::{Admin, CaPlan, CaRequestOrder, KeyShown, Order};
use crate::cli::ca::open_root;
use crate::cli::{print, print_json, write_output};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::keys::{CaRequest, Plan};

/// How it was asked for.
pub(super) struct Asked {
    pub(super) now: bool,
    pub(super) dry_run: bool,
    pub(super) reason: Option<String>,
    pub(super) json: bool,
    /// Where the root is.
    pub(super) root: Option<PathBuf>,
    /// Where the request goes.
    pub(super) output: Option<PathBuf>,
}

/// What came of it.
pub(super) enum Outcome {
    Replaced(Box<KeyShown>),
    /// The root is elsewhere: this request must go there.
    Asked(CaRequest),
}

pub(super) fn run(admin: &Admin, asked: &Asked) -> Result<(), Failure> {
    let plan = plan(admin)?;
    if asked.dry_run {
        return if asked.json { print_json(&plan) } else { print(&planned(&plan, asked.now)) };
    }
    if !asked.json {
        eprintln!("{}", planned(&plan, asked.now));
    }
    match replace(admin, &plan, asked)? {
        Outcome::Asked(request) => hand_out(&request, asked),
        Outcome::Replaced(shown) if asked.json => print_json(&shown),
        Outcome::Replaced(shown) => print(&super::keys::told(&shown, asked.now)),
    }
}

pub(super) fn plan(admin: &Admin) -> Result<CaPlan, Failure> {
    admin.get("/v1/ca/plan")
}

/// Replaces it, where the root is at hand.
pub(super) fn replace(admin: &Admin, plan: &CaPlan, asked: &Asked) -> Result<Outcome, Failure> {
    let request: CaRequest = admin.post("/v1/ca/request", &CaRequestOrder { now: asked.now })?;
    let root = asked.root.clone().or_else(|| has_root_key(&plan.key.state).then(|| plan.key.state.clone()));
    let Some(root) = root else { return Ok(Outcome::Asked(request)) };
    let certificate = request
        .certify(&open_root(&root, &request.name)?, clock::now())
        .map_err(|error| Failure::new(Code::Data, format!("{}: {error}", root.display())))?;
    let order = Order { what: certificate, now: asked.now, reason: asked.reason.clone() };
    admin.post("/v1/ca/install", &order).map(|shown| Outcome::Replaced(Box::new(shown)))
}

fn has_root_key(state: &Path) -> bool {
    state.join("root.key").exists()
}

/// Writes a request to a file.
pub(super) fn write_request(request: &CaRequest, path: &Path) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(request);
    write_output(path, &text.map_err(|error| Failure::new(Code::Internal, error.to_string()))?)
}

/// The root is elsewhere: the request goes there.
fn hand_out(request: &CaRequest, asked: &Asked) -> Result<(), Failure> {
    match &asked.output {
        Some(path) => write_request(request, path)?,
        None => print_json(request)?,
    }
    let now = if asked.now { " --now" } else { "" };
    eprintln!(
        "broker: root.key is not on this manager, so nothing is replaced yet. Take this request to where it is: broker ca \
         issue REQUEST --root DIR --output issuing-{}.crt; and bring that file back: broker ca install issuing-{}.crt{now}",
        request.generation, request.generation
    );
    Ok(())
}

/// The plan in words.
pub(super) fn planned(plan: &CaPlan, now: bool) -> String {
    let Plan { generation, ends, next, overlap_ends, root_ends, invites, unread, brokers, adopt, .. } = &plan.key;
    let mut lines = vec![format!(
        "issuing CA: generation {generation} until {ends}; the next one is {next}. The root ends {root_ends}"
    )];
    lines.push(if now {
        format!("with --now, generation {generation} is good for nothing any more: a machine in the middle of a boot with an invite of the list ends, and needs another one")
    } else {
        format!("generation {generation} is trusted until {overlap_ends} beside it, and all invites stay good")
    });
    lines.push(match (now, invites.len()) {
        (_, 0) => "invites that accept a former generation and have not ended: none".into(),
        (true, many) => {
            format!("invites that accept a former generation: {many}. They are refused then, and must be made anew:")
        }
        (false, many) => {
            format!("invites that accept a former generation: {many}. With --now they would have to be made anew:")
        }
    });
    lines.extend(invites.iter().map(|invite| format!("  {} ends {}", invite.id, invite.ends)));
    lines.extend(super::keys::not_read(unread));
    lines.extend(brokers.iter().map(|broker| {
        format!("broker {} has generation {}, and gets the new one by itself", broker.id, broker.generation)
    }));
    if now {
        lines.extend(super::keys::to_adopt(adopt));
    }
    lines.join("\n")
}
