//! `provider=… key=value …`, as users of auto-join write it.
//!
//! Must not repeat a value: where a key is wrong, the value may be a secret.

use std::collections::BTreeMap;

use url::Url;

use super::{AddressKind, Cloud, Query, token};
use crate::state::KeySource;

/// Keys that hold secrets with other programs.
const SECRETS: [&str; 8] = [
    "access_key_id",
    "secret_access_key",
    "session_token",
    "api_token",
    "api_key",
    "access_token",
    "token",
    "password",
];
const SECRET: &str = "is a secret, and every user of this machine can read arguments. A token goes into a file of mode 0600 \
     (api_token_file=FILE), a systemd credential (api_token_file=credential:NAME) or the environment (DIGITALOCEAN_TOKEN, \
     VULTR_API_KEY). AWS's keys come from the machine's role, the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or \
     AWS's credentials file";
const PAIRS: &str = "write KEY=VALUE, with spaces between, and a value with spaces in double quotes";
const PROVIDERS: &str = "provider=aws, provider=digitalocean or provider=vultr";
const EVERYWHERE: [&str; 5] = ["region", "addr_type", "endpoint", "allow_http", "port"];

/// Reads one SPEC.
pub(in super::super) fn read(text: &str) -> Result<Cloud, String> {
    let mut given = pairs(text)?;
    let provider = given.remove("provider").ok_or_else(|| format!("say which cloud it is: {PROVIDERS}"))?;
    let own: &[&str] = match provider.as_str() {
        "aws" => &["tag_key", "tag_value"],
        "digitalocean" => &["tag_name", "api_token_file"],
        "vultr" => &["tag", "label", "api_token_file"],
        other => {
            let other = super::shown(other);
            return Err(format!(
                "there is no provider '{other}' here: write {PROVIDERS}. Of another cloud, give addresses or a DNS name"
            ));
        }
    };
    if let Some(key) = given.keys().find(|key| !own.contains(&key.as_str()) && !EVERYWHERE.contains(&key.as_str())) {
        let known = [own, &EVERYWHERE].concat().join(", ");
        return Err(format!("provider={provider} takes no key '{}'. It takes: {known}", super::shown(key)));
    }
    let mut take = |key: &str| given.remove(key);
    let needed = |key: &str, value: Option<String>| value.ok_or(format!("provider={provider} needs {key}=…"));
    let query = match provider.as_str() {
        "aws" => Query::Aws {
            tag_key: needed("tag_key", take("tag_key"))?,
            tag_value: needed("tag_value", take("tag_value"))?,
        },
        "digitalocean" => Query::DigitalOcean {
            tag: needed("tag_name", take("tag_name"))?,
            token: place(take("api_token_file"), token::DIGITALOCEAN)?,
        },
        _ => {
            let (tag, label) = (take("tag"), take("label"));
            if tag.is_none() && label.is_none() {
                return Err("provider=vultr needs tag=… or label=…".into());
            }
            Query::Vultr { tag, label, token: place(take("api_token_file"), token::VULTR)? }
        }
    };
    let region = take("region");
    if region.as_deref().is_some_and(|region| !is_region(region)) {
        return Err("region is written in small letters, digits and dashes, as in eu-central-1".into());
    }
    let address = match take("addr_type").as_deref() {
        None | Some("private_v4") => AddressKind::PrivateV4,
        Some("public_v4") => AddressKind::PublicV4,
        Some("public_v6" | "private_v6") => AddressKind::V6,
        Some(_) => return Err("addr_type is private_v4, public_v4 or public_v6".into()),
    };
    let allow_http = match take("allow_http").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err("allow_http is true or false".into()),
    };
    let port = take("port").map_or(Some(protocol::DEFAULT_PORT), |port| port.parse().ok().filter(|port| *port != 0));
    let port = port.ok_or("port is the brokers' port, from 1 to 65535")?;
    let endpoint = take("endpoint").map(|url| endpoint(&url, allow_http)).transpose()?;
    Ok(Cloud { query, region, address, endpoint, allow_http, port })
}

/// Whether it can be a part of a server's name.
pub(super) fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

fn place(given: Option<String>, variables: &'static [&'static str]) -> Result<token::Place, String> {
    let source = given.map(|text| KeySource::or_path(&text)).transpose();
    let source = source.map_err(|wanted| format!("api_token_file is FILE or {wanted}"))?;
    Ok(token::Place { source, variables })
}

fn endpoint(text: &str, allow_http: bool) -> Result<String, String> {
    let wrong = "endpoint is the URL of the provider's interface, like https://HOST, without user, password or options";
    let url = Url::parse(text).ok().filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none();
        plain && url.query().is_none() && url.fragment().is_none() && url.has_host()
    });
    let url = url.ok_or(wrong)?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => return Err("endpoint is not https, so everybody on the way could read the token: add allow_http=true if that is as it should be".into()),
        _ => return Err(wrong.into()),
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The keys and their values.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(PAIRS)?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return Err(PAIRS.into());
        }
        if SECRETS.contains(&key.to_ascii_lowercase().as_str()) {
            return Err(format!("{key} {SECRET}"));
        }
        let (value, left) = value(after)?;
        if value.is_empty() {
            return Err(format!("{} has no value", super::shown(key)));
        }
        if pairs.insert(key.to_owned(), value).is_some() {
            return Err(format!("{} stands there twice: give each cloud a --discover of its own", super::shown(key)));
        }
        rest = left.trim_start();
    }
    Ok(pairs)
}

