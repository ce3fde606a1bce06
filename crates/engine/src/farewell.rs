//! The daemon stops and takes its services with it (`ipvs.on_stop: drain`): no server gets new connections, and the stop waits for those
//! that are open.

use std::time::Duration;

use holdfast_config::{Name, Service};
use holdfast_time::Instant;

use crate::engine::Engine;
use crate::order::Order;
use crate::server::{Admin, Server};

impl Engine {
    /// Drains every server of the services that `waits` selects, for `timeout` at most; a drain that ends earlier stays as it is. The
    /// servers are no longer checked. [`Self::has_drained`] tells when it is over.
    pub fn drain_all(&mut self, now: Instant, timeout: Duration, waits: impl Fn(&Service) -> bool) {
        let mut servers: Vec<(Name, Name)> = Vec::new();
        for (service, pool) in &mut self.pools {
            if waits(pool.service()) {
                pool.parting = true;
                let later =
                    pool.servers().values().filter(|server| ends_after(server, now + timeout));
                servers.extend(
                    later.map(|server| (service.clone(), server.definition().name.clone())),
                );
            }
        }
        for (service, server) in servers {
            let order = Order::own("the daemon stops");
            // It is there: it was found above.
            drop(self.drain_server(now, &service, &server, Some(timeout), order));
            self.stop_checks(&service, &server);
        }
    }

    /// Whether no server of the services that `waits` selects is still draining.
    pub fn has_drained(&self, waits: impl Fn(&Service) -> bool) -> bool {
        let waiting = self.pools.values().filter(|pool| waits(pool.service()));
        waiting.flat_map(|pool| pool.servers().values()).all(|server| !server.is_draining())
    }
}

/// Whether it serves, or drains until after `deadline`.
fn ends_after(server: &Server, deadline: Instant) -> bool {
    match server.admin() {
        Admin::Ready | Admin::Maint => true,
        Admin::Drain(drain) => !drain.drained && drain.deadline > deadline,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holdfast_config::{Config, Environment, parse};
    use ipvs_ctl::model::Table;

    use super::*;
    use crate::pool::Connections;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(1_000_000 + ms))
    }

    fn config() -> Config {
        let text = "services:\n  a: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {one: 10.0.0.1:80, two: 10.0.0.2:80}}\n  \
                    b: {listen: tcp 192.0.2.11:80, forward: nat, check: {tcp: {}}, real_servers: {one: 10.0.0.1:81}}\n";
        parse("f", text, &Environment::new("n")).config.expect("a configuration")
    }

    fn weights(table: &Table) -> Vec<u32> {
        table.values().flat_map(|entry| entry.destinations.values()).map(|one| one.weight).collect()
    }

    #[test]
    fn all_take_no_new_connections_and_the_last_one_ends_the_wait() {
        let mut engine = Engine::new(&config(), &Table::new(), at(0));
        let all = |_: &Service| true;
        engine.drain_all(at(0), Duration::from_secs(30), all);
        assert_eq!(weights(&engine.desired()), [0, 0, 0]);
        assert!(!engine.has_drained(all));
        let busy = Connections { active: 1, ..Connections::default() };
        let one = engine.pools().values().flat_map(|pool| {
            pool.keys().map(|key| (key, std::net::SocketAddr::from(([10, 0, 0, 1], 80))))
        });
        let counts: BTreeMap<_, _> = one.map(|key| (key, busy)).collect();
        for ms in [500, 1000, 1500] {
            let counted = engine.counted();
            engine.connections_counted(at(ms), &counted, &counts);
        }
        assert!(!engine.has_drained(all), "one connection is left");
        assert!(engine.has_drained(|service| service.name.as_str() == "b"), "and it is a's");
        while engine.poll_timeout().is_some_and(|(due, _)| due <= at(30_500)) {
            let (due, _) = engine.poll_timeout().expect("a timer");
            engine.handle_timeout(due);
            while engine.poll_action().is_some() {}
        }
        assert!(engine.has_drained(all), "the time is over");
    }

    #[test]
    fn services_that_are_not_waited_for_and_earlier_drains_stay_as_they_are() {
        let mut engine = Engine::new(&config(), &Table::new(), at(0));
        let (a, one) = (
            "a".to_owned().try_into().expect("a name"),
            "one".to_owned().try_into().expect("a name"),
        );
        let soon = Some(Duration::from_secs(1));
        engine.drain_server(at(0), &a, &one, soon, Order::default()).expect("it is there");
        engine.drain_all(at(0), Duration::from_secs(30), |service| service.name == a);
        let deadlines: Vec<Option<Instant>> = engine
            .pools()
            .values()
            .flat_map(|pool| pool.servers().values())
            .map(|server| match server.admin() {
                Admin::Drain(drain) => Some(drain.deadline),
                Admin::Ready | Admin::Maint => None,
            })
            .collect();
        assert_eq!(deadlines, [Some(at(1000)), Some(at(30_000)), None]);
    }
}
