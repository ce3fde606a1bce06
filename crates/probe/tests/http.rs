//! The HTTP check against servers that answer by hand: well, badly, slowly, without end, or not at all.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_health::{Code, Outcome, Verdict};
use holdfast_probe::Probe;
use support::probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Long enough for any answer that comes at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// For runs that must time out.
const SHORT: Duration = Duration::from_secs(2);

/// A server for one connection: `serve` gets it.
async fn server<F>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the check connects");
        serve(stream).await
    });
    (address, task)
}

/// Reads a request up to its empty line.
async fn request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.expect("the check sends a whole request"));
    }
    String::from_utf8(read).expect("a request is text")
}

fn http(address: SocketAddr) -> Probe {
    probe("{http: {path: /health?deep=1}}", address)
}

async fn check(probe: Probe, timeout: Duration) -> Outcome {
    probe.run(timeout).await
}

/// What the check makes of a server that reads the request, sends `answer` and stays.
async fn answered(answer: &'static [u8]) -> Outcome {
    let (address, server) = server(move |mut stream| async move {
        request(&mut stream).await;
        stream.write_all(answer).await.expect("the check reads");
        // Until the check closes.
        let _closed = stream.read_u8().await;
    })
    .await;
    let outcome = check(http(address), PATIENCE).await;
    server.await.expect("the server ends");
    outcome
}

#[tokio::test]
async fn the_request_is_what_it_should_be_and_the_sentence_names_it() {
    let (address, server) = server(|mut stream| async move {
        let request = request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("the check reads");
        stream.read_u8().await.expect_err("the check says no more and closes");
        request
    })
    .await;
    let outcome = check(http(address), PATIENCE).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Pass, Code::L7OK));
    assert_eq!(
        outcome.reason.sentence,
        format!("GET http://{address}/health?deep=1: 204 No Content")
    );
    let request = server.await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        request,
        format!(
            "GET /health?deep=1 HTTP/1.1\r\nhost: {address}\r\nuser-agent: holdfast/{version} (health check)\r\n\
             accept: */*\r\nconnection: close\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn the_host_header_is_the_configured_one() {
    let (address, server) = server(|mut stream| async move { request(&mut stream).await }).await;
    let http = probe("{http: {host: shop.example}}", address);
    check(http, PATIENCE).await;
    assert!(server.await.unwrap().contains("\r\nhost: shop.example\r\n"));
}

#[tokio::test]
async fn an_ipv6_host_header_has_brackets_and_no_zone() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let SocketAddr::V6(mut address) = listener.local_addr().unwrap() else {
        panic!("asked for ::1")
    };
    let port = address.port();
    address.set_scope_id(1);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await
    });
    check(http(address.into()), PATIENCE).await;
    assert!(server.await.unwrap().contains(&format!("\r\nhost: [::1]:{port}\r\n")));
}

#[tokio::test]
async fn a_status_that_is_not_expected_fails_and_names_what_was() {
    let (address, _server) = server(|mut stream| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 503 Nope\r\nContent-Length: 0\r\n\r\n").await
    })
    .await;
    let http = probe("{http: {expect: [200-204, 301]}}", address);
    let outcome = check(http, PATIENCE).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7STS));
    assert_eq!(
        outcome.reason.sentence,
        format!("GET http://{address}/: 503 Service Unavailable, expected 200-204, 301")
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let outcome = answered(b"HTTP/1.1 302 Found\r\nLocation: /health?deep=1\r\n\r\n").await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7STS));
    let says = ": 302 Found to \"/health?deep=1\", expected 200-299";
    assert!(outcome.reason.sentence.ends_with(says), "{}", outcome.reason);
}

