//! Ends of a run: a crash, a Ctrl-C, a failure.
//! Promise: none of them leaves anything of its lab, and a failure tells why.
//! Must not: look at anything but what carries the ended lab's id.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use lab::whole::{Root, WholeMachine};
use lab::{Failed, Lab, Pool, until};
use rustix::process::{Pid, Signal, kill_process};

/// Names the part that this program plays for a trial of its own.
pub(crate) const PART: &str = "LAB_TRIAL_PART";

const SOON: Duration = Duration::from_mins(1);

pub(crate) fn a_crashed_lab_is_cleared_by_the_next(_: &Pool) -> Result<(), Failed> {
    let (mut run, lab) = start("crash")?;
    assert!(!traces(&lab).is_empty());
    run.kill()?;
    run.wait()?;

    let next = Lab::up(1)?;
    // Another test program may have come first, and be clearing it away right now.
    until(SOON, "the crashed lab to go", || traces(&lab).is_empty().then_some(()))?;
    assert!(next.hosts()[0].engine_answers(), "a live lab is left alone");
    let id = next.id().to_owned();
    drop(next);
    assert_eq!(traces(&id), Vec::<String>::new());
    Ok(())
}

pub(crate) fn an_interrupted_run_leaves_nothing(_: &Pool) -> Result<(), Failed> {
    let (mut run, lab) = start("wait")?;
    assert!(!traces(&lab).is_empty());
    kill_process(Pid::from_child(&run), Signal::INT)?;
    let status = run.wait()?;
    assert_eq!(status.code(), Some(130), "{:?}", status.signal());
    assert_eq!(traces(&lab), Vec::<String>::new());
    Ok(())
}

pub(crate) fn a_failure_shows_the_last_words(_: &Pool) -> Result<(), Failed> {
    let output = part("fail")?.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(101), "{text}");
    for words in ["the reason", "doomed.out", "my last words", "dockerd.err", "0 passed; 1 failed"] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    Ok(())
}

/// Plays a part. Each tells its lab's id, to be looked for later.
pub(crate) fn play(part: &OsStr) -> ExitCode {
    match part.to_str() {
        Some("crash") => crash(),
        Some("wait") => lab::main(1, lab::trials![wait]),
        Some("fail") => lab::main(1, lab::trials![fail]),
        _ => ExitCode::FAILURE,
    }
}

fn crash() -> ExitCode {
    let lab = Lab::up(1).expect("a lab");
    let host = &lab.hosts()[0];
    lab::form(&[host], &[]).expect("a swarm");
    host.import_busybox().expect("an image");
    host.create_service("idle", 2).expect("a service");
    until(SOON, "tasks", || host.tasks("idle").ok().filter(|tasks| tasks.len() == 2)).expect("tasks");
    host.small_disk(1 << 20).expect("a disk");
    let bare = lab.bare_hosts(1).expect("a host");
    let mut machine = WholeMachine::new(&bare[0], &Root::ready().expect("a root")).expect("a machine");
    machine.boot("#cloud-config\n").expect("a boot");
    machine.settled().expect("the end of cloud-init");
    println!("lab {}", lab.id());
    thread::park();
    ExitCode::FAILURE
}

fn wait(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    println!("lab {}", id_of(&hosts[0]));
    thread::sleep(SOON);
    Ok(())
}

fn fail(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    let mut command = hosts[0].command("echo");
    command.arg("my last words");
    hosts[0].spawn("doomed", command)?.wait(SOON)?;
    Err("the reason".into())
}

/// This program again, in another part.
fn part(name: &str) -> Result<Command, Failed> {
    let mut command = Command::new(env::current_exe()?);
    command.env(PART, name).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0);
    Ok(command)
}

/// Starts a part and reads its lab's id.
fn start(name: &str) -> Result<(Child, String), Failed> {
    let mut run = part(name)?.spawn()?;
    let lines = run.stdout.take().map(BufReader::new).ok_or("no output")?.lines();
    let mut ids = lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix("lab ")?.to_owned()));
    let id = ids.next().ok_or("it ended without telling its lab's id")?;
    Ok((run, id))
}

/// The id of a leased host's lab, which is in the host's paths: `…/LAB/HOST/state`.
fn id_of(host: &lab::Host) -> String {
    let folder = host.folder();
    let lab = folder.ancestors().nth(2).and_then(Path::file_name).expect("a lab's folder");
    lab.to_string_lossy().into_owned()
}

/// Whatever carries the lab's id: processes, mounts, namespaces, control groups, folders.
fn traces(lab: &str) -> Vec<String> {
    let mut traces = Vec::new();
    for process in list("/proc") {
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        let group = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(lab) || group.contains(lab) {
            traces.push(process.display().to_string());
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    traces.extend(mounts.lines().filter(|mount| mount.contains(lab)).map(str::to_owned));
    let folders = ["/run/netns", "/var/lib/swarm-lab", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"];
    let named = folders.into_iter().flat_map(list).map(|path| path.display().to_string());
    traces.extend(named.filter(|path| path.contains(lab)));
    traces
}

fn list(folder: &str) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
