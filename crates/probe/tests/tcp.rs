//! The TCP check against real sockets on the loopback.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::io::{self, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holdfast_health::{Code, Outcome, Verdict};
use holdfast_probe::Probe;
use tokio::net::TcpSocket;

/// Long enough for any answer that comes at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// For runs that must time out.
const SHORT: Duration = Duration::from_millis(100);

async fn check(address: SocketAddr, timeout: Duration) -> Outcome {
    Probe::Tcp(address).run(timeout).await
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
    assert_eq!(outcome.reason.sentence, format!("connect to {address}: no answer within 100ms"));
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
