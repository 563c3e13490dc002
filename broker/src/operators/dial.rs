//! Giving an order to any broker of a context: one after the other, until one answers.
//!
//! Keeps promise 8 (any broker will do). Must not give an order twice that a broker may have carried out.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use certs::NodeKeyPair;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use protocol::{BrokerAddress, Problem};
use rustls::AlertDescription;

use super::context::Context;
use super::gate::PREFIX;
use super::orders;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::peers::{Peers, body, each_of};

/// No reply is longer: ten thousand nodes and more.
const MOST: usize = 64 * 1024 * 1024;

/// So long a broker has to answer who only looks, before the next one is asked.
const LOOK: Duration = Duration::from_secs(4);
/// So long it has to carry an order out: a rotation waits for machines.
const ACT: Duration = Duration::from_secs(45);

/// A broker's answer.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) from: BrokerAddress,
}

/// Why a broker gave none.
enum Silence {
    /// It has not seen the order, or said that it does nothing now.
    NotGiven(String),
    /// Nobody knows what became of the order.
    Unknown(String),
}

impl Context {
    /// Gives an order of the admin socket to the first broker that answers.
    pub(crate) async fn ask(&self, method: &Method, path: &str, sent: Bytes) -> Result<Answered, Failure> {
        self.assert_not_ended(clock::now())?;
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let issued = &self.issued;
        let peers = Peers::of(issued.cluster.clone(), issued.pin.clone(), issued.generation, provider);
        let again = !orders::acts(method, path);
        let mut silent = Vec::new();
        for named in in_turn(&issued.brokers) {
            for address in each_of(&named).await {
                let asking = self.ask_one(&peers, &address, method, path, sent.clone());
                let within = if again { LOOK } else { ACT };
                let late = |_| Err(Silence::Unknown(format!("no answer within {} s", within.as_secs())));
                match tokio::time::timeout(within, asking).await.unwrap_or_else(late) {
                    Ok(answered) => {
                        *ANSWERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(named);
                        return Ok(answered);
                    }
                    Err(Silence::NotGiven(why)) => silent.push(format!("{address}: {why}")),
                    Err(Silence::Unknown(why)) if again => {
                        *ANSWERED.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        silent.push(format!("{address}: {why}"));
                    }
                    Err(Silence::Unknown(why)) => {
                        let what = format!(
                            "the broker at {address} was given the order and did not answer: {why}. Whether it was carried out is not known: look before it is given again"
                        );
                        return Err(Failure::new(Code::TryAgain, what));
                    }
                }
            }
        }
        let what = format!("no broker of context {} answered: {}", self.name, silent.join("; "));
        Err(Failure::new(Code::Unavailable, what))
    }

    async fn ask_one(
        &self,
        peers: &Peers,
        address: &BrokerAddress,
        method: &Method,
        path: &str,
        sent: Bytes,
    ) -> Result<Answered, Silence> {
        let not_given = |error: &dyn std::fmt::Display| Silence::NotGiven(error.to_string());
        let pair = NodeKeyPair { chain: self.chain.clone(), key: self.key.to_tls() };
        let stream = peers.connect_as(pair, address).await.map_err(|error| not_given(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{}", path.strip_prefix("/v1/").unwrap_or(path)))
            .header(header::HOST, address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(sent))
            .map_err(|error| not_given(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_given(&error))?;
        let connection = tokio::spawn(connection);
        let reply = match sender.send_request(request).await {
            Ok(reply) => reply,
            Err(error) => {
                // What ended the connection says more than that it ended.
                let cause = connection.await.ok().and_then(Result::err);
                return Err(silence(cause.as_ref().unwrap_or(&error)));
            }
        };
        let status = reply.status();
        let body = body(reply, MOST).await.map_err(Silence::Unknown)?;
        if status == StatusCode::SERVICE_UNAVAILABLE && says_no_more(&body) {
            return Err(Silence::NotGiven("it cannot answer now".into()));
        }
        Ok(Answered { status, body, from: address.clone() })
    }
}

/// Whether a problem has no words: then it comes from before anything was done. An order that was begun has some.
fn says_no_more(body: &[u8]) -> bool {
    serde_json::from_slice::<Problem>(body).is_ok_and(|problem| problem.detail.is_none())
}

/// A connection that ended. In TLS 1.3 a server refuses a certificate after the client thinks that all is well (RFC 8446 §4.4.2.4).
fn silence(error: &hyper::Error) -> Silence {
    let mut cause = error.source();
    while let Some(found) = cause {
        let tls = found.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(rustls::Error::AlertReceived(alert)) = tls.and_then(|tls| tls.downcast_ref::<rustls::Error>()) {
            return Silence::NotGiven(alerted(*alert));
        }
        cause = found.source();
    }
    Silence::Unknown(error.to_string())
}

fn alerted(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "it does not take this context's certificate: the issuing CA was replaced since, so have the operator made anew (broker operator create)".into()
        }
        AlertDescription::CertificateExpired => {
            "by its clock this context's certificate has ended or not begun: compare the clocks".into()
        }
        alert => format!("it ended the handshake: {alert:?}"),
    }
}

/// Who answered last. What a command asks again and again may begin where an answer ended, and that is a place in the log of
/// whoever gave it.
static ANSWERED: Mutex<Option<BrokerAddress>> = Mutex::new(None);

/// Who answered last comes first; the others in another order each time, so that no broker has all the work.
fn in_turn(brokers: &[BrokerAddress]) -> Vec<BrokerAddress> {
    let last = ANSWERED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut keyed: Vec<_> =
        brokers.iter().map(|broker| (Some(broker) != last.as_ref(), protocol::random::<8>(), broker.clone())).collect();
    keyed.sort_by_key(|(is_other, chance, _)| (*is_other, *chance));
    keyed.into_iter().map(|(.., broker)| broker).collect()
}
