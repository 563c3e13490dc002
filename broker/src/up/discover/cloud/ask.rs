//! Asking a provider over HTTPS.
//!
//! Must not wait or read without a bound, nor follow a redirect: what was signed is for the place that was asked.

use std::error::Error;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;

use super::{Trouble, shown};

/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// For one request.
const CALL: Duration = Duration::from_secs(10);
/// Of one page. A hundred instances of EC2 have some 700 KiB.
pub(super) const MOST: usize = 4 * 1024 * 1024;

/// Asks, until a time.
pub(super) struct Asker {
    client: HttpClient,
    until: Instant,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) bytes: Vec<u8>,
}

impl Asker {
    /// Trusts the system's roots.
    pub(super) fn new(allow_http: bool, until: Instant) -> Result<Self, Trouble> {
        Self::of(reqwest::Client::builder().https_only(!allow_http), until)
    }

    /// Of the cloud's service on this machine's own link, which has no TLS, and is never behind a proxy.
    pub(super) fn on_link(until: Instant) -> Result<Self, Trouble> {
        Self::of(reqwest::Client::builder().no_proxy(), until)
    }

    fn of(builder: reqwest::ClientBuilder, until: Instant) -> Result<Self, Trouble> {
        let name = concat!("broker/", env!("CARGO_PKG_VERSION"));
        let builder = builder.user_agent(name).connect_timeout(CONNECT).redirect(Policy::none());
        let client = builder.build().map_err(|error| Trouble::Here(causes(&error)))?;
        Ok(Self { client: HttpClient::new(client), until })
    }

    /// Until when to ask.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Asks for what is behind this URL, with the token that goes with it.
    pub(super) async fn get(&self, url: String, bearer: &HeaderValue) -> Result<Answer, Trouble> {
        let request = Request::get(url).header(AUTHORIZATION, bearer.clone()).body(HttpRequestBody::empty());
        self.ask(request.map_err(|error| Trouble::Here(error.to_string()))?).await
    }

    /// Asks once.
    pub(super) async fn ask(&self, request: HttpRequest) -> Result<Answer, Trouble> {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let failed = |what: &str| Trouble::passing(format!("{host} {what}"));
        let within = self.until.saturating_duration_since(Instant::now()).min(CALL);
        let asked = async {
            let (head, body) = match self.client.execute(request).await {
                Ok(reply) => reply.into_parts(),
                Err(error) => return Err(failed(&format!("cannot be asked: {}", causes(&error)))),
            };
            let read = Limited::new(body, MOST).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    failed(&format!("answers with more than {MOST} bytes"))
                } else {
                    failed(&format!("broke its answer off: {}", causes(&*error)))
                }
            })?;
            Ok(Answer { status: head.status, bytes: read.to_bytes().to_vec() })
        };
        let late = || failed("did not answer in time");
        tokio::time::timeout(within, asked).await.unwrap_or_else(|_| Err(late()))
    }
}

/// An error and what caused it, in one line.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let words: Vec<String> =
        std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect();
    let mut told: Vec<&str> = Vec::new();
    for word in &words {
        if !told.iter().any(|earlier| earlier.contains(word.as_str())) {
            told.push(word);
        }
    }
    told.join(": ").chars().take(300).flat_map(char::escape_debug).collect()
}

/// What a provider lists, in an answer to a request with a token.
pub(super) fn listed<T: DeserializeOwned>(answer: &Answer, provider: &str, what: &str) -> Result<T, Trouble> {
    if !answer.status.is_success() {
        return Err(status_of_token(answer.status, provider));
    }
    serde_json::from_slice(&answer.bytes).map_err(|error| {
        // Not its words: whoever answers may repeat the token.
        let (line, column) = (error.line(), error.column());
        let at = format!("it does not read at line {line}, column {column}");
        Trouble::passing(format!("{provider}'s answer is no list of {what}: {at}"))
    })
}

/// What an answer with this status means, where a token was shown.
fn status_of_token(status: StatusCode, provider: &str) -> Trouble {
    let what = match status.as_u16() {
        401 | 403 => "the token is not good for that: it must be live, and may read machines".to_owned(),
        429 => "too many requests for this token".to_owned(),
        _ if status.is_redirection() => "it wants to be asked elsewhere: look at endpoint".to_owned(),
        _ => "that is no list of machines".to_owned(),
    };
    Trouble::passing(format!("{provider} answers {}: {what}", shown(&status.to_string())))
}
