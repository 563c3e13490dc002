//! DESIGN §3b: managers with the same command line find each other through a store, and make one swarm.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use lab::cluster::{Broker, finish};
use lab::{Failed, Host, LONG, Lease, Pool, Process, Role, until};

/// The lease of a lock whose holder is gone, and all that comes after it.
const TAKEN_OVER: Duration = Duration::from_secs(90);
/// What the store has when all is well.
pub(crate) const RECORD: &str = "cluster-record";
pub(crate) const LOCK: &str = "formation-lock";
/// What tells the shared folder from the place where it is mounted.
const MARKER: &str = "shared-by-managers";

/// Managers to be, and what all of them are given.
pub(crate) struct Scene {
    pub(crate) hosts: Lease,
    folder: PathBuf,
    store: String,
    keys: String,
}

impl Scene {
    pub(crate) fn new(pool: &Pool, hosts: usize) -> Result<Self, Failed> {
        let hosts = pool.lease(hosts)?;
        let (folder, keys) = place(&hosts[0], "shared")?;
        Ok(Self { hosts, store: format!("file://{}", folder.display()), folder, keys })
    }

    pub(crate) fn words(&self) -> [&str; 4] {
        ["--store", &self.store, "--keys-file", &self.keys]
    }

    /// Starts the same command on each host, at once.
    pub(crate) fn boot(&self) -> Result<Vec<(Broker<'_>, Process)>, Failed> {
        let booted = self.hosts.iter().map(|host| {
            let broker = Broker::nowhere(host)?;
            let process = broker.spawn_up(&self.words())?;
            Ok((broker, process))
        });
        booted.collect()
    }

