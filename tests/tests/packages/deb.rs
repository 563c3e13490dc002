//! A Debian package in `dist/`, and another version of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::cluster::run;
use lab::{Error, programs};

/// A package file.
pub(crate) struct Deb(PathBuf);

impl Deb {
    /// The one of this release.
    pub(crate) fn of(package: &str, architecture: &str) -> lab::Result<Self> {
        let name = format!("{package}_{}_{architecture}.deb", env!("CARGO_PKG_VERSION"));
        programs::shipped(&name).map(Self)
    }

    /// The same files under a later version, in this folder.
    pub(crate) fn next(&self, folder: &Path) -> lab::Result<Self> {
        let (files, next) = (folder.join("files"), folder.join("next.deb"));
        dpkg_deb(&["--raw-extract".as_ref(), &self.0, &files])?;
        let control = files.join("DEBIAN/control");
        let text = fs::read_to_string(&control).expect("a control file");
        let now = format!("Version: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&now), "{text}");
        fs::write(&control, text.replace(&now, "Version: 999\n")).expect("a changed control file");
        dpkg_deb(&["--root-owner-group".as_ref(), "-Znone".as_ref(), "--build".as_ref(), &files, &next])?;
        fs::remove_dir_all(&files).expect("they are ours");
        Ok(Self(next))
    }

    /// What its control file says of itself; nothing if the field is not there.
    pub(crate) fn field(&self, field: &str) -> lab::Result<String> {
        dpkg_deb(&["--field".as_ref(), &self.0, field.as_ref()])
    }

    /// Its files, with modes and owners, as `tar` lists them.
    pub(crate) fn list(&self) -> lab::Result<Vec<String>> {
        let list = dpkg_deb(&["--contents".as_ref(), &self.0])?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Unpacks its files, without installing it.
    pub(crate) fn unpack(&self, folder: &Path) -> lab::Result<()> {
        dpkg_deb(&["--extract".as_ref(), &self.0, folder]).map(drop)
    }

    /// The package itself.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.0).expect("it is there")
    }
}

/// The folder of the repository.
pub(crate) fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it")
}

fn dpkg_deb(words: &[&Path]) -> lab::Result<String> {
    let mut command = Command::new("dpkg-deb");
    command.args(words);
    let told = run(command)?;
    if told.code == 0 {
        return Ok(told.stdout.trim_end().to_owned());
    }
    let command = format!("dpkg-deb {words:?}");
    Err(Error::Refused { command, status: told.code.to_string(), stderr: told.stderr })
}
