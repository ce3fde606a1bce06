//! Files of a check that never come: a FIFO that nobody writes to stands for a dead file server. What waits for them is bounded, no server is
//! blamed, and other checks go on.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use holdfast_config::Missing;
use holdfast_health::{Code, Verdict};
use holdfast_probe::{File, Probe};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use support::probe;
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// The threads of this process.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("/proc is mounted").count()
}

#[tokio::test]
async fn a_file_that_never_comes_costs_few_threads_and_no_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let server = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let at = fifo.display();
    let checks = [
        format!("{{redis: {{password_file: {at}}}}}"),
        format!("{{mysql: {{user: monitor, password_file: {at}}}}}"),
        format!("{{postgres: {{user: monitor, password_file: {at}}}}}"),
        format!("{{tls: {{ca: {at}}}}}"),
    ];
    let before = threads();
    for _ in 0..20 {
        for check in &checks {
            let outcome = probe(check, address).run(SHORT).await;
            assert_eq!(
                (outcome.verdict, outcome.reason.code),
                (Verdict::Inconclusive, Code::SOCKERR),
                "{check}: {}",
                outcome.reason
            );
        }
    }
    let more = threads() - before;
    assert!(more <= 32 + 16 + 1, "{more} threads more after 80 runs");
    let path = folder.path().join("web1");
    fs::write(&path, "up\n").expect("a file of ours");
    let outcome = Probe::File(File { path, missing: Missing::Down }).run(PATIENCE).await;
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
    // Lets all go that wait for a writer: the runtime waits for them.
    let flags = OFlag::O_NONBLOCK.bits();
    drop(OpenOptions::new().write(true).custom_flags(flags).open(&fifo).expect("readers wait"));
    server.abort();
}