#[tokio::test]
async fn an_older_answer_and_an_early_hint_are_understood() {
    let outcome = answered(b"HTTP/1.0 200 OK\r\n\r\nhello").await;
    assert_eq!(outcome.reason.code, Code::L7OK);
    let outcome =
        answered(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(outcome.reason.code, Code::L7OK);
}

#[tokio::test]
async fn what_is_not_http_is_told_apart_from_silence() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n",
        b"HTTP/1.1 abc What\r\n\r\n",
        b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\r\n\r\n",
    ] {
        let outcome = answered(garbage).await;
        assert_eq!(
            (outcome.verdict, outcome.reason.code),
            (Verdict::Fail, Code::L7RSP),
            "{}",
            outcome.reason
        );
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_that_speaks_first_is_no_http_server() {
    let (address, _server) = server(|mut stream| async move {
        let _sent = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let _closed = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let outcome = check(http(address), PATIENCE).await;
    assert_eq!(
        (outcome.verdict, outcome.reason.code),
        (Verdict::Fail, Code::L7RSP),
        "{}",
        outcome.reason
    );
}

#[tokio::test]
async fn a_refused_connection_is_a_matter_of_layer_4() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let outcome = check(http(socket.local_addr().unwrap()), PATIENCE).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L4CON));
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_times_out_at_layer_7() {
    let (address, server) = server(|mut stream| async move {
        request(&mut stream).await;
        stream.read_u8().await.expect_err("the check closes").kind()
    })
    .await;
    let outcome = check(http(address), SHORT).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7TOUT));
    assert_eq!(
        outcome.reason.sentence,
        format!("GET http://{address}/health?deep=1: connected, but no answer within 2s")
    );
    assert_eq!(server.await.unwrap(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_server_that_closes_or_resets_without_an_answer_is_named() {
    let (address, _server) = server(|mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    let outcome = check(http(address), PATIENCE).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7RSP));
    assert!(
        outcome.reason.sentence.ends_with("closed before a whole answer came"),
        "{}",
        outcome.reason
    );

    let (address, _server) = server(|mut stream| async move {
        request(&mut stream).await;
        stream.set_zero_linger().expect("a live socket");
    })
    .await;
    let outcome = check(http(address), PATIENCE).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7RSP));
    assert!(outcome.reason.sentence.contains("(ECONNRESET)"), "{}", outcome.reason);
}

/// Each byte comes well within the timeout; the deadline is for all of them.
#[tokio::test]
async fn a_byte_at_a_time_does_not_stretch_the_deadline() {
    let (address, server) = server(|mut stream| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await.expect("the check reads");
        let mut pace = tokio::time::interval(SHORT / 10);
        while stream.write_all(b"z").await.is_ok() {
            pace.tick().await;
        }
    })
    .await;
    let outcome = check(http(address), SHORT).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7TOUT));
    server.await.unwrap();
}

/// How a server that sends `head` and then `chunk` without end is judged. It ends when the check has closed.
async fn endless(head: &'static [u8], chunk: &'static [u8], timeout: Duration) -> Outcome {
    let (address, server) = server(move |mut stream| async move {
        request(&mut stream).await;
        let mut sending = stream.write_all(head).await;
        while sending.is_ok() {
            sending = stream.write_all(chunk).await;
        }
    })
    .await;
    let outcome = check(http(address), timeout).await;
    server.await.expect("the check closes");
    outcome
}

#[tokio::test]
async fn headers_without_end_fail_at_the_limit() {
    let outcome = endless(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n", PATIENCE).await;
    assert_eq!(
        (outcome.verdict, outcome.reason.code),
        (Verdict::Fail, Code::L7RSP),
        "{}",
        outcome.reason
    );
    let outcome = endless(b"HTTP/1.1 200 OK\r\nX-Long: ", &[b'x'; 1000], PATIENCE).await;
    assert_eq!(
        (outcome.verdict, outcome.reason.code),
        (Verdict::Fail, Code::L7RSP),
        "{}",
        outcome.reason
    );
    assert!(outcome.reason.sentence.ends_with("more than 16384 bytes"), "{}", outcome.reason);
}

#[tokio::test]
async fn a_body_without_end_is_not_read() {
    let outcome = endless(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 65_536], PATIENCE).await;
    assert_eq!(outcome.reason.code, Code::L7OK);
}

