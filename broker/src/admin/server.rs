//! The admin socket's server: one route a command.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::{InviteId, Problem, ProblemKind, Role};
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};

use super::arrivals::arrivals;
use super::order::assert_fit;
use super::sightings::sightings;
use super::words::{
    AdoptOrder, Adopted, ClaimedInvite, ClaimsShown, InviteLineReply, InviteShown, InvitesShown, Revoked,
};
use super::{joiners, keys, operator, operators, pending, records, recover, roles, rotate, status, unlock_key};
use crate::admission::{InviteOrder, Revocation, make_invite, revoke_invite};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::exit::{Code, Failure};
use crate::fleet::{NodeLine, Report};
use crate::server::{body_of, json, problem};
use crate::{clock, fleet, handover, witness};

pub(super) type Reply = Response<http_body_util::Full<hyper::body::Bytes>>;

/// Binds the socket, for its owner only, and serves it for ever.
pub(crate) fn serve(broker: Arc<Broker>, path: &Path) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let fail = |error: std::io::Error| {
        Failure::new(
            Code::CannotCreate,
            format!("the admin socket {}: {error}. Give another with --admin", path.display()),
        )
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    // The state's lock is held: a socket that is here was left by a broker that is gone.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok(tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(connection(broker.clone(), stream))),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }))
}

