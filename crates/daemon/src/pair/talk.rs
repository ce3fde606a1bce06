//! One request to another node. Each has a connection of its own: they are few, and none is kept from a time with other certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::link::Link;
use super::refusal::{is_refusal, why};
use crate::api::caller::ON_BEHALF;

/// A node that takes no connection by then is unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A node that has not answered by then hangs. The command line waits two seconds longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// A longer answer is refused.
const ANSWER_MAX: usize = 16 << 20;

/// What another node answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

/// What is asked of another node.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) body: Bytes,
    /// Who wants it here.
    pub(crate) user: Option<String>,
}

impl Question {
    pub(super) fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: Bytes::new(), user: None }
    }
}

/// Why there is no answer, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The node was not asked: it can't be reached, is not who it should be, or does not believe this node.
    NotAsked(String),
    /// It was asked, and its answer did not come or was lost: what was to be done there may be done or not.
    Silent(String),
}

impl Unanswered {
    /// The sentence.
    pub(super) fn why(self) -> String {
        match self {
            Self::NotAsked(why) | Self::Silent(why) => why,
        }
    }
}

/// Asks the node that is called `name` and listens at `address`.
///
/// # Errors
/// It was not asked, or does not answer in time.
pub(super) async fn ask(
    link: &Link,
    name: &str,
    address: SocketAddr,
    question: Question,
) -> Result<Reply, Unanswered> {
    let late = Instant::now() + ANSWER_TIMEOUT;
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(Unanswered::NotAsked(format!(
                "connect to {name} ({address}): {error}: does holdfastd run there, with `daemon.pair`?"
            )));
        }
        Err(_late) => {
            return Err(Unanswered::NotAsked(format!(
                "connect to {name} ({address}): no answer within {CONNECT_TIMEOUT:?}: is it up, and does a firewall let this through?"
            )));
        }
    };
    let told = |why: &str| format!("speak with {name} ({address}): {why}");
    let slow = format!("no answer within {ANSWER_TIMEOUT:?}");
    let mut line = match timeout_at(late, greet(link, name, stream)).await {
        Ok(Ok(line)) => line,
        Ok(Err(why)) => return Err(Unanswered::NotAsked(told(&why))),
        Err(_late) => return Err(Unanswered::NotAsked(told(&slow))),
    };
    let request = request(question).map_err(|why| Unanswered::NotAsked(told(&why)))?;
    match timeout_at(late, converse(&mut line, request)).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(Unanswered::NotAsked(why))) => Err(Unanswered::NotAsked(told(&why))),
        Ok(Err(Unanswered::Silent(why))) => Err(Unanswered::Silent(told(&why))),
        Err(_late) => Err(Unanswered::Silent(told(&slow))),
    }
}

/// A connection on which a question can be asked. It ends when it is dropped.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Shows each side the other's certificate. Whether the other side takes this one's is known with its first answer (RFC 8446 §4.4.2.4).
async fn greet(link: &Link, name: &str, stream: TcpStream) -> Result<Line, String> {
    stream.set_nodelay(true).map_err(|error| why(&error))?;
    let of = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::clone(&link.client));
    let stream = connector.connect(of, stream).await.map_err(|error| why(&error))?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| why(&error))?;
    Ok(Line { sender, connection: tokio::spawn(connection) })
}

fn request(question: Question) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(question.method)
        .uri(question.path)
        .header(HOST, "holdfast")
        .header(CONTENT_TYPE, "application/json");
    if let Some(user) = question.user {
        request = request.header(ON_BEHALF, user);
    }
    request.body(Full::new(question.body)).map_err(|error| error.to_string())
}

async fn converse(line: &mut Line, request: Request<Full<Bytes>>) -> Result<Reply, Unanswered> {
    let answered = match line.sender.send_request(request).await {
        Ok(answered) => answered,
        // What TLS has to say of it the connection knows.
        Err(error) => {
            let ended = timeout(Duration::from_millis(200), &mut line.connection).await;
            return Err(match ended {
                Ok(Ok(Err(ended))) => unanswered(&ended),
                Ok(_) | Err(_) => unanswered(&error),
            });
        }
    };
    let (status, content_type) = (answered.status(), answered.headers().get(CONTENT_TYPE).cloned());
    let body = Limited::new(answered.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| Unanswered::Silent(why(error.as_ref())))?.to_bytes();
    Ok(Reply { status, content_type, body })
}

/// Who refuses this node's certificate has read no question.
fn unanswered(error: &hyper::Error) -> Unanswered {
    if is_refusal(error) || error.is_canceled() {
        Unanswered::NotAsked(why(error))
    } else {
        Unanswered::Silent(why(error))
    }
}
