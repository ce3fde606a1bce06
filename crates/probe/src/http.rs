//! The HTTP check: one GET over a connection of its own, judged by the status of the answer.
//!
//! It reads the answer's head and nothing more, follows no redirect, and closes by a reset.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_health::Code;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connect::{connect, failed, timed_out};
use crate::finding::{Finding, describe};

/// An answer whose head is longer, in bytes, is not read on and fails.
pub const HEADER_LIMIT: usize = 16 * 1024;

const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"), " (health check)");

/// An HTTP/1.1 GET and the statuses that pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it is sent.
    pub address: SocketAddr,
    /// The path and query, from the first slash on.
    pub path: String,
    /// The Host header; none = address and port.
    pub host: Option<String>,
    /// The statuses that pass, as inclusive ranges.
    pub expect: Vec<(u16, u16)>,
}

impl Http {
    /// The request's target as a URL, for people.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    pub(crate) async fn run(&self, timeout: Duration) -> Finding {
        let request = match self.request() {
            Ok(request) => request,
            Err(error) => {
                return Finding::ours(format!("GET {}: not a request: {error}", self.url()));
            }
        };
        let deadline = Instant::now() + timeout;
        let stream = match timeout_at(deadline, connect(self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return failed(self.address, &error),
            Err(_elapsed) => return timed_out(self.address, timeout),
        };
        match timeout_at(deadline, exchange(stream, request)).await {
            Ok(Ok(response)) => self.judge(response.status()),
            Ok(Err(error)) => Finding::fail(
                Code::L7RSP,
                format!("GET {}: {}", self.url(), describe_broken(&error)),
            ),
            Err(_elapsed) => Finding::fail(
                Code::L7TOUT,
                format!("GET {}: connected, but no answer within {timeout:?}", self.url()),
            ),
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
        // Not the address's own text: a zone (fe80::1%2) means nothing to the other side.
        let (ip, port) = (self.address.ip(), self.address.port());
        let own = SocketAddr::new(ip, port).to_string();
        Request::get(&self.path)
            .header(header::HOST, self.host.as_ref().unwrap_or(&own))
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .body(Empty::new())
    }

    fn judge(&self, status: StatusCode) -> Finding {
        let number = status.as_u16();
        let passes = self.expect.iter().any(|(low, high)| (*low..=*high).contains(&number));
        let mut sentence = format!("GET {}: {number}", self.url());
        if let Some(words) = status.canonical_reason() {
            sentence.push(' ');
            sentence.push_str(words);
        }
        if passes {
            return Finding::pass(Code::L7OK, sentence);
        }
        sentence.push_str(", expected ");
        for (index, (low, high)) in self.expect.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _infallible = match low == high {
                true => write!(sentence, "{separator}{low}"),
                false => write!(sentence, "{separator}{low}-{high}"),
            };
        }
        Finding::fail(Code::L7STS, sentence)
    }
}

/// Sends `request` and reads the head of the answer.
async fn exchange(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_LIMIT)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await?;
    let answer = sender.send_request(request);
    let mut answer = std::pin::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    }
}

/// Why there was no answer, or none of HTTP.
fn describe_broken(error: &hyper::Error) -> String {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(io) = io.filter(|io| io.raw_os_error().is_some()) {
        return format!("connected, but {} instead of an answer", describe(io));
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "connected, but closed before a whole answer came".to_owned();
    }
    format!("connected, but the answer is not valid HTTP/1: {error}")
}
