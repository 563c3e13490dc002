//! `--on-alarm`: what an operator wants done at each alarm, such as telling whoever is on call.
//!
//! Keeps promise 7: the command is given the record, as the log has it, on its standard input, and nothing else. Must not
//! hold anything up: an alarm is in the log before, whatever becomes of the command. But for one, which is told once
//! when it begins: that nothing can be written into the log.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::JoinHandle;

use crate::audit::Audit;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a broker that ends waits for it.
const LAST: Duration = Duration::from_secs(10);
/// How often to look whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// What tells of a log's alarms, if that is wanted.
pub(super) struct Teller(Option<JoinHandle<()>>);

impl Teller {
    /// From the log's opening on: a start may raise the worst of them.
    pub(super) fn of(audit: &Audit, command: Option<&String>) -> Self {
        Self(command.map(|command| tokio::spawn(tell(audit.alarms_to_come(), command.clone()))))
    }

    /// Tells what was raised last, as far as that can be done soon.
    pub(super) async fn finish(self) {
        if let Some(task) = self.0 {
            let _ = tokio::time::timeout(LAST, task).await;
        }
    }
}

/// Runs the command for each alarm, one after the other, until the log is closed.
async fn tell(mut alarms: Receiver<Arc<str>>, command: String) {
    loop {
        match alarms.recv().await {
            Ok(alarm) => {
                let command = command.clone();
                let ended = tokio::task::spawn_blocking(move || run(&command, &alarm, LIMIT)).await;
                match ended {
                    Ok(Ok(Some(status))) if status.success() => {}
                    Ok(Ok(Some(status))) => tracing::error!(%status, "on-alarm: the command failed"),
                    Ok(Ok(None)) => tracing::error!("on-alarm: the command was ended after {} s", LIMIT.as_secs()),
                    Ok(Err(error)) => tracing::error!(%error, "on-alarm: the command could not be run"),
                    Err(error) => tracing::error!(%error, "on-alarm"),
                }
            }
            Err(RecvError::Lagged(count)) => {
                tracing::error!(
                    count,
                    "on-alarm: so many alarms were not told: the command is too slow. They are in the log"
                );
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Runs it to its end; none: it was killed at the limit, with all that it started in its process group.
fn run(command: &str, alarm: &str, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever does not read it keeps nobody waiting.
        let alarm = alarm.to_owned();
        std::thread::spawn(move || writeln!(stdin, "{alarm}"));
    }
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(POLL),
            None => {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                child.wait()?;
                return Ok(None);
            }
            status => return Ok(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    const MANUAL: &str = include_str!("../../../docs/operations.md");

    /// The arguments of all processes, as any user sees them.
    fn seen_by_all() -> String {
        let processes = std::fs::read_dir("/proc").expect("reads").flatten();
        let arguments = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        arguments.map(|words| String::from_utf8_lossy(&words).into_owned() + "\n").collect()
    }

    #[test]
    fn the_manuals_command_tells_and_shows_no_secret_to_others() {
        let (_, row) = MANUAL.split_once("| `--on-alarm CMD` |").expect("the setting");
        let command = row.split('`').find(|words| words.starts_with("curl ")).expect("an example");
        let folder = tempfile::tempdir().expect("a folder");
        let hook = folder.path().join("hook").display().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = format!("http://{}/a-secret-of-the-hook", listener.local_addr().expect("an address"));
        std::fs::write(&hook, format!("url = \"{url}\"\nnoproxy = \"*\"\n")).expect("written");
        // Wherever the manual has the URL.
        let command = command.replace("https://hooks.example/swarm", &url).replace("/etc/broker/hook", &hook);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let (seen, mut request) = (seen_by_all(), String::new());
            while !request.contains("{\"event\"") {
                let mut part = [0; 4096];
                let length = stream.read(&mut part).expect("reads");
                assert!(length > 0, "it ended before the record: {request}");
                request.push_str(&String::from_utf8_lossy(&part[..length]));
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
            (seen, request)
        });
        let ended = run(&command, "{\"event\":\"node.unexplained\"}", LIMIT).expect("run");
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        let (seen, request) = server.join().expect("served");
        assert!(request.starts_with("POST /a-secret-of-the-hook "), "{request}");
        assert!(seen.contains("curl"), "it was looked at while it ran");
        assert!(!seen.contains("a-secret-of-the-hook"), "for all to see");
    }

    #[test]
    fn the_command_gets_the_record_and_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = folder.path().join("told");
        let command = format!("cat > {}", told.display());
        assert!(run(&command, "{}", LIMIT).expect("run").is_some_and(|status| status.success()));
        assert_eq!(std::fs::read_to_string(&told).expect("told"), "{}\n");
        assert!(run("exit 3", "{}", LIMIT).expect("run").is_some_and(|status| status.code() == Some(3)));
        let long = "a".repeat(1 << 20);
        let late = run("sleep 60 & wait", &long, Duration::from_millis(100)).expect("run");
        assert!(late.is_none(), "ended, with its child, though it read nothing");
    }
}