async fn connection(broker: Arc<Broker>, stream: UnixStream) {
    let operator = peer(&stream);
    let service = service_fn(|request| {
        let (broker, operator) = (broker.clone(), operator.clone());
        async move {
            Ok::<_, Infallible>(match operator {
                Some(operator) => answer(&broker, operator, request).await,
                None => complaint(ProblemKind::Refused, "the admin socket is for root only: run this as root (sudo)"),
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

/// Who is at the other end, by the kernel's word; None for who may not speak here.
fn peer(stream: &UnixStream) -> Option<String> {
    let uid = stream.peer_cred().ok()?.uid();
    let ours = rustix::process::geteuid().as_raw();
    if uid != 0 && uid != ours {
        tracing::warn!(uid, "refused a caller on the admin socket");
        return None;
    }
    Some(operator(uid))
}

/// What the operator is told: unlike a machine, all of it.
pub(super) fn complaint(kind: ProblemKind, detail: impl Into<String>) -> Reply {
    problem(&Problem::new(kind).with_detail(detail))
}

fn denied(denial: Denial) -> Reply {
    match denial {
        Denial::Refused(reason) => {
            let reason = serde_json::to_value(reason).ok().and_then(|value| value.as_str().map(str::to_owned));
            complaint(ProblemKind::Refused, reason.unwrap_or_default())
        }
        Denial::Unavailable(why) | Denial::Later(why) => complaint(ProblemKind::Unavailable, why),
        Denial::AskAgain => complaint(ProblemKind::AskAgain, "try again"),
        Denial::Malformed(what) => complaint(ProblemKind::Malformed, what),
    }
}

async fn answer(broker: &Arc<Broker>, operator: String, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body = match path.as_str() {
        joiners::UPLOAD if parts.method == Method::POST => joiners::body(body).await,
        recover::RECOVER => recover::body(body).await,
        _ => body_of(body).await,
    };
    match body {
        Ok(body) => answered(broker, operator, &parts.method, &path, body).await,
        Err(wrong) => problem(&wrong),
    }
}

/// Carries out the order of somebody who may give it.
pub(crate) async fn answered(
    broker: &Arc<Broker>,
    operator: String,
    method: &Method,
    path: &str,
    body: Bytes,
) -> Reply {
    let answered = match (method, path) {
        (&Method::GET, "/v1/status") => status::status(broker).await,
        (&Method::GET, "/v1/nodes") => fleet::report(broker).await.map(|report| json(&report)),
        (&Method::GET, "/v1/invites") => invites(broker).await,
        (&Method::GET, "/v1/ledger/claims") => claims(broker).await,
        (&Method::POST, "/v1/invites") => create(broker, operator, &body).await,
        (&Method::POST, witness::LOOK) => Ok(json(&witness::look(broker).await)),
        (&Method::POST, "/v1/arrivals") => arrived(broker, &body).await,
        (&Method::POST, "/v1/sightings") => saw(broker, &body).await,
        (&Method::POST, "/v1/adopt") => adopt(broker, operator, &body).await,
        (&Method::GET, pending::PENDING) => pending::shown(broker).await,
        (&Method::POST, pending::PENDING) => pending::answer(broker, operator, &body).await,
        (&Method::POST, roles::ROLES) => roles::change(broker, operator, &body).await,
        (&Method::POST, joiners::LOOK) => joiners::look(broker).await,
        (&Method::POST, joiners::UPLOAD) => joiners::upload(broker, operator, body).await,
        (&Method::POST, recover::RECOVER) => recover::recover(broker, operator, &body).await,
        (&Method::POST, "/v1/rotate") => rotate::rotate(broker, operator, &body).await,
        (&Method::POST, "/v1/rotate/key") => keys::rotate(broker, operator, &body).await,
        (&Method::POST, "/v1/rotate/key/preview") => keys::preview(broker, &body).await,
        (&Method::GET, "/v1/rotate/unlock-key") => unlock_key::shown(broker).await,
        (&Method::POST, "/v1/rotate/unlock-key") => unlock_key::rotate(broker, operator, &body).await,
        (&Method::GET, "/v1/brokers/gone") => keys::gone(broker).await,
        (&Method::POST, "/v1/brokers/gone") => keys::remove_gone(broker, operator, &body).await,
        (&Method::GET, "/v1/ca/plan") => keys::plan(broker).await,
        (&Method::POST, "/v1/ca/request") => keys::request(broker, &body).await,
        (&Method::POST, "/v1/ca/install") => keys::install(broker, operator, &body).await,
        (&Method::POST, "/v1/rotate/preview") => rotate::preview(broker, &body).await,
        (&Method::POST, records::RECORDS) => records::records(broker, &body).await,
        (&Method::GET, operators::OPERATORS) => operators::list(broker).await,
        (&Method::POST, operators::OPERATORS) => operators::create(broker, operator, &body).await,
        (&Method::POST, path) if operators::revoked(path).is_some() => operators::revoke(broker, operator, path).await,
        (&Method::POST, path) if revoked_id(path).is_some() => revoke(broker, operator, path).await,
        _ => Ok(complaint(
            ProblemKind::NotFound,
            "the running broker does not know this command: is it of another release?",
        )),
    };
    answered.unwrap_or_else(denied)
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Denial> {
    serde_json::from_slice(body).map_err(|_| {
        Denial::Malformed("the running broker does not understand this command: is it of another release?")
    })
}

async fn arrived(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    arrivals(broker, read(body)?).await.map(|arrivals| json(&arrivals))
}

async fn saw(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    sightings(broker, read(body)?).await.map(|sightings| json(&sightings))
}

async fn create(broker: &Broker, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let order: InviteOrder = read(body)?;
    match make_invite(broker, order, operator).await {
        Ok((line, invite)) => {
            let mut reply = json(&InviteLineReply { line: line.expose(), invite: InviteShown::unclaimed(&invite) });
            *reply.status_mut() = StatusCode::CREATED;
            Ok(reply)
        }
        Err(Ok(what)) => Ok(complaint(ProblemKind::Malformed, what)),
        Err(Err(denial)) => Err(denial),
    }
}

async fn invites(broker: &Broker) -> Result<Reply, Denial> {
    let now = clock::now();
    let (invites, unread) = broker.invites.list_each().await?;
    let mut invites: Vec<InviteShown> = invites.iter().map(|state| InviteShown::of(state, now)).collect();
    invites.sort_by(|a, b| (&a.made, &a.id).cmp(&(&b.made, &b.id)));
    Ok(json(&InvitesShown { invites, unread }))
}

async fn claims(broker: &Broker) -> Result<Reply, Denial> {
    let (invites, unread) = broker.invites.list_each().await?;
    Ok(json(&ClaimsShown { invites: invites.iter().map(ClaimedInvite::of).collect(), unread }))
}

fn revoked_id(path: &str) -> Option<InviteId> {
    path.strip_prefix("/v1/invites/")?.strip_suffix("/revoke")?.parse().ok()
}

async fn revoke(broker: &Broker, operator: String, path: &str) -> Result<Reply, Denial> {
    let id = revoked_id(path).ok_or(Denial::Malformed("this is not an invite id"))?;
    let Revocation { changed, seen } = revoke_invite(broker, &id, operator).await?;
    Ok(json(&Revoked { id, changed, seen }))
}

/// The node that has that id, else the one that is called so; else what to tell. A node chooses what it is called.
pub(super) fn named<'a>(report: &'a Report, wanted: &str) -> Result<&'a NodeLine, Box<Reply>> {
    if let Some(node) = report.nodes.iter().find(|node| node.id.as_str() == wanted) {
        return Ok(node);
    }
    let mut matching = report.nodes.iter().filter(|node| node.hostname == *wanted);
    let wanted = wanted.escape_debug();
    match (matching.next(), matching.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(Box::new(complaint(ProblemKind::NotFound, format!("there is no node '{wanted}'")))),
        (Some(_), Some(_)) => {
            let what = format!("several nodes are called '{wanted}': name it by its id");
            Err(Box::new(complaint(ProblemKind::Malformed, what)))
        }
    }
}

async fn adopt(broker: &Broker, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let order: AdoptOrder = read(body)?;
    assert_fit(&order.reason)?;
    let explained = fleet::report(broker).await?;
    let mut nodes = Vec::new();
    for wanted in &order.nodes {
        match named(&explained, wanted) {
            Ok(node) => nodes.push(node),
            Err(wrong) => return Ok(*wrong),
        }
    }
    if order.nodes.is_empty() {
        nodes.extend(&explained.nodes);
    }
    let mut unexplained = Vec::new();
    // A manager may be explained as a node, and not as one whose broker may have the cluster's keys.
    let vouched = |node: &NodeLine| node.role == Role::Worker || handover::is_vouched(broker, &node.id, &node.labels);
    for node in nodes.into_iter().filter(|node| !node.explained || !vouched(node)) {
        unexplained.push(broker.engine.node(&node.id).await?);
    }
    let adopted = fleet::adopt(broker, unexplained, order.reason.trim(), &operator).await?;
    Ok(json(&Adopted { nodes: adopted.into_iter().map(|node| node.id).collect() }))
}
