//! One request and its answer over a connection, in HTTP/1.1 or HTTP/2. Whatever hyper starts for it ends with it.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::HEADER_LIMIT;
use crate::talk::{Broken, Stream};
use crate::transcript;

/// The headers whose values are shown to who asks for a transcript: those that carry no secret.
const SHOWN_HEADERS: [&str; 19] = [
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "grpc-message",
    "grpc-status",
    "host",
    "last-modified",
    "location",
    "retry-after",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// A stream of HTTP/2 may be so many bytes ahead of who reads it.
const WINDOW: u32 = 64 * 1024;

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Sends `request` and gives `judge` the answer's head, whose body it may read.
pub(crate) async fn exchange<B, T>(
    stream: Box<dyn Stream>,
    version: Version,
    request: Request<B>,
    judge: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Broken>,
) -> Result<T, Broken>
where
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    transcript::said(|| asked(&request));
    let judge = async |answer: Response<Incoming>| {
        transcript::heard(|| answered(&answer));
        judge(answer).await
    };
    let io = TokioIo::new(stream);
    match version {
        Version::Http1 => {
            // As lenient as `head` is.
            let made = http1::Builder::new()
                .max_buf_size(HEADER_LIMIT)
                .allow_obsolete_multiline_headers_in_responses(true)
                .allow_spaces_after_header_name_in_responses(true)
                .ignore_invalid_headers_in_responses(true)
                .handshake(io)
                .await;
            let (mut sender, connection) = made.map_err(|error| broken(&error))?;
            let talk = async {
                let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
                judge(answer).await
            };
            driven(connection, talk).await
        }
        Version::Http2 => {
            let tasks = Tasks::default();
            let _end = EndWith(tasks.clone());
            let made = http2::Builder::new(tasks)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_header_list_size(u32::try_from(HEADER_LIMIT).unwrap_or(u32::MAX))
                .handshake(io)
                .await;
            let (mut sender, connection) = made.map_err(|error| broken(&error))?;
            let talk = async {
                let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
                judge(answer).await
            };
            driven(connection, talk).await
        }
    }
}

/// A request's head as HTTP/1.1 writes it.
pub(super) fn asked<B>(request: &Request<B>) -> String {
    let line = format!("{} {} {:?}\r\n", request.method(), request.uri(), request.version());
    shown(line, lines(request.headers()))
}

/// The same of an answer.
fn answered<B>(answer: &Response<B>) -> String {
    let line = format!("{:?} {}\r\n", answer.version(), answer.status());
    shown(line, lines(answer.headers()))
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// A head that begins with `line`.
pub(super) fn shown<'a>(
    line: String,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> String {
    let mut head = line;
    for (name, value) in headers {
        // A configured header may be a token.
        let known = SHOWN_HEADERS.iter().any(|shown| shown.eq_ignore_ascii_case(name));
        let value = value.escape_ascii();
        // Writing to a String cannot fail.
        let _infallible = match known {
            true => write!(head, "{name}: {value}\r\n"),
            false => write!(head, "{name}: (hidden)\r\n"),
        };
    }
    head
}

/// What `talk` gives, while `connection` works for it. An error of the connection says more than what it does to the talk.
async fn driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    talk: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
    let mut connection = Box::pin(connection);
    let mut talk = std::pin::pin!(talk);
    let ended = tokio::select! {
        biased;
        said = &mut talk => return said,
        ended = &mut connection => ended,
    };
    // A request that it has not taken yet is given back only when it is gone.
    drop(connection);
    match (talk.await, ended) {
        (Err(Broken::Closed), Err(error)) => Err(broken(&error)),
        (said, _) => said,
    }
}

/// Why there was no answer, or none of HTTP.
pub(crate) fn broken(error: &hyper::Error) -> Broken {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Broken::Io(match io.raw_os_error() {
                Some(raw) => io::Error::from_raw_os_error(raw),
                None => io::Error::new(io.kind(), io.to_string()),
            });
        }
        source = inner.source();
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Broken::Closed;
    }
    let why = error.source().map_or_else(String::new, |source| format!(": {source}"));
    Broken::Foreign(format!("the answer is not valid HTTP: {error}{why}"))
}

/// The tasks of one connection of HTTP/2: they live no longer than the exchange.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }
}

struct EndWith(Tasks);

impl Drop for EndWith {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
