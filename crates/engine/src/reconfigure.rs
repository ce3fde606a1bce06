//! Another configuration for a running engine: what differs is applied, and what does not differ is not touched.
//!
//! Three things meet: the old configuration, the new one, and what commands have changed in between. Only the differences between the two
//! configurations are applied, so what commands have changed of the rest stays:
//!
//! | the configuration            | the pool has it        | then                                                            |
//! |------------------------------|------------------------|-----------------------------------------------------------------|
//! | names a server newly         | no                     | it is added, and starts down until its first pass                |
//! |                              | by a command           | it is the configuration's from now on: its name, weight, checks  |
//! |                              | and drains to be gone  | it is taken back, with its connections and what its checks say   |
//! |                              | and drains             | it is the configuration's, and goes on to drain                  |
//! | names a server no longer     | yes                    | it drains and is removed                                         |
//! |                              | by a command           | it stays                                                         |
//! | changes a server             | yes                    | what differs is applied: a weight that does not differ stays     |
//! |                              | no: a command removed it | it stays removed                                               |
//! | gives a name to another      | yes                    | the one that had it goes on under a name made of its address     |
//!
//! A server is recognised by its address and port, as by the kernel. A check is recognised by what it tries: with another interval it goes on; another
//! check begins with what the old one has said.

mod service;

use std::collections::{BTreeMap, BTreeSet};

use holdfast_config::diff::{Pair, pairs};
use holdfast_config::{Config, ForeignServices, Listen, Name, SERVERS_MAX, Service};
use holdfast_time::Instant;
use ipvs_ctl::model::{ServiceKey, Table};

use crate::engine::Engine;
use crate::order::Order;
use crate::pool::Pool;
use crate::remains::Index;
use crate::report::Report;
use crate::server::{Admin, Origin, Server};

/// How many servers a pool may have beside those of its configuration: those that drain and those that commands have added. Beyond this
/// the drains that began first are cut.
const BESIDES_MAX: usize = SERVERS_MAX;

/// Whether a service listens, by `new`, where it did not by `old`.
pub fn listens_anew(old: &Config, new: &Config) -> bool {
    !fresh(&pairs(&old.services, &new.services)).is_empty()
}

