//! A worker's way in, beside two hops of SSH as scripts take them; and what the joiner takes by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Joiner};
use lab::{Host, LONG, Pool, Process, programs, until, usage};

use crate::Failure;
use crate::figures::Figures;

/// So many workers come in each way, one after the other.
const WORKERS: u32 = 5;

/// What each way took: the middle of the times, and the mean of the processor time, which is counted in ticks.
struct Took {
    wall: Duration,
    cpu: Duration,
}

pub(crate) fn measure(figures: &mut Figures, pool: &Pool) -> Result<(), Failure> {
    eprintln!("bench: workers by the joiner, beside workers by ssh");
    let cluster = Cluster::form(pool, 1, 2 * WORKERS as usize)?;
    let (by_joiner, by_ssh) = cluster[1..].split_at(WORKERS as usize);
    let theirs = hops(cluster.manager(), by_ssh)?;
    let (ours, alone, memory) = joined(cluster.manager(), by_joiner)?;
    let this = "a worker by the joiner, from its start to its end, Docker's own join among it";
    figures.add(
        "ssh_wall_ratio",
        (this, ours.wall),
        ("a worker by ssh: join-token on a manager, join on it", theirs.wall),
    );
    let this = "processor time of joiner and broker for it";
    figures.add("ssh_cpu_ratio", (this, ours.cpu), ("of ssh, sshd and docker's client", theirs.cpu));

    let (joiner, which) = joiner()?;
    let bytes = fs::metadata(&joiner)?.len();
    figures.add_alone("joiner_bytes", which, float(bytes));
    figures.add_alone("joiner_memory_bytes", "the most that it held", float(memory));
    let what = "processor time of a whole boot, confirm included";
    figures.add_alone("joiner_cpu_ms", what, alone.as_secs_f64() * 1000.0);
    Ok(())
}

/// The joiner that is shipped, if it was built here, and which it is.
fn joiner() -> Result<(PathBuf, &'static str), Failure> {
    match programs::shipped(&format!("joiner-{}", std::env::consts::ARCH)) {
        Ok(shipped) => Ok((shipped, "the joiner's size: the one that is shipped, in dist/")),
        Err(_) => Ok((programs::joiner()?, "the joiner's size: 'cargo build --release', not './run package'")),
    }
}

/// The joiner's way. Gives the joiner's own processor time for each, and the most memory that it held, too.
fn joined(manager: &Host, workers: &[Host]) -> Result<(Took, Duration, u64), Failure> {
    let mut broker = Broker::start_with(manager, &["--rotate-worker", "manual"])?;
    let invite = broker.invite(&["--uses", &WORKERS.to_string(), "--label", "zone=a"])?;
    let pid = broker.process()?.pid();
    let (program, _) = joiner()?;
    let (served, own) = (usage::family(pid), usage::of_ended_children());
    let (mut times, mut memory) = (Vec::new(), 0);
    for worker in workers {
        let begun = Instant::now();
        let mut process = Joiner::new(worker, &invite).by(&[&program]).start()?;
        let status = process.wait(LONG)?;
        times.push(begun.elapsed());
        memory = memory.max(process.peak_memory());
        if !status.success() {
            return Err(format!("the joiner on {}: {}", worker.name(), process.stderr()).into());
        }
    }
    let own = usage::of_ended_children().saturating_sub(own) / WORKERS;
    let served = usage::family(pid).saturating_sub(served) / WORKERS;
    Ok((Took { wall: middle(times), cpu: own + served }, own, memory))
}

/// The way of scripts, from the manager as the operator's machine.
fn hops(manager: &Host, workers: &[Host]) -> Result<Took, Failure> {
    let keys = manager.folder().join("ssh");
    fs::create_dir(&keys)?;
    for name in ["host", "operator"] {
        done(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(keys.join(name)))?;
    }
    let daemons = [manager].into_iter().chain(workers).map(|host| sshd(host, &keys)).collect::<Result<Vec<_>, _>>()?;
    let served = || daemons.iter().map(|daemon| usage::family(daemon.pid())).sum::<Duration>();
    let (before, own) = (served(), usage::of_ended_children());
    let mut times = Vec::new();
    for worker in workers {
        let begun = Instant::now();
        let token = hop(manager, manager, &keys, "swarm join-token -q worker")?;
        let (own, to) = (worker.address(), manager.address());
        hop(manager, worker, &keys, &format!("swarm join --advertise-addr {own} --token {token} {to}:2377"))?;
        times.push(begun.elapsed());
    }
    let own = usage::of_ended_children().saturating_sub(own);
    Ok(Took { wall: middle(times), cpu: (own + served().saturating_sub(before)) / WORKERS })
}

/// An SSH server on a host, for root with the operator's key.
fn sshd(host: &Host, keys: &Path) -> Result<Process, Failure> {
    // It wants this for who has not logged in yet.
    fs::create_dir_all("/run/sshd")?;
    let settings = host.folder().join("sshd_config");
    let text = format!(
        "ListenAddress {}:22\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/operator.pub\nPidFile none\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
        host.address(),
        keys = keys.display()
    );
    fs::write(&settings, text)?;
    // It starts itself again for each connection, by its whole path.
    let mut command = host.command("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(&settings);
    let process = host.spawn("sshd", command)?;
    until(LONG, "sshd to listen", || process.stderr().contains("Server listening").then_some(()))?;
    Ok(process)
}

/// One hop: `docker …` on another host, by ssh.
fn hop(from: &Host, to: &Host, keys: &Path, docker: &str) -> Result<String, Failure> {
    let mut ssh = from.command("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR", "-o"])
        .arg(format!("UserKnownHostsFile={}", keys.join("known_hosts").display()))
        .arg("-i")
        .arg(keys.join("operator"))
        .arg(format!("root@{}", to.address()))
        .arg(format!("docker --host=unix://{} {docker}", to.socket().display()));
    done(&mut ssh)
}

fn done(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?.trim().to_owned());
    }
    let program = command.get_program().display().to_string();
    Err(format!("{program}: {} {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// As a figure: bytes of a program are far below what a float holds exactly.
fn float(bytes: u64) -> f64 {
    u32::try_from(bytes).map_or(f64::INFINITY, f64::from)
}
