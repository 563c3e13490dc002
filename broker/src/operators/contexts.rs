//! The contexts on this machine: a folder with a file each, and which of them is the current one.
//!
//! Must not use a file that somebody else can read or change: its key may be somebody else's by now.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use certs::{OperatorName, SigningKey};
use protocol::KeyHash;
use zeroize::Zeroizing;

use super::context::{Context, Issued};
use crate::exit::{Code, Failure};
use crate::state::PrivateFile;

/// The name for no context: the admin socket of this machine's broker.
pub(crate) const LOCAL: &str = "local";

const CURRENT: &str = "current";

/// The folder of this user.
pub(crate) struct Contexts {
    folder: PathBuf,
}

impl Contexts {
    /// The usual one: `$XDG_CONFIG_HOME/broker`, else `~/.config/broker` (XDG Base Directory Specification).
    pub(crate) fn usual() -> Result<Self, Failure> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
        let missing =
            || Failure::new(Code::Config, "nobody knows where contexts are kept here: set HOME or XDG_CONFIG_HOME");
        config.map(|config| Self::at(&config.join("broker"))).ok_or_else(missing)
    }

    fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self, name: &str) -> Result<PathBuf, Failure> {
        if name == LOCAL || name.parse::<OperatorName>().is_err() {
            let what = format!(
                "'{}' is no name for a context: 1 to 32 lower-case letters and digits, and '.', '_' or '-' between them, but not '{LOCAL}'",
                name.escape_debug()
            );
            return Err(Failure::new(Code::Usage, what));
        }
        Ok(self.folder.join("contexts").join(format!("{name}.json")))
    }

    /// The names of all, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let folder = self.folder.join("contexts");
        let failed = |error: std::io::Error| Failure::new(Code::Io, format!("{}: {error}", folder.display()));
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let name = |entry: &fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned());
        let mut names: Vec<String> = entries.iter().filter_map(name).filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Ok(names)
    }

    /// One of them.
    pub(crate) fn read(&self, name: &str) -> Result<Context, Failure> {
        let path = self.file(name)?;
        if !path.exists() {
            let what = format!("there is no context '{name}': see 'broker context list'");
            return Err(Failure::new(Code::NoInput, what));
        }
        let (text, place) = (read_private(&path)?, path.display().to_string());
        Context::of(name, Issued::read(&text, &place)?, &place)
    }

    /// The one that is used where none is named.
    pub(crate) fn current(&self) -> Result<Option<String>, Failure> {
        let path = self.folder.join(CURRENT);
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty() && name != LOCAL)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(Code::Io, format!("{}: {error}", path.display()))),
        }
    }

    /// Has this one used where none is named; [`LOCAL`]: the admin socket.
    pub(crate) fn use_by_default(&self, name: &str) -> Result<(), Failure> {
        if name != LOCAL {
            self.read(name)?;
        }
        self.write(&self.folder.join(CURRENT), name.as_bytes(), true)
    }

    /// Keeps a context: what a broker issued, with the key that is in it or was made here for it.
    pub(crate) fn add(&self, name: &str, mut issued: Issued, place: &str) -> Result<Context, Failure> {
        let path = self.file(name)?;
        if path.exists() {
            let what = format!(
                "there is a context '{name}' already: give another name, or 'broker context remove {name}' first"
            );
            return Err(Failure::new(Code::CannotCreate, what));
        }
        let (_, certificate) = issued.certificate(place)?;
        let made_here = self.key_file(&certificate.key);
        if issued.key.is_none() && made_here.exists() {
            let text = Zeroizing::new(String::from_utf8_lossy(&read_private(&made_here)?).into_owned());
            issued.key = Some(protocol::KeyText::new(text));
        }
        if issued.key.is_none() {
            let what = format!(
                "{place} has no key, and the one it was made for is not here: add it where 'broker operator request' was typed, as the same user"
            );
            return Err(Failure::new(Code::Data, what));
        }
        let context = Context::of(name, issued, place)?;
        let text = serde_json::to_vec_pretty(&context.issued).map(Zeroizing::new);
        let text = text.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        self.write(&path, &text, false)?;
        // Its key is in the context now.
        let _ = fs::remove_file(made_here);
        Ok(context)
    }

    /// Forgets one, its key with it.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.file(name)?;
        fs::remove_file(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::new(Code::NoInput, format!("there is no context '{name}'")),
            _ => Failure::new(Code::Io, format!("{}: {error}", path.display())),
        })?;
        if self.current()?.as_deref() == Some(name) {
            self.use_by_default(LOCAL)?;
        }
        Ok(())
    }

    /// Keeps a key that was made here until its certificate comes.
    pub(crate) fn keep_key(&self, key: &SigningKey) -> Result<(), Failure> {
        self.write(&self.key_file(&key.hash()), key.to_pem().as_bytes(), false)
    }

    fn key_file(&self, key: &KeyHash) -> PathBuf {
        self.folder.join("requests").join(format!("{key}.pem"))
    }

    /// Writes a private file, in folders of this user's own.
    fn write(&self, path: &Path, text: &[u8], replace: bool) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(Code::CannotCreate, format!("{}: {error}", path.display()));
        let folder = path.parent().unwrap_or(&self.folder);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let file = if replace { PrivateFile::replace(path) } else { PrivateFile::create(path) };
        file.and_then(|file| file.finish_with(text)).map_err(failed)
    }
}

