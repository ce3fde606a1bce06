//! TLS against servers with certificates of every kind, and against what is no TLS.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use holdfast_health::{Code, Outcome, Verdict};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use support::probe;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority of the test's own, with its certificate in a file.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(vec![]).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file of ours");
        let der = certificate.der().clone();
        Self { folder, issuer: Issuer::new(parameters, key), der }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for `names`, from yesterday on; `end` says when it ends, from now on.
    fn certify(&self, names: &[&str], end: Ends) -> (CertificateDer<'static>, KeyPair, String) {
        let mut parameters = CertificateParams::new(vec![]).expect("no names");
        parameters.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().expect("a name")),
            })
            .collect();
        let now = SystemTime::now();
        parameters.not_before = (now - 30 * DAY).into();
        parameters.not_after = match end {
            Ends::In(time) => (now + time).into(),
            Ends::Ago(time) => (now - time).into(),
        };
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.der().clone(), key, certificate.pem())
    }
}

#[derive(Clone, Copy)]
enum Ends {
    In(Duration),
    Ago(Duration),
}

const FAR: Ends = Ends::In(Duration::from_secs(100 * 24 * 3600));

/// A server with a certificate for `names`, which answers one connection as HTTP.
async fn serve(
    authority: &Authority,
    host: &str,
    names: &[&str],
    end: Ends,
    clients: bool,
) -> SocketAddr {
    let (der, key, _) = authority.certify(names, end);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions();
    let builder = builder.expect("versions that ring has");
    let builder = if clients {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone()).expect("an authority");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = builder.with_single_cert(vec![der], key).expect("a certificate and its key");
    let listener = TcpListener::bind(host).await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let _server = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.expect("a listener of ours");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let _sent =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").await;
                let _closed = stream.read(&mut request).await;
            }
        }
    });
    address
}

async fn check(check: &str, address: SocketAddr) -> Outcome {
    probe(check, address).run(PATIENCE).await
}

fn found(outcome: &Outcome) -> (Verdict, Code) {
    (outcome.verdict, outcome.reason.code)
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_trusted_passes_by_address_and_by_name() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem").display().to_string();
    for (host, ip) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let address = serve(&authority, host, &[ip, "www.example.org"], FAR, false).await;
        let outcome = check(&format!("{{tls: {{ca: {ca}}}}}"), address).await;
        assert_eq!(found(&outcome), (Verdict::Pass, Code::L6OK), "{}", outcome.reason);
        assert_eq!(outcome.reason.sentence, format!("handshake with {address}: TLS 1.3"));
        let outcome =
            check(&format!("{{tls: {{ca: {ca}, name: www.example.org}}}}"), address).await;
        assert_eq!(found(&outcome), (Verdict::Pass, Code::L6OK), "{}", outcome.reason);
        let outcome = check(
            &format!("{{https: {{host: 'www.example.org:443', body: OK, tls: {{ca: {ca}}}}}}}"),
            address,
        )
        .await;
        assert_eq!(found(&outcome), (Verdict::Pass, Code::L7OK), "{}", outcome.reason);
        assert_eq!(
            outcome.reason.sentence,
            format!("GET https://{address}/: 200 OK, with the expected body")
        );
    }
}

#[tokio::test]
async fn another_name_an_unknown_authority_and_an_old_certificate_fail_and_verify_false_takes_them()
{
    let authority = Authority::new();
    let ca = authority.file("ca.pem").display().to_string();
    let address = serve(&authority, "127.0.0.1:0", &["www.example.org"], FAR, false).await;
    for (options, says) in [
        (format!("{{ca: {ca}}}"), "not valid for name"),
        (
            format!("{{ca: {ca}, name: mail.example.org}}"),
            "not valid for name \"mail.example.org\"",
        ),
        ("{name: www.example.org}".to_owned(), "UnknownIssuer"),
    ] {
        let outcome = check(&format!("{{tls: {options}}}"), address).await;
        assert_eq!(found(&outcome), (Verdict::Fail, Code::L6RSP), "{}", outcome.reason);
        assert!(outcome.reason.sentence.contains(says), "{}", outcome.reason);
    }
    let outcome = check("{tls: {verify: false}}", address).await;
    assert_eq!(found(&outcome), (Verdict::Pass, Code::L6OK), "{}", outcome.reason);
    let address = serve(&authority, "127.0.0.1:0", &["127.0.0.1"], Ends::Ago(2 * DAY), false).await;
    let outcome = check(&format!("{{https: {{tls: {{ca: {ca}}}}}}}"), address).await;
    assert_eq!(found(&outcome), (Verdict::Fail, Code::L6RSP), "{}", outcome.reason);
    assert!(outcome.reason.sentence.contains("certificate expired"), "{}", outcome.reason);
    let outcome = check("{https: {tls: {verify: false}}}", address).await;
    assert_eq!(found(&outcome), (Verdict::Pass, Code::L7OK), "{}", outcome.reason);
    assert!(
        outcome.reason.sentence.contains("; its certificate ended on 20"),
        "{}",
        outcome.reason
    );
}

