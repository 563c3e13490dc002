//! The token that a provider is asked with.
//!
//! Keeps promise 7's manner: it is in no argument, log or Debug.

use hyper::header::HeaderValue;
use zeroize::Zeroizing;

use super::Trouble;
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
    pub(super) fn bearer(&self) -> Result<HeaderValue, Trouble> {
        self.header(|name| std::env::var(name).ok().map(Zeroizing::new))
    }

    fn header(&self, variable: impl Fn(&str) -> Option<Zeroizing<String>>) -> Result<HeaderValue, Trouble> {
        let read = match &self.source {
            Some(source) => source.read().map_err(|error| Trouble::Here(format!("api_token_file: {error}")))?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_a_private_file_or_a_variable_and_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "dop_v1_abc\n").expect("written");
        let mode = |mode| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("set");
        };
        let of_file = Place { source: Some(KeySource::File(path.clone())), variables: VULTR };
        let none = |_: &str| None;
        mode(0o600);
        let header = of_file.header(none).expect("a header");
        assert_eq!(header.as_bytes(), b"Bearer dop_v1_abc");
        assert!(!format!("{header:?}").contains("abc"));
        mode(0o644);
        let Err(Trouble::Here(told)) = of_file.header(none) else { panic!("refused") };
        assert!(told.contains("chmod 0600") && !told.contains("abc"), "{told}");

        let of_variable = Place { source: None, variables: DIGITALOCEAN };
        let second = |name: &str| (name == "DIGITALOCEAN_ACCESS_TOKEN").then(|| Zeroizing::new("abc".to_owned()));
        assert_eq!(of_variable.header(second).expect("a header").as_bytes(), b"Bearer abc");
        let Err(Trouble::Here(told)) = of_variable.header(none) else { panic!("refused") };
        assert!(told.contains("set DIGITALOCEAN_TOKEN or"), "{told}");
        for wrong in ["a\r\nHost: b", "ä"] {
            let Err(Trouble::Here(told)) = of_variable.header(|_| Some(Zeroizing::new(wrong.to_owned()))) else {
                panic!("{wrong:?}")
            };
            assert!(told.contains("one line of ASCII"), "{told}");
        }
    }
}
