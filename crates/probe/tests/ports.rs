//! The TCP check where local ports are few: a network namespace of a thread's own, with one port to connect from.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "support/namespace.rs"]
mod namespace;
mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holdfast_health::{Code, Outcome, Verdict};
use support::probe;

const PATIENCE: Duration = Duration::from_secs(20);
const ONLY_PORT: u16 = 40_000;

/// Runs `test` in a network namespace with one port to connect from.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    namespace::alone(|| {
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("{ONLY_PORT} {ONLY_PORT}"))
            .expect("the namespace's port range is ours");
        test();
    });
}

fn check(address: SocketAddr) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(probe("{tcp: {}}", address).run(PATIENCE))
}

/// Where nobody listens, the kernel may choose the very port that it connects to, and TCP lets a connection meet itself.
#[test]
fn a_connection_that_met_itself_is_refused() {
    in_namespace(|| {
        let address = SocketAddr::from(([127, 0, 0, 1], ONLY_PORT));
        let outcome = check(address);
        assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L4CON));
        // The test is worth something only where this is what the kernel does.
        let itself = TcpStream::connect(address).expect("the kernel connects it with itself");
        assert_eq!(itself.local_addr().unwrap(), address);
    });
}

#[test]
fn a_host_without_a_free_port_holds_it_against_nobody() {
    in_namespace(|| {
        let listener = TcpListener::bind(("127.0.0.1", 80)).expect("port 80 of the namespace");
        let address = listener.local_addr().unwrap();
        let _the_only_port = TcpStream::connect(address).expect("one connection");
        let outcome = check(address);
        assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Inconclusive, Code::SOCKERR));
        assert!(outcome.reason.sentence.ends_with("(EADDRNOTAVAIL)"), "{}", outcome.reason);
    });
}

/// A check leaves no port in TIME_WAIT: with one port, a hundred in a row can be made.
#[test]
fn a_hundred_checks_need_one_port() {
    in_namespace(|| {
        let listener = TcpListener::bind(("127.0.0.1", 80)).expect("port 80 of the namespace");
        let address = listener.local_addr().unwrap();
        for _ in 0..100 {
            let outcome = check(address);
            assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
            drop(listener.accept().unwrap());
        }
    });
}
