//! The TCP check against real sockets on the loopback.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holdfast_health::{Code, Outcome, Verdict};
use support::probe;
use tokio::net::TcpSocket;

/// Long enough for any answer that comes at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// For runs that must time out.
const SHORT: Duration = Duration::from_secs(1);

async fn check(address: SocketAddr, timeout: Duration) -> Outcome {
    probe("{tcp: {}}", address).run(timeout).await
}

fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

#[tokio::test]
async fn a_listener_passes_and_sees_a_reset() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, address) = listener(host);
        let outcome = check(address, PATIENCE).await;
        assert_eq!(outcome.verdict, Verdict::Pass);
        assert_eq!(outcome.reason.code, Code::L4OK);
        assert_eq!(outcome.reason.sentence, format!("connect to {address}: connected"));
        // The reset is what spares us TIME_WAIT.
        let (mut accepted, _) = listener.accept().unwrap();
        let error = accepted.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let address: SocketAddr = host.parse().unwrap();
        // Bound and not listening: the port is nobody else's meanwhile.
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4().unwrap(),
            SocketAddr::V6(_) => TcpSocket::new_v6().unwrap(),
        };
        socket.bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let outcome = check(address, PATIENCE).await;
        assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L4CON));
        assert_eq!(
            outcome.reason.sentence,
            format!("connect to {address}: connection refused (ECONNREFUSED)")
        );
    }
}

/// Fills a listener's queue until a connection is not answered any more.
fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut held = Vec::new();
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            Ok(stream) => held.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                return held;
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_drops_the_connection_request_times_out() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let _held = fill(address);
    let outcome = check(address, SHORT).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L4TOUT));
    assert_eq!(outcome.reason.sentence, format!("connect to {address}: no answer within 1s"));
    assert!(outcome.took >= SHORT);
}

/// The reset may come before or after we look at the connection: it was made and was reset, and nothing else may be said.
#[tokio::test]
async fn a_server_that_resets_after_accepting_has_accepted_or_reset() {
    let (listener, address) = listener("127.0.0.1:0");
    let server = tokio::task::spawn_blocking(move || {
        let (accepted, _) = listener.accept()?;
        reset(accepted)
    });
    let outcome = check(address, PATIENCE).await;
    match outcome.verdict {
        Verdict::Pass => assert_eq!(outcome.reason.code, Code::L4OK),
        Verdict::Fail | Verdict::Inconclusive => assert_eq!(
            (outcome.verdict, outcome.reason.to_string()),
            (
                Verdict::Fail,
                format!("L4CON connect to {address}: connection reset by peer (ECONNRESET)")
            )
        ),
    }
    server.await.unwrap().unwrap();
}

/// Closes by a reset.
fn reset(stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    tokio::net::TcpStream::from_std(stream)?.set_zero_linger()
}

/// What `check` makes of a server that says `answer` and, when asked to, closes; and what it was told.
async fn talk(check: &str, answer: &'static [u8], stays: bool) -> (Outcome, Vec<u8>) {
    let (listener, address) = listener("[::1]:0");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the check connects");
        stream.write_all(answer).expect("the check reads");
        if !stays {
            stream.shutdown(Shutdown::Write).expect("a live connection");
        }
        let mut told = Vec::new();
        // Until the check closes.
        let _reset = stream.read_to_end(&mut told);
        told
    });
    let timeout = if check.contains("never") { SHORT } else { PATIENCE };
    let outcome = probe(check, address).run(timeout).await;
    (outcome, server.join().expect("the server ends"))
}

