//! Connections of other nodes: a handshake within a limit, and then whose certificate it was.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_telemetry::tally::{Count, count};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::nodes::Nodes;
use super::refusal::why;
use crate::api::caller::Caller;
use crate::api::pace::Client;
use crate::api::server::{Listener, client_of};
use crate::rate::RateLimit;

/// A handshake that has not come to its end by then is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever was refused is listened to for so long, so that it reads why before its connection is gone,
const LAST_WORD: Duration = Duration::from_secs(1);

/// and for so many bytes.
const LAST_WORD_BYTES: u64 = 64 << 10;

/// Where other nodes come in. Each connection has the certificates of the moment.
#[derive(Debug)]
pub(super) struct NodeListener {
    tcp: Arc<TcpListener>,
    nodes: Nodes,
    /// What is said of strangers: once a second at most.
    said: Arc<Mutex<RateLimit>>,
}

impl NodeListener {
    pub(super) fn new(tcp: Arc<TcpListener>, nodes: Nodes) -> Self {
        Self { tcp, nodes, said: Arc::default() }
    }
}

impl Listener for NodeListener {
    type Accepted = TcpStream;
    type Stream = TlsStream<TcpStream>;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.tcp.accept().await?;
        // One that is gone already is found out by its handshake.
        drop(stream.set_nodelay(true));
        Ok(stream)
    }

    /// Nobody in particular before the handshake.
    fn caller(_stream: &TcpStream) -> Caller {
        Caller::default()
    }

    fn client(stream: &TcpStream, _caller: &Caller) -> Client {
        client_of(stream)
    }

    fn greet(
        &self,
        stream: TcpStream,
        _caller: Caller,
    ) -> impl Future<Output = Option<(Self::Stream, Caller)>> + Send + 'static {
        let (link, said) = (self.nodes.link(), Arc::clone(&self.said));
        async move {
            // A reload has taken the pair away meanwhile.
            let link = link?;
            let from = stream.peer_addr().ok();
            let acceptor = TlsAcceptor::from(Arc::clone(&link.server));
            let refused =
                match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream).into_fallible()).await {
                    Ok(Ok(stream)) => {
                        let shown = stream.get_ref().1.peer_certificates();
                        let node = shown.and_then(<[_]>::first).and_then(|own| link.node_of(own));
                        if node.is_none() {
                            say(
                                &said,
                                from,
                                "its certificate is of no node that `daemon.pair.nodes` names",
                            );
                        }
                        let caller = node.map(Caller::node).unwrap_or_default();
                        return Some((stream, caller));
                    }
                    Ok(Err((error, mut stream))) => {
                        say(&said, from, &why(&error));
                        let last_word = async {
                            stream.shutdown().await?;
                            let mut rest = Vec::new();
                            stream.take(LAST_WORD_BYTES).read_to_end(&mut rest).await
                        };
                        // What comes of it does not matter.
                        drop(timeout(LAST_WORD, last_word).await);
                        Count::NodeRefused
                    }
                    Err(_late) => {
                        say(&said, from, "it did not come to the end of the handshake in time");
                        Count::NodeLate
                    }
                };
            count(refused);
            None
        }
    }
}

fn say(said: &Mutex<RateLimit>, from: Option<std::net::SocketAddr>, why: &str) {
    let from = from.map_or_else(|| "an address that is gone".to_owned(), |from| from.to_string());
    if said.lock().unwrap_or_else(PoisonError::into_inner).allows(holdfast_net::now()) {
        tracing::warn!(from, why, "a connection to the API between nodes was refused");
    } else {
        tracing::debug!(from, why, "a connection to the API between nodes was refused");
    }
}
