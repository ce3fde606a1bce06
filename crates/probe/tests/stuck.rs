//! Files of a check that never come: a FIFO that nobody writes to stands for a dead file server. What waits for them is bounded, no server is
//! blamed, and other checks go on.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Missing;
use holdfast_health::{Code, Verdict};
use holdfast_probe::{File, Probe};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use support::probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// The threads of this process.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("/proc is mounted").count()
}

/// A FIFO that nobody writes to.
fn fifo(path: &Path) {
    mkfifo(path, Mode::from_bits_truncate(0o600)).expect("a FIFO");
}

/// Writes to a FIFO as soon as somebody reads it.
async fn write(path: &Path, text: &str) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let flags = OFlag::O_NONBLOCK.bits();
    let file = async {
        loop {
            pace.tick().await;
            if let Ok(file) = OpenOptions::new().write(true).custom_flags(flags).open(path) {
                return file;
            }
        }
    };
    let mut file = tokio::time::timeout(PATIENCE, file).await.expect("somebody reads");
    file.write_all(text.as_bytes()).expect("room in the pipe");
}

/// A server that makes handshakes, and its certificate.
async fn tls_server() -> (SocketAddr, String) {
    let mut parameters = CertificateParams::new(vec![]).expect("no names");
    parameters.subject_alt_names =
        vec![SanType::IpAddress("127.0.0.1".parse().expect("an address"))];
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that ring has")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a certificate and its key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let _server = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let _made = acceptor.accept(stream).await;
        }
    });
    (address, certificate.pem())
}

#[tokio::test]
async fn a_file_that_never_comes_costs_few_threads_and_no_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    self::fifo(&fifo);
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
    // More often than there are places.
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
    // The other tests have some, too.
    let more = threads().saturating_sub(before);
    assert!(more <= 8, "{more} threads more after 80 runs of two files");
    let path = folder.path().join("web1");
    fs::write(&path, "up\n").expect("a file of ours");
    let outcome = Probe::File(File { path, missing: Missing::Down }).run(PATIENCE).await;
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.reason);
    // What reads other files, or none, goes on, though it does so for the first time.
    let (secure, pem) = tls_server().await;
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, pem).expect("a file of ours");
    for check in ["{tls: {verify: false}}".to_owned(), format!("{{tls: {{ca: {}}}}}", ca.display())]
    {
        let outcome = probe(&check, secure).run(PATIENCE).await;
        assert_eq!(outcome.reason.code, Code::L6OK, "{check}: {}", outcome.reason);
    }
    // A server that is down is found so, whatever has become of the files.
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let gone = nobody.local_addr().expect("a bound socket has an address");
    drop(nobody);
    for check in &checks {
        let outcome = probe(check, gone).run(SHORT).await;
        assert_eq!(outcome.reason.code, Code::L4CON, "{check}: {}", outcome.reason);
    }
    // Lets all go that wait for a writer: the runtime waits for them.
    write(&fifo, "").await;
    server.abort();
}

#[tokio::test]
async fn a_file_that_comes_late_counts_for_the_next_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    fifo(&ca);
    let (address, pem) = tls_server().await;
    let probe = probe(&format!("{{tls: {{ca: {}}}}}", ca.display()), address);
    let outcome = probe.run(SHORT).await;
    assert_eq!(outcome.reason.code, Code::SOCKERR, "{}", outcome.reason);
    write(&ca, &pem).await;
    // The run that asked for it is over: the next has it.
    let outcome = probe.run(PATIENCE).await;
    assert_eq!(outcome.reason.code, Code::L6OK, "{}", outcome.reason);
}

#[tokio::test]
async fn the_time_that_a_password_takes_is_none_of_the_servers() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    const LATE: Duration = Duration::from_millis(1800);
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    fifo(&secret);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let _server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the check connects");
        let mut heard = [0; 1024];
        let _login = stream.read(&mut heard).await;
        tokio::time::sleep(LATE).await;
        let _answer = stream.write_all(b"+OK\r\n+PONG\r\n").await;
        let _closed = stream.read_to_end(&mut Vec::new()).await;
    });
    let probe = probe(&format!("{{redis: {{password_file: {}}}}}", secret.display()), address);
    let written = async {
        tokio::time::sleep(LATE).await;
        write(&secret, "secret\n").await;
    };
    let (outcome, ()) = tokio::join!(probe.run(TIMEOUT), written);
    assert_eq!(outcome.reason.code, Code::L7OK, "{}", outcome.reason);
}
