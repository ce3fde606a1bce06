//! The read-only HTTP listener, which a reload may open, move and close.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use holdfast_control::{Problem, chain};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::api::access::Access;
use crate::api::listen::Listen;
use crate::api::{server, unavailable};

/// Where the read-only part of the API is served.
#[derive(Debug)]
pub(crate) struct Http {
    router: Router,
    address: Option<SocketAddr>,
    /// What serves, and its listener; the socket is closed when both are gone.
    serving: Option<(JoinHandle<()>, Arc<TcpListener>)>,
}

/// So many connections wait in the kernel for the listener.
const BACKLOG: u32 = 1024;

/// Listens on `address` for HTTP, beside `current`, which it may replace.
///
/// # Errors
/// The kernel refuses it.
pub(crate) fn listen(
    address: SocketAddr,
    current: Option<&TcpListener>,
) -> std::io::Result<TcpListener> {
    Listen { address, backlog: BACKLOG, freebind: false }.beside(current)
}

/// A listener that stands ready to replace the one that serves.
#[derive(Debug)]
pub(super) enum Prepared {
    /// All stays as it is.
    Same,
    /// It serves there from now on, or nowhere.
    Other(Option<(SocketAddr, TcpListener)>),
}

impl Http {
    /// Serves `router` on `listener`, if there is one, at `address`.
    pub(crate) fn serve(
        router: Router,
        address: Option<SocketAddr>,
        listener: Option<TcpListener>,
    ) -> Self {
        let mut http = Self { router, address, serving: None };
        if let Some(listener) = listener {
            http.start(listener);
        }
        http
    }

    /// Listens on `address` beside what serves now, if that is another address.
    pub(super) fn prepare(&self, address: Option<SocketAddr>) -> Result<Prepared, Problem> {
        if address == self.address {
            return Ok(Prepared::Same);
        }
        let Some(address) = address else { return Ok(Prepared::Other(None)) };
        let current = self.serving.as_ref().map(|(_, listener)| &**listener);
        match listen(address, current) {
            Ok(listener) => Ok(Prepared::Other(Some((address, listener)))),
            Err(error) => {
                let why = chain(&error);
                let attempt = format!("listen for HTTP on {address} (`daemon.http.listen`): {why}");
                Err(unavailable(attempt))
            }
        }
    }

    /// Takes no new connections where it has served, and serves at the prepared place. Connections that are there end by themselves.
    pub(super) fn replace(&mut self, prepared: Prepared) {
        let Prepared::Other(place) = prepared else { return };
        if let Some((task, _)) = self.serving.take() {
            task.abort();
        }
        self.address = place.as_ref().map(|(address, _)| *address);
        if let Some((_, listener)) = place {
            self.start(listener);
        }
    }

    fn start(&mut self, listener: TcpListener) {
        let (router, listener) = (self.router.clone(), Arc::new(listener));
        let served = Arc::clone(&listener);
        let task = tokio::spawn(async move {
            let never = server::serve(served, router, Access::ReadOnly).await;
            match never {}
        });
        self.serving = Some((task, listener));
    }
}
