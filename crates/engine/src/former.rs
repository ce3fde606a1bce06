//! Forwarding methods that a service had before a reload.
//!
//! The kernel changes the method of a destination in place, but open connections keep the method that they began with, and need what that
//! method needs: under NAT clients get no answer unless the director forwards it. The kernel does not tell which connection has which method, so the
//! daemon waits for the connections of all of the service's servers together, by the rules of a drain. A former method is over when no
//! connection is left, and at the service's `drain.timeout` at the latest.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::net::SocketAddr;

use holdfast_config::Service;
use holdfast_time::Instant;
use ipvs_ctl::model::{Forwarding, ServiceKey};

use crate::drain::Drain;
use crate::engine::Engine;
use crate::pool::{Connections, Pool};
use crate::report::Report;

/// A method that a service had. There is at most one of each kind; all tunnels are one kind.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    pub(crate) forwarding: Forwarding,
    pub(crate) drain: Drain,
}

impl Pool {
    /// The service with its former methods, once for each that may still have connections: the daemon keeps what these need of the kernel.
    pub fn former(&self) -> impl Iterator<Item = Service> + '_ {
        self.former.iter().map(|former| with(&self.service_as_it_is(), former.forwarding))
    }

    /// Notes that the service had the method `before`, if that is of another kind than its present one.
    pub(crate) fn has_forwarded_by(&mut self, before: Forwarding, deadline: Instant) {
        let now = discriminant(&self.service.forwarding);
        self.former.retain(|former| discriminant(&former.forwarding) != now);
        let kind = discriminant(&before);
        if kind == now || self.servers.is_empty() {
            return;
        }
        let drain = Drain::new(deadline, self.service.drain.idle, true);
        self.former.retain(|former| discriminant(&former.forwarding) != kind);
        self.former.push(Former { forwarding: before, drain });
    }

    /// The connections of all servers, whatever their method.
    pub(crate) fn count_all(
        &self,
        counts: &BTreeMap<(ServiceKey, SocketAddr), Connections>,
    ) -> Connections {
        let each = self.servers.values().map(|server| self.count(server, counts));
        each.fold(Connections::default(), Connections::plus)
    }
}

/// The service as it is but for how it forwards.
pub(crate) fn with(service: &Service, forwarding: Forwarding) -> Service {
    let mut service = service.clone();
    service.forwarding = forwarding;
    service
}

impl Engine {
    /// Ends every former method of which `over` says so, with the number of connections, of either method, that there are then.
    pub(crate) fn end_methods(&mut self, over: impl FnMut(&Pool, &mut Former) -> Option<u64>) {
        let ended = self.take_ended(|pool| &mut pool.former, over);
        if ended.is_empty() {
            return;
        }
        for (service, Former { forwarding, .. }, left) in ended {
            self.report(Report::MethodEnded { service, forwarding, left });
        }
        self.count_while_needed();
    }
}
