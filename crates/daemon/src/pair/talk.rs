//! One request to another node. Each has a connection of its own: they are few, and none is kept from a time with other certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::link::Link;
use super::refusal::why;
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

/// Asks the node that is called `name` and listens at `address`.
///
/// # Errors
/// It can't be reached, is not who it should be, does not believe this node, or does not answer in time: a sentence.
pub(super) async fn ask(
    link: &Link,
    name: &str,
    address: SocketAddr,
    question: Question,
) -> Result<Reply, String> {
    let late = Instant::now() + ANSWER_TIMEOUT;
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(format!(
                "connect to {name} ({address}): {error}: does holdfastd run there, with `daemon.pair`?"
            ));
        }
        Err(_late) => {
            return Err(format!(
                "connect to {name} ({address}): no answer within {CONNECT_TIMEOUT:?}: is it up, and does a firewall let this through?"
            ));
        }
    };
    match timeout_at(late, converse(link, name, stream, question)).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(why)) => Err(format!("speak with {name} ({address}): {why}")),
        Err(_late) => Err(format!(
            "speak with {name} ({address}): no answer within {ANSWER_TIMEOUT:?}: whether it was done there is not known"
        )),
    }
}

async fn converse(
    link: &Link,
    name: &str,
    stream: TcpStream,
    question: Question,
) -> Result<Reply, String> {
    stream.set_nodelay(true).map_err(|error| why(&error))?;
    let of = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::clone(&link.client));
    let stream = connector.connect(of, stream).await.map_err(|error| why(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| why(&error))?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(question.method)
        .uri(question.path)
        .header(HOST, "holdfast")
        .header(CONTENT_TYPE, "application/json");
    if let Some(user) = question.user {
        request = request.header(ON_BEHALF, user);
    }
    let request = request.body(Full::new(question.body)).map_err(|error| error.to_string())?;
    let answered = sender.send_request(request).await;
    let answered = match answered {
        Ok(answered) => answered,
        // What TLS has to say of it the connection knows.
        Err(error) => {
            let ended = timeout(Duration::from_millis(200), connection).await;
            return Err(match ended {
                Ok(Ok(Err(error))) => why(&error),
                Ok(_) | Err(_) => why(&error),
            });
        }
    };
    let (status, content_type) = (answered.status(), answered.headers().get(CONTENT_TYPE).cloned());
    let body = Limited::new(answered.into_body(), ANSWER_MAX).collect().await;
    connection.abort();
    let body = body.map_err(|error| why(error.as_ref()))?.to_bytes();
    Ok(Reply { status, content_type, body })
}
