//! What the engine leaves for the next daemon, and how that one goes on with it.
//!
//! The kernel's table does not say which services are ours: one that the configuration no longer has would look like somebody else's. Nor
//! does it say how much time a drain has left. Both are in [`Draining`], which is written to disk.
//!
//! | the daemon before had                | and now                                    | then                                                |
//! |--------------------------------------|--------------------------------------------|-----------------------------------------------------|
//! | a service                            | no service has its name or its addresses   | it drains and is removed, as at a reload            |
//! | a service that was leaving           | no service has its name or its addresses   | it goes on leaving, its servers by their deadlines  |
//! | either                               | another service has its address            | what the kernel has there drains as that one's      |
//! |                                      | its name is in the configuration           | it leaves the addresses that it no longer has       |
//! | an address that a service was leaving | the service is there, or leaves, and no other has the address | the service goes on leaving it     |
//! | a server that drained                | it drains, by a remembered command or because only the kernel has it | it keeps its deadline and who wanted it   |
//! | a method that a service had          | the service is there and has another one   | what the method needs stays until it is over        |
//! | what had ended, but is still in the kernel | no service is there                  | it is removed                                       |
//!
//! What the kernel no longer has is not waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Config, Listen, Name, RealServer, Remains, Service};
use holdfast_time::Instant;
use ipvs_ctl::model::{Forwarding, ServiceKey, Table};

use crate::drain::Drain;
use crate::engine::Engine;
use crate::former::with;
use crate::order::Order;
use crate::pool::{Pool, Retiring};
use crate::report::Report;
use crate::server::Admin;

/// What there is in the kernel that is ours, and what of it drains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draining {
    /// Services of the configuration.
    pub running: Vec<Remains>,
    /// Services that are leaving.
    pub leaving: Vec<Remains>,
    /// Addresses that are being left.
    pub listens: Vec<DrainingListen>,
    /// Servers that drain.
    pub servers: Vec<DrainingServer>,
    /// Methods that services had.
    pub methods: Vec<FormerMethod>,
    /// What has ended and may still be in the kernel. The engine leaves it empty; the thread that programs the kernel fills it.
    pub ended: BTreeSet<ServiceKey>,
}

/// An address that a service listens on no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainingListen {
    /// The service.
    pub service: Name,
    /// The address.
    pub listen: ServiceKey,
    /// When it is left at the latest.
    pub deadline: Instant,
}

/// A server that drains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainingServer {
    /// Its service.
    pub service: Name,
    /// Its name.
    pub server: Name,
    /// Its address.
    pub address: SocketAddr,
    /// When it has drained at the latest.
    pub deadline: Instant,
    /// The timeout that a command has named for it: the same said again moves no deadline. None where it has the service's.
    pub timeout: Option<Duration>,
    /// Who wanted it, and why.
    pub order: Order,
}

/// A method of forwarding that a service had, of which connections may be left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerMethod {
    /// The service.
    pub service: Name,
    /// The method.
    pub forwarding: Forwarding,
    /// When it is over at the latest.
    pub deadline: Instant,
}

impl Draining {
    /// Whether nothing is in the kernel.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && self.leaving.is_empty() && self.ended.is_empty()
    }

    /// Adds what an earlier daemon has left and this one could not look at, since it had no kernel, so that the next one knows of it. It leaves
    /// out services whose names this daemon has itself.
    pub fn add_unseen(&mut self, unseen: &Self) {
        let own: BTreeSet<Name> = self.known().map(|one| one.name.clone()).collect();
        let listened: BTreeSet<ServiceKey> =
            self.known().flat_map(|one| one.listen.iter().copied()).collect();
        let is_new = |name: &Name| !own.contains(name);
        self.running.extend(unseen.running.iter().filter(|one| is_new(&one.name)).cloned());
        self.leaving.extend(unseen.leaving.iter().filter(|one| is_new(&one.name)).cloned());
        self.listens.extend(unseen.listens.iter().filter(|one| is_new(&one.service)).cloned());
        self.servers.extend(unseen.servers.iter().filter(|one| is_new(&one.service)).cloned());
        self.methods.extend(unseen.methods.iter().filter(|one| is_new(&one.service)).cloned());
        self.ended.extend(unseen.ended.iter().filter(|key| !listened.contains(key)));
    }

    /// The services that need something of the kernel besides those of `config`: those that are leaving, and those that had another
    /// forwarding method, with that method. `kernel` is the kernel's table.
    pub fn needy(&self, config: &Config, kernel: &Table) -> Vec<Service> {
        let taken = keys(config);
        let leaving = self.known().filter_map(|one| {
            let mut service = self.left(one, config, &taken, kernel)?;
            let entries = service.listen.iter().filter_map(|one| kernel.get(&one.key()));
            let addresses: BTreeSet<SocketAddr> =
                entries.flat_map(|entry| entry.destinations.keys().copied()).collect();
            let servers =
                addresses.into_iter().filter_map(|to| RealServer::found(to, 1, |_| false));
            service.real_servers = servers.map(|one| (one.name.clone(), one.into())).collect();
            Some(service)
        });
        let former = config.services.values().flat_map(|service| {
            let methods = self.methods.iter().filter(|one| one.service == service.name);
            let known = methods.map(|one| one.forwarding);
            let before = known.chain(methods_of(service, kernel)).collect::<BTreeSet<_>>();
            before.into_iter().map(|forwarding| with(service, forwarding))
        });
        leaving.chain(former).collect()
    }

    /// The keys of the services in `kernel` that are ours, or were.
    pub fn owned(&self, kernel: &Table) -> BTreeSet<ServiceKey> {
        let services = self.known().flat_map(|one| one.listen.iter().copied());
        let listens = self.listens.iter().map(|one| one.listen);
        let keys = services.chain(listens).chain(self.ended.iter().copied());
        keys.filter(|key| kernel.contains_key(key)).collect()
    }

    /// What is left of a service that `config` no longer has: it listens at those of its addresses, and of those that it was leaving, that
    /// the kernel has and no other service has `taken`.
    fn left(
        &self,
        remains: &Remains,
        config: &Config,
        taken: &BTreeSet<ServiceKey>,
        kernel: &Table,
    ) -> Option<Service> {
        if config.services.contains_key(&remains.name) {
            return None;
        }
        let mut remains = remains.clone();
        let retiring = self.listens.iter().filter(|one| one.service == remains.name);
        remains.listen.extend(retiring.map(|one| one.listen));
        remains.listen.retain(|key| !taken.contains(key));
        remains.service(kernel)
    }

    fn known(&self) -> impl Iterator<Item = &Remains> {
        self.leaving.iter().chain(&self.running)
    }
}

