//! Servers that others name in files: what of a reading is believed, and what becomes of the pool by it.
//!
//! | the files                  | the pool has the server       | then                                                          |
//! |----------------------------|-------------------------------|---------------------------------------------------------------|
//! | name it newly              | no                            | it is added, and starts down until its first pass             |
//! |                            | and it drains to be removed   | it is taken back, with its connections                        |
//! |                            | from the configuration, or added by a command | it stays whose it is                          |
//! | name it no longer          | from the files                | it drains and is removed                                      |
//! |                            | from elsewhere                | it stays                                                      |
//! | give it another weight     | from the files                | that is its weight, unless a command has given it one          |
//! | name it as before          | no: a command removed it      | it stays removed                                              |
//!
//! A reading that would take too much away at once is refused whole, and what was known before goes on: a directory that is empty for a
//! moment, or that a broken generator has filled, must not empty a pool.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_config::{Config, Discovery, Name, RealServer, SERVERS_MAX, Service, Target};
use holdfast_time::Instant;

use crate::commands::WeightChange;
use crate::engine::Engine;
use crate::order::Order;
use crate::server::{Admin, Origin};

/// A server that files name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The server.
    pub server: RealServer,
    /// Whether the files want it to take no new connections.
    pub drain: bool,
}

/// The servers that the files of a service name, by address.
pub type Findings = BTreeMap<SocketAddr, Found>;

/// Why a reading is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disbelief {
    /// A server that breaks a rule of the service.
    #[error("{0}")]
    Misfit(String),
    /// More servers than a service may have.
    #[error("the files name {0} servers; a service has at most {SERVERS_MAX}")]
    TooMany(usize),
    /// No server at all.
    #[error(
        "the files name no server at all, and named {0} before: all are kept; `allow_empty: true` would believe it"
    )]
    Empty(usize),
    /// Too much less than before.
    #[error(
        "the files no longer name {gone} of {before} servers, more than {percent} percent at once: all are kept; take them out in steps, or raise `max_removal`"
    )]
    TooFew {
        /// How many are gone.
        gone: usize,
        /// How many there were.
        before: usize,
        /// `discover.max_removal`.
        percent: u32,
    },
}

/// What `targets` are in `service` of `config`.
///
/// # Errors
/// One of them breaks a rule of the service, or there are too many. The others are good for nothing then: a reading is believed as a whole.
pub fn resolve(
    targets: &[Target],
    service: &Service,
    config: &Config,
) -> Result<Findings, Disbelief> {
    if targets.len() > SERVERS_MAX {
        return Err(Disbelief::TooMany(targets.len()));
    }
    let settings = service.settings();
    let mut found = Findings::new();
    for target in targets {
        let name = target.name.as_ref().map(Name::as_str);
        let server =
            RealServer::new(name, &target.address.to_string(), target.weight, &settings, config);
        let server = server.map_err(|problems| {
            let sentences: Vec<&str> =
                problems.iter().map(|problem| problem.message.as_str()).collect();
            Disbelief::Misfit(sentences.join("; "))
        })?;
        // Of two targets with one address the first counts.
        found.entry(target.address).or_insert(Found { server, drain: target.drain });
    }
    Ok(found)
}

/// Whether `new` may follow `old` at once.
///
/// # Errors
/// It takes more away than `policy` allows.
pub fn believe(old: &Findings, new: &Findings, policy: &Discovery) -> Result<(), Disbelief> {
    let before = old.len();
    if new.is_empty() && before > 0 && !policy.allow_empty {
        return Err(Disbelief::Empty(before));
    }
    if new.is_empty() && policy.allow_empty {
        return Ok(());
    }
    let gone = old.keys().filter(|address| !new.contains_key(address)).count();
    let percent = policy.max_removal;
    // At most ten thousand of each: no overflow.
    if gone * 100 > before * usize::try_from(percent).unwrap_or(100) {
        return Err(Disbelief::TooFew { gone, before, percent });
    }
    Ok(())
}

impl Engine {
    /// What files name of the servers of `service`.
    pub fn discovered(&self, service: &Name) -> Option<&Findings> {
        self.discovered.get(service)
    }

