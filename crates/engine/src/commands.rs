//! The operator's commands to a pool while it runs.
//!
//! Each is idempotent: said again it changes nothing, and its answer says whether it has changed anything. A second removal finds no
//! server ([`CommandError::NoServer`]), which the caller may count as success.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Name, RealServer, SERVERS_MAX};
use holdfast_health::{Code, Reason, State};
use holdfast_time::Instant;

use crate::drain::Drain;
use crate::engine::Engine;
use crate::order::{Order, Standing};
use crate::pool::Pool;
use crate::report::Report;
use crate::server::{Admin, Origin, Server};
use crate::weight::{SHARE_MAX, WHOLE};

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// False when all was so already.
    pub changed: bool,
}

/// Another weight, as an operator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightChange {
    /// This configured weight, whole.
    To(u32),
    /// This share of the configured weight, in percent, 0..=[`SHARE_MAX`].
    Share(u32),
}

/// Why a command was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no service of this name.
    #[error("no service `{0}`")]
    NoService(Name),
    /// The service has no server of this name.
    #[error("service `{service}` has no server `{server}`")]
    NoServer {
        /// The service.
        service: Name,
        /// The name that it has not.
        server: Name,
    },
    /// A reload has taken the service out of the configuration, and it drains.
    #[error(
        "the configuration has service `{0}` no longer: it drains and is then removed; put it back into the file and reload"
    )]
    Leaving(Name),
    /// The name is another server's.
    #[error(
        "service `{service}` has a server `{server}` already, at {address}: choose another name, or remove that one first"
    )]
    NameTaken {
        /// The service.
        service: Name,
        /// The name.
        server: Name,
        /// The address of the server that has it.
        address: SocketAddr,
    },
    /// The address is another server's.
    #[error("service `{service}` has {address} already, as `{server}`")]
    AddressTaken {
        /// The service.
        service: Name,
        /// The server that has the address.
        server: Name,
        /// The address.
        address: SocketAddr,
    },
    /// The pool is full.
    #[error(
        "service `{0}` has {SERVERS_MAX} servers already, and there may be no more: remove one first"
    )]
    TooMany(Name),
    /// The share is beyond what there may be.
    #[error("a share of the weight is 0% to {SHARE_MAX}%, got {0}%")]
    Share(u32),
    /// The weight is beyond what the kernel, or this service, takes.
    #[error("a weight in service `{service}` is 0 to {max}, got {weight}")]
    Weight {
        /// The service.
        service: Name,
        /// What was asked for.
        weight: u32,
        /// The greatest that there may be ([`holdfast_config::Service::weight_max`]).
        max: u32,
    },
}