/// What was draining, indexed for look-ups by service and address.
#[derive(Debug, Default)]
pub(crate) struct Index<'a> {
    servers: BTreeMap<(&'a Name, SocketAddr), &'a DrainingServer>,
    /// The addresses that services were leaving, or no longer have, each with the moment at which it is left at the latest.
    listens: BTreeMap<&'a Name, Vec<(ServiceKey, Instant)>>,
    methods: BTreeMap<&'a Name, Vec<&'a FormerMethod>>,
}

impl<'a> Index<'a> {
    /// Of `draining`, as far as `kernel` has it and no service of the configuration has the address (`taken`).
    fn of(
        draining: &'a Draining,
        (taken, kernel): (&BTreeSet<ServiceKey>, &Table),
        now: Instant,
    ) -> Self {
        let mut index = Self::default();
        for one in &draining.servers {
            index.servers.insert((&one.service, one.address), one);
        }
        for one in &draining.methods {
            index.methods.entry(&one.service).or_default().push(one);
        }
        let is_left = |key: &ServiceKey| kernel.contains_key(key) && !taken.contains(key);
        for one in draining.listens.iter().filter(|one| is_left(&one.listen)) {
            index.listens.entry(&one.service).or_default().push((one.listen, one.deadline));
        }
        for remains in draining.known() {
            let deadline = now + remains.drain().timeout;
            for key in remains.listen.iter().filter(|key| is_left(key)) {
                index.listens.entry(&remains.name).or_default().push((*key, deadline));
            }
        }
        index
    }

    /// What is known of a server.
    pub(crate) fn server(&self, service: &Name, address: SocketAddr) -> Option<&'a DrainingServer> {
        self.servers.get(&(service, address)).copied()
    }
}

/// Where the services of a configuration listen.
fn keys(config: &Config) -> BTreeSet<ServiceKey> {
    config.services.values().flat_map(|service| &service.listen).map(Listen::key).collect()
}

/// The methods by which the kernel forwards for `service` and that are of another kind than the wanted one.
fn methods_of(service: &Service, kernel: &Table) -> BTreeSet<Forwarding> {
    let kind = discriminant(&service.forwarding);
    let entries = service.listen.iter().filter_map(|one| kernel.get(&one.key()));
    let destinations = entries.flat_map(|entry| entry.destinations.values());
    let methods = destinations.map(|one| one.forwarding);
    methods.filter(|forwarding| discriminant(forwarding) != kind).collect()
}

impl Engine {
    /// What is to be kept for the next daemon.
    pub fn draining(&self) -> Draining {
        let mut all = Draining::default();
        for pool in self.pools.values() {
            let kept = if pool.leaving { &mut all.leaving } else { &mut all.running };
            kept.push(pool.service.remains());
            if pool.is_draining() {
                all.add(pool);
            }
        }
        all
    }

