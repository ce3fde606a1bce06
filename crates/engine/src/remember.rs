//! What a daemon knows besides its file when it starts, and again when it was given another file: run-time changes of an earlier
//! one, and servers that were discovered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Config, Name, RealServer, Service};
use holdfast_time::Instant;
use ipvs_ctl::model::Table;

use crate::adoption::serves;
use crate::commands::{CommandError, WeightChange};
use crate::discovery::Findings;
use crate::engine::Engine;
use crate::order::Order;
use crate::overlay::{Entry, Key, Presence, Said, Weighed, Wish};
use crate::remains::Draining;
use crate::server::{Admin, Origin};

/// Servers that are in no file, and what drains.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Those that commands have added.
    pub added: Vec<Addition>,
    /// Those that files of discovery named, by service.
    pub discovered: BTreeMap<Name, Findings>,
    /// What was draining.
    pub draining: Draining,
}

/// A server that a command has added.
#[derive(Clone, Debug)]
pub struct Addition {
    /// Its service.
    pub service: Name,
    /// The server.
    pub server: RealServer,
    /// Its lease, which begins anew.
    pub lease: Option<Duration>,
}

impl Remembered {
    /// What of `entries` is servers that fit into `config`; the rest is for [`Engine::replay`] to refuse.
    pub fn added<'a>(
        entries: impl Iterator<Item = (&'a Key, &'a Entry)>,
        config: &Config,
    ) -> Vec<Addition> {
        let fits = |(key, entry): (&Key, &Entry)| {
            let Said { what: Presence::Added { weight, lease_ms }, .. } =
                entry.presence.as_ref()?
            else {
                return None;
            };
            let service = config.services.get(&key.0)?;
            let server = server_of(key.1, entry, *weight, (service, config)).ok()?;
            let lease = lease_ms.map(Duration::from_millis);
            Some(Addition { service: key.0.clone(), server, lease })
        };
        entries.filter_map(fits).collect()
    }
}

/// The server that an entry has added, by the rules of the configuration.
fn server_of(
    address: SocketAddr,
    entry: &Entry,
    weight: u32,
    (service, config): (&Service, &Config),
) -> Result<RealServer, String> {
    let name = entry.server.as_str();
    RealServer::new(Some(name), &address.to_string(), Some(weight), service, config).map_err(
        |problems| {
            let sentences: Vec<&str> =
                problems.iter().map(|problem| problem.message.as_str()).collect();
            sentences.join("; ")
        },
    )
}

impl Engine {
    /// Puts into the pool of `service`, which has its configured servers, what is remembered of it.
    pub(crate) fn recall(
        &mut self,
        service: &Name,
        remembered: &Remembered,
        kernel: &Table,
        now: Instant,
    ) {
        for Addition { server, lease, .. } in
            remembered.added.iter().filter(|one| one.service == *service)
        {
            if self.recall_one(service, server.clone(), Origin::Runtime, kernel, now) {
                self.set_lease(now, service, &server.name, *lease);
            }
        }
        let Some(found) = remembered.discovered.get(service) else { return };
        self.discovered.insert(service.clone(), found.clone());
        for one in found.values() {
            let mut server = one.server.clone();
            let Some(pool) = self.pools.get(service) else { return };
            let taken = |name: &Name| pool.servers.contains_key(name);
            if taken(&server.name)
                && let Some(named) = RealServer::found(server.address, server.weight, taken)
            {
                server.name = named.name;
            }
            self.recall_one(service, server, Origin::Discovered, kernel, now);
        }
    }

    /// A server that the kernel gives connections to is up until its checks say otherwise. One whose name or address is taken is left out.
    fn recall_one(
        &mut self,
        service: &Name,
        server: RealServer,
        origin: Origin,
        kernel: &Table,
        now: Instant,
    ) -> bool {
        let Some(pool) = self.pools.get(service) else { return false };
        if pool.servers.contains_key(&server.name) || pool.at(server.address).is_some() {
            return false;
        }
        let adopted = serves(&pool.service, &server, kernel);
        self.enrol(service, server, origin, adopted, now);
        true
    }

    /// Makes what an entry says so, as far as it is not. With `kernel`, the table that the daemon has found at its start, what the table has
    /// nothing of needs no drain.
    ///
    /// # Errors
    /// It can't be so: the service is not there, or the server breaks a rule, as the sentence says. The entry counts again when that
    /// has changed.
    pub fn replay(
        &mut self,
        now: Instant,
        key: &Key,
        entry: &Entry,
        config: &Config,
        kernel: Option<&Table>,
    ) -> Result<(), String> {
        let (service, address) = key;
        match self.pools.get(service) {
            None => return Err(format!("the configuration has no service `{service}`")),
            Some(pool) if pool.leaving => {
                return Err(format!("the configuration has service `{service}` no longer"));
            }
            Some(_) => {}
        }
        match &entry.presence {
            Some(said @ Said { what: Presence::Added { weight, lease_ms }, .. }) => {
                let lease = lease_ms.map(Duration::from_millis);
                self.replay_added(now, key, entry, (*weight, lease), &order(said), config)?;
            }
            Some(said @ Said { what: Presence::Removed, .. }) => {
                self.replay_removed(now, key, order(said), kernel);
                return Ok(());
            }
            None => {}
        }
        let known = self.pools.get(service).and_then(|pool| pool.find(&entry.server, *address));
        let Some(name) = known.map(|known| known.definition.name.clone()) else {
            return Err(format!("service `{service}` has no server at {address}"));
        };
        // Each is refused only where there is no such server, and a weight where the service takes it no longer.
        if let Some(said @ Said { what: Weighed { to, share, .. }, .. }) = &entry.weight {
            self.replay_weight((service, &name), (*to, *share), &order(said))
                .map_err(|refused| refused.to_string())?;
        }
        if let Some(said) = &entry.admin {
            self.replay_admin(now, (service, &name), said, kernel)
                .map_err(|refused| refused.to_string())?;
        }
        Ok(())
    }