/// The keys of services that listen where they did not.
fn fresh(pairs: &[Pair<'_, Service>]) -> BTreeSet<ServiceKey> {
    let mut keys = BTreeSet::new();
    for pair in pairs {
        match pair {
            Pair::Added(service) => keys.extend(service.listen.iter().map(Listen::key)),
            Pair::Removed(_) => {}
            Pair::Changed(old, new) => {
                let had: BTreeSet<ServiceKey> = old.listen.iter().map(Listen::key).collect();
                keys.extend(new.listen.iter().map(Listen::key).filter(|key| !had.contains(key)));
            }
        }
    }
    keys
}

impl Engine {
    /// Goes on with the configuration `new` in the place of `old`, the one that it has had since it was made or last reconfigured.
    ///
    /// What does not differ notices nothing: no timer, no count, no check, and no action either. The kernel's table is to be compared
    /// only when something of a service differs.
    ///
    /// `kernel` is the kernel's table now; it matters to services that listen where they did not ([`listens_anew`]). What is there
    /// already is adopted as at the start of the daemon. Without it the table that is wanted stands for the one that is there.
    pub fn reconfigure(
        &mut self,
        old: &Config,
        new: &Config,
        kernel: Option<&Table>,
        now: Instant,
    ) {
        self.clock = now;
        if old.ipvs.poll != new.ipvs.poll {
            self.reconcile_interval = new.ipvs.poll;
            self.reconcile_at = self.reconcile_at.min(now + new.ipvs.poll);
        }
        if old.ipvs.foreign != new.ipvs.foreign {
            self.always = new.ipvs.foreign == ForeignServices::Remove;
            self.reconcile_soon();
        }
        let pairs = pairs(&old.services, &new.services);
        let before = self.table_at(&fresh(&pairs), kernel);
        let taken: BTreeSet<ServiceKey> =
            new.services.values().flat_map(|service| &service.listen).map(Listen::key).collect();
        self.yield_addresses(new);
        for pair in &pairs {
            if let Pair::Removed(service) = pair {
                self.retire_service(&service.name, &taken, now);
            }
        }
        for pair in &pairs {
            match pair {
                Pair::Removed(service) => drop(self.discovered.remove(&service.name)),
                Pair::Changed(old, new) => {
                    let directory = |service: &Service| {
                        service.discover.as_ref().map(|one| one.directory.clone())
                    };
                    if directory(old).is_some() && directory(old) != directory(new) {
                        self.stop_discovery(now, &new.name);
                    }
                    self.change_service(old, new, &taken, now);
                }
                Pair::Added(service) => self.add_service(service, &before, now),
            }
        }
        for pair in &pairs {
            if let Pair::Changed(_, service) | Pair::Added(service) = pair {
                // What was at an address that it has from another service drains.
                self.take_in(&service.name, &before, &Index::default(), now);
                self.cut_surplus(service, now);
            }
        }
        self.remove_misfits(new, now);
        if !pairs.is_empty() {
            self.count_while_needed();
        }
        for pair in &pairs {
            match pair {
                Pair::Changed(old, new) if old.listen == new.listen => {
                    self.reconcile_service(&new.name);
                }
                Pair::Changed(..) | Pair::Added(_) | Pair::Removed(_) => self.reconcile_soon(),
            }
        }
    }

    /// The table before the change, of the services of `keys`.
    fn table_at(&self, keys: &BTreeSet<ServiceKey>, kernel: Option<&Table>) -> Table {
        if keys.is_empty() {
            return Table::new();
        }
        let mut table = kernel.map_or_else(|| self.desired(), Clone::clone);
        table.retain(|key, _| keys.contains(key));
        table
    }

    /// A service that is new. At an address that another service had, servers that were up are adopted as up.
    fn add_service(&mut self, service: &Service, before: &Table, now: Instant) {
        let name = &service.name;
        if self.pools.get(name).is_some_and(Pool::is_leaving) {
            self.revive_service(service, now);
            return;
        }
        self.pools.insert(name.clone(), Pool::new(service.settings(), now));
        self.report(Report::ServiceAdded { service: name.clone() });
        for server in service.real_servers.values() {
            let adopted = crate::adoption::serves(service, server, before);
            self.enrol(name, server.clone(), Origin::Config, adopted, now);
        }
        self.note_methods(service, before, now);
        self.adopt_quorum(name, before);
    }

    /// Gives up the addresses that another service has by `new`: those of services that leave, and those that a service is leaving.
    fn yield_addresses(&mut self, new: &Config) {
        let mut owners: BTreeMap<ServiceKey, &Name> = BTreeMap::new();
        for service in new.services.values() {
            owners.extend(service.listen.iter().map(|listen| (listen.key(), &service.name)));
        }
        let mut nowhere = Vec::new();
        for (name, pool) in &mut self.pools {
            let keeps = |key: &ServiceKey| owners.get(key).is_none_or(|owner| *owner == name);
            pool.retiring.retain(|retiring| keeps(&retiring.key));
            if pool.leaving {
                pool.service.listen.retain(|listen| keeps(&listen.key()));
                let is_nowhere = pool.service.listen.is_empty() && pool.retiring.is_empty();
                if is_nowhere && !new.services.contains_key(name) {
                    nowhere.push(name.clone());
                }
            }
        }
        for name in nowhere {
            self.drop_pool(&name);
        }
    }

    /// Lets a service that the configuration no longer has end with its connections. Addresses of it that other services have now (`taken`)
    /// are theirs at once.
    fn retire_service(&mut self, name: &Name, taken: &BTreeSet<ServiceKey>, now: Instant) {
        let Some(pool) = self.pools.get_mut(name) else { return };
        pool.leaving = true;
        pool.service.listen.retain(|listen| !taken.contains(&listen.key()));
        pool.retiring.retain(|retiring| !taken.contains(&retiring.key));
        let nowhere = pool.service.listen.is_empty() && pool.retiring.is_empty();
        if nowhere || pool.servers.is_empty() {
            self.drop_pool(name);
            return;
        }
        let servers: Vec<Name> = pool.servers.keys().cloned().collect();
        let order = || Order::own("its service is in the configuration no longer");
        self.report(Report::ServiceLeaving { service: name.clone() });
        for server in servers {
            // It is there: it was listed above.
            drop(self.remove_server(now, name, &server, None, order()));
        }
    }

    fn drop_pool(&mut self, name: &Name) {
        let Some(pool) = self.pools.remove(name) else { return };
        for (server, known) in pool.servers {
            self.list_ramp(name, &server, known.ramp.as_deref().copied(), false);
            known.checks.into_iter().for_each(|id| self.leave_check(id, name, &server));
        }
        self.report(Report::ServiceRemoved { service: name.clone() });
    }

    /// Drains and removes the servers that commands or discovery have added and that the rules of the new configuration forbid.
    fn remove_misfits(&mut self, config: &Config, now: Instant) {
        let mut found = Vec::new();
        let mut addresses = None;
        for (service, pool) in self.pools.iter().filter(|(_, pool)| !pool.leaving) {
            let added = |known: &Server| {
                let beside =
                    matches!(known.origin, Origin::Runtime | Origin::Lease | Origin::Discovered);
                beside && known.admin == Admin::Ready
            };
            for (server, known) in pool.servers.iter().filter(|(_, known)| added(known)) {
                let addresses = addresses.get_or_insert_with(|| config.virtual_addresses());
                if let Some(rule) =
                    known.definition.misfits(&pool.service, config, addresses).first()
                {
                    found.push((service.clone(), server.clone(), rule.message.clone()));
                }
            }
        }
        for (service, server, reason) in found {
            // It is there: it was found above.
            let order = Order::own(&reason);
            drop(self.remove_server(now, &service, &server, None, order));
            self.report(Report::Misfit { service, server, reason });
        }
    }

    /// Cuts the drains that began first where a pool has become too large.
    fn cut_surplus(&mut self, service: &Service, now: Instant) {
        let Some(pool) = self.pools.get(&service.name) else { return };
        let most = service.real_servers.len().saturating_add(BESIDES_MAX);
        let surplus = pool.servers.len().saturating_sub(most);
        if surplus == 0 {
            return;
        }
        let mut oldest: Vec<_> = pool
            .servers
            .iter()
            .filter(|(_, server)| server.is_draining())
            .map(|(name, server)| (std::cmp::Reverse(server.age(now)), name.clone()))
            .collect();
        oldest.sort();
        for (_, server) in oldest.into_iter().take(surplus) {
            let order = Order::own("too many servers drain in this pool");
            self.forget(&service.name, &server, order);
        }
    }
}
