//! A time server (RFC 4330), since a machine that starts with a wrong clock asks one.

use std::net::UdpSocket;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use lab::{Failed, Host};

/// Seconds from 1900, where NTP begins to count, to 1970.
const ERA: u64 = 2_208_988_800;

/// Answers on this host with this machine's time, until the test program ends.
pub(crate) fn start(host: &Host) -> Result<(), Failed> {
    let socket = host.inside(|| UdpSocket::bind((host.address(), 123)))??;
    thread::spawn(move || {
        let mut request = [0; 48];
        while let Ok((_, caller)) = socket.recv_from(&mut request) {
            // A reply that cannot be sent is asked for again.
            let _ = socket.send_to(&reply(&request), caller);
        }
    });
    Ok(())
}

fn reply(request: &[u8; 48]) -> [u8; 48] {
    let mut reply = [0; 48];
    // No leap second, version 4, mode 4 (server); stratum 1, and a precision of about a microsecond.
    reply[..4].copy_from_slice(&[0b00_100_100, 1, request[2], 0xec]);
    reply[12..16].copy_from_slice(b"LOCL");
    // What the caller sent as its own time is given back, so that it knows which request this answers.
    reply[24..32].copy_from_slice(&request[40..48]);
    for field in [16, 32, 40] {
        reply[field..field + 8].copy_from_slice(&now());
    }
    reply
}

/// Seconds since 1900, and their fraction as 32 bits.
fn now() -> [u8; 8] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    (((now.as_secs() + ERA) << 32) | fraction).to_be_bytes()
}