    /// Where the operator made the cluster.
    pub(crate) fn operator(&self) -> PathBuf {
        self.folder.with_extension("operator")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Waits until every host is a manager of the one swarm, and its broker serves.
    fn is_one_swarm(&self, booted: &mut [(Broker<'_>, Process)]) -> Result<(), Failed> {
        for (broker, process) in booted.iter_mut() {
            let mut ended = None;
            let what = format!("{} to serve", broker.host().name());
            until(TAKEN_OVER, &what, || {
                ended = process.ended().ok().flatten();
                (ended.is_some() || process.stderr().contains("serving")).then_some(())
            })?;
            assert!(ended.is_none(), "{}: {}", broker.host().name(), process.stderr());
        }
        let swarms = self.hosts.iter().map(swarm).collect::<Result<BTreeSet<_>, _>>()?;
        assert_eq!(swarms.len(), 1, "{swarms:?}");
        let nodes = lab::nodes(&self.hosts[0])?;
        let managers = nodes.iter().filter(|node| node.role == Role::Manager && node.state == "ready").count();
        assert_eq!((nodes.len(), managers), (self.hosts.len(), self.hosts.len()), "{nodes:?}");
        // Written after the record, which is all that the others wait for.
        until(LONG, "the lock to name the swarm", || {
            let formed = fs::read_to_string(self.folder.join(LOCK)).ok()?;
            swarms.iter().all(|swarm| formed.contains(swarm.as_str())).then_some(())
        })?;
        let (first, _) = &booted[0];
        until(LONG, "all brokers to be ready", || {
            let brokers = first.json(&["status", "--json"]).ok()?["brokers"].as_array()?.clone();
            (brokers.iter().filter(|broker| broker["ready"] == true).count() == self.hosts.len()).then_some(())
        })?;
        let listed = first.json(&["nodes", "--json"])?;
        assert!(
            listed["nodes"].as_array().is_some_and(|all| all.iter().all(|node| node["explained"] == true)),
            "{listed}"
        );
        Ok(())
    }

    /// Every machine is a new one again, and so is the cluster.
    fn again(&mut self, round: usize) -> Result<(), Failed> {
        for host in self.hosts.iter() {
            host.leave()?;
            for part in ["broker", "joiner"] {
                let _ = fs::remove_dir_all(host.folder().join(part));
            }
        }
        let (folder, keys) = place(&self.hosts[0], &format!("shared-{round}"))?;
        (self.store, self.folder, self.keys) = (format!("file://{}", folder.display()), folder, keys);
        Ok(())
    }
}

/// A folder to share, and a cluster's keys as the operator made them.
fn place(host: &Host, name: &str) -> Result<(PathBuf, String), Failed> {
    let folder = host.folder().join(name);
    fs::create_dir(&folder)?;
    fs::write(folder.join(MARKER), "")?;
    let keys = host.folder().join(format!("{name}.keys")).display().to_string();
    let state = host.folder().join(format!("{name}.operator")).display().to_string();
    Broker::nowhere(host)?.ok(&["init", "--cluster", "lab", "--state", &state, "--keys-file", &keys])?;
    Ok((folder, keys))
}

pub(crate) fn swarm(host: &Host) -> Result<String, Failed> {
    Ok(host.docker(&["info", "--format", "{{.Swarm.Cluster.ID}}"])?.trim().to_owned())
}

fn is_out(host: &Host) -> Result<bool, Failed> {
    Ok(host.swarm_state()?.trim() == "inactive")
}

/// Who has the formation lock.
fn holder(booted: &[(Broker<'_>, Process)]) -> Result<usize, Failed> {
    let has = |(_, process): &(Broker<'_>, Process)| process.stderr().contains("has the formation lock");
    Ok(until(LONG, "somebody to have the lock", || booted.iter().position(has))?)
}

pub(crate) fn three_managers_that_boot_at_once_make_one_swarm(pool: &Pool) -> Result<(), Failed> {
    let mut scene = Scene::new(pool, 3)?;
    for round in 1..=3 {
        {
            let mut booted = scene.boot()?;
            scene.is_one_swarm(&mut booted)?;
            let made = booted.iter().filter(|(broker, _)| broker.count("swarm.formed", None).unwrap_or(9) == 1).count();
            assert_eq!(made, 1, "one of them made the swarm");
            for (_, process) in &mut booted {
                process.terminate()?;
                process.wait(LONG)?;
            }
        }
        scene.again(round)?;
    }
    Ok(())
}

pub(crate) fn a_holder_killed_before_init_is_replaced(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 3)?;
    let mut booted = scene.boot()?;
    let first = holder(&booted)?;
    booted[first].1.kill()?;
    assert!(is_out(&scene.hosts[first])?, "it was killed before it made a swarm");
    until(TAKEN_OVER, "another machine to publish", || scene.has(RECORD).then_some(()))?;
    booted[first].1 = booted[first].0.spawn_up(&scene.words())?;
    scene.is_one_swarm(&mut booted)
}

pub(crate) fn a_holder_killed_between_init_and_publish_leaves_its_swarm(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 3)?;
    let mut booted = scene.boot()?;
    let first = holder(&booted)?;
    let state = booted[first].0.state().join("cluster.json");
    until(LONG, "it to set about the swarm", || {
        fs::read_to_string(&state).ok()?.contains("\"forming\": true").then_some(())
    })?;
    // While the store is away, nothing can be published.
    let away = scene.folder.with_extension("away");
    fs::rename(&scene.folder, &away)?;
    until(LONG, "its engine to be in a swarm", || swarm(&scene.hosts[first]).ok().filter(|id| !id.is_empty()))?;
    booted[first].1.kill()?;
    assert!(!away.join(RECORD).exists(), "it was killed before it published");
    fs::rename(&away, &scene.folder)?;
    let own = swarm(&scene.hosts[first])?;

    until(TAKEN_OVER, "another machine to publish", || scene.has(RECORD).then_some(()))?;
    booted[first].1 = booted[first].0.spawn_up(&scene.words())?;
    scene.is_one_swarm(&mut booted)?;
    assert_ne!(swarm(&scene.hosts[first])?, own, "it left the swarm that it had made");
    Ok(())
}

pub(crate) fn a_record_whose_managers_do_not_answer_never_causes_an_init(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 3)?;
    let mut booted = scene.boot()?;
    let first = holder(&booted)?;
    until(LONG, "the record", || scene.has(RECORD).then_some(()))?;
    booted[first].1.kill()?;
    // Longer than the lease of the lock.
    thread::sleep(Duration::from_secs(25));
    for other in (0..3).filter(|other| *other != first) {
        assert!(is_out(&scene.hosts[other])?, "it waits for the swarm of the record");
        assert!(booted[other].1.ended()?.is_none(), "{}", booted[other].1.stderr());
    }
    booted[first].1 = booted[first].0.spawn_up(&scene.words())?;
    scene.is_one_swarm(&mut booted)
}

pub(crate) fn a_holder_that_hung_past_its_lease_joins_the_others(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 3)?;
    let mut booted = scene.boot()?;
    let first = holder(&booted)?;
    booted[first].1.pause()?;
    until(TAKEN_OVER, "another machine to publish", || scene.has(RECORD).then_some(()))?;
    booted[first].1.resume()?;
    scene.is_one_swarm(&mut booted)
}

pub(crate) fn no_bad_record_makes_a_second_swarm(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 3)?;
    let mut first = Broker::nowhere(&scene.hosts[0])?;
    first.up_with(&scene.words())?;
    let formed = until(LONG, "the lock to say so", || {
        fs::read_to_string(scene.folder.join(LOCK)).ok().filter(|lock| lock.contains("formed"))
    })?;
    // Another cluster's record is as well signed as this one's, by its own keys.
    let (strange, keys) = place(&scene.hosts[2], "strange")?;
    let mut stranger = Broker::nowhere(&scene.hosts[2])?;
    stranger.up_with(&["--store", &format!("file://{}", strange.display()), "--keys-file", &keys])?;
    stranger.stop()?;
    first.stop()?;

    let record = scene.folder.join(RECORD);
    let good = fs::read_to_string(&record)?;
    let next = Broker::nowhere(&scene.hosts[1])?;
    let mut later = Broker::nowhere(&scene.hosts[1])?;
    later.with("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1");
    later.with("FAKETIME", "+2d");
    later.with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let ends = |broker: &Broker<'_>, code: i32, told: &str| -> Result<(), Failed> {
        let ended = finish(broker.spawn_up(&[&scene.words()[..], &["--timeout", "3s"]].concat())?)?;
        assert!(ended.code == code && ended.stderr.contains(told), "{told}: {ended:?}");
        assert!(is_out(&scene.hosts[1])?, "{told}");
        Ok(())
    };
    // Deleted: the lock still says that there is a swarm.
    fs::remove_file(&record)?;
    ends(&next, 75, "no cluster record came into the store in time")?;
    // Forged: by another cluster's key, or altered, or cut, or with nothing in it.
    let forged = "not signed under this cluster's root";
    fs::copy(strange.join(RECORD), &record)?;
    ends(&next, 65, forged)?;
    let middle = good.rfind('.').ok_or("a signature")? + 20;
    let other = if good.as_bytes()[middle] == b'A' { "B" } else { "A" };
    fs::write(&record, [&good[..middle], other, &good[middle + 1..]].concat())?;
    ends(&next, 65, "its signature does not hold")?;
    for text in [&good[..good.len() / 2], "", "{}"] {
        fs::write(&record, text)?;
        ends(&next, 65, "does not read")?;
    }
    // Another cluster's lock, and one that is none.
    fs::remove_file(&record)?;
    for (lock, told) in [(fs::read_to_string(strange.join(LOCK))?, "another cluster"), ("x".to_owned(), "is not good")]
    {
        fs::write(scene.folder.join(LOCK), lock)?;
        ends(&next, 65, told)?;
    }
    fs::write(scene.folder.join(LOCK), formed)?;
    // Old: nobody has renewed it for days.
    fs::write(&record, &good)?;
    ends(&later, 78, "no broker has renewed it since")?;

    // All of it gone while a broker serves: that one puts it back before anybody believes it.
    first.serve()?;
    for name in [RECORD, LOCK] {
        fs::remove_file(scene.folder.join(name))?;
    }
    let mut second = Broker::nowhere(&scene.hosts[1])?;
    second.up_with(&scene.words())?;
    assert_eq!(swarm(&scene.hosts[0])?, swarm(&scene.hosts[1])?);
    assert_eq!(lab::nodes(&scene.hosts[0])?.len(), 2);
    // The place in which nothing is mounted is a folder, too, and no machine finds itself alone there.
    let unmounted = scene.folder.with_extension("unmounted");
    fs::create_dir(&unmounted)?;
    let store = format!("file://{}", unmounted.display());
    let ended = finish(stranger.spawn_up(&["--store", &store])?)?;
    assert!(ended.code == 75 && ended.stderr.contains("not mounted here"), "{ended:?}");
    // A manager of another swarm serves nothing, and is left alone.
    let ended = finish(stranger.spawn_up(&["--store", &scene.store])?)?;
    assert!(ended.code == 65 && ended.stderr.contains(forged), "{ended:?}");
    Ok(())
}
