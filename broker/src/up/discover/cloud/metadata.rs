//! What a machine of AWS is told about itself, on its own link (`IMDSv2`):
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>.
//!
//! Must not ask through a proxy: that would see the role's keys, or answer with those of its own.

use std::time::Instant;

use hyper::{Method, Request};
use object_store::aws::AwsCredential;
use object_store::client::HttpRequestBody;
use serde::Deserialize;

use super::Trouble;
use super::ask::Asker;

/// Where it is, and the variable by which all that is built on the same library is told another place.
const PLACE: (&str, &str) = ("AWS_METADATA_ENDPOINT", "http://169.254.169.254");
const TOKEN: &str = "/latest/api/token";
const REGION: &str = "/latest/meta-data/placement/region";
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";

/// The service, with a session's token.
pub(super) struct Metadata {
    asker: Asker,
    place: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfRole {
    access_key_id: String,
    secret_access_key: String,
    token: String,
}

impl Metadata {
    pub(super) async fn open(until: Instant) -> Result<Self, Trouble> {
        let place = std::env::var(PLACE.0).unwrap_or_else(|_| PLACE.1.to_owned());
        let asker = Asker::on_link(until)?;
        let metadata = Self { asker, place, token: String::new() };
        let lasts = ("X-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = metadata.ask(Method::PUT, TOKEN, lasts).await?.trim().to_owned();
        Ok(Self { token, ..metadata })
    }

    pub(super) async fn region(&self) -> Result<String, Trouble> {
        self.get(REGION).await
    }

    /// The keys of the machine's role, as long as they last.
    pub(super) async fn credential(&self) -> Result<AwsCredential, Trouble> {
        let roles = self.get(ROLE).await?;
        let role = roles.lines().next().unwrap_or_default().trim();
        // AWS's own rule for the names of roles, and no path.
        let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        if role.is_empty() || !role.chars().all(plain) {
            return Err(Trouble::passing("this machine has no role"));
        }
        let told = self.get(&format!("{ROLE}{role}")).await?;
        // Not the error's words: they may repeat the keys.
        let told: OfRole = serde_json::from_str(&told)
            .map_err(|_| Trouble::passing(format!("what {} tells for the role's keys does not read", self.place)))?;
        Ok(AwsCredential { key_id: told.access_key_id, secret_key: told.secret_access_key, token: Some(told.token) })
    }

    async fn get(&self, path: &str) -> Result<String, Trouble> {
        self.ask(Method::GET, path, ("X-aws-ec2-metadata-token", &self.token)).await
    }

    async fn ask(&self, method: Method, path: &str, header: (&str, &str)) -> Result<String, Trouble> {
        let place = &self.place;
        let request = Request::builder().method(method).uri(format!("{place}{path}")).header(header.0, header.1);
        let request = request.body(HttpRequestBody::empty()).map_err(|error| Trouble::Here(error.to_string()))?;
        let answer = self.asker.ask(request).await?;
        let text = String::from_utf8(answer.bytes).ok().filter(|_| answer.status.is_success());
        text.ok_or_else(|| Trouble::passing(format!("{place}{path} answers {}", answer.status)))
    }
}
