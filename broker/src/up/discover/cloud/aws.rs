//! Instances of EC2 with a tag: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>.
//!
//! Needs the right to `ec2:DescribeInstances`, and nothing else.

use std::time::{Duration, Instant};

use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequestBody;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::ask::{Answer, Asker, causes};
use super::metadata::Metadata;
use super::{AddressKind, Cloud, Machine, Page, Trouble, credentials_file, pages, shown, spec};

/// The interface's version, which says what an answer looks like.
const VERSION: &str = "2016-11-15";
const PER_PAGE: &str = "100";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// For credentials that the environment names a place of.
const ASKED: RetryConfig = RetryConfig {
    max_retries: 1,
    retry_timeout: Duration::from_secs(5),
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        base: 2.0,
    },
};

/// The instances that run.
pub(super) async fn machines(
    cloud: &Cloud,
    (tag_key, tag_value): (&str, &str),
    asker: &Asker,
) -> Result<Vec<Machine>, Trouble> {
    let region = match &cloud.region {
        Some(region) => region.clone(),
        None => region(asker.until()).await?,
    };
    let credential = credential(&region, asker.until()).await?;
    let endpoint = cloud.endpoint(&usual(&region));
    pages(async |next: Option<String>| {
        let filter = format!("tag:{tag_key}");
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "DescribeInstances").append_pair("Version", VERSION);
        form.append_pair("Filter.1.Name", &filter).append_pair("Filter.1.Value.1", tag_value);
        form.append_pair("Filter.2.Name", "instance-state-name").append_pair("Filter.2.Value.1", "running");
        form.append_pair("MaxResults", PER_PAGE);
        if let Some(next) = &next {
            form.append_pair("NextToken", next);
        }
        let request = Request::post(format!("{endpoint}/")).header(CONTENT_TYPE, FORM);
        let request = request.body(HttpRequestBody::from(form.finish()));
        let mut request = request.map_err(|error| Trouble::Here(error.to_string()))?;
        let signed = AwsAuthorizer::new(&credential, "ec2", &region).try_authorize(&mut request, None);
        signed.map_err(|error| Trouble::Here(causes(&error)))?;
        read(&asker.ask(request).await?, cloud.address)
    })
    .await
}

fn usual(region: &str) -> String {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://ec2.{region}.amazonaws.com{china}")
}

/// Where this machine is: as its environment says, else the cloud's service on its link (`IMDSv2`).
async fn region(until: Instant) -> Result<String, Trouble> {
    let named = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
    let region = match named {
        Some(region) => region,
        None => async { Metadata::open(until).await?.region().await }.await.map_err(|trouble| match trouble {
            Trouble::Passing(what) => {
                Trouble::passing(format!("which region is it? Give region=…, since this machine is not told: {what}"))
            }
            here @ Trouble::Here(_) => here,
        })?,
    };
    if spec::is_region(&region) {
        Ok(region)
    } else {
        Err(Trouble::passing(format!("'{}' is no region: give region=…", shown(&region))))
    }
}

