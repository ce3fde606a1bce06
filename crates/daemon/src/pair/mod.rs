//! The other nodes of the pair (`daemon.pair`): the API between nodes, over TLS with a certificate on either side; what each has of what
//! must be equal; and requests that are passed on to them.
//!
//! ```text
//!  another node ──TLS──► NodeListener ──► the API's handlers (Access::Nodes)
//!  watch ─ every interval ─► talk ──TLS──► another node: /v1/fingerprint
//!  the command line ─► /v1/nodes/NODE/… ─► talk ──TLS──► another node: the same request
//! ```
//! Nothing here is waited for by VRRP, checks or the kernel's table: a node that hangs costs the request that was passed on to it.

mod fingerprint;
mod link;
mod listener;
mod nodes;
mod refusal;
mod talk;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use holdfast_config::Config;
use holdfast_config::host::PairFault;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, spawn_blocking};

pub(crate) use self::fingerprint::{Counted, Prints};
use self::link::Link;
use self::listener::NodeListener;
pub(crate) use self::nodes::{Nodes, NotPassed};
pub(crate) use self::talk::{Question, Reply};
use crate::api::access::Access;
use crate::api::listen::Listen;
use crate::api::{Requests, server};
use crate::events::Events;

/// So many connections wait in the kernel for the listener.
const BACKLOG: u32 = 64;

/// This node's end of the pair, which a reload changes.
#[derive(Debug)]
pub(crate) struct PairEnd {
    nodes: Nodes,
    router: Router,
    requests: Requests,
    events: Events,
    address: Option<SocketAddr>,
    /// What serves, and its listener; the socket is closed when both are gone.
    serving: Option<(AbortHandle, Arc<TcpListener>)>,
    watching: Option<AbortHandle>,
}

/// What stands ready to replace what serves.
#[derive(Debug)]
pub(crate) struct Prepared {
    link: Option<Arc<Link>>,
    address: Option<SocketAddr>,
    /// Where another address is to be served.
    listener: Option<TcpListener>,
}

impl Prepared {
    /// No part in a pair.
    pub(crate) const NOTHING: Self = Self { link: None, address: None, listener: None };
}

impl PairEnd {
    /// One that serves nobody yet: `router` is what other nodes may ask.
    pub(crate) const fn new(
        nodes: Nodes,
        router: Router,
        requests: Requests,
        events: Events,
    ) -> Self {
        let (address, serving, watching) = (None, None, None);
        Self { nodes, router, requests, events, address, serving, watching }
    }

    /// Prepares `config` beside what serves now.
    ///
    /// # Errors
    /// As [`prepare`].
    pub(crate) async fn prepare(&self, config: &Config) -> Result<Prepared, String> {
        let current = self.address.zip(self.serving.as_ref().map(|(_, tcp)| Arc::clone(tcp)));
        prepare(config, current).await
    }

    /// Goes on with what was prepared. Connections that are there end by themselves.
    pub(crate) fn replace(&mut self, prepared: Prepared) {
        let Prepared { link, address, listener } = prepared;
        let same = match (&link, self.nodes.link()) {
            (Some(new), Some(old)) => new.is_same(&old),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // A storm of reloads that find nothing new costs the other nodes nothing.
        if same && listener.is_none() && address == self.address {
            return;
        }
        self.nodes.set(link.clone());
        if (listener.is_some() || address.is_none())
            && let Some((serving, _)) = self.serving.take()
        {
            serving.abort();
        }
        self.address = address;
        if let Some(tcp) = listener {
            let tcp = Arc::new(tcp);
            let listener = NodeListener::new(Arc::clone(&tcp), self.nodes.clone());
            let router = self.router.clone();
            let task = tokio::spawn(async move {
                match server::serve(listener, router, Access::Nodes).await {}
            });
            self.serving = Some((task.abort_handle(), tcp));
        }
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        if let Some(link) = link {
            let (nodes, requests) = (self.nodes.clone(), self.requests.clone());
            let task = tokio::spawn(watch::watch(link, nodes, requests, self.events.clone()));
            self.watching = Some(task.abort_handle());
        }
    }
}

/// Reads the certificates of `config`, and listens where that is another place than `current`, where it listens now.
///
/// # Errors
/// A sentence: a file is not what it should be, or the kernel does not let us listen.
pub(crate) async fn prepare(
    config: &Config,
    current: Option<(SocketAddr, Arc<TcpListener>)>,
) -> Result<Prepared, String> {
    let Some(pair) = config.daemon.pair.clone() else { return Ok(Prepared::NOTHING) };
    let Some(address) = pair.listens(&config.node) else { return Ok(Prepared::NOTHING) };
    let node = config.node.clone();
    let read = spawn_blocking(move || Link::open(&pair, &node)).await;
    let link = read.map_err(|fault| fault.to_string())??;
    let listener = match current {
        Some((same, _)) if same == address => None,
        current => {
            let current = current.as_ref().map(|(_, listener)| &**listener);
            let listen = Listen { address, backlog: BACKLOG, freebind: true };
            Some(listen.beside(current).map_err(|error| {
                format!("listen for the other nodes on {address} (`daemon.pair`): {error}")
            })?)
        }
    };
    Ok(Prepared { link: Some(Arc::new(link)), address: Some(address), listener })
}

/// What is wrong with the files of a pair, as a sentence.
fn sentence(faults: &[PairFault], key: &impl std::fmt::Display) -> String {
    let each = faults.iter().map(|fault| match fault {
        PairFault::Certificate(why)
        | PairFault::Key(why)
        | PairFault::Authorities(why)
        | PairFault::NotNow(why) => why.clone(),
        PairFault::Elsewhere => format!(
            "the key of the pair is in {key}, which was not given to the daemon: `LoadCredential=` of the unit names it"
        ),
    });
    each.collect::<Vec<_>>().join("; ")
}
