//! What a broker tells systemd, heard in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::cluster::Broker;
use crate::error::{Result, Trying};

/// The socket that a broker was told of as systemd's.
#[derive(Debug)]
pub struct Systemd(UnixDatagram);

impl Systemd {
    /// `broker serve` as of a unit: systemd is told that it is ready.
    pub fn serves(broker: &mut Broker<'_>, arguments: &[&str]) -> Result<Self> {
        let path = broker.host().folder().join("notify");
        let socket = UnixDatagram::bind(&path).trying(|| format!("listening on {}", path.display()))?;
        broker.with("NOTIFY_SOCKET", &path.display().to_string());
        broker.serve_with(arguments)?;
        let systemd = Self(socket);
        assert_eq!(systemd.told(Duration::from_secs(5))?.as_deref(), Some("READY=1\n"), "systemd is told");
        Ok(systemd)
    }

    /// The longest that systemd heard nothing for, within a time in which it hears of nothing but the watchdog.
    pub fn longest_silence(&self, within: Duration) -> Result<Duration> {
        let (start, mut heard, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        while start.elapsed() < within {
            if let Some(told) = self.told(Duration::from_secs(1))? {
                assert_eq!(told, "WATCHDOG=1\n");
                heard = Instant::now();
            }
            longest = longest.max(heard.elapsed());
        }
        Ok(longest)
    }

    /// The next that it is told within a time, if anything.
    fn told(&self, within: Duration) -> Result<Option<String>> {
        self.0.set_read_timeout(Some(within)).trying(|| "waiting for what systemd is told".to_owned())?;
        let mut told = [0; 64];
        let length = self.0.recv(&mut told).ok();
        Ok(length.map(|length| String::from_utf8_lossy(&told[..length]).into_owned()))
    }
}
