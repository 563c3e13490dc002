//! Faults that a test can make: of the network, the engine, the disk.
//! Promise: each fault is real, and can be undone.
//! Must not: reach beyond the hosts of its lease.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Failed, Host, LONG, Pool, until};

/// Whether a connection to the listener comes about, at once or with one retry of the kernel's.
fn reaches(from: &Host, listener: &TcpListener) -> Result<bool, Failed> {
    let address = listener.local_addr()?;
    let patience = Duration::from_millis(1500);
    Ok(from.inside(|| TcpStream::connect_timeout(&address, patience))?.is_ok())
}

fn listen(host: &Host) -> Result<TcpListener, Failed> {
    Ok(host.inside(|| TcpListener::bind((host.address(), 0)))??)
}

pub(crate) fn a_cut_host_is_out_of_reach_until_healed(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (there, here) = (listen(&hosts[0])?, listen(&hosts[1])?);
    assert!(reaches(&hosts[1], &there)?);
    hosts[0].cut()?;
    assert!(!reaches(&hosts[1], &there)?);
    assert!(!reaches(&hosts[0], &here)?);
    hosts[0].heal()?;
    until(LONG, "the healed host", || reaches(&hosts[1], &there).ok()?.then_some(()))?;
    assert!(reaches(&hosts[0], &here)?);
    Ok(())
}

pub(crate) fn two_hosts_parted_still_reach_a_third(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let ears = [listen(&hosts[0])?, listen(&hosts[1])?, listen(&hosts[2])?];
    hosts[0].cut_from(&hosts[1])?;
    assert!(!reaches(&hosts[0], &ears[1])?);
    assert!(!reaches(&hosts[1], &ears[0])?);
    assert!(reaches(&hosts[0], &ears[2])?);
    assert!(reaches(&hosts[2], &ears[1])?);
    hosts[0].heal()?;
    assert!(reaches(&hosts[1], &ears[0])?);
    Ok(())
}

pub(crate) fn a_slow_link_is_slow(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    // 100 kB at 800 kbit/s take a second, and a little less for what passes in the first burst.
    hosts[0].throttle(800_000)?;
    let ear = listen(&hosts[0])?;
    let address = ear.local_addr()?;
    let taken = thread::scope(|scope| {
        scope.spawn(|| ear.accept()?.0.write_all(&vec![0; 100_000]));
        let start = Instant::now();
        let mut stream = hosts[1].inside(|| TcpStream::connect_timeout(&address, LONG))??;
        stream.set_read_timeout(Some(LONG))?;
        stream.read_to_end(&mut Vec::new())?;
        Ok::<_, Failed>(start.elapsed())
    })?;
    assert!(taken > Duration::from_millis(700), "{taken:?}");
    Ok(())
}

pub(crate) fn a_killed_engine_starts_again_in_its_swarm(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    lab::form(&[&hosts[0]], &[&hosts[1]])?;
    let node = hosts[1].node_id()?;
    hosts[1].kill_engine()?;
    assert!(!hosts[1].engine_answers());
    until(LONG, "the manager to see the node down", || {
        lab::nodes(&hosts[0]).ok()?.into_iter().find(|seen| seen.id == node && seen.state == "down")
    })?;
    hosts[1].start_engine()?;
    assert_eq!(hosts[1].node_id()?, node);
    until(LONG, "the node to be ready again", || {
        lab::nodes(&hosts[0]).ok()?.into_iter().find(|seen| seen.id == node && seen.state == "ready")
    })?;

    hosts[0].restart_engine()?;
    until(LONG, "the manager to lead again", || lab::nodes(&hosts[0]).ok())?;
    Ok(())
}

pub(crate) fn a_paused_engine_is_silent(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    hosts[0].pause_engine()?;
    let mut socket = UnixStream::connect(hosts[0].socket())?;
    socket.set_read_timeout(Some(Duration::from_millis(300)))?;
    socket.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let silence = socket.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(silence, Err(ErrorKind::WouldBlock));
    hosts[0].resume_engine()?;
    until(LONG, "the engine to answer again", || hosts[0].engine_answers().then_some(()))?;
    Ok(())
}

pub(crate) fn a_small_disk_fills(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    let disk = hosts[0].small_disk(64 << 10)?;
    let mut file = File::create(disk.join("file"))?;
    file.write_all(&vec![0; 60 << 10])?;
    let full = file.write_all(&vec![0; 16 << 10]).map_err(|error| error.kind());
    assert_eq!(full, Err(ErrorKind::StorageFull));
    Ok(())
}
