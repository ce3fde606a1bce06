//! Ten thousand runs leave neither a descriptor nor a process. The only test of its program: it counts what the process has.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::time::Duration;

use holdfast_health::Verdict;
use holdfast_probe::{Exec, Probe};
use support::probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// So many runs are made at least.
const RUNS: usize = 10_000;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

/// The processes whose parent is this one, zombies too.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").expect("/proc is mounted").filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
        .filter(|stat| {
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            fields.split(' ').nth(1) == Some(&own)
        })
        .collect()
}

/// Every kind once, and each way in which a run can end: by itself, cut short, and dropped at its first pause. `short` ends some
/// runs before, some while and some after their command starts.
async fn round(probes: &[Probe], hanging: &Probe, short: Duration) {
    for probe in probes {
        let outcome = probe.run(PATIENCE).await;
        assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
        drop(timeout(Duration::ZERO, probe.run(PATIENCE)).await);
        drop(probe.run(short).await);
    }
    drop(hanging.run(short).await);
    drop(timeout(short, hanging.run(PATIENCE)).await);
}

#[tokio::test]
async fn ten_thousand_runs_leave_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a listener of ours");
            let _conversation = tokio::spawn(async move {
                if stream.read_u8().await.is_ok() {
                    let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                }
                let _closed = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    let exec = |command: &[&str]| {
        let command = command.iter().map(ToString::to_string).collect();
        Probe::Exec(Exec::new(command, "nobody", "web", "web1", address))
    };
    let probes = [
        probe("{tcp: {}}", address),
        probe("{tcp: {send: x, expect: 200 OK}}", address),
        probe("{http: {}}", address),
        probe("{http: {path: [/a, /b]}}", address),
        probe("{icmp: {}}", address),
        exec(&["/bin/true"]),
    ];
    // These fail: what they ask for is not spoken there.
    let failing =
        ["tls", "https", "redis", "memcached", "mysql", "postgres", "smtp", "grpc", "dns", "udp"];
    let failing = failing.map(|kind| probe(&format!("{{{kind}: {{}}}}"), address));
    let hanging = exec(&["/bin/sleep", "1000"]);
    // What the runtime sets up once is set up by then.
    round(&probes, &hanging, Duration::from_millis(20)).await;
    for probe in &failing {
        drop(probe.run(Duration::from_millis(200)).await);
    }
    settle(usize::MAX).await;
    let before = descriptors();
    // Each probe of a round is run three times, the hanging one twice.
    let runs = 3 * probes.len() + 2 + failing.len();
    for short in (1..=5).cycle().take(RUNS.div_ceil(runs)) {
        round(&probes, &hanging, Duration::from_millis(short)).await;
        for probe in &failing {
            drop(probe.run(Duration::from_millis(short)).await);
        }
    }
    settle(before).await;
    server.abort();
}

/// Waits until no child is left and no more than `most` descriptors are open. A run that was dropped is tidied up behind its
/// back, and nothing tells when: it is asked for, and a leak fails here.
async fn settle(most: usize) {
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut quiet = 0;
    for _ in 0..1000 {
        pace.tick().await;
        quiet = if children().is_empty() && descriptors() <= most { quiet + 1 } else { 0 };
        // A command whose run is gone may yet start, to be killed at once.
        if quiet == 5 {
            return;
        }
    }
    panic!("{} descriptors, at most {most} expected; children: {:?}", descriptors(), children());
}
