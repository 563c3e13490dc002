//! The routes: which path takes which method and which kind of certificate. What is not listed is denied.

use std::future::Future;
use std::sync::Arc;

use certs::{Caller, MachineIdentity, NodeCertificate};
use http_body_util::Either;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request};
use protocol::{
    GRANTS, HANDOVERS, HEALTHZ, IDENTITIES, JOINER, JOINS, JoinerHash, LEAVES, LOG, Problem, ProblemKind, READYZ,
    REDEEM,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Guest;
use super::download::{self, Answer};
use super::reply::{Reply, body_of, json, problem};
use crate::admission;
use crate::audit::{Reason, Record};
use crate::broker::{Broker, Call};
use crate::denial::Denial;
use crate::departure;
use crate::grants;
use crate::handover;
use crate::health;
use crate::metrics::{Ending, Step};
use crate::operators;
use crate::witness;

/// Answers one request.
pub(super) async fn answer(
    broker: &Arc<Broker>,
    call: &Call,
    caller: Option<&Caller>,
    request: Request<Incoming>,
    guest: &Guest,
) -> Answer {
    let (parts, body) = request.into_parts();
    let (step, route) = match route(&parts.method, parts.uri.path()) {
        Ok(found) => found,
        Err(kind) => {
            broker.metrics.count(Step::other, Ending::malformed);
            return problem(&Problem::new(kind).with_request(&call.id)).map(Either::Left);
        }
    };
    // The body is read before the seat counts as busy: a caller that never finishes it can be evicted.
    let body = match body_of(body).await {
        Ok(body) => body,
        Err(wrong) => {
            broker.metrics.count(step, Ending::malformed);
            return problem(&wrong.with_request(&call.id)).map(Either::Left);
        }
    };
    let held = guest.seat.held();
    // Who waits for a place to download in is not.
    held.set_busy(!matches!(route, Route::Joiner(_)));
    let answered = match (route, caller) {
        (Route::Health, _) => Ok(json(&serde_json::json!({ "alive": true }))),
        (Route::Ready, _) => ready(broker),
        (Route::Joiner(hash), _) => {
            return download::joiner(broker, call, &parts.method, &hash, held, &guest.places).await;
        }
        (Route::Identity, None) => with(&body, |request| admission::identity(broker, call, request)).await,
        (Route::Grant, Some(Caller::Identity(identity))) => {
            grants::issue(broker, call, identity).await.map(|reply| json(&reply))
        }
        (Route::Redeem, Some(Caller::Identity(identity))) => redeem(broker, call, identity, &body).await,
        (Route::Join, Some(Caller::Node(node))) => join(broker, call, node, &body).await,
        (Route::Leave, Some(Caller::Node(node))) => {
            with(&body, |request| departure::leave(broker, call, node, request)).await
        }
        (Route::Handover, Some(Caller::Node(node))) => {
            with(&body, |request| handover::give(broker, call, node, request)).await
        }
        (Route::Log(from, nonce), Some(Caller::Node(node))) => {
            witness::give(broker, call, node, from, &nonce).await.map(|page| json(&page))
        }
        (Route::Membership, Some(Caller::Node(node))) => {
            admission::membership(broker, call, node).await.map(|reply| json(&reply))
        }
        (Route::Operator, Some(Caller::Operator(operator))) => {
            let order = parts.uri.path().strip_prefix(operators::PREFIX).unwrap_or_default();
            operators::answer(broker, call, operator, (&parts.method, order), &body).await
        }
        (
            Route::Identity
            | Route::Operator
            | Route::Grant
            | Route::Redeem
            | Route::Join
            | Route::Leave
            | Route::Membership
            | Route::Handover
            | Route::Log(..),
            _,
        ) => wrong_certificate(broker, call).await,
    };
    broker.metrics.count(step, ending(&answered));
    answered.unwrap_or_else(|denial| denied(call, &denial)).map(Either::Left)
}

enum Route {
    Health,
    Ready,
    Identity,
    Grant,
    Redeem,
    Join,
    Leave,
    Membership,
    Handover,
    /// From this byte on, to this nonce.
    Log(u64, String),
    Joiner(JoinerHash),
    /// What an operator orders; which method an order takes, and which right, is one table.
    Operator,
}

fn route(method: &Method, path: &str) -> Result<(Step, Route), ProblemKind> {
    let post = *method == Method::POST;
    let get = *method == Method::GET;
    match path {
        IDENTITIES if post => Ok((Step::identity, Route::Identity)),
        GRANTS if post => Ok((Step::grant, Route::Grant)),
        REDEEM if post => Ok((Step::redeem, Route::Redeem)),
        JOINS if post => Ok((Step::join, Route::Join)),
        JOINS if get => Ok((Step::membership, Route::Membership)),
        LEAVES if post => Ok((Step::leave, Route::Leave)),
        HANDOVERS if post => Ok((Step::handover, Route::Handover)),
        HEALTHZ if get => Ok((Step::health, Route::Health)),
        READYZ if get => Ok((Step::health, Route::Ready)),
        IDENTITIES | GRANTS | REDEEM | JOINS | LEAVES | HANDOVERS | HEALTHZ | READYZ => Err(ProblemKind::WrongMethod),
        _ if path.starts_with(operators::PREFIX) => Ok((Step::operator, Route::Operator)),
        _ => named(method, path),
    }
}

/// The routes whose path names a thing.
fn named(method: &Method, path: &str) -> Result<(Step, Route), ProblemKind> {
    let get = *method == Method::GET;
    let (step, route, takes) = if let Some(hash) = path.strip_prefix(JOINER) {
        let hash = hash.parse().map_err(|_| ProblemKind::NotFound)?;
        (Step::joiner, Route::Joiner(hash), get || *method == Method::HEAD)
    } else {
        let asked = path.strip_prefix(LOG).and_then(|asked| asked.split_once('/')).ok_or(ProblemKind::NotFound)?;
        let (from, nonce) = (asked.0.parse().map_err(|_| ProblemKind::NotFound)?, asked.1);
        if nonce.len() > 64 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ProblemKind::NotFound);
        }
        (Step::log, Route::Log(from, nonce.to_owned()), get)
    };
    if takes { Ok((step, route)) } else { Err(ProblemKind::WrongMethod) }
}