/// The value at the beginning of the text, and what follows it.
fn value(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return if value.contains('"') { Err(PAIRS.into()) } else { Ok((value.to_owned(), rest)) };
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, letter) in quoted.char_indices() {
        match letter {
            _ if escaped => {
                value.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => {
                let rest = quoted.get(at + 1..).unwrap_or_default();
                return if rest.is_empty() || rest.starts_with(' ') { Ok((value, rest)) } else { Err(PAIRS.into()) };
            }
            _ => value.push(letter),
        }
    }
    Err("a double quote is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        read(text).map(|cloud| cloud.to_string()).expect_err(text)
    }

    #[test]
    fn what_users_of_auto_join_write_is_read() {
        let cloud =
            read("provider=aws region=eu-west-1 tag_key=role tag_value=manager addr_type=public_v4").expect("reads");
        assert_eq!(cloud.to_string(), "provider=aws region=eu-west-1 tag_key=role tag_value=manager");
        assert_eq!((cloud.address, cloud.port, cloud.endpoint), (AddressKind::PublicV4, 7443, None));
        let cloud = read(r#" tag_value="the \"old\" ones" provider=aws  tag_key=a=b "#).expect("reads");
        let Query::Aws { tag_key, tag_value } = cloud.query else { panic!("AWS") };
        assert_eq!((tag_key.as_str(), tag_value.as_str()), ("a=b", r#"the "old" ones"#));
        for text in [
            "provider=digitalocean region=fra1 tag_name=managers api_token_file=/etc/broker/token",
            "provider=digitalocean tag_name=managers api_token_file=credential:token port=8443",
            "provider=vultr label=managers addr_type=public_v6",
            "provider=vultr tag=managers endpoint=http://10.0.0.1:80/v allow_http=true",
        ] {
            read(text).expect(text);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_the_fix() {
        for (text, fix) in [
            ("region=fra1", "provider=digitalocean"),
            ("provider=amazon tag_key=a tag_value=b", "no provider 'amazon' here: write provider=aws"),
            ("provider=aws tag_key=a", "needs tag_value="),
            ("provider=aws tagkey=a tag_value=b", "takes no key 'tagkey'. It takes: tag_key, tag_value, region"),
            ("provider=aws tag_name=a", "takes no key 'tag_name'"),
            ("provider=digitalocean tag_key=a", "It takes: tag_name, api_token_file"),
            ("provider=vultr region=ams", "needs tag=… or label=…"),
            ("provider=vultr tag=a tag=b", "twice"),
            ("provider=vultr tag=", "tag has no value"),
            ("provider=vultr tag=a b", "KEY=VALUE"),
            ("provider=vultr tag=\"a", "not closed"),
            ("provider=vultr tag=a addr_type=v4", "private_v4, public_v4 or public_v6"),
            ("provider=vultr tag=a port=0", "1 to 65535"),
            ("provider=vultr tag=a api_token_file=credential:a/b", "credential:NAME"),
            ("provider=vultr tag=a endpoint=http://10.0.0.1", "allow_http=true"),
            ("provider=vultr tag=a endpoint=ftp://10.0.0.1", "https://HOST"),
            ("provider=vultr tag=a endpoint=https://user:pass@10.0.0.1", "without user, password"),
            ("provider=aws tag_key=a tag_value=b region=eu.attacker.example/", "eu-central-1"),
        ] {
            let told = told(text);
            assert!(told.contains(fix), "{text}: {told}");
        }
    }

    #[test]
    fn a_secret_is_refused_and_never_repeated() {
        for text in [
            "provider=digitalocean tag_name=a api_token=hunter2",
            "api_token=hunter2 provider=digitalocean",
            "provider=vultr API_KEY=hunter2",
            "provider=aws secret_access_key=hunter2 tag_key=a",
            "provider=aws tag_key=a tag_value=b secret_key=hunter2",
            "provider=aws tag_key=a hunter2",
            "provider=aws tag_key=a \"hunter2\"=b",
            "provider=vultr tag=a endpoint=hunter2",
            "provider=vultr tag=a region=HUNTER2=hunter2",
        ] {
            let told = told(text);
            assert!(!told.to_lowercase().contains("hunter2"), "{told}");
        }
        assert!(told("provider=digitalocean api_token=hunter2").contains("api_token_file=FILE"));
        // Nor is the line that asks a secret store.
        let cloud = read("provider=vultr tag=a api_token_file=\"command:pass hunter2\"").expect("reads");
        assert!(!cloud.to_string().contains("hunter2"));
    }
}
