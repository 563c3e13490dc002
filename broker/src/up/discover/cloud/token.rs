//! The token that a provider is asked with.
//!
//! Keeps promise 7's manner: it is in no argument, log or Debug.

use std::time::Instant;

use hyper::header::HeaderValue;
use zeroize::Zeroizing;

use super::Trouble;
use crate::exit::{Code, Failure};
use crate::state::KeySource;

/// What the providers' own tools know.
pub(super) const DIGITALOCEAN: &[&str] = &["DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"];
pub(super) const VULTR: &[&str] = &["VULTR_API_KEY"];

/// Where it is.
#[derive(Debug)]
pub(super) struct Place {
    /// What the operator named.
    pub(super) source: Option<KeySource>,
    /// Where it is if nothing was named.
    pub(super) variables: &'static [&'static str],
}

impl Place {
    /// As it is shown to the provider, in a header.
    pub(super) async fn bearer(&self, until: Instant) -> Result<HeaderValue, Trouble> {
        self.header(until, |name| std::env::var(name).ok().map(Zeroizing::new)).await
    }

    async fn header(
        &self,
        until: Instant,
        variable: impl Fn(&str) -> Option<Zeroizing<String>>,
    ) -> Result<HeaderValue, Trouble> {
        let read = match &self.source {
            Some(source) => of_source(source.clone(), until).await?,
            None => self.variables.iter().find_map(|name| variable(name)),
        };
        let token = read.filter(|text| !text.trim().is_empty()).ok_or_else(|| {
            let variables = self.variables.join(" or ");
            Trouble::Here(format!(
                "there is no token: give api_token_file=FILE, of mode 0600, or api_token_file=credential:NAME, or set {variables}"
            ))
        })?;
        let text = Zeroizing::new(format!("Bearer {}", token.trim()));
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let header = HeaderValue::from_str(&text).ok().filter(|_| plain);
        let mut header = header
            .ok_or_else(|| Trouble::Here("what is there for a token is not one: it is one line of ASCII".into()))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// A command may ask a secret store: it has its time, and its failure may pass.
async fn of_source(source: KeySource, until: Instant) -> Result<Option<Zeroizing<String>>, Trouble> {
    let reading = tokio::task::spawn_blocking(move || source.read());
    let read = match tokio::time::timeout_at(until.into(), reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(stopped)) => return Err(Trouble::passing(format!("api_token_file: {stopped}"))),
        Err(_) => return Err(Trouble::passing("api_token_file: it did not come in time")),
    };
    read.map_err(|error| {
        let failure = Failure::from(error);
        let what = format!("api_token_file: {failure}");
        if failure.code == Code::Unavailable { Trouble::Passing(what) } else { Trouble::Here(what) }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_secret_store_that_does_not_answer_may_pass() {
        let told = async |line: &str, within| {
            let place = Place { source: Some(KeySource::Command(line.into())), variables: VULTR };
            place.header(Instant::now() + within, |_| None).await
        };
        let Err(Trouble::Passing(failed)) = told("exit 3", Duration::from_secs(10)).await else { panic!("may pass") };
        assert!(failed.contains("api_token_file: the command"), "{failed}");
        let Err(Trouble::Passing(late)) = told("sleep 2", Duration::from_millis(100)).await else { panic!("may pass") };
        assert!(late.contains("in time"), "{late}");
        assert_eq!(told("echo abc", Duration::from_secs(10)).await.expect("a token").as_bytes(), b"Bearer abc");
    }

    #[tokio::test]
    async fn a_token_comes_from_a_private_file_or_a_variable_and_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "dop_v1_abc\n").expect("written");
        let mode = |mode| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("set");
        };
        let of_file = Place { source: Some(KeySource::File(path.clone())), variables: VULTR };
        let none = |_: &str| None;
        let soon = Instant::now() + Duration::from_secs(10);
        mode(0o600);
        let header = of_file.header(soon, none).await.expect("a header");
        assert_eq!(header.as_bytes(), b"Bearer dop_v1_abc");
        assert!(!format!("{header:?}").contains("abc"));
        mode(0o644);
        let Err(Trouble::Here(told)) = of_file.header(soon, none).await else { panic!("refused") };
        assert!(told.contains("chmod 0600") && !told.contains("abc"), "{told}");

        let of_variable = Place { source: None, variables: DIGITALOCEAN };
        let second = |name: &str| (name == "DIGITALOCEAN_ACCESS_TOKEN").then(|| Zeroizing::new("abc".to_owned()));
        assert_eq!(of_variable.header(soon, second).await.expect("a header").as_bytes(), b"Bearer abc");
        let Err(Trouble::Here(told)) = of_variable.header(soon, none).await else { panic!("refused") };
        assert!(told.contains("set DIGITALOCEAN_TOKEN or"), "{told}");
        for wrong in ["a\r\nHost: b", "ä"] {
            let Err(Trouble::Here(told)) = of_variable.header(soon, |_| Some(Zeroizing::new(wrong.to_owned()))).await
            else {
                panic!("{wrong:?}")
            };
            assert!(told.contains("one line of ASCII"), "{told}");
        }
    }
}
