//! Heads of HTTP answers by both ways in which they are read: the head alone, and with a body, by hyper.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use holdfast_health::{Code, Outcome};
use support::probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(500);

const HEAD: &str = "{http: {}}";
const WITH_BODY: &str = "{http: {body: hello}}";

/// What the check `asked` makes of a server that reads the request and says `answer`, once or without end, until the check closes.
async fn answered(asked: &str, answer: &'static [u8], endless: bool, timeout: Duration) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the check connects");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("the check sends a whole request"));
        }
        let mut sending = stream.write_all(answer).await;
        while endless && sending.is_ok() {
            sending = stream.write_all(answer).await;
        }
        let _closed = stream.read_u8().await;
    });
    let outcome = probe(asked, address).run(timeout).await;
    server.await.expect("the check closes");
    outcome
}

#[tokio::test]
async fn a_header_line_that_is_not_quite_right_says_nothing_of_the_server() {
    for asked in [HEAD, WITH_BODY] {
        for answer in [
            &b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\nContent-Length: 5\r\n\r\nhello"[..],
            b"HTTP/1.1 200 OK\r\nX Foo: 1\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 5\r\n\r\nhello",
        ] {
            let outcome = answered(asked, answer, false, PATIENCE).await;
            let said = answer.escape_ascii();
            assert_eq!(outcome.reason.code, Code::L7OK, "{asked} {said}: {}", outcome.reason);
        }
        for answer in [&b"HTTP/1.1 abc What\r\n\r\n"[..], b"220 mail.example ESMTP\r\n\r\n"] {
            let outcome = answered(asked, answer, false, PATIENCE).await;
            assert_eq!(outcome.reason.code, Code::L7RSP, "{asked}: {}", outcome.reason);
        }
    }
}

/// hyper passes over each, and does not add them up.
#[tokio::test]
async fn early_hints_without_end_end_at_the_limit_or_at_the_timeout() {
    let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    let outcome = answered(HEAD, hint, true, PATIENCE).await;
    assert_eq!(outcome.reason.code, Code::L7RSP, "{}", outcome.reason);
    let outcome = answered(WITH_BODY, hint, true, SHORT).await;
    assert_eq!(outcome.reason.code, Code::L7TOUT, "{}", outcome.reason);
}