    fn replay_added(
        &mut self,
        now: Instant,
        key: &Key,
        entry: &Entry,
        (weight, lease): (u32, Option<Duration>),
        order: &Order,
        config: &Config,
    ) -> Result<(), String> {
        let ((service, address), name) = (key, &entry.server);
        let Some(pool) = self.pools.get(service) else { return Ok(()) };
        let found = pool.find(name, *address);
        let stays = |admin: &Admin| !matches!(admin, Admin::Drain(drain) if drain.then_remove);
        if found.is_some_and(|found| stays(&found.admin)) {
            return Ok(());
        }
        // The pool's service has no servers: what the file has and a command has removed takes no name.
        let server = server_of(*address, entry, weight, (&pool.service, config))?;
        // One that only drains to be removed gives its name up, as at a reload.
        let other = pool.servers.get(name).filter(|one| one.definition.address != *address);
        let (is_others, gives_way) = (other.is_some(), other.is_some_and(|one| !stays(&one.admin)));
        let found = found.filter(|found| found.origin == Origin::Kernel);
        let found = found.map(|found| found.definition.name.clone());
        if gives_way {
            self.make_way(service, name);
        }
        if let Some(before) = found.filter(|_| gives_way || !is_others) {
            // The kernel had it when its service came.
            if let Some(mut known) = self.take_out(service, &before) {
                (known.definition, known.origin) = (server.into(), Origin::Runtime);
                self.insert(service, &before, known);
            }
            // It is there: it was put there above.
            drop(self.ready_server(now, service, name, order.clone()));
            self.set_lease(now, service, name, lease);
            return Ok(());
        }
        self.add_server(now, service, server, None, order.clone())
            .map_err(|refused| refused.to_string())?;
        self.set_lease(now, service, name, lease);
        Ok(())
    }

    fn replay_removed(
        &mut self,
        now: Instant,
        (service, address): &Key,
        order: Order,
        kernel: Option<&Table>,
    ) {
        let Some(known) = self.pools.get(service).and_then(|pool| pool.at(*address)) else {
            return;
        };
        let name = known.definition.name.clone();
        // It is there: it was found above.
        drop(if self.is_absent(service, *address, kernel) {
            self.remove_server_now(service, &name, order)
        } else {
            self.remove_server(now, service, &name, None, order)
        });
    }

    fn replay_admin(
        &mut self,
        now: Instant,
        (service, name): (&Name, &Name),
        said: &Said<Wish>,
        kernel: Option<&Table>,
    ) -> Result<(), CommandError> {
        match said.what {
            Wish::Maint => drop(self.maintain_server(now, service, name, order(said))?),
            Wish::Drain => {
                self.drain_server(now, service, name, None, order(said))?;
                let Some(known) = self.pools.get(service).and_then(|pool| pool.servers.get(name))
                else {
                    return Ok(());
                };
                let address = known.definition.address;
                if self.is_absent(service, address, kernel)
                    && let Some(pool) = self.pools.get_mut(service)
                    && let Some(known) = pool.servers.get_mut(name)
                    && let Admin::Drain(drain) = &mut known.admin
                {
                    drain.drained = true;
                }
                self.count_while_needed();
            }
        }
        Ok(())
    }

    fn replay_weight(
        &mut self,
        (service, name): (&Name, &Name),
        to: (u32, u32),
        order: &Order,
    ) -> Result<(), CommandError> {
        let known = self.pools.get(service).and_then(|pool| pool.servers.get(name));
        let from = known.map(|known| (known.definition.weight, known.share));
        if from.is_some_and(|(weight, _)| weight != to.0) {
            self.weigh_server(service, name, WeightChange::To(to.0), order.clone())?;
        }
        self.weigh_server(service, name, WeightChange::Share(to.1), order.clone()).map(drop)
    }

    /// Whether the kernel had nothing of a server at the start.
    fn is_absent(&self, service: &Name, address: SocketAddr, kernel: Option<&Table>) -> bool {
        let (Some(kernel), Some(pool)) = (kernel, self.pools.get(service)) else { return false };
        let mut entries = pool.keys().filter_map(|key| kernel.get(&key));
        !entries.any(|found| found.destinations.contains_key(&address))
    }
}

fn order<T>(said: &Said<T>) -> Order {
    Order { who: said.who.clone(), reason: said.reason.clone() }
}
