//! A check over the network: one try of what the configuration says, at one server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{NetworkCheck, Talk};

use crate::deadline::Deadline;
use crate::finding::Finding;
use crate::place::Place;
use crate::{http, tcp, tls};

/// A check and the server that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What is said, and on which way.
    pub check: Arc<NetworkCheck>,
    /// The server's own address; the check may go to another.
    pub server: SocketAddr,
}

impl Network {
    fn place(&self) -> Place<'_> {
        Place::of(&self.check.way, self.server)
    }

    pub(crate) async fn run(&self, timeout: Duration) -> Finding {
        let deadline = Deadline::after(timeout);
        let place = self.place();
        match &self.check.talk {
            Talk::Tcp(bytes) => tcp::run(&place, bytes, deadline).await,
            Talk::Tls(options) => tls::run(&place, options, deadline).await,
            Talk::Http(check) => http::run(&place, check, deadline).await,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, address) = (self.check.talk.name(), self.place().address);
        match &self.check.talk {
            Talk::Http(check) => write!(f, "{name} {}", http::url(address, check)),
            Talk::Tcp(_) | Talk::Tls(_) => write!(f, "{name} {address}"),
        }
    }
}