    /// Makes pools that leave of what was leaving and of what the configuration no longer has, and lets the other services go on with what
    /// they had begun. The servers of the configuration are in their pools by then; what else the kernel has is taken in.
    pub fn go_on(
        &mut self,
        draining: &Draining,
        (config, kernel): (&Config, &Table),
        now: Instant,
    ) {
        self.reconcile_soon();
        let taken = keys(config);
        let index = Index::of(draining, (&taken, kernel), now);
        for (name, service) in &config.services {
            self.go_on_leaving(name, &index, now);
            self.take_in(name, kernel, &index, now);
            self.go_on_waiting(name, &index, now);
            self.note_methods(service, kernel, now);
            self.adopt_quorum(name, kernel);
        }
        let leaving = draining.leaving.iter().map(|one| (one, false));
        for (remains, newly) in leaving.chain(draining.running.iter().map(|one| (one, true))) {
            let Some(mut service) = draining.left(remains, config, &taken, kernel) else {
                continue;
            };
            let name = service.name.clone();
            if self.pools.contains_key(&name) {
                continue;
            }
            // What it was leaving has a deadline of its own.
            service.listen.retain(|one| remains.listen.contains(&one.key()));
            let mut pool = Pool::new(service, now);
            pool.leaving = true;
            self.pools.insert(name.clone(), pool);
            self.go_on_leaving(&name, &index, now);
            if newly {
                self.report(Report::ServiceLeaving { service: name.clone() });
            }
            self.take_in(&name, kernel, &index, now);
            self.go_on_waiting(&name, &index, now);
            if self.pools.get(&name).is_some_and(|pool| pool.servers.is_empty()) {
                // Nothing but its name is left of it in the kernel, which goes with what is wanted no longer.
                self.pools.remove(&name);
            }
        }
    }

    /// Lets a service go on leaving the addresses that it was leaving.
    fn go_on_leaving(&mut self, name: &Name, index: &Index<'_>, now: Instant) {
        let Some(listens) = index.listens.get(name) else { return };
        let Some(pool) = self.pools.get_mut(name) else { return };
        for (key, deadline) in listens.iter().copied() {
            if pool.keys().all(|known| known != key) {
                let drain = Drain::new(deadline, pool.service.drain.idle, true);
                pool.retiring.push(Retiring { key, drain });
            }
        }
        if !pool.retiring.is_empty() {
            self.count_soon(now);
        }
    }

    /// Lets a service go on to wait for the connections of the methods that it had.
    fn go_on_waiting(&mut self, name: &Name, index: &Index<'_>, now: Instant) {
        let Some(methods) = index.methods.get(name) else { return };
        let Some(pool) = self.pools.get_mut(name) else { return };
        for method in methods {
            pool.has_forwarded_by(method.forwarding, method.deadline);
        }
        if !pool.former.is_empty() {
            self.count_soon(now);
        }
    }

    /// Takes note of how the kernel has forwarded for a service that comes, or that an earlier daemon had.
    pub(crate) fn note_methods(&mut self, service: &Service, kernel: &Table, now: Instant) {
        let methods = methods_of(service, kernel);
        let Some(pool) = self.pools.get_mut(&service.name) else { return };
        for forwarding in methods {
            if pool
                .former
                .iter()
                .all(|one| discriminant(&one.forwarding) != discriminant(&forwarding))
            {
                pool.has_forwarded_by(forwarding, now + pool.service.drain.timeout);
            }
        }
        if !pool.former.is_empty() {
            self.count_soon(now);
        }
    }

    /// Gives servers that drain the deadlines that they had, and the words of who wanted it.
    pub fn resume(&mut self, draining: &Draining) {
        let known: BTreeMap<(&Name, SocketAddr), &DrainingServer> =
            draining.servers.iter().map(|one| ((&one.service, one.address), one)).collect();
        let services: BTreeSet<&Name> = draining.servers.iter().map(|one| &one.service).collect();
        for service in services {
            let Some(pool) = self.pools.get_mut(service) else { continue };
            for server in pool.servers.values_mut().filter(|server| server.is_draining()) {
                let Some(known) = known.get(&(service, server.definition.address)) else {
                    continue;
                };
                if let Admin::Drain(drain) = &mut server.admin {
                    drain.go_on_until(known.deadline, known.timeout);
                }
                if let Some(standing) = &mut server.standing {
                    standing.order = known.order.clone();
                }
            }
        }
    }
}

impl Draining {
    /// Adds what drains of `pool`.
    fn add(&mut self, pool: &Pool) {
        let service = &pool.service.name;
        self.listens.extend(pool.retiring.iter().map(|one| DrainingListen {
            service: service.clone(),
            listen: one.key,
            deadline: one.drain.deadline,
        }));
        self.methods.extend(pool.former.iter().map(|one| FormerMethod {
            service: service.clone(),
            forwarding: one.forwarding,
            deadline: one.drain.deadline,
        }));
        for server in pool.servers.values().filter(|server| server.is_draining()) {
            let Admin::Drain(drain) = &server.admin else { continue };
            let standing = server.standing.as_ref();
            self.servers.push(DrainingServer {
                service: service.clone(),
                server: server.definition.name.clone(),
                address: server.definition.address,
                deadline: drain.deadline,
                timeout: drain.named(),
                order: standing.map(|standing| standing.order.clone()).unwrap_or_default(),
            });
        }
    }
}
