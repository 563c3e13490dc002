//! An image without a registry, and services made from it.
//! Promise: nothing is fetched; the image is this machine's own busybox.
//! Must not: be large. The engines' storage copies each layer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Result, Trying};
use crate::host::Host;
use crate::requirements;
use crate::run::run;

/// The image's name on each host that has it.
pub const BUSYBOX: &str = "busybox:lab";

/// What busybox is called by in the image.
const NAMES: [&str; 8] = ["sh", "sleep", "cat", "ls", "nc", "wget", "httpd", "true"];

impl Host {
    /// Puts the image on this host. A service's tasks run only where it is.
    pub fn import_busybox(&self) -> Result<()> {
        let root = self.place().engine().join("busybox");
        let bin = root.join("bin");
        fs::create_dir_all(&bin).trying(|| format!("making {}", bin.display()))?;
        let busybox = requirements::find("busybox").unwrap_or_else(|| PathBuf::from("/bin/busybox"));
        fs::copy(&busybox, bin.join("busybox")).trying(|| format!("copying {}", busybox.display()))?;
        for name in NAMES {
            symlink("busybox", bin.join(name)).trying(|| format!("linking {name}"))?;
        }
        let mut tar = Command::new("tar")
            .arg("--create")
            .arg("--directory")
            .arg(&root)
            .arg(".")
            .stdout(Stdio::piped())
            .spawn()
            .trying(|| "starting tar".to_owned())?;
        let mut import = self.docker_command();
        import.args(["import", "-", BUSYBOX]);
        import.stdin(tar.stdout.take().map_or_else(Stdio::null, Stdio::from));
        let imported = run(&mut import);
        tar.wait().trying(|| "waiting for tar".to_owned())?;
        imported?;
        fs::remove_dir_all(&root).trying(|| format!("removing {}", root.display()))
    }

    /// Creates a service that sleeps, as this manager, and does not wait for its tasks.
    pub fn create_service(&self, name: &str, replicas: usize) -> Result<()> {
        let replicas = replicas.to_string();
        let create = ["service", "create", "--detach", "--quiet", "--no-resolve-image"];
        let what = ["--name", name, "--replicas", &replicas, BUSYBOX, "/bin/sleep", "86400"];
        self.docker(&[&create[..], &what[..]].concat()).map(drop)
    }

    /// The hosts on which the service's tasks run now, one for each task, as this manager sees it.
    pub fn tasks(&self, service: &str) -> Result<Vec<String>> {
        let running = ["--filter", "desired-state=running", "--format"];
        let listed =
            self.docker(&[&["service", "ps"], &running[..], &["{{.Node}} {{.CurrentState}}", service]].concat())?;
        let tasks = listed.lines().filter_map(|task| task.split_once(" Running"));
        Ok(tasks.map(|(host, _)| host.to_owned()).collect())
    }
}
