//! DESIGN §3b: the same through an object store, against a real S3 server.

use std::path::Path;
use std::time::Duration;

use lab::cluster::{Broker, finish};
use lab::{Failed, Host, LONG, Lease, Pool, Process, Role, until};

/// What the machines have in their environment, as a cloud's tools would.
pub(crate) const SECRET: &str = "wJalrXUtnFEMI-lab-secret-of-the-store";
/// The lease of a lock whose holder is gone, and all that comes after it.
const TAKEN_OVER: Duration = Duration::from_secs(90);

/// An S3 server on the first host, and what managers on the others are given.
struct Scene {
    hosts: Lease,
    _server: Process,
    arguments: Vec<String>,
}

impl Scene {
    fn new(pool: &Pool, managers: usize, words: &[&str]) -> Result<Self, Failed> {
        let hosts = pool.lease(managers + 1)?;
        let server = serve(&hosts[0], words)?;
        let keys = hosts[0].folder().join("keys").display().to_string();
        let state = hosts[0].folder().join("operator").display().to_string();
        Broker::nowhere(&hosts[0])?.ok(&["init", "--cluster", "lab", "--state", &state, "--keys-file", &keys])?;
        let endpoint = format!("endpoint=http://{}:9000", hosts[0].reached_at());
        let arguments =
            ["--store", "s3://managers/prod", "--store-option", &endpoint, "--store-option", "allow_http=true"];
        let arguments =
            arguments.into_iter().chain(["--keys-file", &keys, "--log", "trace"]).map(str::to_owned).collect();
        Ok(Self { hosts, _server: server, arguments })
    }

    fn managers(&self) -> &[Host] {
        &self.hosts[1..]
    }

    fn boot<'h>(&self, host: &'h Host) -> Result<(Broker<'h>, Process), Failed> {
        let mut broker = Broker::nowhere(host)?;
        broker.with("AWS_ACCESS_KEY_ID", "lab");
        broker.with("AWS_SECRET_ACCESS_KEY", SECRET);
        broker.with("AWS_REGION", "us-east-1");
        let process = broker.spawn_up(&self.arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok((broker, process))
    }
}

/// The S3 server of `tests/s3`, which `./run test` gets.
pub(crate) fn serve(host: &Host, words: &[&str]) -> Result<Process, Failed> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = house.join("../target/moto");
    if !libraries.is_dir() {
        return Err("there is no S3 server in target/moto: './run test' gets it".into());
    }
    let mut command = host.command("python3");
    command.arg(house.join("s3/server.py")).arg(libraries).arg(host.reached_at().to_string()).arg("9000").args(words);
    let server = host.spawn("s3", command)?;
    until(LONG, "the S3 server to be ready", || server.stdout().contains("ready").then_some(()))?;
    Ok(server)
}

pub(crate) fn three_managers_make_one_swarm_through_s3_and_the_holder_may_die(pool: &Pool) -> Result<(), Failed> {
    let mut scene = Scene::new(pool, 3, &[])?;
    // A bucket that is not there holds not nothing.
    let url = std::mem::replace(&mut scene.arguments[1], "s3://mangers/prod".into());
    let (broker, process) = scene.boot(&scene.managers()[0])?;
    until(LONG, "it to be told", || process.stderr().contains("is there such a bucket").then_some(()))?;
    drop((broker, process));
    scene.arguments[1] = url;
    let mut booted = scene.managers().iter().map(|host| scene.boot(host)).collect::<Result<Vec<_>, _>>()?;
    let has = |(_, process): &(Broker<'_>, Process)| process.stderr().contains("has the formation lock");
    let first = until(LONG, "somebody to have the lock", || booted.iter().position(has))?;
    booted[first].1.kill()?;
    let another = |booted: &[(Broker<'_>, Process)]| {
        let made = |(_, process): &(Broker<'_>, Process)| process.stderr().contains("published the cluster record");
        booted.iter().any(made)
    };
    until(TAKEN_OVER, "another machine to publish", || another(&booted).then_some(()))?;
    booted[first] = scene.boot(&scene.managers()[first])?;
    for (broker, process) in &mut booted {
        let what = format!("{} to serve", broker.host().name());
        until(TAKEN_OVER, &what, || {
            let ended = process.ended().ok().flatten().is_some();
            (ended || process.stderr().contains(" serving ")).then_some(())
        })?;
        let told = process.stderr();
        assert!(process.ended()?.is_none(), "{told}");
        // At the finest level of the log, too.
        assert!(!told.contains(SECRET) && !told.contains("AWS4-HMAC-SHA256"), "credentials in the log");
    }
    let nodes = lab::nodes(&scene.managers()[0])?;
    assert!(nodes.len() == 3 && nodes.iter().all(|node| node.role == Role::Manager), "{nodes:?}");
    Ok(())
}

pub(crate) fn a_store_that_ignores_conditions_is_refused_by_name(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 1, &["careless"])?;
    let host = &scene.managers()[0];
    let (broker, process) = scene.boot(host)?;
    let ended = finish(process)?;
    let named = ended.stderr.contains("s3://managers/prod cannot be used to form a swarm");
    assert!(ended.code == 78 && named && ended.stderr.contains("a second create"), "{}", ended.stderr);
    assert_eq!(host.swarm_state()?.trim(), "inactive");
    // And a secret as an argument, before anything is asked.
    let refused =
        finish(broker.spawn_up(&["--store", "s3://managers/prod", "--store-option", "secret_access_key=x"])?)?;
    assert!(refused.code == 64 && refused.stderr.contains("AWS_SECRET_ACCESS_KEY"), "{}", refused.stderr);
    Ok(())
}