impl Engine {
    /// Adds `server` to `service`; it starts down until its first pass.
    ///
    /// Of a server that is there already, `weight` becomes its weight (without one it keeps its own), and a removal that still drains
    /// is cancelled. A drain that was asked for by itself goes on: [`Self::ready_server`] ends it.
    ///
    /// # Errors
    /// There is no such service, the name or the address is another server's, or the pool is full ([`SERVERS_MAX`]).
    pub fn add_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: RealServer,
        weight: Option<u32>,
        order: Order,
    ) -> Result<Change, CommandError> {
        self.return_server(now, service, server, weight, (Origin::Runtime, order))
    }

    /// As [`Self::add_server`], for a server that a command had removed and that is `origin`'s again.
    ///
    /// # Errors
    /// As [`Self::add_server`].
    pub fn return_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: RealServer,
        weight: Option<u32>,
        (origin, order): (Origin, Order),
    ) -> Result<Change, CommandError> {
        self.clock = now;
        let pool = self.staying(service)?;
        if let Some(known) = pool.servers.get(&server.name) {
            if known.definition.address != server.address {
                return Err(CommandError::NameTaken {
                    service: service.clone(),
                    address: known.definition.address,
                    server: server.name,
                });
            }
            return self.keep(now, service, &server.name, weight, order);
        }
        if let Some(taken) = pool.at(server.address) {
            return Err(CommandError::AddressTaken {
                service: service.clone(),
                address: server.address,
                server: taken.definition.name.clone(),
            });
        }
        if pool.servers.len() >= SERVERS_MAX {
            return Err(CommandError::TooMany(service.clone()));
        }
        self.add(now, service, server, origin, order);
        Ok(Change { changed: true })
    }

    /// Puts a server that is new into the pool of `service`.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        service: &Name,
        server: RealServer,
        origin: Origin,
        order: Order,
    ) {
        let name = server.name.clone();
        self.enrol(service, server, origin, false, now);
        self.begin_ramp(service, &name, now);
        self.report(Report::Added { service: service.clone(), server: name, order });
        self.reconcile_service(service);
    }

    /// Adds a server that is there already.
    fn keep(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        weight: Option<u32>,
        order: Order,
    ) -> Result<Change, CommandError> {
        let known = self.server_mut(service, server)?;
        let removed = matches!(&known.admin, Admin::Drain(drain) if drain.then_remove);
        if removed && known.origin == Origin::Kernel {
            known.origin = Origin::Runtime;
        }
        let reweighted = match weight {
            Some(weight) => {
                let to = WeightChange::To(weight);
                self.weigh_server(service, server, to, order.clone())?.changed
            }
            None => false,
        };
        let kept = removed && self.ready_server(now, service, server, order)?.changed;
        Ok(Change { changed: kept || reweighted })
    }

    /// Gives `server` no new connections. It has drained when its open ones have ended, or after `timeout` (`None`: the service's
    /// `drain.timeout`).
    ///
    /// Draining again changes the deadline only when another timeout is given, and the reason only when one is given.
    ///
    /// # Errors
    /// There is no such service or server.
    pub fn drain_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        timeout: Option<Duration>,
        order: Order,
    ) -> Result<Change, CommandError> {
        self.start_drain(now, service, server, timeout, false, order)
    }

    /// Gives `server` no new connections and no checks until [`Self::ready_server`]. Its open connections can end.
    ///
    /// # Errors
    /// As [`Self::ready_server`].
    pub fn maintain_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        order: Order,
    ) -> Result<Change, CommandError> {
        self.clock = now;
        self.staying(service)?;
        let known = self.server_mut(service, server)?;
        if known.admin == Admin::Maint {
            let changed = known.adopt_reason(&order);
            return Ok(Change { changed });
        }
        known.admin = Admin::Maint;
        known.since = now;
        known.standing = Some(Standing::boxed(order.clone(), now));
        known.health = State::Starting;
        known.health_since = now;
        known.reason = Reason::new(Code::INI, "it is not checked while it is in maintenance");
        self.stop_checks(service, server);
        self.set_ramp(service, server, None);
        self.report(Report::Maintained { service: service.clone(), server: server.clone(), order });
        self.reconcile_service(service);
        Ok(Change { changed: true })
    }

    /// Takes a server back that drains, has drained or is in maintenance, and cancels a removal that still drains.
    ///
    /// One that still drains has its weight again at once: nothing was deleted. One that has drained begins anew, with a slow start
    /// where its service has one; one in maintenance waits for its checks besides.
    ///
    /// # Errors
    /// There is no such service or server, or the configuration has the service no longer.
    pub fn ready_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        order: Order,
    ) -> Result<Change, CommandError> {
        self.clock = now;
        self.staying(service)?;
        let known = self.server_mut(service, server)?;
        let before = std::mem::replace(&mut known.admin, Admin::Ready);
        if before == Admin::Ready {
            return Ok(Change { changed: false });
        }
        known.standing = None;
        known.since = now;
        match before {
            Admin::Maint => {
                self.start_checks(service, server, false, now);
                self.begin_ramp(service, server, now);
            }
            Admin::Drain(drain) if drain.drained => self.begin_ramp(service, server, now),
            Admin::Drain(_) | Admin::Ready => {}
        }
        self.report(Report::Ready { service: service.clone(), server: server.clone(), order });
        self.reconcile_service(service);
        Ok(Change { changed: true })
    }

    /// Drains `server` as [`Self::drain_server`] does, and then removes it. If it is draining already, and not to be removed, `timeout` counts from
    /// now.
    ///
    /// # Errors
    /// There is no such service or server.
    pub fn remove_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        timeout: Option<Duration>,
        order: Order,
    ) -> Result<Change, CommandError> {
        self.start_drain(now, service, server, timeout, true, order)
    }

    /// Removes `server` at once; the kernel drops what it still has.
    ///
    /// # Errors
    /// There is no such service or server.
    pub fn remove_server_now(
        &mut self,
        service: &Name,
        server: &Name,
        order: Order,
    ) -> Result<Change, CommandError> {
        self.server_mut(service, server)?;
        self.forget(service, server, order);
        Ok(Change { changed: true })
    }

    /// Gives `server` another weight: a number replaces the configured one, a share is a percentage of it.
    ///
    /// # Errors
    /// There is no such service or server, or the kernel or the service takes no such weight.
    pub fn weigh_server(
        &mut self,
        service: &Name,
        server: &Name,
        change: WeightChange,
        order: Order,
    ) -> Result<Change, CommandError> {
        let pool = self.pool_mut(service)?;
        let max = pool.service.weight_max();
        match change {
            WeightChange::Share(share) if share > SHARE_MAX => {
                return Err(CommandError::Share(share));
            }
            WeightChange::To(weight) if weight > max => {
                return Err(CommandError::Weight { service: service.clone(), weight, max });
            }
            WeightChange::To(_) | WeightChange::Share(_) => {}
        }
        let known = self.server_mut(service, server)?;
        let from = (known.definition.weight, known.share);
        let to = match change {
            WeightChange::To(weight) => (weight, WHOLE),
            WeightChange::Share(share) => (known.definition.weight, share),
        };
        if from == to {
            return Ok(Change { changed: false });
        }
        (Arc::make_mut(&mut known.definition).weight, known.share) = to;
        self.reconcile_service(service);
        let (service, server) = (service.clone(), server.clone());
        self.report(Report::Weight { service, server, from, to, order });
        Ok(Change { changed: true })
    }

    fn start_drain(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        timeout: Option<Duration>,
        then_remove: bool,
        order: Order,
    ) -> Result<Change, CommandError> {
        self.clock = now;
        let policy = self.pool_mut(service)?.service.drain;
        let known = self.server_mut(service, server)?;
        let before = known.admin.clone();
        match &mut known.admin {
            Admin::Ready | Admin::Maint => {
                let mut drain = Drain::new(now + policy.timeout, policy.idle, then_remove);
                if let Some(timeout) = timeout {
                    drain.end_within(now, timeout);
                }
                known.admin = Admin::Drain(Box::new(drain));
                known.since = now;
                known.standing = Some(Standing::boxed(order.clone(), now));
            }
            Admin::Drain(drain) if drain.drained && then_remove => {
                self.forget(service, server, order);
                return Ok(Change { changed: true });
            }
            Admin::Drain(drain) => {
                let is_drained = drain.drained;
                if !is_drained {
                    if let Some(timeout) = timeout {
                        if then_remove && !drain.then_remove {
                            drain.forget_timeout();
                        }
                        drain.end_within(now, timeout);
                    }
                    drain.then_remove |= then_remove;
                }
                let said = known.adopt_reason(&order);
                return Ok(Change { changed: said || before != known.admin });
            }
        }
        if before == Admin::Maint {
            self.start_checks(service, server, false, now);
        }
        self.count_soon(now);
        self.report(Report::Draining {
            service: service.clone(),
            server: server.clone(),
            then_remove,
            order,
        });
        self.reconcile_service(service);
        Ok(Change { changed: true })
    }

    /// Ends a drain, by itself (`left` is 0) or because its deadline passed with `left` connections.
    pub(crate) fn end_drain(&mut self, service: &Name, server: &Name, left: u64) {
        self.report(Report::Drained { service: service.clone(), server: server.clone(), left });
        let known = self.server_mut(service, server).ok();
        let removed =
            known.filter(|known| matches!(&known.admin, Admin::Drain(drain) if drain.then_remove));
        let order = removed.map(|known| known.standing.take().unwrap_or_default().order);
        if let Some(order) = order {
            self.forget(service, server, order);
        }
        self.reconcile_service(service);
    }

    fn pool_mut(&mut self, service: &Name) -> Result<&mut Pool, CommandError> {
        self.pools.get_mut(service).ok_or_else(|| CommandError::NoService(service.clone()))
    }

    /// The pool of a service that the configuration has.
    fn staying(&mut self, service: &Name) -> Result<&mut Pool, CommandError> {
        let pool = self.pool_mut(service)?;
        if pool.leaving { Err(CommandError::Leaving(service.clone())) } else { Ok(pool) }
    }

    fn server_mut(&mut self, service: &Name, server: &Name) -> Result<&mut Server, CommandError> {
        self.pool_mut(service)?.servers.get_mut(server).ok_or_else(|| CommandError::NoServer {
            service: service.clone(),
            server: server.clone(),
        })
    }
}