#[tokio::test]
async fn a_certificate_that_ends_soon_passes_and_says_so() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem").display().to_string();
    let end = Ends::In(9 * DAY + Duration::from_secs(3600));
    let address = serve(&authority, "127.0.0.1:0", &["127.0.0.1"], end, false).await;
    let outcome = check(&format!("{{https: {{tls: {{ca: {ca}}}}}}}"), address).await;
    assert_eq!(found(&outcome), (Verdict::Pass, Code::L7OK), "{}", outcome.reason);
    assert!(
        outcome.reason.sentence.contains("200 OK; its certificate ends in 9 days, on 20"),
        "{}",
        outcome.reason
    );
    let outcome = check(&format!("{{tls: {{ca: {ca}, warn_days: 9}}}}"), address).await;
    assert_eq!(outcome.reason.sentence, format!("handshake with {address}: TLS 1.3"));
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem").display().to_string();
    let (_, key, pem) = authority.certify(&["director"], FAR);
    fs::write(authority.file("own.pem"), pem).unwrap();
    fs::write(authority.file("own.key"), key.serialize_pem()).unwrap();
    let address = serve(&authority, "127.0.0.1:0", &["127.0.0.1"], FAR, true).await;
    let own = format!(
        "certificate: {}, key: {}",
        authority.file("own.pem").display(),
        authority.file("own.key").display()
    );
    let outcome = check(&format!("{{https: {{tls: {{ca: {ca}, {own}}}}}}}"), address).await;
    assert_eq!(found(&outcome), (Verdict::Pass, Code::L7OK), "{}", outcome.reason);
    let outcome = check(&format!("{{https: {{tls: {{ca: {ca}}}}}}}"), address).await;
    assert_eq!(outcome.verdict, Verdict::Fail, "{}", outcome.reason);
    assert!(outcome.reason.sentence.contains("CertificateRequired"), "{}", outcome.reason);
}

#[tokio::test]
async fn files_that_lack_something_are_no_fault_of_the_server() {
    let authority = Authority::new();
    fs::write(authority.file("empty.pem"), "nothing\n").unwrap();
    let address = serve(&authority, "127.0.0.1:0", &["127.0.0.1"], FAR, false).await;
    for (options, says) in [
        (
            "{ca: /nowhere/ca.pem}".to_owned(),
            "read /nowhere/ca.pem: no such file or directory (ENOENT)",
        ),
        (format!("{{ca: {}}}", authority.file("empty.pem").display()), "has no certificate in PEM"),
        (
            format!("{{certificate: {0}, key: {0}}}", authority.file("ca.pem").display()),
            "has no private key",
        ),
        ("{ca: /dev/zero}".to_owned(), "more than 4194304 bytes"),
    ] {
        let outcome = check(&format!("{{tls: {options}}}"), address).await;
        assert_eq!(found(&outcome), (Verdict::Inconclusive, Code::SOCKERR), "{}", outcome.reason);
        assert!(outcome.reason.sentence.contains(says), "{}", outcome.reason);
    }
}

/// A server without TLS that does `serve` with a connection.
async fn raw<F>(serve: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let _server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the check connects");
        serve(stream).await;
    });
    address
}

#[tokio::test]
async fn what_is_no_tls_is_told_apart_from_a_handshake_that_never_ends() {
    let address = raw(|mut stream| async move {
        let _sent = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let _closed = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let outcome = check("{tls: {}}", address).await;
    assert_eq!(found(&outcome), (Verdict::Fail, Code::L6RSP), "{}", outcome.reason);
    let says = ": connected, but what it says is no TLS: InvalidContentType";
    assert!(outcome.reason.sentence.ends_with(says), "{}", outcome.reason);

    let address = raw(|stream| async move { drop(stream) }).await;
    let outcome = check("{https: {}}", address).await;
    assert_eq!(found(&outcome), (Verdict::Fail, Code::L6RSP), "{}", outcome.reason);

    // Half of a record, and then a byte now and then.
    let address = raw(|mut stream| async move {
        let mut sent = stream.write_all(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc").await;
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while sent.is_ok() {
            pace.tick().await;
            sent = stream.write_all(b"\x00").await;
        }
    })
    .await;
    let outcome = probe("{tls: {}}", address).run(SHORT).await;
    assert_eq!(found(&outcome), (Verdict::Fail, Code::L6TOUT), "{}", outcome.reason);
    assert!(
        outcome.reason.sentence.ends_with("connected, but not done within 2s"),
        "{}",
        outcome.reason
    );

    // Records of the handshake without end: rustls reads no message that is longer than 64 KiB.
    let address = raw(|mut stream| async move {
        let mut record = b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff".to_vec();
        record.resize(5 + 0x4000, 0);
        while stream.write_all(&record).await.is_ok() {}
    })
    .await;
    let outcome = check("{tls: {}}", address).await;
    assert_eq!(found(&outcome), (Verdict::Fail, Code::L6RSP), "{}", outcome.reason);
}

#[tokio::test]
async fn a_file_that_was_replaced_is_read_again() {
    let (old, new) = (Authority::new(), Authority::new());
    let ca = old.file("ca.pem");
    let address = serve(&new, "127.0.0.1:0", &["127.0.0.1"], FAR, false).await;
    let options = format!("{{tls: {{ca: {}}}}}", ca.display());
    assert_eq!(check(&options, address).await.reason.code, Code::L6RSP);
    fs::copy(new.file("ca.pem"), &ca).unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(250));
    for _ in 0..120 {
        pace.tick().await;
        if check(&options, address).await.reason.code == Code::L6OK {
            return;
        }
    }
    panic!("the new authority is never seen");
}