/// Reads a file with a key in it, unless others can read or change it.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let shown = path.display();
    let failed = |error: std::io::Error| Failure::new(Code::NoInput, format!("{shown}: {error}"));
    let mut file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        let what = format!(
            "{shown} holds a private key, and others can read or change it (mode {:03o}). If nobody has: chmod 600 {shown}. Else have the operator revoked",
            mode & 0o777
        );
        return Err(Failure::new(Code::Config, what));
    }
    let mut text = Zeroizing::new(Vec::new());
    file.read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use certs::{Csr, Root};
    use protocol::{ClusterId, KeyText};

    use super::*;
    use crate::clock;

    /// What a broker would issue for this key.
    fn issued(key: &SigningKey) -> Issued {
        let (cluster, now) = (ClusterId::random(), clock::unix(clock::now()));
        let root = Root::create(&cluster, "lab", now).expect("a root");
        let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
        let issuing = root.issue(1, now).expect("an issuing CA");
        let (certificate, _) = issuing.operator(&csr, &"jane".parse().expect("a name"), 600, now).expect("signed");
        Issued {
            format: Issued::FORMAT,
            cluster_name: "lab".into(),
            cluster,
            pin: root.pin(),
            generation: 1,
            brokers: Vec::new(),
            operator: "jane".into(),
            certificate,
            key: None,
        }
    }

    #[test]
    fn a_key_that_was_made_here_goes_into_its_context_and_no_other_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = Contexts::at(&folder.path().join("broker"));
        let (key, other) = (SigningKey::generate().expect("a key"), SigningKey::generate().expect("a key"));
        contexts.keep_key(&key).expect("kept");
        assert!(contexts.add("au", issued(&other), "file").is_err(), "no key for it");
        let wrong = Issued { key: Some(KeyText::new(key.to_pem())), ..issued(&other) };
        assert!(contexts.add("au", wrong, "file").is_err(), "another one's key");
        contexts.add("au", issued(&key), "file").expect("added");
        assert!(!contexts.key_file(&key.hash()).exists(), "it is in one place");
        assert_eq!(contexts.read("au").expect("reads").certificate.key, key.hash());
        assert!(contexts.add("au", issued(&key), "file").is_err(), "it is there");

        contexts.use_by_default("au").expect("used");
        assert_eq!(contexts.current().expect("reads").as_deref(), Some("au"));
        contexts.remove("au").expect("removed");
        assert_eq!((contexts.current().expect("reads"), contexts.names().expect("none")), (None, Vec::new()));
        assert!(contexts.use_by_default("au").is_err() && contexts.use_by_default(LOCAL).is_ok());
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = Contexts::at(folder.path());
        let key = SigningKey::generate().expect("a key");
        let whole = Issued { key: Some(KeyText::new(key.to_pem())), ..issued(&key) };
        contexts.add("au", whole, "file").expect("added");
        let path = contexts.file("au").expect("a name");
        for (mode, used) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(contexts.read("au").is_ok(), used, "{mode:o}");
        }
        let told = contexts.read("au").err().expect("others can change it").to_string();
        assert!(told.contains("chmod 600") && !told.contains("PRIVATE"), "{told}");
    }

    #[test]
    fn a_name_is_no_path_and_not_that_of_no_context() {
        let contexts = Contexts::at(Path::new("/nowhere"));
        for name in ["", "..", "../au", "/etc/passwd", "a/b", LOCAL, "AU"] {
            assert!(contexts.file(name).is_err(), "{name}");
        }
        assert!(contexts.file("au").is_ok());
    }
}