#[tokio::test]
async fn what_is_sent_and_expected_is_text_bytes_or_a_pattern() {
    for expect in ["+PONG", "{regex: '^\\+P.NG'}", "{hex: '2b 50'}"] {
        let check = format!(r#"{{tcp: {{send: "PING\r\n", expect: {expect}}}}}"#);
        let (outcome, told) = talk(&check, b"+PONG\r\n", true).await;
        assert_eq!(outcome.reason.code, Code::L7OK, "{}", outcome.reason);
        assert!(outcome.reason.sentence.ends_with(": it said \"+PONG\""), "{}", outcome.reason);
        assert_eq!(told, b"PING\r\n");
    }
    let (outcome, told) = talk("{tcp: {send: {hex: '00 ff'}}}", b"", true).await;
    assert_eq!(outcome.reason.code, Code::L7OK, "{}", outcome.reason);
    assert_eq!(told, [0, 255]);
}

#[tokio::test]
async fn another_answer_silence_and_a_close_are_told_apart() {
    let (outcome, _) = talk("{tcp: {expect: SSH-2.0}}", b"220 mail ESMTP\r\n", false).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7STS));
    assert!(
        outcome.reason.sentence.ends_with("it said \"220 mail ESMTP\", expected \"SSH-2.0\""),
        "{}",
        outcome.reason
    );
    let (outcome, _) = talk("{tcp: {expect: never}}", b"220 mail\r\n", true).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7TOUT));
    assert!(outcome.reason.sentence.ends_with("; it said \"220 mail\""), "{}", outcome.reason);
    let (outcome, _) = talk("{tcp: {expect: SSH-2.0}}", b"", false).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7RSP));
}

/// A server that says `chunk` again and again, until the check closes.
async fn endless(chunk: &'static [u8], timeout: Duration) -> Outcome {
    let (listener, address) = listener("127.0.0.1:0");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the check connects");
        while stream.write_all(chunk).is_ok() {}
    });
    let outcome = probe("{tcp: {expect: {regex: 'never(a|b)*$'}}}", address).run(timeout).await;
    server.join().expect("the server ends");
    outcome
}

#[tokio::test]
async fn what_never_ends_fails_at_the_limit() {
    for chunk in [&[b'x'; 65_536][..], b"a"] {
        let outcome = endless(chunk, PATIENCE).await;
        assert_eq!(
            (outcome.verdict, outcome.reason.code),
            (Verdict::Fail, Code::L7RSP),
            "{}",
            outcome.reason
        );
        assert!(outcome.reason.sentence.ends_with("more than 65536 bytes"), "{}", outcome.reason);
    }
}

#[tokio::test]
async fn another_address_and_port_are_asked() {
    let (_listener, address) = listener("127.0.0.1:0");
    let server = "192.0.2.7:1".parse().unwrap();
    let check = format!("{{tcp: {{address: 127.0.0.1, port: {}}}}}", address.port());
    let outcome = probe(&check, server).run(PATIENCE).await;
    assert_eq!(outcome.reason.sentence, format!("connect to {address}: connected"));
}

#[tokio::test]
async fn the_source_is_the_checks_and_one_that_is_not_ours_is_no_fault_of_the_server() {
    for (host, source, foreign) in
        [("127.0.0.1:0", "127.0.0.9", "192.0.2.99"), ("[::1]:0", "::1", "2001:db8::99")]
    {
        let (listener, address) = listener(host);
        let outcome =
            probe(&format!("{{tcp: {{source: '{source}'}}}}"), address).run(PATIENCE).await;
        assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
        let (_, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), source);
        let outcome =
            probe(&format!("{{tcp: {{source: '{foreign}'}}}}"), address).run(PATIENCE).await;
        assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Inconclusive, Code::SOCKERR));
        assert!(
            outcome.reason.sentence.contains(&format!("source {foreign}: ")),
            "{}",
            outcome.reason
        );
        assert!(
            outcome.reason.sentence.ends_with("this host has no such address now"),
            "{}",
            outcome.reason
        );
    }
}

#[tokio::test]
async fn a_device_that_is_not_there_is_no_fault_of_the_server() {
    let (_listener, address) = listener("127.0.0.1:0");
    let outcome = probe("{tcp: {device: lo, mark: 7}}", address).run(PATIENCE).await;
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
    let outcome = probe("{tcp: {device: hf-none}}", address).run(PATIENCE).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Inconclusive, Code::SOCKERR));
    assert!(
        outcome.reason.sentence.contains("device hf-none: no such device (ENODEV)"),
        "{}",
        outcome.reason
    );
}
