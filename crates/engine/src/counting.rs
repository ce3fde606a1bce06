//! What the kernel counts decides when drains and retirements are over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_time::Instant;
use ipvs_ctl::model::ServiceKey;

use crate::engine::Engine;
use crate::pool::{Connections, Pool, Retiring};
use crate::report::Report;
use crate::server::{Admin, Server};

/// How often the connections of draining servers are counted.
pub(crate) const COUNT_INTERVAL: Duration = Duration::from_millis(500);

impl Engine {
    /// What the kernel counted, by service and destination. A destination that is not there has no connections.
    pub fn connections_counted(
        &mut self,
        now: Instant,
        counts: &BTreeMap<(ServiceKey, SocketAddr), Connections>,
    ) {
        let mut found = BTreeMap::new();
        for pool in self.pools.values() {
            for server in pool.servers.values().filter(|server| server.is_draining()) {
                let name = (pool.service.name.clone(), server.definition.name.clone());
                found.insert(name, pool.count(server, counts));
            }
        }
        self.end_drains(now, |server, service| {
            let name = (service.clone(), server.definition.name.clone());
            match &mut server.admin {
                Admin::Drain(drain) => drain.count(now, found.get(&name).copied()?).then_some(0),
                Admin::Ready | Admin::Maint => None,
            }
        });
        self.end_retirements(|pool, retiring| {
            let found = pool.count_at(retiring.key, counts);
            retiring.drain.count(now, found).then_some(0)
        });
    }

    /// Ends every drain of which `over` says so, with the number of connections that are cut short.
    pub(crate) fn end_drains(
        &mut self,
        now: Instant,
        mut over: impl FnMut(&mut Server, &Name) -> Option<u64>,
    ) {
        let mut ended = Vec::new();
        for (service, pool) in &mut self.pools {
            for (name, server) in &mut pool.servers {
                if server.is_draining()
                    && let Some(left) = over(server, service)
                {
                    server.since = now;
                    ended.push((service.clone(), name.clone(), left));
                }
            }
        }
        for (service, server, left) in ended {
            self.end_drain(&service, &server, left);
        }
        self.count_while_needed();
    }

    /// Ends every retirement of which `over` says so, with the number of connections that are cut short.
    pub(crate) fn end_retirements(
        &mut self,
        mut over: impl FnMut(&Pool, &mut Retiring) -> Option<u64>,
    ) {
        let mut ended = Vec::new();
        for (service, pool) in &mut self.pools {
            let mut retiring = std::mem::take(&mut pool.retiring);
            retiring.retain_mut(|one| {
                let left = over(pool, one);
                ended.extend(left.map(|left| (service.clone(), one.key, left)));
                left.is_none()
            });
            pool.retiring = retiring;
        }
        if ended.is_empty() {
            return;
        }
        for (service, listen, left) in ended {
            self.report(Report::ListenRemoved { service, listen, left });
        }
        self.count_while_needed();
        self.reconcile_soon();
    }

    /// Lets connections be counted, if that is not to be done already.
    pub(crate) fn count_soon(&mut self, now: Instant) {
        self.count_at = Some(self.count_at.unwrap_or(now + COUNT_INTERVAL));
    }

    /// Counts connections no longer when nothing drains.
    pub(crate) fn count_while_needed(&mut self) {
        if !self.pools.values().any(Pool::is_draining) {
            self.count_at = None;
        }
    }
}
