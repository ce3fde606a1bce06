//! Reading the table and its counters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use nix::errno::Errno;

use super::{Client, ClientError, READ_ATTEMPTS, Request};
use crate::model::{Counters, DestinationStatus, ServiceKey, ServiceStatus, Table, VirtualService};
use crate::plan::Orders;
use crate::wire::{
    Command, IpvsAttr, IpvsMessage, read_dumped_destination, read_dumped_service, read_service,
};

/// The table with its counters, and what of it can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status<T = ServiceStatus> {
    /// The services in the order of their keys, or what [`Client::look`] was told to keep of each.
    pub services: Vec<T>,
    /// A sentence for each object that the model has no word for: a service of a protocol that IPVS doesn't balance, for one.
    /// Nothing here ever touches them.
    pub unreadable: Vec<String>,
    /// Services whose destinations were not asked for: they have none here ([`Client::look`]).
    pub unread: BTreeSet<ServiceKey>,
}

impl<T> Default for Status<T> {
    /// That of an empty table.
    fn default() -> Self {
        Self { services: Vec::new(), unreadable: Vec::new(), unread: BTreeSet::new() }
    }
}

impl Status {
    /// The table without counters.
    pub fn table(&self) -> Table {
        self.services.iter().map(|found| (found.service.key, found.entry())).collect()
    }

    /// The destinations of services for which their order matters in `desired`, as the kernel lists them.
    pub fn orders(&self, desired: &Table) -> Orders {
        self.services.iter().filter_map(|found| found.order(desired)).collect()
    }
}

/// A service as it was dumped, or why it can't be read.
pub(super) type Found = Result<(VirtualService, Counters), String>;

impl Client {
    /// The table. Objects that the model has no word for are left out; [`Client::status`] names them.
    ///
    /// # Errors
    /// The kernel has no IPVS any more, it refused, or the socket failed.
    pub fn table(&mut self) -> Result<Table, ClientError> {
        self.status().map(|status| status.table())
    }

    /// The table with counters and connections.
    ///
    /// It takes one dump for all services and one for the destinations of each, and then looks at the services once more: if
    /// they changed meanwhile, it begins again, at most [`READ_ATTEMPTS`] times in all.
    ///
    /// # Errors
    /// The kernel has no IPVS any more, it refused, or the socket failed.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.look(|_, _| true, |found, _| found)
    }

    /// As [`Self::status`], without the destinations of services that `reads` says no to: those of the others are most of the work. The
    /// rest is in [`Status::unread`].
    ///
    /// Of each service stays what `keep` makes of it, which is also told whether its destinations were read. It is asked as soon as they
    /// are, so that a large table need not be in memory as a whole.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub fn look<T>(
        &mut self,
        reads: impl Fn(&VirtualService, &Counters) -> bool,
        keep: impl Fn(ServiceStatus, bool) -> T,
    ) -> Result<Status<T>, ClientError> {
        self.resolve()?;
        let mut found = self.services()?;
        let mut attempts = 1;
        loop {
            let status = self.with_destinations(&found, &reads, &keep)?;
            let again = self.services()?;
            if attempts >= READ_ATTEMPTS || same_services(&found, &again) {
                return Ok(status);
            }
            found = again;
            attempts += 1;
        }
    }

    /// One service with counters and connections; `None` when there is no such service.
    ///
    /// # Errors
    /// The kernel refused, it answered what the model has no word for, or the socket failed.
    pub fn service(&mut self, key: &ServiceKey) -> Result<Option<ServiceStatus>, ClientError> {
        let request = Request::Service(*key);
        let question = IpvsMessage::on_service(Command::GetService, key);
        let attributes = match self.ask(&request, question) {
            Err(ClientError::Refused { errno: Errno::ESRCH, .. }) => return Ok(None),
            other => other?,
        };
        let (service, counters) =
            service_of(&attributes).map_err(|reason| ClientError::Answer { request, reason })?;
        let mut unreadable = Vec::new();
        let destinations = self.destinations(key, &mut unreadable)?;
        Ok(Some(ServiceStatus { service, counters, destinations }))
    }

    fn with_destinations<T>(
        &mut self,
        found: &[Found],
        reads: &impl Fn(&VirtualService, &Counters) -> bool,
        keep: &impl Fn(ServiceStatus, bool) -> T,
    ) -> Result<Status<T>, ClientError> {
        let mut status = Status::default();
        let mut services = BTreeMap::new();
        for service in found {
            match service {
                Ok((service, counters)) => {
                    services.entry(service.key).or_insert((service, *counters));
                }
                Err(reason) => {
                    status.unreadable.push(format!("a service can't be read: {reason}"));
                }
            }
        }
        for (key, (service, counters)) in services {
            let read = reads(service, &counters);
            let destinations = if read {
                self.destinations(&key, &mut status.unreadable)?
            } else {
                status.unread.insert(key);
                Vec::new()
            };
            let found = ServiceStatus { service: service.clone(), counters, destinations };
            status.services.push(keep(found, read));
        }
        Ok(status)
    }

    pub(super) fn services(&mut self) -> Result<Vec<Found>, ClientError> {
        let question = IpvsMessage::bare(Command::GetService);
        self.dump(&Request::Services, &question, |attributes| {
            read_dumped_service(attributes).map_err(|error| error.to_string())
        })
    }

    /// The destinations in the kernel's order, each once. A service that is gone has none.
    pub(super) fn destinations(
        &mut self,
        key: &ServiceKey,
        unreadable: &mut Vec<String>,
    ) -> Result<Vec<DestinationStatus>, ClientError> {
        let question = IpvsMessage::on_service(Command::GetDestination, key);
        let request = Request::Destinations(*key);
        let family = key.family();
        let mut attempts = 1;
        loop {
            let found = self.dump(&request, &question, |attributes| {
                read_dumped_destination(attributes, family).map_err(|error| error.to_string())
            })?;
            let mut reasons = Vec::new();
            let mut readable = |one: Result<DestinationStatus, String>| {
                one.map_err(|reason| {
                    reasons.push(format!("a destination of {key} can't be read: {reason}"));
                })
                .ok()
            };
            let mut destinations: Vec<DestinationStatus> =
                found.into_iter().filter_map(&mut readable).collect();
            let repeats = repeats(&destinations);
            if !repeats || attempts >= READ_ATTEMPTS {
                if repeats {
                    let mut seen = BTreeSet::new();
                    destinations.retain(|one| seen.insert(one.destination.address));
                }
                // A table has thousands of these lists, which are kept for a while.
                destinations.shrink_to_fit();
                unreadable.append(&mut reasons);
                return Ok(destinations);
            }
            attempts += 1;
        }
    }
}

fn service_of(attributes: &[IpvsAttr]) -> Found {
    let nest = attributes.iter().find_map(|attribute| {
        if let IpvsAttr::Service(nest) = attribute { Some(nest) } else { None }
    });
    let nest = nest.ok_or_else(|| "the message holds no service".to_owned())?;
    read_service(nest).map_err(|error| error.to_string())
}

/// Whether a destination is there more than once.
fn repeats(destinations: &[DestinationStatus]) -> bool {
    let mut addresses: Vec<SocketAddr> =
        destinations.iter().map(|one| one.destination.address).collect();
    addresses.sort_unstable();
    addresses.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
}

/// Whether two dumps tell of the same services, whatever their counters and their order.
pub(super) fn same_services(one: &[Found], other: &[Found]) -> bool {
    fn settings(found: &[Found]) -> BTreeSet<&VirtualService> {
        found.iter().flatten().map(|(service, _)| service).collect()
    }
    one.len() == other.len() && settings(one) == settings(other)
}