#[tokio::test]
async fn early_hints_without_end_fail_at_the_limit() {
    let outcome = endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", PATIENCE).await;
    assert_eq!(
        (outcome.verdict, outcome.reason.code),
        (Verdict::Fail, Code::L7RSP),
        "{}",
        outcome.reason
    );
}

#[tokio::test]
async fn a_run_that_is_dropped_closes_its_connection() {
    let (address, mut server) = server(|mut stream| async move {
        request(&mut stream).await;
        stream.read_u8().await.expect_err("the check closes").kind()
    })
    .await;
    let probe = http(address);
    {
        let run = probe.run(PATIENCE);
        tokio::pin!(run);
        // The server waits for the close and the run for the server, so neither ends by itself.
        let both = tokio::time::timeout(SHORT, async {
            tokio::select! { _ = &mut run => (), _ = &mut server => () }
        });
        assert!(both.await.is_err());
    }
    assert_eq!(server.await.unwrap(), ErrorKind::ConnectionReset);
}

/// What `check` makes of a server that reads each request and answers with `answer`, and the requests that it had.
async fn body_check(options: &str, answer: &'static [u8]) -> (Outcome, String) {
    let (address, server) = server(move |mut stream| async move {
        let request = request(&mut stream).await;
        stream.write_all(answer).await.expect("the check reads");
        let _closed = stream.read_u8().await;
        request
    })
    .await;
    let outcome = check(probe(&format!("{{http: {options}}}"), address), PATIENCE).await;
    (outcome, server.await.expect("the server ends"))
}

#[tokio::test]
async fn bodies_are_judged_whole_in_chunks_and_to_the_end_of_the_connection() {
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall is OK";
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nall i\r\n4\r\ns OK\r\n0\r\nX: t\r\n\r\n";
    for answer in [&length[..], chunks] {
        let hash = ring::digest::digest(&ring::digest::SHA256, b"all is OK");
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        for body in
            ["is OK".to_owned(), "{regex: '^all .* OK$'}".to_owned(), format!("{{sha256: {hash}}}")]
        {
            let (outcome, _) = body_check(&format!("{{body: {body}}}"), answer).await;
            assert_eq!(outcome.reason.code, Code::L7OK, "{body}: {}", outcome.reason);
            assert!(
                outcome.reason.sentence.ends_with("200 OK, with the expected body"),
                "{}",
                outcome.reason
            );
        }
        for body in [
            "not OK".to_owned(),
            "{regex: '^OK'}".to_owned(),
            format!("{{sha256: {}}}", "0".repeat(64)),
        ] {
            let (outcome, _) = body_check(&format!("{{body: {body}}}"), answer).await;
            assert_eq!(
                (outcome.verdict, outcome.reason.code),
                (Verdict::Fail, Code::L7STS),
                "{body}"
            );
            let says = match body.contains("sha256") {
                true => format!("; its SHA-256 is {hash}"),
                false => "; it begins with \"all is OK\"".to_owned(),
            };
            let sentence = &outcome.reason.sentence;
            assert!(sentence.contains("200 OK, but its body is not as expected: "), "{sentence}");
            assert!(sentence.ends_with(&says), "{sentence}");
        }
    }
}

#[tokio::test]
async fn a_wrong_status_is_told_before_the_body() {
    let answer = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nOK";
    let (outcome, _) = body_check("{body: OK}", answer).await;
    assert_eq!(outcome.reason.code, Code::L7STS);
    assert!(
        outcome.reason.sentence.ends_with("503 Service Unavailable, expected 200-299"),
        "{}",
        outcome.reason
    );
}

