//! Reading the table and its counters.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use nix::errno::Errno;

use super::{Client, ClientError, READ_ATTEMPTS, Request};
use crate::model::{
    Counters, DestinationStatus, Entry, ServiceKey, ServiceStatus, Table, VirtualService,
};
use crate::plan::Orders;
use crate::wire::{
    Command, IpvsAttr, IpvsMessage, read_dumped_destination, read_dumped_service, read_service,
};

/// The table with its counters, and what of it can't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The services in the order of their keys.
    pub services: Vec<ServiceStatus>,
    /// A sentence for each object that the model has no word for: a service of a protocol that IPVS doesn't balance, for one.
    /// Nothing here ever touches them.
    pub unreadable: Vec<String>,
    /// Services whose destinations were not asked for: they have none here ([`Client::look`]).
    pub unread: BTreeSet<ServiceKey>,
}

impl Status {
    /// The table without counters.
    pub fn table(&self) -> Table {
        self.table_without(&BTreeSet::new())
    }

    /// The table without counters and without the services `left_out`.
    pub fn table_without(&self, left_out: &BTreeSet<ServiceKey>) -> Table {
        let services = self.services.iter().filter(|found| !left_out.contains(&found.service.key));
        let entries = services.map(|found| {
            let destinations = found
                .destinations
                .iter()
                .map(|status| (status.destination.address, status.destination))
                .collect();
            (found.service.key, Entry { service: found.service.clone(), destinations })
        });
        entries.collect()
    }
}

impl Status {
    /// The destinations of services for which their order matters in `desired`, as the kernel lists them.
    pub fn orders(&self, desired: &Table) -> Orders {
        let ordered = self.services.iter().filter(|found| {
            let wanted = desired.get(&found.service.key);
            wanted.is_some_and(|wanted| wanted.service.scheduler.depends_on_order())
        });
        ordered
            .map(|found| {
                let destinations = found.destinations.iter();
                (found.service.key, destinations.map(|one| one.destination.address).collect())
            })
            .collect()
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
        self.look(|_, _| true)
    }

    /// As [`Self::status`], without the destinations of services that `reads` says no to: those of the others are most of the work. The
    /// rest is in [`Status::unread`].
    ///
    /// # Errors
    /// As [`Self::status`].
    pub fn look(
        &mut self,
        reads: impl Fn(&VirtualService, &Counters) -> bool,
    ) -> Result<Status, ClientError> {
        self.resolve()?;
        let mut found = self.services()?;
        let mut attempts = 1;
        loop {
            let status = self.with_destinations(&found, &reads)?;
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

    fn with_destinations(
        &mut self,
        found: &[Found],
        reads: &impl Fn(&VirtualService, &Counters) -> bool,
    ) -> Result<Status, ClientError> {
        let mut status = Status::default();
        let mut seen = BTreeSet::new();
        for service in found {
            let (service, counters) = match service {
                Ok(found) => found,
                Err(reason) => {
                    status.unreadable.push(format!("a service can't be read: {reason}"));
                    continue;
                }
            };
            if seen.insert(service.key) {
                let destinations = if reads(service, counters) {
                    self.destinations(&service.key, &mut status.unreadable)?
                } else {
                    status.unread.insert(service.key);
                    Vec::new()
                };
                let (service, counters) = (service.clone(), *counters);
                status.services.push(ServiceStatus { service, counters, destinations });
            }
        }
        status.services.sort_by_key(|found| found.service.key);
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
