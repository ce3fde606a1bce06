//! The part of [`super`] that changes one service and its servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_config::diff::{Pair, servers};
use holdfast_config::{Check, Listen, Name, RealServer, Service};
use holdfast_health::{Event, Initial, State};
use holdfast_time::Instant;
use ipvs_ctl::model::ServiceKey;

use crate::checking::{CheckId, initial_health};
use crate::drain::Drain;
use crate::engine::Engine;
use crate::order::Order;
use crate::pool::Retiring;
use crate::report::Report;
use crate::server::{Admin, Origin, Server};

impl Engine {
    /// Applies what differs between two versions of a service.
    pub(super) fn change_service(
        &mut self,
        old: &Service,
        new: &Service,
        taken: &BTreeSet<ServiceKey>,
        now: Instant,
    ) {
        let settings = new.settings();
        if old.settings() != settings {
            self.change_settings(settings, taken, now);
        }
        self.change_servers(&new.name, &servers(old, new), now);
        if old.checks != new.checks {
            self.renew_service_checks(&new.name, now);
        }
        if old.policy != new.policy {
            self.judge_all(&new.name, now);
        }
    }

    /// Takes a service back that was leaving: servers that the configuration names serve again, the others go on draining.
    pub(super) fn revive_service(&mut self, service: &Service, now: Instant) {
        if let Some(pool) = self.pools.get_mut(&service.name) {
            pool.leaving = false;
        }
        self.report(Report::ServiceAdded { service: service.name.clone() });
        self.change_settings(
            service.settings(),
            &service.listen.iter().map(Listen::key).collect(),
            now,
        );
        let named: Vec<_> = service.real_servers.values().map(Pair::Added).collect();
        self.change_servers(&service.name, &named, now);
        self.renew_service_checks(&service.name, now);
    }

    /// Gives a service other settings. Addresses that it listens on no longer keep their connections until those have ended, unless
    /// another service has the address now.
    fn change_settings(&mut self, settings: Service, taken: &BTreeSet<ServiceKey>, now: Instant) {
        let Some(pool) = self.pools.get_mut(&settings.name) else { return };
        let before = std::mem::replace(&mut pool.service, settings);
        pool.adapt_weights();
        pool.retiring.retain(|retiring| !taken.contains(&retiring.key));
        let name = pool.service.name.clone();
        if pool.service.slow_start.is_none() {
            self.end_ramps(&name);
        }
        let Some(pool) = self.pools.get_mut(&name) else { return };
        pool.has_forwarded_by(before.forwarding, now + pool.service.drain.timeout);
        if !pool.former.is_empty() {
            self.count_soon(now);
        }
        let Some(pool) = self.pools.get_mut(&name) else { return };
        let left: Vec<ServiceKey> =
            before.listen.iter().map(Listen::key).filter(|key| !taken.contains(key)).collect();
        if left.is_empty() || pool.servers.is_empty() {
            return;
        }
        let policy = pool.service.drain;
        let drain = Drain::new(now + policy.timeout, policy.idle, true);
        pool.retiring.extend(left.into_iter().map(|key| Retiring { key, drain }));
        self.count_soon(now);
    }

