//! The bounds, against servers on loopback that keep none.

use std::time::Duration;

use hyper::{Request, StatusCode};
use object_store::client::HttpRequestBody;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::ask::{Answer, MOST};
use super::*;

pub(super) fn answer(status: u16, body: &str) -> Answer {
    Answer { status: StatusCode::from_u16(status).expect("a status"), bytes: body.as_bytes().to_vec() }
}

pub(super) fn passing<T: fmt::Debug>(result: Result<T, Trouble>) -> String {
    match result {
        Err(Trouble::Passing(what)) => what,
        other => panic!("{other:?}"),
    }
}

fn machine(name: &str, addresses: &[&str]) -> Machine {
    Machine { name: name.into(), addresses: addresses.iter().map(ToString::to_string).collect() }
}

/// Asks a server that answers with this, and then leaves the connection open.
async fn ask(reply: Vec<u8>, within: Duration) -> Result<Answer, Trouble> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(&reply).await;
        std::future::pending::<()>().await;
    });
    let asker = Asker::new(true, Instant::now() + within).expect("a client");
    let request = Request::get(format!("http://{address}/")).body(HttpRequestBody::empty()).expect("a request");
    let answer = asker.ask(request).await;
    server.abort();
    answer
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_is_read_as_far_as_it_can_be_one() {
    let told = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    let whole = |length: usize| [told(length), vec![b' '; length]].concat();
    assert_eq!(ask(whole(MOST), LONG).await.expect("read").bytes.len(), MOST);
    assert!(passing(ask(whole(MOST + 1), LONG).await).contains("more than 4194304 bytes"));
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let endless = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), chunk.repeat(70)].concat();
    assert!(passing(ask(endless, LONG).await).contains("more than 4194304 bytes"));
}

#[tokio::test]
async fn an_answer_is_not_waited_for_without_an_end() {
    let short = Duration::from_millis(300);
    for reply in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"] {
        assert!(passing(ask(reply.into(), short).await).contains("did not answer in time"), "{reply}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_nonsense_is_told() {
    let away = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec();
    assert_eq!(ask(away, LONG).await.expect("an answer").status, StatusCode::FOUND);
    assert!(passing(ask(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), LONG).await).contains("cannot be asked"));
}

#[tokio::test]
async fn without_leave_nothing_is_asked_without_tls() {
    let asker = Asker::new(false, Instant::now() + LONG).expect("a client");
    let request = Request::get("http://127.0.0.1:1/").body(HttpRequestBody::empty()).expect("a request");
    let told = passing(asker.ask(request).await);
    assert!(!told.contains("refused") && told.contains("127.0.0.1:1 cannot be asked"), "{told}");
}

#[tokio::test]
async fn pages_are_followed_to_an_end() {
    let mut asked = Vec::new();
    let three = pages(async |next: Option<usize>| {
        asked.push(next);
        let number = next.unwrap_or(0);
        Ok(Page { machines: vec![machine("a", &[])], next: (number < 2).then_some(number + 1) })
    });
    assert_eq!(three.await.expect("all").len(), 3);
    assert_eq!(asked, [None, Some(1), Some(2)]);

    let endless = pages(async |_: Option<()>| Ok(Page { machines: vec![], next: Some(()) })).await;
    assert!(passing(endless).contains("more than 20 pages"));
    let all = || (0..=MOST_MACHINES).map(|_| machine("a", &[])).collect();
    let crowd = pages(async |_: Option<()>| Ok(Page { machines: all(), next: None })).await;
    assert!(passing(crowd).contains("choose one that managers alone carry"));
}

#[test]
fn a_machine_is_dialled_at_its_first_address_that_is_one() {
    let nothing = ["", "0.0.0.0", "example.com", "10.0.0.1:22", "127.0.0.1", "224.0.0.1"];
    assert_eq!(usable(&machine("a", &nothing)), None);
    let found = usable(&machine("a", &[&nothing[..], &["fd00::1", "10.0.0.1"]].concat()));
    assert_eq!(found, Some("fd00::1".parse().expect("one")));
}
