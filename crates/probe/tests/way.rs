//! The way of a check, in a network namespace of the test's own: the mark and the device are seen by the kernel's routing.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "support/namespace.rs"]
mod namespace;
mod support;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use holdfast_health::{Code, Outcome, Verdict};
use support::probe;

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

fn run(check: &str, server: SocketAddr, timeout: Duration) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(probe(check, server).run(timeout))
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(done.expect("ip (iproute2) starts").success(), "ip {arguments}");
}

/// A rule of the policy sends packets with the mark nowhere, and only those.
#[test]
fn packets_of_a_check_have_its_mark() {
    namespace::alone(|| {
        for (host, family) in [("127.0.0.1:0", "-4"), ("[::1]:0", "-6")] {
            let listener = TcpListener::bind(host).expect("bind on the loopback");
            let address = listener.local_addr().expect("a bound socket has an address");
            let echo = UdpSocket::bind(address).expect("bind on the loopback");
            let answering = std::thread::spawn(move || {
                let mut buffer = [0; 16];
                let (length, from) = echo.recv_from(&mut buffer).expect("one datagram");
                echo.send_to(buffer.get(..length).unwrap_or_default(), from).expect("an answer");
            });
            // Before the table `local`, which would answer first.
            ip(&format!("{family} rule add pref 1 fwmark 7 unreachable"));
            if family == "-4" {
                ip("-4 rule add pref 2 lookup local");
                ip("-4 rule del pref 0");
            } else {
                ip("-6 rule add pref 2 lookup local");
                ip("-6 rule del pref 0");
            }
            for kind in ["tcp", "icmp"] {
                let outcome = run(&format!("{{{kind}: {{mark: 8}}}}"), address, PATIENCE);
                assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
                let outcome = run(&format!("{{{kind}: {{mark: 7}}}}"), address, PATIENCE);
                assert_eq!(
                    (outcome.verdict, outcome.reason.code),
                    (Verdict::Fail, Code::L4CON),
                    "{}",
                    outcome.reason
                );
            }
            let outcome = run("{udp: {send: x, expect: x, mark: 8}}", address, PATIENCE);
            assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
            answering.join().expect("the server ends");
            let outcome = run("{udp: {send: x, expect: x, mark: 7}}", address, PATIENCE);
            assert_eq!(
                (outcome.verdict, outcome.reason.code),
                (Verdict::Fail, Code::L4CON),
                "{}",
                outcome.reason
            );
        }
    });
}

/// By another device there is no way to the loopback.
#[test]
fn a_check_leaves_by_its_device() {
    namespace::alone(|| {
        ip("link add hf-other type veth peer name hf-peer");
        ip("link set hf-other up");
        ip("link set hf-peer up");
        ip("addr add 192.0.2.1/24 dev hf-other");
        ip("addr add 2001:db8::1/64 dev hf-other nodad");
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("bind on the loopback");
            let address = listener.local_addr().expect("a bound socket has an address");
            for kind in ["tcp", "icmp", "http"] {
                let check = format!("{{{kind}: {{device: hf-other}}}}");
                let outcome = run(&check, address, SHORT);
                assert_eq!(outcome.verdict, Verdict::Fail, "{check} {address}: {}", outcome.reason);
            }
            let outcome = run("{tcp: {device: lo}}", address, PATIENCE);
            assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
        }
    });
}
