//! HTTP connections, on the control socket and on TCP: how many at once, how long each may take, how much it may say.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::caller::Caller;
use super::problem::as_problem;

/// So many connections are served at once; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;

/// A client that has not sent a whole request head by then is dropped.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection ends after so long, whatever it is doing.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// A body longer than this is refused with 413.
pub(super) const BODY_MAX: usize = 64 << 10;

/// The pause after an accept that failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Something that connections come from.
pub(crate) trait Listener {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Who is at the other end of it.
    fn caller(stream: &Self::Stream) -> Caller;
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn caller(stream: &Self::Stream) -> Caller {
        stream.peer_cred().map(Caller::of).unwrap_or_default()
    }
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn caller(_stream: &Self::Stream) -> Caller {
        Caller::default()
    }
}

/// Serves `router` on `listener` for ever. What a client does wrong costs its own connection and no other.
pub(crate) async fn serve<L: Listener>(listener: L, router: Router) -> Infallible {
    let router = router.layer(DefaultBodyLimit::max(BODY_MAX)).layer(map_response(as_problem));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.next().await {
            Ok(stream) => {
                let (router, caller) = (router.clone(), L::caller(&stream));
                tokio::spawn(async move {
                    converse(stream, router, caller).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    caller: Caller,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(caller);
        router.call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a control connection ended early"),
        Err(_) => tracing::debug!("a control connection took too long"),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    async fn ask(socket: &std::path::Path, path: &str) -> String {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn panics() -> &'static str {
        panic!("a fault of the daemon")
    }

    /// More of them than there are places: each gives its own back.
    #[tokio::test]
    async fn a_request_that_panics_costs_its_own_connection_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let router = Router::new().route("/panics", get(panics)).route("/", get(async || "well"));
        let server = tokio::spawn(serve(listener, router));
        for _ in 0..=CONNECTIONS_MAX {
            assert_eq!(ask(&socket, "/panics").await, "");
        }
        assert!(ask(&socket, "/").await.ends_with("well"));
        server.abort();
    }
}
