//! HTTP connections, on the control socket and on TCP: who may ask what, how many at once, how often, how long each may take, how much
//! it may say.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use holdfast_telemetry::tally::{Count, count};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout_at};

use super::access::{Access, Right};
use super::caller::{Caller, ON_BEHALF};
use super::pace::{Client, Paces, Place};
use super::problem::{Refusal, as_problem, refused};

/// So many connections are served at once; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;

/// A client that has not sent a whole request head by then is dropped.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection ends after so long, whatever it is doing.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream of events ends after so long; whoever still listens comes again.
pub(super) const STREAM_TIMEOUT: Duration = Duration::from_secs(300);

/// A stream that has not ended by itself so long after that is cut.
const STREAM_GRACE: Duration = Duration::from_secs(10);

/// A body longer than this is refused with 413.
pub(super) const BODY_MAX: usize = 64 << 10;

/// The pause after an accept that failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Something that connections come from.
pub(crate) trait Listener {
    /// A connection as the kernel gives it.
    type Accepted: Send + 'static;

    /// A connection that HTTP is spoken on.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn next(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;

    /// Who is at the other end of it, as far as that is known without a word from there.
    fn caller(accepted: &Self::Accepted) -> Caller;

    /// Whose requests are counted together.
    fn client(accepted: &Self::Accepted, caller: &Caller) -> Client;

    /// What comes before HTTP, within a limit of its own, and who is at the other end after it; none where it came to nothing. The other
    /// connections don't wait for it.
    fn greet(
        &self,
        accepted: Self::Accepted,
        caller: Caller,
    ) -> impl Future<Output = Option<(Self::Stream, Caller)>> + Send + 'static;
}

/// What comes before HTTP where nothing does.
fn without_a_word<S: Send + 'static>(
    stream: S,
    caller: Caller,
) -> impl Future<Output = Option<(S, Caller)>> + Send + 'static {
    std::future::ready(Some((stream, caller)))
}

impl Listener for UnixListener {
    type Accepted = tokio::net::UnixStream;
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<Self::Accepted> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn caller(stream: &Self::Stream) -> Caller {
        Caller::of(stream)
    }

    fn client(_stream: &Self::Stream, caller: &Caller) -> Client {
        caller.user().map_or(Client::Unknown, Client::User)
    }

    fn greet(
        &self,
        stream: Self::Accepted,
        caller: Caller,
    ) -> impl Future<Output = Option<(Self::Stream, Caller)>> + Send + 'static {
        without_a_word(stream, caller)
    }
}

/// Shared with who replaces it.
impl Listener for Arc<TcpListener> {
    type Accepted = TcpStream;
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<Self::Accepted> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn caller(_stream: &Self::Stream) -> Caller {
        Caller::default()
    }

    fn client(stream: &Self::Stream, _caller: &Caller) -> Client {
        client_of(stream)
    }

    fn greet(
        &self,
        stream: Self::Accepted,
        caller: Caller,
    ) -> impl Future<Output = Option<(Self::Stream, Caller)>> + Send + 'static {
        without_a_word(stream, caller)
    }
}

/// Requests over TCP are counted by the address that they come from.
pub(crate) fn client_of(stream: &TcpStream) -> Client {
    stream.peer_addr().map_or(Client::Unknown, |peer| Client::Address(peer.ip().to_canonical()))
}

/// Marks a connection as one that streams, so that it is not cut after [`CONNECTION_TIMEOUT`].
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<AtomicBool>);

impl Streams {
    /// The answer goes on for [`STREAM_TIMEOUT`] at most.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One connection's side of the rules.
#[derive(Clone, Debug)]
struct Visit {
    caller: Caller,
    access: Access,
    right: Right,
    place: Arc<Place>,
    streams: Streams,
}

/// Serves `router` on `listener` for ever to whom `access` lets. What a client does wrong costs its own connection and no other.
pub(crate) async fn serve<L: Listener>(listener: L, router: Router, access: Access) -> Infallible {
    let router = router.layer(DefaultBodyLimit::max(BODY_MAX)).layer(map_response(as_problem));
    let (places, paces) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Paces::default());
    loop {
        let connection = Arc::clone(&places).acquire_owned().await;
        match listener.next().await {
            Ok(accepted) => {
                let caller = L::caller(&accepted);
                let allowance = access.allowance(&caller);
                let client = L::client(&accepted, &caller);
                let Some(place) = paces.place(client, allowance, Instant::now()) else {
                    count(Count::ConnectionRefused);
                    continue;
                };
                let (access, router) = (access.clone(), router.clone());
                let greeted = listener.greet(accepted, caller);
                let talk = tokio::spawn(async move {
                    let Some((stream, caller)) = greeted.await else { return };
                    let right = access.right(&caller);
                    let (place, streams) = (Arc::new(place), Streams::default());
                    let visit = Visit { caller, access, right, place, streams };
                    converse(stream, router, visit).await;
                });
                tokio::spawn(async move {
                    if let Err(fault) = talk.await
                        && fault.is_panic()
                    {
                        count(Count::RequestPanic);
                        tracing::error!(%fault, "a control connection ended by a fault of the daemon");
                    }
                    drop(connection);
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
    visit: Visit,
) {
    let (router, streams) = (TowerToHyperService::new(router), visit.streams.clone());
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let refusal = visit.refusal(&request);
        let answer = refusal.is_none().then(|| {
            let caller = visit.caller.clone().on_behalf_of(request.headers().get(ON_BEHALF));
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(visit.streams.clone());
            router.call(request)
        });
        async move {
            match (refusal, answer) {
                (Some(refusal), _) => Ok(refusal),
                (None, Some(answer)) => answer.await,
                (None, None) => Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
            }
        }
    });
    let begun = tokio::time::Instant::now();
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = sleep_until(begun + CONNECTION_TIMEOUT) => None,
    };
    if ended.is_none() && streams.0.load(Ordering::Relaxed) {
        ended = timeout_at(begun + STREAM_TIMEOUT + STREAM_GRACE, connection).await.ok();
    }
    count(match ended {
        Some(Ok(())) => Count::ConnectionServed,
        Some(Err(error)) => {
            tracing::debug!(%error, "a control connection ended early");
            Count::ConnectionBroken
        }
        None => {
            tracing::debug!("a control connection took too long");
            Count::ConnectionLate
        }
    });
}

impl Visit {
    /// Why a request is not even given to its handler; none where it is.
    fn refusal(&self, request: &hyper::Request<hyper::body::Incoming>) -> Option<Response> {
        if !self.place.allows(Instant::now()) {
            count(Count::RequestTooFast);
            let detail = "this client asks too often: wait a second".to_owned();
            let problem = refused(StatusCode::TOO_MANY_REQUESTS, "too_fast", detail);
            return Some(([(RETRY_AFTER, "1")], Refusal(problem)).into_response());
        }
        let refusal = self.access.refusal(self.right, request.method(), request.uri().path());
        count(if refusal.is_some() { Count::RequestNotAllowed } else { Count::Request });
        refusal.map(|problem| Refusal(problem).into_response())
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
        let server = tokio::spawn(serve(listener, router, Access::control(None, false)));
        for _ in 0..=CONNECTIONS_MAX {
            assert_eq!(ask(&socket, "/panics").await, "");
        }
        assert!(ask(&socket, "/").await.ends_with("well"));
        server.abort();
    }
}
