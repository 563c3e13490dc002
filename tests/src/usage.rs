//! What /proc tells of a running process.
//! Promise: figures only grow, and stay as last seen when the process is gone.
//! Must not: be asked about a process whose end was waited for; its id may be another's.

use std::fs;
use std::time::Duration;

/// What a process has used, as far as was seen.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Peak resident memory, in bytes.
    pub(crate) peak: u64,
}

impl Usage {
    pub(crate) fn look(&mut self, pid: u32) {
        if let Some(cpu) = cpu_time(pid) {
            self.cpu = cpu.max(self.cpu);
        }
        if let Some(peak) = peak_memory(pid) {
            self.peak = peak.max(self.peak);
        }
    }
}

/// proc(5): after the name in parentheses, utime and stime are fields 12 and 13, in clock ticks.
fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(|field| field.parse::<u64>().ok());
    let ticks = times.next()?? + times.next()??;
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// proc(5): after the name in parentheses, a thread's state, T if it is stopped.
pub(crate) fn all_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| fs::read_to_string(thread.path().join("stat"))).all(|stat| {
        // A thread that ended between the two looks does not run either.
        stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, s)| s.starts_with('T')))
    })
}

/// proc(5): `VmHWM`, the peak resident set, in kB.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