async fn redeem(broker: &Broker, call: &Call, identity: &MachineIdentity, body: &Bytes) -> Result<Reply, Denial> {
    with(body, |request| grants::redeem(broker, call, identity, request)).await
}

async fn join(broker: &Broker, call: &Call, node: &NodeCertificate, body: &Bytes) -> Result<Reply, Denial> {
    with(body, |request| admission::confirm(broker, call, node, request)).await
}

/// Reads the request, does it, writes the reply.
async fn with<Q, A, F>(body: &Bytes, act: impl FnOnce(Q) -> F) -> Result<Reply, Denial>
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = Result<A, Denial>>,
{
    let request =
        serde_json::from_slice(body).map_err(|_| Denial::Malformed("the body is not the JSON this path takes"))?;
    act(request).await.map(|reply| json(&reply))
}

fn ready(broker: &Broker) -> Result<Reply, Denial> {
    let missing = health::missing(broker);
    if missing.is_empty() {
        Ok(json(&serde_json::json!({ "ready": true })))
    } else {
        Err(Denial::Unavailable(missing.join("; ")))
    }
}

async fn wrong_certificate(broker: &Broker, call: &Call) -> Result<Reply, Denial> {
    broker.record_refusal(call, Record::refusal(Reason::WrongCertificate)).await?;
    Err(Reason::WrongCertificate.into())
}

fn denied(call: &Call, denial: &Denial) -> Reply {
    let mut shown = Problem::new(denial.kind()).with_request(&call.id);
    match denial {
        Denial::Unavailable(why) => tracing::info!(request = call.id, why, "unavailable"),
        Denial::Malformed(what) => shown = shown.with_detail(*what),
        Denial::Later(why) => shown = shown.with_detail(why),
        Denial::Refused(_) | Denial::AskAgain => {}
    }
    problem(&shown)
}

fn ending(answered: &Result<Reply, Denial>) -> Ending {
    match answered {
        Ok(_) => Ending::ok,
        Err(Denial::Refused(_)) => Ending::refused,
        Err(Denial::Unavailable(_) | Denial::Later(_)) => Ending::unavailable,
        Err(Denial::AskAgain) => Ending::ask_again,
        Err(Denial::Malformed(_)) => Ending::malformed,
    }
}
