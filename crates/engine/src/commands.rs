//! What an operator can have done to a pool while it runs. Each says whether it changed anything: said
//! again, it changes nothing. The exception is a removal, which finds no server the second time.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Name, RealServer, SERVERS_MAX};
use holdfast_time::Instant;

use crate::drain::Drain;
use crate::engine::{COUNT_INTERVAL, Engine};
use crate::pool::Pool;
use crate::report::Report;
use crate::server::{Admin, Origin, Server};

/// How long a drain waits for connections when nothing else is said (AWS's deregistration delay is the same).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// False when all was so already.
    pub changed: bool,
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
    ) -> Result<Change, CommandError> {
        let pool = self.pool_mut(service)?;
        if let Some(known) = pool.servers.get_mut(&server.name) {
            if known.definition.address != server.address {
                return Err(CommandError::NameTaken {
                    service: service.clone(),
                    address: known.definition.address,
                    server: server.name,
                });
            }
            let removing = matches!(known.admin, Admin::Drain(drain) if drain.then_remove);
            if removing && known.origin == Origin::Kernel {
                known.origin = Origin::Runtime;
            }
            let kept = removing && self.ready_server(now, service, &server.name)?.changed;
            let reweighted = match weight {
                Some(weight) => self.set_weight(service, &server.name, weight)?,
                None => false,
            };
            return Ok(Change { changed: kept || reweighted });
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
        let name = server.name.clone();
        self.admit(service, server, Origin::Runtime, false, now);
        self.report(Report::Added { service: service.clone(), server: name });
        self.reconcile_soon();
        Ok(Change { changed: true })
    }

    /// Gives `server` no new connections; when those it has are over, or after `timeout`, it has drained.
    ///
    /// Draining again changes the deadline only when a timeout is given.
    ///
    /// # Errors
    /// There is no such service or server.
    pub fn drain_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        timeout: Option<Duration>,
    ) -> Result<Change, CommandError> {
        self.start_drain(now, service, server, timeout, false)
    }

    /// Takes a draining or drained server back, and cancels a removal that still drains.
    ///
    /// # Errors
    /// There is no such service or server.
    pub fn ready_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
    ) -> Result<Change, CommandError> {
        let known = self.server_mut(service, server)?;
        if known.admin == Admin::Ready {
            return Ok(Change { changed: false });
        }
        known.admin = Admin::Ready;
        known.since = now;
        self.report(Report::Ready { service: service.clone(), server: server.clone() });
        self.reconcile_soon();
        Ok(Change { changed: true })
    }

    /// Removes `server` when it has drained as by [`Self::drain_server`].
    ///
    /// # Errors
    /// There is no such service or server.
    pub fn remove_server(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        timeout: Option<Duration>,
    ) -> Result<Change, CommandError> {
        self.start_drain(now, service, server, timeout, true)
    }

    /// Removes `server` at once; the kernel drops what it still has.
    ///
    /// # Errors
    /// There is no such service or server.
    pub fn remove_server_now(
        &mut self,
        service: &Name,
        server: &Name,
    ) -> Result<Change, CommandError> {
        self.server_mut(service, server)?;
        self.forget(service, server);
        Ok(Change { changed: true })
    }

    /// Gives `server` another configured weight; whether it is another one.
    fn set_weight(&mut self, service: &Name, server: &Name, to: u32) -> Result<bool, CommandError> {
        let known = self.server_mut(service, server)?;
        let from = std::mem::replace(&mut known.definition.weight, to);
        if from == to {
            return Ok(false);
        }
        if let Some(definition) = self.pool_mut(service)?.service.real_servers.get_mut(server) {
            definition.weight = to;
        }
        let (service, server) = (service.clone(), server.clone());
        self.report(Report::Weight { service, server, from, to });
        self.reconcile_soon();
        Ok(true)
    }

    fn start_drain(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        timeout: Option<Duration>,
        then_remove: bool,
    ) -> Result<Change, CommandError> {
        let known = self.server_mut(service, server)?;
        let started = match &mut known.admin {
            Admin::Ready => {
                let deadline = now + timeout.unwrap_or(DRAIN_TIMEOUT);
                known.admin = Admin::Drain(Drain::new(deadline, then_remove));
                known.since = now;
                true
            }
            Admin::Drain(drain) if drain.drained && then_remove => {
                self.forget(service, server);
                return Ok(Change { changed: true });
            }
            Admin::Drain(drain) if drain.drained => return Ok(Change { changed: false }),
            Admin::Drain(drain) => {
                let before = *drain;
                drain.deadline = timeout.map_or(drain.deadline, |timeout| now + timeout);
                drain.then_remove |= then_remove;
                let changed = before != *drain;
                return Ok(Change { changed });
            }
        };
        self.count_at = Some(self.count_at.unwrap_or(now + COUNT_INTERVAL));
        self.report(Report::Draining { service: service.clone(), server: server.clone() });
        self.reconcile_soon();
        Ok(Change { changed: started })
    }

    /// Ends a drain: by itself, or because the deadline passed with `left` connections.
    pub(crate) fn end_drain(&mut self, service: &Name, server: &Name, left: u64) {
        self.report(Report::Drained { service: service.clone(), server: server.clone(), left });
        let removed = self
            .server_mut(service, server)
            .is_ok_and(|known| matches!(known.admin, Admin::Drain(drain) if drain.then_remove));
        if removed {
            self.forget(service, server);
        }
        self.reconcile_soon();
    }

    fn pool_mut(&mut self, service: &Name) -> Result<&mut Pool, CommandError> {
        self.pools.get_mut(service).ok_or_else(|| CommandError::NoService(service.clone()))
    }

    fn server_mut(&mut self, service: &Name, server: &Name) -> Result<&mut Server, CommandError> {
        self.pool_mut(service)?.servers.get_mut(server).ok_or_else(|| CommandError::NoServer {
            service: service.clone(),
            server: server.clone(),
        })
    }
}