    /// Goes on with what files name now, which the caller has found to be believed ([`believe`]). A service that is not there, or leaves,
    /// has no findings.
    pub fn discover(&mut self, now: Instant, service: &Name, new: Findings) {
        if self.pools.get(service).is_none_or(|pool| pool.leaving) {
            return;
        }
        let old = self.discovered.insert(service.clone(), new.clone()).unwrap_or_default();
        for (address, was) in &old {
            if !new.contains_key(address) {
                self.lose(now, service, *address, was);
            }
        }
        for (address, found) in &new {
            match old.get(address) {
                None => self.find(now, service, *address, found),
                Some(was) if was != found => self.revise(now, service, *address, was, found),
                Some(_) => {}
            }
        }
    }

    /// Servers of a service that files are asked about no longer drain and go.
    pub(crate) fn stop_discovery(&mut self, now: Instant, service: &Name) {
        let old = self.discovered.remove(service).unwrap_or_default();
        for (address, was) in &old {
            self.lose(now, service, *address, was);
        }
    }

    /// A server that no file names any more.
    fn lose(&mut self, now: Instant, service: &Name, address: SocketAddr, _was: &Found) {
        let Some((name, origin, _)) = self.known(service, address) else { return };
        if origin == Origin::Discovered {
            let order = Order::own("in no file of its service's directory any more");
            // It is there, here and below: it was found above.
            drop(self.remove_server(now, service, &name, None, order));
        }
    }

    /// A server that no file named before.
    fn find(&mut self, now: Instant, service: &Name, address: SocketAddr, found: &Found) {
        let order = || Order::own("in a file of its service's directory");
        match self.known(service, address) {
            None => self.admit_found(now, service, found, order()),
            Some((name, origin, leaves)) => {
                if !leaves || !matches!(origin, Origin::Discovered | Origin::Kernel) {
                    return;
                }
                if let Some(known) =
                    self.pools.get_mut(service).and_then(|pool| pool.servers.get_mut(&name))
                {
                    known.origin = Origin::Discovered;
                }
                drop(self.ready_server(now, service, &name, order()));
                let weight = WeightChange::To(found.server.weight);
                drop(self.weigh_server(service, &name, weight, order()));
            }
        }
        if found.drain {
            self.drain_found(now, service, address);
        }
    }

    fn admit_found(&mut self, now: Instant, service: &Name, found: &Found, order: Order) {
        let Some(pool) = self.pools.get(service) else { return };
        let mut server = found.server.clone();
        if pool.servers.contains_key(&server.name) {
            let taken = |name: &Name| pool.servers.contains_key(name);
            let Some(named) = RealServer::found(server.address, server.weight, taken) else {
                return;
            };
            server.name = named.name;
        }
        self.add(now, service, server, Origin::Discovered, order);
    }

    /// A server of which the files say something else than before.
    fn revise(
        &mut self,
        now: Instant,
        service: &Name,
        address: SocketAddr,
        was: &Found,
        found: &Found,
    ) {
        let Some((name, Origin::Discovered, _)) = self.known(service, address) else { return };
        let pool = self.pools.get(service);
        let Some(known) = pool.and_then(|pool| pool.servers.get(&name)) else { return };
        let own = known.standing.as_ref().is_none_or(|standing| standing.order.is_own());
        let (weight, drains) = (known.definition.weight, matches!(known.admin, Admin::Drain(_)));
        let order = || Order::own("by a file of its service's directory");
        if weight == was.server.weight && weight != found.server.weight {
            let to = WeightChange::To(found.server.weight);
            drop(self.weigh_server(service, &name, to, order()));
        }
        match (was.drain, found.drain) {
            (false, true) => self.drain_found(now, service, address),
            // What an operator has said since stands.
            (true, false) if own && drains => {
                drop(self.ready_server(now, service, &name, order()));
            }
            (true | false, _) => {}
        }
    }

    fn drain_found(&mut self, now: Instant, service: &Name, address: SocketAddr) {
        let Some((name, Origin::Discovered, _)) = self.known(service, address) else { return };
        let known = self.pools.get(service).and_then(|pool| pool.servers.get(&name));
        // What an operator has said stands.
        if known.is_none_or(|known| known.admin != Admin::Ready) {
            return;
        }
        let order = Order::own("a file of its service's directory says `drain`");
        drop(self.drain_server(now, service, &name, None, order));
    }

    /// The name and origin of the server that has `address`, and whether it drains to be removed.
    fn known(&self, service: &Name, address: SocketAddr) -> Option<(Name, Origin, bool)> {
        let known = self.pools.get(service)?.at(address)?;
        let leaves = matches!(&known.admin, Admin::Drain(drain) if drain.then_remove);
        Some((known.definition.name.clone(), known.origin, leaves))
    }
}
