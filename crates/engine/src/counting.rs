//! Counts of connections, by which drains and retirements end.
//!
//! The kernel gives them with the destinations in a dump of a service. Only services in which something drains are asked for, one count
//! at a time, and the more destinations they have, the less often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_time::Instant;
use ipvs_ctl::model::ServiceKey;

use crate::engine::Engine;
use crate::pool::{Connections, Pool, Retiring};
use crate::report::Report;
use crate::server::{Admin, Server};

/// How often drains are looked at, and connections counted where that is little to read.
pub(crate) const COUNT_INTERVAL: Duration = Duration::from_millis(500);

/// How often connections are counted at least, and how long an answer is waited for before they are asked for again.
const COUNT_MAX: Duration = Duration::from_secs(5);

/// How much longer the pause between counts is for each destination that was read. Reading one costs a few microseconds, at most a
/// tenth of this.
const EACH: Duration = Duration::from_micros(50);

/// The pace at which connections are counted.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When a count was asked for that has not come.
    asked: Option<Instant>,
    /// Before then there is no further one.
    due: Option<Instant>,
}

impl Pace {
    /// Whether a count is to be asked for now; then it is taken for asked for.
    pub(crate) fn asks(&mut self, now: Instant) -> bool {
        let waits = self.asked.is_some_and(|asked| now.saturating_since(asked) < COUNT_MAX);
        if waits || self.due.is_some_and(|due| now < due) {
            return false;
        }
        self.asked = Some(now);
        true
    }

    /// A count has come, of so many destinations.
    fn told(&mut self, now: Instant, read: usize) {
        let asked = self.asked.take().unwrap_or(now);
        let pace = EACH.saturating_mul(u32::try_from(read).unwrap_or(u32::MAX));
        self.due = Some(asked + pace.clamp(COUNT_INTERVAL, COUNT_MAX));
    }
}

impl Engine {
    /// The services whose connections are to be counted: those in which a server drains, those that are listened on no longer, and those
    /// that forward otherwise than before.
    pub fn counted(&self) -> BTreeSet<ServiceKey> {
        self.pools.values().flat_map(Pool::counted).collect()
    }

    /// What the kernel counted of `services`, by service and destination. A destination that is not there has no connections. Servers that
    /// have others of their services among those that drain, because they began to drain meanwhile, are left to the next count.
    pub fn connections_counted(
        &mut self,
        now: Instant,
        services: &BTreeSet<ServiceKey>,
        counts: &BTreeMap<(ServiceKey, SocketAddr), Connections>,
    ) {
        self.pace.told(now, counts.len());
        self.clock = now;
        let mut found = BTreeMap::new();
        for pool in self.pools.values() {
            if !pool.keys().all(|key| services.contains(&key)) {
                continue;
            }
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
            if !services.contains(&retiring.key) {
                return None;
            }
            let found = pool.count_at(retiring.key, counts);
            retiring.drain.count(now, found).then_some(0)
        });
        self.end_methods(|pool, former| {
            if !pool.keys().all(|key| services.contains(&key)) {
                return None;
            }
            former.drain.count(now, pool.count_all(counts)).then_some(0)
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
        over: impl FnMut(&Pool, &mut Retiring) -> Option<u64>,
    ) {
        let ended = self.take_ended(|pool| &mut pool.retiring, over);
        if ended.is_empty() {
            return;
        }
        for (service, Retiring { key: listen, .. }, left) in ended {
            self.report(Report::ListenRemoved { service, listen, left });
        }
        self.count_while_needed();
        self.reconcile_soon();
    }

    /// Takes out of each pool's list of `what` all of which `over` says that they are over, each with its service and the number of
    /// connections.
    pub(crate) fn take_ended<T: Clone>(
        &mut self,
        what: fn(&mut Pool) -> &mut Vec<T>,
        mut over: impl FnMut(&Pool, &mut T) -> Option<u64>,
    ) -> Vec<(Name, T, u64)> {
        let mut ended = Vec::new();
        for (service, pool) in &mut self.pools {
            let mut list = std::mem::take(what(pool));
            list.retain_mut(|one| {
                let left = over(pool, one);
                ended.extend(left.map(|left| (service.clone(), one.clone(), left)));
                left.is_none()
            });
            *what(pool) = list;
        }
        ended
    }

    /// Lets connections be counted, if that is not to be done already.
    pub(crate) fn count_soon(&mut self, now: Instant) {
        self.count_at = Some(self.count_at.unwrap_or(now + COUNT_INTERVAL));
    }

    /// Counts connections no longer when nothing drains.
    pub(crate) fn count_while_needed(&mut self) {
        if !self.pools.values().any(Pool::is_draining) {
            self.count_at = None;
            self.pace = Pace::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(1_000_000 + ms))
    }

    /// When counts are asked for, looked at every half second, that each tell of so many destinations and take so long.
    fn asked(read: usize, took_ms: u64) -> Vec<u64> {
        let (mut pace, mut answer) = (Pace::default(), None);
        let mut asked = Vec::new();
        for now in (0..12_000).step_by(500) {
            if answer.is_some_and(|due| due <= now) {
                pace.told(at(now), read);
                answer = None;
            }
            if pace.asks(at(now)) {
                asked.push(now);
                answer = Some(now + took_ms);
            }
        }
        asked
    }

    #[test]
    fn the_more_there_is_to_read_the_less_often_it_is_counted() {
        assert_eq!(asked(100, 10).len(), 24, "every half second");
        assert_eq!(asked(10_000, 10).len(), 24);
        assert_eq!(asked(20_000, 100), (0..12_000).step_by(1000).collect::<Vec<_>>());
        assert_eq!(asked(50_000, 1200), [0, 2500, 5000, 7500, 10_000]);
        assert_eq!(asked(1_000_000, 100), [0, 5000, 10_000], "and never less than that");
    }

    #[test]
    fn one_count_at_a_time_and_an_answer_that_does_not_come_is_not_waited_for_for_ever() {
        assert_eq!(asked(1, 1800), [0, 2000, 4000, 6000, 8000, 10_000]);
        assert_eq!(asked(1, 100_000), [0, 5000, 10_000]);
    }
}