    /// Applies what differs between the servers of two versions of a service. Names are freed first, so that servers may exchange theirs.
    fn change_servers(
        &mut self,
        service: &Name,
        pairs: &[Pair<'_, Arc<RealServer>>],
        now: Instant,
    ) {
        let names = self.locate(service, pairs);
        let mut arrivals = Vec::new();
        for (pair, name) in pairs.iter().zip(names) {
            match (pair, name) {
                (Pair::Removed(_), Some(name)) => self.withdraw(service, &name, now),
                // A command has removed it: it is left so.
                (Pair::Removed(_) | Pair::Changed(..), None) => {}
                (Pair::Changed(old, new), Some(name)) => {
                    arrivals.push((self.take_out(service, &name), Some(*old), *new));
                }
                (Pair::Added(new), name) => {
                    let known = name.and_then(|name| self.take_out(service, &name));
                    arrivals.push((known, None, *new));
                }
            }
        }
        for (known, old, new) in arrivals {
            self.make_way(service, &new.name);
            match known {
                Some(known) => self.put_back(service, known, old, new, now),
                None => {
                    self.enrol(service, new.clone(), Origin::Config, false, now);
                    self.begin_ramp(service, &new.name, now);
                    let order = Order::own("in the configuration");
                    let (service, server) = (service.clone(), new.name.clone());
                    self.report(Report::Added { service, server, order });
                }
            }
        }
    }

    /// The names that a pool has for the servers of `pairs`, as far as it has these. Servers are looked up by name first; only for the others
    /// is the whole pool searched for their addresses.
    fn locate(&self, service: &Name, pairs: &[Pair<'_, Arc<RealServer>>]) -> Vec<Option<Name>> {
        let Some(pool) = self.pools.get(service) else { return vec![None; pairs.len()] };
        let mut index: Option<BTreeMap<SocketAddr, &Name>> = None;
        let find = |server: &Arc<RealServer>| {
            let known = pool.servers.get(&server.name);
            if known.is_some_and(|known| known.definition.address == server.address) {
                return Some(server.name.clone());
            }
            let all = pool.servers.iter().map(|(name, known)| (known.definition.address, name));
            let index = index.get_or_insert_with(|| all.collect());
            index.get(&server.address).map(|name| (*name).clone())
        };
        let servers = pairs.iter().map(|pair| match pair {
            Pair::Added(server) | Pair::Removed(server) | Pair::Changed(server, _) => *server,
        });
        servers.map(find).collect()
    }

    /// Drains and removes a server that the configuration no longer names, unless a command has added it.
    fn withdraw(&mut self, service: &Name, server: &Name, now: Instant) {
        let pool = self.pools.get_mut(service);
        let known = pool.and_then(|pool| pool.servers.get_mut(server));
        let Some(known) = known.filter(|known| known.origin == Origin::Config) else { return };
        let address = known.definition.address;
        if self.discovered.get(service).is_some_and(|found| found.contains_key(&address)) {
            known.origin = Origin::Discovered;
        } else {
            // It is there: it was found above.
            let order = Order::own("in the configuration no longer");
            drop(self.remove_server(now, service, server, None, order));
        }
    }

    /// Takes a server out of its pool, with its checks still in the books.
    pub(crate) fn take_out(&mut self, service: &Name, name: &Name) -> Option<Server> {
        let pool = self.pools.get_mut(service)?;
        let known = pool.servers.remove(name)?;
        self.list_ramp(service, name, known.ramp.as_deref().copied(), false);
        Some(known)
    }

    /// Renames the server that has `name` to a name made of its address.
    pub(crate) fn make_way(&mut self, service: &Name, name: &Name) {
        let Some(mut server) = self.take_out(service, name) else { return };
        let Some(pool) = self.pools.get(service) else { return };
        let taken = |other: &Name| other == name || pool.servers.contains_key(other);
        let address = server.definition.address;
        let Some(renamed) = RealServer::found(address, server.definition.weight, taken) else {
            return;
        };
        Arc::make_mut(&mut server.definition).name = renamed.name;
        self.insert(service, name, server);
    }

    /// Puts a server into its pool under its present name, and tells its checks. `before` is the name that it had.
    pub(crate) fn insert(&mut self, service: &Name, before: &Name, server: Server) {
        let name = server.definition.name.clone();
        for id in &server.checks {
            self.rename_owner(*id, service, before, &name);
        }
        if let Some(pool) = self.pools.get_mut(service) {
            let ramp = server.ramp.as_deref().copied();
            if let Some(until) = server.damper.poll_timeout() {
                self.holds.insert((until, (service.clone(), name.clone())));
            }
            pool.servers.insert(name.clone(), server);
            self.list_ramp(service, &name, ramp, true);
        }
        if *before != name {
            let (service, from) = (service.clone(), before.clone());
            self.report(Report::Renamed { service, from, server: name });
        }
    }

    /// Puts a server that was taken out back into its pool, as the configuration has it now.
    fn put_back(
        &mut self,
        service: &Name,
        mut known: Server,
        old: Option<&Arc<RealServer>>,
        new: &Arc<RealServer>,
        now: Instant,
    ) {
        let before = known.definition.name.clone();
        let weight = known.definition.weight;
        known.definition = new.clone();
        if known.definition.weight != weight && old.is_some_and(|old| old.weight == new.weight) {
            Arc::make_mut(&mut known.definition).weight = weight;
        }
        let to = known.definition.weight;
        let returns =
            old.is_none() && matches!(&known.admin, Admin::Drain(drain) if drain.then_remove);
        if old.is_none() {
            known.origin = Origin::Config;
        }
        if returns {
            known.admin = Admin::Ready;
            known.standing = None;
            known.since = now;
        }
        let share = known.share;
        self.insert(service, &before, known);
        let (service, server) = (service.clone(), new.name.clone());
        self.renew_checks(&service, &server, now);
        if old.is_none_or(|old| old.combine != new.combine) {
            self.judge_checked(&service, &server, now);
        }
        let order = || Order::own("in the configuration");
        if returns {
            let (service, server, order) = (service.clone(), server.clone(), order());
            self.report(Report::Ready { service, server, order });
        }
        if weight != to {
            let (from, to) = ((weight, share), (to, share));
            self.report(Report::Weight { service, server, from, to, order: order() });
        }
    }

    /// Gives the service's checks to every server that has none of its own.
    fn renew_service_checks(&mut self, service: &Name, now: Instant) {
        let Some(pool) = self.pools.get(service) else { return };
        let without = pool.servers.iter().filter(|(_, server)| server.definition.checks.is_none());
        let names: Vec<Name> = without.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.renew_checks(service, &name, now);
        }
    }

    /// Gives a server the checks that the configuration has for it now. A check that tries the same as before goes on, at another pace if that
    /// differs; a new one begins with what the server's checks have said so far.
    fn renew_checks(&mut self, service: &Name, server: &Name, now: Instant) {
        let Some(pool) = self.pools.get(service) else { return };
        // One in maintenance gets its checks when it is taken back.
        let known = pool.servers.get(server).filter(|known| known.admin != Admin::Maint);
        let Some(known) = known else { return };
        let (wanted, _) = pool.service.checks_of(&known.definition);
        let has = |id: &CheckId| self.checks.get(id).map(|running| &running.check);
        if known.checks.len() == wanted.len()
            && known.checks.iter().zip(wanted).all(|(id, check)| has(id) == Some(check))
        {
            return;
        }
        let (wanted, health) = (wanted.to_vec(), known.health);
        let mut free = known.checks.clone();
        let mut ids = Vec::new();
        let mut began = Vec::new();
        for (nth, check) in wanted.into_iter().enumerate() {
            let same = |id: &CheckId| has_kind(self, *id, &check);
            let known = free.iter().position(same).map(|at| free.swap_remove(at));
            // A check that is shared with other servers can't go on at another pace for this one.
            let is_it = |id: &CheckId| self.checks.get(id).is_some_and(|one| one.check == check);
            let own = known.filter(|id| !self.is_shared(*id) || is_it(id));
            if let Some(id) = own {
                self.repace(id, check, now);
                ids.push(id);
            } else {
                let id = self.begin_check(service, server, (nth, check), initial(health), now);
                ids.push(id);
                began.push(id);
            }
        }
        let unchecked = ids.is_empty();
        self.assign_checks(service, server, ids);
        self.take_advice(service, server, now);
        for id in began {
            self.step_check(id, now, |_| {});
        }
        self.judge(service, server, now);
        let known = self.pools.get_mut(service).and_then(|pool| pool.servers.get_mut(server));
        if let Some(known) = known.filter(|_| unchecked) {
            (_, known.reason) = initial_health(true, Initial::Down);
        }
    }

    /// Lets a check go on with another pace, if that differs.
    fn repace(&mut self, id: CheckId, check: Arc<Check>, now: Instant) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        if running.check == check {
            return;
        }
        let policy = Arc::clone(&check.policy);
        running.check = check;
        self.step_check(id, now, |checker| checker.handle(now, Event::Reconfigure(policy)));
    }
}

fn has_kind(engine: &Engine, id: CheckId, check: &Check) -> bool {
    engine.checks.get(&id).is_some_and(|running| running.check.kind == check.kind)
}

/// What a check begins with on a server that counts as `health`.
const fn initial(health: State) -> Initial {
    match health {
        State::Up => Initial::Adopted,
        State::Down => Initial::Failed,
        State::Starting => Initial::Down,
    }
}
