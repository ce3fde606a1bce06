//! A process without descriptors. The only test of its program: the limit is the whole process's.

mod support;

use std::fs::File;
use std::net::TcpListener;
use std::time::Duration;

use holdfast_health::{Code, Verdict};
use holdfast_probe::{Exec, Probe};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::probe;

#[tokio::test]
async fn without_descriptors_nothing_is_held_against_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let command = vec!["/bin/true".to_owned()];
    let probes = [
        probe("{tcp: {}}", address),
        probe("{http: {}}", address),
        probe("{https: {}}", address),
        probe("{tls: {}}", address),
        probe("{icmp: {}}", address),
        probe("{udp: {}}", address),
        probe("{dns: {}}", address),
        probe("{dns: {transport: tcp}}", address),
        probe("{redis: {}}", address),
        probe("{grpc: {}}", address),
        Probe::Exec(Exec::new(command, "nobody", "web", "web1", address)),
    ];
    // Once with descriptors: what the runtime sets up only once is set up by then.
    for probe in &probes[..1] {
        assert_eq!(probe.run(Duration::from_secs(20)).await.verdict, Verdict::Pass);
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    for probe in &probes {
        let outcome = probe.run(Duration::from_secs(20)).await;
        assert_eq!(outcome.verdict, Verdict::Inconclusive, "{probe}: {}", outcome.reason);
        assert_eq!(outcome.reason.code, Code::SOCKERR, "{probe}: {}", outcome.reason);
    }
    drop(hoard);
    assert_eq!(probes[0].run(Duration::from_secs(20)).await.verdict, Verdict::Pass);
}
