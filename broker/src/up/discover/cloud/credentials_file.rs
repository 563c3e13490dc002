//! The file in which AWS's own tools keep keys: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.
//!
//! Must not be read by others, nor be asked where the environment or the machine has credentials of its own kind.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use object_store::aws::AwsCredential;

use super::{Trouble, shown};
use crate::state::{KeySource, KeySourceError, StateError};

/// With any of these, the environment says where credentials are.
const OTHERS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Whether the environment has credentials, or says where they are: then this file is not asked.
pub(super) fn environment_names_others() -> bool {
    OTHERS.iter().any(|name| std::env::var_os(name).is_some())
}

/// The credentials of the profile that is meant; none where there is no such file, or no keys in it.
pub(super) fn read() -> Result<Option<AwsCredential>, Trouble> {
    let variable = |name: &str| std::env::var_os(name);
    let usual = || variable("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
    let Some(path) = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(usual) else { return Ok(None) };
    read_at(&path, std::env::var("AWS_PROFILE").ok().as_deref())
}

fn read_at(path: &Path, profile: Option<&str>) -> Result<Option<AwsCredential>, Trouble> {
    let text = match KeySource::File(path.to_owned()).read() {
        Err(StateError::KeySource(KeySourceError::Unreadable(_, error))) if error.kind() == ErrorKind::NotFound => {
            return Ok(None);
        }
        read => read.map_err(|error| Trouble::Here(format!("AWS's credentials file: {error}")))?,
    };
    let Some(text) = text else { return Ok(None) };
    match (of_profile(&text, profile.unwrap_or("default")), profile) {
        (None, Some(profile)) => {
            let what = format!("{} has no keys in [{}], which AWS_PROFILE names", path.display(), shown(profile));
            Err(Trouble::Here(what))
        }
        (found, _) => Ok(found),
    }
}

fn of_profile(text: &str, profile: &str) -> Option<AwsCredential> {
    let (mut inside, mut key_id, mut secret_key, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            inside = name.0.trim() == profile;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let value = Some(value.trim().to_owned());
        match key.trim() {
            "aws_access_key_id" => key_id = value,
            "aws_secret_access_key" => secret_key = value,
            "aws_session_token" => token = value,
            _ => {}
        }
    }
    Some(AwsCredential { key_id: key_id?, secret_key: secret_key?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[default]\naws_access_key_id=AKIDEFAULT\naws_secret_access_key = a/b+c=\n\n[ other ]\n\
        aws_access_key_id = AKIOTHER\n; aws_access_key_id = no\naws_secret_access_key=d\naws_session_token=e\n[role]\nrole_arn=arn\n";

    #[test]
    fn a_profile_has_its_own_keys() {
        let of = |profile: &str| of_profile(FILE, profile).map(|found| (found.key_id, found.secret_key, found.token));
        assert_eq!(of("default"), Some(("AKIDEFAULT".into(), "a/b+c=".into(), None)));
        assert_eq!(of("other"), Some(("AKIOTHER".into(), "d".into(), Some("e".into()))));
        assert_eq!((of("role"), of("none")), (None, None));
    }

    #[test]
    fn the_file_is_private_and_need_not_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credentials");
        assert_eq!(read_at(&path, None), Ok(None));
        std::fs::write(&path, FILE).expect("written");
        let mode = |mode| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("set");
        };
        mode(0o644);
        let Err(Trouble::Here(told)) = read_at(&path, None) else { panic!("refused") };
        assert!(told.contains("chmod 0600") && !told.contains("a/b+c"), "{told}");
        mode(0o600);
        assert_eq!(read_at(&path, None).map(|found| found.map(|found| found.key_id)), Ok(Some("AKIDEFAULT".into())));
        let Err(Trouble::Here(told)) = read_at(&path, Some("prod")) else { panic!("refused") };
        assert!(told.contains("no keys in [prod]"), "{told}");
    }
}