#[tokio::test]
async fn a_body_that_is_cut_short_or_badly_chunked_is_broken() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nOK\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ] {
        let (outcome, _) = body_check("{body: OK}", answer).await;
        assert_eq!(
            (outcome.verdict, outcome.reason.code),
            (Verdict::Fail, Code::L7RSP),
            "{}",
            outcome.reason
        );
    }
    let (address, _server) = server(|mut stream| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nOK").await
    })
    .await;
    let outcome = check(probe("{http: {body: OK}}", address), PATIENCE).await;
    assert_eq!(
        (outcome.verdict, outcome.reason.code),
        (Verdict::Fail, Code::L7RSP),
        "{}",
        outcome.reason
    );
}

/// How a server that sends `head` and then `chunk` without end is judged by who wants a body.
async fn endless_body(head: &'static [u8], chunk: &'static [u8]) -> Outcome {
    let (address, server) = server(move |mut stream| async move {
        request(&mut stream).await;
        let mut sending = stream.write_all(head).await;
        while sending.is_ok() {
            sending = stream.write_all(chunk).await;
        }
    })
    .await;
    let outcome = check(probe("{http: {body: never there}}", address), PATIENCE).await;
    server.await.expect("the check closes");
    outcome
}

#[tokio::test]
async fn a_body_without_end_fails_at_the_limit_when_it_is_read() {
    let plain = endless_body(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 65_536]).await;
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = endless_body(chunked, b"8\r\nabcdefgh\r\n").await;
    for outcome in [plain, chunked] {
        assert_eq!(
            (outcome.verdict, outcome.reason.code),
            (Verdict::Fail, Code::L7RSP),
            "{}",
            outcome.reason
        );
        assert!(outcome.reason.sentence.contains("more than 262144 bytes"), "{}", outcome.reason);
    }
}

/// Compressed bodies are not unpacked: a small one stays small.
#[tokio::test]
async fn a_compressed_body_is_taken_as_it_is() {
    let answer =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00";
    let (outcome, request) = body_check("{body: {regex: '(?-u)^\\x1f\\x8b'}}", answer).await;
    assert_eq!(outcome.reason.code, Code::L7OK, "{}", outcome.reason);
    assert!(!request.contains("accept-encoding"), "{request}");
}

#[tokio::test]
async fn method_headers_and_host_are_sent() {
    let options = "{method: HEAD, path: /up, host: 'a.example:81', headers: {X-Token: a b, Accept: text/plain}}";
    let (outcome, request) =
        body_check(options, b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n").await;
    assert_eq!(outcome.reason.code, Code::L7OK, "{}", outcome.reason);
    assert!(outcome.reason.sentence.starts_with("HEAD http://"), "{}", outcome.reason);
    assert!(request.starts_with("HEAD /up HTTP/1.1\r\nhost: a.example:81\r\n"), "{request}");
    assert!(
        request.contains("\r\nx-token: a b\r\n") && request.contains("\r\naccept: text/plain\r\n"),
        "{request}"
    );
    assert_eq!(request.matches("accept:").count(), 1, "{request}");
}

#[tokio::test]
async fn of_several_paths_all_must_pass() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a listener of ours");
            let asked = request(&mut stream).await;
            let status = if asked.starts_with("GET /down ") { "500 No" } else { "200 OK" };
            let _sent = stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await;
        }
    });
    let outcome = check(probe("{http: {path: [/a, /b, /c]}}", address), PATIENCE).await;
    assert_eq!(
        outcome.reason.sentence,
        format!("GET http://{address}/a: 200 OK, and 2 paths more")
    );
    let outcome = check(probe("{http: {path: [/a, /down, /c]}}", address), PATIENCE).await;
    assert_eq!((outcome.verdict, outcome.reason.code), (Verdict::Fail, Code::L7STS));
    assert!(
        outcome.reason.sentence.starts_with(&format!("GET http://{address}/down: 500 ")),
        "{}",
        outcome.reason
    );
    server.abort();
}