/// As AWS's own tools find it: the environment, the credentials file, the machine's role.
async fn credential(region: &str, until: Instant) -> Result<AwsCredential, Trouble> {
    let found = if credentials_file::environment_names_others() {
        of_environment(region, until).await
    } else if let Some(credential) = credentials_file::read()? {
        Ok(credential)
    } else {
        async { Metadata::open(until).await?.credential().await }.await
    };
    let credential = found.map_err(|trouble| match trouble {
        Trouble::Passing(what) => Trouble::passing(format!(
            "no credentials of AWS: {what}. Give the machine a role that may ec2:DescribeInstances, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )),
        here @ Trouble::Here(_) => here,
    })?;
    // The library takes it for given.
    let parts = [Some(&credential.key_id), Some(&credential.secret_key), credential.token.as_ref()];
    let is_plain = |text: &String| !text.is_empty() && HeaderValue::from_str(text).is_ok() && !text.contains(' ');
    if parts.into_iter().flatten().all(is_plain) {
        Ok(credential)
    } else {
        Err(Trouble::Here("what is there for AWS's credentials is none: a part of it is empty or has spaces".into()))
    }
}

/// From the environment, or where it says that they are.
async fn of_environment(region: &str, until: Instant) -> Result<AwsCredential, Trouble> {
    // The client for S3 knows all of the ways; nothing is asked of S3.
    let builder = AmazonS3Builder::from_env().with_bucket_name("none").with_region(region).with_retry(ASKED);
    let client = builder.build().map_err(|error| Trouble::Here(causes(&error)))?;
    let within = until.saturating_duration_since(Instant::now());
    let asked = tokio::time::timeout(within, client.credentials().get_credential()).await;
    let credential =
        asked.map_err(|_| Trouble::passing("no answer in time"))?.map_err(|error| Trouble::passing(causes(&error)))?;
    let AwsCredential { key_id, secret_key, token } = &*credential;
    Ok(AwsCredential { key_id: key_id.clone(), secret_key: secret_key.clone(), token: token.clone() })
}

/// What the interface calls a set: a list whose elements are each called `item`.
#[derive(Deserialize)]
struct Set<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    reservation_set: Set<Reservation>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    instances_set: Set<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    #[serde(rename = "instanceId")]
    name: String,
    private_ip_address: Option<String>,
    /// The public one.
    ip_address: Option<String>,
    network_interface_set: Option<Set<Interface>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    ipv6_addresses_set: Option<Set<Ipv6>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ipv6 {
    ipv6_address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    errors: Errors,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Errors {
    error: Code,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Code {
    code: String,
}

fn read(answer: &Answer, address: AddressKind) -> Result<Page<String>, Trouble> {
    let text = String::from_utf8_lossy(&answer.bytes);
    if !answer.status.is_success() {
        return Err(failed(answer, &text));
    }
    // Not the error's words: whoever answers may repeat a session's token.
    let described: Described = quick_xml::de::from_str(&text)
        .map_err(|_| Trouble::passing("AWS's answer is no description of instances: it does not read"))?;
    let instances = described.reservation_set.item.into_iter().flat_map(|reservation| reservation.instances_set.item);
    let machines = instances.map(|instance| machine(instance, address)).collect();
    Ok(Page { machines, next: described.next_token.filter(|next| !next.is_empty()) })
}

fn machine(instance: Instance, address: AddressKind) -> Machine {
    let interfaces = instance.network_interface_set.map(|set| set.item).unwrap_or_default();
    let of_interface = |interface: Interface| interface.ipv6_addresses_set.map(|set| set.item).unwrap_or_default();
    let addresses = match address {
        AddressKind::PrivateV4 => instance.private_ip_address.into_iter().collect(),
        AddressKind::PublicV4 => instance.ip_address.into_iter().collect(),
        AddressKind::V6 => interfaces.into_iter().flat_map(of_interface).map(|ip| ip.ipv6_address).collect(),
    };
    Machine { name: instance.name, addresses }
}

/// The code alone: the words may repeat what was signed, a session's token with it.
fn failed(answer: &Answer, text: &str) -> Trouble {
    let code = quick_xml::de::from_str::<Failed>(text).ok().map(|failed| failed.errors.error.code);
    let code =
        code.filter(|code| code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'));
    let what = match code.as_deref() {
        Some("UnauthorizedOperation" | "AccessDenied") => {
            "the role or key may not ec2:DescribeInstances: allow it that"
        }
        Some("AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" | "UnrecognizedClientException") => {
            "the credentials are not good there: look at the machine's role, or at AWS_ACCESS_KEY_ID and what belongs to it"
        }
        Some("RequestExpired" | "ExpiredToken") => "the credentials have ended, or this machine's clock is wrong",
        Some("OptInRequired") => "the account may not use that region",
        Some("RequestLimitExceeded") => "too many requests",
        _ if answer.status.is_redirection() => "it wants to be asked elsewhere: look at endpoint",
        _ => "that is no description of instances",
    };
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    Trouble::passing(format!("AWS answers {}{code}: {what}", answer.status))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, passing};
    use super::*;

    /// In the shape of the documentation, without what is not read here.
    fn described(instances: &str, next: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>8f7724cf-496f-496e-8fe3-example</requestId>
            <reservationSet>{instances}</reservationSet>{next}</DescribeInstancesResponse>"#
        )
    }

    fn instance(name: &str) -> String {
        format!(
            r"<item><reservationId>r-1234567890abcdef0</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet>
            <item><instanceId>{name}</instanceId><imageId>ami-bff32ccc</imageId><instanceState><code>16</code><name>running</name></instanceState>
            <privateDnsName>ip-192-168-1-88.eu-west-1.compute.internal</privateDnsName><privateIpAddress>192.168.1.88</privateIpAddress>
            <ipAddress>54.194.252.215</ipAddress><tagSet><item><key>Name</key><value>Server_1</value></item></tagSet>
            <networkInterfaceSet><item><networkInterfaceId>eni-551ba033</networkInterfaceId><privateIpAddress>192.168.1.88</privateIpAddress>
            <ipv6AddressesSet><item><ipv6Address>2001:db8:1234:1a2b::123</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet>
            </item></instancesSet></item>"
        )
    }

    #[test]
    fn instances_are_read_with_the_address_that_was_asked_for() {
        let body = described(&[instance("i-1"), instance("i-2")].concat(), "<nextToken>more</nextToken>");
        for (kind, address) in [
            (AddressKind::PrivateV4, "192.168.1.88"),
            (AddressKind::PublicV4, "54.194.252.215"),
            (AddressKind::V6, "2001:db8:1234:1a2b::123"),
        ] {
            let page = read(&answer(200, &body), kind).expect("reads");
            let machine = |name: &str| Machine { name: name.into(), addresses: vec![address.into()] };
            assert_eq!(page, Page { machines: vec![machine("i-1"), machine("i-2")], next: Some("more".into()) });
        }
        for next in ["", "<nextToken/>"] {
            let none = read(&answer(200, &described("", next)), AddressKind::V6).expect("reads");
            assert_eq!(none, Page { machines: vec![], next: None });
        }
        let bare = "<item><instancesSet><item><instanceId>i-3</instanceId></item></instancesSet></item>";
        let page = read(&answer(200, &described(bare, "")), AddressKind::V6).expect("reads");
        assert_eq!(page.machines, [Machine { name: "i-3".into(), addresses: vec![] }]);
    }

    #[test]
    fn what_is_no_description_is_not_taken_for_an_empty_one() {
        let deep = "<a>".repeat(100_000);
        let bomb = r#"<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r><reservationSet><item><instancesSet><item><instanceId>&b;</instanceId></item></instancesSet></item></reservationSet></r>"#;
        let cut = &described(&instance("i-1"), "")[..400];
        for body in [
            "",
            "{}",
            "<html><body>login</body></html>",
            "<r><reservationSet><item/></reservationSet></r>",
            &deep,
            bomb,
            cut,
        ] {
            let told = passing(read(&answer(200, body), AddressKind::PrivateV4));
            assert!(told.contains("no description of instances") && told.len() < 300, "{told}");
        }
    }

    #[test]
    fn a_failure_names_the_fix_and_not_what_was_signed() {
        let body = |code: &str| {
            format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>token hunter2</Message></Error></Errors><RequestID>1</RequestID></Response>"
            )
        };
        for (status, code, fix) in [
            (403, "UnauthorizedOperation", "may not ec2:DescribeInstances"),
            (401, "AuthFailure", "the credentials are not good"),
            (403, "SignatureDoesNotMatch", "AWS_ACCESS_KEY_ID"),
            (400, "RequestExpired", "clock"),
            (500, "hunter2 hunter2", "no description"),
        ] {
            let told = passing(read(&answer(status, &body(code)), AddressKind::PrivateV4));
            assert!(told.contains(fix) && told.contains(&status.to_string()) && !told.contains("hunter2"), "{told}");
        }
    }
}
